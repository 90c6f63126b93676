//! ext2, ext3, ext4 (fs/ext4/ext4.h, struct ext4_super_block). The generation follows from the features, as in blkid.

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

const HAS_JOURNAL: u32 = 0x4;
const NEEDS_RECOVERY: u32 = 0x4;
const JOURNAL_DEVICE: u32 = 0x8;
/// Incompatible features that ext2 knows: file types, meta block groups.
const EXT2_INCOMPAT: u32 = 0x2 | 0x10;
/// Incompatible features that ext3 knows besides: recovery.
const EXT3_INCOMPAT: u32 = EXT2_INCOMPAT | NEEDS_RECOVERY;
/// Read-only compatible features that both know: sparse superblocks, large files, B-tree directories.
const OLD_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    let Some(sb) = block::<1024>(disk, 1024)? else { return Ok(None) };
    let (compat, incompat, ro_compat) =
        (field::u32_le(&sb, 0x5c), field::u32_le(&sb, 0x60), field::u32_le(&sb, 0x64));
    // Block sizes go from 1 KiB to 64 KiB; a journal device has the mark but no files.
    let plausible = field::u32_le(&sb, 0x18) <= 6 && field::u32_le(&sb, 0x28) != 0;
    if !field::has(&sb, 0x38, &[0x53, 0xef]) || incompat & JOURNAL_DEVICE != 0 || !plausible {
        return Ok(None);
    }
    let journal = compat & HAS_JOURNAL != 0;
    let old_ro = ro_compat & !OLD_RO_COMPAT == 0;
    let generation = match journal {
        false if old_ro && incompat & !EXT2_INCOMPAT == 0 => 2,
        true if old_ro && incompat & !EXT3_INCOMPAT == 0 => 3,
        _ => 4,
    };
    Ok(Some(Content {
        kind: Kind::Ext { generation, needs_recovery: journal && incompat & NEEDS_RECOVERY != 0 },
        uuid: field::uuid(&sb, 0x68),
        label: field::text(&sb, 0x78, 16),
    }))
}

/// `s_blocks_count`, whose upper half counts with the feature 64bit, in blocks of `s_log_block_size`.
pub(super) fn size(disk: &dyn ReadAt) -> Result<Option<u64>, ReadError> {
    let Some(sb) = block::<1024>(disk, 1024)? else { return Ok(None) };
    let wide = field::u32_le(&sb, 0x60) & 0x80 != 0;
    let high = if wide { u64::from(field::u32_le(&sb, 0x150)) } else { 0 };
    let blocks = high << 32 | u64::from(field::u32_le(&sb, 4));
    let block = 1024_u64.checked_shl(field::u32_le(&sb, 0x18));
    Ok(block.map(|block| blocks.saturating_mul(block)))
}
