//! LUKS (its on-disk format specifications 1.2.3 and 2; big endian). Only the first header is looked at.

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    let Some(header) = block::<512>(disk, 0)? else { return Ok(None) };
    let version = field::u16_be(&header, 6);
    if !field::has(&header, 0, b"LUKS\xba\xbe") || !matches!(version, 1 | 2) {
        return Ok(None);
    }
    Ok(Some(Content {
        kind: Kind::Luks { version },
        uuid: field::text(&header, 168, 40),
        // Version 1 has the cipher's name at this place.
        label: if version == 2 { field::text(&header, 24, 48) } else { None },
    }))
}
