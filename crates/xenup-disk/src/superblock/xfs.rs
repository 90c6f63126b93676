//! xfs (fs/xfs/libxfs/xfs_format.h, struct xfs_dsb; big endian).

use super::{Content, Kind, XfsForm, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    let Some(sb) = block::<512>(disk, 0)? else { return Ok(None) };
    let block_size = field::u32_be(&sb, 4);
    let plausible = block_size.is_power_of_two() && (512..=65536).contains(&block_size);
    if !field::has(&sb, 0, b"XFSB") || !plausible {
        return Ok(None);
    }
    Ok(Some(Content { kind: Kind::Xfs, uuid: field::uuid(&sb, 32), label: field::text(&sb, 108, 12) }))
}

/// `sb_dblocks` in blocks of `sb_blocksize`.
pub(super) fn size(disk: &dyn ReadAt) -> Result<Option<u64>, ReadError> {
    let Some(sb) = block::<512>(disk, 0)? else { return Ok(None) };
    Ok(Some(field::u64_be(&sb, 8).saturating_mul(u64::from(field::u32_be(&sb, 4)))))
}

/// The low bits of `sb_versionnum`, and whether its directories carry the types of files (`XFS_SB_VERSION_MOREBITSBIT`
/// with `XFS_SB_VERSION2_FTYPE`).
pub(super) fn form(disk: &dyn ReadAt) -> Result<Option<XfsForm>, ReadError> {
    let Some(sb) = block::<512>(disk, 0)? else { return Ok(None) };
    let versions = field::u16_be(&sb, 100);
    let typed = versions & 0x8000 != 0 && field::u32_be(&sb, 200) & 0x200 != 0;
    Ok(Some(XfsForm { version: versions & 0xf, typed_directories: typed }))
}
