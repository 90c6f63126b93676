//! A file that grows by what is handed over, whole after each call, so that a killed run leaves all of it.
//!
//! It never syncs: what it holds is for reading, not for recovery.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::files::FileError;

/// A file open for appending.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
}

impl LogFile {
    /// Opens `path` for appending; it is created where it is missing.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        match OpenOptions::new().append(true).create(true).open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned() }),
            Err(source) => Err(FileError { operation: "open", path: path.to_owned(), source }),
        }
    }

    /// A second handle on the same open file.
    pub fn try_clone(&self) -> Result<Self, FileError> {
        match self.file.try_clone() {
            Ok(file) => Ok(Self { file, path: self.path.clone() }),
            Err(source) => Err(FileError { operation: "open", path: self.path.clone(), source }),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes in one write.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|source| FileError {
            operation: "append to",
            path: self.path.clone(),
            source,
        })
    }
}
