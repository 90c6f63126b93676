//! /lib/tls under 32-bit PV Xen: which libraries the loader is to leave out, and how.
//!
//! A 32-bit PV kernel shares its segments with Xen, so that they end below 4 GiB. A libc that reaches thread-local
//! storage at offsets below zero of %gs makes Xen step in at each access. In a Debian of 2006 that libc lay in /lib/tls,
//! beside one in /lib (LinuxThreads) that does not; a variant "nosegneg" does without such offsets.
//!
//! Decides: what keeps such libraries out of the way, the gentlest means first, and the steps from here to there.
//! Never: carries a step out. On such a system runs no Rust program of today: debian/xenup-tls.init decides alike, by
//! the same tests/cases/tls, and acts.
//!
//! Sources: glibc's elf/dl-load.c, elf/dl-cache.c and elf/ldconfig.c; Debian's patch for /etc/ld.so.nohwcap (in its
//! glibc up to 2.31); Linux' vsyscall note "nosegneg".

mod decide;
mod facts;

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::Probe;

pub use decide::decide;
pub use facts::{Facts, Kernel, Xen};

/// The form of [`Report`].
pub const FORMAT: u32 = 1;

/// What keeps the libraries out of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Nothing needs to.
    None,
    /// A libc for this kernel, which the loader prefers once ldconfig knows of it.
    Nosegneg,
    /// The flag file that has the loader leave them out.
    Nohwcap,
    /// Another name: the loader does not find them.
    Move,
    /// Nothing, because the user said so.
    Leave,
    /// Nothing can.
    Helpless,
    /// Nothing is changed before somebody has looked.
    Untouched,
}

impl Means {
    /// The word for it, as the init script has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Nosegneg => "nosegneg",
            Self::Nohwcap => "nohwcap",
            Self::Move => "move",
            Self::Leave => "leave",
            Self::Helpless => "helpless",
            Self::Untouched => "untouched",
        }
    }
}

/// One step; each can be cut off at any moment, and is then seen to be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "do", content = "path")]
pub enum Step {
    /// Remove what a write that was cut off left.
    Sweep(PathBuf),
    /// Make the flag file.
    Set(PathBuf),
    /// Remove a unit that has nothing but folders.
    Empty(PathBuf),
    /// Rename a moved unit once more: it is of another libc than programs use now.
    Supersede(PathBuf),
    /// Rename a unit, so that the loader does not find it.
    Aside(PathBuf),
    /// Give a unit its name back.
    Back(PathBuf),
    /// Write the line that tells ldconfig of nosegneg.
    Write(PathBuf),
    /// Run ldconfig.
    Cache,
    /// Remove the flag file, which is ours.
    Remove(PathBuf),
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, path) = match self {
            Self::Sweep(path) => ("sweep", path),
            Self::Set(path) => ("set", path),
            Self::Empty(path) => ("empty", path),
            Self::Supersede(path) => ("supersede", path),
            Self::Aside(path) => ("aside", path),
            Self::Back(path) => ("back", path),
            Self::Write(path) => ("write", path),
            Self::Cache => return out.write_str("cache"),
            Self::Remove(path) => ("remove", path),
        };
        write!(out, "{verb} {}", path.display())
    }
}

/// What is decided for a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// What keeps the libraries out of the way.
    pub means: Means,
    /// Why, in words.
    pub why: String,
    /// What is to be done, in this order; empty where all is as it should be.
    pub steps: Vec<Step>,
}

/// Under which kernel a decision holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Under {
    /// The one that runs.
    This,
    /// A 32-bit PV kernel.
    Pv32,
    /// Any other.
    Other,
}

/// A decision and its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// The kernel.
    pub under: Under,
    /// What is decided.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What `tls --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// One decision for a system that runs; for a tree one under each kind of kernel.
    pub judged: Vec<Judged>,
}

impl Report {
    /// Decides for the running system, whose `uname -m` says `machine`.
    #[must_use]
    pub fn running(probe: &dyn Probe, machine: &str) -> Self {
        let decision = decide(&Facts::gather(probe), &Kernel::gather(probe, machine));
        Self { format: FORMAT, judged: vec![Judged { under: Under::This, decision }] }
    }

    /// Decides for a system that does not run, under both kinds of kernel.
    #[must_use]
    pub fn of_tree(probe: &dyn Probe) -> Self {
        let facts = Facts::gather(probe);
        // Programs of 64 bits need a kernel of 64 bits.
        let machine = if facts::is_64_bit(probe) { "x86_64" } else { "i686" };
        let judged = |(under, xen)| {
            let kernel = Kernel { machine: machine.to_owned(), xen };
            Judged { under, decision: decide(&facts, &kernel) }
        };
        let kinds = [(Under::Pv32, Xen::Pv), (Under::Other, Xen::None)];
        Self { format: FORMAT, judged: kinds.into_iter().map(judged).collect() }
    }
}
