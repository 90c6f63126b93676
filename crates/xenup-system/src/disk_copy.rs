//! A disk's file copied, weighed and put in its place: for disks that are made from a kept one.
//!
//! It decides how a copy is made fastest (shared blocks where the file system can, else data alone), and by what a file
//! that nobody wrote to since is known again. It never replaces a file.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError, on};

/// What is told apart in [`each_data_block`].
pub const BLOCK: u64 = 4096;

/// Marks that a write to a file changes: the kernel moves ctime with every one, and no program can set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    device: u64,
    inode: u64,
    size: u64,
    ctime: (i64, i64),
}

impl Seal {
    /// The marks of the file at `path`.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let meta = File::open(path).and_then(|file| file.metadata()).map_err(on("look at", path))?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Copies a file to a path where none is: with shared blocks on btrfs and xfs, else its data without its holes. Returns
/// whether blocks are shared.
pub fn copy(from: &Path, to: &Path) -> Result<bool, FileError> {
    let source = File::open(from).map_err(on("open", from))?;
    let target = File::create_new(to).map_err(on("create", to))?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(true);
    }
    drop(target);
    files::copy_sparse(from, to)?;
    Ok(false)
}

/// Makes a file longer by a hole; one that is longer already is an error of kind `InvalidInput`.
pub fn grow(path: &Path, size: u64) -> Result<(), FileError> {
    let file = File::options().write(true).open(path).map_err(on("open", path))?;
    let length = file.metadata().map_err(on("read the size of", path))?.len();
    if length > size {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is longer than that");
        return Err(on("resize", path)(error));
    }
    file.set_len(size).map_err(on("resize", path))
}

/// Gives a file its final name on the same file system; a name that is taken is an error, and nothing is replaced.
pub fn place(from: &Path, to: &Path) -> Result<(), FileError> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .map_err(|error| on("put a file in place as", to)(error.into()))
}

/// Calls `each` with every block of a file that has a byte other than zero, and the place of it, in order: the same
/// for two copies, wherever their holes are.
pub fn each_data_block(path: &Path, each: &mut dyn FnMut(u64, &[u8])) -> Result<(), FileError> {
    use std::os::unix::fs::FileExt;
    let file = File::open(path).map_err(on("open", path))?;
    let end = file.metadata().map_err(on("read the size of", path))?.len();
    let mut buffer = vec![0_u8; 1 << 20];
    let mut at = 0;
    while let Some(data) = files::next_data(&file, at, end).map_err(on("read", path))? {
        at = data.start / BLOCK * BLOCK;
        while at < data.end {
            let want = usize::try_from(end - at).unwrap_or(buffer.len()).min(buffer.len());
            let Some(part) = buffer.get_mut(..want) else { return Ok(()) };
            file.read_exact_at(part, at).map_err(on("read", path))?;
            for (number, block) in (0..).zip(part.chunks(BLOCK as usize)) {
                if block.iter().any(|byte| *byte != 0) {
                    each(at + number * BLOCK, block);
                }
            }
            at += want as u64;
        }
    }
    Ok(())
}
