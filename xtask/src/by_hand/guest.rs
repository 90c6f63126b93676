//! A guest's disk and file, as docs/guests.md has them made.

use xenup_system::files;
use xenup_system::process::Tool;

use super::{Failure, Place};
use crate::claims::holds;

/// Returns whether GRUB for Xen finds a kernel on the disk, the file system is whole, and the file is one that xl takes.
pub(super) fn made(place: &Place) -> Result<bool, Failure> {
    let script =
        crate::shown::block("docs/guests.md", "mke2fs -t ext4 -O ^metadata_csum_seed,^orphan_file -d tree")?;
    let said = place.follow("guest", &format!("{script}\n"))?;
    let folder = place.folder.join("guest");
    let disk = folder.join("web.img");
    let whole = Tool::new("e2fsck").arg("-fn").arg(&disk).output()?.status.success();
    let config = files::read(&folder.join("web.cfg"))?;
    let read = xenup_core::guest::GuestFile::parse("web.cfg", config).is_ok();
    files::remove_dir_all(&folder)?;
    let boots = said.lines().any(|line| line.contains("vmlinuz"));
    if !boots {
        println!("{said}");
    }
    Ok(holds("guests.md: the disk has a kernel that GRUB boots", boots)
        & holds("guests.md: its file system is whole", whole)
        & holds("guests.md: its file can be read", read))
}
