//! A whole disk, held for oneself: nothing else of the machine can mount it or make a device of it meanwhile.
//!
//! It decides how a write gets onto the disk itself and a reading comes from there. It never decides what is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, OFlags, SeekFrom};

use crate::files::{FileError, on};

/// One write of zeros where the disk cannot be told to make them itself.
const ZEROS: usize = 1 << 20;

/// A disk that was opened for writing.
#[derive(Debug)]
pub struct BlockDevice {
    file: File,
    path: PathBuf,
    size: u64,
}

impl BlockDevice {
    /// Opens a disk for oneself (open(2), O_EXCL): one of which anything is mounted, swapped to or made a device of is an
    /// error of kind `ResourceBusy`.
    ///
    /// # Errors
    /// It cannot be opened, or is in use.
    pub fn hold(path: &Path) -> Result<Self, FileError> {
        let flags = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .map_err(on("take", path))?;
        let size = rustix::fs::seek(&file, SeekFrom::End(0))
            .map_err(io::Error::from)
            .map_err(on("read the size of", path))?;
        Ok(Self { file, path: path.to_owned(), size })
    }

    /// By which path it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills the buffer from there on.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    /// Writes all of it there; on the disk it is after [`BlockDevice::settle`].
    ///
    /// # Errors
    /// The disk's.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Makes the disk read as zeros there, by its own means where it has them.
    ///
    /// # Errors
    /// The disk's.
    pub fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        let by_itself = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, by_itself, at, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => {}
            done => return Ok(done?),
        }
        let zeros = vec![0; ZEROS];
        let mut done = 0;
        while done < length {
            let part = usize::try_from(length - done).unwrap_or(ZEROS).min(ZEROS);
            self.write_at(at + done, zeros.get(..part).unwrap_or_default())?;
            done += part as u64;
        }
        Ok(())
    }

    /// Returns when all that was written is on the disk; what is read afterwards comes from it, not from memory.
    ///
    /// # Errors
    /// Something that was written since the last time is not on it.
    pub fn settle(&self) -> io::Result<()> {
        self.file.sync_all()?;
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}
