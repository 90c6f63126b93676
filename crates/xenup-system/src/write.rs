//! File changes below a [`Root`]: each call is one primitive and follows no link in the last name.
//!
//! Decides: the order in which owner, mode, attributes and time are set, so that none undoes another. Never decides
//! when something becomes durable: that is the engine's, through the two `sync` calls.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;
use xenup_machine::MachineError;
use xenup_machine::file::{Attributes, Timestamp};

use crate::root::{Place, Root, failed};

impl Root {
    /// Creates a file; on failure nothing stays behind.
    pub(crate) fn create_file(
        &self,
        path: &Path,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        let place = self.place("create", path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Closed to others until its owner and mode are set.
        let fd = rustix::fs::openat(&place.dir, &place.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("create", path))?;
        let mut file = File::from(fd);
        let filled = file
            .write_all(bytes)
            .map_err(|error| MachineError::from_io("write", path, &error))
            .and_then(|()| dress(&place, path, attributes));
        self.or_remove(filled, &place, AtFlags::empty())
    }

    pub(crate) fn create_symlink(
        &self,
        path: &Path,
        target: &Path,
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        let place = self.place("create", path)?;
        rustix::fs::symlinkat(target, &place.dir, &place.name).map_err(failed("create", path))?;
        self.or_remove(dress(&place, path, attributes), &place, AtFlags::empty())
    }

    pub(crate) fn create_dir(&self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        let place = self.place("create", path)?;
        rustix::fs::mkdirat(&place.dir, &place.name, Mode::RWXU).map_err(failed("create", path))?;
        self.or_remove(dress(&place, path, attributes), &place, AtFlags::REMOVEDIR)
    }

    fn or_remove(
        &self,
        result: Result<(), MachineError>,
        place: &Place,
        flags: AtFlags,
    ) -> Result<(), MachineError> {
        if result.is_err() {
            // The first error is the one to tell; a leftover would only hide it.
            let _ = rustix::fs::unlinkat(&place.dir, &place.name, flags);
        }
        result
    }

    pub(crate) fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::NONBLOCK;
        let place = self.place("append to", path)?;
        let fd = open_here(&place, flags).map_err(failed("append to", path))?;
        File::from(fd).write_all(bytes).map_err(|error| MachineError::from_io("append to", path, &error))
    }

    pub(crate) fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        dress(&self.place("set attributes of", path)?, path, attributes)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), MachineError> {
        let (old, new) = (self.place("rename", from)?, self.place("rename", to)?);
        rustix::fs::renameat(&old.dir, &old.name, &new.dir, &new.name).map_err(failed("rename", from))
    }

    pub(crate) fn remove(&self, path: &Path, flags: AtFlags) -> Result<(), MachineError> {
        let place = self.place("remove", path)?;
        rustix::fs::unlinkat(&place.dir, &place.name, flags).map_err(failed("remove", path))
    }

    pub(crate) fn sync_file(&self, path: &Path) -> Result<(), MachineError> {
        let place = self.place("sync", path)?;
        match open_here(&place, OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK) {
            // A symbolic link has no bytes of its own to sync: it is as durable as its name.
            Err(Errno::LOOP) => self.sync_dir(path.parent().unwrap_or(Path::new("/"))),
            fd => rustix::fs::fsync(fd.map_err(failed("sync", path))?).map_err(failed("sync", path)),
        }
    }

    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), MachineError> {
        let fd = self.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed("sync", dir))?;
        rustix::fs::fsync(&fd).map_err(failed("sync", dir))
    }
}

fn open_here(place: &Place, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(&place.dir, &place.name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Sets owner, mode, extended attributes and time, in this order: a change of owner clears set-user-ID bits and file
/// capabilities, and every one of them may move the time.
fn dress(place: &Place, path: &Path, wanted: &Attributes) -> Result<(), MachineError> {
    let fail = failed("set attributes of", path);
    let (dir, name) = (place.dir.as_fd(), place.name.as_os_str());
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(&fail)?;
    if (stat.st_uid, stat.st_gid) != (wanted.uid, wanted.gid) {
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(&fail)?;
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(wanted.mode & 0o7777);
        rustix::fs::chmodat(dir, name, mode, AtFlags::empty()).map_err(&fail)?;
    }
    let handle = Root::name_for_xattrs(dir, name, path)?;
    crate::xattr::write(&handle.path(), &wanted.xattrs).map_err(&fail)?;
    wanted.mtime.map_or(Ok(()), |mtime| set_mtime(dir, name, mtime).map_err(&fail))
}

fn set_mtime(dir: BorrowedFd<'_>, name: &OsStr, mtime: Timestamp) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
    };
    rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}
