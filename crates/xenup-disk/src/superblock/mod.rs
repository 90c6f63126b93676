//! What a partition or disk holds, by the marks that mkfs and its like leave. Decides which mark wins where there are
//! several: a container (RAID, LUKS, LVM) before a file system, since the latter's mark may be a remnant or its mirror.

mod btrfs;
mod ext;
mod fat;
mod luks;
mod lvm;
mod md;
mod swap;
mod xfs;

use serde::Serialize;

use crate::read_at::{ReadAt, ReadError};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Its kind.
    #[serde(flatten)]
    pub kind: Kind,
    /// Its UUID as blkid(8) writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its label or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// ext2, ext3 or ext4.
    Ext {
        /// 2, 3 or 4, by its features.
        generation: u8,
        /// Whether its journal has to be replayed: it was not unmounted, or is mounted now.
        needs_recovery: bool,
    },
    /// xfs.
    Xfs,
    /// btrfs.
    Btrfs {
        /// How many devices it spans.
        devices: u64,
    },
    /// FAT, as on EFI partitions.
    Vfat {
        /// 12, 16 or 32.
        bits: u8,
    },
    /// Swap space.
    Swap {
        /// Whether a sleeping system's memory is in it.
        hibernated: bool,
    },
    /// A physical volume of LVM2.
    Lvm2Member,
    /// An encrypted volume.
    Luks {
        /// 1 or 2.
        version: u16,
    },
    /// A member of a Linux software RAID.
    MdMember {
        /// Its metadata's version: 0.90, 1.0, 1.1 or 1.2 as major and minor number.
        metadata: (u8, u8),
        /// The RAID level; -1 linear, 0, 1, 4, 5, 6, 10.
        level: i32,
    },
}

impl Kind {
    /// The name that blkid(8) and fstab(5) use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ext { generation: 2, .. } => "ext2",
            Self::Ext { generation: 3, .. } => "ext3",
            Self::Ext { .. } => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs { .. } => "btrfs",
            Self::Vfat { .. } => "vfat",
            Self::Swap { hibernated: false } => "swap",
            Self::Swap { hibernated: true } => "swsuspend",
            Self::Lvm2Member => "LVM2_member",
            Self::Luks { .. } => "crypto_LUKS",
            Self::MdMember { .. } => "linux_raid_member",
        }
    }
}

type Reader = fn(&dyn ReadAt) -> Result<Option<Content>, ReadError>;

/// In the order in which they win.
const READERS: [Reader; 8] =
    [md::read, luks::read, lvm::read, btrfs::read, xfs::read, ext::read, swap::read, fat::read];

/// What a partition or disk holds; `None` where no known mark is found.
///
/// # Errors
/// The disk cannot be read. A disk that is too small for a mark does not have it.
pub fn identify(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    for reader in READERS {
        if let Some(content) = reader(disk)? {
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// The bytes that a file system of ext, xfs or btrfs on one device takes, as its superblock says; `None` of other kinds.
///
/// # Errors
/// As [`identify`].
pub fn file_system_size(disk: &dyn ReadAt, kind: Kind) -> Result<Option<u64>, ReadError> {
    match kind {
        Kind::Ext { .. } => ext::size(disk),
        Kind::Xfs => xfs::size(disk),
        Kind::Btrfs { .. } => btrfs::size(disk),
        _ => Ok(None),
    }
}

/// What a reader of xfs has to know before it reads one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XfsForm {
    /// 4, or 5 with checksums.
    pub version: u16,
    /// Whether a version 4 has the types of files in its directories; version 5 always has.
    pub typed_directories: bool,
}

/// The form of what [`identify`] has called an xfs; `None` of a disk that is too small for one.
///
/// # Errors
/// As [`identify`].
pub fn xfs_form(disk: &dyn ReadAt) -> Result<Option<XfsForm>, ReadError> {
    xfs::form(disk)
}

/// All marks that are found, the one that wins first. More than one is a disk that was not wiped before it was used
/// again, or a RAID member with its metadata at the end.
///
/// # Errors
/// As [`identify`].
pub fn identify_all(disk: &dyn ReadAt) -> Result<Vec<Content>, ReadError> {
    READERS.iter().filter_map(|reader| reader(disk).transpose()).collect()
}

/// The first `N` bytes at `offset`; `None` where the disk ends before.
fn block<const N: usize>(disk: &dyn ReadAt, offset: u64) -> Result<Option<[u8; N]>, ReadError> {
    let mut bytes = [0; N];
    match disk.read_at(offset, &mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(ReadError::PastEnd { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
