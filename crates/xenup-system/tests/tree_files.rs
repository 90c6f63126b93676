//! A system in the making: nothing written into its tree reaches this machine, whatever links it has.
#![allow(clippy::disallowed_methods, reason = "tests make their own trees")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use xenup_system::files::WorkDir;
use xenup_system::tree::TreeFiles;

/// `None` where the files cannot be made root's.
fn fixture() -> Option<(WorkDir, PathBuf, TreeFiles)> {
    if !xenup_system::files::is_root() {
        println!("skipped: needs root");
        return None;
    }
    let work = WorkDir::new_in(&std::env::temp_dir(), "xenup-test-").unwrap();
    let root = work.join("root");
    std::fs::create_dir(&root).unwrap();
    let tree = TreeFiles::open(&root).unwrap();
    Some((work, root, tree))
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn absolute_links_and_dots_stay_inside() {
    let Some((work, root, tree)) = fixture() else { return };
    let outside = work.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir_all(root.join(outside.strip_prefix("/").unwrap())).unwrap();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../..", root.join("up")).unwrap();
    tree.write(Path::new("/absolute/a"), 0o644, b"x").unwrap();
    tree.write(Path::new("/up/b"), 0o644, b"x").unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(root.join(outside.strip_prefix("/").unwrap()).join("a").exists());
    assert!(root.join("b").exists());
}

#[test]
fn a_link_under_the_last_name_is_replaced_and_not_followed() {
    let Some((work, root, tree)) = fixture() else { return };
    let target = work.join("target");
    std::fs::write(&target, "kept").unwrap();
    symlink(&target, root.join("resolv.conf")).unwrap();
    tree.write(Path::new("/resolv.conf"), 0o644, b"new").unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "kept");
    assert_eq!(tree.read_text(Path::new("/resolv.conf")).unwrap(), "new");
}

#[test]
fn files_directories_and_links_are_made_with_their_modes() {
    let Some((_work, root, tree)) = fixture() else { return };
    tree.write(Path::new("/a/b/file"), 0o4711, b"x").unwrap();
    tree.directory(Path::new("/a/private"), 0o700).unwrap();
    tree.directory(Path::new("/a/private"), 0o750).unwrap();
    tree.symlink(Path::new("/dev/null"), Path::new("/a/masked")).unwrap();
    tree.symlink(Path::new("b/file"), Path::new("/a/masked")).unwrap();
    assert_eq!((mode(&root.join("a")), mode(&root.join("a/b/file"))), (0o755, 0o4711));
    assert_eq!(mode(&root.join("a/private")), 0o750);
    assert_eq!(std::fs::read_link(root.join("a/masked")).unwrap(), Path::new("b/file"));
    assert_eq!(tree.names(Path::new("/a")).unwrap(), ["b", "masked", "private"]);
}

#[test]
fn a_rewritten_file_keeps_its_mode_and_removing_twice_is_no_error() {
    let Some((_work, root, tree)) = fixture() else { return };
    let shadow = Path::new("/etc/shadow");
    tree.write(shadow, 0o640, b"old").unwrap();
    tree.rewrite(shadow, b"new").unwrap();
    assert_eq!((mode(&root.join("etc/shadow")), tree.read(shadow).unwrap()), (0o640, b"new".to_vec()));
    tree.rename(shadow, Path::new("/etc/shadow-")).unwrap();
    assert!(!tree.exists(shadow).unwrap());
    assert!(tree.rewrite(shadow, b"x").is_err());
    assert!(tree.remove_file(Path::new("/etc/shadow-")).unwrap());
    assert!(!tree.remove_file(Path::new("/etc/shadow-")).unwrap());
    tree.remove_directory(Path::new("/etc")).unwrap();
}
