//! What can go wrong between xenup and a machine. Never decides what to do about it.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a primitive failed, as far as a caller may want to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No such file, directory, program or link.
    NotFound,
    /// Permission denied.
    Denied,
    /// The name is taken.
    Exists,
    /// The directory is not empty.
    NotEmpty,
    /// No space left on the device, or quota exceeded.
    NoSpace,
    /// The file system is read-only.
    ReadOnly,
    /// Longer than the caller allows.
    TooLarge,
    /// Did not end in time.
    TimedOut,
    /// The machine is a mere tree: nothing runs on it.
    NotRunning,
    /// The kernel refused a network operation.
    Network,
    /// Input or output error of the device.
    Device,
    /// Anything else; the text says what.
    Other,
}

/// A primitive that failed: what was tried, on what, and the system's own words.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{doing} {subject}: {words}")]
pub struct MachineError {
    /// What was being done, as a verb: `read`, `rename`, `run`.
    pub doing: &'static str,
    /// The path, command or link it was done to.
    pub subject: String,
    /// Why, for callers.
    pub reason: Reason,
    /// Why, in the system's words.
    pub words: String,
}

impl MachineError {
    /// Returns an error about `subject`.
    pub fn new(
        doing: &'static str,
        subject: impl Into<String>,
        reason: Reason,
        words: impl Into<String>,
    ) -> Self {
        Self { doing, subject: subject.into(), reason, words: words.into() }
    }

    /// Returns an error about a path.
    pub fn at(doing: &'static str, path: &Path, reason: Reason, words: impl Into<String>) -> Self {
        Self::new(doing, path.display().to_string(), reason, words)
    }

    /// Returns the error of an operating-system call on `path`, with its reason sorted.
    pub fn from_io(doing: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::at(doing, path, Reason::of_io(error), error.to_string())
    }

    /// Returns the path the error is about, where its subject is one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.subject.starts_with('/').then(|| PathBuf::from(&self.subject))
    }

    /// Returns whether the subject was simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFound
    }
}

impl Reason {
    /// Sorts an operating-system error.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NotFound,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::AlreadyExists => Self::Exists,
            ErrorKind::DirectoryNotEmpty => Self::NotEmpty,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::FileTooLarge => Self::TooLarge,
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other,
        }
    }
}
