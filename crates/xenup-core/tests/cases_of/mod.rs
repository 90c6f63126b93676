//! Case folders: inputs and expected output as files. Decides where they are; never what is expected.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::expect_used, reason = "a case that cannot be read is a broken test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use xenup_core::inspect::Finding;

/// Returns every folder under `tests/cases/<room>`, sorted.
pub fn folders(room: &str) -> Vec<PathBuf> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(room);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&room)
        .unwrap_or_else(|error| panic!("{}: {error}", room.display()))
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "{} has no case", room.display());
    folders
}

/// Returns a file of a case.
pub fn bytes(case: &Path, name: &str) -> Vec<u8> {
    let path = case.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a text of a case.
pub fn text(case: &Path, name: &str) -> String {
    String::from_utf8(bytes(case, name)).expect("a case's text is UTF-8")
}

/// Returns a text of a case, where it has one.
pub fn optional_text(case: &Path, name: &str) -> Option<String> {
    case.join(name).exists().then(|| text(case, name))
}

/// Compares with the expected file of a case; with SNAPSHOTS=overwrite writes it.
pub fn expect(case: &Path, name: &str, actual: &str) {
    let path = case.join(name);
    let expected = snapbox::Data::read_from(&path, Some(snapbox::data::DataFormat::Text));
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(actual.to_owned(), expected.raw());
}

/// Compares what each case of a room comes to, file by file, with its folder `expected`, in which nothing else may lie;
/// with XENUP_UPDATE_CASES writes it.
pub fn every_case(room: &str, least: usize, outcome: impl Fn(&Path) -> BTreeMap<&'static str, String>) {
    let update = std::env::var_os("XENUP_UPDATE_CASES").is_some();
    let cases = folders(room);
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let (expected, actual) = (case.join("expected"), outcome(case));
        if update {
            let _ = std::fs::remove_dir_all(&expected);
            std::fs::create_dir_all(&expected).expect("a folder can be made");
            for (name, text) in &actual {
                std::fs::write(expected.join(name), text).expect("an expected file can be written");
            }
        }
        let names: BTreeSet<String> = std::fs::read_dir(&expected)
            .map(|entries| {
                let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
                entries.map(|entry| name(entry.expect("a folder can be listed"))).collect()
            })
            .unwrap_or_default();
        for name in names.iter().map(String::as_str).chain(actual.keys().copied()).collect::<BTreeSet<_>>() {
            let (want, have) = (optional_text(&expected, name), actual.get(name));
            if want.as_ref() != have {
                let now = have.map_or("is not there any more", String::as_str);
                wrong.push(format!("{} {name} is now:\n{now}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Findings as a case's expected file has them.
pub fn findings(found: &[Finding]) -> String {
    let mut out = String::new();
    for finding in found {
        let weight = format!("{:?}", finding.weight).to_lowercase();
        let _ = writeln!(out, "{weight} {}: {}", finding.id, finding.what);
        for at in &finding.at {
            let _ = writeln!(out, "  at {}:{}", at.path.display(), at.line);
        }
        let _ = writeln!(out, "  why {}\n  fix {}", finding.why, finding.fix);
    }
    out
}
