//! What a laboratory of throw-away machines needs of this machine: local sockets that a child process joins, log
//! files that are written as bytes come, the time of day, and traffic between network namespaces: echo probes, somebody
//! who answers them, connections that are talked over.
//!
//! It decides nothing about machines or scenarios and changes nothing outside the paths and namespaces it is given.

pub mod echo;
mod icmp;
pub mod links;
pub mod log;
pub mod socket;
pub mod tcp;
pub mod udp;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Moves this thread, for good, into the network namespace behind a file as /run/netns/NAME.
fn enter(namespace: &Path) -> io::Result<()> {
    let file = File::open(namespace)?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// The seconds since 1970-01-01 00:00:00 UTC by this machine's clock, to set a guest's clock by; zero before that.
#[must_use]
pub fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
