//! Case folders: inputs and expected output as files. Decides where they are; never what is expected.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::expect_used, reason = "a case that cannot be read is a broken test")]

use std::path::{Path, PathBuf};

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
