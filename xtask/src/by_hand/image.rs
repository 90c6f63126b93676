//! A disk that boots as a Xen host by BIOS and by UEFI, as docs/images.md has it made.

use std::path::{Path, PathBuf};

use xenup_system::files::{self, DiskFile};
use xenup_system::process::Tool;

use super::{Failure, Place, started};
use crate::claims::holds;

/// Where the page has the root begin.
pub(super) const ROOT: u64 = 135_168 * 512;
/// Where it has GRUB's core image.
const CORE: u64 = 2048;

pub(super) fn disk(place: &Place) -> PathBuf {
    place.folder.join("image/disk.raw")
}

/// Returns whether firmware and GRUB find what they look for, up to kernel and hypervisor.
pub(super) fn made(place: &Place) -> Result<bool, Failure> {
    let blocks = [
        crate::shown::block("docs/images.md", "root=$(cat /proc/sys/kernel/random/uuid)")?,
        crate::shown::block("docs/images.md", "grub-mkimage -O x86_64-efi")?,
        crate::shown::block("docs/images.md", "sfdisk disk.raw <<END")?,
    ];
    place.follow("image", &started::emulated(&(blocks.join("\n") + "\n")))?;
    let (folder, disk) = (place.folder.join("image"), disk(place));
    let verified = Tool::new("sfdisk").arg("--verify").arg(&disk).output()?.text();
    let root = format!("{}?offset={ROOT}", disk.display());
    let whole = Tool::new("e2fsck").args(["-fn", &root]).output()?.status.success();
    let efi = folder.join("back.efi");
    let from = format!("{}@@{}", disk.display(), 4096 * 512);
    Tool::new("mcopy").args(["-i", &from, "::/EFI/BOOT/BOOTX64.EFI"]).arg(&efi).run()?;
    let same_efi = files::read(&efi)? == files::read(&folder.join("bootx64.efi"))?;
    let listed = |folder: &str| -> Result<String, Failure> {
        Ok(Tool::new("debugfs").args(["-R", &format!("ls {folder}"), &root]).run()?.text())
    };
    let there = listed("/boot")?.contains("xen-4.17-amd64.gz") && listed("/")?.contains("initrd.img");
    Ok(holds("images.md: the partition table has no errors", verified.contains("No errors"))
        & holds("images.md: the BIOS finds GRUB, and GRUB itself", by_bios(&folder, &disk)?)
        & holds("images.md: UEFI finds GRUB", same_efi)
        & holds("images.md: the root is whole", whole)
        & holds("images.md: the hypervisor and an initramfs are where the menu has them", there))
}

/// Puts the same system on btrfs; last of all, because the page takes /boot out of the tree.
pub(super) fn with_btrfs(place: &Place) -> Result<bool, Failure> {
    let block = crate::shown::block("docs/images.md", "mkfs.btrfs -U \"$root\" --rootdir tree")?;
    let script = format!("root=$(cat /proc/sys/kernel/random/uuid)\n{block}");
    let folder = place.folder.join("image");
    Tool::new("sh").args(["-euc", &script]).current_dir(&folder).timeout(super::LIMIT).run()?;
    let disk = folder.join("btrfs.raw");
    let verified = Tool::new("sfdisk").arg("--verify").arg(&disk).output()?.text();
    let boot = format!("{}?offset={ROOT}", disk.display());
    let menu = Tool::new("debugfs").args(["-R", "ls /grub", &boot]).run()?.text().contains("grub.cfg");
    let root = folder.join("root.btrfs");
    let whole = Tool::new("btrfs").args(["check", "--readonly"]).arg(&root).output()?.status.success();
    let placed = Tool::new("cmp").args(["-i", "0:1142947840"]).arg(&root).arg(&disk).output()?.text();
    for file in [root, disk] {
        files::remove_file(&file)?;
    }
    Ok(holds("images.md: with btrfs the partition table has no errors", verified.contains("No errors"))
        & holds("images.md: GRUB's menu is on /boot's own file system", menu)
        & holds("images.md: the btrfs is whole, and in its place", whole && placed.is_empty()))
}

/// Writes it to a disk of 6 GiB, as docs/medium.md has it done in a rescue system; returns whether the root has all of that.
pub(super) fn installed(place: &Place) -> Result<bool, Failure> {
    let script = crate::shown::block("docs/medium.md", "sfdisk --relocate gpt-bak-std")?;
    // A file has no partitions that the kernel would show, and no bytes of before between those that are written.
    let here = [
        ("lsblk ", ": "),
        ("of=/dev/DISK bs=4M conv=fsync", "of=/dev/DISK bs=4M conv=notrunc,sparse"),
        ("partx --update", ":"),
        ("/dev/DISK3", "\"$part\""),
        ("/dev/DISK", "large.raw"),
    ];
    let script = here.iter().fold(script, |script, (theirs, ours)| script.replace(theirs, ours));
    let script = format!(
        "truncate -s 6G large.raw\npart=$(losetup --find --show --offset {ROOT} large.raw)\n\
                          trap 'losetup --detach \"$part\"' EXIT\n{script}"
    );
    let folder = place.folder.join("image");
    Tool::new("sh").args(["-euc", &script]).current_dir(&folder).timeout(super::LIMIT).run()?;
    let large = folder.join("large.raw");
    let verified = Tool::new("sfdisk").arg("--verify").arg(&large).output()?.text();
    let root = format!("{}?offset={ROOT}", large.display());
    let said = Tool::new("dumpe2fs").args(["-h", &root]).run()?.text();
    let blocks = said.lines().find_map(|line| line.strip_prefix("Block count:"));
    let blocks: u64 = blocks.unwrap_or_default().trim().parse()?;
    files::remove_file(&large)?;
    Ok(holds("medium.md: the table is whole on a larger disk", verified.contains("No errors"))
        & holds("medium.md: the root has the rest of it", blocks * 4096 > (5 << 30)))
}

/// The first sector's mark and code, the place that it has of the core image, and the place that this has of its rest.
fn by_bios(folder: &Path, disk: &Path) -> Result<bool, Failure> {
    let file = DiskFile::open(disk)?;
    let read = |at: u64| -> Result<u64, Failure> {
        let mut bytes = [0; 8];
        file.read_at(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let mut mark = [0; 2];
    file.read_at(510, &mut mark)?;
    let boot = files::read(&folder.join("tree/boot/grub/i386-pc/boot.img"))?;
    let core = files::read(&folder.join("core.img"))?;
    let mut code = [0; 0x5a];
    file.read_at(0, &mut code)?;
    let mut first = [0; 0x1f4];
    file.read_at(CORE * 512, &mut first)?;
    Ok(mark == [0x55, 0xaa]
        && boot.starts_with(&code)
        && core.starts_with(&first)
        && read(0x5c)? == CORE
        && read(CORE * 512 + 0x1f4)? == CORE + 1)
}
