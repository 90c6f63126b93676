//! The records of a jbd2 journal, read from its tail to where it ends: transactions with what they write and revoke.

use std::rc::Rc;

use super::place::Place;
use crate::field;
use crate::read_at::ReadAt;

/// The first four bytes of every block that is the journal's own.
pub(super) const MAGIC: u32 = 0xc03b_3998;
/// The most blocks that are replayed: 1 GiB of 4 KiB blocks.
const MOST_WRITES: usize = 1 << 18;

const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK_1: u32 = 3;
const SUPERBLOCK_2: u32 = 4;
const REVOKE: u32 = 5;

const WIDE: u32 = 0x2;
const CHECKSUM_2: u32 = 0x8;
const CHECKSUM_3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
const KNOWN: u32 = 0x1 | WIDE | 0x4 | CHECKSUM_2 | CHECKSUM_3 | FAST_COMMIT;

const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

/// One block that a transaction writes.
pub(super) struct Write {
    /// Its number on the volume.
    pub(super) block: u64,
    /// Where its new content lies, in bytes on the volume.
    pub(super) at: u64,
    /// Its first four bytes were blanked.
    pub(super) escaped: bool,
    checksum: u32,
    sequence: u32,
}

/// A transaction that was committed.
#[derive(Default)]
pub(super) struct Transaction {
    pub(super) writes: Vec<Write>,
    pub(super) revoked: Vec<u64>,
}

/// A journal.
pub(super) struct Log<'a> {
    disk: &'a Rc<dyn ReadAt>,
    place: &'a Place,
    block: u64,
    features: u32,
    seed: u32,
    /// The ring of blocks: the first, and the one behind the last.
    first: u64,
    behind: u64,
    start: u64,
    sequence: u32,
}

impl<'a> Log<'a> {
    /// Reads the journal's superblock.
    pub(super) fn open(disk: &'a Rc<dyn ReadAt>, place: &'a Place, block: u64) -> Result<Self, String> {
        let mut log = Self {
            disk,
            place,
            block,
            features: 0,
            seed: 0,
            first: 0,
            behind: place.blocks,
            start: 0,
            sequence: 0,
        };
        let sb = log.read(0)?;
        let kind = field::u32_be(&sb, 4);
        if field::u32_be(&sb, 0) != MAGIC || !(SUPERBLOCK_1..=SUPERBLOCK_2).contains(&kind) {
            return Err("its superblock is damaged".to_owned());
        }
        if u64::from(field::u32_be(&sb, 0xc)) != block {
            return Err("its blocks are not the volume's".to_owned());
        }
        if kind == SUPERBLOCK_2 {
            log.features = field::u32_be(&sb, 0x28);
        }
        if log.features & !KNOWN != 0 {
            return Err(format!("unknown features {:#x}", log.features & !KNOWN));
        }
        log.seed = field::crc32c(u32::MAX, sb.get(0x30..0x40).unwrap_or_default());
        log.first = u64::from(field::u32_be(&sb, 0x14));
        log.start = u64::from(field::u32_be(&sb, 0x1c));
        log.sequence = field::u32_be(&sb, 0x18);
        log.behind = u64::from(field::u32_be(&sb, 0x10)).min(place.blocks);
        if log.has_fast_commits() {
            let fast = field::u32_be(&sb, 0x54);
            log.behind = log.behind.saturating_sub(u64::from(if fast == 0 { 256 } else { fast }));
        }
        let within = log.start == 0 || (log.first..log.behind).contains(&log.start);
        if log.first == 0 || log.first >= log.behind || !within {
            return Err("its superblock is damaged".to_owned());
        }
        Ok(log)
    }

    /// Whether it may hold fast commits besides.
    pub(super) fn has_fast_commits(&self) -> bool {
        self.features & FAST_COMMIT != 0
    }

    fn checked(&self) -> bool {
        self.features & (CHECKSUM_2 | CHECKSUM_3) != 0
    }

    fn at(&self, number: u64) -> Result<u64, String> {
        let found = self.place.find(number).ok_or_else(|| format!("its block {number} is nowhere"))?;
        Ok(found.saturating_mul(self.block))
    }

    fn read(&self, number: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; usize::try_from(self.block).unwrap_or_default()];
        self.disk.read_at(self.at(number)?, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn after(&self, number: u64) -> u64 {
        let next = number.saturating_add(1);
        if next >= self.behind { self.first } else { next }
    }

    /// The transactions that were committed, the oldest first.
    pub(super) fn committed(&self) -> Result<Vec<Transaction>, String> {
        let (mut all, mut now) = (Vec::new(), Transaction::default());
        let (mut next, mut sequence) = (self.start, self.sequence);
        let (mut seen, mut writes) = (0_u64, 0_usize);
        while self.start != 0 && seen < self.behind {
            let bytes = self.read(next)?;
            if field::u32_be(&bytes, 0) != MAGIC || field::u32_be(&bytes, 8) != sequence {
                break;
            }
            (next, seen) = (self.after(next), seen.saturating_add(1));
            match field::u32_be(&bytes, 4) {
                DESCRIPTOR if self.tail_is_right(&bytes) => {
                    let before = now.writes.len();
                    self.descriptor(&bytes, sequence, &mut next, &mut now.writes)?;
                    let new = now.writes.len().saturating_sub(before);
                    (seen, writes) = (seen.saturating_add(new as u64), writes.saturating_add(new));
                }
                REVOKE if self.tail_is_right(&bytes) => self.revoked(&bytes, &mut now.revoked),
                COMMIT if self.commit_is_right(&bytes) => {
                    if !self.contents_are_right(&now)? {
                        return Err("a block in it has a wrong checksum".to_owned());
                    }
                    all.push(std::mem::take(&mut now));
                    sequence = sequence.wrapping_add(1);
                }
                // An end that was torn by the crash: the transaction never was.
                _ => break,
            }
            if writes > MOST_WRITES {
                return Err(format!("more than {MOST_WRITES} blocks"));
            }
        }
        Ok(all)
    }

    /// The tags of a descriptor block; its blocks follow it in the ring.
    fn descriptor(
        &self,
        bytes: &[u8],
        sequence: u32,
        next: &mut u64,
        writes: &mut Vec<Write>,
    ) -> Result<(), String> {
        let wide = self.features & WIDE != 0;
        let three = self.features & CHECKSUM_3 != 0;
        let size = match (three, wide) {
            (true, _) => 16,
            (false, true) => 12,
            (false, false) => 8,
        } + if !three && self.features & CHECKSUM_2 != 0 { 2 } else { 0 };
        let end = bytes.len().saturating_sub(if self.checked() { 4 } else { 0 });
        let mut at = 12_usize;
        while let Some(tag) = at.checked_add(size).filter(|to| *to <= end).and_then(|to| bytes.get(at..to)) {
            let (flags, high, checksum) = if three {
                (field::u32_be(tag, 4), field::u32_be(tag, 8), field::u32_be(tag, 12))
            } else {
                let high = if wide { field::u32_be(tag, 8) } else { 0 };
                (u32::from(field::u16_be(tag, 6)), high, u32::from(field::u16_be(tag, 4)))
            };
            let high = if wide { u64::from(high) << 32 } else { 0 };
            writes.push(Write {
                block: high | u64::from(field::u32_be(tag, 0)),
                at: self.at(*next)?,
                escaped: flags & ESCAPED != 0,
                checksum,
                sequence,
            });
            *next = self.after(*next);
            at = at.saturating_add(size).saturating_add(if flags & SAME_UUID == 0 { 16 } else { 0 });
            if flags & LAST != 0 {
                break;
            }
        }
        Ok(())
    }

    /// The records of a revoke block: after the header, how many bytes are used, then block numbers.
    fn revoked(&self, bytes: &[u8], revoked: &mut Vec<u64>) {
        let used = usize::try_from(field::u32_be(bytes, 12)).unwrap_or_default();
        let end = used.min(bytes.len().saturating_sub(if self.checked() { 4 } else { 0 }));
        let records = bytes.get(16..end).unwrap_or_default();
        if self.features & WIDE == 0 {
            revoked.extend(records.chunks_exact(4).map(|record| u64::from(field::u32_be(record, 0))));
        } else {
            revoked.extend(records.chunks_exact(8).map(|record| field::u64_be(record, 0)));
        }
    }

    /// Whether a block that ends in its checksum has the right one.
    fn tail_is_right(&self, bytes: &[u8]) -> bool {
        let end = bytes.len().saturating_sub(4);
        !self.checked() || self.checksum_without(bytes, end) == field::u32_be(bytes, end)
    }

    fn commit_is_right(&self, bytes: &[u8]) -> bool {
        !self.checked() || self.checksum_without(bytes, 16) == field::u32_be(bytes, 16)
    }

    /// The checksum of a block in which the four bytes at `at` count as zeros.
    fn checksum_without(&self, bytes: &[u8], at: usize) -> u32 {
        let before = field::crc32c(self.seed, bytes.get(..at).unwrap_or_default());
        let zeros = field::crc32c(before, &[0; 4]);
        field::crc32c(zeros, bytes.get(at.saturating_add(4)..).unwrap_or_default())
    }

    /// Whether the blocks of a transaction are what was written.
    fn contents_are_right(&self, transaction: &Transaction) -> Result<bool, String> {
        if !self.checked() {
            return Ok(true);
        }
        let mut bytes = vec![0; usize::try_from(self.block).unwrap_or_default()];
        for write in &transaction.writes {
            self.disk.read_at(write.at, &mut bytes).map_err(|error| error.to_string())?;
            let seed = field::crc32c(self.seed, &write.sequence.to_be_bytes());
            let found = field::crc32c(seed, &bytes);
            let right = if self.features & CHECKSUM_3 == 0 { found & 0xffff } else { found };
            if right != write.checksum {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
