//! Disks made here and now by the tools of this machine, where it has them, against what blkid(8) says of them.
#![allow(clippy::disallowed_methods, reason = "tests run the tools that make disks")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Command, Stdio};

use xenup_disk::superblock;

const MIB: u64 = 1 << 20;

fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Whether the tool ran well; `None` where this machine has none.
fn run(program: &str, args: &[&str], disk: &Path) -> Option<bool> {
    let output = tool(program).args(args).arg(disk).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match output {
        Ok(status) => Some(status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// One value of `blkid -p -o value`.
fn blkid(tag: &str, disk: &Path) -> Option<String> {
    let output = tool("blkid").args(["-p", "-o", "value", "-s", tag]).arg(disk).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned();
    (!text.is_empty()).then_some(text)
}

#[test]
fn fresh_disks_are_what_blkid_says() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    let makers: &[(&str, &[&str], u64)] = &[
        ("mke2fs", &["-q", "-t", "ext2", "-L", "a b"], 4 * MIB),
        ("mke2fs", &["-q", "-t", "ext3"], 8 * MIB),
        ("mke2fs", &["-q", "-t", "ext4", "-L", "root"], 8 * MIB),
        ("mke2fs", &["-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal"], 16 * MIB),
        ("mkfs.vfat", &["-F", "12", "-n", "A"], 2 * MIB),
        ("mkfs.vfat", &["-F", "16"], 32 * MIB),
        ("mkfs.vfat", &["-F", "32", "-s", "1", "-n", "EFI"], 64 * MIB),
        ("mkfs.vfat", &["-F", "32", "-S", "4096"], 512 * MIB),
        ("mkswap", &["-L", "page"], 4 * MIB),
        ("mkfs.xfs", &["-q", "-L", "data"], 320 * MIB),
        ("mkfs.btrfs", &["-q", "-L", "pool"], 128 * MIB),
        ("cryptsetup", &["luksFormat", "-q", "--pbkdf", "pbkdf2", "--key-file", "/etc/hostname"], 32 * MIB),
    ];
    let mut compared = 0;
    for (program, args, size) in makers {
        std::fs::File::create(&disk).unwrap().set_len(*size).unwrap();
        match run(program, args, &disk) {
            Some(true) => {}
            Some(false) | None => continue,
        }
        let Some(kind) = blkid("TYPE", &disk) else { continue };
        let bytes = std::fs::read(&disk).unwrap();
        let found = superblock::identify(&bytes.as_slice()).unwrap();
        let found = found.unwrap_or_else(|| panic!("{program} {args:?}: nothing found, blkid says {kind}"));
        assert_eq!(found.kind.name(), kind, "{program} {args:?}");
        assert_eq!(found.uuid, blkid("UUID", &disk), "{program} {args:?}");
        assert_eq!(found.label, blkid("LABEL", &disk), "{program} {args:?}");
        compared += 1;
    }
    println!("{compared} of {} kinds of disk compared with blkid", makers.len());
}
