//! The sleep of a guard: until a moment on CLOCK_BOOTTIME, or until the journal changes, whichever is first.
//!
//! Decides nothing about what it wakes for. A suspend counts, a change of the wall clock does not.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::inotify_drain::drain;

/// Why a guard woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something in the watched directory was written or made.
    Changed,
    /// The moment has come.
    Deadline,
}

/// A guard's alarm clock, and its ear at the journal.
#[derive(Debug)]
pub struct Sleeper {
    timer: OwnedFd,
    changes: OwnedFd,
}

impl Sleeper {
    /// Watches a directory. Whoever reads it after this call and before [`Sleeper::wait`] misses nothing.
    ///
    /// # Errors
    /// The directory is not there, or the kernel has no timer or watch left.
    pub fn watching(directory: &Path) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let events =
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&changes, directory, events | inotify::WatchFlags::ONLYDIR)?;
        Ok(Self { timer, changes })
    }

    /// Sleeps until `deadline_ns` nanoseconds since boot. A deadline that has passed wins over a change.
    ///
    /// # Errors
    /// The kernel's timer or poll(2) fails.
    pub fn wait(&self, deadline_ns: u64) -> io::Result<Wake> {
        // Zero would disarm it; one nanosecond after boot is as much in the past.
        let at = deadline_ns.max(1);
        let value = Timespec {
            tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        let mut fds = [PollFd::new(&self.timer, PollFlags::IN), PollFd::new(&self.changes, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        let [timer, _] = &fds;
        if timer.revents().contains(PollFlags::IN) {
            return Ok(Wake::Deadline);
        }
        drain(&self.changes)?;
        Ok(Wake::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Sleeper, Wake};

    #[test]
    fn a_change_wakes_it_before_the_deadline_and_a_past_deadline_wakes_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let sleeper = Sleeper::watching(dir.path()).unwrap();
        std::fs::write(dir.path().join("journal"), "x").unwrap();
        assert_eq!(sleeper.wait(u64::MAX).unwrap(), Wake::Changed);
        assert_eq!((sleeper.wait(0).unwrap(), sleeper.wait(0).unwrap()), (Wake::Deadline, Wake::Deadline));
        assert!(Sleeper::watching(&dir.path().join("absent")).is_err());
    }
}
