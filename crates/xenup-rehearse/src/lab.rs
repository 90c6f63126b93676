//! The run directory: where a run's disks, sockets, keys and logs lie, and what becomes of those of dead runs.
//!
//! It decides by a lock that a run holds as long as it lives, so that a directory is swept only when its run is gone
//! and no machine that was left running on purpose still uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::process::{Tool, find_program};

use crate::error::LabError;

const PREFIX: &str = "run-";
const LOCK: &str = "lock";
/// Holds the process id of a machine that outlives its run.
const LEFT_RUNNING: &str = "left-running";

/// One run: a directory of its own, locked while the run lives, removed with it.
#[derive(Debug, Clone)]
pub struct Lab(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Option<WorkDir>,
    path: PathBuf,
    keep: AtomicBool,
    _lock: FileLock,
}

impl Lab {
    /// Makes a run directory below `<cache>/runs` (mode 0700) and sweeps what dead runs left there and in
    /// /run/netns.
    ///
    /// # Errors
    /// Not root, or the directory cannot be made.
    pub fn open(cache: &Path) -> Result<Self, LabError> {
        if !files::is_root() {
            return Err(LabError::NotRoot);
        }
        let runs = cache.join("runs");
        files::create_dir_all(&runs)?;
        // One sweeper or opener at a time: a directory without its lock yet would be taken for a dead run's.
        let _gate = FileLock::wait(&runs.join(".gate"))?;
        sweep(&runs)?;
        let directory = WorkDir::new_in(&runs, PREFIX)?;
        let lock = FileLock::wait(&directory.join(LOCK))?;
        let path = directory.path().to_owned();
        Ok(Self(Arc::new(Inner {
            directory: Some(directory),
            path,
            keep: AtomicBool::new(false),
            _lock: lock,
        })))
    }

    /// Where the run's files lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Six characters that tell this run from every other on this machine.
    #[must_use]
    pub fn tag(&self) -> &str {
        let name = self.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(PREFIX).unwrap_or(name)
    }

    /// The run's network namespace, as `ip netns` names it.
    #[must_use]
    pub fn namespace(&self) -> String {
        namespace(self.tag())
    }

    /// Leaves the directory and the namespace in place when the run ends, with a machine that still runs in them;
    /// the first run after that machine's end removes them.
    ///
    /// # Errors
    /// The note for that later run cannot be written.
    pub fn leave(&self, machine: u32) -> Result<PathBuf, LabError> {
        files::write(&self.path().join(LEFT_RUNNING), machine.to_string().as_bytes())?;
        self.0.keep.store(true, Ordering::Relaxed);
        Ok(self.path().to_owned())
    }

    pub(crate) fn is_left(&self) -> bool {
        self.0.keep.load(Ordering::Relaxed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.keep.load(Ordering::Relaxed)
            && let Some(directory) = self.directory.take()
        {
            let _ = directory.keep();
        }
    }
}

fn namespace(tag: &str) -> String {
    format!("xenup-{tag}")
}

/// Removes directories and namespaces of runs that are over.
fn sweep(runs: &Path) -> Result<(), LabError> {
    for directory in files::list(runs)? {
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(tag) = name.strip_prefix(PREFIX) else { continue };
        let Ok(Some(_lock)) = FileLock::attempt(&directory.join(LOCK)) else { continue };
        if machine_lives(&directory, tag) {
            continue;
        }
        remove_namespace(&namespace(tag));
        files::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// Whether the machine that was left running is still there, and is not another process with its number.
fn machine_lives(directory: &Path, tag: &str) -> bool {
    let Ok(pid) = files::read_text(&directory.join(LEFT_RUNNING)) else { return false };
    let command = files::read(&Path::new("/proc").join(pid.trim()).join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains(&namespace(tag))
}

/// Removes a network namespace and what was in it; that it is gone already is as good.
pub(crate) fn remove_namespace(name: &str) {
    if files::exists(&Path::new("/run/netns").join(name)) && find_program("ip").is_some() {
        let _ = Tool::new("ip").args(["netns", "del", name]).output();
    }
}

#[cfg(test)]
mod tests {
    use super::{LEFT_RUNNING, LOCK, Lab, sweep};
    use xenup_system::files::{self, FileLock};

    #[test]
    fn dead_runs_are_swept_and_living_ones_are_not() {
        let cache = tempfile::tempdir().unwrap();
        let runs = cache.path();
        for tag in ["run-dead", "run-live", "run-left"] {
            files::create_dir_all(&runs.join(tag)).unwrap();
            files::write(&runs.join(tag).join(LOCK), b"").unwrap();
        }
        files::create_dir_all(&runs.join("other")).unwrap();
        // A process id that cannot be: the machine that was left running has ended.
        files::write(&runs.join("run-left").join(LEFT_RUNNING), b"4194305").unwrap();
        let _held = FileLock::wait(&runs.join("run-live").join(LOCK)).unwrap();
        sweep(runs).unwrap();
        let left: Vec<_> =
            files::list(runs).unwrap().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(left, ["other", "run-live"]);
    }

    #[test]
    fn a_run_removes_its_directory() {
        if !files::is_root() {
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let lab = Lab::open(cache.path()).unwrap();
        let path = lab.path().to_owned();
        assert_eq!(lab.tag().len(), 6);
        assert!(files::exists(&path));
        drop(lab);
        assert!(!files::exists(&path));
    }
}
