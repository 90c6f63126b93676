//! `xenup audit` on guests whose disks are made here and now: the kernel that each would boot is found by the confined
//! child and judged, and `--fix` writes a plan that the engine takes.
#![allow(clippy::disallowed_methods, reason = "tests make images and run the program")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use xenup_engine::store::parse_plan;

const UUID: &str = "11111111-2222-4333-8444-555555555555";

fn put(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn kernel(case: &str) -> Vec<u8> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/kernel");
    fs::read(cases.join(case).join("kernel")).unwrap()
}

/// Makes a guest's disk with the kernel of a case; `None` where mke2fs is not installed.
fn make_disk(root: &Path, name: &str, case: &str, device: &str) -> Option<()> {
    let tree = root.join(format!("tree-{name}"));
    put(&tree, "boot/vmlinuz-6.1.0-1-amd64", kernel(case));
    let entry = format!(
        "set default=0\nmenuentry 'Debian' {{\n search --fs-uuid --set=root {UUID}\n \
         linux /boot/vmlinuz-6.1.0-1-amd64 root={device} ro\n \
         initrd /boot/initrd.img-6.1.0-1-amd64\n}}\n"
    );
    put(&tree, "boot/initrd.img-6.1.0-1-amd64", "ramdisk");
    put(&tree, "boot/grub/grub.cfg", entry);
    put(&tree, "etc/fstab", format!("{device} / ext4 defaults 0 1\n"));
    put(&tree, "etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let image = root.join(format!("root/srv/{name}.img"));
    fs::create_dir_all(image.parent().unwrap()).unwrap();
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-U", UUID, "-d"])
        .args([&tree, &image])
        .env("PATH", path)
        .output();
    match made {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: mke2fs is not installed");
            None
        }
        Err(error) => panic!("mke2fs: {error}"),
    }
}

fn make_host(root: &Path) {
    let host = root.join("root");
    put(&host, "etc/os-release", "VERSION_CODENAME=bullseye\n");
    put(&host, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    put(&host, "boot/xen-4.14-amd64.config", "CONFIG_PV=y\nCONFIG_PV32=y\nCONFIG_SHADOW_PAGING=y\n");
    put(&host, "proc/cpuinfo", "flags\t\t: fpu svm npt\n");
    for name in ["new", "old", "moved", "twin"] {
        let text = format!(
            "name = '{name}'\ntype = 'pv'\nmemory = 256\nbootloader = 'pygrub'\nbootloader_restrict = 1\n\
             disk = [ '/srv/{name}.img,raw,xvda,rw' ]\n"
        );
        put(&host, &format!("etc/xen/{name}.cfg"), text);
    }
}

fn audit(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xenup"))
        .args(["audit", "--root", "root", "--to", "trixie"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn kernels_on_guests_disks_are_judged_and_what_is_sure_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    make_host(root);
    let disks = [
        ("new", "bzimage-zstd", format!("UUID={UUID}")),
        ("old", "linux-32-pvh", format!("UUID={UUID}")),
        ("moved", "bzimage-xz", "/dev/sda".to_owned()),
        // The kernel of `old`, whose disk was read before.
        ("twin", "linux-32-pvh", format!("UUID={UUID}")),
    ];
    for (name, case, device) in &disks {
        if make_disk(root, name, case, device).is_none() {
            return;
        }
    }
    let (code, out, err) = audit(root, &["--json"]);
    assert_eq!(code, Some(4), "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let guest = |name: &str| {
        let guests = found["guests"].as_array().unwrap();
        guests.iter().find(|guest| guest["name"] == name).unwrap().clone()
    };
    let verdicts = ["new", "old", "moved"].map(|name| guest(name)["verdict"].clone());
    assert_eq!(verdicts, ["starts", "starts-after-change", "starts-after-change"], "{out}");
    assert_eq!(guest("new")["boots"], "/boot/vmlinuz-6.1.0-1-amd64 on /srv/new.img, which can be PV");
    assert_eq!(guest("old")["now"], "starts");
    assert_eq!(guest("twin")["verdict"], "starts-after-change");
    assert_eq!(
        guest("twin")["reasons"][0]["evidence"][1]["what"],
        guest("old")["reasons"][0]["evidence"][1]["what"]
    );
    assert_eq!(guest("old")["reasons"][0]["id"], "audit-kernel-role");
    assert_eq!(guest("moved")["reasons"][0]["what"], "root=/dev/sda, which this kernel calls /dev/xvda");

    let (code, out, err) = audit(root, &["--fix", "--out", "plan.json"]);
    assert_eq!(code, Some(4), "{err}");
    assert!(out.contains("-type = 'pv'\n+type = \"pvh\"\n"), "{out}");
    let plan = parse_plan(&fs::read(root.join("plan.json")).unwrap()).unwrap();
    assert_eq!(plan.machine_id, "0123456789abcdef0123456789abcdef");
    let titles: Vec<&str> = plan.steps().map(|(_, step)| step.title.as_str()).collect();
    assert_eq!(titles, ["Change /etc/xen/old.cfg", "Change /etc/xen/twin.cfg"]);
}

#[test]
fn a_disk_outside_the_tree_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    make_host(folder.path());
    fs::write(folder.path().join("outside.img"), "a guest's secret").unwrap();
    for name in ["new", "old", "moved", "twin"] {
        let link = folder.path().join(format!("root/srv/{name}.img"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../../outside.img", link).unwrap();
    }
    let (code, out, err) = audit(folder.path(), &[]);
    assert_eq!(code, Some(4), "{err}");
    assert!(out.contains("is not there") && !out.contains("nothing known"), "{out}");
}

#[test]
fn a_pipe_is_not_waited_for_and_what_is_not_read_is_no_yes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "root/etc/os-release", "VERSION_CODENAME=trixie\n");
    put(root, "guests/notes", "nothing of a guest's\n");
    for pipe in ["pipe", "guests/web.cfg", "guests/socket", "root/etc/xen/web.cfg"] {
        let path = root.join(pipe);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    let (code, _, err) = audit(root, &["pipe"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("it is no regular file") && err.contains("hint: xenup guest list"), "{err}");
    for arguments in [&["guests"][..], &[]] {
        let (code, out, err) = audit(root, arguments);
        assert_eq!(code, Some(4), "{out}{err}");
        assert!(out.contains("web: cannot be told") && out.contains("1 guest: 1 cannot be told"), "{out}");
    }
}

#[test]
fn the_reader_answers_only_who_hands_it_a_disk() {
    let output = Command::new(env!("CARGO_BIN_EXE_xenup"))
        .arg("guest-audit-read")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0));
}

fn guest(folder: &Path, arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_xenup"))
        .arg("guest")
        .args(arguments)
        .current_dir(folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_named_pipe_is_refused_and_standard_input_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    for verb in ["check", "convert"] {
        let (code, _, err) = guest(root, &[verb, "pipe"], b"");
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("it is no regular file") && err.contains("hint: "), "{err}");
    }
    put(root, "tree/etc/os-release", "VERSION_CODENAME=trixie\n");
    let text = b"name = 'web'\ntype = 'hvm'\nvga = 'cirus'\n";
    for path in ["-", "/dev/stdin"] {
        let (code, out, err) = guest(root, &["check", "--root", "tree", path], text);
        assert_eq!(code, Some(4), "{err}");
        assert!(out.contains("vga is `cirus`"), "{out}");
    }
}

#[test]
fn a_name_that_is_no_utf_8_does_not_keep_a_report_from_being_json() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    make_host(root);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.cfg");
    let dir = root.join("root/etc/xen");
    fs::write(dir.join(name), "name = 'cafe'\ntype = 'hvm'\nmemory = 64\n").unwrap();
    let (_, out, err) = audit(root, &["--json"]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let guests = found["guests"].as_array().unwrap();
    let cafe = guests.iter().find(|guest| guest["name"] == "cafe").unwrap();
    assert_eq!(cafe["path"], "/etc/xen/caf\u{fffd}.cfg");
    for verb in ["list", "check"] {
        let (_, out, err) = guest(root, &[verb, "--json", "--root", "root"], b"");
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{verb}: {out}{err}");
        assert!(out.contains("caf\u{fffd}.cfg"), "{verb}: {out}");
    }
}
