//! S-expressions, as xend reads its configuration.
//!
//! Decides: what a text says, and on which line. Facts: tools/python/xen/xend/sxp.py of Xen: a list is in round
//! brackets, a string in either quote, a word ends at a blank, at `#` or at one of `{}()<>[]!;`, a comment goes from `#`
//! to the end of the line. Where xend drops a character (an unknown escape), this reader refuses.
//! Never: knows a setting. Bounds on size, depth and number hold for any input; nothing here recurses.

use std::path::Path;

use super::error::{ImportError, SexpFault};

/// Longer than any configuration of xend: the one that Xen brings has 10 KiB.
pub const SIZE_LIMIT: u64 = 1 << 20;
/// A configuration nests three lists.
pub(super) const DEPTH_LIMIT: usize = 32;
/// More values than any configuration has.
pub(super) const NODE_LIMIT: usize = 20_000;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word or a string.
    Text(String),
    /// A list.
    List(Vec<Sexp>),
}

/// A value and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sexp {
    /// The value.
    pub value: Value,
    /// Where it begins, counted from 1.
    pub line: u32,
}

impl Sexp {
    /// Returns the text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::List(_) => None,
        }
    }

    /// Returns what a list that begins with the word `name` holds behind it.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => match items.split_first() {
                Some((first, rest)) if first.text() == Some(name) => Some(rest),
                _ => None,
            },
            Value::Text(_) => None,
        }
    }
}

/// Reads all values of a file; `path` is only for the errors.
///
/// # Errors
/// Too long, not UTF-8, too deep, too many values; a bracket, string or escape that xend would not read as it is written.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Sexp>, ImportError> {
    let refused = |(at, fault): Refused| {
        let before = bytes.get(..at).unwrap_or(bytes);
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count().saturating_add(1);
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        ImportError::Syntax { path: path.to_owned(), line: number(line), column: number(column), fault }
    };
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(refused((0, SexpFault::TooLarge)));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| refused((error.valid_up_to(), SexpFault::NotUtf8)))?;
    Reader::new(text).read().map_err(refused)
}

/// A byte and what is wrong there.
type Refused = (usize, SexpFault);

/// A list that is not closed yet.
struct Open {
    at: usize,
    line: u32,
    items: Vec<Sexp>,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    count: usize,
    open: Vec<Open>,
    top: Vec<Sexp>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, count: 0, open: Vec::new(), top: Vec::new() }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(next.len_utf8());
        if next == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(next)
    }

    fn read(mut self) -> Result<Vec<Sexp>, Refused> {
        while let Some(next) = self.peek() {
            let (at, line) = (self.at, self.line);
            match next {
                ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => drop(self.take()),
                '#' => while self.take().is_some_and(|c| c != '\n') {},
                '(' => self.open_list(at, line)?,
                ')' => self.close_list(at)?,
                '"' | '\'' => {
                    let text = self.string(at)?;
                    self.add(Value::Text(text), line, at)?;
                }
                '!'..='~' => {
                    let word = self.word();
                    self.add(Value::Text(word), line, at)?;
                }
                other => return Err((at, SexpFault::Character(other))),
            }
        }
        match self.open.last() {
            Some(open) => Err((open.at, SexpFault::OpenList)),
            None => Ok(self.top),
        }
    }

    fn open_list(&mut self, at: usize, line: u32) -> Result<(), Refused> {
        self.take();
        if self.open.len() >= DEPTH_LIMIT {
            return Err((at, SexpFault::TooDeep));
        }
        self.open.push(Open { at, line, items: Vec::new() });
        Ok(())
    }

    fn close_list(&mut self, at: usize) -> Result<(), Refused> {
        self.take();
        let list = self.open.pop().ok_or((at, SexpFault::StrayClose))?;
        self.add(Value::List(list.items), list.line, at)
    }

    fn add(&mut self, value: Value, line: u32, at: usize) -> Result<(), Refused> {
        self.count = self.count.saturating_add(1);
        if self.count > NODE_LIMIT {
            return Err((at, SexpFault::TooMany));
        }
        let items = self.open.last_mut().map_or(&mut self.top, |open| &mut open.items);
        items.push(Sexp { value, line });
        Ok(())
    }

    fn word(&mut self) -> String {
        // The first character belongs to the word whatever it is.
        let mut word: String = self.take().into_iter().collect();
        while let Some(next) = self.peek() {
            if next.is_ascii_whitespace() || next == '\x0b' || "{}()<>[]!;#".contains(next) {
                break;
            }
            word.push(next);
            self.take();
        }
        word
    }

    fn string(&mut self, at: usize) -> Result<String, Refused> {
        let quote = self.take();
        let mut text = String::new();
        loop {
            let here = self.at;
            match self.take() {
                None => return Err((at, SexpFault::OpenString)),
                next if next == quote => return Ok(text),
                Some('\\') => text.push(self.escape(here)?),
                Some(next) => text.push(next),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<char, Refused> {
        let next = self.take().ok_or((at, SexpFault::OpenString))?;
        Ok(match next {
            'a' => '\x07',
            'b' => '\x08',
            't' => '\t',
            'n' => '\n',
            'v' => '\x0b',
            'f' => '\x0c',
            'r' => '\r',
            '\\' | '\'' | '"' => next,
            'x' => self.digits("", 16, 2).ok_or((at, SexpFault::Escape('x')))?,
            '0'..='7' => {
                let mut first = [0; 4];
                self.digits(next.encode_utf8(&mut first), 8, 3).ok_or((at, SexpFault::Escape(next)))?
            }
            other => return Err((at, SexpFault::Escape(other))),
        })
    }

    /// A character by its number, in ASCII; beyond it xend has bytes and no characters.
    fn digits(&mut self, first: &str, radix: u32, most: usize) -> Option<char> {
        let mut digits = first.to_owned();
        while let Some(next) = self.peek().filter(|c| digits.len() < most && c.is_digit(radix)) {
            digits.push(next);
            self.take();
        }
        let enough = radix == 8 || digits.len() == most;
        let code =
            u32::from_str_radix(&digits, radix).ok().filter(|code| enough && (1..0x80).contains(code))?;
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Sexp>, ImportError> {
        parse(Path::new("x"), text.as_bytes())
    }

    fn shown(values: &[Sexp]) -> String {
        let one = |sexp: &Sexp| match &sexp.value {
            Value::Text(text) => format!("{}:{text:?}", sexp.line),
            Value::List(items) => format!("{}:({})", sexp.line, shown(items)),
        };
        values.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_are_read_with_their_lines() {
        for (text, wanted) in [
            ("", ""),
            ("# only\n", ""),
            ("(a b)# c\n(d)", r#"1:(1:"a" 1:"b") 2:(2:"d")"#),
            ("(vif\n  'a b' \"c'd\")", r#"1:(1:"vif" 2:"a b" 2:"c'd")"#),
            ("(a 'x\\x41\\101\\n\\'')", r#"1:(1:"a" 1:"xAA\n'")"#),
            ("(a'b' c)", r#"1:(1:"a'b'" 1:"c")"#),
            ("()", "1:()"),
            ("(a 'two\nlines' b)", r#"1:(1:"a" 1:"two\nlines" 2:"b")"#),
        ] {
            assert_eq!(shown(&read(text).unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn what_xend_would_not_read_is_refused_with_its_place() {
        for (text, wanted) in [
            ("(a", "x:1:1: the list that begins here is not closed"),
            ("a\n )", "x:2:2: `)` closes no list"),
            ("(a 'b)", "x:1:4: the string that begins here does not end"),
            ("('\\q')", "x:1:3: `\\q` is no escape in a string"),
            ("('\\x4')", "x:1:3: `\\x` is no escape in a string"),
            ("('\\777')", "x:1:3: `\\7` is no escape in a string"),
            ("(ä)", "x:1:2: `ä` begins nothing that belongs here"),
            ("\0", "x:1:1: `\\0` begins nothing that belongs here"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), wanted, "{text}");
        }
        assert!(read(&"(".repeat(100_000)).unwrap_err().to_string().contains("deeper than 32"));
        assert!(read(&"a ".repeat(30_000)).unwrap_err().to_string().contains("more than 20000"));
        assert!(read(&" ".repeat(1 << 21)).unwrap_err().to_string().contains("longer than"));
    }
}
