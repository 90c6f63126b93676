//! Installations: tests/cases/install/<case>/ holds `machine.json` (the disks and NICs that were found), `host.toml` (the
//! medium's), perhaps `answers.toml`, `command-line.txt`, `typed.txt` (what somebody types, a line each) and `medium.txt`
//! (`password`, `key`, `volumes`: what the medium has), and `expected/`: `said.txt`, the whole conversation, and where it
//! ends with a yes `files.txt`, what becomes this machine's own. `XENUP_UPDATE_CASES=1` writes what came out.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod cases_of;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use cases_of::{every_case, optional_text, text};
use serde::Deserialize;
use xenup_core::host::Host;
use xenup_core::install::manifest::{Chunk, FORMAT, HEAD};
use xenup_core::install::{Answers, Disk, Interview, Made, Manifest, Nic};
use xenup_core::install::{look, personal};
use xenup_disk::{ReadAt, ReadError};
use xenup_machine::fake::FakeMachine;
use xenup_machine::file::Attributes;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    disks: Vec<Disk>,
    nics: Vec<Nic>,
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvciB0ZXN0cyBhbG9uZQ medium@example";

fn manifest(host: &str, medium: &str) -> Manifest {
    let has = |word: &str| medium.lines().any(|line| line == word);
    Manifest {
        format: FORMAT,
        id: "0123456789abcdef".to_owned(),
        system: "Debian 12 (bookworm)".to_owned(),
        archive: "Sat, 06 Sep 2025 09:58:21 UTC".to_owned(),
        disk: 4 << 30,
        root: 66 << 20,
        made: Made {
            host: personal::for_medium(host).unwrap(),
            hostname: "xen".to_owned(),
            codename: "bookworm".to_owned(),
            root: "11111111-2222-8333-8444-555555555555".to_owned(),
            cmdline: "console=tty0 console=ttyS0,115200n8".to_owned(),
            volumes: has("volumes"),
            keys: has("key").then(|| KEY.to_owned()).into_iter().collect(),
            password: has("password"),
        },
        chunks: vec![Chunk { at: 0, length: HEAD, packed_at: 0, packed: 1, sha256: String::new() }],
    }
}

fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let mut said = String::new();
    let mut files = BTreeMap::new();
    let made = talk(case, &mut said);
    files.insert("said.txt", said);
    files.extend(made.map(|text| ("files.txt", text)));
    files
}

fn talk(case: &Path, said: &mut String) -> Option<String> {
    let manifest = manifest(&text(case, "host.toml"), &optional_text(case, "medium.txt").unwrap_or_default());
    let machine: Machine = serde_json::from_str(&text(case, "machine.json")).unwrap();
    let file = optional_text(case, "answers.toml").unwrap_or_default();
    let line = optional_text(case, "command-line.txt").unwrap_or_default();
    let answers = Answers::parse(Path::new("answers.toml"), file.as_bytes())
        .and_then(|answers| answers.and_command_line(&line));
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            let _ = writeln!(said, "error: {error}");
            return None;
        }
    };
    let host = Host::parse(Path::new("host.toml"), manifest.made.host.as_bytes()).unwrap();
    let (mut interview, complaints) =
        Interview::new(&manifest, host, &machine.disks, &machine.nics, &answers, [7; 12]);
    for complaint in &complaints {
        let _ = writeln!(said, "error: {complaint}");
    }
    if answers.erase && !complaints.is_empty() {
        return None;
    }
    let typed = optional_text(case, "typed.txt").unwrap_or_default();
    let mut typed = typed.lines();
    while let Some(asked) = interview.next() {
        let answer = if answers.erase {
            ""
        } else {
            asked.before.iter().for_each(|line| said.push_str(&format!("{line}\n")));
            let Some(answer) = typed.next() else {
                panic!("{}: nothing is typed at: {said}", case.display())
            };
            let _ = writeln!(said, "{}{}", asked.prompt, if asked.hidden { "" } else { answer });
            answer
        };
        if let Err(why) = interview.take(answer) {
            let _ = writeln!(said, "error: {why}");
            if answers.erase {
                return None;
            }
        }
    }
    assert_eq!(typed.next(), None, "{}: more is typed than asked", case.display());
    let Some(choice) = interview.choice() else {
        said.push_str("nothing is written\n");
        return None;
    };
    if answers.erase {
        interview.last_page().iter().for_each(|line| said.push_str(&format!("{line}\n")));
    }
    let made = personal::of(&manifest.made, &choice.roles, &choice.hostname, &choice.addresses);
    let mut out = format!("disk {}\nname {}\n", choice.disk.name, choice.hostname);
    choice.keys.iter().for_each(|key| out.push_str(&format!("key {key}\n")));
    let _ = writeln!(out, "password {}\nthen {:?}", choice.password_hash.unwrap_or_default(), choice.then);
    match made {
        Err(fault) => {
            let _ = writeln!(out, "error: {fault}");
        }
        Ok(made) => {
            for file in &made.files {
                let head = if file.path.ends_with("first-boot") { 4 } else { usize::MAX };
                let _ = writeln!(out, "\n== {} {:04o}", file.path.display(), file.mode);
                file.text.lines().take(head).for_each(|line| out.push_str(&format!("{line}\n")));
            }
            made.gone.iter().for_each(|path| out.push_str(&format!("\n== {} is gone\n", path.display())));
        }
    }
    Some(out)
}

#[test]
fn every_case_is_the_conversation_that_is_written() {
    every_case("install", 10, outcome);
}

#[test]
fn the_example_has_every_key_and_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/answers.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let answers = Answers::parse(&path, text.as_bytes()).unwrap();
    assert!(answers.erase && answers.nics.len() == 1 && answers.keys.len() == 1);
    // The keys that are commented out are read as well.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let all = all.replace("$y$…", "$y$j9T$abc");
    let all = Answers::parse(&path, all.as_bytes()).unwrap();
    assert!(all.overwrite && all.password_hash.is_some());
    let manual = std::fs::read_to_string(path.with_file_name("../man/answers.toml.5")).unwrap();
    for key in [
        "disk",
        "erase",
        "overwrite",
        "hostname",
        "ssh-keys",
        "root-password-hash",
        "address",
        "gateway",
        "dns",
        "then",
        "port",
        "mac",
    ] {
        assert!(manual.contains(&format!(".It Cm {key} No =")), "{key}");
        assert!(text.contains(&format!("{key} = ")), "{key}");
    }
}

/// A disk as tests/cases/disk has it, sparse.
struct Sparse(Vec<u8>);

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.as_slice().read_at(offset, buffer)
    }
}

fn disk(case: &str) -> Sparse {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/disk").join(case).join("disk.hex");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let size: usize = lines.next().unwrap().strip_prefix("size ").unwrap().parse().unwrap();
    let mut bytes = vec![0; size];
    for (at, digits) in lines.filter_map(|line| line.split_once(' ')) {
        let at = usize::from_str_radix(at, 16).unwrap();
        for (index, pair) in digits.as_bytes().chunks(2).enumerate() {
            bytes[at + index] = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
    }
    Sparse(bytes)
}

fn put(machine: &mut FakeMachine, path: &str, text: &str) {
    machine.put(path, text.as_bytes(), &Attributes::root(0o444));
}

#[test]
fn who_uses_a_disk_is_read_from_the_kernel_and_from_its_bytes() {
    let mut machine = FakeMachine::new();
    for (name, dev) in [("sda", "8:0"), ("sdb", "8:16"), ("sdc", "8:32"), ("sr0", "11:0"), ("dm-0", "253:0")]
    {
        put(&mut machine, &format!("/sys/class/block/{name}/size"), "65536\n");
        put(&mut machine, &format!("/sys/class/block/{name}/dev"), dev);
        put(&mut machine, &format!("/sys/class/block/{name}/queue/logical_block_size"), "512\n");
    }
    put(&mut machine, "/sys/class/block/sda/device/model", "DISK  \u{1b}[2J  ");
    put(&mut machine, "/sys/class/block/sda/device/vendor", "ATA\n");
    put(&mut machine, "/sys/class/block/sdb/serial", "S1\n");
    put(&mut machine, "/sys/class/block/sdb/ro", "1\n");
    // The first partition of that disk is an ext4 that is mounted, the second is somebody's by device-mapper.
    for (number, start, size) in [(1, 2048, 8192), (2, 10240, 55000)] {
        for at in ["/sys/class/block/sda/", "/sys/class/block/"] {
            let at = format!("{at}sda{number}");
            put(&mut machine, &format!("{at}/partition"), &number.to_string());
            put(&mut machine, &format!("{at}/start"), &start.to_string());
            put(&mut machine, &format!("{at}/size"), &size.to_string());
            put(&mut machine, &format!("{at}/dev"), &format!("8:{number}"));
        }
    }
    put(&mut machine, "/sys/class/block/sda2/holders/dm-0/x", "");
    put(&mut machine, "/sys/class/block/dm-0/dm/name", "vg0-root\n");
    put(&mut machine, "/sys/class/block/dm-0/dm/uuid", "LVM-abc\n");
    put(&mut machine, "/proc/self/mountinfo", "22 1 8:1 / /mnt/my\\040disk rw - ext4 /dev/sda1 rw\n");
    put(&mut machine, "/proc/swaps", "Filename Type Size Used Priority\n/dev/sdc partition 1 0 -2\n");
    let open = |name: &str| -> Result<Box<dyn ReadAt>, String> {
        match name {
            "sda" => Ok(Box::new(disk("gpt-with-efi-and-ext4"))),
            "sdb" => Ok(Box::new(disk("lvm2"))),
            _ => Err("Input/output error".to_owned()),
        }
    };
    let disks = look::disks(&machine, &open);
    let told: Vec<String> =
        disks.iter().map(|disk| format!("{}: {:?}", disk.words(), disk.verdict(1 << 20))).collect();
    assert_eq!(
        told,
        [
            "sda: 32 MiB, ATA DISK  [2J: Refused([\"sda1 is mounted at /mnt/my disk\", \"sda2 is in use by LVM's volume vg0-root\"])",
            "sdb: 32 MiB, serial S1: Refused([\"sdb cannot be written to\"])",
            "sdc: 32 MiB: Refused([\"sdc is swapped to\"])",
        ]
    );
    assert_eq!(disks[0].table.as_deref(), Some("GPT"));
    // A table that the kernel has not read is seen all the same.
    put(&mut machine, "/sys/class/block/nvme0n1/size", "65536\n");
    let unread = look::disks(&machine, &|_| Ok(Box::new(disk("gpt-with-efi-and-ext4"))));
    let names: Vec<&str> =
        unread.iter().flat_map(|disk| &disk.parts).map(|part| part.name.as_str()).collect();
    assert!(names.contains(&"nvme0n1p1") && names.contains(&"nvme0n1p2"), "{names:?}");
    assert_eq!(disks[1].whole.content.as_deref(), Some("LVM2_member"));
    assert_eq!(disks[2].unreadable.as_deref(), Some("Input/output error"));
}
