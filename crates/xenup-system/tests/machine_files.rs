//! The file primitives of the real machine, in directories of their own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at the real files")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use xenup_machine::file::{Attributes, Kind, Timestamp};
use xenup_machine::process::{Command, Query};
use xenup_machine::{Machine, Probe, Reason};
use xenup_system::System;

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// Attributes that whoever runs the tests may give.
fn mine(mode: u32) -> Attributes {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Attributes { uid, gid, ..Attributes::root(mode) }
}

#[test]
fn a_file_comes_back_with_all_its_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    let wanted = Attributes {
        mtime: Some(Timestamp { seconds: 1_234_567_890, nanoseconds: 123_456_789 }),
        xattrs: BTreeMap::from([("user.xenup".to_owned(), b"kept\0too".to_vec())]),
        ..mine(0o6750)
    };
    machine.create_dir(path("/etc"), &mine(0o755)).unwrap();
    machine.create_file(path("/etc/motd"), b"hello", &wanted).unwrap();
    machine.append(path("/etc/motd"), b", world").unwrap();
    machine.set_attributes(path("/etc/motd"), &wanted).unwrap();
    machine.sync_file(path("/etc/motd")).unwrap();
    machine.sync_dir(path("/etc")).unwrap();
    assert_eq!(machine.read(path("/etc/motd"), 100).unwrap(), b"hello, world");
    let entry = machine.entry(path("/etc/motd")).unwrap().unwrap();
    assert_eq!(entry.kind, Kind::File { size: 12 });
    assert_eq!(entry.attributes, wanted);
    assert_eq!(entry.device, dir.path().metadata().unwrap().dev());

    let bare = mine(0o600);
    machine.set_attributes(path("/etc/motd"), &bare).unwrap();
    let entry = machine.entry(path("/etc/motd")).unwrap().unwrap();
    assert_eq!((entry.attributes.mode, entry.attributes.xattrs.len()), (0o600, 0));
}

#[test]
fn a_read_is_bounded_and_takes_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    machine.create_file(path("/twelve"), b"twelve bytes", &mine(0o600)).unwrap();
    assert_eq!(machine.read(path("/twelve"), 12).unwrap().len(), 12);
    assert_eq!(machine.read(path("/twelve"), 11).unwrap_err().reason, Reason::TooLarge);
    assert!(machine.read(path("/none"), 1).unwrap_err().is_not_found());
    assert_eq!(machine.read(path("/"), 1).unwrap_err().reason, Reason::Other);
}

#[test]
fn what_is_taken_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    machine.create_file(path("/a"), b"first", &mine(0o644)).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    for taken in ["/a", "/dangling"] {
        let again = machine.create_file(path(taken), b"second", &mine(0o644));
        assert_eq!(again.unwrap_err().reason, Reason::Exists, "{taken}");
    }
    assert_eq!(machine.read(path("/a"), 10).unwrap(), b"first");
    assert_eq!(machine.entry(path("/nowhere")).unwrap(), None);
    let no_parent = machine.create_file(path("/a/b"), b"", &mine(0o644)).unwrap_err();
    assert_eq!(no_parent.reason, Reason::NotFound);
    assert_eq!(no_parent.path().unwrap(), path("/a/b"));
}

#[test]
fn a_file_that_cannot_be_dressed_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    let xattrs = BTreeMap::from([("nonsense".to_owned(), vec![1])]);
    let failed = machine.create_file(path("/a"), b"x", &Attributes { xattrs, ..mine(0o644) });
    assert!(failed.is_err());
    assert_eq!(machine.entry(path("/a")).unwrap(), None);
}

#[test]
fn links_are_made_seen_and_removed_as_links() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    let mtime = Some(Timestamp { seconds: 86_400, nanoseconds: 1 });
    machine.create_file(path("/target"), b"kept", &mine(0o600)).unwrap();
    machine.create_symlink(path("/link"), path("target"), &Attributes { mtime, ..mine(0o777) }).unwrap();
    let entry = machine.entry(path("/link")).unwrap().unwrap();
    assert_eq!(entry.kind, Kind::Symlink { target: "target".into() });
    assert_eq!(entry.attributes.mtime, mtime);
    machine.sync_file(path("/link")).unwrap();
    assert_eq!(machine.read(path("/link"), 10).unwrap(), b"kept");
    machine.rename(path("/target"), path("/link")).unwrap();
    assert_eq!(machine.entry(path("/link")).unwrap().unwrap().kind, Kind::File { size: 4 });
    machine.remove_file(path("/link")).unwrap();
    assert!(machine.remove_file(path("/link")).unwrap_err().is_not_found());
}

#[test]
fn directories_are_listed_by_bytes_and_removed_when_empty() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    machine.create_dir(path("/d"), &mine(0o711)).unwrap();
    for name in ["b", "a", "Z"] {
        machine.create_file(&path("/d").join(name), b"", &mine(0o644)).unwrap();
    }
    assert_eq!(machine.list(path("/d")).unwrap(), ["Z", "a", "b"].map(OsString::from));
    assert_eq!(machine.remove_dir(path("/d")).unwrap_err().reason, Reason::NotEmpty);
    let entry = machine.entry(path("/d")).unwrap().unwrap();
    assert_eq!((entry.kind, entry.attributes.mode), (Kind::Dir, 0o711));
    assert!(machine.entry(path("/")).unwrap().is_some());
    let space = machine.space(path("/d")).unwrap();
    assert!(space.total >= space.free && space.total > 0);
}

#[test]
fn no_path_leads_out_of_a_tree() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "outside").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path();
    std::fs::create_dir(inside.join("etc")).unwrap();
    std::fs::write(inside.join("etc/hostname"), "inside").unwrap();
    symlink(outside.path(), inside.join("absolute")).unwrap();
    symlink("../../../../../../../..", inside.join("up")).unwrap();
    symlink("/etc/hostname", inside.join("name")).unwrap();
    symlink("/proc/self/root", inside.join("magic")).unwrap();
    let tree = System::tree(inside).unwrap();
    assert_eq!(tree.read(path("/name"), 100).unwrap(), b"inside");
    assert_eq!(tree.read(path("/up/etc/hostname"), 100).unwrap(), b"inside");
    assert_eq!(tree.read(path("/../../etc/hostname"), 100).unwrap(), b"inside");
    for way_out in ["/absolute/secret", "/magic/etc/passwd", "/up/proc/self/stat"] {
        assert!(tree.read(path(way_out), 100).unwrap_err().is_not_found(), "{way_out}");
        assert_eq!(tree.entry(path(way_out)).unwrap(), None, "{way_out}");
    }
    let mut machine = System::below(inside).unwrap();
    let escape = path("/absolute/new");
    assert!(machine.create_file(escape, b"x", &mine(0o644)).unwrap_err().is_not_found());
    assert!(!outside.path().join("new").exists());
}

#[test]
fn a_pipe_in_a_tree_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let tree = System::tree(dir.path()).unwrap();
    assert_eq!(tree.entry(path("/pipe")).unwrap().unwrap().kind, Kind::Special);
    assert_eq!(tree.read(path("/pipe"), 10).unwrap_err().words, "not a regular file");
    let running = System::running().unwrap();
    assert_eq!(running.read(&pipe, 10).unwrap_err().words, "not a regular file");
}

#[test]
fn nothing_runs_on_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let tree = System::tree(dir.path()).unwrap();
    assert_eq!(tree.network().unwrap_err().reason, Reason::NotRunning);
    assert_eq!(tree.query(&Query::new("true", [""; 0])).unwrap_err().reason, Reason::NotRunning);
    assert_eq!(tree.clock().boot_id, "");
    let mut below = System::below(dir.path()).unwrap();
    assert_eq!(below.change_links(&[]).unwrap_err().reason, Reason::NotRunning);
    let command = Command::new("true", [""; 0]);
    assert_eq!(below.run(&command, &mut |_| {}).unwrap_err().reason, Reason::NotRunning);
    assert!(System::tree(&dir.path().join("none")).unwrap_err().is_not_found());
}

#[test]
fn modes_are_as_asked_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = System::below(dir.path()).unwrap();
    machine.create_file(path("/open"), b"", &mine(0o666)).unwrap();
    let mode = std::fs::metadata(dir.path().join("open")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o666);
}

#[test]
fn the_clock_is_that_of_this_boot() {
    let machine = System::running().unwrap();
    let (first, second) = (machine.clock(), machine.clock());
    assert_eq!(first.boot_id.len(), 36);
    assert_eq!(first.boot_id, second.boot_id);
    assert!(second.boottime_ns > first.boottime_ns && first.unix_seconds > 1_700_000_000);
}
