//! Which programs of this machine a build runs, and the Debian packages that have them. Never installs one.

use xenup_system::process::find_program;

use crate::error::ImageError;
use crate::spec::Format;

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

/// Checks that every program that a build of this format runs is there.
pub fn check(format: Format) -> Result<(), ImageError> {
    let extra: &[(&str, &str)] = match format {
        Format::Raw => &[],
        Format::Qcow2 => FOR_QCOW2,
        Format::RawZst => FOR_ZSTD,
    };
    let all: Vec<_> = REQUIRED.iter().chain(extra).copied().collect();
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
