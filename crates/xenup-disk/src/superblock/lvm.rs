//! LVM2 physical volumes (lib/label/label.h and lib/format_text/layout.h): the label is in one of four sectors.

use super::{Content, Kind, block};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

/// How LVM writes its identifiers: 32 characters in groups.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

pub(super) fn read(disk: &dyn ReadAt) -> Result<Option<Content>, ReadError> {
    for sector in 0..4_u64 {
        let Some(label) = block::<512>(disk, sector * 512)? else { return Ok(None) };
        let marked = field::has(&label, 0, b"LABELONE") && field::has(&label, 24, b"LVM2 001");
        if marked && field::u64_le(&label, 8) == sector {
            let header = field::u32_le(&label, 20) as usize;
            return Ok(Some(Content {
                kind: Kind::Lvm2Member,
                uuid: identifier(&label, header),
                label: None,
            }));
        }
    }
    Ok(None)
}

fn identifier(label: &[u8], at: usize) -> Option<String> {
    let text = field::text(label, at, 32).filter(|text| text.len() == 32 && text.is_ascii())?;
    let mut rest = text.as_str();
    let mut groups = Vec::new();
    for length in GROUPS {
        let (group, after) = rest.split_at_checked(length)?;
        groups.push(group);
        rest = after;
    }
    Some(groups.join("-"))
}
