//! What a file, directory or link is, beside its bytes. Never reads one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A moment as a file system keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// Owner, mode, extended attributes and modification time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits, `0o7777` at most. Ignored for symbolic links.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time; `None` leaves it to the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
    /// Extended attributes by full name (`user.x`, `security.selinux`, POSIX ACLs included).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Attributes {
    /// Returns the attributes of a file that root owns.
    #[must_use]
    pub fn root(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: None, xattrs: BTreeMap::new() }
    }
}

/// What kind of thing stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file of so many bytes.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// What it points to, as written.
        target: PathBuf,
    },
    /// A device, socket or pipe.
    Special,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its kind.
    #[serde(flatten)]
    pub kind: Kind,
    /// Owner, mode, attributes, time (always present on a real file system).
    pub attributes: Attributes,
    /// The device number of the file system it lies on.
    pub device: u64,
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes a privileged writer can still use.
    pub free: u64,
    /// Size in bytes.
    pub total: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}
