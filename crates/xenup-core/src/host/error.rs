//! What is wrong with a host.toml. Decides the form of a fault; never finds one.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// A host.toml that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct HostError {
    /// The file.
    pub path: PathBuf,
    /// In the order of the file; never empty.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// What is wrong, as one sentence without a full stop.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

impl fmt::Display for HostError {
    /// Writes every fault as `path:line:column: what`, its hint on a line below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: {}", self.path.display(), fault.line, fault.column, fault.what)?;
            write!(f, "\n  hint: {}", fault.hint)?;
        }
        Ok(())
    }
}
