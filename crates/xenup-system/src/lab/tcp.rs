//! Connections between two network namespaces that are talked over, a byte there and the same byte back, one after the
//! other; and what became of them: the longest wait of each, segments sent again, connections that broke.
//!
//! Judges nothing. Needs CAP_SYS_ADMIN to enter the namespaces.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use super::enter;
use crate::files::FileError;

/// One direction: who opens connections, and to where.
#[derive(Debug, Clone)]
pub struct Way {
    /// The namespace's file of who opens them and asks.
    pub from: PathBuf,
    /// The namespace's file of who answers.
    pub to: PathBuf,
    /// The address there.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// What became of the connections of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    /// For each connection the longest wait for an answer.
    pub longest: Vec<Duration>,
    /// Answers that came.
    pub answers: u64,
    /// Connections that ended.
    pub broken: u64,
    /// Segments that the namespace of who asks has sent again meanwhile, of all its connections.
    pub sent_again: u64,
}

/// Connections that are talked over until they are stopped.
#[derive(Debug)]
pub struct Conversations {
    stop: OwnedFd,
    asking: Option<JoinHandle<io::Result<Talk>>>,
    answering: Option<JoinHandle<io::Result<()>>>,
    namespace: PathBuf,
}

impl Conversations {
    /// Opens `count` connections and asks over one after the other, over each once in `interval`.
    ///
    /// # Errors
    /// A namespace that cannot be entered, or a connection that cannot be opened.
    pub fn start(way: &Way, count: u32, interval: Duration) -> Result<Self, FileError> {
        let failed = |source| FileError { operation: "talk from", path: way.from.clone(), source };
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let (listening, is_listening) = channel();
        let (connected, is_connected) = channel();
        let spawn = std::thread::Builder::new;
        let answering = {
            let (way, stop) = (way.clone(), stop.try_clone().map_err(failed)?);
            spawn().name("answers".into()).spawn(move || {
                let listener = enter(&way.to).and_then(|()| TcpListener::bind((way.address, way.port)))?;
                // Who started this waits for the word, here and below.
                let _ = listening.send(());
                let streams: io::Result<Vec<TcpStream>> =
                    listener.incoming().take(count as usize).map(|stream| stream.and_then(quick)).collect();
                answer(streams?, &stop)
            })
        };
        let answering = Some(answering.map_err(failed)?);
        let namespace = way.from.clone();
        let mut all = Self { stop, asking: None, answering, namespace };
        if is_listening.recv().is_err() {
            return Err(all.end().err().unwrap_or_else(|| failed(io::Error::other("nobody listens"))));
        }
        let asking = {
            let (way, stop) = (way.clone(), all.stop.try_clone().map_err(failed)?);
            spawn().name("asks".into()).spawn(move || {
                enter(&way.from)?;
                let open = |_| TcpStream::connect((way.address, way.port)).and_then(quick);
                let streams: Vec<TcpStream> = (0..count).map(open).collect::<io::Result<_>>()?;
                let _ = connected.send(());
                ask(streams, interval / count.max(1), &stop)
            })
        };
        all.asking = Some(asking.map_err(failed)?);
        if is_connected.recv().is_err() {
            return Err(all.end().err().unwrap_or_else(|| failed(io::Error::other("nobody asks"))));
        }
        Ok(all)
    }

    /// Stops, and returns what became of them.
    ///
    /// # Errors
    /// What ended them before.
    pub fn stop(mut self) -> Result<Talk, FileError> {
        self.end()
    }

    fn end(&mut self) -> Result<Talk, FileError> {
        // A counter that is full has woken both before.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        let failed = |source| FileError { operation: "talk from", path: self.namespace.clone(), source };
        let ended = || io::Error::other("a thread has panicked");
        let talk = self.asking.take().map(|thread| thread.join().unwrap_or_else(|_| Err(ended())));
        // While nobody asks, who waits for a connection is not woken: it ends with the program.
        let answering = self.answering.take().filter(|_| talk.is_some());
        let answered = answering.map(|thread| thread.join().unwrap_or_else(|_| Err(ended())));
        answered.unwrap_or(Ok(())).map_err(failed)?;
        talk.unwrap_or_else(|| Ok(Talk::default())).map_err(failed)
    }
}

impl Drop for Conversations {
    fn drop(&mut self) {
        if self.asking.is_some() {
            let _ = self.end();
        }
    }
}

fn quick(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn wait(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    match poll(fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Sends back what comes, until it is stopped.
fn answer(streams: Vec<TcpStream>, stop: &OwnedFd) -> io::Result<()> {
    let mut streams: Vec<Option<TcpStream>> = streams.into_iter().map(Some).collect();
    let mut buffer = [0; 64];
    loop {
        let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
        fds.extend(streams.iter().flatten().map(|stream| PollFd::new(stream, PollFlags::IN)));
        wait(&mut fds)?;
        let woken: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if woken.first() == Some(&true) {
            return Ok(());
        }
        let there = streams.iter_mut().filter(|stream| stream.is_some());
        for (stream, _) in there.zip(woken.iter().skip(1)).filter(|(_, woken)| **woken) {
            let Some(open) = stream else { continue };
            let goes_on = match open.read(&mut buffer) {
                Ok(0) => false,
                Ok(length) => open.write_all(buffer.get(..length).unwrap_or_default()).is_ok(),
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if !goes_on {
                *stream = None;
            }
        }
    }
}

struct Asked {
    /// `None` once it has broken.
    stream: Option<TcpStream>,
    /// When the byte was sent whose answer is still to come.
    since: Option<Instant>,
    longest: Duration,
}

impl Asked {
    fn ask(&mut self) {
        if self.since.is_none()
            && let Some(stream) = &mut self.stream
        {
            match stream.write_all(&[1]) {
                Ok(()) => self.since = Some(Instant::now()),
                Err(_) => self.stream = None,
            }
        }
    }

    /// Takes an answer in; whether one came.
    fn hear(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        match stream.read(&mut [0; 8]) {
            Ok(0) => self.stream = None,
            Ok(_) => {
                self.note();
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.stream = None,
        }
        false
    }

    fn note(&mut self) {
        let waited = self.since.take().map(|since| since.elapsed()).unwrap_or_default();
        self.longest = self.longest.max(waited);
    }
}

/// Asks over one after the other, until it is stopped.
fn ask(streams: Vec<TcpStream>, step: Duration, stop: &OwnedFd) -> io::Result<Talk> {
    let before = sent_again()?;
    let every = Timespec::try_from(step).map_err(io::Error::other)?;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let spec = Itimerspec { it_interval: every, it_value: every };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
    let asked = |stream| Asked { stream: Some(stream), since: None, longest: Duration::ZERO };
    let mut all: Vec<Asked> = streams.into_iter().map(asked).collect();
    let (mut next, mut answers) = (0_usize, 0_u64);
    loop {
        let open: Vec<usize> =
            (0..all.len()).filter(|at| all.get(*at).is_some_and(|one| one.stream.is_some())).collect();
        let mut fds = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(&timer, PollFlags::IN)];
        let streams = open.iter().filter_map(|at| all.get(*at)?.stream.as_ref());
        fds.extend(streams.map(|stream| PollFd::new(stream, PollFlags::IN)));
        wait(&mut fds)?;
        let woken: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (at, _) in open.iter().zip(woken.iter().skip(2)).filter(|(_, woken)| **woken) {
            answers += u64::from(all.get_mut(*at).is_some_and(Asked::hear));
        }
        if woken.first() == Some(&true) {
            all.iter_mut().filter(|one| one.since.is_some()).for_each(Asked::note);
            return Ok(Talk {
                longest: all.iter().map(|one| one.longest).collect(),
                answers,
                broken: all.iter().filter(|one| one.stream.is_none()).count() as u64,
                sent_again: sent_again()?.saturating_sub(before),
            });
        }
        if woken.get(1) == Some(&true) {
            rustix::io::read(&timer, &mut [0; 8])?;
            if let Some(one) = all.get_mut(next) {
                one.ask();
            }
            next = (next + 1) % all.len().max(1);
        }
    }
}

/// `RetransSegs` of this thread's namespace (RFC 4022, as /proc/net/snmp lays it out: names, then values).
fn sent_again() -> io::Result<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/thread-self/net/snmp"))?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let column = names.split(' ').position(|name| name == "RetransSegs");
    let value = column.and_then(|column| values.split(' ').nth(column)?.parse().ok());
    value.ok_or_else(|| io::Error::other("/proc/net/snmp has no RetransSegs"))
}
