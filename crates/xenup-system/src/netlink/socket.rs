//! A conversation with the kernel over one netlink socket. Never decides what is asked.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xenup_machine::{MachineError, Reason};

use super::wire::{ACK, DONE, DUMP, DUMP_INTERRUPTED, ERROR, Message, Writer, messages};

/// The kernel's messages fit: it fills at most 32 KiB per datagram (netlink_dump in net/netlink/af_netlink.c).
const DATAGRAM: usize = 64 << 10;
/// How often a dump that changed on the way is taken again before it is accepted as it is.
const DUMP_RETRIES: usize = 8;

/// What the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error's number, positive.
    pub(super) errno: i32,
    /// The extended acknowledgement; empty where there is none.
    pub(super) text: String,
}

impl Refusal {
    /// Returns whether the error is one of these.
    pub(super) fn is(&self, errnos: &[rustix::io::Errno]) -> bool {
        errnos.iter().any(|errno| errno.raw_os_error() == self.errno)
    }

    /// Returns the error for callers, about `subject`.
    pub(super) fn about(&self, doing: &'static str, subject: &str) -> MachineError {
        let error = io::Error::from_raw_os_error(self.errno);
        let reason = match Reason::of_io(&error) {
            Reason::Other => Reason::Network,
            sorted => sorted,
        };
        let reason =
            if self.errno == rustix::io::Errno::NODEV.raw_os_error() { Reason::NotFound } else { reason };
        let words = if self.text.is_empty() { error.to_string() } else { format!("{error}: {}", self.text) };
        MachineError::new(doing, subject, reason, words)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error());
        Self { errno, text: String::new() }
    }
}

/// An open netlink socket.
pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens an rtnetlink socket for questions and changes.
    pub(super) fn open() -> Result<Self, Refusal> {
        Self::open_on(NETLINK_ROUTE)
    }

    /// Opens a socket of a protocol (`NETLINK_*`).
    pub(super) fn open_on(protocol: isize) -> Result<Self, Refusal> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Both only make errors more telling; a kernel before 4.12 or 4.2 that has neither still answers.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Opens a socket that hears the events of a multicast group (`RTNLGRP_*`).
    pub(super) fn listen(group: u32) -> Result<Self, Refusal> {
        let connection = Self::open()?;
        connection.socket.add_membership(group)?;
        Ok(connection)
    }

    fn send(&mut self, message: Writer) -> Result<u32, Refusal> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let bytes = message.finish(self.sequence);
        self.socket.send(&bytes, 0)?;
        Ok(self.sequence)
    }

    /// Receives one datagram, waiting for it.
    fn receive(&mut self) -> Result<(), Refusal> {
        self.buffer.clear();
        self.buffer.reserve(DATAGRAM);
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has a change made, and waits for the acknowledgement.
    pub(super) fn execute(&mut self, mut message: Writer) -> Result<(), Refusal> {
        message.add_flags(ACK);
        self.ask(message, &mut |_| {})
    }

    /// Asks for one thing; `each` is given what comes before the acknowledgement.
    pub(super) fn ask(&mut self, message: Writer, each: &mut dyn FnMut(Message<'_>)) -> Result<(), Refusal> {
        let sequence = self.send(message)?;
        loop {
            self.receive()?;
            for message in messages(&self.buffer).filter(|message| message.sequence == sequence) {
                if message.kind == ERROR {
                    return match message.error() {
                        (0, _) => Ok(()),
                        (errno, text) => Err(Refusal { errno, text }),
                    };
                }
                each(message);
            }
        }
    }

    /// Asks for all of a kind; what came is handed to `each` only when the dump was whole, so that a retry after a
    /// change on the way shows nothing twice.
    pub(super) fn dump(
        &mut self,
        kind: u16,
        body: &[u8],
        attributes: &dyn Fn(&mut Writer),
        each: &mut dyn FnMut(Message<'_>),
    ) -> Result<(), Refusal> {
        let mut all = Vec::new();
        for _ in 0..DUMP_RETRIES {
            let mut message = Writer::new(kind, DUMP, body);
            attributes(&mut message);
            let sequence = self.send(message)?;
            all.clear();
            if self.collect(sequence, &mut all)? {
                break;
            }
        }
        messages(&all).for_each(each);
        Ok(())
    }

    /// Gathers the answer to a dump; `false` where it changed on the way.
    fn collect(&mut self, sequence: u32, all: &mut Vec<u8>) -> Result<bool, Refusal> {
        let mut steady = true;
        loop {
            self.receive()?;
            let mut done = None;
            for message in messages(&self.buffer).filter(|message| message.sequence == sequence) {
                steady &= message.flags & DUMP_INTERRUPTED == 0;
                if message.kind == DONE || message.kind == ERROR {
                    done = Some(message.error());
                }
            }
            all.extend_from_slice(&self.buffer);
            // A datagram is padded to four bytes within, but not at its end.
            all.resize(all.len().next_multiple_of(4), 0);
            match done {
                Some((0, _)) => return Ok(steady),
                Some((errno, text)) => return Err(Refusal { errno, text }),
                None => {}
            }
        }
    }

    /// Hands events to `each` until it returns `true`; `Ok(false)` when `deadline` passes before. Events that were lost
    /// because too many came at once end it with [`rustix::io::Errno::NOBUFS`].
    pub(super) fn events(
        &mut self,
        deadline: Instant,
        each: &mut dyn FnMut(Message<'_>) -> bool,
    ) -> Result<bool, Refusal> {
        loop {
            if !readable(self.socket.as_fd(), deadline)? {
                return Ok(false);
            }
            self.receive()?;
            let mut found = false;
            messages(&self.buffer).for_each(|message| found |= each(message));
            if found {
                return Ok(true);
            }
        }
    }
}

/// Waits until something can be read, or the deadline passes (`false`).
pub(super) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
