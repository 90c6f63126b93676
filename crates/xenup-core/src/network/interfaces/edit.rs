//! Edits that touch only their lines, and that can be recognised and taken back.
//! It decides how a line is taken out of force. It never decides which.
//!
//! Three forms, each a comment to ifupdown, ifupdown2 and ifupdown-ng:
//! `#xenup: REASON` a line of ours · `#xenup# LINE` a line out of force · `#xenup-was# LINE` what the line below
//! replaces. An appended block stands between `#xenup: begin` and `#xenup: end`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::file::{InterfacesFile, ItemKind};

const REASON: &str = "#xenup: ";
const OUT_OF_FORCE: &str = "#xenup# ";
const WAS: &str = "#xenup-was# ";
const BEGIN: &str = "#xenup: begin";
/// Says that the file did not end in a line end before the block was appended.
const BEGIN_UNENDED: &str = "#xenup: begin, behind a last line without an end";
const END: &str = "#xenup: end";

#[derive(Debug, Clone)]
enum Change {
    OutOfForce { reason: String },
    Replace { with: String },
}

/// Changes to one file, applied together.
#[derive(Debug, Clone)]
pub struct Editor<'a> {
    file: &'a InterfacesFile,
    /// First physical line (from 0) to last physical line and change.
    changes: BTreeMap<usize, (usize, Change)>,
    appended: Vec<String>,
}

impl<'a> Editor<'a> {
    /// Begins with nothing changed.
    pub fn new(file: &'a InterfacesFile) -> Self {
        Self { file, changes: BTreeMap::new(), appended: Vec::new() }
    }

    /// Takes a stanza out of force: its `iface` line, its options and the bare `auto` lines in it, each physical line
    /// prefixed; comments and blank lines stay. `stanza` is its index in the file.
    pub fn comment_out(&mut self, stanza: usize, reason: &str) {
        let Some(stanza) = self.file.stanzas.get(stanza) else { return };
        for item in &stanza.items {
            self.comment_out_item(*item, reason);
        }
    }

    /// Takes one logical line out of force. `item` is its index in the file.
    pub fn comment_out_item(&mut self, item: usize, reason: &str) {
        self.change(item, Change::OutOfForce { reason: reason.to_owned() });
    }

    /// Replaces one logical line by `with`; the old one stays above it as a comment.
    pub fn replace_item(&mut self, item: usize, with: &str) {
        self.change(item, Change::Replace { with: with.to_owned() });
    }

    /// Appends a block of lines at the end of the file.
    pub fn append(&mut self, block: &str) {
        self.appended.push(block.to_owned());
    }

    /// Returns whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.appended.is_empty()
    }

    fn change(&mut self, item: usize, change: Change) {
        if let Some(item) = self.file.items.get(item) {
            self.changes.insert(*item.lines.start(), (*item.lines.end(), change));
        }
    }

    /// Returns the file with all changes, every other byte as it was.
    pub fn finish(&self) -> String {
        let lines: Vec<&str> = self.file.physical_lines().collect();
        let silent = self.silent_lines();
        let mut out = String::new();
        // A reason is written once for a run of lines with nothing in force between them.
        let mut last_reason = None;
        let mut at = 0;
        while at < lines.len() {
            match self.changes.get(&at) {
                Some((last, Change::OutOfForce { reason })) => {
                    if last_reason != Some(reason) {
                        let (_, end) = split_end(lines[at]);
                        out.extend([REASON, reason, if end.is_empty() { "\n" } else { end }]);
                        last_reason = Some(reason);
                    }
                    out.extend(lines[at..=*last].iter().flat_map(|line| [OUT_OF_FORCE, line]));
                    at = last + 1;
                }
                Some((last, Change::Replace { with })) => {
                    replaced(&mut out, &lines[at..=*last], with);
                    last_reason = None;
                    at = last + 1;
                }
                None => {
                    if !silent.iter().any(|lines| lines.contains(&at)) {
                        last_reason = None;
                    }
                    out.push_str(lines[at]);
                    at += 1;
                }
            }
        }
        self.append_blocks(&mut out);
        out
    }

    fn silent_lines(&self) -> Vec<RangeInclusive<usize>> {
        let silent = |kind: &ItemKind| matches!(kind, ItemKind::Blank | ItemKind::Comment);
        self.file.items.iter().filter(|item| silent(&item.kind)).map(|item| item.lines.clone()).collect()
    }

    fn append_blocks(&self, out: &mut String) {
        if self.appended.is_empty() {
            return;
        }
        let crlf = self.file.physical_lines().next().is_some_and(|line| line.ends_with("\r\n"));
        let end = if crlf { "\r\n" } else { "\n" };
        let ended = out.is_empty() || out.ends_with('\n');
        if !ended {
            out.push_str(end);
        }
        out.extend([if ended { BEGIN } else { BEGIN_UNENDED }, end]);
        for line in self.appended.iter().flat_map(|block| block.lines()) {
            out.extend([line, end]);
        }
        out.extend([END, end]);
    }
}

fn replaced(out: &mut String, lines: &[&str], with: &str) {
    let file_end = lines.iter().map(|line| split_end(line).1).find(|end| !end.is_empty()).unwrap_or("\n");
    for line in lines {
        let (text, end) = split_end(line);
        out.extend([WAS, text, if end.is_empty() { file_end } else { end }]);
    }
    let last = lines.last().map_or("", |line| split_end(line).1);
    out.extend([with, last]);
}

/// A line and its end: `\r\n`, `\n`, or nothing at the end of a file.
fn split_end(line: &str) -> (&str, &str) {
    let end = if line.ends_with("\r\n") { 2 } else { usize::from(line.ends_with('\n')) };
    line.split_at(line.len() - end)
}

/// Takes every edit of [`Editor`] back: returns the text as it was before them.
///
/// A replaced line that somebody changed since is restored too; a block is taken out with what was put into it.
pub fn undo(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let (content, end) = split_end(line);
        if content == BEGIN || content == BEGIN_UNENDED {
            if content == BEGIN_UNENDED {
                out.truncate(out.len().saturating_sub(end.len()));
            }
            lines.by_ref().find(|line| split_end(line).0 == END);
        } else if let Some(was) = line.strip_prefix(WAS) {
            let mut last = was;
            let replacement = lines.find(|next| match next.strip_prefix(WAS) {
                Some(next) => {
                    out.push_str(last);
                    last = next;
                    false
                }
                None => true,
            });
            // The last line of a file may have had no end: the line that replaced it says so.
            let end = replacement.map_or("", |line| split_end(line).1);
            out.extend([split_end(last).0, end]);
        } else if let Some(kept) = line.strip_prefix(OUT_OF_FORCE) {
            out.push_str(kept);
        } else if !line.starts_with(REASON) {
            out.push_str(line);
        }
    }
    out
}
