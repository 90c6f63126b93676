//! A medium's system onto a disk of this machine.
//!
//! It decides the order of the writes ([`write()`]): the partition table that is there stays whole until everything else has
//! been read back. What is on the disk and whether it may go is the caller's decision, made before ([`xenup_core::install`]).

pub mod own;
pub mod source;
pub mod write;

pub use own::Own;
pub use source::MediumFile;
pub use write::{Failure, Phase, Table, Tell, write};
