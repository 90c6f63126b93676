//! Ending what a hanging `apply` left running in its foreground.
//!
//! A run that is killed in the middle of a step leaves that step's program behind, which would go on while the step
//! is undone. Such a program shares the session of the run; a daemon that a step started has one of its own and is
//! left alone. Decides which processes those are. Never ends the run itself: the lock's seizure does.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// How long one process may take to end after SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// How often the list of processes is read again.
const ROUNDS: usize = 8;

/// The session of a run, taken down while the run still lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreground {
    session: u32,
    except: u32,
}

/// Returns the session of the process that `holder` (a lock's text, `PID STARTTICKS WHAT`) describes; `None` where it
/// is gone, is in our own session, or does not lead a session (then others share it, and nothing may be swept).
#[must_use]
pub fn foreground_of(holder: &str) -> Option<Foreground> {
    let mut words = holder.split_ascii_whitespace();
    let pid: u32 = words.next()?.parse().ok()?;
    let start: u64 = words.next()?.parse().ok()?;
    let stat = stat(pid)?;
    let own = stat_session(std::process::id());
    (stat.start == start && stat.session == pid && Some(stat.session) != own)
        .then_some(Foreground { session: stat.session, except: pid })
}

impl Foreground {
    /// Ends every process of the session but its leader; returns how many there were.
    #[must_use]
    pub fn end(self) -> usize {
        // A member may have forked while the list was read; one that keeps forking is given up on.
        let passes = (0..ROUNDS).map(|_| self.end_those_listed());
        passes.take_while(|&ended| ended > 0).sum()
    }

    fn end_those_listed(self) -> usize {
        let members = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = members.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|&pid| pid != self.except && self.end_one(pid)).count()
    }

    fn end_one(self, pid: u32) -> bool {
        let Some(pidfd) = open(pid) else { return false };
        // Read after the pidfd was opened: the number cannot have changed hands since.
        if !stat(pid).is_some_and(|stat| stat.session == self.session && stat.alive) {
            return false;
        }
        if rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).is_err() {
            return false;
        }
        let limit = Timespec::try_from(KILL_WAIT).ok();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        // One that does not end in time sleeps in the kernel; the undo goes on and judges by what it re-reads.
        let _ = rustix::io::retry_on_intr(|| poll(&mut fds, limit.as_ref()));
        true
    }
}

fn open(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().filter(|&pid| pid > 1).and_then(Pid::from_raw)?;
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => None,
        pidfd => pidfd.ok(),
    }
}

struct Stat {
    alive: bool,
    session: u32,
    start: u64,
}

fn stat_session(pid: u32) -> Option<u32> {
    stat(pid).map(|stat| stat.session)
}

/// Fields 3, 6 and 22 of proc_pid_stat(5); the name before them may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    Some(Stat {
        // A zombie has ended, and waits for a parent that may never ask.
        alive: !matches!(*fields.first()?, "Z" | "X"),
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}
