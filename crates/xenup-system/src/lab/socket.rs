//! Local (unix) sockets between this process and a program that it started.
//!
//! A path may be longer than the 107 bytes that an address holds: it is reached through its directory's descriptor.
//! Waiting is poll(2) with a deadline, never a pause and another look.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::files::FileError;

/// A socket that the started program is to connect to.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds `path`, replacing a socket that a dead run left there.
    pub fn bind(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError { operation: "listen on", path: path.to_owned(), source };
        crate::files::remove_file(path)?;
        let socket = through_directory(path, |short| UnixListener::bind(short)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// The connection of the program behind `pidfd`; `None` where the program ended or `limit` passed before it came.
    pub fn accept(&self, pidfd: BorrowedFd<'_>, limit: Duration) -> Result<Option<UnixStream>, FileError> {
        self.wait(pidfd, limit).map_err(|source| FileError {
            operation: "accept a connection on",
            path: self.path.clone(),
            source,
        })
    }

    fn wait(&self, pidfd: BorrowedFd<'_>, limit: Duration) -> io::Result<Option<UnixStream>> {
        let deadline = Instant::now() + limit;
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(Some(stream));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = [
                PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
            ];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(None),
                // A connection that is there is taken even where the program has ended since.
                Ok(_) if fds[0].revents().is_empty() => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Connects to the socket at `path`.
pub fn connect(path: &Path) -> Result<UnixStream, FileError> {
    through_directory(path, |short| UnixStream::connect(short)).map_err(|source| FileError {
        operation: "connect to",
        path: path.to_owned(),
        source,
    })
}

fn through_directory<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let directory = File::open(directory)?;
    with(&PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}
