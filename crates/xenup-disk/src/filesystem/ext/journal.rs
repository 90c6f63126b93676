//! The journal of ext3 and ext4 (jbd2, Documentation/filesystems/ext4/journal.rst): committed transactions are laid over
//! the volume in memory, as the kernel would write them at mount.
//!
//! Decides which blocks count: only those of transactions with their commit block and right checksums, not revoked
//! later. What cannot be replayed is said in a note, and then nothing is: half a journal would be worse than none.

mod log;
mod place;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::field;
use crate::read_at::{ReadAt, ReadError, in_bounds};
use log::Log;
use place::Place;

/// A block that the journal replaces: where the newer one lies, and whether its first four bytes were taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Newer {
    at: u64,
    escaped: bool,
}

/// A volume with its journal's blocks over it.
pub(super) struct Replayed {
    disk: Rc<dyn ReadAt>,
    block: u64,
    newer: BTreeMap<u64, Newer>,
}

impl Replayed {
    /// The volume as it lies.
    pub(super) fn nothing(disk: Rc<dyn ReadAt>) -> Self {
        Self { disk, block: 4096, newer: BTreeMap::new() }
    }

    /// The bytes of one block that lie between `from` and `from + length` within it.
    fn newer_bytes(&self, newer: Newer, from: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.disk.read_at(newer.at.saturating_add(from), buffer)?;
        if newer.escaped {
            // The journal blanks the first four bytes of a block that begins like one of its own.
            let magic = log::MAGIC.to_be_bytes();
            for (at, byte) in (from..).zip(buffer.iter_mut()) {
                let kept = usize::try_from(at).ok().and_then(|at| magic.get(at));
                *byte = kept.copied().unwrap_or(*byte);
            }
        }
        Ok(())
    }
}

impl ReadAt for Replayed {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        in_bounds(offset, buffer.len(), self.size())?;
        self.disk.read_at(offset, buffer)?;
        let end = offset.saturating_add(buffer.len() as u64);
        let first = offset.checked_div(self.block).unwrap_or_default();
        let behind = end.div_ceil(self.block);
        for (number, newer) in self.newer.range(first..behind) {
            let start = number.saturating_mul(self.block);
            let (from, to) = (start.max(offset), start.saturating_add(self.block).min(end));
            let within = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            if let Some(part) = buffer.get_mut(within(from)..within(to)) {
                self.newer_bytes(*newer, from.saturating_sub(start), part)?;
            }
        }
        Ok(())
    }
}

/// The volume with its journal replayed, or as it lies with a note that says why.
pub(super) fn replay(disk: Rc<dyn ReadAt>, sb: &[u8], notes: &mut Vec<String>) -> Replayed {
    let block = 1024_u64.checked_shl(field::u32_le(sb, 0x18)).unwrap_or_default();
    match newer_blocks(&disk, sb, block) {
        Ok(found) => {
            if found.fast_commits {
                notes.push(
                    "its journal may hold fast commits, which are not replayed: files changed in the last seconds may \
                     read as they were before"
                        .to_owned(),
                );
            }
            notes.push(match found.newer.len() {
                0 => "it was not unmounted; its journal holds nothing to replay".to_owned(),
                blocks => {
                    format!("it was not unmounted; {blocks} blocks of its journal were replayed in memory")
                }
            });
            Replayed { disk, block, newer: found.newer }
        }
        Err(why) => {
            notes.push(format!(
                "it was not unmounted and its journal cannot be replayed here ({why}): files changed last may be \
                 missing or read as they were before"
            ));
            Replayed::nothing(disk)
        }
    }
}

/// What a journal comes to.
struct Found {
    newer: BTreeMap<u64, Newer>,
    fast_commits: bool,
}

fn newer_blocks(disk: &Rc<dyn ReadAt>, sb: &[u8], block: u64) -> Result<Found, String> {
    if !(1024..=65536).contains(&block) {
        return Err(format!("blocks of {block} bytes"));
    }
    let place = Place::of_journal(disk, sb, block)?;
    let log = Log::open(disk, &place, block)?;
    let transactions = log.committed()?;
    // A block revoked in a transaction is not restored from that one or an earlier one.
    let mut revoked: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, transaction) in transactions.iter().enumerate() {
        revoked.extend(transaction.revoked.iter().map(|block| (*block, number)));
    }
    let mut newer = BTreeMap::new();
    for (number, transaction) in transactions.iter().enumerate() {
        let stays = |block: &u64| revoked.get(block).is_none_or(|at| *at < number);
        for write in transaction.writes.iter().filter(|write| stays(&write.block)) {
            newer.insert(write.block, Newer { at: write.at, escaped: write.escaped });
        }
    }
    Ok(Found { newer, fast_commits: log.has_fast_commits() })
}
