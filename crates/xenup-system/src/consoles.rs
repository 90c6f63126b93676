//! The consoles of a machine on which nothing else runs: everything is written to all of them, and whoever answers first on
//! one is listened to.
//!
//! It decides which they are (those that the kernel writes to), and that an answer is a line. It never decides what is
//! asked.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::files;

/// The longest line that is taken: an RSA key with its comment is shorter.
const LONGEST: usize = 16 << 10;

/// Terminals that are asked on.
#[derive(Debug)]
pub struct Consoles {
    all: Vec<Console>,
}

#[derive(Debug)]
struct Console {
    path: PathBuf,
    file: File,
    line: Vec<u8>,
    gone: bool,
}

impl Consoles {
    /// Every console that the kernel writes to (/sys/class/tty/console/active); /dev/console where none can be opened.
    ///
    /// # Errors
    /// There is none.
    pub fn of_the_kernel() -> io::Result<Self> {
        let active = files::read_text(Path::new("/sys/class/tty/console/active")).unwrap_or_default();
        let paths = active.split_whitespace().map(|name| Path::new("/dev").join(name));
        let mut all: Vec<Console> = paths.filter_map(|path| Console::open(path).ok()).collect();
        if all.is_empty() {
            all.push(Console::open("/dev/console".into())?);
        }
        Ok(Self { all })
    }

    /// The terminal of this process.
    ///
    /// # Errors
    /// It has none.
    pub fn of_this_process() -> io::Result<Self> {
        Ok(Self { all: vec![Console::open("/dev/tty".into())?] })
    }

    /// Writes to all of them; one that fails is left out from then on.
    pub fn write(&mut self, text: &str) {
        for console in self.all.iter_mut().filter(|console| !console.gone) {
            console.gone = console.file.write_all(text.as_bytes()).is_err();
        }
    }

    /// Waits for a line on any of them, and shows it on the others. `hidden` is not shown anywhere. `None` where `limit`
    /// passes, or all of them are gone.
    pub fn read_line(&mut self, hidden: bool, limit: Option<Duration>) -> Option<String> {
        self.echo(!hidden);
        let line = self.next_line(limit);
        self.echo(true);
        let (from, line) = line?;
        let shown = if hidden { "\n".to_owned() } else { format!("{line}\n") };
        for (index, console) in self.all.iter_mut().enumerate() {
            // A terminal that echoes has shown the line and its end already.
            if index != from || hidden {
                console.gone |= console.file.write_all(shown.as_bytes()).is_err();
            }
        }
        Some(line)
    }

    fn next_line(&mut self, limit: Option<Duration>) -> Option<(usize, String)> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        loop {
            let open: Vec<usize> =
                (0..).zip(&self.all).filter(|(_, c)| !c.gone).map(|(index, _)| index).collect();
            let ready: Vec<usize> = {
                let files = open.iter().filter_map(|index| self.all.get(*index));
                let mut fds: Vec<PollFd<'_>> = files
                    .map(|console| PollFd::from_borrowed_fd(console.file.as_fd(), PollFlags::IN))
                    .collect();
                if fds.is_empty() || poll(&mut fds, limit.as_ref()).unwrap_or(0) == 0 {
                    return None;
                }
                let woken = open.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
                woken.map(|(index, _)| *index).collect()
            };
            for index in ready {
                if let Some(line) = self.all.get_mut(index).and_then(Console::take) {
                    return Some((index, line));
                }
            }
        }
    }

    fn echo(&self, on: bool) {
        for console in &self.all {
            if let Ok(mut mode) = tcgetattr(&console.file) {
                mode.local_modes.set(LocalModes::ECHO | LocalModes::ICANON, true);
                mode.local_modes.set(LocalModes::ECHO, on);
                // A terminal that does not obey shows what is typed, and the answer counts all the same.
                let _ = tcsetattr(&console.file, OptionalActions::Now, &mode);
            }
        }
    }

    /// Forgets what was typed before it was asked for.
    pub fn forget_typed(&mut self) {
        for console in &mut self.all {
            let _ = rustix::termios::tcflush(&console.file, rustix::termios::QueueSelector::IFlush);
            console.line.clear();
        }
    }

    /// By which paths they were opened.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        self.all.iter().map(|console| console.path.as_path()).collect()
    }
}

impl Console {
    fn open(path: PathBuf) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path)?;
        Ok(Self { path, file, line: Vec::new(), gone: false })
    }

    /// Reads what is there; the line, where that ends one.
    fn take(&mut self) -> Option<String> {
        let mut buffer = [0; 1024];
        let read = match self.file.read(&mut buffer) {
            Ok(read) if read > 0 => read,
            _ => {
                self.gone = true;
                return None;
            }
        };
        self.line.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let end = self.line.iter().position(|byte| *byte == b'\n');
        if end.is_none() && self.line.len() > LONGEST {
            self.line.clear();
        }
        let line: Vec<u8> = self.line.drain(..=end?).collect();
        let text = String::from_utf8_lossy(&line);
        Some(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}
