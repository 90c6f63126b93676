//! Somebody in another network namespace who sends every datagram back to where it came from.
//!
//! Decides nothing: what is lost is told by who asked. Needs CAP_SYS_ADMIN to enter the namespace.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::enter;
use crate::files::FileError;

/// A thread in the namespace that answers until it is dropped, over IPv4 and IPv6.
#[derive(Debug)]
pub struct Answerer {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Answerer {
    /// Answers on that port of every address in the network namespace behind `namespace`, addresses that come later
    /// included.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the port is taken there.
    pub fn start(namespace: &Path, port: u16) -> Result<Self, FileError> {
        let place = namespace.to_owned();
        let failed = |source| FileError { operation: "answer in", path: place.clone(), source };
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let waiting = stop.try_clone().map_err(failed)?;
        let (ready, is_ready) = channel();
        let thread = std::thread::Builder::new()
            .name("answer".into())
            .spawn({
                let namespace = namespace.to_owned();
                move || answer(&namespace, port, &waiting, &ready)
            })
            .map_err(failed)?;
        let answerer = Self { stop, thread: Some(thread) };
        let said = is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("its thread has ended")));
        said.map_err(failed).map(|()| answerer)
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        // A counter that is full has woken it before.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(namespace: &Path, port: u16, stop: &OwnedFd, ready: &Sender<io::Result<()>>) {
    let socket = enter(namespace).and_then(|()| {
        // An IPv6 socket on every address takes IPv4's datagrams too.
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    let socket = match socket {
        Ok(socket) => socket,
        // The caller waits for this word.
        Err(error) => return drop(ready.send(Err(error))),
    };
    let _ = ready.send(Ok(()));
    let mut buffer = [0; 2048];
    loop {
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // What cannot be sent is lost, which is for the asker to see.
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}
