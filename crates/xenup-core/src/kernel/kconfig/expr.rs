//! Conditions of Kconfig: `A && (B || !C)`, `GCC_VERSION >= 110000`, `$(cc-option,-m64)`.
//!
//! Decides: what a condition comes to under given values. Never: runs a macro; what only a compiler can answer is
//! [`Truth::Unknown`].

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lexer::{Op, Token};

/// Parentheses and negations within each other; the kernel's deepest condition has 4.
const DEPTH: usize = 64;

/// A value of Kconfig's three, or none that can be told here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tristate {
    /// Off.
    N,
    /// A module.
    M,
    /// Built in.
    Y,
}

impl Tristate {
    /// Returns the letter that stands in a .config.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::N => "n",
            Self::M => "m",
            Self::Y => "y",
        }
    }

    /// Returns the value that a letter stands for.
    #[must_use]
    pub fn of(letter: &str) -> Option<Self> {
        match letter {
            "n" => Some(Self::N),
            "m" => Some(Self::M),
            "y" => Some(Self::Y),
            _ => None,
        }
    }
}

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is known.
    Known(Tristate),
    /// A macro would have to be run.
    Unknown,
}

/// One side of a comparison, or a symbol by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Atom {
    /// A symbol, or one of the letters y, m, n, or a number.
    Word(Rc<str>),
    /// A quoted text.
    Text(Rc<str>),
    /// A macro, as it is written.
    Macro(Rc<str>),
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// An atom by itself.
    Atom(Atom),
    /// Its opposite.
    Not(Box<Expr>),
    /// All of them: the least.
    All(Vec<Expr>),
    /// One of them: the greatest.
    Any(Vec<Expr>),
    /// A comparison.
    Compare(Atom, Op, Atom),
}

/// What symbols are worth: the text that a .config has for them, without quotes.
pub trait Worth {
    /// Returns a symbol's value, `None` where it has none (which counts as n).
    fn worth(&self, symbol: &str) -> Option<&str>;
}

impl Expr {
    /// Reads a condition; `None` where the tokens are none, or nest too deep.
    pub(super) fn parse(tokens: &[Token<'_>]) -> Option<Self> {
        let mut rest = tokens;
        let expr = any(&mut rest, DEPTH)?;
        rest.is_empty().then_some(expr)
    }

    /// Returns what it comes to.
    pub fn truth(&self, values: &dyn Worth) -> Truth {
        match self {
            Self::Atom(atom) => atom.truth(values),
            Self::Not(inner) => match inner.truth(values) {
                Truth::Known(Tristate::Y) => Truth::Known(Tristate::N),
                Truth::Known(Tristate::N) => Truth::Known(Tristate::Y),
                same => same,
            },
            Self::All(parts) => fold(parts, values, Tristate::N, Tristate::Y, Ord::min),
            Self::Any(parts) => fold(parts, values, Tristate::Y, Tristate::N, Ord::max),
            Self::Compare(left, op, right) => compare(left, *op, right, values),
        }
    }

    /// Adds the names of all symbols in it.
    pub fn symbols<'e>(&'e self, into: &mut BTreeSet<&'e str>) {
        let mut atom = |atom: &'e Atom| {
            if let Some(name) = atom.symbol() {
                into.insert(name);
            }
        };
        match self {
            Self::Atom(one) => atom(one),
            Self::Not(inner) => inner.symbols(into),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.symbols(into)),
            Self::Compare(left, _, right) => [left, right].into_iter().for_each(atom),
        }
    }
}

/// The least or the greatest of parts: `decided` is the value after which the others do not matter.
fn fold(
    parts: &[Expr],
    values: &dyn Worth,
    decided: Tristate,
    start: Tristate,
    of: fn(Tristate, Tristate) -> Tristate,
) -> Truth {
    let (mut known, mut unknown) = (start, false);
    for part in parts {
        match part.truth(values) {
            Truth::Known(value) => known = of(known, value),
            Truth::Unknown => unknown = true,
        }
    }
    if unknown && known != decided { Truth::Unknown } else { Truth::Known(known) }
}

impl Atom {
    /// Returns the symbol that it names, if it names one.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        match self {
            Self::Word(word) if Tristate::of(word).is_none() && !is_number(word) => Some(word),
            _ => None,
        }
    }

    fn truth(&self, values: &dyn Worth) -> Truth {
        match self {
            Self::Macro(_) => Truth::Unknown,
            Self::Word(_) | Self::Text(_) => {
                let value = self.value(values);
                Truth::Known(value.and_then(Tristate::of).unwrap_or(Tristate::N))
            }
        }
    }

    fn value<'a>(&'a self, values: &'a dyn Worth) -> Option<&'a str> {
        match (self, self.symbol()) {
            (_, Some(symbol)) => values.worth(symbol),
            (Self::Word(text) | Self::Text(text), None) => Some(text),
            (Self::Macro(_), None) => None,
        }
    }
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && number(word).is_some()
}

fn number(word: &str) -> Option<i64> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

fn compare(left: &Atom, op: Op, right: &Atom, values: &dyn Worth) -> Truth {
    if [left, right].iter().any(|side| matches!(side, Atom::Macro(_))) {
        return Truth::Unknown;
    }
    let text = |side: &Atom| side.value(values).unwrap_or("n").to_owned();
    let (left, right) = (text(left), text(right));
    let order = match (number(&left), number(&right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(&right),
    };
    let holds = match op {
        Op::Equal => order.is_eq(),
        Op::Unequal => order.is_ne(),
        Op::Less => order.is_lt(),
        Op::LessOrEqual => order.is_le(),
        Op::Greater => order.is_gt(),
        Op::GreaterOrEqual => order.is_ge(),
        Op::And | Op::Or | Op::Not => false,
    };
    Truth::Known(if holds { Tristate::Y } else { Tristate::N })
}

fn any(rest: &mut &[Token<'_>], depth: usize) -> Option<Expr> {
    joined(rest, depth, Op::Or, all, Expr::Any)
}

fn all(rest: &mut &[Token<'_>], depth: usize) -> Option<Expr> {
    joined(rest, depth, Op::And, single, Expr::All)
}

/// One part, or several with an operator between them.
fn joined(
    rest: &mut &[Token<'_>],
    depth: usize,
    between: Op,
    part: fn(&mut &[Token<'_>], usize) -> Option<Expr>,
    whole: fn(Vec<Expr>) -> Expr,
) -> Option<Expr> {
    let first = part(rest, depth)?;
    if rest.first() != Some(&Token::Op(between)) {
        return Some(first);
    }
    let mut parts = vec![first];
    while let Some((Token::Op(op), after)) = rest.split_first()
        && *op == between
    {
        *rest = after;
        parts.push(part(rest, depth)?);
    }
    Some(whole(parts))
}

fn single(rest: &mut &[Token<'_>], depth: usize) -> Option<Expr> {
    let deeper = depth.checked_sub(1)?;
    let (first, after) = rest.split_first()?;
    *rest = after;
    match first {
        Token::Op(Op::Not) => Some(Expr::Not(Box::new(single(rest, deeper)?))),
        Token::Open => {
            let inner = any(rest, deeper)?;
            let (Token::Close, after) = rest.split_first()? else { return None };
            *rest = after;
            Some(inner)
        }
        _ => {
            let left = atom(first)?;
            match rest.split_first() {
                Some((Token::Op(op), after)) if op.compares() => {
                    let (right, after) = after.split_first()?;
                    *rest = after;
                    Some(Expr::Compare(left, *op, atom(right)?))
                }
                _ => Some(Expr::Atom(left)),
            }
        }
    }
}

pub(super) fn atom(token: &Token<'_>) -> Option<Atom> {
    match token {
        Token::Word(word) => Some(Atom::Word((*word).into())),
        Token::Text(text) => Some(Atom::Text(text.as_ref().into())),
        Token::Macro(text) => Some(Atom::Macro((*text).into())),
        Token::Op(_) | Token::Open | Token::Close => None,
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) | Self::Macro(word) => out.write_str(word),
            Self::Text(text) => write!(out, "\"{text}\""),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |out: &mut fmt::Formatter<'_>, parts: &[Expr], between: &str| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(out, " {between} ")?;
                }
                match part {
                    Self::Any(_) | Self::All(_) => write!(out, "({part})")?,
                    _ => write!(out, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Atom(atom) => write!(out, "{atom}"),
            Self::Not(inner) => match inner.as_ref() {
                Self::Atom(_) => write!(out, "!{inner}"),
                _ => write!(out, "!({inner})"),
            },
            Self::All(parts) => list(out, parts, "&&"),
            Self::Any(parts) => list(out, parts, "||"),
            Self::Compare(left, op, right) => write!(out, "{left} {} {right}", op.sign()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::lexer::tokens;
    use super::{Expr, Tristate, Truth, Worth};

    impl Worth for HashMap<&str, &str> {
        fn worth(&self, symbol: &str) -> Option<&str> {
            self.get(symbol).copied()
        }
    }

    fn parsed(text: &str) -> Option<Expr> {
        Expr::parse(&tokens(text)?)
    }

    #[test]
    fn a_condition_comes_to_what_kconfig_makes_of_it() {
        let values = HashMap::from([("A", "y"), ("B", "m"), ("GCC", "120200"), ("S", "text")]);
        for (text, expected) in [
            ("A && B", Some(Tristate::M)),
            ("A || B", Some(Tristate::Y)),
            ("!B", Some(Tristate::M)),
            ("!C && A", Some(Tristate::Y)),
            ("A && (C || B)", Some(Tristate::M)),
            ("B=m", Some(Tristate::Y)),
            ("C != n", Some(Tristate::N)),
            ("GCC >= 110000 && GCC<130000", Some(Tristate::Y)),
            ("S = \"text\"", Some(Tristate::Y)),
            ("$(cc-option,-m64) && A", None),
            ("$(cc-option,-m64) && C", Some(Tristate::N)),
            ("A || $(success,test)", Some(Tristate::Y)),
            ("y", Some(Tristate::Y)),
        ] {
            let expected = expected.map_or(Truth::Unknown, Truth::Known);
            assert_eq!(parsed(text).unwrap().truth(&values), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_none() {
        let deep = format!("{}A{}", "(".repeat(100), ")".repeat(100));
        for text in ["", "A &&", "(A", "A)", "A B", "= A", "!", &deep] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_condition_is_shown_as_it_is_written() {
        for text in ["A && (B || !C)", "A = m || $(cc-option,-m64)", "!(A && B)"] {
            assert_eq!(parsed(text).unwrap().to_string(), text);
        }
    }
}
