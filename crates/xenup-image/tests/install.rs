//! Writing a disk with a fault at every operation: the old partition table stays whole, or the new disk is.
//!
//! The disk is memory. A fault hits one operation, half of a write's bytes being there already, or that and all that follow
//! (a disk that was pulled), or every write that touches one place (a bad sector).
#![allow(clippy::unwrap_used)]

use std::io;

use sha2::{Digest as _, Sha256};
use xenup_core::install::manifest::{FORMAT, HEAD, cut};
use xenup_core::install::{Chunk, Made, Manifest};
use xenup_disk::table::{self, Table as Partitions};
use xenup_image::install::source::SourceError;
use xenup_image::install::write::{Cause, Source, Target};
use xenup_image::install::{Failure, Phase, Table, write};

const MIB: u64 = 1 << 20;
const IMAGE: u64 = 13 * MIB;
const DISK: u64 = 15 * MIB;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Once(usize),
    From(usize),
    BadSector(u64),
    /// What is written there is another thing than was asked for, and nobody says so.
    Silent(u64),
}

#[derive(Clone)]
struct Memory {
    bytes: Vec<u8>,
    fault: Fault,
    operations: usize,
}

impl Memory {
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        let failed = match self.fault {
            Fault::Once(at) => self.operations == at,
            Fault::From(at) => self.operations >= at,
            _ => false,
        };
        if failed { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn place(at: u64, length: usize) -> std::ops::Range<usize> {
        let at = usize::try_from(at).unwrap();
        at..at + length
    }
}

impl Target for Memory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.operation()?;
        buffer.copy_from_slice(&self.bytes[Self::place(at, buffer.len())]);
        Ok(())
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.operation() {
            // Half of it may be there.
            let half = &bytes[..bytes.len() / 2];
            self.bytes[Self::place(at, half.len())].copy_from_slice(half);
            return Err(error);
        }
        let touched = at..at + bytes.len() as u64;
        match self.fault {
            Fault::BadSector(sector) if touched.contains(&sector) => Err(io::Error::from_raw_os_error(5)),
            fault => {
                self.bytes[Self::place(at, bytes.len())].copy_from_slice(bytes);
                if let Fault::Silent(sector) = fault
                    && touched.contains(&sector)
                {
                    self.bytes[usize::try_from(sector).unwrap()] ^= 1;
                }
                Ok(())
            }
        }
    }

    fn zero(&mut self, at: u64, length: u64) -> io::Result<()> {
        self.write_at(at, &vec![0; usize::try_from(length).unwrap()])
    }

    fn settle(&mut self) -> io::Result<()> {
        self.operation()
    }
}

struct Medium(Vec<u8>, Option<u64>);

impl Source for Medium {
    fn chunk(&mut self, chunk: &Chunk) -> Result<Vec<u8>, SourceError> {
        if self.1 == Some(chunk.at) {
            return Err(SourceError::Damaged {
                at: chunk.at,
                length: chunk.length,
                why: "do not unpack".into(),
            });
        }
        Ok(self.0[Memory::place(chunk.at, usize::try_from(chunk.length).unwrap())].to_vec())
    }
}

/// A disk with a GPT: `count` partitions that begin with a letter.
fn disk(size: u64, count: u32, letter: u8) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let mut script = format!("label: gpt\nlabel-id: 11111111-2222-4333-8444-5555555555{letter:02x}\n");
    for number in 0..u64::from(count) {
        script.push_str(&format!(
            "start={}, size=2048, type=L, uuid=00000000-0000-4000-8000-{letter:06x}{number:06x}\n",
            2048 * (number + 1)
        ));
    }
    xenup_system::process::Tool::new("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(file.path())
        .stdin(script)
        .run()
        .unwrap();
    let mut bytes = xenup_system::files::read(file.path()).unwrap();
    for number in 1..=u64::from(count) {
        bytes[Memory::place(number * MIB, 4096)].fill(letter);
    }
    bytes
}

fn manifest(image: &[u8]) -> Manifest {
    let parts = cut(IMAGE)
        .into_iter()
        .map(|(at, length)| (at, length, Memory::place(at, usize::try_from(length).unwrap())));
    let chunks = parts
        .filter(|(.., place)| image[place.clone()].iter().any(|byte| *byte != 0))
        .map(|(at, length, place)| {
            let sum = Sha256::digest(&image[place]);
            let sha256 = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            Chunk { at, length, packed_at: 0, packed: 1, sha256 }
        })
        .collect();
    Manifest {
        format: FORMAT,
        id: String::new(),
        system: String::new(),
        archive: String::new(),
        disk: IMAGE,
        root: HEAD,
        made: Made {
            host: String::new(),
            hostname: String::new(),
            codename: String::new(),
            root: String::new(),
            cmdline: String::new(),
            volumes: false,
            keys: Vec::new(),
            password: false,
        },
        chunks,
    }
}

struct Bench {
    old: Vec<u8>,
    image: Vec<u8>,
    manifest: Manifest,
}

impl Bench {
    fn new() -> Self {
        // Entries in more than the first 4 KiB, so that a first copy that is half new is told from a whole one.
        let old = disk(DISK, 13, b'o');
        let mut image = disk(IMAGE, 3, b'n');
        image[Memory::place(6 * MIB, 100)].fill(b'd');
        let manifest = manifest(&image);
        assert_eq!(manifest.chunks.len(), 3);
        Self { old, image, manifest }
    }

    fn run(&self, fault: Fault) -> (Memory, Result<(), Failure>) {
        let mut target = Memory { bytes: self.old.clone(), fault, operations: 0 };
        let mut source = Medium(self.image.clone(), None);
        let done = write(&mut target, &mut source, &self.manifest, &mut || Ok(()), &mut |_| {});
        (target, done)
    }

    fn partitions(bytes: &[u8]) -> Partitions {
        table::read(&bytes).unwrap().unwrap()
    }

    /// Whether the disk is the new one: its table, by whichever copy, and everything between the ends.
    fn is_new(&self, bytes: &[u8]) -> bool {
        let body = Memory::place(HEAD, usize::try_from(IMAGE - 2 * MIB).unwrap());
        Self::partitions(bytes).partitions == Self::partitions(&self.image).partitions
            && bytes[body.clone()] == self.image[body]
    }

    fn ends_are_old(&self, bytes: &[u8]) -> bool {
        let tail = Memory::place(DISK - MIB, usize::try_from(MIB).unwrap());
        let head = Memory::place(0, usize::try_from(HEAD).unwrap());
        bytes[head.clone()] == self.old[head] && bytes[tail.clone()] == self.old[tail]
    }
}

#[test]
fn a_disk_is_written_read_back_and_has_its_table_at_both_ends() {
    let bench = Bench::new();
    let mut target = Memory { bytes: bench.old.clone(), fault: Fault::None, operations: 0 };
    let mut source = Medium(bench.image.clone(), None);
    let (mut phases, mut owned) = (Vec::new(), 0);
    let mut own = || {
        owned += 1;
        Ok(())
    };
    write(&mut target, &mut source, &bench.manifest, &mut own, &mut |tell| {
        if phases.last() != Some(&tell.phase) {
            phases.push(tell.phase);
        }
        assert!(tell.done <= tell.all);
    })
    .unwrap();
    assert_eq!(phases, [Phase::Looking, Phase::Writing, Phase::Reading, Phase::Own, Phase::Table]);
    assert_eq!(owned, 1);
    assert!(bench.is_new(&target.bytes));
    assert_eq!(Bench::partitions(&target.bytes).notes, Vec::<String>::new());
    // What lay in the image's holes is zeros, and what lies behind it is left alone.
    assert_eq!(target.bytes[Memory::place(13 * MIB, 4096)], bench.old[Memory::place(13 * MIB, 4096)]);
}

#[test]
fn a_fault_at_any_operation_leaves_the_old_table_or_the_whole_new_disk() {
    let bench = Bench::new();
    let (whole, done) = bench.run(Fault::None);
    assert!(done.is_ok());
    let (mut untouched, mut restored, mut lost) = (0, 0, 0);
    for at in 1..=whole.operations {
        for fault in [Fault::Once(at), Fault::From(at)] {
            let (target, done) = bench.run(fault);
            let failure = done.unwrap_err();
            let old = Bench::partitions(&bench.old).partitions;
            let by_table = Bench::partitions(&target.bytes).partitions;
            match failure.table {
                Table::Untouched => {
                    untouched += 1;
                    assert!(bench.ends_are_old(&target.bytes), "{fault:?}: {failure}");
                }
                Table::Restored => {
                    restored += 1;
                    assert!(bench.ends_are_old(&target.bytes), "{fault:?}: {failure}");
                }
                // Pulled in the last moment: what is there is one of the two, whole.
                Table::Lost(_) => {
                    lost += 1;
                    assert!(matches!(fault, Fault::From(_)), "{fault:?}: {failure}");
                    assert!(by_table == old || bench.is_new(&target.bytes), "{fault:?}: {failure}");
                }
            }
            assert_eq!(failure.phase == Phase::Table, failure.table != Table::Untouched);
        }
    }
    assert!(untouched > 20 && restored > 5 && lost > 5, "{untouched} {restored} {lost}");
}

#[test]
fn a_bad_sector_anywhere_leaves_the_old_table() {
    let bench = Bench::new();
    for sector in [0, 512, 1024, 5000, 2 * MIB, 5 * MIB, 9 * MIB, 11 * MIB, DISK - MIB, DISK - 600] {
        for fault in [Fault::BadSector(sector), Fault::Silent(sector)] {
            let (target, done) = bench.run(fault);
            let failure = done.unwrap_err();
            let is_end = !(HEAD..IMAGE - MIB).contains(&sector);
            let expected = if is_end {
                Phase::Table
            } else if matches!(fault, Fault::Silent(_)) {
                Phase::Reading
            } else {
                Phase::Writing
            };
            assert_eq!(failure.phase, expected, "{fault:?}: {failure}");
            match fault {
                // The disk lies about what it is told to put back too, and that is seen.
                Fault::Silent(_) if is_end => assert!(matches!(failure.table, Table::Lost(_))),
                _ => assert!(bench.ends_are_old(&target.bytes), "{fault:?}: {failure}"),
            }
        }
    }
}

#[test]
fn a_damaged_medium_and_files_that_cannot_be_written_leave_the_old_table() {
    let bench = Bench::new();
    for chunk in &bench.manifest.chunks {
        let mut target = Memory { bytes: bench.old.clone(), fault: Fault::None, operations: 0 };
        let mut source = Medium(bench.image.clone(), Some(chunk.at));
        let failure =
            write(&mut target, &mut source, &bench.manifest, &mut || Ok(()), &mut |_| {}).unwrap_err();
        assert!(matches!(failure.cause, Cause::Medium(SourceError::Damaged { .. })));
        assert_eq!(failure.table, Table::Untouched);
        assert!(bench.ends_are_old(&target.bytes));
        // Nothing is written before the first chunk of the body has proved good.
        assert_eq!(target.bytes == bench.old, chunk.at <= HEAD);
    }
    let mut target = Memory { bytes: bench.old.clone(), fault: Fault::None, operations: 0 };
    let mut source = Medium(bench.image.clone(), None);
    let mut own = || Err("no room".to_owned());
    let failure = write(&mut target, &mut source, &bench.manifest, &mut own, &mut |_| {}).unwrap_err();
    assert_eq!((failure.phase, failure.table), (Phase::Own, Table::Untouched));
    assert!(bench.ends_are_old(&target.bytes));
}

#[test]
fn a_disk_that_is_too_small_is_not_begun() {
    let bench = Bench::new();
    let mut target = Memory { bytes: vec![0; 1 << 20], fault: Fault::None, operations: 0 };
    let mut source = Medium(bench.image.clone(), None);
    let failure = write(&mut target, &mut source, &bench.manifest, &mut || Ok(()), &mut |_| {}).unwrap_err();
    assert!(matches!(failure.cause, Cause::Gpt(_)));
    assert!(target.bytes.iter().all(|byte| *byte == 0));
}
