//! `xenup guest disk` on images made here and now: what the child found, as JSON and in words.
#![allow(clippy::disallowed_methods, reason = "tests make images and run the program")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const UUID: &str = "11111111-2222-4333-8444-555555555555";

/// A Debian guest's files, as far as they are looked at.
fn make_tree(root: &Path) {
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(
        "usr/lib/os-release",
        "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
    );
    put("etc/fstab", &format!("UUID={UUID} / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n"));
    put("boot/vmlinuz-6.1.0-1-amd64", &"kernel".repeat(5000));
    put(
        "boot/grub/grub.cfg",
        &format!(
            "set default=0\nmenuentry 'Debian' {{\n search --fs-uuid --set=root {UUID}\n \
             linux /boot/vmlinuz-6.1.0-1-amd64 root=/dev/sda1 ro\n}}\n"
        ),
    );
    put("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n");
    put("bin/sh", "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\0\0\0\0\0\0\u{3}\0\u{3e}\0");
    std::os::unix::fs::symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(arguments).env("PATH", path).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: {program} is not installed");
            false
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

fn xenup(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xenup")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn json(arguments: &[&str]) -> Value {
    let (code, out, err) = xenup(&[&["guest", "disk", "--json"], arguments].concat());
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_guest_is_found_on_its_disk_in_every_kind_of_image() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    make_tree(&folder.path().join("tree"));
    fs::File::create(at("bare")).unwrap().set_len(16 << 20).unwrap();
    let made = run("mke2fs", &["-q", "-t", "ext4", "-U", UUID, "-d", &at("tree"), &at("bare")]);
    if !made
        || !run("qemu-img", &["convert", "-c", "-f", "raw", "-O", "qcow2", &at("bare"), &at("base.qcow2")])
    {
        return;
    }
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", &at("overlay")]);
    let raw = json(&[&at("bare")]);
    assert_eq!(raw["release"]["version"], "12");
    assert_eq!(raw["architecture"]["name"], "amd64");
    assert_eq!(raw["boot"][0]["kernel_path"], "/boot/vmlinuz-6.1.0-1-amd64");
    assert_eq!(raw["boot"][0]["kernel_size"], 30_000);
    assert_eq!(raw["network"][0]["name"], "eth0");
    assert_eq!(raw["volumes"][0]["mounted"], "/");
    let notes = raw["notes"].to_string();
    assert!(notes.contains("/dev/sda2") && notes.contains(&format!("root=UUID={UUID}")), "{notes}");
    for (image, backing) in [("base.qcow2", 0), ("overlay", 1)] {
        let mut other = json(&[&at(image)]);
        assert_eq!(other["image"], "qcow2");
        assert_eq!(other["backing"].as_array().map_or(0, Vec::len), backing);
        other["image"] = raw["image"].clone();
        other.as_object_mut().unwrap().remove("backing");
        assert_eq!(other, raw, "{image}");
    }
    let (code, out, _) = xenup(&["guest", "disk", &at("overlay")]);
    assert_eq!(code, Some(0));
    for words in [
        "behind    base.qcow2",
        "Debian GNU/Linux 12 (bookworm)",
        "eth0 by ifupdown",
        "note      /etc/fstab:2",
    ] {
        assert!(out.contains(words), "{words} is not in:\n{out}");
    }
    // A link out of the folder, named by the image.
    fs::create_dir(at("alone")).unwrap();
    fs::copy(at("overlay"), at("alone/overlay")).unwrap();
    let (code, _, err) = xenup(&["guest", "disk", &at("alone/overlay")]);
    assert_eq!(code, Some(1));
    assert!(err.contains("its backing file \"base.qcow2\" is not read"), "{err}");
}

#[test]
fn partitions_and_what_is_not_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    make_tree(&folder.path().join("tree"));
    fs::File::create(at("disk")).unwrap().set_len(64 << 20).unwrap();
    fs::File::create(at("part")).unwrap().set_len(16 << 20).unwrap();
    fs::write(at("layout"), "label: gpt\nstart=2048,size=32768,type=L\nstart=40960,size=32768,type=L\n")
        .unwrap();
    let script = format!("sfdisk -q {} < {}", at("disk"), at("layout"));
    if !run("sh", &["-c", &format!("PATH=$PATH:/usr/sbin:/sbin; {script}")])
        || !run("mke2fs", &["-q", "-t", "ext4", "-U", UUID, "-d", &at("tree"), &at("part")])
    {
        return;
    }
    let mut disk = fs::read(at("disk")).unwrap();
    let part = fs::read(at("part")).unwrap();
    disk[40960 * 512..40960 * 512 + part.len()].copy_from_slice(&part);
    disk[2048 * 512..2048 * 512 + 8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    fs::write(at("disk"), disk).unwrap();
    let found = json(&[&at("disk")]);
    assert_eq!(found["table"], "gpt");
    assert_eq!(found["volumes"][0]["kind"], "crypto_LUKS");
    assert_eq!((&found["volumes"][1]["number"], &found["volumes"][1]["mounted"]), (&2.into(), &"/".into()));
    assert!(found["notes"].to_string().contains("encrypted (LUKS)"), "{}", found["notes"]);
    assert_eq!(found["fstab"][0]["partition"], 2);
}

#[test]
fn what_is_no_guest_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty");
    fs::File::create(&path).unwrap().set_len(10 << 40).unwrap();
    let found = json(&[path.to_str().unwrap()]);
    assert_eq!(found["size"], 10_u64 << 40);
    assert!(found["notes"].to_string().contains("no root file system was found"));
    let (code, _, err) = xenup(&["guest", "disk", "/nonexistent"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot open /nonexistent"), "{err}");
    let (code, _, _) = xenup(&["guest-disk-read"]);
    assert_ne!(code, Some(0));
}
