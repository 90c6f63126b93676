//! A guest's disk: a base of a suite's packages, made once and kept, and copies of it that are given a name.
//!
//! It decides how a base is made and known again, and how a copy becomes one guest's disk without being mounted, booted
//! or entered. It never writes to a base that is kept, and never to a path where something stands.
//!
//! The disk is one ext4 file system without a partition table: GRUB for Xen reads it (it is `(xen/xvda)` there), it
//! grows with `resize2fs` alone ([`grow`]), and its UUID is set by `tune2fs`. docs/guests.md has what was measured.
//!
//! [`base`] → [`disk`], with [`debugfs`] for the files and [`check`] for what was written.

pub mod base;
pub(crate) mod check;
pub(crate) mod debugfs;
pub mod disk;
mod grow;
mod kept;
pub mod volume;

pub use base::{Base, BaseSpec, Manager, SMALLEST};
pub use disk::{Entry, GuestDisk};
pub use grow::grow;
pub use kept::About;
