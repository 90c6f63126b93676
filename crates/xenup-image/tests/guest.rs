//! A guest's disk out of a base, without root and without a mirror: the base is a small tree. With root and a mirror, a
//! real one (`cargo test -p xenup-image --test guest -- --ignored`).
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at what was made")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use xenup_image::guest::{About, Base, BaseSpec, Entry, GuestDisk, Manager, base, disk};
use xenup_image::{ImageError, Suite};

const BASE: &str = "11111111-2222-4333-8444-555555555555";
const FIRST: &str = "aaaaaaaa-2222-4333-8444-555555555555";
const SECOND: &str = "bbbbbbbb-2222-4333-8444-555555555555";
const GRUB: &str = "search --fs-uuid --set=root UUID\nlinux /boot/vmlinuz root=UUID=UUID ro\n";

fn run(program: &str, args: &[&str], path: &Path) -> String {
    let output = Command::new(program).args(args).arg(path).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A base of a few files, as large as a real one.
fn small_base(dir: &Path) -> Base {
    let tree = dir.join("tree");
    for path in ["etc", "root/.ssh", "boot/grub"] {
        std::fs::create_dir_all(tree.join(path)).unwrap();
    }
    std::fs::write(tree.join("etc/hostname"), "base\n").unwrap();
    std::fs::write(tree.join("etc/left-alone"), "left alone\n").unwrap();
    std::fs::write(tree.join("boot/grub/grub.cfg"), GRUB.replace("UUID", BASE)).unwrap();
    let image = dir.join("base.img");
    std::fs::File::create(&image).unwrap().set_len(base::SIZE).unwrap();
    let extended = "root_owner=0:0,assume_storage_prezeroed=1,nodiscard";
    let tree = tree.to_str().unwrap();
    let features = "^metadata_csum_seed,^orphan_file";
    let args =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-O", features, "-U", BASE, "-E", extended, "-d", tree];
    run("mke2fs", &args, &image);
    let about = About {
        suite: Suite::Trixie,
        packages: Vec::new(),
        file_system: BASE.into(),
        grub_config: GRUB.replace("UUID", BASE),
        kernels: Vec::new(),
        archive: String::new(),
        digest: String::new(),
        seal: None,
    };
    Base { image, about, kept: true }
}

fn entries(name: &str) -> Vec<Entry> {
    let file = |path: &str, mode, text: &str| Entry::File { path: path.into(), mode, bytes: text.into() };
    vec![
        file("/etc/hostname", 0o644, &format!("{name}\n")),
        file("/etc/fstab", 0o644, "UUID=x / ext4 defaults 0 1\n"),
        file("/root/.ssh/authorized_keys", 0o600, "ssh-ed25519 AAAA a\n"),
        Entry::Swap { path: "/swapfile".into(), size: 64 << 20 },
        Entry::Link { path: "/etc/resolv.conf".into(), target: "../run/resolv.conf".into() },
    ]
}

fn make(base: &Base, path: &Path, size: u64, uuid: &str, entries: &[Entry]) -> Result<(), ImageError> {
    disk::make(base, &GuestDisk { path, size, file_system: uuid, entries }, &mut |_| {}).map(drop)
}

fn names(dir: &Path) -> BTreeSet<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn cat(image: &Path, path: &str) -> String {
    run("debugfs", &["-R", &format!("cat {path}")], image)
}

#[test]
fn two_guests_of_one_base_differ_in_what_makes_each_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let base = small_base(dir.path());
    let before = std::fs::metadata(&base.image).unwrap().modified().unwrap();
    let (first, second) = (dir.path().join("first.img"), dir.path().join("second.img"));
    make(&base, &first, base::SIZE, FIRST, &entries("first")).unwrap();
    make(&base, &second, 2 << 30, SECOND, &entries("second")).unwrap();
    for (image, name, uuid, size) in
        [(&first, "first", FIRST, base::SIZE), (&second, "second", SECOND, 2 << 30)]
    {
        assert_eq!(std::fs::metadata(image).unwrap().len(), size);
        run("e2fsck", &["-fn"], image);
        assert!(run("dumpe2fs", &["-h"], image).contains(&format!("UUID:          {uuid}")));
        assert_eq!(cat(image, "/etc/hostname"), format!("{name}\n"));
        assert_eq!(cat(image, "/boot/grub/grub.cfg"), GRUB.replace("UUID", uuid));
        assert_eq!(cat(image, "/etc/left-alone"), "left alone\n");
        let stat = run("debugfs", &["-R", "stat /root/.ssh/authorized_keys"], image);
        assert!(stat.contains("Mode:  0600") && stat.contains("User:     0   Group:     0"), "{stat}");
        let swap = run("debugfs", &["-R", "stat /swapfile"], image);
        assert!(swap.contains("Size: 67108864") && swap.contains("Blockcount: 131072"), "no hole: {swap}");
    }
    let after = std::fs::metadata(&base.image).unwrap().modified().unwrap();
    assert_eq!(after, before, "the base was written to");
}

#[test]
fn a_disk_larger_than_the_base_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let base = small_base(dir.path());
    let image = dir.path().join("large.img");
    let size = (12 << 30) + (1 << 20);
    make(&base, &image, size, FIRST, &entries("large")).unwrap();
    assert_eq!(std::fs::metadata(&image).unwrap().len(), size);
    run("e2fsck", &["-fn"], &image);
}

#[test]
fn whatever_fails_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let base = small_base(dir.path());
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let image = out.join("guest.img");
    let refused = |base: &Base, size: u64, uuid: &str, entries: &[Entry]| {
        let error = make(base, &image, size, uuid, entries).unwrap_err();
        assert_eq!(names(&out), BTreeSet::new(), "{error}");
        error.to_string()
    };
    let absent = Base { image: dir.path().join("absent.img"), ..base.clone() };
    assert!(refused(&absent, base::SIZE, FIRST, &[]).contains("cannot be handled"));
    assert!(refused(&base, 1 << 30, FIRST, &[]).contains("cannot be built"));
    assert!(refused(&base, base::SIZE, "no-uuid", &[]).contains("tune2fs"));
    let nowhere = Entry::File { path: "/absent/file".into(), mode: 0o644, bytes: b"x".to_vec() };
    assert!(refused(&base, base::SIZE, FIRST, &[nowhere]).contains("does not read back"));
    let unfit = Entry::File { path: "/etc/a b".into(), mode: 0o644, bytes: b"x".to_vec() };
    assert!(refused(&base, base::SIZE, FIRST, &[unfit]).contains("cannot be written inside"));
    let no_disk = Base { image: dir.path().join("tree/etc/hostname"), ..base.clone() };
    refused(&no_disk, base::SIZE, FIRST, &[]);
    std::fs::write(&image, "somebody's").unwrap();
    let error = make(&base, &image, base::SIZE, FIRST, &[]).unwrap_err();
    assert!(error.to_string().contains("cannot be handled"), "{error}");
    assert_eq!(std::fs::read_to_string(&image).unwrap(), "somebody's");
    assert_eq!(names(&out).len(), 1);
}

#[test]
fn a_base_is_asked_for_by_package_names_alone() {
    let spec = |package: &str| BaseSpec {
        suite: Suite::Sid,
        manager: Manager::Ifupdown,
        packages: vec![package.to_owned()],
    };
    assert!(spec("vim-tiny").validate().is_ok());
    let error = spec("vim --version").validate().unwrap_err().to_string();
    assert_eq!(error, "package: `vim --version` is no package name");
}

#[test]
#[ignore = "needs root, a Debian mirror and two minutes"]
fn a_real_base_is_made_kept_and_found_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let suite = std::env::var("XENUP_SUITE").map_or(Suite::Bookworm, |name| Suite::parse(&name).unwrap());
    let spec = BaseSpec { suite, manager: Manager::Ifupdown, packages: Vec::new() };
    let made = base::ready(&cache, &spec, false, &mut |_| {}).unwrap();
    assert!(!made.kept && made.about.kernels.len() == 1 && made.about.archive.len() == 64);
    run("e2fsck", &["-fn"], &made.image);
    let kept = base::ready(&cache, &spec, false, &mut |_| {}).unwrap();
    assert!(kept.kept && kept.about == made.about);
    let image = dir.path().join("guest.img");
    make(&kept, &image, base::SIZE, FIRST, &entries("guest")).unwrap();
    run("e2fsck", &["-fn"], &image);
    assert!(cat(&image, "/boot/grub/grub.cfg").contains(FIRST));
    assert!(!cat(&image, "/boot/grub/grub.cfg").contains(&made.about.file_system));
    assert_eq!(cat(&image, "/etc/machine-id"), "");
    // systemd-sysusers puts its lines before root's.
    let shadow = cat(&image, "/etc/shadow");
    assert!(shadow.lines().find(|line| line.starts_with("root:")).unwrap().starts_with("root:*:"));
    assert!(!run("debugfs", &["-R", "ls -p /etc/ssh"], &image).contains("ssh_host_"));
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().write(true).open(&made.image).unwrap();
    file.write_all_at(b"damage", 1 << 20).unwrap();
    let error = base::ready(&cache, &spec, false, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("its digest is"), "{error}");
    assert!(error.hint().unwrap().starts_with("rm "), "{:?}", error.hint());
}
