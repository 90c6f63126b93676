//! ext2, ext3 and ext4, by the `ext4-view` reader over a volume whose journal is replayed here: that reader knows
//! only journals of today's mke2fs, and neither the ring's end nor revocations across transactions.
//!
//! Features that change nothing for a reader of files are kept from it, since it refuses what it does not know.

mod journal;

use std::rc::Rc;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Metadata, PathBuf};

use super::{FileKind, FsError, Reader, Stat, show};
use crate::field;
use crate::read_at::ReadAt;
use journal::Replayed;

/// Where the superblock lies, and how long it is.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_SIZE: usize = 1024;
const SUPERBLOCK_END: u64 = SUPERBLOCK + SUPERBLOCK_SIZE as u64;
/// The most block groups that are taken: 128 TiB with blocks of 4 KiB.
const MOST_GROUPS: u64 = 1 << 20;

const NEEDS_RECOVERY: u32 = 0x4;
const META_GROUPS: u32 = 0x10;
const WIDE_COUNTS: u32 = 0x80;
const MULTIPLE_MOUNT_PROTECTION: u32 = 0x100;
const ATTRIBUTES_IN_INODES: u32 = 0x400;
const LARGE_DIRECTORIES: u32 = 0x4000;
const DATA_IN_INODES: u32 = 0x8000;
const METADATA_CHECKSUMS: u32 = 0x400;

pub(super) struct Volume {
    files: Ext4,
    /// The file that is being read, so that a long one is not walked from its start for every part.
    open: Option<(Vec<u8>, ext4_view::File)>,
}

pub(super) fn open(disk: Rc<dyn ReadAt>, notes: &mut Vec<String>) -> Result<Volume, FsError> {
    let mut sb = [0; SUPERBLOCK_SIZE];
    disk.read_at(SUPERBLOCK, &mut sb)?;
    let disk = if field::u32_le(&sb, 0x60) & NEEDS_RECOVERY == 0 {
        Replayed::nothing(disk)
    } else {
        journal::replay(disk, &sb, notes)
    };
    disk.read_at(SUPERBLOCK, &mut sb)?;
    check(&sb)?;
    let hidden = NEEDS_RECOVERY | MULTIPLE_MOUNT_PROTECTION | ATTRIBUTES_IN_INODES;
    let incompatible = field::u32_le(&sb, 0x60) & !hidden;
    field::put_u32_le(&mut sb, 0x60, incompatible);
    if incompatible & WIDE_COUNTS == 0 {
        // Linux passes over the upper half of the count of blocks then; the reader does not.
        field::put_u32_le(&mut sb, 0x150, 0);
    }
    if field::u32_le(&sb, 0x64) & METADATA_CHECKSUMS != 0 {
        let checksum = field::crc32c(u32::MAX, sb.get(..0x3fc).unwrap_or_default());
        field::put_u32_le(&mut sb, 0x3fc, checksum);
    }
    let source = Source { disk, sb, ahead: Vec::new(), ahead_at: 0 };
    let files = Ext4::load(Box::new(source)).map_err(|error| failed(b"/", error))?;
    Ok(Volume { files, open: None })
}

/// Refuses by name what the reader does not take, and counts that would cost memory before they are found to be wrong.
fn check(sb: &[u8]) -> Result<(), FsError> {
    let incompatible = field::u32_le(sb, 0x60);
    let named = [
        (META_GROUPS, "meta_bg (meta block groups)"),
        (LARGE_DIRECTORIES, "large_dir (three-level directories)"),
        (DATA_IN_INODES, "inline_data (files within inodes)"),
    ];
    if let Some((_, name)) = named.iter().find(|(bit, _)| incompatible & bit != 0) {
        return Err(FsError::Unsupported { what: format!("ext4 feature {name}") });
    }
    let high = if incompatible & WIDE_COUNTS == 0 { 0 } else { u64::from(field::u32_le(sb, 0x150)) };
    let blocks = (high << 32) | u64::from(field::u32_le(sb, 4));
    let groups = blocks.checked_div(u64::from(field::u32_le(sb, 0x20))).unwrap_or(u64::MAX);
    if groups > MOST_GROUPS {
        return Err(FsError::Damaged { what: format!("ext4: {groups} block groups") });
    }
    Ok(())
}

/// How much is read at once where little was asked for: group descriptors are asked for one by one.
const AHEAD: u64 = 16 << 10;

/// The volume as the reader is to see it.
struct Source {
    disk: Replayed,
    sb: [u8; SUPERBLOCK_SIZE],
    ahead: Vec<u8>,
    ahead_at: u64,
}

impl Ext4Read for Source {
    fn read(
        &mut self,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        if buffer.len() <= 64 && self.read_ahead(at, buffer) {
            return Ok(());
        }
        self.disk.read_at(at, buffer)?;
        if at < SUPERBLOCK_END {
            self.show_superblock(at, buffer);
        }
        Ok(())
    }
}

impl Source {
    /// Puts the superblock as it is to be seen into bytes that begin at `at`.
    fn show_superblock(&self, at: u64, buffer: &mut [u8]) {
        for (place, byte) in (at..SUPERBLOCK_END).zip(buffer) {
            let within = place.checked_sub(SUPERBLOCK).and_then(|within| usize::try_from(within).ok());
            if let Some(shown) = within.and_then(|within| self.sb.get(within)) {
                *byte = *shown;
            }
        }
    }

    /// Fills the buffer from a longer piece; `false` where that cannot be, or would hold the superblock.
    fn read_ahead(&mut self, at: u64, buffer: &mut [u8]) -> bool {
        if at < SUPERBLOCK_END {
            return false;
        }
        let held = |ahead: &[u8], ahead_at: u64| {
            let from = usize::try_from(at.checked_sub(ahead_at)?).ok()?;
            ahead.get(from..from.checked_add(buffer.len())?).map(<[u8]>::to_vec)
        };
        let mut found = held(&self.ahead, self.ahead_at);
        if found.is_none() {
            let length = AHEAD.min(self.disk.size().saturating_sub(at));
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            if self.disk.read_at(at, &mut piece).is_err() {
                return false;
            }
            (self.ahead, self.ahead_at) = (piece, at);
            found = held(&self.ahead, self.ahead_at);
        }
        let Some(found) = found else { return false };
        buffer.copy_from_slice(&found);
        true
    }
}

impl Reader for Volume {
    fn stat(&mut self, path: &[u8]) -> Result<Stat, FsError> {
        let found = self.files.symlink_metadata(&valid(path)?).map_err(|error| failed(path, error))?;
        Ok(stat(&found))
    }

    fn link(&mut self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        let target = self.files.read_link(&valid(path)?).map_err(|error| failed(path, error))?;
        Ok(target.as_ref().to_vec())
    }

    fn read(&mut self, path: &[u8], offset: u64, buffer: &mut [u8]) -> Result<usize, FsError> {
        let file = match self.open.take() {
            Some((open, file)) if open == path && file.position() == offset => file,
            _ => {
                let mut file = self.files.open(&valid(path)?).map_err(|error| failed(path, error))?;
                if offset > 0 {
                    file.seek_to(offset).map_err(|error| failed(path, error))?;
                }
                file
            }
        };
        let (_, file) = self.open.insert((path.to_vec(), file));
        let mut filled = 0_usize;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_bytes(rest) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) => {
                    self.open = None;
                    return Err(failed(path, error));
                }
            }
        }
        Ok(filled)
    }

    fn list(&mut self, path: &[u8], limit: usize) -> Result<(Vec<Vec<u8>>, bool), FsError> {
        let entries = self.files.read_dir(&valid(path)?).map_err(|error| failed(path, error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(path, error))?;
            let name = entry.file_name();
            let name: &[u8] = name.as_ref();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() >= limit {
                return Ok((names, true));
            }
            names.push(name.to_vec());
        }
        Ok((names, false))
    }
}

fn valid(path: &[u8]) -> Result<PathBuf, FsError> {
    PathBuf::try_from(path).map_err(|_| FsError::not_found(path))
}

fn stat(found: &Metadata) -> Stat {
    let kind = match found.file_type() {
        FileType::Regular => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Special,
    };
    Stat { kind, size: found.len(), mode: u32::from(found.mode()) & 0o7777 }
}

fn failed(path: &[u8], error: Ext4Error) -> FsError {
    let at = |what: &dyn std::fmt::Display| format!("{}: {what}", show(path));
    match error {
        // A name that is not a directory's has nothing below it.
        Ext4Error::NotFound | Ext4Error::NotADirectory => FsError::not_found(path),
        Ext4Error::IsADirectory | Ext4Error::IsASpecialFile => {
            FsError::Not { path: show(path), wanted: "regular file" }
        }
        Ext4Error::NotASymlink => FsError::Not { path: show(path), wanted: "link" },
        Ext4Error::Encrypted => FsError::Unsupported { what: at(&"encrypted") },
        Ext4Error::Incompatible(what) => FsError::Unsupported { what: at(&what) },
        other => FsError::Damaged { what: at(&other) },
    }
}
