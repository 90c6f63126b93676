//! Talks to a running child over its pipes in one poll(2) loop: what is said, what is kept, when it is over.
//!
//! It never starts or kills anything: the caller does.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};

/// A line longer than this is handed on in parts, so that a program without newlines cannot fill the memory.
const LONGEST_LINE: usize = 64 << 10;
/// The most that is kept of its standard error: the newest bytes.
const STDERR_KEPT: usize = 64 << 10;
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum End {
    Exited,
    TimedOut,
    TooMuch,
}

/// Where standard output goes.
pub(super) enum Sink<'a> {
    Keep { bytes: Vec<u8>, limit: usize },
    Lines { each: &'a mut dyn FnMut(&str), out: Vec<u8>, err: Vec<u8> },
}

impl Sink<'_> {
    /// Takes bytes of standard output; `false` where there are more than the caller wants.
    fn stdout(&mut self, new: &[u8]) -> bool {
        match self {
            Self::Keep { bytes, limit } => {
                bytes.extend_from_slice(new);
                bytes.len() <= *limit
            }
            Self::Lines { each, out, .. } => {
                feed_lines(out, new, each);
                true
            }
        }
    }

    fn stderr(&mut self, new: &[u8]) {
        if let Self::Lines { each, err, .. } = self {
            feed_lines(err, new, each);
        }
    }

    /// What was kept; a last line without its newline is handed on.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        match self {
            Self::Keep { bytes, .. } => std::mem::take(bytes),
            Self::Lines { each, out, err } => {
                for rest in [out, err].into_iter().filter(|rest| !rest.is_empty()) {
                    each(&String::from_utf8_lossy(rest));
                    rest.clear();
                }
                Vec::new()
            }
        }
    }
}

/// Adds bytes to an unfinished line and hands on each line that they complete; a carriage return ends a line too,
/// because progress meters use it.
fn feed_lines(pending: &mut Vec<u8>, new: &[u8], each: &mut dyn FnMut(&str)) {
    for &byte in new {
        let ends = byte == b'\n' || byte == b'\r';
        if !ends {
            pending.push(byte);
        }
        if (ends && !pending.is_empty()) || pending.len() >= LONGEST_LINE {
            each(&String::from_utf8_lossy(pending));
            pending.clear();
        }
    }
}

/// The pipes of a running child and what is still to be said and heard.
pub(super) struct Conversation<'a> {
    pidfd: OwnedFd,
    stdin: Option<std::process::ChildStdin>,
    to_write: &'a [u8],
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
    pub(super) stderr_tail: Vec<u8>,
    deadline: Option<Instant>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(child: &mut Child, stdin: &'a [u8], timeout: Option<Duration>) -> io::Result<Self> {
        let pidfd = pidfd(child)?;
        let talk = Self {
            pidfd,
            stdin: child.stdin.take(),
            to_write: stdin,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            stderr_tail: Vec::new(),
            deadline: timeout.map(|limit| Instant::now() + limit),
        };
        for fd in [talk.stdin.as_ref().map(AsFd::as_fd), talk.stdout.as_ref().map(AsFd::as_fd)]
            .into_iter()
            .chain([talk.stderr.as_ref().map(AsFd::as_fd)])
            .flatten()
        {
            let flags = rustix::fs::fcntl_getfl(fd)?;
            rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        }
        Ok(talk)
    }

    /// Talks until the child is gone. A descendant that keeps the pipes open (a daemon it started) is not waited for.
    pub(super) fn run(&mut self, sink: &mut Sink<'_>) -> io::Result<End> {
        loop {
            let Some(exited) = self.wait()? else { return Ok(End::TimedOut) };
            self.say()?;
            if !self.hear(sink)? {
                return Ok(End::TooMuch);
            }
            if exited {
                return Ok(End::Exited);
            }
        }
    }

    /// Waits for something to do: `Some(true)` where the child has exited, `None` where its time is over.
    fn wait(&self) -> io::Result<Option<bool>> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(self.stdin.as_ref().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        fds.extend(self.stdout.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(self.stderr.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        loop {
            let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Some(fds.first().is_some_and(|fd| !fd.revents().is_empty())))
    }

    fn say(&mut self) -> io::Result<()> {
        while let Some(pipe) = &mut self.stdin {
            if self.to_write.is_empty() {
                self.stdin = None;
                break;
            }
            match pipe.write(self.to_write) {
                Ok(n) => self.to_write = self.to_write.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A program that stops reading has heard enough; its status tells the rest.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.stdin = None,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads what is there now; `false` where it is more than the sink takes.
    fn hear(&mut self, sink: &mut Sink<'_>) -> io::Result<bool> {
        let kept = &mut self.stderr_tail;
        let mut enough = true;
        drain(&mut self.stderr, &mut |bytes| {
            sink.stderr(bytes);
            kept.extend_from_slice(bytes);
            if kept.len() > 2 * STDERR_KEPT {
                kept.drain(..kept.len() - STDERR_KEPT);
            }
            true
        })?;
        drain(&mut self.stdout, &mut |bytes| {
            enough = sink.stdout(bytes);
            enough
        })?;
        Ok(enough)
    }
}

/// Reads a non-blocking pipe until it is empty or `take` says stop; a closed pipe becomes `None`.
fn drain<R: Read>(pipe: &mut Option<R>, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut buffer = [0_u8; 1 << 16];
    while let Some(reader) = pipe {
        match reader.read(&mut buffer) {
            Ok(0) => *pipe = None,
            Ok(n) => {
                if !take(buffer.get(..n).unwrap_or_default()) {
                    break;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(super) fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = pid_of(child).ok_or(io::ErrorKind::InvalidData)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

pub(super) fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
