//! Images: what qemu-img(1) makes of a disk reads as that disk; hand-made headers that lie are refused or read as they
//! stand, in bounded time.
#![allow(clippy::disallowed_methods, reason = "tests run the tools that make disks")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod made;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use made::{Disk, MIB, make, make_small_tree, noise, run};
use proptest::prelude::*;
use xenup_disk::image::{self, BackingFiles, Format, Image, ImageError, NoBackingFiles};
use xenup_disk::{Budget, ReadAt};

fn budget() -> Rc<Budget> {
    Budget::new(1 << 20, 1 << 30)
}

fn open(bytes: Rc<dyn ReadAt>) -> Result<Image, ImageError> {
    Image::open(bytes, None, &NoBackingFiles, budget())
}

struct Folder(PathBuf);

impl BackingFiles for Folder {
    fn open(&self, _: usize, name: &str) -> Result<Rc<dyn ReadAt>, String> {
        let path = self.0.join(name);
        if path.exists() { Ok(Disk::open(&path)) } else { Err("not there".to_owned()) }
    }
}

/// Reads a whole disk in pieces that do not fit its clusters.
fn whole(disk: &dyn ReadAt) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.size()).unwrap()];
    let mut at = 0;
    for piece in bytes.chunks_mut(70_001) {
        disk.read_at(at, piece).unwrap();
        at += piece.len() as u64;
    }
    bytes
}

/// A disk of 6 MiB with text, noise and zeros.
fn make_disk(path: &Path) -> Vec<u8> {
    let mut bytes = vec![0; 6 << 20];
    bytes[1000..1_001_000].copy_from_slice(&noise(1, 1_000_000));
    bytes[3 << 20..(3 << 20) + 800_000]
        .copy_from_slice(&"a line of text\n".repeat(60_000).as_bytes()[..800_000]);
    let end = bytes.len();
    bytes[end - 5..].copy_from_slice(b"ended");
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn what_qemu_img_makes_reads_as_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw");
    let bytes = make_disk(&raw);
    let options: [&[&str]; 8] = [
        &[],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-c"],
        &["-c", "-o", "compat=0.10,cluster_size=4k"],
        &["-c", "-o", "cluster_size=2M"],
        &["-c", "-o", "compression_type=zstd"],
    ];
    for options in options {
        let image = directory.path().join("image");
        let ends = [raw.to_str().unwrap(), image.to_str().unwrap()];
        if !run("qemu-img", &[&["convert", "-f", "raw", "-O", "qcow2"], options, &ends].concat()) {
            return;
        }
        let image = open(Disk::open(&image)).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert_eq!(image.format, Format::Qcow2);
        assert!(whole(&image.disk()) == bytes, "{options:?}: other bytes");
    }
}

#[test]
fn an_overlay_reads_through_its_backing_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let mut bytes = make_disk(&directory.path().join("base.raw"));
    let made =
        run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", &at("middle"), "8M"])
            && run(
                "qemu-img",
                &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "middle", &at("top"), "8M"],
            )
            && run(
                "qemu-io",
                &["-f", "qcow2", "-c", "write -P 0x41 100k 3k", "-c", "write -z 1M 64k", &at("middle")],
            )
            && run(
                "qemu-io",
                &["-f", "qcow2", "-c", "write -P 0x42 101k 1k", "-c", "write -P 0x43 7M 1k", &at("top")],
            );
    if !made {
        return;
    }
    bytes.resize(8 << 20, 0);
    bytes[100 << 10..103 << 10].fill(0x41);
    bytes[101 << 10..102 << 10].fill(0x42);
    bytes[1 << 20..(1 << 20) + (64 << 10)].fill(0);
    bytes[7 << 20..(7 << 20) + 1024].fill(0x43);
    let folder = Folder(directory.path().to_owned());
    let top = Disk::open(&directory.path().join("top"));
    let image = Image::open(Rc::clone(&top), None, &folder, budget()).unwrap();
    assert_eq!(image.backing, ["middle", "base.raw"]);
    assert!(whole(&image.disk()) == bytes);
    let alone = open(top).err().unwrap();
    assert!(matches!(&alone, ImageError::Backing { name, .. } if name == "middle"), "{alone}");
    // Two images that stand behind each other.
    assert!(run("qemu-img", &["rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "top", &at("middle")]));
    let round =
        Image::open(Disk::open(&directory.path().join("top")), None, &folder, budget()).err().unwrap();
    assert!(round.to_string().contains("more than 8 images"), "{round}");
}

#[test]
fn a_file_system_in_a_compressed_image_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    make_small_tree(&at("tree"));
    if !make("ext4", &[], &at("tree"), &at("raw"), 8 * MIB) {
        return;
    }
    let ends = [at("raw").display().to_string(), at("image").display().to_string()];
    if run("qemu-img", &["convert", "-c", "-f", "raw", "-O", "qcow2", &ends[0], &ends[1]]) {
        let image = open(Disk::open(&at("image"))).unwrap();
        let mut files = xenup_disk::filesystem::FileSystem::open(image.disk()).unwrap().unwrap();
        assert_eq!(files.read(b"/usr/lib/os-release", 0, 100).unwrap(), b"ID=debian\n");
    }
}

/// A qcow2 of version 3 with clusters of 64 KiB, made by hand: header, then what the test puts there.
fn hand_made(size: u64, l1: &[u64]) -> Vec<u8> {
    let mut bytes = vec![0; 4 * 65536];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"QFI\xfb");
    put(4, &3_u32.to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &size.to_be_bytes());
    put(36, &u32::try_from(l1.len()).unwrap().to_be_bytes());
    put(40, &65536_u64.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    for (index, entry) in l1.iter().enumerate() {
        put(65536 + index * 8, &entry.to_be_bytes());
    }
    bytes
}

fn held(bytes: Vec<u8>) -> Rc<dyn ReadAt> {
    struct Held(Vec<u8>);
    impl ReadAt for Held {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), xenup_disk::ReadError> {
            self.0.as_slice().read_at(offset, buffer)
        }
    }
    Rc::new(Held(bytes))
}

#[test]
fn headers_that_ask_for_the_unknown_are_refused_by_name() {
    let with = |at: usize, value: &[u8]| {
        let mut bytes = hand_made(MIB, &[0]);
        bytes[at..at + value.len()].copy_from_slice(value);
        open(held(bytes)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(with(4, &1_u32.to_be_bytes()).contains("version 1"));
    assert!(with(4, &9_u32.to_be_bytes()).contains("version 9"));
    assert!(with(32, &2_u32.to_be_bytes()).contains("LUKS"));
    assert!(with(72, &4_u64.to_be_bytes()).contains("external file"));
    assert!(with(72, &16_u64.to_be_bytes()).contains("extended L2"));
    assert!(with(72, &(1_u64 << 40).to_be_bytes()).contains("unknown features"));
    assert!(with(20, &40_u32.to_be_bytes()).contains("clusters of 2^40"));
    assert!(with(24, &u64::MAX.to_be_bytes()).contains("a disk of"));
    assert!(with(24, &(1_u64 << 50).to_be_bytes()).contains("L1 table has 1 entries of 2097152"));
    assert!(with(8, &[0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 255, 255]).contains("name of 65535 bytes"));
    for (mark, name) in
        [(&b"KDMV"[..], "VMDK"), (b"vhdxfile", "VHDX"), (b"conectix", "VHD"), (b"QED\0", "QED")]
    {
        let error = open(held([mark, &[0; 600]].concat())).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
    let raw = Image::open(held(hand_made(MIB, &[0])), Some(Format::Raw), &NoBackingFiles, budget()).unwrap();
    assert_eq!(raw.disk().size(), 4 * 65536);
}

#[test]
fn tables_that_point_at_themselves_and_huge_ones_are_read_as_they_stand() {
    // The L1 table's first L2 table is the L1 table itself, its first cluster too.
    let image = open(held(hand_made(1 << 29, &[65536]))).unwrap();
    let mut bytes = [0; 16];
    image.disk().read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes[..8], 65536_u64.to_be_bytes());
    // 10 TB of nothing: an L1 table of 20,480 entries behind the end of the file, of which none is read but one.
    let mut huge = hand_made(10 << 40, &[0]);
    huge[36..40].copy_from_slice(&20_480_u32.to_be_bytes());
    let image = open(held(huge)).unwrap();
    assert_eq!(image.disk().size(), 10 << 40);
    assert!(image.disk().read_at(100, &mut bytes).is_ok());
    assert!(image.disk().read_at(9 << 40, &mut bytes).is_ok());
    // Clusters behind the end of the file, and compressed ones of nonsense.
    for entry in [1 << 55, (1 << 62) | 65536, u64::MAX] {
        let mut lying = hand_made(1 << 29, &[2 * 65536]);
        lying[2 * 65536..2 * 65536 + 8].copy_from_slice(&u64::to_be_bytes(entry));
        let image = open(held(lying)).unwrap();
        assert!(image.disk().read_at(0, &mut bytes).is_err(), "{entry:#x}");
    }
}

#[test]
fn a_sparse_image_of_10_tb_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse");
    std::fs::File::create(&path).unwrap().set_len(10 << 40).unwrap();
    let spent = Budget::new(1000, MIB);
    let image = Image::open(Disk::open(&path), None, &NoBackingFiles, Rc::clone(&spent)).unwrap();
    assert_eq!(xenup_disk::table::read(&image.disk()).unwrap(), None);
    assert_eq!(xenup_disk::superblock::identify(&image.disk()).unwrap(), None);
    assert!(!spent.is_spent());
    let tables = image::backing_file(&Disk::open(&path)).unwrap();
    assert_eq!(tables, None);
}

proptest! {
    #[test]
    fn a_lying_image_is_read_or_refused(
        changes in proptest::collection::vec((0..3 * 65536_usize, any::<u8>()), 0..40),
        header in proptest::collection::vec((0..112_usize, any::<u8>()), 0..6),
        cut in 0..4 * 65536_usize,
        offsets in proptest::collection::vec(0..1_u64 << 30, 1..20),
    ) {
        let mut bytes = hand_made(1 << 30, &[2 * 65536, (1 << 63) | (3 * 65536), 65536]);
        for (at, value) in changes.into_iter().chain(header) {
            bytes[at] = value;
        }
        bytes.truncate(4 * 65536 - cut / 16);
        if let Ok(image) = open(held(bytes)) {
            let mut buffer = [0; 3000];
            for offset in offsets {
                let _ = image.disk().read_at(offset, &mut buffer);
            }
        }
    }
}

#[test]
fn a_small_image_that_was_made_before_reads_as_it_was_written() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/disk-image/qcow2-small");
    let image = open(Disk::open(&case.join("image.qcow2"))).unwrap();
    let bytes = whole(&image.disk());
    assert_eq!(bytes.len(), 64 << 10);
    let runs = [(0, 512, 0x41), (8192, 1024, 0x42)];
    for (at, byte) in bytes.iter().enumerate() {
        let run = runs.iter().find(|(start, length, _)| (*start..start + length).contains(&at));
        assert_eq!(*byte, run.map_or(0, |(_, _, byte)| *byte), "{at}");
    }
}
