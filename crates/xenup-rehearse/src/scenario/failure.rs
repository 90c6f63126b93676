//! Why a step of a rehearsal failed: the harness could not do it, or the machine was not as promised.

use xenup_image::ImageError;
use xenup_system::files::FileError;

use super::tree::ListingError;
use crate::console::ConsoleError;
use crate::error::LabError;

/// A step that did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The harness could not do its part.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The plain image could not be built.
    #[error("the plain image cannot be built")]
    Image(#[from] ImageError),
    /// A disk's listing was of another form.
    #[error("the machine's disk cannot be listed")]
    Listing(#[from] ListingError),
    /// The machine is not as it should be.
    #[error("{what}: expected {expected}, found:\n{found}")]
    Unexpected {
        /// What was looked at: "`xenup plan --check`".
        what: String,
        /// What it should be.
        expected: String,
        /// What it was.
        found: String,
    },
}

impl Failure {
    /// The machine is not as it should be.
    pub fn unexpected(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Unexpected { what: what.into(), expected: expected.into(), found: found.into() }
    }

    /// One runnable command or one decision that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lab(error) => error.hint(),
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}

impl From<ConsoleError> for Failure {
    fn from(error: ConsoleError) -> Self {
        Self::Lab(error.into())
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Lab(error.into())
    }
}
