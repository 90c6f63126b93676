//! The running binary, to be copied to where neither an upgrade nor a purge of the package reaches it.
//!
//! Never decides where that is.

use std::io;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

/// Returns the bytes of the program this process runs, even where its file was replaced or removed since.
///
/// # Errors
/// /proc is not there.
pub fn own_binary() -> io::Result<Vec<u8>> {
    std::fs::read("/proc/self/exe")
}

/// Returns whether programs can be started from the file system that holds `dir` (mount(8), `noexec`).
///
/// # Errors
/// The directory is not there.
pub fn allows_programs(dir: &Path) -> io::Result<bool> {
    Ok(!statvfs(dir)?.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
