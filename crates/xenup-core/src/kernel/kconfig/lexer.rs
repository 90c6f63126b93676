//! A line of a Kconfig file as words, texts, macros and operators.
//!
//! Decides: where a token ends (scripts/kconfig/lexer.l). Never: expands a macro.

use std::borrow::Cow;

/// More on one line is no Kconfig file; the kernel's longest has about 40.
const MOST_TOKENS: usize = 4096;

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `!`
    Not,
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Longer signs before those that they begin with.
const SIGNS: [(&str, Op); 9] = [
    ("&&", Op::And),
    ("||", Op::Or),
    ("!=", Op::Unequal),
    ("<=", Op::LessOrEqual),
    (">=", Op::GreaterOrEqual),
    ("!", Op::Not),
    ("=", Op::Equal),
    ("<", Op::Less),
    (">", Op::Greater),
];

impl Op {
    /// Returns whether it stands between two values.
    #[must_use]
    pub fn compares(self) -> bool {
        !matches!(self, Self::And | Self::Or | Self::Not)
    }

    /// Returns how it is written.
    #[must_use]
    pub fn sign(self) -> &'static str {
        SIGNS.iter().find(|(_, op)| *op == self).map_or("", |(sign, _)| sign)
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'t> {
    /// A keyword, a symbol, a number.
    Word(&'t str),
    /// What stood between quotes.
    Text(Cow<'t, str>),
    /// `$(…)` as it is written.
    Macro(&'t str),
    /// An operator.
    Op(Op),
    /// `(`
    Open,
    /// `)`
    Close,
}

/// Returns the tokens of a line up to its comment; `None` where a text or a macro does not end.
#[must_use]
pub fn tokens(line: &str) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if found.len() >= MOST_TOKENS {
            return None;
        }
        let (token, after) = match first {
            '#' => break,
            '"' | '\'' => text(rest, first)?,
            '(' => (Token::Open, rest.get(1..)?),
            ')' => (Token::Close, rest.get(1..)?),
            '$' => macro_call(rest)?,
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end)?;
                (Token::Word(word), after)
            }
            _ => {
                let (sign, op) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
                (Token::Op(*op), rest.get(sign.len()..)?)
            }
        };
        found.push(token);
        rest = after.trim_start();
    }
    Some(found)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// A quoted text; a backslash takes the next character as it is.
fn text(rest: &str, quote: char) -> Option<(Token<'_>, &str)> {
    let inner = rest.get(1..)?;
    let end = inner.find([quote, '\\'])?;
    if inner.get(end..)?.starts_with(quote) {
        return Some((Token::Text(Cow::Borrowed(inner.get(..end)?)), inner.get(end.checked_add(1)?..)?));
    }
    let mut out = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            c if c == quote => return Some((Token::Text(Cow::Owned(out)), inner.get(at.checked_add(1)?..)?)),
            c => out.push(c),
        }
    }
    None
}

/// `$(…)` with its parentheses balanced, or `$NAME`, and what of a word hangs on to it.
fn macro_call(rest: &str) -> Option<(Token<'_>, &str)> {
    let mut open = 0_usize;
    let mut end = rest.len();
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '(' => open = open.checked_add(1)?,
            ')' if open == 0 => {
                end = at;
                break;
            }
            ')' => open = open.saturating_sub(1),
            c if open == 0 && !is_word(c) && c != '$' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    if open > 0 {
        return None;
    }
    let (call, after) = rest.split_at_checked(end)?;
    Some((Token::Macro(call), after))
}

#[cfg(test)]
mod tests {
    use super::{Op, Token, tokens};

    #[test]
    fn a_line_is_taken_apart() {
        let line = "depends on A&&(B!=m) # why";
        let expected = vec![
            Token::Word("depends"),
            Token::Word("on"),
            Token::Word("A"),
            Token::Op(Op::And),
            Token::Open,
            Token::Word("B"),
            Token::Op(Op::Unequal),
            Token::Word("m"),
            Token::Close,
        ];
        assert_eq!(tokens(line), Some(expected));
    }

    #[test]
    fn texts_and_macros_keep_what_is_in_them() {
        let line = r#"default "a \"b\" # c" if $(cc-option,-falign=(64)) && !X"#;
        let expected = vec![
            Token::Word("default"),
            Token::Text("a \"b\" # c".into()),
            Token::Word("if"),
            Token::Macro("$(cc-option,-falign=(64))"),
            Token::Op(Op::And),
            Token::Op(Op::Not),
            Token::Word("X"),
        ];
        assert_eq!(tokens(line), Some(expected));
        assert_eq!(tokens("\"no end"), None);
        assert_eq!(tokens("$(no end"), None);
    }
}
