//! Kernel configurations by role: which symbols a role asks for, each with its reason.
//!
//! Decides: by data, one file for a role, a part of several, or an addition (`data/*.toml`), and by the tree's own
//! symbols under which name each is asked for. Never: resolves a dependency; what became of a wish is told by
//! [`super::explain`].

mod compose;
pub mod debian;
mod read;
pub mod report;
mod shelf;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kconfig::expr::Tristate;
use super::linux::Linux;
use super::role::Role;

pub use compose::{ComposeError, Request, Skipped, Wanted, near_symbol};
pub use shelf::{Listed, Shelf};

/// What a file of symbols is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// A whole configuration: `xenup kernel config NAME`.
    Role,
    /// What several roles include; not asked for by itself.
    Part,
    /// What is added to a role: `--with NAME`.
    Addition,
}

/// What a role's symbols are laid over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// Everything that is not asked for is off (allnoconfig).
    Nothing,
    /// Everything that is not asked for is as the tree proposes (olddefconfig).
    Defaults,
    /// Debian's own configuration.
    Debian,
}

/// A line of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct At {
    /// The file: `xen-guest.toml` for one of xenup's own, a path for another.
    pub file: String,
    /// The line, from 1; 0 where it is no file's.
    pub line: u32,
}

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => out.write_str(&self.file),
            line => write!(out, "{}:{line}", self.file),
        }
    }
}

/// What is asked of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Wish {
    /// y, m (which y satisfies), or n.
    #[schemars(with = "String")]
    Switch(Tristate),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
}

impl fmt::Display for Wish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(value) => out.write_str(value.letter()),
            Self::Number(text) => out.write_str(text),
            Self::Text(text) => write!(out, "\"{text}\""),
        }
    }
}

/// One symbol of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its newest name, without `CONFIG_`.
    pub symbol: String,
    /// The names it had before, newest first.
    pub was: Vec<String>,
    /// What is asked.
    pub wish: Wish,
    /// Why.
    pub why: String,
    /// The first Linux that must have it under its newest name; where it is there before, it is asked for all the same.
    pub since: Option<Linux>,
    /// The last Linux that must have it.
    pub until: Option<Linux>,
    /// The line.
    pub at: At,
}

/// A file of symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name: `domU-minimal`, `nfs`.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Role, part or addition.
    pub kind: PartKind,
    /// What a role is laid over.
    pub base: Base,
    /// Whether a role is for one machine, whose devices are asked for as well.
    pub hardware: bool,
    /// What a kernel of this role has to be able to be.
    pub plays: Vec<Role>,
    /// The parts it includes, with the line.
    pub include: Vec<(String, At)>,
    /// Its symbols.
    pub symbols: Vec<Asked>,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// What.
    pub what: String,
    /// What to change.
    pub hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.at, self.what)
    }
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ProfileError {
    /// All that is wrong, in the order of the lines.
    pub faults: Vec<Fault>,
}

impl Part {
    /// Reads a file of symbols. `file` is how errors name it, `name` what it is called.
    ///
    /// # Errors
    /// All faults, each with its line.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ProfileError> {
        read::read(name, file, text)
    }
}
