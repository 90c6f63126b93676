//! Why a file of a guest could not be read.

use crate::read_at::ReadError;

/// A file or file system could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// There is nothing of that name.
    #[error("{path}: not there")]
    NotFound {
        /// The path within the guest.
        path: String,
    },
    /// It is not what was asked for.
    #[error("{path}: not a {wanted}")]
    Not {
        /// The path within the guest.
        path: String,
        /// "regular file", "directory" or "link".
        wanted: &'static str,
    },
    /// It is longer than the reader takes.
    #[error("{path}: {size} bytes, more than {limit}")]
    TooLarge {
        /// The path within the guest.
        path: String,
        /// Its size.
        size: u64,
        /// What is taken.
        limit: u64,
    },
    /// Links lead round in circles, or too far.
    #[error("{path}: more than {limit} links or names on the way")]
    TooFar {
        /// The path within the guest.
        path: String,
        /// How many are followed.
        limit: usize,
    },
    /// The file system, or the file, has a feature that is not read.
    #[error("not read: {what}")]
    Unsupported {
        /// The feature, by name.
        what: String,
    },
    /// What is on the disk makes no sense.
    #[error("damaged: {what}")]
    Damaged {
        /// What is wrong, and where.
        what: String,
    },
    /// The disk cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl FsError {
    /// Whether there is merely nothing of that name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(super) fn not_found(path: &[u8]) -> Self {
        Self::NotFound { path: show(path) }
    }
}

/// A path of a guest as it is shown to people: no control characters.
#[must_use]
pub fn show(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
