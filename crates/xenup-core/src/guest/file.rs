//! A guest file: every byte kept, every statement given its meaning.
//!
//! Decides: which of the two languages a file is in (xl's where xl can read it, else literal Python), and what a key
//! is worth in the end. Facts: libxlu_cfg.c; a later assignment hides an earlier one, `+=` joins strings and lists.
//! Never: knows a key, opens a file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Fault, GuestError};
use super::parse::{Op, Parsed, Refused, SIZE_LIMIT, Statement, Value};
use super::{xl, xm};

/// The language of a guest file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// xl reads it.
    Xl,
    /// xm read it, xl does not: literal Python.
    Xm,
}

/// A guest file that was read.
#[derive(Debug, Clone)]
pub struct GuestFile {
    path: PathBuf,
    text: String,
    lines: Vec<usize>,
    /// The language.
    pub dialect: Dialect,
    /// Why xl would not read it, where it is an xm file.
    pub refused_by_xl: Option<GuestError>,
    pub(super) parsed: Parsed,
}

/// What a key is worth when the whole file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value, additions joined.
    pub value: Value,
    /// Index of the statement that decided last.
    pub statement: usize,
    /// Indexes of the statements whose value is hidden by a later `=`.
    pub hidden: Vec<usize>,
    /// Whether the last statement was `+=`, after which xl reads no number from it.
    pub added: bool,
}

impl GuestFile {
    /// Reads the bytes of the file at `path`.
    ///
    /// # Errors
    /// Too long, not UTF-8, a NUL byte; neither what xl reads nor literal Python. Where a file is a program, the error
    /// names its first line of code; else it is xl's.
    pub fn parse(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self, GuestError> {
        let path = path.into();
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(GuestError { path, line: 1, column: 1, fault: Fault::TooLarge });
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let lossy = String::from_utf8_lossy(error.as_bytes()).into_owned();
                return Err(located(&path, &lossy, &line_starts(&lossy), (good, Fault::NotUtf8)));
            }
        };
        let lines = line_starts(&text);
        if let Some(at) = text.find('\0') {
            return Err(located(&path, &text, &lines, (at, Fault::Nul)));
        }
        let (dialect, refused_by_xl, parsed) = match xl::parse(&text) {
            Ok(parsed) => (Dialect::Xl, None, parsed),
            Err(refused) => {
                let by_xl = located(&path, &text, &lines, refused);
                match xm::parse(&text) {
                    Ok(parsed) => (Dialect::Xm, Some(by_xl), parsed),
                    Err(refused) if matches!(refused.1, Fault::Code(_)) => {
                        return Err(located(&path, &text, &lines, refused));
                    }
                    Err(_) => return Err(by_xl),
                }
            }
        };
        let file = Self { path, text, lines, dialect, refused_by_xl, parsed };
        file.check_additions()?;
        Ok(file)
    }

    /// Returns the path it was read as.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the whole text, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the statements, in order.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.parsed.statements
    }

    /// Returns the bytes of a span as text.
    #[must_use]
    pub fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Returns the line of a byte, counted from 1.
    #[must_use]
    pub fn line(&self, at: usize) -> u32 {
        u32::try_from(self.lines.partition_point(|start| *start <= at)).unwrap_or(u32::MAX)
    }

    /// Returns the bytes of the line that a byte is in, its end included.
    #[must_use]
    pub fn line_around(&self, at: usize) -> Range<usize> {
        let next = self.lines.partition_point(|start| *start <= at);
        let start = self.lines.get(next.saturating_sub(1)).copied().unwrap_or(0);
        start..self.lines.get(next).copied().unwrap_or(self.text.len())
    }

    /// Returns what each key is worth in the end.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<&str, Setting> {
        let mut settings: BTreeMap<&str, Setting> = BTreeMap::new();
        for (statement, Statement { key, op, node, .. }) in self.parsed.statements.iter().enumerate() {
            let mut setting =
                Setting { value: node.value.clone(), statement, hidden: Vec::new(), added: *op == Op::Add };
            if let Some(before) = settings.remove(key.as_str()) {
                match op {
                    Op::Add => {
                        setting.value = joined(before.value, setting.value);
                        setting.hidden = before.hidden;
                    }
                    Op::Set => {
                        setting.hidden = before.hidden;
                        setting.hidden.push(before.statement);
                    }
                }
            }
            settings.insert(key, setting);
        }
        settings
    }

    fn check_additions(&self) -> Result<(), GuestError> {
        let mut is_list: BTreeMap<&str, bool> = BTreeMap::new();
        for Statement { key, op, node, span } in &self.parsed.statements {
            let list = matches!(node.value, Value::List(_));
            let before = is_list.insert(key, list);
            if *op == Op::Add && before.is_some_and(|before| before != list) {
                let refused = (span.start, Fault::MixedAdd(key.clone()));
                return Err(located(&self.path, &self.text, &self.lines, refused));
            }
        }
        Ok(())
    }
}

fn joined(before: Value, added: Value) -> Value {
    match (before, added) {
        (Value::Text(mut before), Value::Text(added)) => {
            before.push_str(&added);
            Value::Text(before)
        }
        (Value::List(mut before), Value::List(added)) => {
            before.extend(added);
            Value::List(before)
        }
        (_, added) => added,
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn located(path: &Path, text: &str, lines: &[usize], (at, fault): Refused) -> GuestError {
    let line = lines.partition_point(|start| *start <= at);
    let start = lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
    let column = text.get(start..at).map_or(1, |before| before.chars().count() + 1);
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    GuestError { path: path.to_owned(), line: number(line), column: number(column), fault }
}

/// Returns a text as xl's number (strtol(3) with base 0); `None` where xl would say it is none.
#[must_use]
pub fn as_number(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}
