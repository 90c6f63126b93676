//! Swap space (include/linux/swap.h, union swap_header): the mark ends the first page, whatever the page's size was.

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

/// Page sizes of Linux's architectures.
const PAGES: [u64; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
const MARK: usize = 10;
/// What suspend programs put in the mark's place.
const SLEEPING: [&[u8]; 4] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    for page in PAGES {
        let Some(mark) = block::<MARK>(disk, page - MARK as u64)? else { return Ok(None) };
        let hibernated = SLEEPING.iter().any(|sleeping| field::has(&mark, 0, sleeping));
        if !hibernated && !field::has(&mark, 0, b"SWAPSPACE2") {
            continue;
        }
        let Some(header) = block::<512>(disk, 1024)? else { return Ok(None) };
        let version_1 = field::u32_le(&header, 0) == 1 || field::u32_be(&header, 0) == 1;
        return Ok(version_1.then(|| Content {
            kind: Kind::Swap { hibernated },
            uuid: field::uuid(&header, 12),
            label: field::text(&header, 28, 16),
        }));
    }
    Ok(None)
}
