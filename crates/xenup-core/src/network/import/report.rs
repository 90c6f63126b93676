//! What an import comes to, as data. Decides its form; never reads a machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use crate::inspect::Finding;
use crate::inspect::facts::At;

/// The form of [`Import`].
pub const FORMAT: u32 = 1;

/// An old host's network; what `network import --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Import {
    /// [`FORMAT`].
    pub format: u32,
    /// Which network-bridge the host had; `None` where none was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Ruled>,
    /// The bridges, that of guests which name none first.
    pub bridges: Vec<OldBridge>,
    /// What each network interface of each guest asks for, and gets.
    pub guests: Vec<GuestVif>,
    /// What host.toml cannot say, with how it is done by hand, and what somebody should know.
    pub findings: Vec<Finding>,
    /// The whole host.toml.
    pub host_toml: String,
}

/// A rule, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ruled {
    /// The rule.
    pub rule: Rule,
    /// Why it is this one.
    pub why: String,
    /// Where it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    /// The value.
    pub value: String,
    /// What says so.
    pub why: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

impl Said {
    /// Returns a value that a line says.
    pub(super) fn at(value: &str, why: impl Into<String>, at: At) -> Self {
        Self { value: value.to_owned(), why: why.into(), at: Some(at) }
    }

    /// Returns a value that no line says.
    pub(super) fn known(value: &str, why: impl Into<String>) -> Self {
        Self { value: value.to_owned(), why: why.into(), at: None }
    }
}

/// A bridge of the old host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OldBridge {
    /// The name it had.
    pub was: Said,
    /// The name host.toml gives it.
    pub name: Said,
    /// The NIC, bond or VLAN in it.
    pub port: Said,
    /// The NIC's own address, where a file or the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Said>,
    /// `keep` or `none`.
    pub address: Said,
}

/// A network interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestVif {
    /// The guest.
    pub guest: String,
    /// The line of its file.
    pub at: At,
    /// The bridge it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// The bridge of host.toml that stands for it; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gets: Option<String>,
}
