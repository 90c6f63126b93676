//! What the tests of real images share: a tree of files, the tools that make images of it, a file read as a disk.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use xenup_disk::filesystem::{FileKind, FileSystem, Tree};
use xenup_disk::{ReadAt, ReadError};

pub const MIB: u64 = 1 << 20;

/// A file read as a disk, perhaps cut off.
pub struct Disk {
    file: File,
    size: u64,
}

impl Disk {
    pub fn open(path: &Path) -> Rc<dyn ReadAt> {
        let size = fs::metadata(path).unwrap().len();
        Self::cut(path, size)
    }

    pub fn cut(path: &Path, size: u64) -> Rc<dyn ReadAt> {
        Rc::new(Self { file: File::open(path).unwrap(), size })
    }
}

impl ReadAt for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(ReadError::PastEnd { offset, length, size: self.size });
        }
        self.file.read_exact_at(buffer, offset).map_err(|source| ReadError::Io { offset, length, source })
    }
}

/// Runs a tool; `false`, said on standard output, where this machine has none. A tool that fails fails the test.
pub fn run(program: &str, args: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.args(args).env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8");
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {args:?}: {}: {said}", output.status);
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: {program} is not installed");
            false
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Bytes that no compressor shrinks and no two files share.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).unwrap()
    };
    (0..length).map(|_| next()).collect()
}

/// A tree with what readers get wrong: long and short links, a large directory, holes, sizes around blocks.
pub fn make_tree(root: &Path) {
    let put = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("usr/lib/os-release", b"ID=debian\nVERSION_ID=\"12\"\n");
    put("etc/fstab", b"UUID=0 / ext4 defaults 0 1\n");
    put("empty", b"");
    for size in [1, 511, 512, 1023, 1024, 4095, 4096, 4097, 65_536, 131_072, 131_073, 3_000_001] {
        put(&format!("sizes/{size}"), &noise(size, usize::try_from(size).unwrap()));
    }
    put("sizes/text", "the same line again and again\n".repeat(40_000).as_bytes());
    for number in 0..600 {
        put(&format!("many/a-name-that-is-not-short-{number:04}"), format!("{number}\n").as_bytes());
    }
    let holes = File::create(root.join("holes")).unwrap();
    holes.set_len(2 * MIB).unwrap();
    holes.write_all_at(b"in the middle", MIB + 17).unwrap();
    holes.write_all_at(b"at the end", 2 * MIB - 10).unwrap();
    symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    symlink("/usr/lib/os-release", root.join("etc/absolute")).unwrap();
    symlink("/usr/lib", root.join("lib")).unwrap();
    symlink("../../../../../usr/lib/os-release", root.join("etc/above-the-root")).unwrap();
    symlink("loop-b", root.join("loop-a")).unwrap();
    symlink("loop-a", root.join("loop-b")).unwrap();
    let deep = format!("{}usr/lib/os-release", "./".repeat(100));
    symlink(deep, root.join("long-link")).unwrap();
}

/// Every path below `root`, without it.
pub fn paths(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                left.push(path.clone());
            }
            found.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// Compares every name, link and byte of a file system with the tree that it was made from.
pub fn compare(what: &str, source: &Path, mut filesystem: FileSystem) {
    let mut files = 0;
    for path in paths(source) {
        let inside = format!("/{}", path.display());
        let outside = source.join(&path);
        let stat = filesystem.stat(inside.as_bytes()).unwrap_or_else(|e| panic!("{what} {inside}: {e}"));
        let meta = outside.symlink_metadata().unwrap();
        if meta.is_symlink() {
            assert_eq!(stat.kind, FileKind::Link, "{what} {inside}");
            let target = fs::read_link(&outside).unwrap();
            let target = target.to_str().unwrap().as_bytes();
            assert_eq!(filesystem.link(inside.as_bytes()).unwrap(), target, "{what} {inside}");
        } else if meta.is_dir() {
            assert_eq!(stat.kind, FileKind::Directory, "{what} {inside}");
            let mut names: Vec<_> = fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            let (found, more) = filesystem.list(inside.as_bytes(), 10_000).unwrap();
            let found: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name)).collect();
            assert_eq!(
                (found, more),
                (names.iter().map(|n| n.to_string_lossy()).collect(), false),
                "{what} {inside}"
            );
        } else {
            let bytes = fs::read(&outside).unwrap();
            assert_eq!((stat.kind, stat.size), (FileKind::File, bytes.len() as u64), "{what} {inside}");
            let found = filesystem.read(inside.as_bytes(), 0, u64::MAX);
            if inside == "/holes" && found.is_err() {
                // ext4-view 1.0 refuses a hole as large as an indirect block of ext2 and ext3: no wrong bytes.
                assert!(["ext2", "ext3", "^extent"].iter().any(|mapped| what.contains(mapped)), "{what}");
                continue;
            }
            let found = found.unwrap();
            assert!(found == bytes, "{what} {inside}: other bytes");
            for (offset, length) in
                [(1, 5000), (4095, 2), (130_000, 3000), (stat.size, 1), (stat.size / 2, 70_000)]
            {
                let found = filesystem.read(inside.as_bytes(), offset, length).unwrap();
                let from = usize::try_from(offset).unwrap().min(bytes.len());
                let to = usize::try_from(offset + length).unwrap().min(bytes.len());
                assert!(found == bytes[from..to], "{what} {inside}: other bytes at {offset}");
            }
            files += 1;
        }
    }
    assert!(files > 600, "{what}: {files} files compared");
    let (some, more) = filesystem.list(b"/many", 5).unwrap();
    assert_eq!((some.len(), more), (5, true), "{what}");
    let mut tree = Tree::new(filesystem);
    let release = fs::read(source.join("usr/lib/os-release")).unwrap();
    for path in ["/etc/os-release", "/etc/absolute", "/lib/os-release", "/etc/above-the-root", "long-link"] {
        assert_eq!(tree.read(path, 4096).unwrap(), release, "{what} {path}");
    }
    assert_eq!(tree.real_path("/etc/../lib/./os-release").unwrap(), "/usr/lib/os-release", "{what}");
    assert!(tree.read("/loop-a", 4096).is_err(), "{what}");
    assert!(tree.read("/etc/os-release", 5).is_err(), "{what}");
    assert!(tree.read("/etc/os-release/x", 5).unwrap_err().is_not_found(), "{what}");
    assert!(tree.stat("/nothing/there").unwrap_err().is_not_found(), "{what}");
}

/// Reads what a damaged file system still lets be read. It may say anything, but must come to an end.
pub fn walk(filesystem: FileSystem) -> usize {
    let mut tree = Tree::new(filesystem);
    let (mut left, mut seen) = (vec!["/".to_owned()], 0);
    while let Some(folder) = left.pop() {
        let Ok((names, _)) = tree.list(&folder, 50) else { continue };
        for name in names {
            let path = format!("{folder}/{name}");
            let Ok(stat) = tree.stat(&path) else { continue };
            seen += 1;
            if stat.kind == FileKind::Directory && left.len() < 50 && path.len() < 60 {
                left.push(path);
            } else {
                let _ = tree.read(&path, 200_000);
            }
        }
    }
    seen
}

/// A small tree for tests that read an image many times over.
pub fn make_small_tree(root: &Path) {
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("usr/lib")).unwrap();
    fs::write(root.join("usr/lib/os-release"), "ID=debian\n").unwrap();
    fs::write(root.join("etc/fstab"), "UUID=0 / ext4 defaults 0 1\n").unwrap();
    fs::write(root.join("etc/blob"), noise(3, 70_000)).unwrap();
    fs::write(root.join("etc/text"), "line\n".repeat(9000)).unwrap();
    symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
}

/// Makes a file system of `kind` with the tree in it; `false` where the tool is missing.
pub fn make(kind: &str, options: &[&str], source: &Path, disk: &Path, size: u64) -> bool {
    File::create(disk).unwrap().set_len(size).unwrap();
    let (disk, source_path) = (disk.to_str().unwrap(), source.to_str().unwrap());
    match kind {
        "xfs" => {
            let prototype = prototype(source);
            let file = format!("{disk}.proto");
            fs::write(&file, prototype).unwrap();
            run("mkfs.xfs", &[&["-q", "-p", &file], options, &[disk]].concat())
        }
        "btrfs" => run("mkfs.btrfs", &[&["-q", "--rootdir", source_path], options, &[disk]].concat()),
        _ => run("mke2fs", &[&["-q", "-t", kind, "-d", source_path], options, &[disk]].concat()),
    }
}

/// What mkfs.xfs(8) calls a protofile.
fn prototype(source: &Path) -> String {
    let mut text = "none\n0 0\nd--755 0 0\n".to_owned();
    prototype_of(source, &mut text);
    text.push_str("$\n");
    text
}

fn prototype_of(folder: &Path, text: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            text.push_str(&format!("{name} l--777 0 0 {}\n", target.display()));
        } else if meta.is_dir() {
            text.push_str(&format!("{name} d--755 0 0\n"));
            prototype_of(&path, text);
            text.push_str("$\n");
        } else {
            text.push_str(&format!("{name} ---644 0 0 {}\n", path.display()));
        }
    }
}
