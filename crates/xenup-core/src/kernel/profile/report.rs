//! What `kernel config` and `kernel roles` say, as data. Decides the form of the JSON.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Listed, Skipped, Wanted};
use crate::kernel::explain::Lost;

/// The format number of both.
pub const FORMAT: u32 = 1;

/// A configuration that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// [`FORMAT`].
    pub format: u32,
    /// The role.
    pub role: String,
    /// The additions.
    pub with: Vec<String>,
    /// The tree's release: `6.1`.
    pub linux: String,
    /// The configuration it is laid over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<PathBuf>,
    /// What was asked, by symbol.
    pub wanted: Vec<Wanted>,
    /// What this Linux does not have, and need not.
    pub skipped: Vec<Skipped>,
    /// What was asked and is not in the result.
    pub lost: Vec<Lost>,
    /// The same, for what the caller does without.
    pub waived: Vec<Lost>,
    /// The same, for drivers of devices that no disk and no network card hangs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_driver: Vec<Lost>,
    /// Devices for which no driver is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_devices: Vec<String>,
    /// The .config.
    pub config: String,
}

/// Roles and additions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Roles {
    /// [`FORMAT`].
    pub format: u32,
    /// All of them, by name.
    pub listed: Vec<Listed>,
}
