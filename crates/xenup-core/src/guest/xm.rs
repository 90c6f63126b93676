//! Guest files of xm, as far as they are literal Python.
//!
//! Decides: what literals, and `+` and `%` between literals, come to; which piece of code is refused, and where.
//! Never: runs Python, looks a name up. xend executed these files; what only an execution could tell is refused.

use super::error::{Code, Fault};
use super::parse::{Cursor, Node, Op, Parsed, Refused, Statement, Value, deeper};
use super::xm_text;

/// Python's keywords, 2 and 3, that can begin a statement or stand in an expression.
const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "exec", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "print", "raise", "return", "try", "while", "with", "yield",
];

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Parsed, Refused> {
    let mut reader = Reader { cursor: Cursor::new(text), parsed: Parsed::default() };
    while reader.statement()? {}
    Ok(reader.parsed)
}

/// What a literal is to Python, which decides what may be added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer(i64),
    Other,
    List,
    Tuple,
}

struct Literal {
    node: Node,
    kind: Kind,
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    parsed: Parsed,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Reader<'_> {
    /// Passes over blanks; between brackets over line ends and comments too.
    fn space(&mut self, inside: bool) {
        loop {
            match self.cursor.peek() {
                Some(' ' | '\t' | '\x0c') => {
                    self.cursor.take();
                }
                Some('\r') if self.cursor.byte(1) == b'\n' && inside => {
                    self.cursor.take();
                }
                Some('\n') if inside => {
                    self.cursor.take();
                }
                Some('#') if inside => {
                    let span = self.cursor.comment();
                    self.parsed.comments.push(span);
                }
                Some('\\') => {
                    let at = self.cursor.at;
                    if !self.cursor.eat("\\\n") && !self.cursor.eat("\\\r\n") {
                        return;
                    }
                    self.parsed.continuations.push(at);
                }
                _ => return,
            }
        }
    }

    /// Reads one logical line, or one statement of it; `false` at the end of the file.
    fn statement(&mut self) -> Result<bool, Refused> {
        let line = self.cursor.at;
        let fresh = line == 0 || self.cursor.text.as_bytes().get(line.wrapping_sub(1)) == Some(&b'\n');
        self.space(false);
        let start = self.cursor.at;
        match self.cursor.peek() {
            None => return Ok(false),
            Some('\n' | ';') => {
                self.cursor.take();
                return Ok(true);
            }
            Some('\r') if self.cursor.byte(1) == b'\n' => {
                self.cursor.take();
                return Ok(true);
            }
            Some('#') => {
                let span = self.cursor.comment();
                self.parsed.comments.push(span);
                return Ok(true);
            }
            Some(_) if fresh && start > line => return Err((start, Fault::Code(Code::Indented))),
            Some('\'' | '"') => {
                self.expression(false, 0)?;
                self.parsed.loose.push(start..self.cursor.at);
            }
            Some(c) if c.is_alphabetic() || c == '_' => {
                if self.begins_string() {
                    self.expression(false, 0)?;
                    self.parsed.loose.push(start..self.cursor.at);
                } else {
                    self.assignment(start)?;
                }
            }
            Some('{') => return Err((start, Fault::Code(Code::Dictionary))),
            Some(other) => return Err((start, Fault::Character(other))),
        }
        self.ended()
    }

    fn ended(&mut self) -> Result<bool, Refused> {
        self.space(false);
        match self.cursor.peek() {
            None | Some('\n' | ';' | '#') => Ok(true),
            Some('\r') if self.cursor.byte(1) == b'\n' => Ok(true),
            Some(',') => Err((self.cursor.at, Fault::Expected("brackets around several values"))),
            Some('=') => Err((self.cursor.at, Fault::Code(Code::SeveralTargets))),
            Some(c) if c.is_alphabetic() => Err(self.word_as_code()),
            Some('.' | '[' | '(') => Err((self.cursor.at, Fault::Code(Code::Subscript))),
            Some(c @ ('-' | '*' | '/' | '|' | '&' | '<' | '>' | '!' | '^')) => {
                Err((self.cursor.at, Fault::Code(Code::Operator(c))))
            }
            Some(_) => Err(self.cursor.unexpected("the end of the line behind the value")),
        }
    }

    fn assignment(&mut self, start: usize) -> Result<(), Refused> {
        let key = self.cursor.take_while(is_name).to_owned();
        if KEYWORDS.contains(&key.as_str()) {
            return Err((start, Fault::Code(Code::Keyword(key))));
        }
        self.space(false);
        let op = match (self.cursor.byte(0), self.cursor.byte(1)) {
            (b'=', b'=') => return Err((self.cursor.at, Fault::Code(Code::Operator('=')))),
            (b'=', _) => Op::Set,
            (b'+', b'=') => Op::Add,
            (b'.', _) => {
                let rest = self.cursor.take_while(|c| is_name(c) || c == '.');
                return Err((start, Fault::Code(Code::Attribute(format!("{key}{rest}")))));
            }
            (b'(', _) => return Err((start, Fault::Code(Code::Call(key)))),
            (b'[', _) => return Err((start, Fault::Code(Code::Subscript))),
            (b',', _) => return Err((start, Fault::Code(Code::SeveralTargets))),
            _ => return Err(self.cursor.unexpected("`=` behind the name")),
        };
        self.cursor.at += if op == Op::Add { 2 } else { 1 };
        self.space(false);
        let literal = self.expression(false, 0)?;
        let span = start..literal.node.span.end;
        self.parsed.statements.push(Statement { key, op, node: literal.node, span });
        Ok(())
    }

    /// Reads `a % b + c % d`.
    fn expression(&mut self, inside: bool, depth: usize) -> Result<Literal, Refused> {
        let mut sum = self.product(inside, depth)?;
        loop {
            let (mark, continued) = (self.cursor.at, self.parsed.continuations.len());
            self.space(inside);
            if self.cursor.byte(0) != b'+' || self.cursor.byte(1) == b'=' {
                self.back(mark, continued, inside);
                return Ok(sum);
            }
            let at = self.cursor.at;
            self.cursor.take();
            self.space(inside);
            let next = self.product(inside, depth)?;
            sum = add(sum, next).ok_or((at, Fault::Code(Code::Operator('+'))))?;
        }
    }

    fn product(&mut self, inside: bool, depth: usize) -> Result<Literal, Refused> {
        let mut left = self.atom(inside, depth)?;
        loop {
            let (mark, continued) = (self.cursor.at, self.parsed.continuations.len());
            self.space(inside);
            if self.cursor.byte(0) != b'%' {
                self.back(mark, continued, inside);
                return Ok(left);
            }
            let at = self.cursor.at;
            self.cursor.take();
            self.space(inside);
            let right = self.atom(inside, depth)?;
            left = filled(left, right).ok_or((at, Fault::Code(Code::Percent)))?;
        }
    }

    /// Goes back before white space that belongs to nothing yet. Between brackets it stays read: it is read once.
    fn back(&mut self, mark: usize, continued: usize, inside: bool) {
        if !inside {
            self.cursor.at = mark;
            self.parsed.continuations.truncate(continued);
        }
    }

    fn atom(&mut self, inside: bool, depth: usize) -> Result<Literal, Refused> {
        self.cursor.count()?;
        let start = self.cursor.at;
        match self.cursor.peek() {
            Some('\'' | '"') => self.strings(inside),
            Some('0'..='9' | '-' | '.') => self.number(),
            Some('[') => {
                self.cursor.take();
                let items = self.items(']', deeper(depth, start)?)?.0;
                Ok(self.literal(start, Value::List(items), Kind::List))
            }
            Some('(') => {
                self.cursor.take();
                let (mut items, comma, kind) = self.items(')', deeper(depth, start)?)?;
                match (items.len(), comma, items.pop()) {
                    (1, false, Some(only)) => Ok(self.literal(start, only.value, kind)),
                    (_, _, last) => {
                        items.extend(last);
                        Ok(self.literal(start, Value::List(items), Kind::Tuple))
                    }
                }
            }
            Some('{') => Err((start, Fault::Code(Code::Dictionary))),
            Some(c) if c.is_alphabetic() || c == '_' => {
                if self.begins_string() {
                    return self.strings(inside);
                }
                let (value, kind) = match self.cursor.take_while(is_name) {
                    "True" => (Value::Text("1".to_owned()), Kind::Other),
                    "False" => (Value::Text("0".to_owned()), Kind::Other),
                    "None" => (Value::Nothing, Kind::Other),
                    _ => {
                        self.cursor.at = start;
                        return Err(self.word_as_code());
                    }
                };
                Ok(self.literal(start, value, kind))
            }
            None if inside => Err((start, Fault::OpenBracket)),
            _ => Err((start, Fault::NoValue)),
        }
    }

    fn literal(&self, start: usize, value: Value, kind: Kind) -> Literal {
        Literal { node: Node { value, span: start..self.cursor.at }, kind }
    }

    /// Reads values up to a closing bracket: the values, whether a comma followed one, the kind of the last.
    fn items(&mut self, close: char, depth: usize) -> Result<(Vec<Node>, bool, Kind), Refused> {
        let (mut items, mut comma, mut kind) = (Vec::new(), false, Kind::Other);
        loop {
            self.space(true);
            match self.cursor.peek() {
                None => return Err((self.cursor.at, Fault::OpenBracket)),
                Some(c) if c == close => {
                    self.cursor.take();
                    return Ok((items, comma, kind));
                }
                Some(_) => {}
            }
            let literal = self.expression(true, depth)?;
            items.push(literal.node);
            kind = literal.kind;
            self.space(true);
            match self.cursor.peek() {
                Some(',') => {
                    self.cursor.take();
                    comma = true;
                }
                Some(c) if c == close => {}
                None => return Err((self.cursor.at, Fault::OpenBracket)),
                Some(c) if c.is_alphabetic() => return Err(self.word_as_code()),
                Some(_) => return Err(self.cursor.unexpected("`,` or the closing bracket behind the value")),
            }
        }
    }

    /// Returns what a name in a value's place is.
    fn word_as_code(&mut self) -> Refused {
        let start = self.cursor.at;
        let name = self.cursor.take_while(|c| is_name(c) || c == '.').to_owned();
        let code = match name.as_str() {
            word if KEYWORDS.contains(&word) => Code::Keyword(name),
            _ if self.cursor.peek() == Some('(') => Code::Call(name),
            word if word.contains('.') => Code::Attribute(name),
            _ => Code::Variable(name),
        };
        (start, Fault::Code(code))
    }

    /// Whether a string with a prefix (`r'…'`, `u"…"`) comes next.
    fn begins_string(&self) -> bool {
        let letters = self.cursor.rest().bytes().take_while(u8::is_ascii_alphabetic).count();
        let prefix = self.cursor.rest().get(..letters).unwrap_or_default().to_ascii_lowercase();
        let known = matches!(prefix.as_str(), "" | "r" | "u" | "b" | "f" | "ur" | "br" | "rb" | "fr" | "rf");
        known && matches!(self.cursor.byte(letters), b'\'' | b'"')
    }

    /// Reads strings that stand side by side, which Python joins.
    fn strings(&mut self, inside: bool) -> Result<Literal, Refused> {
        let start = self.cursor.at;
        let mut text = String::new();
        loop {
            text.push_str(&xm_text::string(&mut self.cursor)?);
            let end = self.cursor.at;
            let continued = self.parsed.continuations.len();
            self.space(inside);
            if !self.begins_string() {
                self.back(end, continued, inside);
                let node = Node { value: Value::Text(text), span: start..end };
                return Ok(Literal { node, kind: Kind::Text });
            }
            self.cursor.count()?;
        }
    }

    fn number(&mut self) -> Result<Literal, Refused> {
        let start = self.cursor.at;
        let negative = self.cursor.eat("-");
        let sign = if negative { "-" } else { "" };
        let word = self.cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        let (text, integer) =
            xm_text::number(word).ok_or((start, Fault::Expected("a number that xl can read")))?;
        let kind = match integer {
            Some(value) => Kind::Integer(if negative { value.saturating_neg() } else { value }),
            None => Kind::Other,
        };
        Ok(self.literal(start, Value::Text(format!("{sign}{text}")), kind))
    }
}

/// Adds two literals as Python does; `None` where it could not.
fn add(left: Literal, right: Literal) -> Option<Literal> {
    let span = left.node.span.start..right.node.span.end;
    let (value, kind) = match (left.kind, right.kind, left.node.value, right.node.value) {
        (Kind::Text, Kind::Text, Value::Text(a), Value::Text(b)) => (Value::Text(a + &b), Kind::Text),
        (Kind::Integer(a), Kind::Integer(b), _, _) => {
            let sum = a.checked_add(b)?;
            (Value::Text(sum.to_string()), Kind::Integer(sum))
        }
        (Kind::List, Kind::List, Value::List(mut a), Value::List(b))
        | (Kind::Tuple, Kind::Tuple, Value::List(mut a), Value::List(b)) => {
            a.extend(b);
            (Value::List(a), left.kind)
        }
        _ => return None,
    };
    Some(Literal { node: Node { value, span }, kind })
}

/// Fills `%s`, `%d`, `%i` and `%%` of a literal with literals.
fn filled(left: Literal, right: Literal) -> Option<Literal> {
    let (Kind::Text, Value::Text(format)) = (left.kind, &left.node.value) else { return None };
    let span = left.node.span.start..right.node.span.end;
    let values = match (right.kind, right.node.value) {
        (Kind::Tuple, Value::List(items)) => items.into_iter().map(|item| item.value).collect(),
        (_, value) => vec![value],
    };
    let texts: Option<Vec<String>> = values
        .into_iter()
        .map(|value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    let text = xm_text::fill(format, &texts?)?;
    Some(Literal { node: Node { value: Value::Text(text), span }, kind: Kind::Text })
}
