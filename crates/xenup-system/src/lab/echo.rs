//! Echo probes at a steady rate from another network namespace, each with the time it was sent and answered.
//!
//! It measures and judges nothing: what counts as lost is the caller's business. Needs CAP_SYS_ADMIN to enter the
//! namespace. By ICMP, the machine that is probed needs nothing but its kernel, and the prober CAP_NET_RAW; by UDP,
//! somebody has to listen there ([`super::udp::Answerer`]).

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use super::{enter, icmp};

/// Who is asked, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Echo requests, which the kernel answers.
    Icmp(Ipv4Addr),
    /// Datagrams to a port.
    Udp(SocketAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(ip) => write!(f, "{ip}"),
            Self::Udp(address) => write!(f, "{address}"),
        }
    }
}

/// Probes that could not be sent or counted.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} to probe {target} from {}", namespace.display())]
pub struct EchoError {
    /// The verb, as it reads in the sentence.
    pub operation: &'static str,
    /// Who was to be probed.
    pub target: Target,
    /// The namespace's file.
    pub namespace: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

/// One probe: times since the prober's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it was handed to the kernel, or the kernel refused it.
    pub sent: Duration,
    /// When its reply was read; `None` where none came.
    pub answered: Option<Duration>,
}

/// What a prober has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Echoes {
    /// Every probe, in the order of sending.
    pub samples: Vec<Sample>,
    /// Ticks at which nothing was sent because this machine was too busy: they say nothing about the other one.
    pub skipped: u64,
}

/// A thread in the namespace that sends and listens until it is stopped or dropped.
#[derive(Debug)]
pub struct Prober {
    stop: OwnedFd,
    ended: Receiver<()>,
    thread: Option<JoinHandle<Result<Echoes, EchoError>>>,
    started: Instant,
}

impl Prober {
    /// Starts to probe `target` once per `interval` from the network namespace behind `namespace` (a file as
    /// /run/netns/NAME or /proc/PID/ns/net).
    pub fn start(namespace: &Path, target: Target, interval: Duration) -> Result<Self, EchoError> {
        let place = Place { namespace: namespace.to_owned(), target };
        let stop = eventfd(0, EventfdFlags::CLOEXEC)
            .map_err(|e| place.error("make an event descriptor", e.into()))?;
        let waiting = stop.try_clone().map_err(|e| place.error("make an event descriptor", e))?;
        let (ready, is_ready) = channel();
        let (end, ended) = channel();
        let started = Instant::now();
        let thread = std::thread::Builder::new()
            .name("echo".into())
            .spawn({
                let place = place.clone();
                move || {
                    let _end: Sender<()> = end;
                    probe(&place, interval, started, &waiting, ready)
                }
            })
            .map_err(|e| place.error("start a thread", e))?;
        let mut prober = Self { stop, ended, thread: Some(thread), started };
        // The sender is dropped unused where the thread fails first: its error says why.
        if is_ready.recv().is_err() {
            prober.finish()?;
        }
        Ok(prober)
    }

    /// The time since the start, on the scale of the samples.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets it probe for this long; `false` where it has ended by itself before.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        matches!(self.ended.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    /// Why it has ended by itself; nothing where it still goes on.
    pub fn failure(&mut self) -> Result<(), EchoError> {
        if self.thread.as_ref().is_some_and(|thread| thread.is_finished()) {
            self.finish()?;
        }
        Ok(())
    }

    /// Stops sending, waits at most `grace` for replies that are on their way, and returns what was seen.
    pub fn stop(mut self, grace: Duration) -> Result<Echoes, EchoError> {
        self.signal(grace);
        self.finish()
    }

    fn signal(&self, grace: Duration) {
        let milliseconds = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX - 2);
        // Zero would not wake the reader of an eventfd, hence the one more. A full counter has been signalled before.
        let _ =
            rustix::io::write(&self.stop, &milliseconds.saturating_add(1).min(u64::MAX - 1).to_ne_bytes());
    }

    fn finish(&mut self) -> Result<Echoes, EchoError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Echoes::default()),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.signal(Duration::ZERO);
            let _ = self.finish();
        }
    }
}

#[derive(Debug, Clone)]
struct Place {
    namespace: PathBuf,
    target: Target,
}

impl Place {
    fn error(&self, operation: &'static str, source: io::Error) -> EchoError {
        EchoError { operation, target: self.target, namespace: self.namespace.clone(), source }
    }

    /// A socket in the namespace, which this thread enters for good.
    fn socket(&self) -> Result<OwnedFd, EchoError> {
        enter(&self.namespace).map_err(|e| self.error("enter the namespace", e))?;
        let (family, kind, protocol) = match self.target {
            Target::Icmp(_) => (AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)),
            Target::Udp(SocketAddr::V4(_)) => (AddressFamily::INET, SocketType::DGRAM, None),
            Target::Udp(SocketAddr::V6(_)) => (AddressFamily::INET6, SocketType::DGRAM, None),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, kind, flags, protocol)
            .map_err(|e| self.error("open a socket", e.into()))?;
        let to = match self.target {
            Target::Icmp(ip) => SocketAddr::V4(SocketAddrV4::new(ip, 0)),
            Target::Udp(address) => address,
        };
        rustix::net::connect(&socket, &to).map_err(|e| self.error("find a route", e.into()))?;
        Ok(socket)
    }

    fn timer(&self, interval: Duration) -> Result<OwnedFd, EchoError> {
        let every =
            Timespec::try_from(interval).map_err(|e| self.error("set a timer", io::Error::other(e)))?;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)
            .map_err(|e| self.error("make a timer", e.into()))?;
        let spec = Itimerspec { it_interval: every, it_value: every };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)
            .map_err(|e| self.error("set a timer", e.into()))?;
        Ok(timer)
    }
}

fn probe(
    place: &Place,
    interval: Duration,
    started: Instant,
    stop: &OwnedFd,
    ready: Sender<()>,
) -> Result<Echoes, EchoError> {
    let (socket, timer) = (place.socket()?, place.timer(interval)?);
    // The caller waits in `start` as long as this sender lives, so it is there.
    let _ = ready.send(());
    // Any number will do as long as two probers of one namespace differ; the clock's nanoseconds do.
    let identifier = u16::try_from(started.elapsed().subsec_nanos() & 0xffff).unwrap_or_default();
    let form = match place.target {
        Target::Icmp(_) => Form::Icmp { identifier },
        Target::Udp(_) => Form::Number,
    };
    let mut line = Line { socket, form, started, echoes: Echoes::default() };
    let failed = |e: io::Error| place.error("send or receive", e);
    loop {
        let mut fds = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(&timer, PollFlags::IN),
            PollFd::new(&line.socket, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(failed(e.into())),
        }
        let [stopped, tick, arrived] = fds.map(|fd| !fd.revents().is_empty());
        if arrived {
            line.receive().map_err(failed)?;
        }
        if stopped {
            let grace = counter(stop).map_err(failed)?.saturating_sub(1);
            line.drain(Duration::from_millis(grace)).map_err(failed)?;
            return Ok(line.echoes);
        }
        if tick {
            line.echoes.skipped += counter(&timer).map_err(failed)?.saturating_sub(1);
            line.send().map_err(failed)?;
        }
    }
}

/// The count that an eventfd or timerfd hands out as eight bytes of this machine's order.
fn counter(fd: &OwnedFd) -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::io::read(fd, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// What a probe looks like on the wire.
#[derive(Clone, Copy)]
enum Form {
    Icmp {
        identifier: u16,
    },
    /// The probe's number in eight bytes.
    Number,
}

impl Form {
    fn request(self, number: u64) -> Vec<u8> {
        match self {
            Self::Icmp { identifier } => icmp::request(identifier, number).to_vec(),
            Self::Number => number.to_be_bytes().to_vec(),
        }
    }

    /// The number of the probe that a packet answers.
    fn reply(self, packet: &[u8]) -> Option<u64> {
        match self {
            Self::Icmp { identifier } => icmp::reply(packet, identifier),
            Self::Number => Some(u64::from_be_bytes(packet.try_into().ok()?)),
        }
    }
}

struct Line {
    socket: OwnedFd,
    form: Form,
    started: Instant,
    echoes: Echoes,
}

impl Line {
    fn send(&mut self) -> io::Result<()> {
        let message = self.form.request(self.echoes.samples.len() as u64);
        self.echoes.samples.push(Sample { sent: self.started.elapsed(), answered: None });
        match rustix::net::send(&self.socket, &message, SendFlags::empty()) {
            Ok(_) => Ok(()),
            Err(e) if unreachable(e) || matches!(e, Errno::AGAIN | Errno::NOBUFS | Errno::PERM) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes in all that has arrived.
    fn receive(&mut self) -> io::Result<()> {
        let mut packet = [0; 2048];
        loop {
            let length = match rustix::net::recv(&self.socket, &mut packet, RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(e) if unreachable(e) || e == Errno::INTR => continue,
                Err(e) => return Err(e.into()),
            };
            let answered = self.started.elapsed();
            let number = packet.get(..length).and_then(|packet| self.form.reply(packet));
            let sample = number
                .and_then(|number| usize::try_from(number).ok())
                .and_then(|number| self.echoes.samples.get_mut(number));
            if let Some(sample) = sample {
                // A second copy of a reply does not move the first one's time.
                sample.answered.get_or_insert(answered);
            }
        }
    }

    fn drain(&mut self, grace: Duration) -> io::Result<()> {
        let deadline = Instant::now() + grace;
        while self.echoes.samples.last().is_some_and(|last| last.answered.is_none()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(()),
                Ok(_) => self.receive()?,
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// What the kernel answers while the other machine does not: the probe counts as lost, and probing goes on.
fn unreachable(error: Errno) -> bool {
    matches!(
        error,
        Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::CONNREFUSED
    )
}
