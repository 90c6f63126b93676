//! What both readers of guest files share: values, where they stand, and the bounds on both.
//! Decides how much a file may hold; never reads a language.

use std::ops::Range;

use super::error::Fault;

/// Longer than any guest file: those that tools write have some hundred lines.
pub const SIZE_LIMIT: u64 = 1 << 20;
/// xl's own deepest form, `vsnd`, nests three lists.
pub(super) const DEPTH_LIMIT: usize = 16;
/// More values than a guest with every device has.
pub(super) const NODE_LIMIT: usize = 20_000;

/// A value, as xl sees it: numbers are texts until somebody asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string or a number.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Python's None.
    Nothing,
}

/// A value and the bytes it was read from.
#[derive(Debug, Clone, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands, in bytes.
    pub span: Range<usize>,
}

impl PartialEq for Node {
    /// Values are compared, not places.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// Returns the text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// How a statement changes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Set,
    /// `+=`
    Add,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The key.
    pub key: String,
    /// Set or add.
    pub op: Op,
    /// The value as written; with [`Op::Add`], what is added.
    pub node: Node,
    /// From the key to the end of the value, in bytes.
    pub span: Range<usize>,
}

/// What a reader found.
#[derive(Debug, Clone, Default)]
pub(super) struct Parsed {
    /// In order.
    pub statements: Vec<Statement>,
    /// Comments, from `#` to before the line feed.
    pub comments: Vec<Range<usize>>,
    /// Strings that stand alone, as Python's do for a comment.
    pub loose: Vec<Range<usize>>,
    /// Backslashes that continue a line.
    pub continuations: Vec<usize>,
}

/// A fault and the byte it is at.
pub(super) type Refused = (usize, Fault);

/// A place in a text that is being read.
pub(super) struct Cursor<'a> {
    /// The text.
    pub text: &'a str,
    /// The next byte.
    pub at: usize,
    nodes: usize,
}

impl<'a> Cursor<'a> {
    /// Returns the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, nodes: 0 }
    }

    /// Returns what is not read yet.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Returns the next character.
    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Returns the byte `ahead` bytes on; 0 behind the end.
    pub fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    /// Takes the next character.
    pub fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Takes the word, where it comes next.
    pub fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Takes as many characters as satisfy `holds`, and returns them.
    pub fn take_while(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !holds(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Takes a comment up to the line feed behind it, and returns where it stood.
    pub fn comment(&mut self) -> Range<usize> {
        let start = self.at;
        self.take_while(|c| c != '\n');
        start..self.at
    }

    /// Counts a value.
    pub fn count(&mut self) -> Result<(), Refused> {
        self.nodes += 1;
        if self.nodes > NODE_LIMIT { Err((self.at, Fault::TooMany)) } else { Ok(()) }
    }

    /// Returns the fault that the next character is.
    pub fn unexpected(&self, expected: &'static str) -> Refused {
        let fault = match self.peek() {
            Some('\r') => Fault::CarriageReturn,
            _ => Fault::Expected(expected),
        };
        (self.at, fault)
    }
}

/// Goes one bracket deeper.
pub(super) fn deeper(depth: usize, at: usize) -> Result<usize, Refused> {
    if depth >= DEPTH_LIMIT { Err((at, Fault::TooDeep)) } else { Ok(depth + 1) }
}
