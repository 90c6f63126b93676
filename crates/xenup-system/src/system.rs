//! The real machine: the running one, and the files of one that is mounted or captured.
//!
//! Decides nothing: each method is the primitive that the trait describes. Never retries, never rolls back.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::time::{ClockId, clock_gettime};
use xenup_machine::file::{Attributes, Entry, Space};
use xenup_machine::network::{Address, LinkOp, Network};
use xenup_machine::process::{Command, Output, Query};
use xenup_machine::{Clock, Lock, Machine, MachineError, Probe, Reason};

use crate::root::Root;
use crate::{lock, netlink, run};

/// The machine this process runs on, or its files below another directory.
#[derive(Debug)]
pub struct System {
    root: Root,
    running: bool,
    locks: Vec<File>,
}

impl System {
    /// Opens the running machine.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn running() -> Result<Self, MachineError> {
        Ok(Self { root: Root::running()?, running: true, locks: Vec::new() })
    }

    /// Opens a mounted or captured tree to look at it alone. Nothing runs there, and no path leads out of it.
    ///
    /// # Errors
    /// As [`Root::confined`].
    pub fn tree(dir: &Path) -> Result<impl Probe + std::fmt::Debug + use<>, MachineError> {
        Self::below(dir)
    }

    /// Opens the files below a directory for change: for trees one builds, and for tests. Nothing runs there, and no
    /// path leads out of it.
    ///
    /// # Errors
    /// As [`Root::confined`].
    pub fn below(dir: &Path) -> Result<Self, MachineError> {
        Ok(Self { root: Root::confined(dir)?, running: false, locks: Vec::new() })
    }

    fn alive(&self, doing: &'static str, subject: &str) -> Result<(), MachineError> {
        if self.running {
            return Ok(());
        }
        let words = format!("{} is a tree of files: nothing runs there", self.root.base().display());
        Err(MachineError::new(doing, subject, Reason::NotRunning, words))
    }
}

impl Probe for System {
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, MachineError> {
        self.root.read(path, limit)
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        self.root.entry(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        self.root.list(dir)
    }

    fn space(&self, path: &Path) -> Result<Space, MachineError> {
        self.root.space(path)
    }

    fn query(&self, query: &Query) -> Result<Output, MachineError> {
        self.alive("query", &query.line())?;
        run::query(query)
    }

    fn network(&self) -> Result<Network, MachineError> {
        self.alive("read", "the network")?;
        netlink::network()
    }

    fn neighbour_answers(&self, link: &str, address: &Address, wait: Duration) -> Result<bool, MachineError> {
        self.alive("ask for neighbours on", link)?;
        netlink::neighbour_answers(link, address, wait)
    }

    fn clock(&self) -> Clock {
        if self.running { clock(&self.root) } else { tree_clock() }
    }
}

impl Machine for System {
    fn create_file(
        &mut self,
        path: &Path,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        self.root.create_file(path, bytes, attributes)
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
        self.root.append(path, bytes)
    }

    fn create_symlink(
        &mut self,
        path: &Path,
        target: &Path,
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        self.root.create_symlink(path, target, attributes)
    }

    fn create_dir(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        self.root.create_dir(path, attributes)
    }

    fn set_attributes(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        self.root.set_attributes(path, attributes)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), MachineError> {
        self.root.rename(from, to)
    }

    fn remove_file(&mut self, path: &Path) -> Result<(), MachineError> {
        self.root.remove(path, AtFlags::empty())
    }

    fn remove_dir(&mut self, path: &Path) -> Result<(), MachineError> {
        self.root.remove(path, AtFlags::REMOVEDIR)
    }

    fn sync_file(&mut self, path: &Path) -> Result<(), MachineError> {
        self.root.sync_file(path)
    }

    fn sync_dir(&mut self, dir: &Path) -> Result<(), MachineError> {
        self.root.sync_dir(dir)
    }

    fn run(&mut self, command: &Command, line: &mut dyn FnMut(&str)) -> Result<Output, MachineError> {
        self.alive("run", &command.line())?;
        run::run(command, line)
    }

    fn change_links(&mut self, ops: &[LinkOp]) -> Result<(), MachineError> {
        self.alive("change", "the network")?;
        netlink::change_links(ops)
    }

    #[allow(clippy::disallowed_methods, reason = "the caller says for what it waits, and until when")]
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn lock(&mut self, path: &Path, owner: &str) -> Result<Lock, MachineError> {
        let (lock, file) = lock::take(&self.root, path, owner)?;
        self.locks.extend(file);
        Ok(lock)
    }

    fn seize_lock(&mut self, path: &Path, holder: &str, owner: &str) -> Result<(), MachineError> {
        lock::end_holder(path, holder)?;
        match self.lock(path, owner)? {
            Lock::Taken => Ok(()),
            Lock::HeldBy(other) => {
                let words = format!("`{holder}` has ended, but now `{other}` holds it");
                Err(MachineError::at("seize", path, Reason::Other, words))
            }
        }
    }
}

fn clock(root: &Root) -> Clock {
    let boot_id = root
        .read(Path::new("/proc/sys/kernel/random/boot_id"), 64)
        .map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
        .unwrap_or_default();
    Clock { unix_seconds: unix_seconds(), boottime_ns: boottime_ns(), boot_id }
}

/// A tree has no boot of its own: only the wall clock says anything.
fn tree_clock() -> Clock {
    Clock { unix_seconds: unix_seconds(), boottime_ns: 0, boot_id: String::new() }
}

fn unix_seconds() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

/// Returns nanoseconds since boot, suspend included (CLOCK_BOOTTIME).
#[must_use]
pub fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
