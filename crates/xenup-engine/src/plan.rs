//! A plan: the difference between what is and what is wanted, as stages of steps.
//!
//! Decides: the form of a plan on disk, its schema number, the ids in it.
//! Never: makes one (the rooms do) or carries one out (the executor does).

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Condition, Lasts, Undo};

/// The schema this build writes, and the only one it carries out.
pub const SCHEMA: u32 = 1;

/// What can go wrong with a step beyond its own failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// It can cut the way in over the network.
    CutsNetwork,
    /// It decides what boots next.
    DecidesBoot,
    /// It starts or stops services.
    TouchesServices,
    /// It takes effect at the next boot.
    NeedsReboot,
}

/// The name of a step or stage: lower-case letters, digits and hyphens, so that it is safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// A text that is not a slug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name of lower-case letters, digits and hyphens")]
pub struct NotASlug(pub String);

impl Slug {
    /// Returns a slug from any text: letters lowered, everything else one hyphen.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut slug = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug = slug.trim_end_matches('-');
        Self(if slug.is_empty() { "step".to_owned() } else { slug.to_owned() })
    }

    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let good = !text.is_empty()
            && text.len() <= 128
            && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err(NotASlug(text.to_owned())) }
    }
}

impl TryFrom<String> for Slug {
    type Error = NotASlug;

    fn try_from(text: String) -> Result<Self, NotASlug> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, unique in the plan.
    pub id: Slug,
    /// What it does, as a sentence without a full stop.
    pub title: String,
    /// Why it is done.
    pub why: String,
    /// What can go wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// What must hold just before it, beside what the action itself needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Condition>,
    /// What is done.
    pub action: Action,
    /// What must hold afterwards, beside what the action itself leaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<Condition>,
    /// How it is undone.
    pub undo: Undo,
    /// How long its effect lasts.
    pub lasts: Lasts,
}

/// What a guard watches over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// The network: confirmed in this boot, or the stage is undone, a reboot included.
    Network,
    /// A trial boot: the deadline counts from the boot it arms.
    TrialBoot,
}

/// The guard around a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// What it watches over.
    pub watch: Watch,
    /// Seconds until it undoes the stage unless confirmed.
    pub deadline_seconds: u64,
    /// What holds in a booted trial and nowhere else; `None` where the network is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Condition>,
}

/// Steps that stand and fall together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name, unique in the plan: `prepare`, `network`, `boot-trial`, `guests`.
    pub id: Slug,
    /// What it achieves.
    pub title: String,
    /// The guard; a stage without one is kept as soon as it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Why there is no way back from it, where there is none: once one of its steps has begun, a failure or a crash leaves
    /// it as it is, the next `apply` goes on with it, and nothing before its end is undone any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_return: Option<String>,
    /// In order.
    pub steps: Vec<Step>,
    /// What must hold when all steps are done; on a trial boot, in the booted trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Condition>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `/etc/machine-id` of the machine it was made for; another machine refuses it.
    pub machine_id: String,
    /// What it is for, in a line.
    pub purpose: String,
    /// In order.
    pub stages: Vec<Stage>,
    /// What a rollback will not bring back, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_restored: Vec<String>,
}

impl Plan {
    /// Returns whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(|stage| stage.steps.is_empty())
    }

    /// Returns every step with its stage, in order.
    pub fn steps(&self) -> impl Iterator<Item = (&Stage, &Step)> {
        self.stages.iter().flat_map(|stage| stage.steps.iter().map(move |step| (stage, step)))
    }
}

#[cfg(test)]
mod tests {
    use super::Slug;

    #[test]
    fn slugs_are_safe_as_file_names() {
        assert_eq!(Slug::of("Write /etc/x: it's").as_str(), "write-etc-x-it-s");
        assert_eq!(Slug::of("//").as_str(), "step");
        assert!("../x".parse::<Slug>().is_err());
        assert!("".parse::<Slug>().is_err());
    }
}
