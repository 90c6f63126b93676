//! Reading through a [`Probe`] with a memory of what could not be read.
//!
//! Decides: what an absent file means (nothing), and what an unreadable one means (a line in `unread`).
//! Never: interprets what it read.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use xenup_machine::file::{Entry, Kind};
use xenup_machine::process::{Output, Query};
use xenup_machine::{MachineError, Probe, Reason};

use super::facts::Unread;

/// More than any file read here has: dpkg's status file of a full desktop is 8 MB.
const FILE_LIMIT: u64 = 64 << 20;

/// A probe, and what it refused.
pub(super) struct Reader<'a> {
    /// The machine.
    pub probe: &'a dyn Probe,
    unread: RefCell<Vec<Unread>>,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `probe` that has missed nothing yet.
    pub fn new(probe: &'a dyn Probe) -> Self {
        Self { probe, unread: RefCell::default() }
    }

    /// Returns what could not be read, in the order of the attempts.
    pub fn into_unread(self) -> Vec<Unread> {
        self.unread.into_inner()
    }

    /// Remembers that something could not be read.
    pub fn missed(&self, what: impl Into<String>, why: impl Into<String>) {
        let missed = Unread { what: what.into(), why: why.into() };
        let mut unread = self.unread.borrow_mut();
        if !unread.contains(&missed) {
            unread.push(missed);
        }
    }

    /// Keeps a value; an error other than "not there" is remembered.
    pub fn kept<T>(&self, result: Result<T, MachineError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if error.reason != Reason::NotFound {
                    self.missed(error.subject, error.words);
                }
                None
            }
        }
    }

    /// Returns a file's bytes; `None` where it is absent or unreadable.
    pub fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.kept(self.probe.read(path.as_ref(), FILE_LIMIT))
    }

    /// Returns a file's text, invalid bytes replaced.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.bytes(path).map(lossy)
    }

    /// Returns the text of a file in /proc or /sys, where any error means that there is nothing to know.
    pub fn quiet(&self, path: impl AsRef<Path>) -> Option<String> {
        self.probe.read(path.as_ref(), FILE_LIMIT).ok().map(lossy)
    }

    /// Returns the text of a file in /proc or /sys without white space around it.
    pub fn word(&self, path: impl AsRef<Path>) -> Option<String> {
        self.quiet(path).map(|text| text.trim().to_owned())
    }

    /// Returns the names in a directory that are UTF-8, sorted; none where it is absent.
    pub fn list(&self, dir: impl AsRef<Path>) -> Vec<String> {
        let names = self.kept(self.probe.list(dir.as_ref())).unwrap_or_default();
        names.into_iter().filter_map(|name| name.into_string().ok()).collect()
    }

    /// Returns the paths of a directory's entries whose names end so.
    pub fn ending(&self, dir: &str, end: &str) -> Vec<PathBuf> {
        let names = self.list(dir).into_iter().filter(|name| name.ends_with(end) && !name.starts_with('.'));
        names.map(|name| Path::new(dir).join(name)).collect()
    }

    /// Returns what stands at a path, links not followed.
    pub fn entry(&self, path: impl AsRef<Path>) -> Option<Entry> {
        self.probe.entry(path.as_ref()).ok().flatten()
    }

    /// Returns whether anything stands at a path.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.entry(path).is_some()
    }

    /// Returns what a symbolic link points to, as written.
    pub fn link(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        match self.entry(path)?.kind {
            Kind::Symlink { target } => Some(target),
            _ => None,
        }
    }

    /// Returns what a program said, where it ran and ended well.
    pub fn answer(&self, query: &Query) -> Option<Output> {
        let output = self.kept(self.probe.query(query))?;
        if output.success() {
            return Some(output);
        }
        self.missed(query.line(), output.complaint());
        None
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
