//! What stands in a guest's way, or will.
//!
//! Decides: findings from a file, from what it says of itself, from the machine it is on, and from its neighbours.
//! A finding blocks where xl would not start the guest. Never: looks into a disk or a kernel.

mod across;
mod combination;
mod devices;
mod keys;
mod machine;
mod specs;
mod together;
mod values;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Fault, GuestError};
use super::file::{Dialect, GuestFile};
use super::here::Here;
use super::model::Guest;
use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};

pub use across::across;
pub(super) use combination::{ACTIONS, EVENTS, action, hyphenated};

/// The ids of the findings that `xenup guest convert` settles.
pub const CONVERTIBLE: &[&str] = &[
    "guest-xm-file",
    "guest-line-end",
    "guest-key-gone",
    "guest-builder",
    "guest-disk-xm",
    "guest-disk-old",
    "guest-vif-netdev",
    "guest-cmdline-split",
    "guest-pygrub-path",
    "guest-number-for-name",
    "guest-action-old",
];

/// The form of [`Checked`].
pub const FORMAT: u32 = 1;

/// What was found in guest files; what `guest check --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// [`FORMAT`].
    pub format: u32,
    /// File by file.
    pub files: Vec<CheckedFile>,
    /// What concerns several of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub across: Vec<Finding>,
}

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedFile {
    /// The file.
    #[serde(serialize_with = "crate::shown_path::one")]
    pub path: std::path::PathBuf,
    /// The guest's name, where the file could be read and has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The language; `None` where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The findings, those in the way first.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Returns whether anything is in the way, or a file was not read: nothing was found out about that guest.
    #[must_use]
    pub fn blocks(&self) -> bool {
        let files = self.files.iter().flat_map(|file| &file.findings);
        files.chain(&self.across).any(|finding| finding.weight == Weight::Blocks || finding.id == UNREADABLE)
    }
}

const UNREADABLE: &str = "guest-unreadable";

/// Checks guest files against a machine, and against each other.
#[must_use]
pub fn check(files: &[Result<GuestFile, GuestError>], here: &Here<'_>) -> Checked {
    let checked = files.iter().map(|file| match file {
        Ok(file) => {
            let guest = Guest::of(file);
            CheckedFile {
                path: file.path().to_owned(),
                name: guest.filled("name").map(str::to_owned),
                dialect: Some(file.dialect),
                findings: judged(file, guest, here),
            }
        }
        Err(error) => CheckedFile {
            path: error.path.clone(),
            name: None,
            dialect: None,
            findings: vec![unreadable(error)],
        },
    });
    let readable: Vec<&GuestFile> = files.iter().filter_map(|file| file.as_ref().ok()).collect();
    Checked { format: FORMAT, files: checked.collect(), across: across(&readable) }
}

/// Returns what is to be said of one file, what blocks first.
#[must_use]
pub fn lint(file: &GuestFile, here: &Here<'_>) -> Vec<Finding> {
    judged(file, Guest::of(file), here)
}

fn judged<'a>(file: &'a GuestFile, guest: Guest<'a>, here: &'a Here<'a>) -> Vec<Finding> {
    let mut lint = Lint { file, guest, here, found: Vec::new() };
    lint.language();
    lint.keys();
    lint.combinations();
    lint.values();
    lint.specs();
    lint.together();
    lint.disks();
    lint.vifs();
    lint.machine();
    lint.found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    lint.found
}

/// Returns the finding that a file which cannot be read is.
#[must_use]
pub fn unreadable(error: &GuestError) -> Finding {
    let (weight, what, why) = match &error.fault {
        Fault::Code(code) => (
            Weight::Blocks,
            format!("this is a program: {code}"),
            "xm ran guest files as Python; xl reads them as data, and so does xenup",
        ),
        Fault::NotUtf8 => (
            Weight::Warning,
            format!("the file is not checked: {}", error.fault),
            "xl takes bytes as they are; xenup reads text, and says nothing of a guest whose file it has not read",
        ),
        fault => {
            (Weight::Blocks, format!("the file cannot be read: {fault}"), "xl would not start the guest")
        }
    };
    Finding {
        weight,
        at: vec![At { path: error.path.clone(), line: error.line }],
        ..Finding::blocking(UNREADABLE, what, why, error.hint())
    }
}

/// A check under way.
pub(super) struct Lint<'a> {
    file: &'a GuestFile,
    guest: Guest<'a>,
    here: &'a Here<'a>,
    found: Vec<Finding>,
}

impl Lint<'_> {
    /// Adds a finding, seen at the given bytes.
    fn add(&mut self, id: &str, weight: Weight, words: [String; 3], at: impl IntoIterator<Item = usize>) {
        let [what, why, fix] = words;
        let at = at.into_iter().map(|at| At { path: self.file.path().to_owned(), line: self.file.line(at) });
        let at = at.collect();
        self.found.push(Finding { weight, at, ..Finding::blocking(id, what, why, fix) });
    }

    /// The byte where the statement that decides a key begins.
    fn at(&self, key: &str) -> Option<usize> {
        let setting = self.guest.settings.get(key)?;
        self.file.statements().get(setting.statement).map(|statement| statement.span.start)
    }

    /// The command that rewrites the file.
    fn convert(&self) -> String {
        convert_command(self.file.path())
    }

    fn language(&mut self) {
        let Some(refused) = &self.file.refused_by_xl else { return };
        let fix = self.convert();
        let (id, why) = match refused.fault {
            Fault::CarriageReturn | Fault::OpenComment => {
                ("guest-line-end", "xl ends a line at a line feed alone")
            }
            _ => ("guest-xm-file", "it is written for xm, which took Python"),
        };
        let what = format!("xl cannot read this file: {}", refused.fault);
        let finding = Finding {
            at: vec![At { path: refused.path.clone(), line: refused.line }],
            ..Finding::blocking(id, what, why, fix)
        };
        self.found.push(finding);
    }
}

/// Returns the command that rewrites a file.
pub(super) fn convert_command(path: &Path) -> String {
    format!("xenup guest convert {}", path.display())
}

/// Three texts as a finding's what, why and fix.
fn words(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> [String; 3] {
    [what.into(), why.into(), fix.into()]
}
