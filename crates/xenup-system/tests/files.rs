//! File helpers of the lab crates on a real file system.
#![allow(clippy::disallowed_methods, reason = "tests look at the machine directly")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use xenup_system::files::{self, DiskFile, FileLock, WorkDir};

fn work() -> WorkDir {
    WorkDir::new_in(&std::env::temp_dir(), "xenup-test-").unwrap()
}

#[test]
fn an_atomic_write_replaces_content_and_mode_and_leaves_nothing_else() {
    let work = work();
    let path = work.join("file");
    files::write(&path, b"old").unwrap();
    files::write_atomic(&path, b"new", 0o600).unwrap();
    assert_eq!(files::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(files::list(work.path()).unwrap(), [path]);
}

#[test]
fn a_device_and_a_link_to_one_are_written_to_and_stay() {
    let work = work();
    let (node, link) = (work.join("null"), work.join("link"));
    let made = std::process::Command::new("mknod").arg(&node).args(["c", "1", "3"]).status().unwrap();
    if !made.success() {
        eprintln!("skipped: making a device node needs root");
        return;
    }
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for path in [&node, &link] {
        files::write_atomic(path, b"new", 0o600).unwrap();
        assert!(!std::fs::metadata(path).unwrap().is_file());
    }
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(files::write_atomic(work.path(), b"new", 0o600).is_err());
}

#[test]
fn a_sparse_copy_is_equal_and_stays_sparse() {
    let work = work();
    let (from, to) = (work.join("from"), work.join("to"));
    let size = 64 << 20;
    let disk = DiskFile::create(&from, size).unwrap();
    for (offset, bytes) in [(0, b"start".as_slice()), (5 << 20, b"middle"), (size - 3, b"end")] {
        disk.write_at(offset, bytes).unwrap();
    }
    assert_eq!(files::copy_sparse(&from, &to).unwrap(), size);
    assert!(files::read(&from).unwrap() == files::read(&to).unwrap());
    assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn a_file_is_placed_into_a_disk_at_an_offset() {
    let work = work();
    let (part, image) = (work.join("part"), work.join("image"));
    files::write(&part, b"payload").unwrap();
    let disk = DiskFile::create(&image, 4096).unwrap();
    disk.write_file_at(1000, &part).unwrap();
    let mut back = [0; 9];
    disk.read_at(999, &mut back).unwrap();
    assert_eq!(&back, b"\0payload\0");
    assert_eq!(disk.size().unwrap(), 4096);
}

#[test]
fn errors_name_operation_and_path() {
    let work = work();
    let missing = work.join("missing");
    let error = files::read(&missing).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", missing.display()));
    assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
    assert!(!files::remove_file(&missing).unwrap());
}

#[test]
fn a_lock_keeps_a_second_holder_out_until_dropped() {
    let work = work();
    let path = work.join("lock");
    let first = FileLock::wait(&path).unwrap();
    assert!(FileLock::attempt(&path).unwrap().is_none());
    drop(first);
    assert!(FileLock::attempt(&path).unwrap().is_some());
}

#[test]
fn a_work_directory_is_removed_when_dropped_and_kept_when_asked() {
    let dropped = work().path().to_owned();
    assert!(!dropped.exists());
    let kept = work().keep();
    assert!(kept.exists());
    assert!(files::remove_dir_all(&kept).unwrap());
}
