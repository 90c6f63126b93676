//! Disks: `tests/cases/disk/<case>/disk.hex` → `expected.json`: the partition table, and what the disk and each
//! partition hold. `made-by` says how the disk was made. A case is a sparse text: its size, then rows of offset and
//! bytes, both hexadecimal.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use xenup_disk::{ReadAt, ReadError, superblock, table};

/// A disk of which a few rows are not zero.
#[derive(Debug, Clone)]
struct Sparse {
    size: u64,
    rows: Vec<(u64, Vec<u8>)>,
}

impl Sparse {
    fn read(case: &Path) -> Self {
        let text = std::fs::read_to_string(case.join("disk.hex")).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let size = first.strip_prefix("size ").unwrap().parse().unwrap();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let row = |line: &str| {
            let (offset, hex) = line.split_once(' ').unwrap();
            (u64::from_str_radix(offset, 16).unwrap(), hex.as_bytes().chunks(2).map(byte).collect())
        };
        Self { size, rows: rest.lines().map(row).collect() }
    }

    fn byte_mut(&mut self, index: usize) -> Option<&mut u8> {
        self.rows.iter_mut().flat_map(|(_, bytes)| bytes.iter_mut()).nth(index)
    }

    fn bytes(&self) -> usize {
        self.rows.iter().map(|(_, bytes)| bytes.len()).sum()
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
        for (start, bytes) in
            self.rows.iter().filter(|(start, bytes)| *start < end && start + bytes.len() as u64 > offset)
        {
            for (at, byte) in (*start..).zip(bytes) {
                if (offset..end).contains(&at) {
                    buffer[usize::try_from(at - offset).unwrap()] = *byte;
                }
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<PathBuf> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/disk");
    let mut cases: Vec<_> = std::fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 40, "cases are missing");
    cases
}

fn describe(disk: &dyn ReadAt) -> Value {
    let table = table::read(disk).unwrap();
    let parts: Vec<_> = table.iter().flat_map(|table| &table.partitions).collect();
    let within = |part: &&table::Partition| {
        let found = superblock::identify(&part.view(disk)).unwrap()?;
        Some(json!({ "number": part.number, "type": found.kind.name(), "content": found }))
    };
    json!({
        "whole": superblock::identify_all(disk).unwrap(),
        "partitions": parts.iter().filter_map(within).collect::<Vec<_>>(),
        "table": table,
    })
}

#[test]
fn every_case_reads_as_written() {
    for case in cases() {
        let found = describe(&Sparse::read(&case));
        let expected =
            snapbox::Data::read_from(&case.join("expected.json"), Some(snapbox::data::DataFormat::Text));
        let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
        snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, expected.raw());
    }
}

#[test]
fn a_disk_cut_anywhere_is_read_or_refused() {
    for case in cases() {
        let whole = Sparse::read(&case);
        let rows =
            whole.rows.iter().flat_map(|(start, bytes)| [*start, start + 1, start + bytes.len() as u64]);
        let cuts = (0..200).map(|sector| sector * 512).chain(rows).chain([
            1,
            511,
            513,
            whole.size.saturating_sub(1),
        ]);
        for size in cuts.filter(|size| *size < whole.size) {
            describe(&Sparse { size, ..whole.clone() });
        }
    }
}

#[test]
fn an_unreadable_disk_is_an_error_and_not_an_empty_one() {
    struct Broken;
    impl ReadAt for Broken {
        fn size(&self) -> u64 {
            1 << 30
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
            let source = std::io::Error::other("medium error");
            Err(ReadError::Io { offset, length: buffer.len() as u64, source })
        }
    }
    assert!(table::read(&Broken).is_err());
    assert!(superblock::identify(&Broken).is_err());
    assert!(superblock::identify_all(&Broken).is_err());
}

proptest! {
    #[test]
    fn a_disk_with_changed_bytes_is_read_or_refused(
        case in 0..cases().len(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12),
    ) {
        let mut disk = Sparse::read(&cases()[case]);
        let bytes = disk.bytes();
        for (index, value) in changes {
            if let Some(byte) = index.checked_rem(bytes).and_then(|index| disk.byte_mut(index)) {
                *byte = value;
            }
        }
        describe(&disk);
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
        describe(&bytes.as_slice());
    }

    #[test]
    fn a_view_never_reads_outside_its_part(
        start in any::<u64>(), size in any::<u64>(), offset in any::<u64>(), length in 0..600_usize,
    ) {
        let disk: Vec<u8> = (0..512).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let view = xenup_disk::View::new(disk.as_slice(), start % 600, size % 600);
        let offset = offset % 1200;
        let mut buffer = vec![0; length];
        let fits = offset + length as u64 <= view.size();
        prop_assert_eq!(view.read_at(offset, &mut buffer).is_ok(), fits);
        if fits && length > 0 {
            let from = usize::try_from(start % 600 + offset).unwrap();
            prop_assert_eq!(&buffer, &disk[from..from + length]);
        }
    }
}
