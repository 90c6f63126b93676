//! The state file of a piece of work: who does it, and how it ended.
//!
//! Two lines at most: `PID STARTTICKS`, then `exit CODE`. It lives where a reboot empties it, because process ids do
//! not survive one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::proc_stat::ProcStat;

/// The variable in which a starter names the state file.
pub(super) const STATE_VARIABLE: &str = "XENUP_SERVICE_STATE";

/// How a piece of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    With(u8),
    /// Without a word: it was killed.
    Killed,
}

pub(super) fn path(dir: &Path, unit: &str) -> PathBuf {
    dir.join(format!("{unit}.state"))
}

/// Says that the work has begun, in the process that does it: writes the state file and tells the starter.
/// Does nothing in a process that no [`super::start`] started.
///
/// # Errors
/// The state file cannot be written.
pub fn enter() -> io::Result<()> {
    let Some(path) = std::env::var_os(STATE_VARIABLE).map(PathBuf::from) else { return Ok(()) };
    let start = own_start_ticks()?;
    // A restart by the service manager begins anew: the line replaces what was there.
    std::fs::write(&path, format!("{} {start}\n", std::process::id()))?;
    crate::notify::ready()?;
    Ok(())
}

/// Notes the exit code, as the last thing before the process ends. Does nothing outside [`super::start`].
///
/// # Errors
/// The state file cannot be written; the looker then takes it for killed, which errs on the safe side.
pub fn leave(code: u8) -> io::Result<()> {
    let Some(path) = std::env::var_os(STATE_VARIABLE).map(PathBuf::from) else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
    file.write_all(format!("exit {code}\n").as_bytes())
}

fn own_start_ticks() -> io::Result<u64> {
    start_ticks(std::process::id())?.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// When a process started, in ticks since boot; `None` where there is none of that number.
pub(super) fn start_ticks(pid: u32) -> io::Result<Option<u64>> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => Ok(ProcStat::parse(&text).map(|stat| stat.start_ticks)),
        // ESRCH: it ended between open(2) and read(2).
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a state file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    pub(super) exit: Option<u8>,
}

impl State {
    /// Reads the text of a state file; `None` where it is not one (or not yet).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (pid, start) = lines.next()?.split_once(' ')?;
        let exit = lines.next().and_then(|line| line.strip_prefix("exit ")?.parse().ok());
        Some(Self { pid: pid.parse().ok()?, start_ticks: start.parse().ok()?, exit })
    }

    pub(super) fn ended(self) -> Ended {
        self.exit.map_or(Ended::Killed, Ended::With)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, State};

    #[test]
    fn a_state_file_tells_the_end_or_nothing() {
        let running = State::parse("812 4711\n").unwrap();
        assert_eq!((running.pid, running.start_ticks, running.ended()), (812, 4711, Ended::Killed));
        assert_eq!(State::parse("812 4711\nexit 6\n").unwrap().ended(), Ended::With(6));
        for bad in ["", "812", "x 1\n", "812 y\n", "-1 1\n"] {
            assert_eq!(State::parse(bad), None, "{bad:?}");
        }
    }
}
