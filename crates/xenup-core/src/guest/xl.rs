//! The language of xl.cfg, as libxlu reads it.
//!
//! Decides: what each statement says. Facts: tools/libs/util/libxlu_cfg_l.l, libxlu_cfg_y.y and libxlu_cfg.c of Xen;
//! a key is `[a-z][._0-9a-z]*`, a number `[0-9][0-9a-fx]*`, blanks are space and tab, and a line ends with a line feed
//! alone. Where libxlu drops a character (`\101`) or passes over a last stray one, this reader refuses.
//! Never: knows a key.

use super::error::Fault;
use super::parse::{Cursor, Node, Op, Parsed, Refused, Statement, Value, deeper};

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Parsed, Refused> {
    let mut reader = Reader { cursor: Cursor::new(text), parsed: Parsed::default() };
    while reader.statement()? {}
    Ok(reader.parsed)
}

/// Reads a text that is one value and nothing else.
pub(super) fn value(text: &str) -> Option<Value> {
    let mut reader = Reader { cursor: Cursor::new(text), parsed: Parsed::default() };
    let node = reader.value(0).ok()?;
    reader.cursor.rest().is_empty().then_some(node.value)
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    parsed: Parsed,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        self.cursor.take_while(|c| c == ' ' || c == '\t');
    }

    /// Reads one statement or one end of a statement; `false` at the end of the file.
    fn statement(&mut self) -> Result<bool, Refused> {
        self.blanks();
        let start = self.cursor.at;
        match self.cursor.peek() {
            None => return Ok(false),
            Some('\n' | ';') => {
                self.cursor.take();
                return Ok(true);
            }
            Some('#') => return self.comment().map(|()| true),
            Some('a'..='z') => {}
            Some('\r') => return Err((start, Fault::CarriageReturn)),
            Some(other) => return Err((start, Fault::Character(other))),
        }
        let key = self.cursor.take_while(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.')).to_owned();
        self.blanks();
        let op = if self.cursor.eat("+=") {
            Op::Add
        } else if self.cursor.eat("=") {
            Op::Set
        } else {
            return Err(self.cursor.unexpected("`=` or `+=` behind the key"));
        };
        self.blanks();
        let node = self.value(0)?;
        let span = start..self.cursor.at;
        self.parsed.statements.push(Statement { key, op, node, span });
        self.blanks();
        match self.cursor.peek() {
            None | Some('\n' | ';' | '#') => Ok(true),
            Some(_) => Err(self.cursor.unexpected("the end of the line or `;` behind the value")),
        }
    }

    fn comment(&mut self) -> Result<(), Refused> {
        let span = self.cursor.comment();
        if self.cursor.peek().is_none() {
            return Err((span.start, Fault::OpenComment));
        }
        self.parsed.comments.push(span);
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Node, Refused> {
        self.cursor.count()?;
        let start = self.cursor.at;
        let value = match self.cursor.peek() {
            Some(quote @ ('\'' | '"')) => Value::Text(self.string(quote)?),
            Some('0'..='9') => {
                let digits = self.cursor.take_while(|c| matches!(c, '0'..='9' | 'a'..='f' | 'x'));
                Value::Text(digits.to_owned())
            }
            Some('[') => Value::List(self.list(deeper(depth, start)?)?),
            Some('\r') => return Err((start, Fault::CarriageReturn)),
            _ => return Err((start, Fault::NoValue)),
        };
        Ok(Node { value, span: start..self.cursor.at })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Refused> {
        self.cursor.take();
        let mut items = Vec::new();
        self.between()?;
        loop {
            if self.cursor.eat("]") {
                return Ok(items);
            }
            items.push(self.value(depth)?);
            self.between()?;
            if self.cursor.eat(",") {
                self.between()?;
            } else if self.cursor.peek() != Some(']') {
                return Err(match self.cursor.peek() {
                    None => (self.cursor.at, Fault::OpenBracket),
                    Some(_) => self.cursor.unexpected("`,` or `]` behind the value"),
                });
            }
        }
    }

    /// Passes over what may stand between the values of a list.
    fn between(&mut self) -> Result<(), Refused> {
        loop {
            self.blanks();
            match self.cursor.peek() {
                Some('\n') => {
                    self.cursor.take();
                }
                Some('#') => self.comment()?,
                None => return Err((self.cursor.at, Fault::OpenBracket)),
                Some(_) => return Ok(()),
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<String, Refused> {
        let start = self.cursor.at;
        self.cursor.take();
        let mut text = String::new();
        loop {
            let at = self.cursor.at;
            match self.cursor.take() {
                None | Some('\n') => return Err((start, Fault::OpenString)),
                Some('\\') => text.push(self.escape(start, at)?),
                Some(c) if c == quote => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, string: usize, at: usize) -> Result<char, Refused> {
        Ok(match self.cursor.take() {
            None | Some('\n') => return Err((string, Fault::OpenString)),
            Some(c @ ('"' | '\'' | '\\')) => c,
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some('x' | '0'..='7') => return Err((at, Fault::NumberEscape)),
            Some(other) => return Err((at, Fault::Escape(other))),
        })
    }
}
