//! Little-endian fields of a header that lies in memory. A field behind the end is `None`.

fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(super) fn u8(data: &[u8], at: usize) -> Option<u8> {
    data.get(at).copied()
}

pub(super) fn u16(data: &[u8], at: usize) -> Option<u16> {
    bytes(data, at).map(u16::from_le_bytes)
}

pub(super) fn u32(data: &[u8], at: usize) -> Option<u32> {
    bytes(data, at).map(u32::from_le_bytes)
}

pub(super) fn u64(data: &[u8], at: usize) -> Option<u64> {
    bytes(data, at).map(u64::from_le_bytes)
}

/// Whether the structure has these bytes at `at`.
pub(super) fn has(data: &[u8], at: usize, magic: &[u8]) -> bool {
    at.checked_add(magic.len()).and_then(|end| data.get(at..end)) == Some(magic)
}

/// The text up to the first NUL. What is no printable ASCII becomes `?`: it is shown on terminals.
pub(super) fn text(data: &[u8]) -> String {
    let field = data.split(|&byte| byte == 0).next().unwrap_or_default();
    let printable = |&byte: &u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
    field.iter().map(printable).collect()
}
