//! Empties an inotify(7) descriptor: the callers look at the world anew, so what the events say does not matter.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::inotify;
use rustix::io::Errno;

/// Reads every event that is there, from a descriptor that does not block.
pub(crate) fn drain(fd: impl AsFd) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    loop {
        match reader.next() {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}
