//! What an audit comes to, as data. Decides what a verdict follows from; never looks for a reason.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guest::GuestType;
use crate::inspect::{Finding, Weight};

use super::fix::Change;

/// The format number of [`Audit`] as JSON.
pub const FORMAT: u32 = 1;

/// What an audit comes to; what `audit --json` prints. Text in it may come from a guest: it has no control characters,
/// and means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// [`FORMAT`].
    pub format: u32,
    /// The hypervisor now: the one that runs, or the newest that is installed; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The hypervisor that guests were judged by.
    pub to: To,
    /// How many guests have which verdict.
    pub counted: Guests,
    /// The guests, by path; those that run and have no file come last.
    pub guests: Vec<GuestReport>,
    /// Saved guests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// What concerns the host as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<Finding>,
    /// What could not be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct To {
    /// Its release: `4.20`, or `4.20-amd64` where it is installed.
    pub xen: String,
    /// The suite of Debian it comes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Where what is known of it comes from.
    pub source: String,
}

/// How many guests have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guests {
    /// All.
    pub all: usize,
    /// [`Verdict::Starts`]
    pub start: usize,
    /// [`Verdict::StartsAfterChange`]
    pub start_after_change: usize,
    /// [`Verdict::WillNotStart`]
    pub will_not_start: usize,
    /// [`Verdict::CannotBeTold`]
    pub cannot_be_told: usize,
}

impl Guests {
    pub(super) fn count(guests: &[GuestReport]) -> Self {
        let of = |verdict| guests.iter().filter(|guest| guest.verdict == verdict).count();
        Self {
            all: guests.len(),
            start: of(Verdict::Starts),
            start_after_change: of(Verdict::StartsAfterChange),
            will_not_start: of(Verdict::WillNotStart),
            cannot_be_told: of(Verdict::CannotBeTold),
        }
    }
}

/// Whether a guest starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing known stands in the way.
    Starts,
    /// Not as it is; with the changes that are named, nothing known stands in the way.
    StartsAfterChange,
    /// Not as it is, and no change that is known is all that it takes.
    WillNotStart,
    /// Something would have to be known.
    CannotBeTold,
}

impl Verdict {
    /// Returns it in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Starts => "starts",
            Self::StartsAfterChange => "starts after a change",
            Self::WillNotStart => "will not start",
            Self::CannotBeTold => "cannot be told",
        }
    }
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestReport {
    /// Its name; the file's where it has none.
    pub name: String,
    /// Its file; absent where it runs without one.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "crate::shown_path::perhaps")]
    pub path: Option<PathBuf>,
    /// Its type, as xl takes the file.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<GuestType>,
    /// Its memory in MiB, where the file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The names in /etc/xen/auto by which it starts with the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "crate::shown_path::many")]
    pub auto: Vec<PathBuf>,
    /// Whether it runs; absent where nobody could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
    /// The verdict for the hypervisor that is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Verdict>,
    /// The verdict for the hypervisor that it is to run on.
    pub verdict: Verdict,
    /// What it boots, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boots: Option<String>,
    /// Why, what stops it first.
    pub reasons: Vec<Reason>,
    /// The change of its file that is sure: judged again with it, the guest starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fixed>,
}

/// What a reason comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The guest does not start with it.
    Stops,
    /// Whether the guest starts depends on something that is not known.
    NotKnown,
    /// The guest starts; this is to be known.
    ToKnow,
}

/// Why a verdict is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// A stable name.
    pub id: String,
    /// What it comes to.
    pub effect: Effect,
    /// The reason, as one sentence without a full stop.
    pub what: String,
    /// What shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// What to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Whether that change is all that it takes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settles: bool,
    /// The change as edits of the file, where it is one.
    #[serde(skip)]
    pub(super) edits: Vec<Change>,
    /// Whether nothing but the edits has to hold for it.
    #[serde(skip)]
    pub(super) sure: bool,
}

/// What shows a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// In words: a note, an option of a build, a fact with its source; empty where the place says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// The file; on a guest's own disk where the words say so.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "crate::shown_path::perhaps")]
    pub path: Option<PathBuf>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The offset in bytes; in a kernel, that in its unpacked ELF file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Evidence {
    /// Words alone.
    #[must_use]
    pub fn words(what: impl Into<String>) -> Self {
        Self { what: what.into(), path: None, line: None, offset: None }
    }

    /// A line of a file; 0 stands for the whole file.
    #[must_use]
    pub fn line(path: &Path, line: u32) -> Self {
        let line = (line > 0).then_some(line);
        Self { what: String::new(), path: Some(path.to_owned()), line, offset: None }
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut place = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        if let Some(line) = self.line {
            place.push_str(&format!(":{line}"));
        }
        if let Some(at) = self.offset {
            place.push_str(&format!(", at {at:#x}"));
        }
        match (place.is_empty(), self.what.is_empty()) {
            (true, _) => write!(out, "{}", self.what),
            (false, true) => write!(out, "{place}"),
            (false, false) => write!(out, "{place}: {}", self.what),
        }
    }
}

impl Reason {
    /// A reason without a change.
    pub(super) fn new(id: &str, effect: Effect, what: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            effect,
            what: what.into(),
            evidence: Vec::new(),
            change: None,
            settles: false,
            edits: Vec::new(),
            sure: false,
        }
    }

    pub(super) fn seen(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// What would help, and is not all that it takes.
    pub(super) fn advice(mut self, change: impl Into<String>) -> Self {
        self.change = Some(change.into());
        self
    }

    /// What settles it.
    pub(super) fn settled_by(mut self, change: impl Into<String>) -> Self {
        self.settles = true;
        self.advice(change)
    }

    /// The change as edits; `sure` where nothing else has to hold.
    pub(super) fn edits(mut self, edits: Vec<Change>, sure: bool) -> Self {
        self.edits = edits;
        self.sure = sure;
        self
    }

    /// A reason that stands in the way only with the changes of others.
    pub(super) fn once_changed(mut self) -> Self {
        self.what = format!("with that change, {}", self.what);
        self
    }

    /// What `guest check` found, as a reason.
    pub(super) fn of_finding(finding: &Finding) -> Self {
        let effect = if finding.weight == Weight::Blocks { Effect::Stops } else { Effect::ToKnow };
        let mut reason = Self::new(&finding.id, effect, finding.what.clone()).advice(finding.fix.clone());
        reason.evidence = super::places(finding);
        reason.evidence.push(Evidence::words(finding.why.clone()));
        reason
    }
}

/// Returns what reasons come to. What stops a guest and cannot be settled by the changes that are named outweighs what
/// is not known, and that outweighs a change: nobody may take *starts after a change* for less than a promise.
pub(super) fn verdict(reasons: &[Reason]) -> Verdict {
    let stops = || reasons.iter().filter(|reason| reason.effect == Effect::Stops);
    let unknown = reasons.iter().any(|reason| reason.effect == Effect::NotKnown);
    match (stops().next().is_some(), unknown) {
        (false, false) => Verdict::Starts,
        (false, true) => Verdict::CannotBeTold,
        (true, false) if stops().all(|reason| reason.settles) => Verdict::StartsAfterChange,
        (true, _) => Verdict::WillNotStart,
    }
}

/// A guest's file with the changes that are sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fixed {
    /// The changes in words.
    pub changes: Vec<String>,
    /// The difference, as a unified diff.
    pub diff: String,
    /// The text before.
    #[serde(skip)]
    pub before: String,
    /// The text after.
    #[serde(skip)]
    pub after: String,
}

/// A saved guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// The file.
    #[serde(serialize_with = "crate::shown_path::one")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The Xen that wrote it, where the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xen: Option<String>,
    /// Whether the new Xen restores it.
    pub restored: Restored,
    /// Why.
    pub why: String,
    /// What shows it.
    pub evidence: Evidence,
}

/// Whether a save is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restored {
    /// Xen's makers promise it.
    Promised,
    /// Nobody promises it.
    NotPromised,
    /// It is not.
    No,
    /// The file does not say what would have to be known.
    NotKnown,
}
