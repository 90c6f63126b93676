//! Python's strings and numbers. Decides what one literal says; never joins two.

use super::error::{Code, Fault};
use super::parse::{Cursor, Refused};

/// Reads one string with its prefix.
pub(super) fn string(cursor: &mut Cursor<'_>) -> Result<String, Refused> {
    let start = cursor.at;
    let prefix = cursor.take_while(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
    if prefix.contains('f') {
        return Err((start, Fault::Code(Code::Formatted)));
    }
    let quote = cursor.take().unwrap_or('"');
    let triple: String = std::iter::repeat_n(quote, 2).collect();
    let long = cursor.eat(&triple);
    let end = if long { format!("{quote}{triple}") } else { quote.to_string() };
    body(cursor, start, &end, prefix.contains('r'))
}

fn body(cursor: &mut Cursor<'_>, start: usize, end: &str, raw: bool) -> Result<String, Refused> {
    let mut text = String::new();
    loop {
        if cursor.eat(end) {
            return Ok(text);
        }
        let at = cursor.at;
        match cursor.take() {
            None => return Err((start, Fault::OpenString)),
            Some('\n') if end.len() == 1 => return Err((start, Fault::OpenString)),
            // Python reads any end of a line as a line feed.
            Some('\r') if cursor.byte(0) == b'\n' => {}
            Some('\\') if raw => {
                text.push('\\');
                text.extend(cursor.take());
            }
            Some('\\') => escape(cursor, at, &mut text)?,
            Some(c) => text.push(c),
        }
    }
}

fn escape(cursor: &mut Cursor<'_>, at: usize, text: &mut String) -> Result<(), Refused> {
    let Some(c) = cursor.take() else { return Err((at, Fault::OpenString)) };
    let character = match c {
        '\n' => return Ok(()),
        '\r' if cursor.eat("\n") => return Ok(()),
        '\\' | '\'' | '"' => c,
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => coded(cursor, at, 16, 2, 2)?,
        '0'..='7' => {
            cursor.at = cursor.at.saturating_sub(1);
            coded(cursor, at, 8, 1, 3)?
        }
        // `\u` and `\N` mean a character in some strings and themselves in others.
        'u' | 'U' | 'N' => return Err((at, Fault::Escape(c))),
        other => {
            text.push('\\');
            other
        }
    };
    text.push(character);
    Ok(())
}

/// Reads a character's number. Outside ASCII it would be a byte in one Python and a character in another.
fn coded(cursor: &mut Cursor<'_>, at: usize, radix: u32, least: usize, most: usize) -> Result<char, Refused> {
    let digits: String = cursor.rest().chars().take(most).take_while(|c| c.is_digit(radix)).collect();
    cursor.at += digits.len();
    let code = u32::from_str_radix(&digits, radix).ok().filter(|code| (1..0x80).contains(code));
    let character = code.and_then(char::from_u32).filter(|_| digits.len() >= least);
    character.ok_or((at, Fault::Escape(if radix == 16 { 'x' } else { '0' })))
}

/// Returns a number as xl would have it written, and its value where it is an integer.
pub(super) fn number(word: &str) -> Option<(String, Option<i64>)> {
    let word = word.replace('_', "").to_ascii_lowercase();
    let word = word.strip_suffix('l').unwrap_or(&word);
    let parsed = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(Some);
    if let Some(digits) = word.strip_prefix("0x") {
        return Some((word.to_owned(), parsed(digits, 16)?));
    }
    if let Some(digits) = word.strip_prefix("0o") {
        return Some((format!("0{digits}"), parsed(digits, 8)?));
    }
    if word.len() > 1 && word.starts_with('0') && word.bytes().all(|c| c.is_ascii_digit()) {
        return Some((word.to_owned(), parsed(word, 8)?));
    }
    if !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit()) {
        return Some((word.to_owned(), parsed(word, 10)?));
    }
    let float = word.bytes().all(|c| c.is_ascii_digit() || c == b'.') && word.parse::<f64>().is_ok();
    float.then(|| (word.to_owned(), None))
}

/// Fills `%s`, `%d`, `%i` and `%%`; `None` where anything is left over or unknown.
pub(super) fn fill(format: &str, values: &[String]) -> Option<String> {
    let mut values = values.iter();
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match rest.next()? {
            '%' => text.push('%'),
            's' => text.push_str(values.next()?),
            'd' | 'i' => text.push_str(values.next().filter(|value| value.parse::<i64>().is_ok())?),
            _ => return None,
        }
    }
    values.next().is_none().then_some(text)
}
