//! Builds a bootable Debian disk: a suite's packages, a GPT disk with a BIOS-boot, an EFI and an ext4 partition (or a
//! btrfs one, and ext4 for /boot), and GRUB for both firmwares, without loop devices, mounts of the disk, or a running
//! GRUB installer.
//!
//! It decides how the disk is laid out and how its boot loader finds the system. It never touches this machine's own
//! disks or boot loader, and takes packages from no other mirror than those of this machine's own apt sources.
//!
//! What needs root: mmdebstrap in its root mode, and reading back the finished tree with its owners (`mke2fs -d`).
//! What this machine needs: see [`tools::REQUIRED`].
//!
//! A guest's disk is made another way: see [`guest`]. The disk of a Xen host, made without root and the same for the same
//! input, takes the same steps with some of its own: see [`host`].
//!
//! A medium that installs such a disk on bare metal: see [`medium`]; what its program does there: [`install`].
//!
//! The steps, in order ([`build`]): [`mirror`] → [`system_tree`] (mmdebstrap, cached) → [`configure`] → [`boot_loader`]
//! → [`disk`] → [`check`].

pub mod boot_loader;
pub mod check;
pub mod configure;
pub mod disk;
pub mod error;
pub mod guest;
pub mod host;
pub mod identity;
pub mod install;
pub mod medium;
pub mod mirror;
pub mod plain_tree;
pub mod progress;
pub mod spec;
pub mod system_tree;
pub mod tools;

mod bootstrap;
mod build;
mod digest;

pub use build::{Image, build, build_in};
pub use error::ImageError;
pub use progress::{Progress, StepTime};
pub use spec::{ExtraFile, FileSystem, Format, ImageSpec, Serial, Suite};
