//! What is found in a guest's files: `tests/cases/guest-disk/<case>/root` (the guest's tree), perhaps `volumes.json`
//! (what the disk is cut into) → `expected.json`. `SNAPSHOTS=overwrite` writes what came out: read it before you commit.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};
use xenup_core::guest::disk::{self, GuestFiles, facts::Volume};
use xenup_disk::filesystem::{FileKind, FsError, Stat};
use xenup_disk::image::NoBackingFiles;
use xenup_disk::{ReadAt, ReadError};

/// A folder as a guest's tree, or texts by path.
struct Folder {
    root: PathBuf,
    texts: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    /// The real path of a guest's path, links followed within the folder.
    fn resolve(&self, path: &str) -> Result<PathBuf, FsError> {
        let missing = || FsError::NotFound { path: path.to_owned() };
        let mut names: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut here = PathBuf::new();
        for _ in 0..200 {
            let Some(name) = names.pop() else { return Ok(here) };
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    here.pop();
                    continue;
                }
                name => here.push(name),
            }
            let full = self.root.join(&here);
            let found = full.symlink_metadata().map_err(|_| missing())?;
            if found.is_symlink() {
                let target = fs::read_link(full).unwrap().display().to_string();
                here.pop();
                if target.starts_with('/') {
                    here = PathBuf::new();
                }
                names.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        Err(FsError::TooFar { path: path.to_owned(), limit: 200 })
    }
}

impl GuestFiles for Folder {
    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        if let Some(text) = self.texts.get(path) {
            return Ok(text.clone());
        }
        let found = self.root.join(self.resolve(path)?);
        if found.is_dir() {
            return Err(FsError::Not { path: path.to_owned(), wanted: "regular file" });
        }
        // Of texts alone there is no root either, which is what an empty path names.
        let missing = |_| FsError::NotFound { path: path.to_owned() };
        let size = found.metadata().map_err(missing)?.len();
        if size > limit {
            return Err(FsError::TooLarge { path: path.to_owned(), size, limit });
        }
        Ok(fs::read(found).unwrap())
    }

    fn read_range(&mut self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, FsError> {
        let bytes = self.read(path, u64::MAX)?;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let to = usize::try_from(offset.saturating_add(length)).unwrap().min(bytes.len());
        Ok(bytes[from..to].to_vec())
    }

    fn stat(&mut self, path: &str) -> Result<Stat, FsError> {
        if let Some(text) = self.texts.get(path) {
            return Ok(Stat { kind: FileKind::File, size: text.len() as u64, mode: 0o644 });
        }
        let found = self.root.join(self.resolve(path)?).metadata();
        let found = found.map_err(|_| FsError::NotFound { path: path.to_owned() })?;
        let kind = if found.is_dir() { FileKind::Directory } else { FileKind::File };
        Ok(Stat { kind, size: if found.is_dir() { 4096 } else { found.len() }, mode: 0o644 })
    }

    fn list(&mut self, path: &str, limit: usize) -> Result<(Vec<String>, bool), FsError> {
        let found = self.root.join(self.resolve(path)?);
        let names = fs::read_dir(found).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.to_str().unwrap().to_owned()).collect();
        names.sort();
        let more = names.len() > limit;
        names.truncate(limit);
        Ok((names, more))
    }

    fn real_path(&mut self, path: &str) -> Result<String, FsError> {
        if self.texts.contains_key(path) {
            return Ok(path.to_owned());
        }
        Ok(format!("/{}", self.resolve(path)?.display()))
    }
}

fn cases() -> Vec<PathBuf> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/guest-disk");
    let mut cases: Vec<_> = fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 12, "cases are missing");
    cases
}

fn describe(case: &Path) -> Value {
    let volumes: Vec<Volume> = match fs::read_to_string(case.join("volumes.json")) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => vec![Volume { mounted: Some("/".to_owned()), ..Volume::default() }],
    };
    let mut folder = Folder { root: case.join("root"), texts: BTreeMap::new() };
    let (found, notes) = disk::find(&mut folder, &volumes);
    json!({ "found": found, "notes": notes })
}

#[test]
fn every_case_is_found_as_written() {
    for case in cases() {
        let text = serde_json::to_string_pretty(&describe(&case)).unwrap() + "\n";
        let expected = case.join("expected.json");
        let expected = snapbox::Data::read_from(&expected, Some(snapbox::data::DataFormat::Text));
        snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, expected.raw());
    }
}

/// Bytes held in memory as a disk, cut off at `size`.
struct Held {
    bytes: Rc<Vec<u8>>,
    size: usize,
}

impl ReadAt for Held {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.bytes[..self.size].read_at(offset, buffer)
    }
}

/// An ext4 image of a case's tree; `None` where mke2fs is not installed.
fn image_of(case: &Path, uuid: &str) -> Option<Rc<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut tool = std::process::Command::new("mke2fs");
    tool.env("PATH", path).args(["-q", "-t", "ext4", "-U", uuid, "-d"]).arg(case.join("root")).arg(&image);
    match tool.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            println!("SKIPPED: mke2fs: {error}");
            return None;
        }
    }
    Some(Rc::new(fs::read(image).unwrap()))
}

#[test]
fn a_real_image_cut_at_every_4_kib_is_read_or_noted() {
    let case = cases().into_iter().find(|case| case.ends_with("debian-12-saved-in-submenu")).unwrap();
    let Some(bytes) = image_of(&case, "3f0b9b0e-6a33-4d0c-9b7e-0c6f5d9e5a11") else { return };
    let open = |size| disk::read(Rc::new(Held { bytes: Rc::clone(&bytes), size }), None, &NoBackingFiles);
    let mut whole = open(bytes.len()).unwrap();
    let written = describe(&case);
    for (found, key) in [
        (serde_json::to_value(&whole.disk.found.boot).unwrap(), "boot"),
        (serde_json::to_value(&whole.disk.found.release).unwrap(), "release"),
        (serde_json::to_value(&whole.disk.found.architecture).unwrap(), "architecture"),
        (serde_json::to_value(&whole.disk.found.network).unwrap(), "network"),
    ] {
        assert_eq!(found, written["found"][key], "{key}");
    }
    assert_eq!(whole.kernel(0).unwrap(), b"kernel 13");
    assert_eq!(whole.kernel_range(0, 7, 10).unwrap(), b"13");
    assert!(whole.kernel(1).is_err());
    cut_everywhere(&bytes);
}

#[test]
fn a_real_qcow2_cut_at_every_4_kib_is_read_or_refused() {
    let case = cases().into_iter().find(|case| case.ends_with("debian-12-saved-in-submenu")).unwrap();
    let Some(raw) = image_of(&case, "3f0b9b0e-6a33-4d0c-9b7e-0c6f5d9e5a12") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("raw"), folder.path().join("qcow2"));
    fs::write(&from, &raw[..]).unwrap();
    for options in [&[][..], &["-c"]] {
        let mut tool = std::process::Command::new("qemu-img");
        tool.args(["convert", "-f", "raw", "-O", "qcow2"]).args(options).arg(&from).arg(&to);
        match tool.status() {
            Ok(status) => assert!(status.success()),
            Err(error) => return println!("SKIPPED: qemu-img: {error}"),
        }
        let bytes = Rc::new(fs::read(&to).unwrap());
        let held = Held { bytes: Rc::clone(&bytes), size: bytes.len() };
        let whole = disk::read(Rc::new(held), None, &NoBackingFiles).unwrap();
        assert!(whole.disk.found.release.is_some(), "{options:?}");
        cut_everywhere(&bytes);
    }
}

/// What is cut off is an answer or an error in words; that it is no panic is the test.
fn cut_everywhere(bytes: &Rc<Vec<u8>>) {
    let mut cuts = 0;
    for size in (0..bytes.len()).step_by(4096) {
        match disk::read(Rc::new(Held { bytes: Rc::clone(bytes), size }), None, &NoBackingFiles) {
            Ok(reading) => drop(serde_json::to_string(&reading.disk).unwrap()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        cuts += 1;
    }
    assert!(cuts > 30, "{cuts} cuts");
}

/// An image's file, cut off at `size`.
struct Cut {
    file: Rc<fs::File>,
    size: u64,
}

impl ReadAt for Cut {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        use std::os::unix::fs::FileExt as _;
        let length = buffer.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(ReadError::PastEnd { offset, length, size: self.size });
        }
        self.file.read_exact_at(buffer, offset).unwrap();
        Ok(())
    }
}

/// `XENUP_IMAGE=FILE cargo test --release --test guest_disk -- --ignored --nocapture`: a whole system's image.
#[test]
#[ignore = "takes minutes, and an image that XENUP_IMAGE names"]
fn a_whole_systems_image_cut_at_every_4_kib_is_read_or_refused() {
    let path = std::env::var_os("XENUP_IMAGE").unwrap();
    let file = Rc::new(fs::File::open(path).unwrap());
    let whole = file.metadata().unwrap().len();
    let (mut answers, mut noted, mut refused, mut slowest) = (0, 0, 0, std::time::Duration::ZERO);
    for size in (0..=whole).step_by(4096) {
        let begun = std::time::Instant::now();
        match disk::read(Rc::new(Cut { file: Rc::clone(&file), size }), None, &NoBackingFiles) {
            Ok(mut reading) => {
                if reading.disk.found.release.is_some() && reading.disk.notes.is_empty() {
                    answers += 1;
                } else {
                    assert!(
                        !reading.disk.notes.is_empty() || !reading.disk.volumes.is_empty(),
                        "{size}: silent"
                    );
                    noted += 1;
                }
                drop(reading.kernel_range(0, 0, 4096));
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
        slowest = slowest.max(begun.elapsed());
    }
    println!("{answers} answers, {noted} with notes, {refused} refused; the slowest took {slowest:?}");
}

/// The files that are parsed, one of which is replaced by nonsense.
const PARSED: [&str; 12] = [
    "/boot/grub/grub.cfg",
    "/boot/grub/grubenv",
    "/boot/grub/menu.lst",
    "/boot/extlinux/extlinux.conf",
    "/boot/loader/loader.conf",
    "/etc/fstab",
    "/etc/os-release",
    "/etc/inittab",
    "/etc/network/interfaces",
    "/sbin/init",
    "/var/lib/dpkg/arch",
    "/etc/debian_version",
];

fn find_in(texts: BTreeMap<String, Vec<u8>>) {
    let mut folder = Folder { root: PathBuf::from("/nonexistent-in-any-test"), texts };
    let volumes = [Volume { number: Some(1), mounted: Some("/".to_owned()), ..Volume::default() }];
    let (found, notes) = disk::find(&mut folder, &volumes);
    let text = serde_json::to_string(&json!({ "found": found, "notes": notes })).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains("\\u001b"), "control characters came through");
}

/// The files of a case that are texts, below `root`.
fn texts_of(case: &Path) -> BTreeMap<String, Vec<u8>> {
    let root = case.join("root");
    let there =
        PARSED.iter().filter_map(|path| Some(((*path).to_owned(), fs::read(root.join(&path[1..])).ok()?)));
    there.collect()
}

#[test]
fn files_cut_anywhere_are_read_or_noted() {
    for case in cases() {
        for (path, bytes) in texts_of(&case) {
            for cut in (0..bytes.len()).step_by(17) {
                find_in(BTreeMap::from([(path.clone(), bytes[..cut].to_vec())]));
            }
        }
    }
}

#[test]
fn scripts_that_never_end_come_to_an_end() {
    let grub =
        |text: &str| find_in(BTreeMap::from([("/boot/grub/grub.cfg".to_owned(), text.as_bytes().to_vec())]));
    grub("source /boot/grub/grub.cfg\nsource /boot/grub/grub.cfg\n");
    grub("function f {\nf\nf\n}\nf\n");
    grub(&"if true; then\n".repeat(5000));
    grub(&"submenu a {\n".repeat(5000));
    grub(&"set a=$a$a$a$a$a$a$a$a$a$a$a$a$a$ax\n".repeat(2000));
    grub(&"menuentry a {\nlinux /x\n}\n".repeat(5000));
    grub("set default='a>b>c>d'\nsubmenu a { submenu b { submenu c { menuentry d { linux /k } } } }");
}

proptest! {
    #[test]
    fn nonsense_is_read_or_noted(
        path in 0..PARSED.len(),
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        find_in(BTreeMap::from([(PARSED[path].to_owned(), bytes)]));
    }

    #[test]
    fn scripts_of_the_right_words_are_read(words in proptest::collection::vec(
        prop::sample::select(vec![
            "if", "then", "else", "elif", "fi", "[", "]", "=", "!", "-f", "{", "}", "\n", ";", "menuentry", "submenu",
            "function", "set", "default=1", "default=a>b", "a", "'a'", "\"$a\"", "${default}", "linux", "/vmlinuz",
            "initrd", "search", "--set", "root", "source", "/boot/grub/grub.cfg", "while", "do", "done", "\\", "$", "'",
        ]),
        0..120,
    )) {
        let text = words.join(" ");
        find_in(BTreeMap::from([("/boot/grub/grub.cfg".to_owned(), text.into_bytes())]));
    }

    #[test]
    fn changed_files_are_read(
        case in 0..cases().len(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..10),
    ) {
        let mut texts = texts_of(&cases()[case]);
        for bytes in texts.values_mut() {
            for (at, value) in &changes {
                let length = bytes.len();
                if let Some(at) = at.checked_rem(length) {
                    bytes[at] = *value;
                }
            }
        }
        find_in(texts);
    }
}
