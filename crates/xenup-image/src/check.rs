//! Reads the finished disk back and compares it with what was to be built. Never mounts it, never repairs it.

use std::path::Path;
use std::time::Duration;

use xenup_disk::superblock::{self, Content, Kind};
use xenup_disk::table::{self, Form, Partition, PartitionType};
use xenup_disk::{ReadAt, ReadError};
use xenup_system::files::{DiskFile, FileError};
use xenup_system::process::{ProcessError, Tool};

use crate::boot_loader::BootImages;
use crate::disk::{Extent, Layout, SECTOR, TYPE_BIOS_BOOT, TYPE_EFI, TYPE_LINUX};
use crate::identity::Identity;

const LIMIT: Duration = Duration::from_secs(300);

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
    check_contents(&bytes, &partitions, built.identity)?;
    check_bios(&bytes, built)?;
    check_files(disk, built)
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
    let part = |number: u32, extent: Extent, kind: &str, uuid: &str, name: &str| Partition {
        number,
        start: extent.offset,
        size: extent.size,
        kind: PartitionType::Gpt(kind.to_owned()),
        uuid: uuid.to_owned(),
        name: Some(name.to_owned()),
        bootable: false,
    };
    let expected = vec![
        part(1, layout.bios, TYPE_BIOS_BOOT, &identity.bios_partition, "BIOS boot"),
        part(2, layout.efi, TYPE_EFI, &identity.efi_partition, "EFI system"),
        part(3, layout.root, TYPE_LINUX, &identity.root_partition, "root"),
    ];
    same("the partitions", &expected, &found.partitions)?;
    Ok(found.partitions)
}

fn check_contents(disk: &OnDisk, partitions: &[Partition], identity: &Identity) -> Result<(), CheckError> {
    let fat = Content {
        kind: Kind::Vfat { bits: 32 },
        uuid: Some(identity.efi.clone()),
        label: Some("EFI".to_owned()),
    };
    let ext = Content {
        kind: Kind::Ext { generation: 4, needs_recovery: false },
        uuid: Some(identity.root.clone()),
        label: None,
    };
    let expected = [
        ("the BIOS-boot partition", None),
        ("the EFI file system", Some(fat)),
        ("the root file system", Some(ext)),
    ];
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
    let config = Tool::new("debugfs")
        .args(["-R", "cat /boot/grub/grub.cfg"])
        .arg(place("?offset=", built.layout.root))
        .timeout(LIMIT)
        .run()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    same("grub.cfg", &text(built.grub_config), &text(&config.stdout))?;
    let root = &built.identity.root;
    let named = [format!("search --no-floppy --fs-uuid --set=root {root}"), format!("root=UUID={root} ro")];
    let missing: Vec<_> = named.iter().filter(|words| !text(&config.stdout).contains(*words)).collect();
    same("what grub.cfg does not say", &Vec::new(), &missing)
}
