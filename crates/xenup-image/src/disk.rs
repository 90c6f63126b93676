//! The disk's layout and its writing: GPT with three partitions, so that one disk boots by BIOS and by UEFI; with btrfs a
//! fourth, for /boot.
//!
//! Everything is written into a plain file at computed offsets: no loop device, no mount.

use std::path::Path;
use std::time::Duration;

use xenup_system::files::{self, DiskFile};
use xenup_system::process::Tool;
use xenup_system::tree::TreeFiles;

use crate::boot_loader::BootImages;
use crate::error::{ImageError, during};
use crate::host::settle;
use crate::identity::Identity;
use crate::spec::{FileSystem, ImageSpec};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// The last MiB is left free: the second copy of the GPT ends the disk.
const TAIL: u64 = MIB;
/// Large enough for GRUB's core image (about 40 KiB), and the alignment of the next partition.
const BIOS_SIZE: u64 = MIB;
/// The least that UEFI firmwares take as FAT32 with 512-byte clusters is 33 MiB.
const EFI_SIZE: u64 = 64 * MIB;
/// Debian's kernels take 40 to 100 MiB each with their initramfs, and nobody makes it larger afterwards.
const BOOT_SIZE: u64 = 1 << 30;
const LIMIT: Duration = Duration::from_secs(1800);

/// GPT partition type: BIOS boot (GRUB's manual, "BIOS installation").
pub const TYPE_BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
/// GPT partition type: EFI system (UEFI specification, 5.3.3).
pub const TYPE_EFI: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
/// GPT partition type: Linux file system, as Debian's installer sets it.
pub const TYPE_LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// A part of the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub size: u64,
}

/// Where everything lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The whole disk's size in bytes.
    pub disk: u64,
    /// The root's file system.
    pub filesystem: FileSystem,
    /// The BIOS-boot partition (1).
    pub bios: Extent,
    /// The EFI partition (2).
    pub efi: Extent,
    /// The boot partition (3), where /boot is not in the root.
    pub boot: Option<Extent>,
    /// The root partition, the last one.
    pub root: Extent,
}

/// A partition as the table names it.
pub(crate) struct Part<'a> {
    pub extent: Extent,
    pub kind: &'static str,
    pub uuid: &'a str,
    pub name: &'static str,
}

impl Layout {
    /// The layout of a disk of this size, which is at least [`FileSystem::smallest`].
    #[must_use]
    pub fn of(size: u64, filesystem: FileSystem) -> Self {
        let disk = size / MIB * MIB;
        let bios = Extent { offset: MIB, size: BIOS_SIZE };
        let efi = Extent { offset: bios.offset + bios.size, size: EFI_SIZE };
        let behind = efi.offset + efi.size;
        let (boot, start) = match filesystem {
            FileSystem::Ext4 => (None, behind),
            FileSystem::Btrfs => (Some(Extent { offset: behind, size: BOOT_SIZE }), behind + BOOT_SIZE),
        };
        let root = Extent { offset: start, size: disk.saturating_sub(start + TAIL) };
        Self { disk, filesystem, bios, efi, boot, root }
    }

    /// The ext4 that GRUB reads and writes its files on: the root, or /boot.
    #[must_use]
    pub fn of_grub(&self) -> Extent {
        self.boot.unwrap_or(self.root)
    }

    /// The partitions in their order.
    pub(crate) fn parts<'a>(&self, identity: &'a Identity) -> Vec<Part<'a>> {
        let part = |extent, kind, uuid: &'a str, name| Part { extent, kind, uuid, name };
        let mut all = vec![
            part(self.bios, TYPE_BIOS_BOOT, &identity.bios_partition, "BIOS boot"),
            part(self.efi, TYPE_EFI, &identity.efi_partition, "EFI system"),
        ];
        all.extend(self.boot.map(|boot| part(boot, TYPE_LINUX, &identity.boot_partition, "boot")));
        all.push(part(self.root, TYPE_LINUX, &identity.root_partition, "root"));
        all
    }

    /// The partition table in sfdisk(8)'s words.
    #[must_use]
    pub fn sfdisk_script(&self, identity: &Identity) -> String {
        let mut text = format!("label: gpt\nlabel-id: {}\nunit: sectors\n", identity.disk);
        for Part { extent, kind, uuid, name } in self.parts(identity) {
            let (start, size) = (extent.offset / SECTOR, extent.size / SECTOR);
            text.push_str(&format!(
                "start={start}, size={size}, type={kind}, uuid={uuid}, name=\"{name}\"\n"
            ));
        }
        text
    }
}

/// Creates the disk file with its partition table and the root file system, which gets the tree's content, as /boot's own
/// does where it has one.
pub fn write_root(
    spec: &ImageSpec,
    identity: &Identity,
    tree: &Path,
    disk: &Path,
) -> Result<Layout, ImageError> {
    write_root_at(spec, identity, tree, disk, None)
}

/// As [`write_root`]; with `epoch` (seconds since 1970) as the time at which it was done.
pub fn write_root_at(
    spec: &ImageSpec,
    identity: &Identity,
    tree: &Path,
    disk: &Path,
    epoch: Option<u64>,
) -> Result<Layout, ImageError> {
    let layout = Layout::of(spec.size, spec.filesystem);
    drop(DiskFile::create(disk, layout.disk)?);
    Tool::new("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(disk)
        .stdin(layout.sfdisk_script(identity))
        .timeout(LIMIT)
        .run()
        .map_err(during("writing the partition table (sfdisk)"))?;
    match layout.boot {
        None => write_ext4(disk, layout.root, (&identity.root, &identity.hash_seed), tree, epoch)?,
        Some(boot) => {
            let aside = tree.with_extension("boot");
            let inside = tree.join("boot");
            files::rename_unsynced(&inside, &aside)?;
            TreeFiles::open(tree)?.directory(Path::new("/boot"), 0o755)?;
            if let Some(epoch) = epoch {
                settle::tree(tree, epoch)?;
            }
            write_ext4(disk, boot, (&identity.boot, &identity.hash_seed), &aside, epoch)?;
            write_btrfs(disk, layout.root, &identity.root, tree)?;
            files::remove_dir_all(&inside)?;
            files::rename_unsynced(&aside, &inside)?;
        }
    }
    Ok(layout)
}

/// Makes an ext4 of this UUID and seed with the files of a folder.
fn write_ext4(
    disk: &Path,
    place: Extent,
    (uuid, hash_seed): (&str, &str),
    folder: &Path,
    epoch: Option<u64>,
) -> Result<(), ImageError> {
    let extended = format!(
        "offset={},hash_seed={hash_seed},root_owner=0:0,assume_storage_prezeroed=1,nodiscard",
        place.offset
    );
    dated(Tool::new("mke2fs"), epoch)
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1"])
        // GRUB 2.06, Debian 12's, reads neither of the two.
        .args(["-O", "^metadata_csum_seed,^orphan_file"])
        .args(["-U", uuid, "-E", extended.as_str(), "-d"])
        .arg(folder)
        .arg(disk)
        .arg(format!("{}k", place.size / 1024))
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("writing the file system (mke2fs)"))?;
    Ok(())
}

/// Makes a btrfs of this UUID with the files of a folder. mkfs.btrfs knows no offset, so it has a file of its own first, whose
/// data then goes to its place.
fn write_btrfs(disk: &Path, place: Extent, uuid: &str, tree: &Path) -> Result<(), ImageError> {
    let whole = disk.with_extension("btrfs");
    drop(DiskFile::create(&whole, place.size)?);
    Tool::new("mkfs.btrfs")
        .args(["--quiet", "--uuid", uuid, "--rootdir"])
        .arg(tree)
        .arg(&whole)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("writing the root file system (mkfs.btrfs)"))?;
    Tool::new("btrfs")
        .args(["check", "--readonly"])
        .arg(&whole)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("checking the root file system (btrfs check)"))?;
    DiskFile::open_write(disk)?.write_file_at(place.offset, &whole)?;
    files::remove_file(&whole)?;
    Ok(())
}

/// A tool of e2fsprogs or mtools that takes this time for the present one.
fn dated(tool: Tool, epoch: Option<u64>) -> Tool {
    match epoch {
        None => tool,
        // The first is e2fsprogs' own name before 1.47.1.
        Some(epoch) => {
            let epoch = epoch.to_string();
            tool.env("E2FSPROGS_FAKE_TIME", &epoch).env("SOURCE_DATE_EPOCH", &epoch)
        }
    }
}

/// Writes what firmware reads: the EFI file system, GRUB's core image, and the first sector last of all.
pub fn write_boot(
    layout: &Layout,
    identity: &Identity,
    images: &BootImages,
    work: &Path,
    disk: &Path,
) -> Result<(), ImageError> {
    write_boot_at(layout, identity, images, work, disk, None)
}

/// As [`write_boot`]; with `epoch` (seconds since 1970) as the time at which it was done.
pub fn write_boot_at(
    layout: &Layout,
    identity: &Identity,
    images: &BootImages,
    work: &Path,
    disk: &Path,
    epoch: Option<u64>,
) -> Result<(), ImageError> {
    let efi = work.join("efi.img");
    make_efi(layout.efi.size, identity, images, work, &efi, epoch)?;
    let file = DiskFile::open_write(disk)?;
    file.write_file_at(layout.efi.offset, &efi)?;
    let core_sector = layout.bios.offset / SECTOR;
    file.write_at(layout.bios.offset, &placed_core(&images.bios_core, core_sector)?)?;
    let mut first = [0; SECTOR as usize];
    file.read_at(0, &mut first)?;
    Ok(file.write_at(0, &first_sector(&first, &images.bios_boot, core_sector)?)?)
}

fn make_efi(
    size: u64,
    identity: &Identity,
    images: &BootImages,
    work: &Path,
    efi: &Path,
    epoch: Option<u64>,
) -> Result<(), ImageError> {
    let program = work.join("BOOTX64.EFI");
    files::write(&program, &images.efi)?;
    drop(DiskFile::create(efi, size)?);
    let failed = during("writing the EFI file system");
    let steps = [
        Tool::new("mkfs.vfat")
            .args(["-F", "32", "-s", "1", "-n", "EFI", "--invariant", "-i"])
            .arg(identity.efi.replace('-', ""))
            .arg(efi),
        Tool::new("mmd").arg("-i").arg(efi).args(["::/EFI", "::/EFI/BOOT"]),
        Tool::new("mcopy").arg("-i").arg(efi).arg(&program).arg("::/EFI/BOOT/BOOTX64.EFI"),
    ];
    steps.into_iter().try_for_each(|tool| dated(tool, epoch).timeout(LIMIT).run().map(drop)).map_err(failed)
}

/// core.img as it lies at `sector`: its first sector holds the place of the rest (u64, little endian, at 0x1f4).
fn placed_core(core: &[u8], sector: u64) -> Result<Vec<u8>, ImageError> {
    let mut placed = core.to_vec();
    match placed.get_mut(0x1f4..0x1fc) {
        Some(field) if core.len() as u64 <= BIOS_SIZE => field.copy_from_slice(&(sector + 1).to_le_bytes()),
        _ => {
            return Err(ImageError::Incomplete {
                what: "usable BIOS core image",
                path: "/boot/grub/i386-pc".into(),
            });
        }
    }
    Ok(placed)
}

/// The first sector: GRUB's code with the place of its core image (u64, little endian, at 0x5c), the partition
/// table's part (from 0x1b8) as it was.
fn first_sector(present: &[u8], boot: &[u8], core_sector: u64) -> Result<Vec<u8>, ImageError> {
    const TABLE: usize = 0x1b8;
    let mut sector = present.to_vec();
    let (Some(code), Some(source)) = (sector.get_mut(..TABLE), boot.get(..TABLE)) else {
        return Err(ImageError::Incomplete {
            what: "first-sector image",
            path: "/boot/grub/i386-pc/boot.img".into(),
        });
    };
    code.copy_from_slice(source);
    for (place, bytes) in [
        (0x5c, core_sector.to_le_bytes().as_slice()),
        // grub-install does this for hard disks: the drive number that the BIOS gives is taken as it is.
        (0x66, &[0x90, 0x90]),
    ] {
        if let Some(field) = sector.get_mut(place..place + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
    Ok(sector)
}
