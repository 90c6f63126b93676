//! Looking at work: its log as it grows, and its end. Never disturbs it: reading is all that happens here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use super::state::{Ended, State, start_ticks};
use super::{ServiceError, at};
use crate::inotify_drain::drain;

/// A longer line is handed on in parts.
const LONGEST_LINE: usize = 64 << 10;

/// Somebody looking at a piece of work.
#[derive(Debug)]
pub struct Following {
    log: File,
    log_path: PathBuf,
    changes: OwnedFd,
    state: PathBuf,
    pid: u32,
    /// `None` where the process had ended before we looked.
    pidfd: Option<OwnedFd>,
    pending: Vec<u8>,
}

impl Following {
    pub(super) fn of(state: &Path, log_path: &Path, offset: u64) -> Result<Self, ServiceError> {
        let said = read_state(state)?;
        let mut log = File::open(log_path).map_err(at("open", log_path))?;
        log.seek(SeekFrom::Start(offset)).map_err(at("read", log_path))?;
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags).map_err(|e| at("watch", log_path)(e.into()))?;
        inotify::add_watch(&changes, log_path, inotify::WatchFlags::MODIFY)
            .map_err(|e| at("watch", log_path)(e.into()))?;
        let pidfd = open_process(said).map_err(at("look at the process of", state))?;
        let (log_path, state) = (log_path.to_owned(), state.to_owned());
        Ok(Self { log, log_path, changes, state, pid: said.pid, pidfd, pending: Vec::new() })
    }

    /// The process that does the work.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Hands on each line of the log as it comes, until the work ends; returns how it ended.
    ///
    /// # Errors
    /// The log or the state file can no longer be read.
    pub fn follow(&mut self, each: &mut dyn FnMut(&str)) -> Result<Ended, ServiceError> {
        loop {
            // Asked before the log is read: what was written before the end is then certainly read after it.
            let over = self.is_over()?;
            self.read_log(each)?;
            if over {
                self.flush(each);
                return Ok(read_state(&self.state)?.ended());
            }
            self.wait()?;
        }
    }

    fn is_over(&self) -> Result<bool, ServiceError> {
        let Some(pidfd) = &self.pidfd else { return Ok(true) };
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now))) {
            Ok(ready) => Ok(ready > 0),
            Err(errno) => Err(at("look at the process of", &self.state)(errno.into())),
        }
    }

    fn wait(&self) -> Result<(), ServiceError> {
        let mut fds = vec![PollFd::new(&self.changes, PollFlags::IN)];
        fds.extend(self.pidfd.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut fds, None))
            .and_then(|_| drain(&self.changes))
            .map_err(|errno| at("watch", &self.log_path)(errno.into()))
    }

    fn read_log(&mut self, each: &mut dyn FnMut(&str)) -> Result<(), ServiceError> {
        let mut buffer = [0; 8192];
        loop {
            let got = self.log.read(&mut buffer).map_err(at("read", &self.log_path))?;
            if got == 0 {
                return Ok(());
            }
            for &byte in buffer.get(..got).unwrap_or_default() {
                if byte != b'\n' {
                    self.pending.push(byte);
                }
                if byte == b'\n' || self.pending.len() >= LONGEST_LINE {
                    each(&String::from_utf8_lossy(&self.pending));
                    self.pending.clear();
                }
            }
        }
    }

    fn flush(&mut self, each: &mut dyn FnMut(&str)) {
        if !self.pending.is_empty() {
            each(&String::from_utf8_lossy(&self.pending));
            self.pending.clear();
        }
    }
}

/// Waits at most `limit` for the end of work started earlier in this boot; `false` where it still runs then.
/// Work that is not known has ended.
///
/// # Errors
/// A state file that cannot be read.
pub fn ended_within(state_dir: &Path, unit: &str, limit: Duration) -> Result<bool, ServiceError> {
    let path = super::state::path(state_dir, unit);
    if !path.exists() {
        return Ok(true);
    }
    let Some(pidfd) = open_process(read_state(&path)?).map_err(at("look at the process of", &path))? else {
        return Ok(true);
    };
    let limit = Timespec::try_from(limit).map_err(|e| at("wait for", &path)(std::io::Error::other(e)))?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))
        .map(|ready| ready > 0)
        .map_err(|errno| at("wait for", &path)(errno.into()))
}

fn read_state(path: &Path) -> Result<State, ServiceError> {
    let text = std::fs::read_to_string(path).map_err(at("read", path))?;
    let bad = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not a state file");
    State::parse(&text).ok_or_else(|| at("read", path)(bad()))
}

/// The pidfd is opened before the start time is read: from then on the number cannot come to mean another process.
fn open_process(said: State) -> std::io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(said.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        pidfd => pidfd?,
    };
    Ok((start_ticks(said.pid)? == Some(said.start_ticks)).then_some(pidfd))
}
