//! Disks as tests/cases/disk writes them: a size, then rows of offset and bytes, both hexadecimal.

use xenup_disk::{ReadAt, ReadError, superblock, table};

/// A disk of which a few rows are not zero.
pub struct Sparse {
    size: u64,
    rows: Vec<(u64, Vec<u8>)>,
}

impl Sparse {
    /// What can be read of a text; the rest is left out.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (first, rest) = text.split_once('\n')?;
        let size = first.strip_prefix("size ")?.parse().ok()?;
        let row = |line: &str| {
            let (offset, hex) = line.split_once(' ')?;
            let pairs = hex.as_bytes().chunks_exact(2);
            let bytes = pairs.map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            Some((u64::from_str_radix(offset, 16).ok()?, bytes.collect()))
        };
        Some(Self { size, rows: rest.lines().filter_map(row).collect() })
    }
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len() as u64;
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let end = end.ok_or(ReadError::PastEnd { offset, length, size: self.size })?;
        buffer.fill(0);
        for (start, bytes) in &self.rows {
            for (step, byte) in bytes.iter().enumerate() {
                let at = start.saturating_add(step as u64);
                if (offset..end).contains(&at) {
                    buffer[(at - offset) as usize] = *byte;
                }
            }
        }
        Ok(())
    }
}

/// Reads the table, and what the disk and each partition hold.
pub fn read(bytes: &[u8]) {
    let Some(disk) = Sparse::parse(bytes) else { return };
    let _ = superblock::identify(&disk);
    let _ = superblock::identify_all(&disk);
    if let Ok(Some(table)) = table::read(&disk) {
        for partition in &table.partitions {
            let _ = superblock::identify_all(&partition.view(&disk));
        }
    }
}
