//! Members of Linux software RAIDs (md(4); include/uapi/linux/raid/md_p.h). Version 1 is little endian wherever it was
//! made; of version 0.90 only what little-endian machines wrote is read.

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

const MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    let sectors = disk.size() / 512;
    // Version 1.0: 8 KiB before the end, on a multiple of 4 KiB; 1.1: at the start; 1.2: 4 KiB from it.
    let last = sectors.checked_sub(16).map(|sector| sector / 8 * 8);
    let places = [(Some(8), 2), (Some(0), 1), (last, 0)];
    for (sector, minor) in places.iter().filter_map(|(sector, minor)| sector.map(|sector| (sector, *minor))) {
        if let Some(content) = version_1(disk, sector, minor)? {
            return Ok(Some(content));
        }
    }
    version_0(disk, sectors)
}

fn version_1(disk: &dyn ReadAt, sector: u64, minor: u8) -> Result<Option<Content>, ReadError> {
    let Some(sb) = block::<256>(disk, sector * 512)? else { return Ok(None) };
    // The superblock says where it lies.
    if !field::has(&sb, 0, &MAGIC) || field::u32_le(&sb, 4) != 1 || field::u64_le(&sb, 144) != sector {
        return Ok(None);
    }
    let level = i32::from_ne_bytes(field::u32_le(&sb, 72).to_ne_bytes());
    Ok(Some(Content {
        kind: Kind::MdMember { metadata: (1, minor), level },
        uuid: field::uuid(&sb, 16),
        label: field::text(&sb, 32, 32),
    }))
}

/// Version 0.90: in the last whole 64 KiB, but at least 64 KiB before the end.
fn version_0(disk: &dyn ReadAt, sectors: u64) -> Result<Option<Content>, ReadError> {
    let Some(sector) = (sectors / 128 * 128).checked_sub(128) else { return Ok(None) };
    let Some(sb) = block::<256>(disk, sector * 512)? else { return Ok(None) };
    if !field::has(&sb, 0, &MAGIC) || field::u32_le(&sb, 4) != 0 {
        return Ok(None);
    }
    let level = i32::from_ne_bytes(field::u32_le(&sb, 28).to_ne_bytes());
    let mut id = Vec::new();
    for at in [20, 52, 56, 60] {
        id.extend(field::u32_le(&sb, at).to_be_bytes());
    }
    Ok(Some(Content {
        kind: Kind::MdMember { metadata: (0, 90), level },
        uuid: field::uuid(&id, 0),
        label: None,
    }))
}
