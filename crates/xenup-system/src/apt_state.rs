//! A state of apt's own in a temporary folder, so that apt can be asked about other sources than the machine's.
//!
//! Decides: who may read it. The user that apt fetches as has to reach the lists, and nobody else may read addresses of
//! sources, which can hold passwords. Never: decides what apt is told there, or runs it.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError, WorkDir};

/// The folder; it goes when dropped.
#[derive(Debug)]
pub struct AptState(WorkDir);

impl AptState {
    /// Makes a fresh folder below `parent`, with `folders` in it.
    ///
    /// # Errors
    /// `parent` cannot be written to.
    pub fn new_in(parent: &Path, folders: &[&str]) -> Result<Self, FileError> {
        let state = Self(WorkDir::new_in(parent, "xenup-apt-")?);
        files::set_mode(state.path(), 0o711)?;
        for folder in folders {
            let path = state.0.join(folder);
            files::create_dir_all(&path)?;
            files::set_mode(&path, 0o755)?;
        }
        Ok(state)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes its files, each for this user alone.
    ///
    /// # Errors
    /// No room.
    pub fn write(&self, files: &[(PathBuf, String)]) -> Result<(), FileError> {
        for (path, text) in files {
            files::write(path, b"")?;
            files::set_mode(path, 0o600)?;
            files::write(path, text.as_bytes())?;
        }
        Ok(())
    }
}
