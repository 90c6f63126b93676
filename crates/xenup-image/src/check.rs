//! Reads the finished disk back and compares it with what was to be built. Never mounts it.

/// How the disk differs from what was to be built.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A value is another one than was written.
    #[error("{what}: expected {expected}, found {found}")]
    Differs {
        /// What was looked at.
        what: &'static str,
        /// What was to be built.
        expected: String,
        /// What the disk says.
        found: String,
    },
}
