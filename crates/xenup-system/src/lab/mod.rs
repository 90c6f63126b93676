//! What a laboratory of throw-away machines needs of this machine: local sockets that a child process joins, log
//! files that are written as bytes come, the time of day, and echo probes sent from another network namespace.
//!
//! It decides nothing about machines or scenarios and changes nothing outside the paths and namespaces it is given.

pub mod echo;
mod icmp;
pub mod log;
pub mod socket;

use std::time::{SystemTime, UNIX_EPOCH};

/// The seconds since 1970-01-01 00:00:00 UTC by this machine's clock, to set a guest's clock by; zero before that.
#[must_use]
pub fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
