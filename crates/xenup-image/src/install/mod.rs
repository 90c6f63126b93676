//! A medium's system onto a disk of this machine.
//!
//! It decides the order of the writes ([`write()`]): the partition table that is there stays whole until everything else has
//! been read back. What is on the disk and whether it may go is the caller's decision, made before ([`xenup_core::install`]).

pub mod own;
pub mod source;
pub mod write;

use std::path::Path;

use xenup_disk::ReadAt;
use xenup_system::files::DiskFile;

use crate::check::OnDisk;

pub use own::Own;
pub use source::MediumFile;
pub use write::{Failure, Phase, Table, Tell, write};

/// Opens a disk of this machine by the kernel's name of it, to read what is on it.
///
/// # Errors
/// It cannot be opened, in words.
pub fn open_disk(name: &str) -> Result<Box<dyn ReadAt>, String> {
    let opened = DiskFile::open(&Path::new("/dev").join(name));
    let disk = opened.and_then(|file| Ok(OnDisk { size: file.size()?, file }));
    disk.map(|disk| Box::new(disk) as Box<dyn ReadAt>).map_err(|error| error.source.to_string())
}
