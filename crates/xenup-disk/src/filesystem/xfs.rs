//! xfs, by the `lamxfs` reader. A log that was not emptied is replayed in memory; one that cannot be is shown to the
//! reader as empty, and a note says so.

use std::rc::Rc;

use lamxfs::{Error, Path, SuperblockReason, Xfs};

use super::{FsError, Reader, Source, Stat, kind_of, show};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

pub(super) struct Volume(Xfs<Source>);

pub(super) fn open(disk: Rc<dyn ReadAt>, notes: &mut Vec<String>) -> Result<Volume, FsError> {
    let size = disk.size();
    match Xfs::open(Source(Rc::clone(&disk)), size) {
        Ok(volume) => {
            // An empty log is known by itself; to replay one takes the blocks that it changes.
            let alone = WithoutLog::new(Rc::clone(&disk))?;
            if Xfs::open(Source(Rc::new(LogAlone(alone))), size).is_err() {
                notes.push("it was not unmounted; its log was replayed in memory".to_owned());
            }
            Ok(Volume(volume))
        }
        Err(Error::BadSuperblock(SuperblockReason::DirtyLog)) => {
            notes.push(
                "the log of this xfs is not empty and cannot be replayed here: files changed last may be missing \
                 or read as they were before"
                    .to_owned(),
            );
            let without = WithoutLog::new(disk)?;
            Xfs::open(Source(Rc::new(without)), size).map(Volume).map_err(|error| failed(b"/", &error))
        }
        Err(error) => Err(failed(b"/", &error)),
    }
}

/// The volume with zeros where its log is, which is what a log looks like that was never written.
struct WithoutLog {
    disk: Rc<dyn ReadAt>,
    start: u64,
    end: u64,
}

impl WithoutLog {
    fn new(disk: Rc<dyn ReadAt>) -> Result<Self, FsError> {
        let mut sb = [0; 512];
        disk.read_at(0, &mut sb)?;
        let block = u64::from(field::u32_be(&sb, 4));
        let (log, blocks) = (field::u64_be(&sb, 48), u64::from(field::u32_be(&sb, 96)));
        let (group_blocks, group_bits) = (u64::from(field::u32_be(&sb, 84)), u32::from(field::u8(&sb, 124)));
        let group = log.checked_shr(group_bits).unwrap_or_default();
        let within = log & 1_u64.checked_shl(group_bits).unwrap_or_default().wrapping_sub(1);
        let start = group.saturating_mul(group_blocks).saturating_add(within).saturating_mul(block);
        let end = start.saturating_add(blocks.saturating_mul(block));
        Ok(Self { disk, start, end })
    }
}

impl ReadAt for WithoutLog {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.disk.read_at(offset, buffer)?;
        let within =
            |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let (from, to) = (within(self.start), within(self.end));
        if let Some(log) = buffer.get_mut(from..to) {
            log.fill(0);
        }
        Ok(())
    }
}

/// The superblock and the log, and nothing else.
struct LogAlone(WithoutLog);

impl ReadAt for LogAlone {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.saturating_add(buffer.len() as u64);
        let in_log = offset >= self.0.start && end <= self.0.end;
        if offset == 0 || in_log {
            return self.0.disk.read_at(offset, buffer);
        }
        Err(ReadError::PastEnd { offset, length: buffer.len() as u64, size: 0 })
    }
}

impl Reader for Volume {
    fn stat(&mut self, path: &[u8]) -> Result<Stat, FsError> {
        let inode = self.0.resolve(Path::new(path)).map_err(|error| failed(path, &error))?;
        let found = self.0.metadata(&inode).map_err(|error| failed(path, &error))?;
        Ok(Stat { kind: kind_of(found.mode()), size: found.size(), mode: found.mode() & 0o7777 })
    }

    fn link(&mut self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        self.0.read_link(Path::new(path)).map_err(|error| failed(path, &error))
    }

    fn read(&mut self, path: &[u8], offset: u64, buffer: &mut [u8]) -> Result<usize, FsError> {
        let inode = self.0.resolve(Path::new(path)).map_err(|error| failed(path, &error))?;
        self.0.read_file_at(&inode, offset, buffer).map_err(|error| failed(path, &error))
    }

    fn list(&mut self, path: &[u8], limit: usize) -> Result<(Vec<Vec<u8>>, bool), FsError> {
        let entries = self.0.read_dir(Path::new(path)).map_err(|error| failed(path, &error))?;
        let names = entries.into_iter().map(|entry| entry.name);
        let mut names: Vec<_> = names.filter(|name| name != b"." && name != b"..").collect();
        let more = names.len() > limit;
        names.truncate(limit);
        Ok((names, more))
    }
}

fn failed(path: &[u8], error: &Error) -> FsError {
    let at = |what: &str| format!("{}: {what}", show(path));
    match error {
        Error::NotFound { .. } => FsError::not_found(path),
        Error::NotARegularFile => FsError::Not { path: show(path), wanted: "regular file" },
        Error::NotASymlink => FsError::Not { path: show(path), wanted: "link" },
        Error::FileTooLarge { size, max } => FsError::TooLarge { path: show(path), size: *size, limit: *max },
        Error::UnsupportedFeature(what) => FsError::Unsupported { what: at(&format!("xfs feature {what}")) },
        Error::BadSuperblock(
            SuperblockReason::UnsupportedVersion
            | SuperblockReason::ExternalLog
            | SuperblockReason::RealtimeDevice,
        ) => FsError::Unsupported { what: at(&format!("xfs {}", error.token())) },
        _ => FsError::Damaged { what: at(&format!("xfs {}", error.token())) },
    }
}
