//! The files of ext2/3/4, xfs and btrfs, read from the disk's bytes without mounting it.
//!
//! Decides which reader takes a file system, and what is said of one that was not unmounted: its journal or log is
//! replayed in memory where it can be, else the files are read as they lie and a note says so. Never follows a link
//! ([`Tree`] does, within bounds), never writes.

mod btrfs;
mod error;
mod ext;
mod seen;
mod tree;
mod xfs;

use std::rc::Rc;

pub use error::{FsError, show};
pub use tree::Tree;

use seen::Seen;

use crate::read_at::{ReadAt, ReadError};
use crate::superblock::{self, Kind};

/// The largest directory that is looked into, in bytes.
const LARGEST_DIRECTORY: u64 = 64 << 20;
/// The longest link, as Linux has it.
const LONGEST_LINK: u64 = 4096;
/// How far into a file is read.
const FURTHEST: u64 = 1 << 30;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Special,
}

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes.
    pub size: u64,
    /// Its permissions, twelve bits.
    pub mode: u32,
}

/// What each kind of file system does for itself. Paths are absolute and hold no link before the last name; sizes were
/// looked at before.
trait Reader {
    fn stat(&mut self, path: &[u8]) -> Result<Stat, FsError>;
    fn link(&mut self, path: &[u8]) -> Result<Vec<u8>, FsError>;
    /// Fills the buffer from `offset` on, and returns how much of it there was.
    fn read(&mut self, path: &[u8], offset: u64, buffer: &mut [u8]) -> Result<usize, FsError>;
    /// At most `limit` names, and whether there are more.
    fn list(&mut self, path: &[u8], limit: usize) -> Result<(Vec<Vec<u8>>, bool), FsError>;
}

/// A file system on a partition or disk.
pub struct FileSystem {
    reader: Box<dyn Reader>,
    seen: Seen,
    /// What it is.
    pub kind: Kind,
    /// What has to be known of what is read, for people: a journal that was replayed, or was not.
    pub notes: Vec<String>,
}

impl FileSystem {
    /// Opens what is on the partition; `None` where there is no file system that has a reader here.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or has features that are not read.
    pub fn open(disk: Rc<dyn ReadAt>) -> Result<Option<Self>, FsError> {
        let Some(content) = superblock::identify(&disk)? else { return Ok(None) };
        let mut notes = Vec::new();
        let reader: Box<dyn Reader> = match content.kind {
            Kind::Ext { .. } => Box::new(ext::open(disk, &mut notes)?),
            Kind::Xfs => Box::new(xfs::open(disk, &mut notes)?),
            Kind::Btrfs { .. } => Box::new(btrfs::open(disk, None, &mut notes)?),
            _ => return Ok(None),
        };
        Ok(Some(Self { reader, seen: Seen::default(), kind: content.kind, notes }))
    }

    /// Opens a btrfs at the subvolume of that path from the top; an empty path is the top itself.
    ///
    /// # Errors
    /// As [`FileSystem::open`], or there is no such subvolume.
    pub fn open_subvolume(disk: Rc<dyn ReadAt>, path: &str) -> Result<Self, FsError> {
        let Some(content) = superblock::identify(&disk)? else {
            return Err(FsError::Unsupported { what: "no file system".to_owned() });
        };
        let mut notes = Vec::new();
        let reader = Box::new(btrfs::open(disk, Some(path), &mut notes)?);
        Ok(Self { reader, seen: Seen::default(), kind: content.kind, notes })
    }

    /// What stands at an absolute path without links before its last name; the last is not followed.
    ///
    /// # Errors
    /// There is nothing, or it cannot be read.
    pub fn stat(&mut self, path: &[u8]) -> Result<Stat, FsError> {
        self.seen.stat(path, || self.reader.stat(path))
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// It is no link, is longer than Linux has them, or cannot be read.
    pub fn link(&mut self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        let stat = self.stat(path)?;
        match stat.kind {
            FileKind::Link if stat.size <= LONGEST_LINK => self.reader.link(path),
            FileKind::Link => {
                Err(FsError::TooLarge { path: show(path), size: stat.size, limit: LONGEST_LINK })
            }
            _ => Err(FsError::Not { path: show(path), wanted: "link" }),
        }
    }

    /// Bytes of a regular file from `offset` on, at most `length`: fewer where it ends before.
    ///
    /// # Errors
    /// It is no regular file, `offset` lies more than 1 GiB into it, or it cannot be read.
    pub fn read(&mut self, path: &[u8], offset: u64, length: u64) -> Result<Vec<u8>, FsError> {
        let stat = self.stat(path)?;
        if stat.kind != FileKind::File {
            return Err(FsError::Not { path: show(path), wanted: "regular file" });
        }
        let length = length.min(stat.size.saturating_sub(offset));
        let end = offset.saturating_add(length);
        if end > FURTHEST {
            return Err(FsError::TooLarge { path: show(path), size: end, limit: FURTHEST });
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let mut filled = 0_usize;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = self.reader.read(path, offset.saturating_add(filled as u64), rest)?;
            if read == 0 {
                break;
            }
            filled = filled.saturating_add(read);
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// At most `limit` names in a directory, sorted, and whether there are more.
    ///
    /// # Errors
    /// It is no directory, is larger than 64 MiB, or cannot be read.
    pub fn list(&mut self, path: &[u8], limit: usize) -> Result<(Vec<Vec<u8>>, bool), FsError> {
        let stat = self.stat(path)?;
        if stat.kind != FileKind::Directory {
            return Err(FsError::Not { path: show(path), wanted: "directory" });
        }
        self.allow_directory(path, stat)?;
        let (mut names, more) = self.reader.list(path, limit)?;
        names.sort();
        Ok((names, more))
    }

    /// Refuses a directory whose search would be work without end.
    fn allow_directory(&self, path: &[u8], stat: Stat) -> Result<(), FsError> {
        // A btrfs directory's size is the length of its names, and it is searched by key.
        if stat.size <= LARGEST_DIRECTORY {
            return Ok(());
        }
        Err(FsError::TooLarge { path: show(path), size: stat.size, limit: LARGEST_DIRECTORY })
    }
}

/// A disk as the readers of others ask for it: by exclusive reference.
struct Source(Rc<dyn ReadAt>);

impl lamxfs::BlockRead for Source {
    type Error = ReadError;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buffer)
    }
}

impl lambutter::BlockRead for Source {
    type Error = ReadError;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buffer)
    }
}

fn kind_of(mode: u32) -> FileKind {
    match mode & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Link,
        _ => FileKind::Special,
    }
}
