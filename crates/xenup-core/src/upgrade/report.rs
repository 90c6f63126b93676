//! What a check comes to, as data. Decides what ready means; never looks for a reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::inspect::{Finding, Weight};

use super::old::Old;
use super::simulation::{Counts, Sizes};
use super::sources::Entry;

/// The format number of [`Check`] as JSON.
pub const FORMAT: u32 = 1;

/// What stands between a machine and another release; what `upgrade check --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// [`FORMAT`].
    pub format: u32,
    /// The release that is there; absent where the machine does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseName>,
    /// The release that is asked about.
    pub to: ReleaseName,
    /// Whether nothing has to be fixed first: `fix` is empty.
    pub ready: bool,
    /// What is to be fixed first, in this order.
    pub fix: Vec<Finding>,
    /// What is worth knowing.
    pub know: Vec<Finding>,
    /// apt's sources, and what becomes of each.
    pub sources: Vec<Entry>,
    /// What apt would do; absent where it was not asked, or could not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apt: Option<AptSummary>,
    /// Xen's packages and kernels.
    pub parts: Vec<Part>,
    /// Room on each file system that the upgrade writes to.
    pub room: Vec<Room>,
    /// What becomes of each guest that runs while dom0 is upgraded and started anew.
    pub stops: Vec<Stop>,
    /// Why the new Xen cannot be tried once; empty where it can, absent where nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_trial: Option<Vec<String>>,
    /// What is carried over from a host that is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Old>,
    /// Each guest on the new Xen.
    pub audit: Audit,
    /// What could not be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A release of Debian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseName {
    /// `trixie`
    pub name: String,
    /// `13`
    pub number: String,
}

/// What apt would do, in numbers, and with the names that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AptSummary {
    /// Packages, counted.
    pub counts: Counts,
    /// Bytes; absent where apt did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
    /// What is taken away and has no successor of the same name with another ending.
    pub removed: Vec<String>,
    /// What stays at its version.
    pub kept_back: Vec<String>,
    /// What is on hold.
    pub held: Vec<String>,
    /// Installed packages that no source of Debian has, or that come from elsewhere; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Vec<String>>,
}

/// What kind of part a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// xen-utils-VERSION
    Toolstack,
    /// xen-hypervisor-VERSION-amd64
    Hypervisor,
    /// linux-image-VERSION
    Kernel,
}

/// What happens to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fortune {
    /// It is new.
    Comes,
    /// It gets a newer version.
    Upgraded,
    /// It stays, and autoremove would take it.
    LeftOver,
    /// It stays.
    Stays,
    /// It is taken away.
    Goes,
}

/// A toolstack, a hypervisor or a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its package.
    pub package: String,
    /// The version that is there afterwards, or was.
    pub version: String,
    /// What happens to it.
    pub fortune: Fortune,
    /// Whether it runs now.
    pub runs: bool,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Room {
    /// What of it is written to.
    pub paths: Vec<String>,
    /// What the upgrade takes.
    pub needed: u64,
    /// What is free.
    pub free: u64,
}

/// What becomes of a running guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stop {
    /// Its name.
    pub guest: String,
    /// Its memory in MiB, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Whether a save of it is promised to be restored by the new Xen; otherwise it has to be shut down.
    pub can_be_saved: bool,
}

impl Check {
    /// Takes the findings in: those that block, in the order of the work; then the others, the heaviest first.
    pub(super) fn found(&mut self, findings: Vec<Finding>) {
        let (fix, mut know): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| finding.weight == Weight::Blocks);
        know.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        self.ready = fix.is_empty();
        self.fix = fix;
        self.know = know;
    }
}
