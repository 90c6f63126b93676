//! What docs/guest-disks.md has people type to read a guest's disk without us, on a disk that is made here.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the test makes a disk and runs a shell")]

mod handbook;

use std::path::Path;
use std::process::{Command, Output};

use handbook::{block, project};

/// The guest on the disk.
const GUEST: &str = "tests/cases/guest-disk/default-names-nothing/root";
/// An MBR with one partition, and ext4 in it.
const MAKE: &str = r#"truncate -s 24M web.img
echo '2048,32768,L' | sfdisk --quiet web.img
mke2fs -q -t ext4 -E offset=1048576 -d "$1" web.img 16M"#;

fn sh(folder: &Path, script: &str) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let root = project().join(GUEST);
    let mut shell = Command::new("sh");
    shell.args(["-euc", script, "sh"]).arg(root).current_dir(folder).env("PATH", path).output().unwrap()
}

#[test]
fn a_disk_is_read_by_hand() {
    let missing = sh(project(), "command -v sfdisk mke2fs debugfs blkid file").status.code() != Some(0);
    if missing {
        println!("SKIPPED: e2fsprogs, util-linux or file is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = sh(folder.path(), MAKE);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let output = sh(folder.path(), &block("docs/guest-disks.md", "debugfs -R 'cat /boot/grub/grub.cfg'"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for word in ["start=        2048", "TYPE=\"ext4\"", "menuentry", "UUID=", "vmlinuz-6.1.0-18-amd64"] {
        assert!(said.contains(word), "nothing says {word}: {said}");
    }
    let kernel = std::fs::read(folder.path().join("vmlinuz")).unwrap();
    assert_eq!(kernel, std::fs::read(project().join(GUEST).join("boot/vmlinuz-6.1.0-18-amd64")).unwrap());
}
