//! FAT (Microsoft's FAT specification, 1.03), as EFI partitions have it. Decides by the BIOS parameter block, since
//! the file system has no mark of its own; the number of clusters says how wide its entries are.

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

/// Directory entries that are looked at for the label: tools write it first.
const LABEL_SCAN: usize = 64;
const VOLUME_LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;

struct Geometry {
    bits: u8,
    /// Where the root directory begins, in bytes.
    root: u64,
}

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    let Some(boot) = block::<512>(disk, 0)? else { return Ok(None) };
    let Some(geometry) = geometry(&boot) else { return Ok(None) };
    // Where the fields of the extended block begin: its signature, then serial number, label.
    let extended = if geometry.bits == 32 { 66 } else { 38 };
    let has_fields = matches!(field::u8(&boot, extended), 0x28 | 0x29);
    let serial = field::u32_le(&boot, extended + 1);
    let uuid = (has_fields && serial != 0).then(|| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff));
    let label = match root_label(disk, &geometry)? {
        Some(label) => Some(label),
        None if field::u8(&boot, extended) == 0x29 => {
            field::text(&boot, extended + 5, 11).filter(|label| label != "NO NAME")
        }
        None => None,
    };
    Ok(Some(Content { kind: Kind::Vfat { bits: geometry.bits }, uuid, label }))
}

/// The layout, where the first sector can be one of FAT.
fn geometry(boot: &[u8; 512]) -> Option<Geometry> {
    let sector = u64::from(field::u16_le(boot, 11));
    let cluster = u64::from(field::u8(boot, 13));
    let reserved = u64::from(field::u16_le(boot, 14));
    let copies = u64::from(field::u8(boot, 16));
    let root_entries = u64::from(field::u16_le(boot, 17));
    let media = field::u8(boot, 21);
    let either = |small: u16, large: u32| if small == 0 { u64::from(large) } else { u64::from(small) };
    let sectors = either(field::u16_le(boot, 19), field::u32_le(boot, 32));
    let fat = either(field::u16_le(boot, 22), field::u32_le(boot, 36));
    let plausible = matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && reserved != 0
        && matches!(copies, 1 | 2)
        && (media == 0xf0 || media >= 0xf8)
        && fat != 0
        && field::has(boot, 510, &[0x55, 0xaa]);
    if !plausible {
        return None;
    }
    let fats_end = reserved + copies * fat;
    let root_sectors = (root_entries * 32).div_ceil(sector);
    let clusters = sectors.checked_sub(fats_end + root_sectors)? / cluster;
    let bits = match clusters {
        0 => return None,
        1..4085 => 12,
        4085..65525 => 16,
        _ => 32,
    };
    // A FAT32 root directory is a chain of clusters; the label is in its first one.
    let wide = bits == 32 || field::u16_le(boot, 22) == 0;
    let root = if wide {
        let first = u64::from(field::u32_le(boot, 44)).checked_sub(2)?;
        (fats_end + first * cluster) * sector
    } else {
        fats_end * sector
    };
    Some(Geometry { bits: if wide { 32 } else { bits }, root })
}

/// The label entry of the root directory, which wins over the boot sector's copy: only it is kept up to date.
fn root_label(disk: &dyn ReadAt, geometry: &Geometry) -> Result<Option<String>, ReadError> {
    let Some(directory) = block::<{ LABEL_SCAN * 32 }>(disk, geometry.root)? else { return Ok(None) };
    for entry in directory.chunks_exact(32) {
        let (first, attributes) = (field::u8(entry, 0), field::u8(entry, 11));
        match first {
            0 => break,
            0xe5 => {}
            _ if attributes & LONG_NAME != LONG_NAME && attributes & VOLUME_LABEL != 0 => {
                return Ok(field::text(entry, 0, 11));
            }
            _ => {}
        }
    }
    Ok(None)
}
