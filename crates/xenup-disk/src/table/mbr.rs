//! Master boot records with their chain of extended records. Decides whether a first sector with the right mark is a
//! partition table at all: the boot sector of a file system has the same mark.

use crate::field;
use crate::read_at::{ReadAt, ReadError};
use crate::table::{Form, Partition, PartitionType, Table, check};

/// MBR counts in these whatever the disk's own sectors are.
const SECTOR: u64 = 512;
/// Logical partitions that are looked at: Linux has numbers for no more.
const MOST_LOGICAL: usize = 251;
/// Type bytes of extended partitions: CHS, LBA, Linux's own.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

struct Entry {
    active: u8,
    kind: u8,
    first: u32,
    sectors: u32,
}

impl Entry {
    fn used(&self) -> bool {
        self.kind != 0 && self.sectors != 0
    }
}

fn entries(sector: &[u8; 512]) -> [Entry; 4] {
    [0, 1, 2, 3].map(|index| {
        let at = 0x1be + 16 * index;
        Entry {
            active: field::u8(sector, at),
            kind: field::u8(sector, at + 4),
            first: field::u32_le(sector, at + 8),
            sectors: field::u32_le(sector, at + 12),
        }
    })
}

fn marked(sector: &[u8; 512]) -> bool {
    field::has(sector, 0x1fe, &[0x55, 0xaa])
}

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Table>, ReadError> {
    let mut mbr = [0; 512];
    disk.read_at(0, &mut mbr)?;
    let primary = entries(&mbr);
    // In a boot sector these bytes are code or text: flags other than the two are the sign of it.
    let flags_fit = primary.iter().all(|entry| matches!(entry.active, 0 | 0x80));
    if !marked(&mbr) || !flags_fit || !primary.iter().any(Entry::used) {
        return Ok(None);
    }
    let signature = format!("{:08x}", field::u32_le(&mbr, 0x1b8));
    let mut notes = Vec::new();
    let mut partitions = Vec::new();
    let mut extended = None;
    for (number, entry) in (1..).zip(&primary) {
        if !entry.used() {
            continue;
        }
        if EXTENDED.contains(&entry.kind) {
            match extended {
                None => extended = Some((entry.first, entry.sectors)),
                Some(_) => notes.push(format!("partition {number} is a second extended one: it is not read")),
            }
        }
        partitions.push(partition(number, u64::from(entry.first), entry, &signature));
    }
    let primaries: Vec<Partition> = partitions.iter().filter(|part| !is_extended(part)).cloned().collect();
    let mut logical = Vec::new();
    if let Some((first, sectors)) = extended {
        logical = chain(disk, first, sectors, &signature, &mut notes)?;
    }
    check(&[primaries, logical.clone()].concat(), disk.size(), &mut notes);
    partitions.extend(logical);
    if primary.iter().any(|entry| entry.kind == 0xee) {
        notes.push("the disk has a GPT which cannot be read: this is its protective entry".into());
    }
    Ok(Some(Table { form: Form::Mbr { signature }, notes, partitions }))
}

fn is_extended(part: &Partition) -> bool {
    matches!(part.kind, PartitionType::Mbr(kind) if EXTENDED.contains(&kind))
}

fn partition(number: u32, first: u64, entry: &Entry, signature: &str) -> Partition {
    Partition {
        number,
        start: first * SECTOR,
        size: u64::from(entry.sectors) * SECTOR,
        kind: PartitionType::Mbr(entry.kind),
        uuid: format!("{signature}-{number:02x}"),
        name: None,
        bootable: entry.active == 0x80,
    }
}

/// The logical partitions: each record has one, relative to itself, and the next record, relative to the first.
fn chain(
    disk: &dyn ReadAt,
    first: u32,
    sectors: u32,
    signature: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Partition>, ReadError> {
    let (base, end) = (u64::from(first), u64::from(first) + u64::from(sectors));
    let mut found = Vec::new();
    let mut seen = Vec::new();
    let mut record = base;
    loop {
        if seen.contains(&record) {
            notes.push("the chain of extended records is a loop: it was cut".into());
            break;
        }
        if found.len() >= MOST_LOGICAL || seen.len() >= 2 * MOST_LOGICAL {
            notes.push(format!("more than {MOST_LOGICAL} logical partitions: the rest was left out"));
            break;
        }
        seen.push(record);
        let mut sector = [0; 512];
        match disk.read_at(record * SECTOR, &mut sector) {
            Err(ReadError::PastEnd { .. }) => {
                notes.push("an extended record lies behind the end of the disk".into());
                break;
            }
            read => read?,
        }
        if !marked(&sector) {
            notes.push("an extended record has no boot mark: the chain was cut there".into());
            break;
        }
        let [own, next, ..] = entries(&sector);
        if own.used() && !EXTENDED.contains(&own.kind) {
            let number = 5 + u32::try_from(found.len()).unwrap_or_default();
            found.push(partition(number, record + u64::from(own.first), &own, signature));
        }
        if !next.used() || !EXTENDED.contains(&next.kind) {
            break;
        }
        record = base + u64::from(next.first);
        if record >= end {
            notes.push(
                "an extended record lies outside the extended partition: the chain was cut there".into(),
            );
            break;
        }
    }
    Ok(found)
}
