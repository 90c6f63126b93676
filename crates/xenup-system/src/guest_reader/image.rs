//! Opening an image and the files behind it. A backing file is looked for in the image's own folder and below, without
//! following a link, so that a guest that writes a name into its image's header gets no other file read.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use xenup_disk::image::{self, LONGEST_CHAIN};
use xenup_disk::{ReadAt, ReadError};

use super::Backing;
use crate::files::open_at_once;

/// An image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refuses.
    #[error("cannot open {path}")]
    Io {
        /// The image.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It is no file of bytes.
    #[error("{path} is neither a regular file nor a block device")]
    Kind {
        /// The image.
        path: PathBuf,
    },
}

/// A file read as a disk.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    size: u64,
}

impl FileDisk {
    /// The file; its size is where it ends now, which is right for block devices too.
    ///
    /// # Errors
    /// It cannot be sought.
    pub fn new(mut file: File) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size })
    }
}

impl ReadAt for FileDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(ReadError::PastEnd { offset, length, size: self.size });
        }
        self.file.read_exact_at(buffer, offset).map_err(|source| ReadError::Io { offset, length, source })
    }
}

/// An image with the files behind it.
pub(super) struct Opened {
    /// The image, then those backing files that are there.
    pub(super) files: Vec<File>,
    pub(super) backing: Vec<Backing>,
}

/// Opens an image for reading, and what stands behind it.
pub(super) fn open(path: &Path, format: Option<&str>) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let file = open_at_once(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(OpenError::Kind { path: path.to_owned() });
    }
    let mut opened = Opened { files: vec![file], backing: Vec::new() };
    if format != Some("raw") {
        opened.open_chain(path);
    }
    Ok(opened)
}

impl Opened {
    /// Opens the files that stand behind the last one, as far as they are to be had.
    fn open_chain(&mut self, path: &Path) {
        let folder = std::fs::canonicalize(path).ok().and_then(|path| path.parent().map(Path::to_owned));
        let Some(folder) = folder else { return };
        while self.files.len() < LONGEST_CHAIN {
            // Whatever is wrong with a header is found again, and said, by the child.
            let disk = self.files.last().and_then(|file| FileDisk::new(file.try_clone().ok()?).ok());
            let Some(file) = disk.and_then(|disk| image::backing_file(&disk).ok()?) else { break };
            match open_within(&folder, &file.name) {
                Ok(backing) => {
                    self.backing.push(Backing { name: file.name, error: None });
                    self.files.push(backing);
                }
                Err(error) => {
                    self.backing.push(Backing { name: file.name, error: Some(error) });
                    break;
                }
            }
            if file.format.as_deref() == Some("raw") {
                break;
            }
        }
    }
}

/// Opens a regular file by a name that an image gave.
fn open_within(folder: &Path, name: &str) -> Result<File, String> {
    let name = name.strip_prefix("file:").unwrap_or(name);
    if name.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err("it is no plain file".to_owned());
    }
    let name = Path::new(name);
    let inside = if name.is_absolute() { name.strip_prefix(folder).ok() } else { Some(name) };
    let inside = inside.ok_or("it lies outside the image's own folder")?;
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let directory: OwnedFd = directory.map_err(|error| words(&error))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(&directory, inside, flags, Mode::empty(), resolve).map_err(|error| match error {
        rustix::io::Errno::XDEV => "it lies outside the image's own folder".to_owned(),
        rustix::io::Errno::LOOP => "it is a symbolic link".to_owned(),
        other => words(&other),
    })?;
    let file = File::from(file);
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err("it is no regular file".to_owned()),
        Err(error) => Err(words(&error)),
    }
}
