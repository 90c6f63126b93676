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

    /// Two looks at the machine that should agree do not: the lines that only one of them has.
    pub fn differing(what: impl Into<String>, before: &str, after: &str) -> Self {
        let only = |sign: char, these: &str, others: &str| -> String {
            let others: Vec<&str> = others.lines().collect();
            let lines = these.lines().filter(|line| !others.contains(line));
            lines.map(|line| format!("{sign} {line}\n")).collect()
        };
        let found = only('-', before, after) + &only('+', after, before);
        Self::unexpected(what, "what was there before", found)
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

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        let error = Failure::differing("the links", "lo\neth0 UP\n", "lo\neth0 DOWN\nxenbr0\n");
        let expected =
            "the links: expected what was there before, found:\n- eth0 UP\n+ eth0 DOWN\n+ xenbr0\n";
        assert_eq!(error.to_string(), expected);
    }
}
