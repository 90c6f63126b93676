//! Why a tree's Kconfig files could not be read. Decides the words.

use xenup_machine::MachineError;

use super::tree::Place;

/// A tree whose Kconfig files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KconfigError {
    /// A file that is not there, or cannot be read.
    #[error("{file} cannot be read{}", named_by(.by.as_ref()))]
    Read {
        /// The file, below the tree.
        file: String,
        /// The line that names it.
        by: Option<Place>,
        /// The machine's answer.
        #[source]
        source: MachineError,
    },
    /// A line that is no Kconfig.
    #[error("{at}: {what}")]
    Line {
        /// Where.
        at: Place,
        /// What is wrong.
        what: String,
    },
    /// More than any kernel has.
    #[error("{at}: {what}, which no kernel has")]
    TooMuch {
        /// Where.
        at: Place,
        /// What there is too much of.
        what: &'static str,
    },
}

fn named_by(by: Option<&Place>) -> String {
    by.map(|at| format!(" (named at {at})")).unwrap_or_default()
}
