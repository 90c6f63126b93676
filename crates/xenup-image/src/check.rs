//! Reads the finished disk back and compares it with what was to be built. Never mounts it, never repairs it.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use xenup_disk::filesystem::{self, FsError};
use xenup_disk::superblock::{self, Content, Kind};
use xenup_disk::table::{self, Form, Partition, PartitionType};
use xenup_disk::{ReadAt, ReadError};
use xenup_system::files::{DiskFile, FileError};
use xenup_system::process::{ProcessError, Tool};

use crate::boot_loader::{self, BootImages};
use crate::disk::{Extent, Layout, Part, SECTOR};
use crate::identity::Identity;
use crate::spec::FileSystem;

const LIMIT: Duration = Duration::from_secs(300);
/// It is three lines.
const LARGEST_FSTAB: u64 = 4096;

/// How the disk differs from what was to be built, or why that could not be told.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A value is another one than was written.
    #[error("{what}: expected {expected}, found {found}")]
    Differs {
        /// What was looked at.
        what: &'static str,
        /// What was to be built.
        expected: String,
        /// What the disk says.
        found: String,
    },
    /// The disk's bytes could not be read.
    #[error("it cannot be read")]
    Read(#[from] ReadError),
    /// The disk file could not be opened.
    #[error("it cannot be opened")]
    Open(#[from] FileError),
    /// A file of its btrfs could not be read.
    #[error("its root cannot be read")]
    Root(#[from] FsError),
    /// A tool that reads a file of the disk failed.
    #[error("a file on it cannot be read")]
    Tool(#[from] ProcessError),
}

/// What the disk was built from.
#[derive(Debug, Clone, Copy)]
pub struct Built<'a> {
    /// The places of its parts.
    pub layout: &'a Layout,
    /// Its identifiers.
    pub identity: &'a Identity,
    /// Its boot images.
    pub images: &'a BootImages,
    /// Its grub.cfg.
    pub grub_config: &'a [u8],
}

/// Compares a raw disk with what it was built from: partition table, file systems, boot images in their places, and
/// the files that firmware and GRUB read.
///
/// # Errors
/// The first difference, or why it could not be told.
pub fn check(disk: &Path, built: &Built<'_>) -> Result<(), CheckError> {
    let file = DiskFile::open(disk)?;
    let bytes = OnDisk { size: file.size()?, file };
    let partitions = check_table(&bytes, built)?;
    check_contents(&bytes, &partitions, built)?;
    check_bios(&bytes, built)?;
    check_files(disk, built)?;
    match (built.layout.filesystem, partitions.last()) {
        (FileSystem::Btrfs, Some(root)) => check_btrfs(bytes, root, built.identity),
        _ => Ok(()),
    }
}

/// A disk file as xenup-disk reads it.
pub(crate) struct OnDisk {
    pub(crate) file: DiskFile,
    pub(crate) size: u64,
}

impl ReadAt for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(ReadError::PastEnd { offset, length, size: self.size });
        }
        self.file.read_at(offset, buffer).map_err(|error| ReadError::Io {
            offset,
            length,
            source: error.source,
        })
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &'static str,
    expected: &T,
    found: &T,
) -> Result<(), CheckError> {
    if expected == found {
        return Ok(());
    }
    Err(CheckError::Differs { what, expected: format!("{expected:?}"), found: format!("{found:?}") })
}

fn check_table(disk: &OnDisk, built: &Built<'_>) -> Result<Vec<Partition>, CheckError> {
    let (layout, identity) = (built.layout, built.identity);
    let found = table::read(disk)?;
    let form = Form::Gpt { guid: identity.disk.clone(), sector: SECTOR };
    same("the partition table", &Some(form), &found.as_ref().map(|table| table.form.clone()))?;
    let Some(found) = found else { return Ok(Vec::new()) };
    same("what is wrong with the partition table", &Vec::new(), &found.notes)?;
    let part = |(number, Part { extent, kind, uuid, name }): (u32, Part<'_>)| Partition {
        number,
        start: extent.offset,
        size: extent.size,
        kind: PartitionType::Gpt(kind.to_owned()),
        uuid: uuid.to_owned(),
        name: Some(name.to_owned()),
        bootable: false,
    };
    let expected: Vec<Partition> = (1..).zip(layout.parts(identity)).map(part).collect();
    same("the partitions", &expected, &found.partitions)?;
    Ok(found.partitions)
}

fn check_contents(disk: &OnDisk, partitions: &[Partition], built: &Built<'_>) -> Result<(), CheckError> {
    let identity = built.identity;
    let fat = Content {
        kind: Kind::Vfat { bits: 32 },
        uuid: Some(identity.efi.clone()),
        label: Some("EFI".to_owned()),
    };
    let of = |kind, uuid: &String| Some(Content { kind, uuid: Some(uuid.clone()), label: None });
    let ext4 = Kind::Ext { generation: 4, needs_recovery: false };
    let mut expected = vec![("the BIOS-boot partition", None), ("the EFI file system", Some(fat))];
    match built.layout.filesystem {
        FileSystem::Ext4 => expected.push(("the root file system", of(ext4, &identity.root))),
        FileSystem::Btrfs => expected.extend([
            ("the file system of /boot", of(ext4, &identity.boot)),
            ("the root file system", of(Kind::Btrfs { devices: 1 }, &identity.root)),
        ]),
    }
    for ((what, expected), partition) in expected.iter().zip(partitions) {
        same(what, expected, &superblock::identify(&partition.view(disk))?)?;
    }
    Ok(())
}

/// The chain that a BIOS follows: first sector → core image → the rest of the core image.
fn check_bios(disk: &OnDisk, built: &Built<'_>) -> Result<(), CheckError> {
    let place = built.layout.bios.offset;
    let sector = disk.array_at::<512>(0)?;
    same("the first sector's mark", &[0x55, 0xaa], &[sector[510], sector[511]])?;
    let core_sector = disk.array_at::<8>(0x5c).map(u64::from_le_bytes)?;
    same("the first sector's way to GRUB's core image", &(place / SECTOR), &core_sector)?;
    let rest_sector = disk.array_at::<8>(place + 0x1f4).map(u64::from_le_bytes)?;
    same("the core image's way to its rest", &(core_sector + 1), &rest_sector)?;
    let mut core = vec![0; built.images.bios_core.len()];
    disk.read_at(place, &mut core)?;
    let after = |image: &[u8]| image.get(512..).map(crate::identity::sha256_hex);
    same("the core image's rest", &after(&built.images.bios_core), &after(&core))
}

fn check_files(disk: &Path, built: &Built<'_>) -> Result<(), CheckError> {
    let place = |separator: &str, extent: Extent| {
        let mut name = disk.as_os_str().to_owned();
        name.push(format!("{separator}{}", extent.offset));
        name
    };
    let efi = Tool::new("mcopy")
        .arg("-i")
        .arg(place("@@", built.layout.efi))
        .args(["::/EFI/BOOT/BOOTX64.EFI", "-"])
        .timeout(LIMIT)
        .run()?;
    same(
        "the EFI program",
        &crate::identity::sha256_hex(&built.images.efi),
        &crate::identity::sha256_hex(&efi.stdout),
    )?;
    let filesystem = built.layout.filesystem;
    let config = Tool::new("debugfs")
        .arg("-R")
        .arg(format!("cat {}/grub.cfg", boot_loader::prefix(filesystem)))
        .arg(place("?offset=", built.layout.of_grub()))
        .timeout(LIMIT)
        .run()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    same("grub.cfg", &text(built.grub_config), &text(&config.stdout))?;
    let (root, files) = (&built.identity.root, built.identity.of_grub(filesystem));
    let named = [format!("search --no-floppy --fs-uuid --set=root {files}"), format!("root=UUID={root} ro")];
    same("what grub.cfg does not say", &Vec::new(), &missing(&named, &text(&config.stdout)))
}

fn missing<'a>(named: &'a [String], text: &str) -> Vec<&'a String> {
    named.iter().filter(|words| !text.contains(words.as_str())).collect()
}

/// A btrfs that fills its partition and whose files can be read. An ext4 root's size and files are read with grub.cfg.
fn check_btrfs(disk: OnDisk, root: &Partition, identity: &Identity) -> Result<(), CheckError> {
    let view = root.view(disk);
    let size = superblock::file_system_size(&view, Kind::Btrfs { devices: 1 })?;
    same("the root file system's size", &Some(root.size), &size)?;
    let Some(mut files) = filesystem::FileSystem::open(Rc::new(view))? else { return Ok(()) };
    let fstab = files.read(b"/etc/fstab", 0, LARGEST_FSTAB)?;
    let Identity { root, boot, .. } = identity;
    let named = [format!("UUID={root} / btrfs "), format!("UUID={boot} /boot ext4 ")];
    same("what fstab does not say", &Vec::new(), &missing(&named, &String::from_utf8_lossy(&fstab)))
}
