//! What stands where an action reaches: taken before a step, taken again after it, compared by an undo.
//!
//! Decides: which part of the machine belongs to each action, and when two pictures of it are the same.
//! Never: changes anything, or stores the bytes it met (the store does, under their digest).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xenup_machine::file::{Entry, Kind};
use xenup_machine::network::Network;
use xenup_machine::{MachineError, Probe};

use crate::action::{Action, PackageState};
use crate::digest::Digest;
use crate::generated::{self, Generated};
use crate::{grubenv, links, packages, units};

/// The largest file whose bytes are kept for an undo; configuration files are far below.
pub const LARGEST_FILE: u64 = 64 << 20;

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Kind, owner, mode, extended attributes, time.
    pub entry: Entry,
    /// Digest of its bytes, where it is a regular file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Standing {
    /// Returns what a plan's `seen` says about it: the digest of a file's bytes, of a link's target, and of
    /// nothing for a directory.
    #[must_use]
    pub fn seen(&self) -> Digest {
        match (&self.digest, &self.entry.kind) {
            (Some(digest), _) => digest.clone(),
            (None, Kind::Symlink { target }) => Digest::of(target.as_os_str().as_encoded_bytes()),
            (None, _) => Digest::of(b""),
        }
    }

    /// Returns whether kind and content are the same, whatever the attributes.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.digest == other.digest && same_kind(&self.entry.kind, &other.entry.kind)
    }

    /// Returns whether content, owner, mode and extended attributes are the same, whatever the time.
    #[must_use]
    pub fn same_but_for_time(&self, other: &Self) -> bool {
        let (one, two) = (&self.entry.attributes, &other.entry.attributes);
        let linked = matches!(self.entry.kind, Kind::Symlink { .. });
        self.same_content(other)
            && (linked || one.mode == two.mode)
            && (one.uid, one.gid) == (two.uid, two.gid)
            && one.xattrs == two.xattrs
    }

    /// Returns whether an undo is complete: as [`Self::same_but_for_time`], and a file's time as well.
    /// The times of directories and links are left out: every name made beside them moves them.
    #[must_use]
    pub fn is_restored_to(&self, before: &Self) -> bool {
        let timed = matches!(before.entry.kind, Kind::File { .. });
        self.same_but_for_time(before)
            && (!timed || self.entry.attributes.mtime == before.entry.attributes.mtime)
    }
}

fn same_kind(one: &Kind, two: &Kind) -> bool {
    match (one, two) {
        (Kind::Dir, Kind::Dir) | (Kind::Special, Kind::Special) => true,
        (Kind::File { size: one }, Kind::File { size: two }) => one == two,
        (Kind::Symlink { target: one }, Kind::Symlink { target: two }) => one == two,
        _ => false,
    }
}

/// What stood at a path, and which of its parents did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSnapshot {
    /// The path.
    pub path: PathBuf,
    /// What stood there; `None` where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<Standing>,
    /// Directories above it that were not there, outermost first: a step that needs them makes them,
    /// its undo removes them where they are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_parents: Vec<PathBuf>,
}

/// A picture of what one action reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub enum Snapshot {
    /// For [`Action::File`].
    File(FileSnapshot),
    /// For [`Action::Packages`] and [`Action::Upgrade`]: one entry for each package the action lists, in its order.
    Packages {
        /// Their states.
        packages: Vec<PackageState>,
    },
    /// For [`Action::Unit`].
    Unit {
        /// The word of `systemctl is-enabled`; empty where it has none.
        enabled: String,
        /// The word of `systemctl is-active`.
        active: String,
    },
    /// For [`Action::Links`]: the part of the network that the touched links have.
    Links {
        /// Their links, addresses, routes and rules.
        network: Network,
        /// Those of them on which IPv6 is switched off, which nothing in `network` tells.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ipv6_off: Vec<String>,
    },
    /// For [`Action::BootVariable`].
    BootVariable {
        /// Its value; `None` where it is not set.
        value: Option<String>,
        /// The whole environment block, for the case that a crash tears it.
        block: FileSnapshot,
    },
    /// For [`Action::Run`].
    Run {
        /// The files it generates.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        generates: Vec<Generated>,
    },
}

/// A snapshot with the bytes it met.
#[derive(Debug)]
pub struct Captured {
    /// The picture.
    pub snapshot: Snapshot,
    /// Bytes of the files in it that an undo may have to write again.
    pub contents: Vec<Vec<u8>>,
}

/// Takes a picture of what `action` reaches.
///
/// # Errors
/// What the machine says about a file, program or link that cannot be read.
pub fn capture(probe: &dyn Probe, action: &Action) -> Result<Captured, MachineError> {
    let bare = |snapshot| Captured { snapshot, contents: Vec::new() };
    match action {
        Action::File { path, .. } => {
            let (file, contents) = capture_file(probe, path)?;
            Ok(Captured { snapshot: Snapshot::File(file), contents })
        }
        Action::Packages { changes } => {
            let names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
            Ok(bare(Snapshot::Packages { packages: packages::states(probe, &names)? }))
        }
        Action::Upgrade { changes, .. } => {
            let names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
            Ok(bare(Snapshot::Packages { packages: packages::states(probe, &names)? }))
        }
        Action::Unit { unit, .. } => Ok(bare(Snapshot::Unit {
            enabled: units::is_enabled(probe, unit)?,
            active: units::is_active(probe, unit)?,
        })),
        Action::Links { touches, .. } => {
            let network = links::part(&probe.network()?, touches);
            let ipv6_off = ipv6_off(probe, &network)?;
            Ok(bare(Snapshot::Links { network, ipv6_off }))
        }
        Action::BootVariable { name, .. } => {
            let (block, contents) = capture_file(probe, Path::new(grubenv::PATH))?;
            let value = contents.first().and_then(|bytes| grubenv::value(bytes, name));
            Ok(Captured { snapshot: Snapshot::BootVariable { value, block }, contents })
        }
        Action::Run { generates, put_back, backward, .. } => {
            let keep = *put_back && backward.is_some();
            let (generates, contents) = generated::capture(probe, generates, keep)?;
            Ok(Captured { snapshot: Snapshot::Run { generates }, contents })
        }
    }
}

/// Returns the links on which IPv6 is switched off (`disable_ipv6`, ip-sysctl of the kernel).
///
/// # Errors
/// The setting is there and cannot be read.
pub fn ipv6_off(probe: &dyn Probe, network: &Network) -> Result<Vec<String>, MachineError> {
    let mut off = Vec::new();
    for link in &network.links {
        let path = Path::new("/proc/sys/net/ipv6/conf").join(&link.name).join("disable_ipv6");
        match probe.read(&path, 64) {
            Ok(bytes) if bytes.trim_ascii() == b"1" => off.push(link.name.clone()),
            Ok(_) => {}
            // A kernel without IPv6, or a link that has just gone.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(off)
}

/// Takes a picture of one path; its bytes come along where it is a regular file.
///
/// # Errors
/// A file that cannot be read or is larger than [`LARGEST_FILE`].
pub fn capture_file(probe: &dyn Probe, path: &Path) -> Result<(FileSnapshot, Vec<Vec<u8>>), MachineError> {
    let missing_parents = missing_parents(probe, path)?;
    let Some(entry) = probe.entry(path)? else {
        return Ok((FileSnapshot { path: path.to_owned(), there: None, missing_parents }, Vec::new()));
    };
    let contents = match entry.kind {
        Kind::File { .. } => vec![probe.read(path, LARGEST_FILE)?],
        _ => Vec::new(),
    };
    let digest = contents.first().map(|bytes| Digest::of(bytes));
    let there = Some(Standing { entry, digest });
    Ok((FileSnapshot { path: path.to_owned(), there, missing_parents }, contents))
}

/// Returns what stands at a path, without keeping its bytes.
///
/// # Errors
/// As [`capture_file`].
pub fn standing(probe: &dyn Probe, path: &Path) -> Result<Option<Standing>, MachineError> {
    capture_file(probe, path).map(|(file, _)| file.there)
}

fn missing_parents(probe: &dyn Probe, path: &Path) -> Result<Vec<PathBuf>, MachineError> {
    let mut missing = Vec::new();
    for parent in path.ancestors().skip(1).filter(|parent| parent.parent().is_some()) {
        if probe.entry(parent)?.is_some() {
            break;
        }
        missing.push(parent.to_owned());
    }
    missing.reverse();
    Ok(missing)
}
