//! The bytes of a serial line: a thread that always reads, so that a machine never waits for its reader, and the
//! transcript that it writes.
//!
//! It decides nothing about what the bytes mean.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use xenup_system::lab::log::LogFile;

/// How long the other end may refuse to take what is sent; a machine that stands still takes nothing.
const SEND: Duration = Duration::from_secs(60);

/// A connected serial line; closed when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    incoming: Receiver<Vec<u8>>,
}

/// What came within a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Bytes(Vec<u8>),
    Nothing,
    Closed,
}

impl Wire {
    /// Starts to read `stream`; every byte goes to `transcript` before anyone sees it.
    pub fn new(stream: UnixStream, mut transcript: LogFile) -> io::Result<Self> {
        stream.set_write_timeout(Some(SEND))?;
        let mut reader = stream.try_clone()?;
        let (sender, incoming) = channel();
        std::thread::Builder::new().name("console".into()).spawn(move || {
            let mut part = vec![0; 16 << 10];
            loop {
                match reader.read(&mut part) {
                    Ok(0) => return,
                    Ok(length) => {
                        let bytes = part.get(..length).unwrap_or_default().to_vec();
                        // A full disk must not stop the machine; the bytes still reach who waits for them.
                        let _ = transcript.append(&bytes);
                        if sender.send(bytes).is_err() {
                            return;
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
        Ok(Self { stream, incoming })
    }

    /// What comes next, waiting at most `limit`, with all that has come behind it.
    pub fn receive(&self, limit: Duration) -> Arrival {
        match self.incoming.recv_timeout(limit) {
            Ok(mut bytes) => {
                // One look at many bytes is far cheaper than a look at each of a slow line's few.
                self.incoming.try_iter().for_each(|more| bytes.extend(more));
                Arrival::Bytes(bytes)
            }
            Err(RecvTimeoutError::Timeout) => Arrival::Nothing,
            Err(RecvTimeoutError::Disconnected) => Arrival::Closed,
        }
    }

    /// Hands bytes over to the machine.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Ends the reader; an end that is closed already is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
