//! The kernel's network over rtnetlink(7) and, for what a NIC does by itself, generic netlink: reading it whole, and carrying
//! out link operations in order.
//!
//! Decides: how each question and operation is put to the kernel, and which of its words reach the caller. Synchronous,
//! one socket per task, no state kept. A socket belongs to the network namespace of the thread that opens it.
//! Never decides what the network should be.

mod change;
mod dump;
mod features;
#[cfg(fuzzing)]
pub mod fuzzing;
mod neighbour;
mod socket;
mod wire;

pub(crate) use change::{change_links, change_links_telling};
pub(crate) use dump::network;
pub(crate) use neighbour::neighbour_answers;
