//! btrfs, by the `lambutter` reader: one device, the default subvolume or a named one. The log tree, which holds what
//! was written with fsync after the last commit, is not replayed; a note says so.

use std::rc::Rc;

use lambutter::{Btrfs, Error, Path, SuperblockReason};

use super::{FsError, Reader, Source, Stat, kind_of, show};
use crate::field;
use crate::read_at::ReadAt;

/// The first superblock.
const SUPERBLOCK: u64 = 64 << 10;

pub(super) struct Volume(Btrfs<Source>);

/// Opens the default subvolume, or the one whose path from the top is given.
pub(super) fn open(
    disk: Rc<dyn ReadAt>,
    subvolume: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Volume, FsError> {
    let mut sb = [0; 256];
    disk.read_at(SUPERBLOCK, &mut sb)?;
    if field::u64_le(&sb, 0x60) != 0 {
        notes.push(
            "this btrfs was not unmounted: what was written with fsync just before is in its log tree, which is not \
             read"
                .to_owned(),
        );
    }
    if field::u64_le(&sb, 0x88) > 1 {
        notes.push(format!(
            "this btrfs spans {} devices and is read from this one alone",
            field::u64_le(&sb, 0x88)
        ));
    }
    let size = disk.size();
    let opened = match subvolume {
        None => Btrfs::open(Source(disk), size),
        Some(name) => {
            let named = format!("/{}", name.trim_start_matches('/'));
            let path = valid(named.as_bytes())?;
            Btrfs::open_subvol_path(Source(disk), size, path)
        }
    };
    opened.map(Volume).map_err(|error| failed(subvolume.unwrap_or("/").as_bytes(), &error))
}

fn valid(path: &[u8]) -> Result<Path<'_>, FsError> {
    Path::new(path).ok_or_else(|| FsError::not_found(path))
}

impl Reader for Volume {
    fn stat(&mut self, path: &[u8]) -> Result<Stat, FsError> {
        let inode = self.0.resolve(valid(path)?).map_err(|error| failed(path, &error))?;
        let found = self.0.metadata(&inode).map_err(|error| failed(path, &error))?;
        Ok(Stat { kind: kind_of(found.mode), size: found.size, mode: found.mode & 0o7777 })
    }

    fn link(&mut self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        self.0.read_link(valid(path)?).map_err(|error| failed(path, &error))
    }

    fn read(&mut self, path: &[u8], offset: u64, buffer: &mut [u8]) -> Result<usize, FsError> {
        let inode = self.0.resolve(valid(path)?).map_err(|error| failed(path, &error))?;
        self.0.read_file_at(&inode, offset, buffer).map_err(|error| failed(path, &error))
    }

    fn list(&mut self, path: &[u8], limit: usize) -> Result<(Vec<Vec<u8>>, bool), FsError> {
        let entries = self.0.read_dir(valid(path)?).map_err(|error| failed(path, &error))?;
        let more = entries.len() > limit;
        Ok((entries.into_iter().take(limit).map(|entry| entry.name).collect(), more))
    }
}

fn failed(path: &[u8], error: &Error) -> FsError {
    let at = || format!("{}: btrfs {error}", show(path));
    match error {
        Error::NotFound | Error::NotASubvolume => FsError::not_found(path),
        Error::NotARegularFile => FsError::Not { path: show(path), wanted: "regular file" },
        Error::NotASymlink => FsError::Not { path: show(path), wanted: "link" },
        Error::UnsupportedFeature(_)
        | Error::UnsupportedProfile(_)
        | Error::UnsupportedChecksum(_)
        | Error::BadSuperblock(
            SuperblockReason::UnsupportedCsumType | SuperblockReason::UnsupportedIncompat,
        ) => FsError::Unsupported { what: at() },
        _ => FsError::Damaged { what: at() },
    }
}
