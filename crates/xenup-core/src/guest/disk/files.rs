//! A guest's files as the rooms here ask for them: text without control characters, and a note for whatever is there
//! and cannot be read. Decides how much of a file is looked at; never what it means.

use xenup_disk::filesystem::{FileKind, FsError, Stat, Tree};

use super::facts::Note;

/// The longest file of settings that is read.
const LONGEST_TEXT: u64 = 1 << 20;
/// The most names of a directory that are looked at.
const MOST_NAMES: usize = 4096;
/// The most notes that are kept: a hostile disk could give cause for any number.
const MOST_NOTES: usize = 200;

/// Files by absolute path, links followed within the guest.
pub trait GuestFiles {
    /// A whole regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// It is not there, is longer, or cannot be read.
    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FsError>;

    /// Bytes of a regular file from `offset` on, at most `length`.
    ///
    /// # Errors
    /// As [`GuestFiles::read`].
    fn read_range(&mut self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, FsError>;

    /// What stands at a path.
    ///
    /// # Errors
    /// As [`GuestFiles::read`].
    fn stat(&mut self, path: &str) -> Result<Stat, FsError>;

    /// At most `limit` names in a directory, sorted, and whether there are more.
    ///
    /// # Errors
    /// As [`GuestFiles::read`]; it is no directory.
    fn list(&mut self, path: &str, limit: usize) -> Result<(Vec<String>, bool), FsError>;

    /// The path without links that a path stands for.
    ///
    /// # Errors
    /// As [`GuestFiles::read`].
    fn real_path(&mut self, path: &str) -> Result<String, FsError>;
}

impl GuestFiles for Tree {
    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        self.read(path, limit)
    }

    fn read_range(&mut self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, FsError> {
        self.read_range(path, offset, length)
    }

    fn stat(&mut self, path: &str) -> Result<Stat, FsError> {
        self.stat(path)
    }

    fn list(&mut self, path: &str, limit: usize) -> Result<(Vec<String>, bool), FsError> {
        self.list(path, limit)
    }

    fn real_path(&mut self, path: &str) -> Result<String, FsError> {
        self.real_path(path)
    }
}

/// Files, and the notes on what could not be read.
pub(super) struct Files<'a> {
    files: &'a mut dyn GuestFiles,
    pub(super) notes: Vec<Note>,
}

impl<'a> Files<'a> {
    pub(super) fn new(files: &'a mut dyn GuestFiles) -> Self {
        Self { files, notes: Vec::new() }
    }

    /// Keeps a note, once.
    pub(super) fn note(&mut self, about: &str, text: impl Into<String>) {
        let note = Note::new(about, text);
        if self.notes.len() < MOST_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn noted<T>(&mut self, path: &str, result: Result<T, FsError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                self.note(path, error.to_string());
                None
            }
        }
    }

    /// The bytes of a file; `None` where it is not there, or noted where it cannot be read.
    pub(super) fn bytes(&mut self, path: &str) -> Option<Vec<u8>> {
        let result = self.files.read(path, LONGEST_TEXT);
        self.noted(path, result)
    }

    /// The text of a file. Bytes that are no text become U+FFFD, and so do control characters but for the end of a line
    /// and the tab: the text is shown on terminals.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| clean(&String::from_utf8_lossy(&bytes)))
    }

    /// The first bytes of a file.
    pub(super) fn start(&mut self, path: &str, length: u64) -> Option<Vec<u8>> {
        let result = self.files.read_range(path, 0, length);
        self.noted(path, result)
    }

    /// What stands at a path.
    pub(super) fn stat(&mut self, path: &str) -> Option<Stat> {
        let result = self.files.stat(path);
        self.noted(path, result)
    }

    /// The names in a directory; none where there is no such directory.
    pub(super) fn names(&mut self, path: &str) -> Vec<String> {
        match self.stat(path) {
            Some(stat) if stat.kind == FileKind::Directory => {}
            _ => return Vec::new(),
        }
        let result = self.files.list(path, MOST_NAMES);
        let (names, more) = self.noted(path, result).unwrap_or_default();
        if more {
            self.note(path, format!("more than {MOST_NAMES} names: the rest is not looked at"));
        }
        names
    }

    /// The path without links.
    pub(super) fn real_path(&mut self, path: &str) -> Option<String> {
        let result = self.files.real_path(path);
        self.noted(path, result)
    }
}

/// What controls a terminal, breaks a line, or turns the direction of text.
pub(crate) fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text without what hides something, but for newline and tab.
pub(crate) fn clean(text: &str) -> String {
    let kept = |c: char| c == '\n' || c == '\t' || !hides(c);
    text.chars().filter(|c| *c != '\r').map(|c| if kept(c) { c } else { '\u{fffd}' }).collect()
}

/// A name or a word in one line.
pub(crate) fn in_line(text: &str) -> String {
    text.chars().map(|c| if hides(c) { '\u{fffd}' } else { c }).collect()
}
