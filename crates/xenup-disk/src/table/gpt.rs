//! GUID partition tables (UEFI specification, chapter 5). Decides which copy counts: the first that is whole.

use crate::field;
use crate::read_at::{ReadAt, ReadError};
use crate::table::{Form, Partition, PartitionType, Table, check};

/// Sector sizes of real disks, the common one first.
const SECTORS: [u64; 2] = [512, 4096];
/// Entries that are looked at: tools write 128, Linux reads 256.
const MOST_ENTRIES: u32 = 1024;
/// Sizes of an entry that are taken; tools write 128.
const ENTRY_SIZES: std::ops::RangeInclusive<u32> = 128..=512;
const HEADER_SIZES: std::ops::RangeInclusive<u32> = 92..=512;
const BIOS_BOOTABLE: u64 = 1 << 2;

/// The table of a disk that has one: a header with the right signature, checksum and place in one of its two places.
pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Table>, ReadError> {
    for sector in SECTORS {
        let sectors = disk.size() / sector;
        if sectors < 3 {
            continue;
        }
        if let Some(table) = copy(disk, sector, 1)? {
            return Ok(Some(table));
        }
        if let Some(mut table) = copy(disk, sector, sectors - 1)?
            && protective(disk)?
        {
            table.notes.insert(0, "the first copy of the table is damaged: this is the second".into());
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Whether the MBR says that a GPT is there (a partition of type 0xee). Without it an old second copy at the end of a
/// disk that was partitioned anew would win over the table that counts.
fn protective(disk: &dyn ReadAt) -> Result<bool, ReadError> {
    let mut mbr = [0; 512];
    disk.read_at(0, &mut mbr)?;
    let kinds = (0..4).map(|entry| field::u8(&mbr, 0x1be + 16 * entry + 4));
    Ok(field::has(&mbr, 0x1fe, &[0x55, 0xaa]) && kinds.into_iter().any(|kind| kind == 0xee))
}

fn copy(disk: &dyn ReadAt, sector: u64, place: u64) -> Result<Option<Table>, ReadError> {
    let mut header = [0; 512];
    disk.read_at(place * sector, &mut header)?;
    if !sound(&header, place) {
        return Ok(None);
    }
    let (count, each) = (field::u32_le(&header, 80), field::u32_le(&header, 84));
    if count > MOST_ENTRIES || !ENTRY_SIZES.contains(&each) {
        return Ok(None);
    }
    let entries_at = field::u64_le(&header, 72).checked_mul(sector);
    let mut entries = vec![0; count as usize * each as usize];
    match entries_at.map(|at| disk.read_at(at, &mut entries)) {
        None | Some(Err(ReadError::PastEnd { .. })) => return Ok(None),
        Some(read) => read?,
    }
    if field::crc32(&entries) != field::u32_le(&header, 88) {
        return Ok(None);
    }
    let mut notes = Vec::new();
    let partitions = partitions(&entries, each as usize, sector, &mut notes);
    check(&partitions, disk.size(), &mut notes);
    Ok(Some(Table { form: Form::Gpt { guid: field::guid(&header, 56), sector }, notes, partitions }))
}

fn sound(header: &[u8; 512], place: u64) -> bool {
    let size = field::u32_le(header, 12);
    if !field::has(header, 0, b"EFI PART")
        || !HEADER_SIZES.contains(&size)
        || field::u64_le(header, 24) != place
    {
        return false;
    }
    let mut summed = *header;
    if let Some(sum) = summed.get_mut(16..20) {
        sum.fill(0);
    }
    summed.get(..size as usize).map(field::crc32) == Some(field::u32_le(header, 16))
}

/// The partitions of the used entries; an entry without a sensible extent is left out with a note.
fn partitions(entries: &[u8], each: usize, sector: u64, notes: &mut Vec<String>) -> Vec<Partition> {
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(each)) {
        if entry.iter().take(16).all(|&byte| byte == 0) {
            continue;
        }
        let Some((start, size)) = extent(entry, sector) else {
            notes.push(format!("entry {number} has no sensible first and last sector: it was left out"));
            continue;
        };
        found.push(Partition {
            number,
            start,
            size,
            kind: PartitionType::Gpt(field::guid(entry, 0)),
            uuid: field::guid(entry, 16),
            name: name(entry),
            bootable: field::u64_le(entry, 48) & BIOS_BOOTABLE != 0,
        });
    }
    found
}

/// Start and size in bytes, from the first and the last sector.
fn extent(entry: &[u8], sector: u64) -> Option<(u64, u64)> {
    let (first, last) = (field::u64_le(entry, 32), field::u64_le(entry, 40));
    let sectors = last.checked_sub(first)?.checked_add(1)?;
    Some((first.checked_mul(sector)?, sectors.checked_mul(sector)?))
}

/// 36 UTF-16 code units at offset 56.
fn name(entry: &[u8]) -> Option<String> {
    let units = (0..36).map(|unit| field::u16_le(entry, 56 + 2 * unit)).take_while(|&unit| unit != 0);
    field::printable(&char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect::<String>())
}
