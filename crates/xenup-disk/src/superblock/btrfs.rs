//! btrfs (include/uapi/linux/btrfs_tree.h, struct btrfs_super_block; the first copy, at 64 KiB).

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

const PLACE: u64 = 64 << 10;

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    let Some(sb) = block::<1024>(disk, PLACE)? else { return Ok(None) };
    // The superblock says where it lies, which a stray copy of the mark does not.
    if !field::has(&sb, 0x40, b"_BHRfS_M") || field::u64_le(&sb, 0x30) != PLACE {
        return Ok(None);
    }
    Ok(Some(Content {
        kind: Kind::Btrfs { devices: field::u64_le(&sb, 0x88) },
        uuid: field::uuid(&sb, 0x20),
        label: field::text(&sb, 0x12b, 256),
    }))
}

/// `dev_item.total_bytes`: what it takes of this device.
pub(super) fn size(disk: &dyn ReadAt) -> Result<Option<u64>, ReadError> {
    let Some(sb) = block::<1024>(disk, PLACE)? else { return Ok(None) };
    Ok(Some(field::u64_le(&sb, 0xd1)))
}
