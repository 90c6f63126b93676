//! A kernel's file as the reader of kernels wants it. Decides nothing.

use std::io;

use xenup_disk::{ReadAt, ReadError};
use xenup_system::files::{DiskFile, FileError};

/// An open file, with its size when it was opened.
pub struct KernelFile {
    file: DiskFile,
    size: u64,
}

impl KernelFile {
    /// Returns the file as bytes by offset.
    ///
    /// # Errors
    /// Its size cannot be read: it is a pipe.
    pub fn of(file: DiskFile) -> Result<Self, FileError> {
        let size = file.size()?;
        Ok(Self { file, size })
    }
}

impl ReadAt for KernelFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len() as u64;
        match offset.checked_add(length) {
            Some(end) if end <= self.size => {}
            _ => return Err(ReadError::PastEnd { offset, length, size: self.size }),
        }
        let failed = |error: FileError| ReadError::Io { offset, length, source: io::Error::other(error) };
        self.file.read_at(offset, buffer).map_err(failed)
    }
}
