//! The root directory as a capability: every path is opened relative to one directory handle.
//!
//! Decides: how a path within a machine becomes an open file. For the running machine paths mean what they mean to
//! every program; for a mounted or captured tree they are resolved by openat2(2) with RESOLVE_IN_ROOT, so that
//! neither `..` nor a symbolic link, absolute or not, leads outside. A kernel without openat2 (before 5.6) is
//! refused for trees: a resolver of our own would be open to races. Never interprets what a file says.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::Errno;
use xenup_machine::file::{Attributes, Entry, Kind, Space, Timestamp};
use xenup_machine::{MachineError, Reason};

/// How often a resolution that the kernel calls racy (a rename went on beside it) is tried again.
const RACE_RETRIES: usize = 16;

/// A directory that stands for `/`, and the files below it.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    base: PathBuf,
    confined: bool,
}

/// The directory that holds a path's last name, open, and that name.
pub(crate) struct Place {
    /// The directory; a path handle, good for the `*at` calls.
    pub(crate) dir: OwnedFd,
    /// The last name.
    pub(crate) name: OsString,
}

pub(crate) fn failed(doing: &'static str, path: &Path) -> impl Fn(Errno) -> MachineError {
    let path = path.to_owned();
    move |errno| {
        let reason = if errno == Errno::IO { Reason::Device } else { Reason::of_io(&errno.into()) };
        MachineError::at(doing, &path, reason, std::io::Error::from(errno).to_string())
    }
}

impl Root {
    /// Opens the root of the running machine.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn running() -> Result<Self, MachineError> {
        Self::open(Path::new("/"), false)
    }

    /// Opens a directory as the root of a tree that nothing may lead out of.
    ///
    /// # Errors
    /// The directory is not there, or the kernel has no openat2(2).
    pub fn confined(dir: &Path) -> Result<Self, MachineError> {
        let root = Self::open(dir, true)?;
        root.open_at(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY).map_err(|errno| match errno {
            Errno::NOSYS | Errno::PERM => MachineError::at(
                "open",
                dir,
                Reason::Other,
                "this kernel cannot confine a path to a directory (openat2, Linux 5.6)",
            ),
            other => failed("open", dir)(other),
        })?;
        Ok(root)
    }

    fn open(dir: &Path, confined: bool) -> Result<Self, MachineError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed("open", dir))?;
        Ok(Self { dir: fd, base: dir.to_owned(), confined })
    }

    /// Returns the directory that stands for `/`, as it was named.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Opens `path`, links followed (within the root where it is confined).
    pub(crate) fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = relative(path);
        let flags = flags | OFlags::CLOEXEC;
        if !self.confined {
            return rustix::fs::openat(&self.dir, path, flags, Mode::empty());
        }
        let mut tries = RACE_RETRIES;
        loop {
            let opened = rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
            match opened {
                Err(Errno::AGAIN) if tries > 0 => tries -= 1,
                other => return other,
            }
        }
    }

    /// Opens the directory that holds the last name of `path`.
    pub(crate) fn place(&self, doing: &'static str, path: &Path) -> Result<Place, MachineError> {
        let name = match path.components().next_back() {
            Some(Component::Normal(name)) => name.to_owned(),
            _ => return Err(MachineError::at(doing, path, Reason::Other, "the path ends in no name")),
        };
        let parent = path.parent().unwrap_or(Path::new("/"));
        let dir = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY).map_err(failed(doing, path))?;
        Ok(Place { dir, name })
    }

    /// Opens a regular file for reading; nothing else is opened for more than a look at what it is, because to open a
    /// device has effects and to open a pipe can block.
    pub(crate) fn open_file(&self, doing: &'static str, path: &Path) -> Result<File, MachineError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        if self.confined {
            let handle = self.open_at(path, OFlags::PATH).map_err(failed(doing, path))?;
            regular(doing, path, handle.as_fd())?;
        }
        let file = self.open_at(path, flags).map_err(failed(doing, path))?;
        regular(doing, path, file.as_fd())?;
        Ok(File::from(file))
    }

    /// Returns a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`xenup_machine::Probe::read`].
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, MachineError> {
        let file = self.open_file("read", path)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| MachineError::from_io("read", path, &error))?;
        if bytes.len() as u64 > limit {
            return Err(MachineError::at(
                "read",
                path,
                Reason::TooLarge,
                format!("longer than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Returns what stands at `path`, links not followed.
    ///
    /// # Errors
    /// As [`xenup_machine::Probe::entry`].
    pub fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        let missing = |error: &MachineError| error.reason == Reason::NotFound;
        if path.components().next_back() == Some(Component::RootDir) {
            return self.entry_of(path, self.dir.as_fd(), OsStr::new("."));
        }
        let place = match self.place("look at", path) {
            Err(error) if missing(&error) => return Ok(None),
            place => place?,
        };
        self.entry_of(path, place.dir.as_fd(), &place.name)
    }

    fn entry_of(
        &self,
        path: &Path,
        dir: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<Option<Entry>, MachineError> {
        let fail = failed("look at", path);
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            stat => stat.map_err(&fail)?,
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) },
            FileType::Directory => Kind::Dir,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new()).map_err(&fail)?;
                Kind::Symlink { target: PathBuf::from(OsStr::from_bytes(target.as_bytes())) }
            }
            _ => Kind::Special,
        };
        let xattrs = match kind {
            Kind::Special => std::collections::BTreeMap::new(),
            _ => crate::xattr::read(&Self::name_for_xattrs(dir, name, path)?.path()).map_err(&fail)?,
        };
        let mtime = Timestamp { seconds: stat.st_mtime, nanoseconds: nanoseconds(stat.st_mtime_nsec) };
        Ok(Some(Entry {
            kind,
            attributes: Attributes {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: Some(mtime),
                xattrs,
            },
            device: stat.st_dev,
        }))
    }

    /// Returns a handle on the thing itself by which the xattr calls, which have no `*at` form, can name it.
    pub(crate) fn name_for_xattrs(
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<Handle, MachineError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir, name, flags, Mode::empty()).map(Handle).map_err(failed("look at", path))
    }

    /// Returns the names in a directory, sorted by bytes.
    ///
    /// # Errors
    /// As [`xenup_machine::Probe::list`].
    pub fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        let fail = failed("list", dir);
        let fd = self.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY).map_err(&fail)?;
        let mut names = Vec::new();
        for entry in Dir::new(fd).map_err(&fail)? {
            let entry = entry.map_err(&fail)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the room on the file system that holds `path`.
    ///
    /// # Errors
    /// Absent path.
    pub fn space(&self, path: &Path) -> Result<Space, MachineError> {
        let fail = failed("measure", path);
        let fd = self.open_at(path, OFlags::PATH).map_err(&fail)?;
        let stat = rustix::fs::fstatvfs(&fd).map_err(&fail)?;
        Ok(Space {
            free: stat.f_bfree.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }
}

/// An open path handle that can be named as a path.
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// Returns a path to exactly the thing that was opened, a symbolic link included (proc_pid_fd(5)).
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

fn regular(doing: &'static str, path: &Path, fd: BorrowedFd<'_>) -> Result<(), MachineError> {
    let stat = rustix::fs::fstat(fd).map_err(failed(doing, path))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(failed(doing, path)(Errno::ISDIR)),
        _ => Err(MachineError::at(doing, path, Reason::Other, "not a regular file")),
    }
}

/// Returns `path` relative to the root: the kernel would take a leading slash for the process's own root.
fn relative(path: &Path) -> &Path {
    let inside = path.strip_prefix("/").unwrap_or(path);
    if inside.as_os_str().is_empty() { Path::new(".") } else { inside }
}

fn nanoseconds(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or(0)
}
