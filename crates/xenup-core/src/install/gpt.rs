//! The partition table for a disk of another size: the second copy belongs at the end of the disk that is written to, and
//! both copies say where. Decides those bytes (UEFI specification, 5.3); never which partitions there are.

use xenup_disk::crc32;

use super::manifest::{HEAD, TAIL};

const SECTOR: u64 = 512;
/// How many sectors the protective entry of the MBR takes.
const PROTECTIVE: usize = 0x1be + 12;
/// The header is in the second sector, its fields at these places.
const HEADER: usize = 512;
const HEADER_SIZE: usize = 92;
const CRC: usize = 16;
const OWN_PLACE: usize = 24;
const OTHER_PLACE: usize = 32;
const LAST_USABLE: usize = 48;
const ENTRIES_PLACE: usize = 72;
const ENTRIES_COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;

/// A beginning of a disk without a table that could be moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GptFault {
    /// There is no header, or its entries are not where everybody writes them.
    #[error("the medium's disk does not begin with a partition table")]
    NoTable,
    /// The disk ends before its table would.
    #[error("a disk of {0} bytes has no room for a partition table")]
    TooSmall(u64),
}

/// The beginning and the end of a disk, as they are to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The first [`HEAD`] bytes.
    pub head: Vec<u8>,
    /// The last [`TAIL`] bytes: zeros, and the second copy.
    pub tail: Vec<u8>,
    /// Where `tail` begins.
    pub tail_at: u64,
}

/// Returns both ends of a disk of `size` bytes that begins with `head`.
///
/// # Errors
/// There is no table in it, or no room for one on that disk.
pub fn ends(head: &[u8], size: u64) -> Result<Ends, GptFault> {
    let sectors = size / SECTOR;
    let tail_at = (sectors * SECTOR).saturating_sub(TAIL);
    let mut head = head.to_vec();
    let count = u64::from(u32_at(&head, HEADER + ENTRIES_COUNT).ok_or(GptFault::NoTable)?);
    let each = u64::from(u32_at(&head, HEADER + ENTRY_SIZE).ok_or(GptFault::NoTable)?);
    let length = count * each;
    let usual = head.len() as u64 == HEAD
        && head.get(HEADER..HEADER + 8) == Some(b"EFI PART".as_slice())
        && u64_at(&head, HEADER + ENTRIES_PLACE) == Some(2)
        && u32_at(&head, HEADER + 12) == Some(HEADER_SIZE as u32)
        && (SECTOR..=64 * SECTOR).contains(&length)
        && length.is_multiple_of(SECTOR);
    if !usual {
        return Err(GptFault::NoTable);
    }
    let entry_sectors = length / SECTOR;
    if size < HEAD + TAIL {
        return Err(GptFault::TooSmall(size));
    }
    let last = sectors - 1;
    let second = last - entry_sectors;
    put(&mut head, HEADER + OTHER_PLACE, last);
    put(&mut head, HEADER + LAST_USABLE, second - 1);
    seal(&mut head, HEADER);
    // The MBR's one entry says that all of the disk is taken, as far as its 32 bits go.
    let all = u32::try_from(last).unwrap_or(u32::MAX);
    if let Some(place) = head.get_mut(PROTECTIVE..PROTECTIVE + 4) {
        place.copy_from_slice(&all.to_le_bytes());
    }
    let entries_at = 2 * SECTOR as usize;
    let entries = head.get(entries_at..entries_at + length as usize).ok_or(GptFault::NoTable)?;
    let header = head.get(HEADER..HEADER + SECTOR as usize).ok_or(GptFault::NoTable)?;
    let mut tail = vec![0; (TAIL - length - SECTOR) as usize];
    tail.extend_from_slice(entries);
    let own = tail.len();
    tail.extend_from_slice(header);
    put(&mut tail, own + OWN_PLACE, last);
    put(&mut tail, own + OTHER_PLACE, 1);
    put(&mut tail, own + ENTRIES_PLACE, second);
    seal(&mut tail, own);
    // What is left of the disk's own end, where its size is no whole number of sectors, belongs to nobody.
    Ok(Ends { head, tail, tail_at })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(place) = bytes.get_mut(at..at + 8) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// Makes the header at `at` agree with its own checksum.
fn seal(bytes: &mut [u8], at: usize) {
    if let Some(sum) = bytes.get_mut(at + CRC..at + CRC + 4) {
        sum.fill(0);
    }
    let sum = bytes.get(at..at + HEADER_SIZE).map(crc32).unwrap_or_default();
    if let Some(place) = bytes.get_mut(at + CRC..at + CRC + 4) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use xenup_disk::table::{self, Form};
    use xenup_disk::{ReadAt, ReadError};

    use super::*;

    /// A head with one partition, as sfdisk writes it on a disk of 4 GiB; the checksums are ours.
    fn head() -> Vec<u8> {
        let mut head = vec![0; HEAD as usize];
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        head[0x1be + 4] = 0xee;
        head[512..520].copy_from_slice(b"EFI PART");
        head[520..524].copy_from_slice(&[0, 0, 1, 0]);
        head[524..528].copy_from_slice(&92_u32.to_le_bytes());
        put(&mut head, 512 + 24, 1);
        put(&mut head, 512 + 40, 2048);
        put(&mut head, 512 + 72, 2);
        head[592..596].copy_from_slice(&128_u32.to_le_bytes());
        head[596..600].copy_from_slice(&128_u32.to_le_bytes());
        head[1024..1040].fill(7);
        head[1040..1056].fill(9);
        put(&mut head, 1024 + 32, 2048);
        put(&mut head, 1024 + 40, 4095);
        let sum = crc32(&head[1024..1024 + 16384]);
        head[600..604].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// A disk of which the two ends are there.
    struct TwoEnds(Ends, u64);

    impl ReadAt for TwoEnds {
        fn size(&self) -> u64 {
            self.1
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
            for (at, byte) in (offset..).zip(buffer) {
                let (part, place) =
                    if at < HEAD { (&self.0.head, at) } else { (&self.0.tail, at - self.0.tail_at) };
                *byte = part[usize::try_from(place).unwrap()];
            }
            Ok(())
        }
    }

    #[test]
    fn both_copies_are_read_by_our_own_reader_on_disks_of_any_size() {
        for size in [4 << 30, (6 << 30) + 512, 3_000_592_982_016, (7 << 30) + 100] {
            let made = ends(&head(), size).unwrap();
            assert_eq!(made.tail.len() as u64, TAIL);
            let mut disk = TwoEnds(made, size / 512 * 512);
            let first = table::read(&disk).unwrap().unwrap();
            assert!(matches!(first.form, Form::Gpt { sector: 512, .. }) && first.notes.is_empty());
            assert_eq!(first.partitions.len(), 1);
            let protected = u32::from_le_bytes(disk.0.head[0x1ca..0x1ce].try_into().unwrap());
            assert_eq!(u64::from(protected), (size / 512 - 1).min(u64::from(u32::MAX)));
            // Without the first copy the second is taken.
            disk.0.head[512..600].fill(0);
            let second = table::read(&disk).unwrap().unwrap();
            assert_eq!(second.partitions, first.partitions);
            assert_eq!(second.notes, ["the first copy of the table is damaged: this is the second"]);
        }
    }

    #[test]
    fn what_has_no_table_is_refused() {
        assert_eq!(ends(&vec![0; HEAD as usize], 4 << 30), Err(GptFault::NoTable));
        assert_eq!(ends(&head()[..4096], 4 << 30), Err(GptFault::NoTable));
        assert_eq!(ends(&[], 4 << 30), Err(GptFault::NoTable));
        assert_eq!(ends(&head(), 1 << 20), Err(GptFault::TooSmall(1 << 20)));
        let mut odd = head();
        odd[592..596].fill(0xff);
        assert_eq!(ends(&odd, 4 << 30), Err(GptFault::NoTable));
    }
}
