//! The files that guard the next boot, as text: tests/cases/guard/<case>/{guard.json, expected}.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read their own cases")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use xenup_system::guard::{BootGuard, GuardFileKind, TrialTest, boot_files};

fn guard(json: &serde_json::Value) -> BootGuard {
    let path = |value: &serde_json::Value| PathBuf::from(value.as_str().unwrap());
    let trial = json.get("trial").map(|trial| TrialTest {
        path: path(&trial["path"]),
        text: trial.get("text").map(|text| text.as_str().unwrap().to_owned()),
    });
    BootGuard { binary: path(&json["binary"]), trial, systemd: json["systemd"].as_bool().unwrap() }
}

fn shown(guard: &BootGuard) -> String {
    let mut text = String::new();
    for file in boot_files(guard) {
        let path = file.path.display();
        let _ = match file.kind {
            GuardFileKind::Dir => writeln!(text, "== {path}/"),
            GuardFileKind::Link { target } => writeln!(text, "== {path} -> {}", target.display()),
            GuardFileKind::Bytes { bytes, mode } => {
                writeln!(text, "== {path} {mode:o}\n{}", String::from_utf8(bytes).unwrap())
            }
        };
    }
    text
}

#[test]
fn the_files_are_as_expected() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/guard");
    let mut seen = 0;
    for case in std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(json) = std::fs::read(case.join("guard.json")) else { continue };
        let got = shown(&guard(&serde_json::from_slice(&json).unwrap()));
        let expected = case.join("expected");
        if std::env::var_os("XENUP_BLESS").is_some() {
            std::fs::write(&expected, &got).unwrap();
        }
        assert_eq!(got, std::fs::read_to_string(&expected).unwrap(), "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 4, "{seen} cases found");
}
