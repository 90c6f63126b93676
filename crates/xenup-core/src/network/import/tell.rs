//! The findings of an import, collected. Decides their form; never looks for one.

use std::path::Path;

use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub findings: Vec<Finding>,
}

impl Told {
    /// Something that has to be done by hand.
    pub fn warn(
        &mut self,
        id: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
        at: impl IntoIterator<Item = At>,
    ) {
        self.add(Weight::Warning, Finding::blocking(id, what, why, fix), at);
    }

    /// Something to know.
    pub fn note(
        &mut self,
        id: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
        at: impl IntoIterator<Item = At>,
    ) {
        self.add(Weight::Note, Finding::blocking(id, what, why, fix), at);
    }

    /// Something without which there is no host.toml.
    pub fn block(&mut self, id: &str, what: &str, why: &str, fix: &str) {
        self.add(Weight::Blocks, Finding::blocking(id, what, why, fix), []);
    }

    fn add(&mut self, weight: Weight, finding: Finding, at: impl IntoIterator<Item = At>) {
        self.findings.push(Finding { weight, at: at.into_iter().collect(), ..finding });
    }
}

/// A line of a file.
pub(super) fn line(path: impl AsRef<Path>, line: u32) -> At {
    At { path: path.as_ref().to_owned(), line }
}
