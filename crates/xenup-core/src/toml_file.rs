//! A file in TOML that somebody wrote, read so that every fault is named with its line and none hides another.
//!
//! Decides: how bytes become a document, where a fault stands, and which keys are not known. Never: what a key means.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{Document, TableLike};

use crate::host::nearest;

/// A file that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct FaultyFile {
    /// The file, or what stands for one.
    pub path: PathBuf,
    /// In the order of the file; never empty.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// What is wrong, as one sentence without a full stop.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

impl fmt::Display for FaultyFile {
    /// Writes every fault as `path:line:column: what`, its hint on a line below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: {}", self.path.display(), fault.line, fault.column, fault.what)?;
            write!(f, "\n  hint: {}", fault.hint)?;
        }
        Ok(())
    }
}

/// What was found wrong so far in a text.
#[derive(Debug)]
pub(crate) struct Faults<'t> {
    text: &'t str,
    found: Vec<Fault>,
}

/// Reads a file's bytes by `read`, which has nothing to give where the text is no document. `path` is for the errors alone.
///
/// # Errors
/// Every fault found, in the order of the file.
pub(crate) fn read<T>(
    path: &Path,
    bytes: &[u8],
    read: impl FnOnce(&mut Faults<'_>) -> Option<T>,
) -> Result<T, FaultyFile> {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => Err(bytes.get(..error.valid_up_to()).unwrap_or_default()),
    };
    let text = valid.unwrap_or_else(|before| std::str::from_utf8(before).unwrap_or_default());
    let mut faults = Faults { text, found: Vec::new() };
    let value = if valid.is_ok() {
        read(&mut faults)
    } else {
        faults.add(text.len()..text.len(), "the file is not UTF-8 from here on", "save it as UTF-8");
        None
    };
    let mut faults = faults.found;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(FaultyFile { path: path.to_owned(), faults }),
    }
}

impl<'t> Faults<'t> {
    /// Adds a fault at a place of the text.
    pub fn add(&mut self, span: Range<usize>, what: impl Into<String>, hint: impl Into<String>) {
        let (line, column) = self.place(span.start);
        self.found.push(Fault { line, column, what: what.into(), hint: hint.into() });
    }

    /// Adds a fault of a whole line.
    pub fn add_at(&mut self, line: u32, what: String, hint: &str) {
        self.found.push(Fault { line, column: 1, what, hint: hint.to_owned() });
    }

    /// Returns line and column of an offset, both from 1.
    pub fn place(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
        (number(line), number(column))
    }

    /// Returns the document; where the text is none, that is a fault, and `hint` says where one is shown.
    pub fn document(&mut self, hint: &str) -> Option<Document<&'t str>> {
        match Document::parse(self.text) {
            Ok(document) => Some(document),
            Err(error) => {
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                self.add(error.span().unwrap_or(0..0), message, hint);
                None
            }
        }
    }

    /// Names every key of a table, which begins at `start`, that is not known.
    pub fn unknown_keys(&mut self, table: &dyn TableLike, whose: &str, start: usize, known: &[&str]) {
        for (name, item) in table.iter().filter(|(name, _)| !known.contains(name)) {
            let key = table.get_key_value(name).and_then(|(key, _)| key.span());
            let hint = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; known here: {}", known.join(", ")),
            };
            let what = format!("{whose} has no key `{}`", name.escape_debug());
            self.add(key.or(item.span()).unwrap_or(start..start), what, hint);
        }
    }
}
