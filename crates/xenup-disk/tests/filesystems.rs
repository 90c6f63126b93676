//! Real file systems, made here and now by the tools of this machine, compared byte for byte with what they were made
//! from; then cut off everywhere, and with bytes changed: an answer or an error, never a panic.
#![allow(clippy::disallowed_methods, reason = "tests run the tools that make disks")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod made;

use std::rc::Rc;

use made::{Disk, MIB, compare, make, make_small_tree, make_tree, run, walk};
use proptest::prelude::*;
use xenup_disk::filesystem::{FileSystem, Tree};
use xenup_disk::{Budget, Metered, ReadAt, ReadError};

type Row = (&'static str, &'static [&'static str], u64);

const KINDS: [Row; 12] = [
    ("ext2", &[], 64 * MIB),
    ("ext2", &["-b", "1024"], 64 * MIB),
    ("ext3", &["-b", "4096"], 64 * MIB),
    ("ext4", &[], 64 * MIB),
    ("ext4", &["-b", "1024", "-O", "^64bit"], 64 * MIB),
    ("ext4", &["-O", "^metadata_csum,^64bit,^extent,mmp,ea_inode"], 64 * MIB),
    ("ext4", &["-O", "bigalloc,metadata_csum_seed", "-I", "512"], 64 * MIB),
    ("ext4", &["-O", "^has_journal,fast_commit,project,quota"], 64 * MIB),
    ("xfs", &[], 320 * MIB),
    ("xfs", &["-b", "size=1024", "-m", "bigtime=1"], 320 * MIB),
    ("btrfs", &[], 256 * MIB),
    ("btrfs", &["--mixed", "-d", "dup", "-m", "dup"], 256 * MIB),
];

#[test]
fn every_file_is_what_it_was_made_from() {
    let directory = tempfile::tempdir().unwrap();
    let (source, disk) = (directory.path().join("tree"), directory.path().join("disk"));
    make_tree(&source);
    let mut compared = 0;
    for (kind, options, size) in KINDS {
        if make(kind, options, &source, &disk, size) {
            let what = format!("{kind} {options:?}");
            let filesystem = FileSystem::open(Disk::open(&disk)).unwrap_or_else(|e| panic!("{what}: {e}"));
            let filesystem = filesystem.unwrap();
            assert!(filesystem.notes.is_empty(), "{what}: {:?}", filesystem.notes);
            compare(&what, &source, filesystem);
            compared += 1;
        }
    }
    println!("{compared} of {} file systems compared", KINDS.len());
}

/// The upper half of the count of blocks is only meant with `64bit`: taken without it, it made the reader ask for 32 GiB.
#[test]
fn a_count_without_its_feature_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (source, disk) = (directory.path().join("tree"), directory.path().join("disk"));
    make_small_tree(&source);
    if make("ext4", &["-O", "^64bit,^metadata_csum"], &source, &disk, 16 * MIB) {
        let mut bytes = std::fs::read(&disk).unwrap();
        bytes[1024 + 0x150..1024 + 0x154].copy_from_slice(&0x4000_0000_u32.to_le_bytes());
        std::fs::write(&disk, bytes).unwrap();
        assert!(FileSystem::open(Disk::open(&disk)).unwrap().is_some());
    }
}

#[test]
fn features_that_are_not_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (source, disk) = (directory.path().join("tree"), directory.path().join("disk"));
    make_small_tree(&source);
    for (feature, name) in
        [("inline_data", "inline_data"), ("meta_bg,^resize_inode", "meta_bg"), ("large_dir", "large_dir")]
    {
        if make("ext4", &["-O", feature], &source, &disk, 16 * MIB) {
            let error = FileSystem::open(Disk::open(&disk)).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(name)), "{feature}: {error:?}");
        }
    }
}

/// Writes one transaction into the journal with debugfs(8), as a crash leaves it, and compares what is read with what
/// e2fsck(8) makes of it.
#[test]
fn a_dirty_journal_reads_as_e2fsck_would_leave_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (source, disk, clean) = (at("tree"), at("disk"), at("clean"));
    make_tree(&source);
    let kinds: [(&str, &[&str]); 5] = [
        ("ext4", &["-b", "4096"]),
        ("ext4", &["-b", "1024"]),
        ("ext4", &["-b", "4096", "-O", "^metadata_csum"]),
        ("ext3", &["-b", "4096"]),
        ("ext3", &["-b", "1024"]),
    ];
    for (kind, options) in kinds {
        if !make(kind, options, &source, &disk, 64 * MIB) {
            return;
        }
        let what = format!("{kind} {options:?}");
        let path = disk.to_str().unwrap();
        // The new content of a data block: it begins like a journal's own, which must be escaped.
        let block: usize = options[1].parse().unwrap();
        let new = [&[0xc0, 0x3b, 0x39, 0x98][..], &made::noise(9, block - 4)].concat();
        std::fs::write(at("new"), &new).unwrap();
        std::fs::write(at("newer"), vec![b'n'; block]).unwrap();
        let found = blocks_of(path, "/sizes/65536");
        let commands = format!(
            "journal_open\njournal_write -b {a},{b} {new}\njournal_write -b {c} {new}\njournal_write -r {a}\n\
             journal_write -b {b} {newer}\njournal_close\n",
            a = found[0],
            b = found[1],
            c = found[2],
            new = double(&at("new")),
            newer = at("newer").display(),
        );
        std::fs::write(at("commands"), commands).unwrap();
        assert!(run("debugfs", &["-w", "-f", at("commands").to_str().unwrap(), path]));
        std::fs::copy(&disk, &clean).unwrap();
        // e2fsck ends with 1 where it repaired something.
        std::process::Command::new("e2fsck").args(["-fy", clean.to_str().unwrap()]).output().unwrap();
        let mut dirty = FileSystem::open(Disk::open(&disk)).unwrap().unwrap();
        let mut clean = FileSystem::open(Disk::open(&clean)).unwrap().unwrap();
        assert!(
            dirty.notes.iter().any(|note| note.contains("replayed in memory")),
            "{what}: {:?}",
            dirty.notes
        );
        assert!(clean.notes.is_empty(), "{what}: {:?}", clean.notes);
        let file = b"/sizes/65536";
        let (read, right) = (dirty.read(file, 0, u64::MAX).unwrap(), clean.read(file, 0, u64::MAX).unwrap());
        assert!(read == right, "{what}: not what e2fsck makes of it");
        assert!(right != std::fs::read(source.join("sizes/65536")).unwrap(), "{what}: nothing was replayed");
    }
}

/// A file twice as long, for two blocks.
fn double(path: &std::path::Path) -> String {
    let twice = path.with_extension("twice");
    std::fs::write(&twice, std::fs::read(path).unwrap().repeat(2)).unwrap();
    twice.display().to_string()
}

fn blocks_of(disk: &str, file: &str) -> Vec<u64> {
    let output = std::process::Command::new("debugfs").args(["-R", &format!("blocks {file}"), disk]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Sizes to which a disk is cut: every 4 KiB where it has bytes, and a little more.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    let block = 4096;
    let holds = |at: &usize| bytes[*at..(at + block).min(bytes.len())].iter().any(|byte| *byte != 0);
    let mut cuts: Vec<usize> = (0..bytes.len()).step_by(block).filter(holds).collect();
    cuts.extend([1, 511, 1024, 2048, bytes.len() - 1]);
    cuts
}

fn open_and_walk(disk: &Rc<dyn ReadAt>) -> usize {
    let metered: Rc<dyn ReadAt> = Rc::new(Metered::new(Rc::clone(disk), Budget::new(100_000, 64 * MIB)));
    match FileSystem::open(metered) {
        Ok(Some(filesystem)) => walk(filesystem),
        _ => 0,
    }
}

const SMALL: [Row; 4] = [
    ("ext3", &[], 8 * MIB),
    ("ext4", &[], 8 * MIB),
    ("xfs", &[], 320 * MIB),
    ("btrfs", &["-m", "single"], 128 * MIB),
];

#[test]
fn a_file_system_cut_at_every_4_kib_is_read_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (source, disk) = (directory.path().join("tree"), directory.path().join("disk"));
    make_small_tree(&source);
    for (kind, options, size) in SMALL {
        if !make(kind, options, &source, &disk, size) {
            continue;
        }
        let bytes = std::fs::read(&disk).unwrap();
        assert!(open_and_walk(&Disk::open(&disk)) >= 8, "{kind}: the whole is not read");
        let cuts = cuts(&bytes);
        for size in &cuts {
            open_and_walk(&Disk::cut(&disk, *size as u64));
        }
        println!("{kind}: cut at {} places", cuts.len());
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A disk with some of its bytes changed.
struct Changed {
    bytes: Rc<Vec<u8>>,
    changes: Vec<(usize, u8)>,
}

impl ReadAt for Changed {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.bytes.as_slice().read_at(offset, buffer)?;
        let from = usize::try_from(offset).unwrap();
        for (at, value) in &self.changes {
            if let Some(byte) = at.checked_sub(from).and_then(|at| buffer.get_mut(at)) {
                *byte = *value;
            }
        }
        Ok(())
    }
}

/// The places of a disk that hold something else than zeros, the file contents left out as far as they are noise.
fn places(bytes: &[u8]) -> Vec<usize> {
    let blocks = bytes.chunks(512).enumerate();
    let dull = |block: &&[u8]| block.iter().filter(|byte| **byte == 0).count() > 4;
    let structured = blocks.filter(|(_, block)| dull(block));
    structured
        .flat_map(|(number, block)| {
            let set = block.iter().enumerate().filter(|(_, byte)| **byte != 0);
            set.map(move |(at, _)| number * 512 + at).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_file_system_with_changed_bytes_is_read_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (source, disk) = (directory.path().join("tree"), directory.path().join("disk"));
    make_small_tree(&source);
    // Without checksums most changes are found out late, which is the point.
    let more: [Row; 3] = [
        ("ext4", &["-O", "^metadata_csum"], 8 * MIB),
        ("ext2", &[], 8 * MIB),
        ("xfs", &["-m", "crc=0"], 320 * MIB),
    ];
    for (kind, options, size) in SMALL.into_iter().chain(more) {
        if !make(kind, options, &source, &disk, size) {
            continue;
        }
        let bytes = Rc::new(std::fs::read(&disk).unwrap());
        let places = places(&bytes);
        let changes = proptest::collection::vec((0..places.len(), any::<u8>()), 1..20);
        proptest!(config(40), |(changes in changes)| {
            let changes = changes.iter().map(|(at, value)| (places[*at], *value)).collect();
            let disk: Rc<dyn ReadAt> = Rc::new(Changed { bytes: Rc::clone(&bytes), changes });
            open_and_walk(&disk);
        });
    }
}

#[test]
fn a_btrfs_is_read_at_its_subvolumes() {
    let directory = tempfile::tempdir().unwrap();
    let (source, disk) = (directory.path().join("tree"), directory.path().join("disk"));
    make_small_tree(&source);
    if !make("btrfs", &[], &source, &disk, 128 * MIB) {
        return;
    }
    let top = FileSystem::open_subvolume(Disk::open(&disk), "").unwrap();
    assert_eq!(Tree::new(top).read("/etc/os-release", 100).unwrap(), b"ID=debian\n");
    let missing = FileSystem::open_subvolume(Disk::open(&disk), "@").err().unwrap();
    assert!(missing.is_not_found(), "{missing}");
    // A directory is not a subvolume.
    assert!(FileSystem::open_subvolume(Disk::open(&disk), "etc").is_err());
}
