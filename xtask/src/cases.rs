//! Cases of the maintainer's chores: folders under tests/cases, inputs and `expected/` as files.
//! `XENUP_UPDATE_CASES=1` writes what came out: read it before you commit it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read their own case folders")]

use std::path::{Path, PathBuf};

use xenup_system::files;

/// A case's folder.
pub struct Case(PathBuf);

impl Case {
    /// Returns an input; an input that is missing is empty.
    pub fn text(&self, name: &str) -> String {
        let path = self.0.join(name);
        if files::exists(&path) { files::read_text(&path).unwrap() } else { String::new() }
    }
}

/// Whether what came out is written instead of compared.
pub fn updating() -> bool {
    std::env::var_os("XENUP_UPDATE_CASES").is_some()
}

/// Compares what comes of every case with its `expected/`; at least `least` cases must be there.
pub fn every_case(room: &str, least: usize, outcome: impl Fn(&Case) -> Vec<(&'static str, String)>) {
    let folders = files::list(&crate::project().join("tests/cases").join(room)).unwrap();
    assert!(folders.len() >= least, "{room} has {} cases", folders.len());
    let update = updating();
    let mut different = Vec::new();
    for folder in folders {
        let expected = folder.join("expected");
        let made = outcome(&Case(folder.clone()));
        if update {
            files::remove_dir_all(&expected).unwrap();
            files::create_dir_all(&expected).unwrap();
        }
        different.extend(compared(&expected, &made, update));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn compared(expected: &Path, made: &[(&'static str, String)], update: bool) -> Vec<String> {
    let mut different = Vec::new();
    for (name, text) in made {
        let path = expected.join(name);
        if update {
            files::write(&path, text.as_bytes()).unwrap();
        }
        let wanted = files::read_text(&path).unwrap_or_default();
        if wanted != *text {
            different.push(format!("{}:\nexpected\n{wanted}\ncame out\n{text}", path.display()));
        }
    }
    let known: Vec<_> = made.iter().map(|(name, _)| expected.join(name)).collect();
    let extra = files::list(expected).unwrap_or_default().into_iter().filter(|path| !known.contains(path));
    different.extend(extra.map(|path| format!("{}: nothing came out", path.display())));
    different
}
