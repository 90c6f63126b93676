//! The readers of netlink messages, for a fuzzer: in no build that ships.

use super::dump;
use super::features;
use super::neighbour;
use super::wire::messages;

/// Reads bytes as if the kernel or a neighbour had sent them.
pub fn netlink(bytes: &[u8]) {
    for message in messages(bytes) {
        let _ = message.error();
        dump::read_any(message);
        features::read_any(message);
    }
    neighbour::read_any(bytes);
}
