//! Reads a disk without mounting it: its partition table, and what each partition holds.
//!
//! It decides what stands on a disk, from bytes that nobody vouches for: a guest's disk is untrusted input. It has no
//! effects of its own: the bytes come through [`ReadAt`]. It allocates no more than a few MiB whatever the disk says,
//! reads a bounded number of sectors, and never panics.
//!
//! - [`ReadAt`], [`View`]: bytes by offset, and a part of them.
//! - [`table::read`]: MBR with logical partitions, GPT with its second copy.
//! - [`superblock::identify`]: file system, swap, LVM, LUKS or RAID member, with UUID and label.

pub mod read_at;
pub mod superblock;
pub mod table;

mod field;

pub use read_at::{ReadAt, ReadError, View};
