//! The lock that keeps two runs apart, and how the guard takes it from a run that hangs.
//!
//! The lock is flock(2) on a file, so that it ends with its process however that dies; the text in it,
//! `PID STARTTIME WHAT`, is for whoever is refused. Never decides when a lock may be seized.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use xenup_machine::{Lock, MachineError, Reason};

use crate::proc_stat::ProcStat;
use crate::root::{Root, failed};

/// How long a process may take to end after SIGKILL: one in an uninterruptible wait on a dying disk takes for ever.
const KILL_WAIT: Duration = Duration::from_secs(30);
/// The most of a lock file that is read: it holds one short line.
const TEXT_LIMIT: u64 = 4096;

/// Tries to take the lock; the file keeps it while it is open.
pub(crate) fn take(root: &Root, path: &Path, owner: &str) -> Result<(Lock, Option<File>), MachineError> {
    let mut file = open(root, path)?;
    let fail = |error: &std::io::Error| MachineError::from_io("lock", path, error);
    match file.try_lock() {
        Ok(()) => {
            let start = start_ticks(std::process::id()).unwrap_or(0);
            let text = format!("{} {start} {owner}\n", std::process::id());
            file.set_len(0).map_err(|error| fail(&error))?;
            file.write_all(text.as_bytes()).map_err(|error| fail(&error))?;
            Ok((Lock::Taken, Some(file)))
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = Vec::new();
            file.seek(SeekFrom::Start(0)).map_err(|error| fail(&error))?;
            file.take(TEXT_LIMIT).read_to_end(&mut text).map_err(|error| fail(&error))?;
            Ok((Lock::HeldBy(String::from_utf8_lossy(&text).trim_end().to_owned()), None))
        }
        Err(TryLockError::Error(error)) => Err(fail(&error)),
    }
}

fn open(root: &Root, path: &Path) -> Result<File, MachineError> {
    let place = root.place("lock", path)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::openat(&place.dir, &place.name, flags, mode).map(File::from).map_err(failed("lock", path))
}

/// Ends the process a lock text describes, if it is still that process.
///
/// The pidfd is opened before the start time is read: from then on the number cannot come to mean another process.
pub(crate) fn end_holder(path: &Path, holder: &str) -> Result<(), MachineError> {
    let refuse = |words: String| MachineError::at("seize", path, Reason::Other, words);
    let mut words = holder.split_ascii_whitespace();
    let (pid, start) = words
        .next()
        .and_then(|pid| pid.parse::<i32>().ok())
        .zip(words.next().and_then(|start| start.parse::<u64>().ok()))
        .filter(|&(pid, _)| pid > 1 && u32::try_from(pid) != Ok(std::process::id()))
        .ok_or_else(|| refuse(format!("`{holder}` names no other process")))?;
    let id = Pid::from_raw(pid).ok_or_else(|| refuse(format!("`{holder}` names no other process")))?;
    let pidfd = match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        pidfd => pidfd.map_err(failed("seize", path))?,
    };
    match start_ticks(pid.cast_unsigned()) {
        Some(found) if found == start => {}
        // Gone, or another process by the same number: the holder has ended, which is what was wanted.
        _ => return Ok(()),
    }
    // Its step's program would go on while the step is undone; which one that is can be told only while it lives.
    let foreground = crate::guard::foreground_of(holder);
    match rustix::process::pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => return Err(failed("seize", path)(errno)),
    }
    let limit = Timespec::try_from(KILL_WAIT).ok();
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut fds, limit.as_ref())) {
        Ok(0) => {
            let words = format!("process {pid} did not end within {} s of SIGKILL", KILL_WAIT.as_secs());
            Err(MachineError::at("seize", path, Reason::TimedOut, words))
        }
        Ok(_) => {
            foreground.map(crate::guard::Foreground::end);
            Ok(())
        }
        Err(errno) => Err(failed("seize", path)(errno)),
    }
}

fn start_ticks(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    ProcStat::parse(&text).map(|stat| stat.start_ticks)
}
