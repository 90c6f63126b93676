//! Partition tables: which parts a disk is cut into. Decides between GPT, MBR and none; never looks into a part.

mod gpt;
mod mbr;

use serde::Serialize;

use crate::read_at::{ReadAt, ReadError, View};

/// A partition table and its partitions in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its form.
    pub form: Form,
    /// What is wrong with it, for people; empty for a sound one.
    pub notes: Vec<String>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// The form of a partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum Form {
    /// The PC's master boot record.
    Mbr {
        /// The disk signature, eight hexadecimal digits.
        signature: String,
    },
    /// The UEFI specification's table.
    Gpt {
        /// The disk's GUID, lower case.
        guid: String,
        /// Bytes of a sector, by where the header was found.
        sector: u64,
    },
}

/// What a partition says it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "table", content = "type", rename_all = "kebab-case")]
pub enum PartitionType {
    /// The type byte of an MBR entry, for instance 0x83 for Linux.
    Mbr(u8),
    /// The type GUID of a GPT entry, lower case.
    Gpt(String),
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its number as Linux counts: logical partitions begin at 5.
    pub number: u32,
    /// Where it begins, in bytes.
    pub start: u64,
    /// How long it is, in bytes; what the table says, which may reach behind the disk's end.
    pub size: u64,
    /// What it is for.
    pub kind: PartitionType,
    /// Its PARTUUID as Linux and blkid write it, lower case.
    pub uuid: String,
    /// Its name, which only GPT has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether a PC BIOS is told to boot it: the active flag of MBR, attribute bit 2 of GPT.
    pub bootable: bool,
}

impl Partition {
    /// Its bytes.
    pub fn view<D: ReadAt>(&self, disk: D) -> View<D> {
        View::new(disk, self.start, self.size)
    }
}

/// Reads the partition table of a disk; `None` where there is none, as on a disk that is one file system.
///
/// A GPT with a damaged first copy is read from its second, with a note.
///
/// # Errors
/// The disk cannot be read. Whatever the disk says is no error: what makes no sense is left out with a note.
pub fn read(disk: &dyn ReadAt) -> Result<Option<Table>, ReadError> {
    if disk.size() < 512 {
        return Ok(None);
    }
    if let Some(table) = gpt::read(disk)? {
        return Ok(Some(table));
    }
    mbr::read(disk)
}

/// Notes on partitions that no sound table has.
fn check(partitions: &[Partition], disk: u64, notes: &mut Vec<String>) {
    for part in partitions {
        if part.start.saturating_add(part.size) > disk {
            notes.push(format!("partition {} reaches behind the end of the disk", part.number));
        }
    }
    let mut sorted: Vec<&Partition> = partitions.iter().collect();
    sorted.sort_by_key(|part| part.start);
    for (before, after) in sorted.iter().zip(sorted.iter().skip(1)) {
        if before.start.saturating_add(before.size) > after.start {
            notes.push(format!("partitions {} and {} overlap", before.number, after.number));
        }
    }
}
