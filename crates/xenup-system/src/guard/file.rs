//! The guard's own files as data. Never writes one: the engine's one way of writing does.

use std::path::{Path, PathBuf};

/// What stands at a path of the guard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardFileKind {
    /// A directory that the files after it need; often there already.
    Dir,
    /// A file.
    Bytes {
        /// Its contents.
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// What it points to.
        target: PathBuf,
    },
}

/// One path that the guard writes and takes away again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardFile {
    /// The path.
    pub path: PathBuf,
    /// What stands there.
    pub kind: GuardFileKind,
}

impl GuardFile {
    /// Returns a directory.
    #[must_use]
    pub fn dir(path: &Path) -> Self {
        Self { path: path.to_owned(), kind: GuardFileKind::Dir }
    }

    /// Returns a file of this text.
    #[must_use]
    pub fn text(path: &Path, mode: u32, text: String) -> Self {
        Self::bytes(path, mode, text.into_bytes())
    }

    /// Returns a file of these bytes.
    #[must_use]
    pub fn bytes(path: &Path, mode: u32, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), kind: GuardFileKind::Bytes { bytes, mode } }
    }

    pub(super) fn link(path: &Path, target: &Path) -> Self {
        Self { path: path.to_owned(), kind: GuardFileKind::Link { target: target.to_owned() } }
    }
}
