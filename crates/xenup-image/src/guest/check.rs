//! Reads a guest's disk back, by our own reader, and compares it with what was written. Never mounts or repairs it.

use std::path::Path;
use std::rc::Rc;

use xenup_disk::filesystem::{FileKind, FileSystem, FsError};
use xenup_disk::superblock;
use xenup_system::files::DiskFile;

use super::debugfs::{PAGE, swap_header};
use super::disk::{Entry, GuestDisk};
use crate::check::OnDisk;
use crate::error::ImageError;

/// Compares the file system of `image` with what it was to hold.
pub(super) fn check(image: &Path, wanted: &GuestDisk<'_>, entries: &[Entry]) -> Result<(), ImageError> {
    let differs = |what: String| ImageError::NotWritten { path: wanted.path.to_owned(), what };
    let file = DiskFile::open(image)?;
    let bytes = Rc::new(OnDisk { size: file.size()?, file });
    if bytes.size != wanted.size {
        return Err(differs(format!("it has {} bytes, and should have {}", bytes.size, wanted.size)));
    }
    let content = superblock::identify(&bytes).map_err(|error| differs(error.to_string()))?;
    let uuid = content.and_then(|content| content.uuid);
    if uuid.as_deref() != Some(wanted.file_system) {
        return Err(differs(format!("its UUID is {uuid:?}, and should be {}", wanted.file_system)));
    }
    let opened = FileSystem::open(bytes).map_err(|error| differs(error.to_string()))?;
    let mut system = opened.ok_or_else(|| differs("it has no file system".to_owned()))?;
    self::entries(&mut system, entries).map_err(differs)
}

/// Compares a file system with what was written into it; an error is the first difference.
pub(crate) fn entries(system: &mut FileSystem, entries: &[Entry]) -> Result<(), String> {
    for entry in entries {
        if !reads_back(system, entry).map_err(|error| error.to_string())? {
            return Err(format!("{} is not what was written", entry.path().display()));
        }
    }
    Ok(())
}

fn reads_back(system: &mut FileSystem, entry: &Entry) -> Result<bool, FsError> {
    let path = entry.path().as_os_str().as_encoded_bytes();
    if matches!(entry, Entry::Gone { .. }) {
        return Ok(system.stat(path).is_err_and(|error| error.is_not_found()));
    }
    let stat = system.stat(path)?;
    Ok(match entry {
        Entry::File { mode, bytes, .. } => {
            stat.kind == FileKind::File
                && stat.mode == *mode
                && stat.size == bytes.len() as u64
                && system.read(path, 0, stat.size)? == *bytes
        }
        Entry::Swap { size, .. } => {
            stat.kind == FileKind::File
                && stat.mode == 0o600
                && stat.size == *size
                && system.read(path, 0, PAGE)? == swap_header(*size)
        }
        Entry::Link { target, .. } => {
            stat.kind == FileKind::Link && system.link(path)? == target.as_os_str().as_encoded_bytes()
        }
        // Looked at above.
        Entry::Gone { .. } => true,
    })
}
