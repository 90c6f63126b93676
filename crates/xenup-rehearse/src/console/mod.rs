//! A machine's serial console: waiting for text, logging in, running commands and telling their output apart.
//!
//! It decides what counts as a prompt, an answer and an end. It waits for bytes, never for time to pass, and goes on
//! over reboots and power cuts of the machine: the transcript is one.

mod base64;
mod pattern;
mod shell;
mod view;
mod wire;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files::FileError;
use xenup_system::lab::log::LogFile;
use xenup_system::stopwatch::Stopwatch;

pub use pattern::{Match, Pattern};
pub use shell::CommandResult;
use wire::{Arrival, Wire};

/// How much of the newest text is kept for errors and excerpts.
const RECENT: usize = 256 << 10;
/// The lines that an error carries.
const LINES_IN_ERROR: usize = 40;

/// The console did not go the way that was expected.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// What was waited for did not come.
    #[error("the console did not show {waiting_for} within {} s; its last lines:\n{tail}", .limit.as_secs())]
    Late {
        /// The pattern, or what it stands for.
        waiting_for: String,
        /// The time it was given.
        limit: Duration,
        /// The last 40 lines.
        tail: String,
    },
    /// The machine's end of the line was closed: QEMU has ended.
    #[error("the console was closed while it should show {waiting_for}; its last lines:\n{tail}")]
    Closed {
        /// The pattern, or what it stands for.
        waiting_for: String,
        /// The last 40 lines.
        tail: String,
    },
    /// What was sent was not taken.
    #[error("the console takes no input")]
    Send(#[source] io::Error),
    /// The name or the password was refused.
    #[error("the console refused the login of {user}; its last lines:\n{tail}")]
    Login {
        /// The user.
        user: String,
        /// The last 40 lines.
        tail: String,
    },
    /// A command was to run and nobody is logged in.
    #[error("nobody is logged in on the console, so `{command}` cannot run")]
    NoShell {
        /// The command.
        command: String,
    },
    /// A command that had to succeed did not.
    #[error("on the machine, `{command}` ended with status {status}; its last lines:\n{output}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// The last 40 lines that it printed.
        output: String,
    },
    /// A file did not come over the line whole.
    #[error("`{path}` did not come over the console whole")]
    Garbled {
        /// The file on the machine.
        path: String,
    },
    /// The transcript cannot be written.
    #[error("the console's transcript cannot be kept")]
    Transcript(#[from] FileError),
}

/// A serial console and its transcript.
#[derive(Debug)]
pub struct Console {
    wire: Option<Wire>,
    transcript: LogFile,
    /// What has come and was not consumed by a match.
    pending: Vec<u8>,
    /// The newest of all that has come.
    recent: Vec<u8>,
    /// Whether our shell is at the other end.
    shell: bool,
    /// Commands run so far, which makes their markers unique.
    commands: u64,
    /// The byte that came last.
    last: u8,
}

impl Console {
    /// A console that is not connected yet; its transcript is appended to this file.
    ///
    /// # Errors
    /// The transcript cannot be opened.
    pub fn new(transcript: &Path) -> Result<Self, ConsoleError> {
        Ok(Self {
            wire: None,
            transcript: LogFile::open(transcript)?,
            pending: Vec::new(),
            recent: Vec::new(),
            shell: false,
            commands: 0,
            last: 0,
        })
    }

    /// Connects it to a machine that has just been switched on.
    ///
    /// # Errors
    /// No thread to read it with.
    pub fn attach(&mut self, stream: UnixStream) -> Result<(), ConsoleError> {
        self.detach();
        self.wire = Some(Wire::new(stream, self.transcript.try_clone()?).map_err(ConsoleError::Send)?);
        Ok(())
    }

    /// Closes the line; what had come and was not expected is dropped.
    pub fn detach(&mut self) {
        self.wire = None;
        self.pending.clear();
        self.shell = false;
    }

    /// The file with all that the machine ever wrote here.
    #[must_use]
    pub fn transcript(&self) -> PathBuf {
        self.transcript.path().to_owned()
    }

    /// Waits until the pattern has come, and takes it and all before it.
    ///
    /// # Errors
    /// It did not come in time, or the machine has ended; the error carries the last 40 lines.
    pub fn expect(&mut self, pattern: &Pattern, limit: Duration) -> Result<Match, ConsoleError> {
        self.expect_as(pattern, limit, &pattern.to_string())
    }

    fn expect_as(&mut self, pattern: &Pattern, limit: Duration, name: &str) -> Result<Match, ConsoleError> {
        let watch = Stopwatch::start();
        let mut searched = 0;
        loop {
            if let Some(found) = pattern.find(&self.pending, searched) {
                let taken: Vec<u8> = self.pending.drain(..found.end).collect();
                let (before, matched) = taken.split_at(found.start);
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                return Ok(Match { index: found.index, before: text(before), matched: text(matched) });
            }
            searched = self.pending.len();
            let left = limit.saturating_sub(watch.elapsed());
            match self.receive(left) {
                Received::Some => {}
                Received::Closed => {
                    let tail = self.tail(LINES_IN_ERROR);
                    return Err(ConsoleError::Closed { waiting_for: name.to_owned(), tail });
                }
                Received::Nothing if left.is_zero() => {
                    let tail = self.tail(LINES_IN_ERROR);
                    return Err(ConsoleError::Late { waiting_for: name.to_owned(), limit, tail });
                }
                Received::Nothing => {}
            }
        }
    }

    /// Sends text as it is; `\n` is what the Enter key sends.
    ///
    /// # Errors
    /// The machine is off or takes nothing.
    pub fn send(&mut self, text: &str) -> Result<(), ConsoleError> {
        let off = || ConsoleError::Send(io::Error::from(io::ErrorKind::NotConnected));
        self.wire.as_mut().ok_or_else(off)?.send(text.as_bytes()).map_err(ConsoleError::Send)
    }

    /// What has come and nobody expected, readable; it is taken.
    pub fn drain(&mut self) -> String {
        while self.receive(Duration::ZERO) == Received::Some {}
        let taken = std::mem::take(&mut self.pending);
        pattern::readable(&taken)
    }

    /// The last lines that have come, expected or not, without terminal control sequences and without what the
    /// harness wraps around its commands: a command is a line after "# ".
    pub fn tail(&mut self, lines: usize) -> String {
        while self.receive(Duration::ZERO) == Received::Some {}
        last_lines(&view::as_read(&pattern::readable(&self.recent)), lines)
    }

    /// Whether the machine's end is open.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.wire.is_some()
    }

    /// Takes what the state of the machine was: after a restored snapshot the shell of then is at the other end.
    pub(crate) fn rewind(&mut self, shell: bool) {
        while self.receive(Duration::ZERO) == Received::Some {}
        self.pending.clear();
        self.shell = shell;
    }

    /// Whether [`Console::run`] has a shell to run in.
    #[must_use]
    pub fn has_shell(&self) -> bool {
        self.shell
    }

    /// Xen puts a carriage return of its own before the newline that dom0's terminal has put one before already.
    fn one_return(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if byte != b'\r' || self.last != b'\r' {
                kept.push(byte);
            }
            self.last = byte;
        }
        kept
    }

    fn receive(&mut self, limit: Duration) -> Received {
        let Some(wire) = &self.wire else { return Received::Closed };
        match wire.receive(limit) {
            Arrival::Bytes(bytes) => {
                let bytes = self.one_return(&bytes);
                self.recent.extend_from_slice(&bytes);
                let surplus = self.recent.len().saturating_sub(RECENT);
                self.recent.drain(..surplus);
                self.pending.extend_from_slice(&bytes);
                Received::Some
            }
            Arrival::Nothing => Received::Nothing,
            Arrival::Closed => Received::Closed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Some,
    Nothing,
    Closed,
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}
