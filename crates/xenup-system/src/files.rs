//! Plain file work for the lab crates (disk images, caches, reports): each error names the operation and the path.
//!
//! It never decides where a machine's own configuration goes; changes to the machine are `Machine`'s business.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom};

/// A file operation that failed: what was tried, on which path, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct FileError {
    /// The verb, as it reads in a sentence: "read", "create directory".
    pub operation: &'static str,
    /// The path it was tried on.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

pub(crate) fn on<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FileError + use<'a> {
    move |source| FileError { operation, path: path.to_owned(), source }
}

/// The whole content of a file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(on("read", path))
}

/// The whole content of a text file; bytes that are not UTF-8 are an error of kind `InvalidData`.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(on("read", path))
}

/// At most `limit` bytes from the start of a file.
pub fn read_start(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    start_of(File::open(path).map_err(on("open", path))?, path, limit)
}

/// Opens for reading: a pipe is not waited for, and a terminal does not become ours.
pub(crate) fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn start_of(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(on("read", path))?;
    Ok(bytes)
}

/// At most `limit` bytes from the start of a regular file, at the end of links. Anything else is an error of kind
/// `InvalidInput`, and a pipe that nobody writes to is not waited for.
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = open_at_once(path).map_err(on("open", path))?;
    if !file.metadata().map_err(on("look at", path))?.is_file() {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(on("read", path)(error));
    }
    start_of(file, path, limit)
}

/// Writes a file in place (mode 0644 less the umask where it is new). Not durable: see [`write_atomic`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fs::write(path, bytes).map_err(on("write", path))
}

/// Appends to a file, which is created where it is missing.
pub fn append(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(on("open", path))?;
    file.write_all(bytes).map_err(on("append to", path))
}

/// Replaces a file in one step and returns only when content and name are on stable storage.
///
/// The new file has the given permission bits; a reader sees the old or the new content, never a part. What is there and
/// no regular file (a device, a pipe) is not replaced: it is written to.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    // A rename over /dev/null, or over the link /dev/stdout, would take the device away from the whole machine.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return write_into(path, bytes);
    }
    let directory = parent(path);
    let mut file = tempfile::Builder::new()
        .prefix(".xenup-")
        .tempfile_in(directory)
        .map_err(on("create a temporary file beside", path))?;
    file.write_all(bytes).map_err(on("write", path))?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(on("set the mode of", path))?;
    file.as_file().sync_all().map_err(on("sync", path))?;
    file.persist(path).map_err(|e| e.error).map_err(on("replace", path))?;
    sync_directory(directory)
}

/// Writes to a device, a pipe or a socket, whatever was there before; a folder is refused by the kernel.
fn write_into(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = fs::OpenOptions::new().write(true).open(path).map_err(on("open", path))?;
    file.write_all(bytes).map_err(on("write", path))
}

/// Moves a finished file or directory to its final name on the same file system and syncs both directories.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(on("rename", from))?;
    sync_directory(parent(to))?;
    if parent(from) == parent(to) { Ok(()) } else { sync_directory(parent(from)) }
}

/// Gives a file or directory another name on the same file system, replacing a file that was there. Not synced: for
/// what can be made again.
pub fn rename_unsynced(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(on("rename", from))
}

/// Memory that can be used without swapping (MemAvailable of /proc/meminfo), in bytes; 0 where it cannot be told.
#[must_use]
pub fn available_memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(on("sync", path))
}

/// Creates a directory and its parents; one that is there already is no error.
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(on("create directory", path))
}

/// Removes a file; `false` where there was none.
pub fn remove_file(path: &Path) -> Result<bool, FileError> {
    gone(fs::remove_file(path)).map_err(on("remove", path))
}

/// Removes a directory with all it holds; `false` where there was none.
pub fn remove_dir_all(path: &Path) -> Result<bool, FileError> {
    gone(fs::remove_dir_all(path)).map_err(on("remove", path))
}

fn gone(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Sets the permission bits of a file or directory.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(on("set the mode of", path))
}

/// Makes `link` a symbolic link to `target` (as written, not resolved).
pub fn symlink(target: &Path, link: &Path) -> Result<(), FileError> {
    std::os::unix::fs::symlink(target, link).map_err(on("create link", link))
}

/// The paths in a directory, sorted by name.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(path).map_err(on("list", path))?;
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(on("list", path))?;
    paths.sort();
    Ok(paths)
}

/// Whether something is at this path (a dangling link counts).
#[must_use]
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The path of what is there, from the root on and without links.
pub fn canonical(path: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(path).map_err(on("find", path))
}

/// The apparent size of a file in bytes.
pub fn size(path: &Path) -> Result<u64, FileError> {
    fs::metadata(path).map(|m| m.len()).map_err(on("read the size of", path))
}

/// The age of a file by its modification time; zero where that lies in the future.
pub fn age(path: &Path) -> Result<std::time::Duration, FileError> {
    let modified = fs::metadata(path).and_then(|m| m.modified()).map_err(on("read the age of", path))?;
    Ok(modified.elapsed().unwrap_or_default())
}

/// Copies a file's content and permission bits, leaving holes as holes; returns the apparent size in bytes.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<u64, FileError> {
    let source = File::open(from).map_err(on("open", from))?;
    let meta = source.metadata().map_err(on("read the size of", from))?;
    let mode = meta.permissions().mode() & 0o7777;
    let target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(to)
        .map_err(on("create", to))?;
    target.set_len(meta.len()).map_err(on("resize", to))?;
    copy_extents(&source, &target, 0).map_err(on("copy", from))?;
    Ok(meta.len())
}

/// Walks the data extents of `source` and writes each at `offset` + its own place in `target`.
fn copy_extents(source: &File, target: &File, offset: u64) -> io::Result<()> {
    let end = source.metadata()?.len();
    let mut at = 0;
    while let Some(data) = next_data(source, at, end)? {
        copy_range(source, target, data.start, data.end, offset)?;
        at = data.end.max(data.start + 1);
    }
    Ok(())
}

/// The first stretch at or behind `at` and before `end` that is no hole (lseek(2): SEEK_DATA, SEEK_HOLE).
pub(crate) fn next_data(file: &File, at: u64, end: u64) -> io::Result<Option<Range<u64>>> {
    if at >= end {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => Ok(Some(start..rustix::fs::seek(file, SeekFrom::Hole(start))?.min(end))),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn copy_range(source: &File, target: &File, start: u64, stop: u64, offset: u64) -> io::Result<()> {
    // One mebibyte: large enough that the system calls do not count, small enough for any machine.
    let mut buffer = vec![0_u8; 1 << 20];
    let mut at = start;
    while at < stop {
        let want = usize::try_from(stop - at).unwrap_or(buffer.len()).min(buffer.len());
        let Some(part) = buffer.get_mut(..want) else { return Ok(()) };
        let got = source.read_at(part, at)?;
        if got == 0 {
            return Ok(());
        }
        target.write_all_at(part.get(..got).unwrap_or_default(), offset + at)?;
        at += got as u64;
    }
    Ok(())
}

/// A disk image open for reading and writing at offsets in bytes.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
}

impl DiskFile {
    /// Creates a sparse file of `size` bytes, replacing what was there.
    pub fn create(path: &Path, size: u64) -> Result<Self, FileError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(on("create", path))?;
        file.set_len(size).map_err(on("resize", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens an image for reading alone. A pipe that nobody writes to is not waited for: it has no size.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = open_at_once(path).map_err(on("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens an image for reading and writing.
    pub fn open_write(path: &Path) -> Result<Self, FileError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(on("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size in bytes; of a block device too.
    pub fn size(&self) -> Result<u64, FileError> {
        rustix::fs::seek(&self.file, SeekFrom::End(0))
            .map_err(io::Error::from)
            .map_err(on("read the size of", &self.path))
    }

    /// Fills `buffer` from `offset`; an error where the file ends before.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.file.read_exact_at(buffer, offset).map_err(on("read", &self.path))
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all_at(bytes, offset).map_err(on("write", &self.path))
    }

    /// Writes the data extents of another file at `offset`; holes are not written.
    pub fn write_file_at(&self, offset: u64, from: &Path) -> Result<(), FileError> {
        let source = File::open(from).map_err(on("open", from))?;
        copy_extents(&source, &self.file, offset).map_err(on("copy", from))
    }

    /// Returns when all of it is on stable storage.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(on("sync", &self.path))
    }
}

/// The directory for what can be made again: `$XDG_CACHE_HOME/xenup`, else /var/cache/xenup for root, else
/// `~/.cache/xenup`. It is not created here.
///
/// A relative `$XDG_CACHE_HOME` is ignored, as the XDG base directory specification asks.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if let Some(base) = absolute("XDG_CACHE_HOME") {
        return base.join("xenup");
    }
    match absolute("HOME") {
        Some(home) if !rustix::process::geteuid().is_root() => home.join(".cache/xenup"),
        _ => PathBuf::from("/var/cache/xenup"),
    }
}

/// Whether this process runs as root (effective user id 0).
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory of its own for one piece of work, removed with all it holds when dropped.
#[derive(Debug)]
pub struct WorkDir(tempfile::TempDir);

impl WorkDir {
    /// Makes a fresh directory `<parent>/<prefix>XXXXXX` with mode 0700; `parent` is created where it is missing.
    pub fn new_in(parent: &Path, prefix: &str) -> Result<Self, FileError> {
        create_dir_all(parent)?;
        tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .map(Self)
            .map_err(on("create a work directory in", parent))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path inside it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Gives up the removal, for `--keep`; returns the path.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }
}

/// An exclusive lock on a file, held until dropped (flock); the file itself stays.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits for the lock on `path`, which is created where it is missing.
    pub fn wait(path: &Path) -> Result<Self, FileError> {
        let file = Self::file(path)?;
        file.lock().map_err(on("lock", path))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock on `path` at once, or returns `None` where another process holds it.
    pub fn attempt(path: &Path) -> Result<Option<Self>, FileError> {
        let file = Self::file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(on("lock", path)(e)),
        }
    }

    fn file(path: &Path) -> Result<File, FileError> {
        OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(on("open", path))
    }
}
