//! The identifiers of a built disk: derived from its specification, so that the same specification gives the same ones.
//!
//! Two disks of one specification therefore never belong into one machine: their file systems have the same UUIDs.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::ImageError;
use crate::spec::{FileSystem, ImageSpec};

/// The identifiers that partition table, file systems, fstab and GRUB agree on; UUIDs in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The GPT's disk GUID.
    pub disk: String,
    /// The BIOS-boot partition's GUID.
    pub bios_partition: String,
    /// The EFI partition's GUID.
    pub efi_partition: String,
    /// The boot partition's GUID, where /boot has one.
    pub boot_partition: String,
    /// The root partition's GUID (PARTUUID).
    pub root_partition: String,
    /// The UUID of /boot's own file system, where it has one.
    pub boot: String,
    /// The root file system's UUID.
    pub root: String,
    /// The seed of ext4's directory hashes.
    pub hash_seed: String,
    /// The EFI file system's volume id, as blkid and fstab(5) write it: `ABCD-1234`.
    pub efi: String,
    /// The content of /etc/machine-id: 32 hexadecimal digits.
    pub machine_id: String,
}

impl Identity {
    /// The identifiers of the disk that a specification describes.
    pub fn of(spec: &ImageSpec) -> Result<Self, ImageError> {
        Ok(Self::from_seed(&spec.digest()?))
    }

    /// The identifiers that follow from a seed.
    #[must_use]
    pub fn from_seed(seed: &str) -> Self {
        let uuid = |label: &str| format_uuid(derive(seed, label));
        let [a, b, c, d, ..] = derive(seed, "efi file system");
        let machine_id = derive(seed, "machine id");
        Self {
            disk: uuid("disk"),
            bios_partition: uuid("BIOS-boot partition"),
            efi_partition: uuid("EFI partition"),
            boot_partition: uuid("boot partition"),
            root_partition: uuid("root partition"),
            boot: uuid("boot file system"),
            root: uuid("root file system"),
            hash_seed: uuid("directory hash seed"),
            efi: format!("{a:02X}{b:02X}-{c:02X}{d:02X}"),
            machine_id: hex(&machine_id),
        }
    }

    /// The UUID of the ext4 that GRUB reads and writes its files on: the root's, or /boot's.
    #[must_use]
    pub fn of_grub(&self, filesystem: FileSystem) -> &str {
        match filesystem {
            FileSystem::Ext4 => &self.root,
            FileSystem::Btrfs => &self.boot,
        }
    }
}

/// 16 bytes for a purpose, marked as a UUID of version 8 (RFC 9562: content up to the maker).
fn derive(seed: &str, label: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(seed).chain_update([0]).chain_update(label).finalize();
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

fn format_uuid(bytes: [u8; 16]) -> String {
    let mut text = hex(&bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// Bytes as hexadecimal digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of some bytes as 64 hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_ref())
}
