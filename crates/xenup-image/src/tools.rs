//! Which programs of this machine a build runs, and the Debian packages that have them. Never installs one.

use std::path::Path;

use xenup_system::process::{Tool, find_program};

use crate::error::ImageError;
use crate::spec::{FileSystem, Format, ImageSpec};

/// Program and Debian package, for every build.
pub const REQUIRED: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("tar", "tar"),
    ("chroot", "coreutils"),
    ("sfdisk", "fdisk"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("mkfs.vfat", "dosfstools"),
    ("mmd", "mtools"),
    ("mcopy", "mtools"),
    ("apt-get", "apt"),
    ("apt-config", "apt"),
];

/// Program and Debian package, for qcow2 images.
pub const FOR_QCOW2: &[(&str, &str)] = &[("qemu-img", "qemu-utils")];

/// Program and Debian package, for compressed images.
pub const FOR_ZSTD: &[(&str, &str)] = &[("zstd", "zstd")];

/// Program and Debian package, for a root on btrfs.
pub const FOR_BTRFS: &[(&str, &str)] = &[("mkfs.btrfs", "btrfs-progs"), ("btrfs", "btrfs-progs")];

/// Where a system has its programs; the PATH of an ordinary user lacks half of them on Debian.
pub(crate) const PATH: (&str, &str) =
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// A program of a tree, run in it.
pub(crate) fn inside(tree: &Path, program: &str) -> Tool {
    Tool::new("chroot").env(PATH.0, PATH.1).arg(tree).arg(program)
}

/// Checks that every program that a build of this disk runs is there.
pub fn check(spec: &ImageSpec) -> Result<(), ImageError> {
    let for_format: &[(&str, &str)] = match spec.format {
        Format::Raw => &[],
        Format::Qcow2 => FOR_QCOW2,
        Format::RawZst => FOR_ZSTD,
    };
    let for_root: &[(&str, &str)] = match spec.filesystem {
        FileSystem::Ext4 => &[],
        FileSystem::Btrfs => FOR_BTRFS,
    };
    let all: Vec<_> = REQUIRED.iter().chain(for_format).chain(for_root).copied().collect();
    check_for(&all)
}

/// Checks that these programs are there, each named with its Debian package.
pub fn check_for(tools: &[(&str, &str)]) -> Result<(), ImageError> {
    let missing: Vec<_> = tools.iter().filter(|(program, _)| find_program(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<String> = missing.iter().map(|(_, package)| (*package).to_owned()).collect();
    packages.dedup();
    Err(ImageError::MissingTools {
        programs: missing.iter().map(|(p, _)| (*p).to_owned()).collect(),
        packages,
    })
}
