//! A guest file in today's form: the same guest, comments and order kept, the fewest lines touched.
//!
//! Decides: which statement is written anew, which is commented out and with what reason. A file that is in today's
//! form already comes out as it went in. Never: guesses what an unknown key meant, writes a file.

mod device;
mod literal;
mod statement;

use std::ops::Range;
use std::path::Path;

use similar::TextDiff;
use xenup_engine::plan::{Plan, SCHEMA, Slug, Stage};

use super::disk::hides;
use super::error::GuestError;
use super::file::{Dialect, GuestFile};
use super::model::Guest;
use super::parse::Statement;
use crate::plan::step::{Draft, write};

/// What marks a line that xenup wrote.
const MARK: &str = "# xenup: ";

/// A file, and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The text before.
    pub before: String,
    /// The text after.
    pub after: String,
}

impl Converted {
    /// Returns whether anything changes.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    /// Returns the difference as a unified diff; empty where there is none.
    #[must_use]
    pub fn diff(&self, path: &Path) -> String {
        if !self.changes() {
            return String::new();
        }
        let (from, to) =
            (format!("{} (as it is)", path.display()), format!("{} (converted)", path.display()));
        shown_diff(&self.before, &self.after, (&from, &to))
    }

    /// Returns the plan that writes the text after in the place of the text before.
    #[must_use]
    pub fn plan(&self, machine_id: &str, path: &Path) -> Plan {
        let title = format!("Write {} in today's form", path.display());
        let why = "xl reads what stands there then, and everything in it";
        let steps: Vec<_> = write(path, &self.after, Some(&self.before))
            .map(|action| Draft::new("guest-file", title, why, action).step())
            .into_iter()
            .collect();
        let stages = if steps.is_empty() {
            Vec::new()
        } else {
            let title = "A guest file in today's form".to_owned();
            vec![Stage {
                id: Slug::of("guests"),
                title,
                guard: None,
                no_return: None,
                steps,
                checks: Vec::new(),
            }]
        };
        Plan {
            schema: SCHEMA,
            machine_id: machine_id.to_owned(),
            purpose: format!("convert {}", path.display()),
            not_restored: Vec::new(),
            stages,
        }
    }
}

/// Returns a difference as a unified diff to be read: what would do something to a terminal is shown as editors show it,
/// a carriage return as `^M`.
pub(crate) fn shown_diff(before: &str, after: &str, names: (&str, &str)) -> String {
    let (before, after) = (visible(before), visible(after));
    TextDiff::from_lines(&before, &after).unified_diff().header(names.0, names.1).to_string()
}

fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\0'..='\x1f' | '\x7f' => {
                out.push('^');
                out.push(char::from(u8::try_from(c).unwrap_or_default() ^ 0x40));
            }
            c if hides(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Bytes to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    span: Range<usize>,
    text: String,
}

/// Returns a file in today's form.
///
/// # Errors
/// The result could not be read again: then nothing of it is good.
pub fn convert(file: &GuestFile) -> Result<Converted, GuestError> {
    let before = file.text().to_owned();
    let mut text = ends_as_xl_has_them(&before);
    // The first pass makes an xl file of an xm file, the second one of today's.
    if file.dialect == Dialect::Xm {
        let python = GuestFile::parse(file.path(), text.clone().into_bytes())?;
        text = applied(&text, literal::edits(&python));
    }
    let old = GuestFile::parse(file.path(), text.clone().into_bytes())?;
    let text = applied(&text, statement::edits(&old, &Guest::of(&old), file.dialect == Dialect::Xm));
    // A last line may have become a comment.
    let text = ends_as_xl_has_them(&text);
    let after = GuestFile::parse(file.path(), text.clone().into_bytes())?;
    match after.refused_by_xl {
        Some(refused) => Err(refused),
        None => Ok(Converted { before, after: text }),
    }
}

/// A line feed alone ends each line, the last one too where it is a comment. However many carriage returns stand there:
/// one that was left would stand before the next line feed.
fn ends_as_xl_has_them(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let mut text = lines.join("\n");
    let last = text.rsplit('\n').next().unwrap_or_default();
    if last.contains('#') {
        text.push('\n');
    }
    text
}

/// Makes the edits; of two that overlap the first one counts, and what is put into its place comes behind it.
fn applied(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        if edit.span.start < at {
            if edit.span.is_empty() {
                out.push_str(&edit.text);
            }
            continue;
        }
        out.push_str(text.get(at..edit.span.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Returns a text as an xl string, in the given quotes where it can be.
pub(super) fn quoted(text: &str, quote: char) -> String {
    let quote = if text.contains(quote) && quote == '\'' { '"' } else { quote };
    let other = if quote == '"' { '\'' } else { '"' };
    let quote = if text.contains(quote) && !text.contains(other) { other } else { quote };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The quote a piece of source begins with; double where it begins with none.
fn quote_of(source: &str) -> char {
    if source.starts_with('\'') { '\'' } else { '"' }
}

/// The place above the line of a statement where a line can be put in: not in the middle of another statement that
/// ends on that line.
fn top(file: &GuestFile, at: usize) -> Range<usize> {
    let mut line = file.line_around(at).start;
    let statement = |line: usize| {
        let next = file.statements().partition_point(|one| one.span.start < line);
        file.statements().get(next.wrapping_sub(1)).map(|one| &one.span)
    };
    let loose = |line: usize| {
        let next = file.parsed.loose.partition_point(|span| span.start < line);
        file.parsed.loose.get(next.wrapping_sub(1))
    };
    while let Some(span) = [statement(line), loose(line)].into_iter().flatten().find(|span| line < span.end) {
        line = file.line_around(span.start).start;
    }
    line..line
}

/// Returns the edits that make a comment of a statement, with the reason above it.
fn retired(file: &GuestFile, span: &Range<usize>, reason: &str) -> Vec<Edit> {
    let first = file.line_around(span.start);
    let last = file.line_around(span.end.max(span.start + 1) - 1);
    let lines = first.start..last.end;
    let before = file.slice(&(first.start..span.start));
    let behind = file.slice(&(span.end..last.end));
    let alone = before.trim().is_empty() && {
        let behind = behind.trim();
        behind.is_empty() || behind.starts_with('#')
    };
    let commented = |text: &str| {
        let lines = text.split_inclusive('\n').map(|line| format!("# {line}"));
        lines.collect::<String>()
    };
    if alone {
        let text = format!("{MARK}{reason}\n{}", commented(file.slice(&lines)));
        return vec![Edit { span: lines, text }];
    }
    // It shares its line: the statement goes above the line as a comment, and its `;` goes with it.
    let mut end = span.end;
    let rest = file.slice(&(span.end..last.end));
    let to_semicolon = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if rest.trim_start_matches([' ', '\t']).starts_with(';') {
        end = span.end + to_semicolon + 1;
        end += file.slice(&(end..last.end)).len()
            - file.slice(&(end..last.end)).trim_start_matches([' ', '\t']).len();
    }
    let above = format!("{MARK}{reason}\n{}\n", commented(file.slice(span)));
    vec![
        Edit { span: top(file, span.start), text: above },
        Edit { span: span.start..end, text: String::new() },
    ]
}

/// Moves the comments inside a span above the statement.
fn hoist(file: &GuestFile, statement: &Statement, span: &Range<usize>, edits: &mut Vec<Edit>) {
    let first = file.parsed.comments.partition_point(|comment| comment.start < span.start);
    let inside = file.parsed.comments.iter().skip(first).take_while(|comment| comment.end <= span.end);
    let text: String = inside.map(|comment| format!("{}\n", file.slice(comment))).collect();
    if !text.is_empty() {
        edits.push(Edit { span: top(file, statement.span.start), text });
    }
}
