//! The edge: the only crate that reads or changes files, processes, links and devices of the machine it runs on.
//!
//! It decides nothing about Xen: it does what it is asked and reports what came of it.
#![allow(clippy::disallowed_methods, reason = "this crate is the edge that the ban points everyone else to")]

pub mod apt_state;
pub mod block_device;
pub mod consoles;
pub mod disk_copy;
pub mod environment;
pub mod files;
pub mod guard;
pub mod guest_reader;
mod inotify_drain;
pub mod lab;
mod lock;
pub mod namespace;
mod netlink;
pub mod notify;
pub mod parallel;
pub mod power;
pub mod proc_stat;
pub mod process;
pub mod root;
mod run;
pub mod service;
pub mod session;
pub mod stopwatch;
mod system;
pub mod tree;
pub mod tree_listing;
mod write;
mod xattr;

#[cfg(fuzzing)]
pub use netlink::fuzzing;

pub use environment::Environment;
pub use system::{System, boottime_ns};
