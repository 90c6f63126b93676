//! Reads a disk without mounting it: its partition table, and what each partition holds.
//!
//! It decides what stands on a disk, from bytes that nobody vouches for: a guest's disk is untrusted input. It has no
//! effects of its own: the bytes come through [`ReadAt`]. Memory and reads are bounded whatever the disk says, and it
//! never panics.
//!
//! - [`ReadAt`], [`View`]: bytes by offset, and a part of them.
//! - [`table::read`]: MBR with logical partitions, GPT with its second copy.
//! - [`superblock::identify`]: file system, swap, LVM, LUKS or RAID member, with UUID and label.
//! - [`image::Image`]: a raw or qcow2 image as the disk it stands for.
//! - [`filesystem::FileSystem`]: files of ext2/3/4, xfs and btrfs; [`filesystem::Tree`] follows links through mounts.
//! - [`Budget`], [`Metered`]: an end to what a hostile disk can cost.

pub mod budget;
pub mod filesystem;
pub mod image;
pub mod read_at;
pub mod superblock;
pub mod table;

mod field;

pub use budget::{Budget, Metered};
pub use field::crc32;
pub use read_at::{ReadAt, ReadError, View};
