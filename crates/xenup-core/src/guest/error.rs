//! Why a guest file cannot be read, with the place. Decides the words of every refusal; never finds a fault.

use std::path::PathBuf;

use super::parse::{DEPTH_LIMIT, NODE_LIMIT, SIZE_LIMIT};

/// What is wrong at a place of a guest file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// More than a guest file ever has.
    #[error("the file is longer than {SIZE_LIMIT} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("this byte is not UTF-8")]
    NotUtf8,
    /// A NUL byte, at which xl's string would end.
    #[error("a NUL byte")]
    Nul,
    /// Brackets nested beyond reason.
    #[error("brackets are nested deeper than {DEPTH_LIMIT}")]
    TooDeep,
    /// More values than any guest has.
    #[error("more than {NODE_LIMIT} values")]
    TooMany,
    /// A character that begins nothing.
    #[error("`{}` begins nothing that belongs here", .0.escape_debug())]
    Character(char),
    /// A carriage return outside a string.
    #[error("a carriage return: xl takes a line feed alone for the end of a line")]
    CarriageReturn,
    /// The last line is a comment without an end.
    #[error("a comment that no line feed ends: xl refuses it")]
    OpenComment,
    /// A string without its end.
    #[error("the string that begins here does not end")]
    OpenString,
    /// A bracket without its end.
    #[error("the bracket that was opened last is not closed")]
    OpenBracket,
    /// An escape that the language does not have.
    #[error("`\\{}` is no escape in a string", .0.escape_debug())]
    Escape(char),
    /// `\x41`, `\101`: libxlu reads the digits and drops the character.
    #[error("xl drops characters that are written as numbers, such as \\x41 or \\101")]
    NumberEscape,
    /// A value is missing.
    #[error("expected a value: a string in quotes, a number or a list in brackets")]
    NoValue,
    /// Something else than what must come here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A list added to a string, or the other way round.
    #[error("{0}: a list and a string cannot be added")]
    MixedAdd(String),
    /// The file is a program.
    #[error("{0}")]
    Code(Code),
}

/// What makes a Python file a program, where only literals can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Code {
    /// `import`, `if`, `def`, …
    #[error("`{0}` is Python code, which xl does not run")]
    Keyword(String),
    /// A call.
    #[error("`{0}(…)` calls Python, which xl does not run")]
    Call(String),
    /// `os.environ`.
    #[error("`{0}` belongs to a Python module, which xl does not load")]
    Attribute(String),
    /// A name used as a value.
    #[error("`{0}` is a Python variable: xl takes a value only")]
    Variable(String),
    /// `a[0] = …` or `…[0]`.
    #[error("an index is Python code, which xl does not run")]
    Subscript,
    /// `a = b = …`, `a, b = …`.
    #[error("several names are assigned at once, which xl cannot")]
    SeveralTargets,
    /// A dictionary or set.
    #[error("a Python dictionary or set: xl has lists only")]
    Dictionary,
    /// A line that begins with white space.
    #[error("an indented line belongs to a block of Python code")]
    Indented,
    /// `f'…'`.
    #[error("a formatted string is Python code, which xl does not run")]
    Formatted,
    /// A `%` whose directives and values do not fit, or are not %s, %d, %i, %%.
    #[error("what stands around `%` cannot be worked out without Python")]
    Percent,
    /// Operands that only Python could add.
    #[error("what stands around `{0}` cannot be worked out without Python")]
    Operator(char),
}

/// A guest file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {fault}", path.display())]
pub struct GuestError {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// What is wrong there.
    pub fault: Fault,
}

impl GuestError {
    /// Returns one command or decision that helps.
    #[must_use]
    pub fn hint(&self) -> String {
        let path = self.path.display();
        match &self.fault {
            Fault::TooLarge => "name a guest file: they are text of some kilobytes".to_owned(),
            Fault::NotUtf8 => format!("iconv -f ISO-8859-1 -t UTF-8 {path} shows it converted"),
            Fault::CarriageReturn | Fault::OpenComment => format!("xenup guest convert {path}"),
            Fault::Code(_) => format!("write the values that it works out, then: xenup guest convert {path}"),
            _ => format!("editor +{} {path}", self.line),
        }
    }
}
