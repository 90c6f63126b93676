//! The readiness protocol of sd_notify(3): one datagram that says "started, and the work has begun".
//!
//! Decides nothing. Both ends are here: a service says it, and where systemd is not running its starter listens.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// The variable in which a starter names its socket.
pub(crate) const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// What a service sends.
const READY: &[u8] = b"READY=1";

/// Tells whoever started this process that it is ready; `false` where nobody asked.
///
/// # Errors
/// The socket is named but cannot be written to.
pub fn ready() -> io::Result<bool> {
    let Some(name) = std::env::var_os(SOCKET_VARIABLE) else { return Ok(false) };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(READY, &address(&name)?)?;
    Ok(true)
}

/// A leading `@` stands for the NUL byte of the abstract name space (sd_notify(3)).
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(name),
    }
}

/// The listening end.
#[derive(Debug)]
pub(crate) struct Listener(UnixDatagram);

impl Listener {
    /// Binds a fresh socket at `path`.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Returns a descriptor that becomes readable with the next message.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns whether a message that is there says "ready".
    pub(crate) fn said_ready(&self) -> io::Result<bool> {
        let mut message = [0; 256];
        match self.0.recv(&mut message) {
            Ok(length) => {
                Ok(message.get(..length).unwrap_or_default().split(|byte| *byte == b'\n').any(|l| l == READY))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
