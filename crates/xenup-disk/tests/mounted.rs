//! File systems written by the kernel and copied while they were mounted, as a guest's disk lies when the guest runs or
//! has crashed. Needs root and loop devices, and says so where there are none.
#![allow(clippy::disallowed_methods, reason = "tests run the tools that make disks")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod made;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use made::{Disk, MIB, compare, make_tree, run};
use xenup_disk::filesystem::FileSystem;

/// A mount that ends with the test.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(disk: &Path, at: &'a Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let output =
            Command::new("mount").arg("-o").arg(format!("loop,{options}")).arg(disk).arg(at).output();
        let output = output.unwrap();
        if output.status.success() {
            return Some(Self(at));
        }
        println!("SKIPPED: mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        None
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn shell(script: &str) {
    assert!(Command::new("sh").args(["-euc", script]).status().unwrap().success(), "{script}");
}

#[test]
fn a_disk_copied_while_it_was_mounted_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (source, disk, copy, point) = (at("tree"), at("disk"), at("copy"), at("mounted"));
    make_tree(&source);
    let rows: [(&str, &[&str], &str, bool); 6] = [
        ("mke2fs", &["-q", "-F", "-t", "ext4"], "noatime", true),
        ("mke2fs", &["-q", "-F", "-t", "ext3"], "data=journal", true),
        ("mkfs.xfs", &["-q", "-f"], "noatime", true),
        ("mkfs.btrfs", &["-q", "-f"], "compress-force=zstd", false),
        ("mkfs.btrfs", &["-q", "-f"], "compress-force=zlib", false),
        ("mkfs.btrfs", &["-q", "-f"], "compress-force=lzo", false),
    ];
    for (program, options, mount, late) in rows {
        let what = format!("{program} {options:?} {mount}");
        let _ = fs::remove_file(&disk);
        File::create(&disk).unwrap().set_len(400 * MIB).unwrap();
        if !run(program, &[options, &[disk.to_str().unwrap()]].concat()) {
            continue;
        }
        let Some(mounted) = Mounted::new(&disk, &point, mount) else { return };
        let (point, tree) = (point.display(), source.display());
        shell(&format!(
            "cp -a {tree}/. {point}/; sync -f {point}; echo late > {point}/late; sync {point}/late"
        ));
        shell(&format!("cp --sparse=always {} {}", disk.display(), copy.display()));
        drop(mounted);
        let mut dirty = FileSystem::open(Disk::open(&copy)).unwrap().unwrap();
        println!("{what}: {:?}", dirty.notes);
        if late {
            let replayed = dirty.notes.iter().any(|note| note.contains("replayed in memory"));
            assert!(replayed, "{what}: {:?}", dirty.notes);
            assert_eq!(dirty.read(b"/late", 0, 100).unwrap(), b"late\n", "{what}");
        } else {
            assert!(dirty.notes.iter().any(|note| note.contains("log tree")), "{what}: {:?}", dirty.notes);
        }
        compare(&what, &source, dirty);
        compare(&what, &source, FileSystem::open(Disk::open(&disk)).unwrap().unwrap());
    }
}

#[test]
fn a_subvolume_is_read_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (source, disk, point) = (at("tree"), at("disk"), at("mounted"));
    make_tree(&source);
    File::create(&disk).unwrap().set_len(400 * MIB).unwrap();
    if !run("mkfs.btrfs", &["-q", "-f", disk.to_str().unwrap()]) {
        return;
    }
    let Some(mounted) = Mounted::new(&disk, &point, "noatime") else { return };
    let (shown, tree) = (point.display(), source.display());
    shell(&format!("btrfs -q subvolume create {shown}/@rootfs; cp -a {tree}/. {shown}/@rootfs/"));
    drop(mounted);
    let named = FileSystem::open_subvolume(Disk::open(&disk), "@rootfs").unwrap();
    compare("subvolume", &source, named);
    let mut top = FileSystem::open(Disk::open(&disk)).unwrap().unwrap();
    assert_eq!(top.list(b"/", 10).unwrap().0, [b"@rootfs"]);
}
