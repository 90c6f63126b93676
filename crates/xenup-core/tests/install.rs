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
use xenup_core::install::personal;
use xenup_core::install::{Answers, Disk, Interview, Made, Manifest, Nic};

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
