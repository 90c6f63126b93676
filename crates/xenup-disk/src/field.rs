//! Fields of on-disk structures: numbers, texts and UUIDs at byte offsets. A field behind the end reads as zero.

/// `N` bytes at `at`, zeros where the structure ends before.
fn bytes<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let found = at.checked_add(N).and_then(|end| data.get(at..end));
    found.and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

pub(crate) fn u8(data: &[u8], at: usize) -> u8 {
    data.get(at).copied().unwrap_or_default()
}

pub(crate) fn u16_le(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(data, at))
}

pub(crate) fn u32_le(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(data, at))
}

pub(crate) fn u64_le(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(data, at))
}

pub(crate) fn u16_be(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes(data, at))
}

pub(crate) fn u32_be(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(data, at))
}

pub(crate) fn u64_be(data: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes(data, at))
}

/// Writes a number at `at`; nothing where the structure ends before.
pub(crate) fn put_u32_le(data: &mut [u8], at: usize, value: u32) {
    if let Some(place) = at.checked_add(4).and_then(|end| data.get_mut(at..end)) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// Whether the structure has these bytes at `at`.
pub(crate) fn has(data: &[u8], at: usize, magic: &[u8]) -> bool {
    at.checked_add(magic.len()).and_then(|end| data.get(at..end)) == Some(magic)
}

/// A text of at most `length` bytes that ends at its first NUL; `None` where it is empty. Bytes that are not UTF-8
/// become U+FFFD, and so do control characters: the text is shown on terminals.
pub(crate) fn text(data: &[u8], at: usize, length: usize) -> Option<String> {
    let end = at.checked_add(length)?.min(data.len());
    let field = data.get(at..end)?;
    let field = field.split(|&byte| byte == 0).next().unwrap_or_default();
    printable(&String::from_utf8_lossy(field))
}

/// A text without control characters and trailing blanks; `None` where nothing is left.
pub(crate) fn printable(text: &str) -> Option<String> {
    let clean: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let clean = clean.trim_end_matches(' ');
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// 16 bytes as a UUID in the order they lie, lower case; `None` where all are zero.
pub(crate) fn uuid(data: &[u8], at: usize) -> Option<String> {
    let raw: [u8; 16] = bytes(data, at);
    (raw != [0; 16]).then(|| hyphenated(raw))
}

/// 16 bytes as a GUID of the UEFI specification (its first three parts little endian), lower case.
pub(crate) fn guid(data: &[u8], at: usize) -> String {
    let mut raw: [u8; 16] = bytes(data, at);
    for part in [0..4, 4..6, 6..8] {
        if let Some(part) = raw.get_mut(part) {
            part.reverse();
        }
    }
    hyphenated(raw)
}

fn hyphenated(raw: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in raw.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Returns CRC-32 as GPT headers have it (IEEE 802.3, reflected).
#[must_use]
pub fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let mask = (crc & 1).wrapping_neg();
            crc = (crc >> 1) ^ (0xedb8_8320 & mask);
        }
    }
    !crc
}

/// CRC-32C tables (Castagnoli, reflected).
const CRC32C: [u32; 256] = crc32c_table();

const fn crc32c_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let mask = (crc & 1).wrapping_neg();
            crc = (crc >> 1) ^ (0x82f6_3b78 & mask);
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC-32C going on from `seed`, neither begun nor ended by an inversion, as ext4 and jbd2 have it.
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, &byte| {
        let index = usize::try_from((crc ^ u32::from(byte)) & 0xff).unwrap_or_default();
        (crc >> 8) ^ CRC32C.get(index).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn crc32c_of_the_standard_check() {
        assert_eq!(!super::crc32c(u32::MAX, b"123456789"), 0xe306_9283);
    }
}
