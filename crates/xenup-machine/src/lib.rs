//! The two traits through which xenup meets a machine, and a fake of both.
//!
//! Decides: which questions can be put to a machine ([`Probe`]) and which primitives can change it
//! ([`Machine`]). A function that takes `&dyn Probe` cannot hurt; one that takes `&mut dyn Machine` can.
//! Never: performs an effect. The real implementations are in `xenup-system`.
//!
//! Paths are absolute within the machine's root, whichever directory that root is mounted at.

mod error;
pub mod fake;
pub mod file;
pub mod network;
pub mod process;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

pub use error::{MachineError, Reason};
use file::{Attributes, Entry, Space};
use network::{Address, LinkOp, Network};
use process::{Command, Output, Query};
use serde::{Deserialize, Serialize};

/// Where a machine stands in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Seconds since 1970 by the wall clock; for people, never for deadlines.
    pub unix_seconds: i64,
    /// Nanoseconds since this boot, suspend included (CLOCK_BOOTTIME).
    pub boottime_ns: u64,
    /// `/proc/sys/kernel/random/boot_id`; empty where there is none (a mounted tree).
    pub boot_id: String,
}

impl Clock {
    /// Returns when this boot began, in seconds since 1970 by the wall clock as it is set now.
    #[must_use]
    pub fn booted_unix_seconds(&self) -> i64 {
        let up = i64::try_from(self.boottime_ns / 1_000_000_000).unwrap_or(i64::MAX);
        self.unix_seconds.saturating_sub(up)
    }
}

/// Reads a machine. Nothing here writes, outside what a kernel does when it is asked.
pub trait Probe {
    /// Returns a whole file, symbolic links followed.
    ///
    /// # Errors
    /// Absent or unreadable file; a file longer than `limit` bytes is [`Reason::TooLarge`].
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, MachineError>;

    /// Returns what stands at `path` itself, links not followed; `None` where nothing does.
    ///
    /// # Errors
    /// A parent that cannot be searched, or attributes that cannot be read.
    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError>;

    /// Returns the names in a directory, sorted by bytes.
    ///
    /// # Errors
    /// Absent or unreadable directory.
    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError>;

    /// Returns the room on the file system that holds `path` (statvfs(3)).
    ///
    /// # Errors
    /// Absent path.
    fn space(&self, path: &Path) -> Result<Space, MachineError>;

    /// Runs a program that only reads, and returns what it said. A non-zero status is not an error.
    ///
    /// # Errors
    /// A program that is not there ([`Reason::NotFound`]), does not end in time, or says too much.
    fn query(&self, query: &Query) -> Result<Output, MachineError>;

    /// Returns the kernel's network: links, addresses, routes, rules, bridges (rtnetlink(7)).
    ///
    /// # Errors
    /// No rtnetlink, or a machine that is a mere tree ([`Reason::NotRunning`]).
    fn network(&self) -> Result<Network, MachineError>;

    /// Returns whether `address` answers on `link` by ARP or neighbour discovery within `wait`.
    ///
    /// # Errors
    /// The link is not there.
    fn neighbour_answers(&self, link: &str, address: &Address, wait: Duration) -> Result<bool, MachineError>;

    /// Returns the clocks.
    fn clock(&self) -> Clock;
}

/// What became of an attempt to take a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// It is ours until this machine value is dropped.
    Taken,
    /// Somebody else has it; the text is what the holder wrote about itself.
    HeldBy(String),
}

/// Changes a machine. Each method is one primitive; order, durability and undo belong to the engine.
pub trait Machine: Probe {
    /// Creates a file that must not be there yet. Nothing is durable before [`Machine::sync_file`]
    /// (its bytes) and [`Machine::sync_dir`] (its name).
    ///
    /// # Errors
    /// The name is taken ([`Reason::Exists`]), no room, read-only file system.
    fn create_file(&mut self, path: &Path, bytes: &[u8], attributes: &Attributes)
    -> Result<(), MachineError>;

    /// Appends to an existing file.
    ///
    /// # Errors
    /// Absent file, no room, read-only file system.
    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), MachineError>;

    /// Creates a symbolic link.
    ///
    /// # Errors
    /// As [`Machine::create_file`].
    fn create_symlink(
        &mut self,
        path: &Path,
        target: &Path,
        attributes: &Attributes,
    ) -> Result<(), MachineError>;

    /// Creates one directory; its parent must be there.
    ///
    /// # Errors
    /// As [`Machine::create_file`].
    fn create_dir(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError>;

    /// Sets owner, mode, extended attributes and modification time of what is there, links not followed.
    ///
    /// # Errors
    /// Absent path, read-only file system.
    fn set_attributes(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError>;

    /// Renames, replacing a file or link at `to` (rename(2)).
    ///
    /// # Errors
    /// Absent source, different file systems.
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), MachineError>;

    /// Removes a file or symbolic link.
    ///
    /// # Errors
    /// Absent path, read-only file system.
    fn remove_file(&mut self, path: &Path) -> Result<(), MachineError>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Absent or not empty ([`Reason::NotEmpty`]).
    fn remove_dir(&mut self, path: &Path) -> Result<(), MachineError>;

    /// Makes a file's bytes and attributes durable (fsync(2)).
    ///
    /// # Errors
    /// A write error that the kernel had kept back.
    fn sync_file(&mut self, path: &Path) -> Result<(), MachineError>;

    /// Makes the names in a directory durable (fsync(2) on the directory).
    ///
    /// # Errors
    /// As [`Machine::sync_file`].
    fn sync_dir(&mut self, dir: &Path) -> Result<(), MachineError>;

    /// Runs a program that changes the machine; each line it prints goes to `line` as it comes.
    /// A non-zero status is not an error here: the engine judges by what it re-reads.
    ///
    /// # Errors
    /// A program that is not there, or that does not end in time.
    fn run(&mut self, command: &Command, line: &mut dyn FnMut(&str)) -> Result<Output, MachineError>;

    /// Carries out link operations in order, stopping at the first that fails.
    ///
    /// # Errors
    /// Names the operation (its index) and the kernel's own words (extended ack).
    fn change_links(&mut self, ops: &[LinkOp]) -> Result<(), MachineError>;

    /// Lets so much time pass: for what the kernel or a device does by itself.
    fn pause(&mut self, time: Duration);

    /// Tries to take the lock file at `path`, writing `owner` into it.
    ///
    /// # Errors
    /// The file cannot be created.
    fn lock(&mut self, path: &Path, owner: &str) -> Result<Lock, MachineError>;

    /// Ends the process that `holder` (a text from [`Lock::HeldBy`]) describes, checked by its start time,
    /// and takes its lock.
    ///
    /// # Errors
    /// The text describes no process, or it cannot be ended.
    fn seize_lock(&mut self, path: &Path, holder: &str, owner: &str) -> Result<(), MachineError>;
}
