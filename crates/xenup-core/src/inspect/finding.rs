//! Something in the way, with its fix. Decides the form of a finding; never looks for one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::At;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// The change is possible; this will bite later.
    Warning,
    /// The change is refused until this is dealt with.
    Blocks,
}

/// Something in the way of a Xen host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable name, such as `secure-boot-on`; documented in the handbook under it.
    pub id: String,
    /// How much it weighs.
    pub weight: Weight,
    /// What is the matter, as one sentence without a full stop.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do: one command to run or one decision to take.
    pub fix: String,
    /// Where it was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<At>,
}

impl Finding {
    /// Returns a finding that refuses the change, seen nowhere in particular.
    #[must_use]
    pub fn blocking(
        id: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            weight: Weight::Blocks,
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
            at: Vec::new(),
        }
    }
}
