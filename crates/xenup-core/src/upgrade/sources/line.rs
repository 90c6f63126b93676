//! The one-line style: `deb [options] address suite components`. Decides which bytes are the suite; an entry that is left
//! out becomes a comment.

use std::ops::Range;
use std::path::Path;

use crate::inspect::facts::At;

use super::{Entry, Fate, Switch};

/// The parts of an entry, as places in its line.
struct Parts<'a> {
    binary: bool,
    options: &'a str,
    uri: &'a str,
    suite: Range<usize>,
}

/// Returns the text for the other release, and its entries.
pub(super) fn switched(path: &Path, text: &str, switch: &Switch<'_>) -> (String, Vec<Entry>) {
    let mut out = String::with_capacity(text.len());
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let Some(parts) = parts(line) else {
            out.push_str(line);
            continue;
        };
        let suite = line.get(parts.suite.clone()).unwrap_or_default();
        let signed_by = parts
            .options
            .split_ascii_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .unwrap_or_default();
        let (origin, fate) = switch.judge(parts.uri, suite, signed_by);
        match &fate {
            Fate::Kept => out.push_str(line),
            Fate::Switched { to } => {
                out.push_str(line.get(..parts.suite.start).unwrap_or_default());
                out.push_str(to);
                out.push_str(line.get(parts.suite.end..).unwrap_or_default());
            }
            Fate::LeftOut { .. } => {
                out.push_str("# ");
                out.push_str(line);
            }
        }
        entries.push(Entry {
            at: At { path: path.to_owned(), line: number },
            uri: parts.uri.to_owned(),
            suite: suite.to_owned(),
            origin,
            binary: parts.binary,
            fate,
        });
    }
    (out, entries)
}

/// Reads a line; `None` where it is no entry.
fn parts(line: &str) -> Option<Parts<'_>> {
    // Offsets below are into `line`: a comment behind the entry only shortens it.
    let entry = line.split('#').next().unwrap_or_default();
    let mut at = skip_blanks(entry, 0);
    let kind = word(entry, at)?;
    let binary = match entry.get(kind.clone())? {
        "deb" => true,
        "deb-src" => false,
        _ => return None,
    };
    at = skip_blanks(entry, kind.end);
    let mut options = "";
    if entry.get(at..)?.starts_with('[') {
        let length = entry.get(at..)?.find(']')?;
        options = entry.get(at.checked_add(1)?..at.checked_add(length)?)?;
        at = skip_blanks(entry, at.checked_add(length)?.checked_add(1)?);
    }
    let uri = address(entry, at)?;
    let suite = word(entry, skip_blanks(entry, uri.end))?;
    Some(Parts { binary, options, uri: entry.get(uri)?, suite })
}

fn skip_blanks(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at.saturating_add(rest.len().saturating_sub(rest.trim_start().len()))
}

/// The word that begins at `at`.
fn word(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    (length > 0).then(|| at..at.saturating_add(length))
}

/// The address that begins at `at`: a disc's name stands in brackets, and has blanks.
fn address(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    if !rest.starts_with("cdrom:[") {
        return word(text, at);
    }
    let name = at.checked_add(rest.find(']')?)?;
    Some(at..word(text, name)?.end)
}
