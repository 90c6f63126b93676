//! Physical and logical lines, and words, exactly as ifupdown's `get_line` and `next_word` take them apart.
//! It decides where a line ends and what a comment is. It never looks at what a word means.

use std::ops::{Range, RangeInclusive};

/// ifupdown copies a word into `char[80]` and cuts the rest off without a word.
pub(super) const WORD_MAX: usize = 79;

/// What `isspace` is in the C locale, which ifupdown never leaves.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// Byte ranges of the physical lines of `text`, each with its line end.
pub(super) fn physical(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let range = start..start + line.len();
            start = range.end;
            range
        })
        .collect()
}

/// A line after continuation: where it stands, and its text without the white space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logical {
    /// Indexes of its physical lines, counted from 0.
    pub lines: RangeInclusive<usize>,
    /// The joined text; empty for a blank line and for a comment.
    pub text: String,
    /// Whether it is a comment. A comment is never continued.
    pub comment: bool,
}

/// Joins continued lines.
///
/// The backslash must be the very last byte of the line: before a carriage return or a blank it continues nothing.
/// What follows is joined as it stands, its leading blanks and a `#` included.
pub(super) fn logical(text: &str, physical: &[Range<usize>]) -> Vec<Logical> {
    let content = |index: usize| {
        let line = text.get(physical[index].clone()).unwrap_or_default();
        line.strip_suffix('\n').unwrap_or(line)
    };
    let mut out = Vec::new();
    let mut first = 0;
    while first < physical.len() {
        let start = content(first).trim_start_matches(is_space);
        if start.starts_with('#') {
            out.push(Logical { lines: first..=first, text: String::new(), comment: true });
            first += 1;
            continue;
        }
        let mut joined = start.to_owned();
        let mut last = first;
        while joined.ends_with('\\') {
            joined.pop();
            if last + 1 < physical.len() {
                last += 1;
                joined.push_str(content(last));
            }
        }
        joined.truncate(joined.trim_end_matches(is_space).len());
        out.push(Logical { lines: first..=last, text: joined, comment: false });
        first = last + 1;
    }
    out
}

/// The first word of `text` and what follows it after white space; `None` at the end.
/// A text that begins with white space (it can, after a continuation) has an empty first word, as in ifupdown.
pub(super) fn next_word(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() {
        return None;
    }
    let end = text.find(is_space).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    Some((word, rest.trim_start_matches(is_space)))
}

/// All words of `text`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = next_word(rest)?;
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        logical(text, &physical(text)).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_backslash_continues_only_at_the_very_end() {
        for (text, expected) in [
            ("auto a \\\n b\n", vec!["auto a  b"]),
            ("up x \\\\\n y\n", vec!["up x \\ y"]),
            ("up x \\ \n y\n", vec!["up x \\", "y"]),
            ("up x \\\r\n y\n", vec!["up x \\\r", "y"].into_iter().map(|s| s.trim_end()).collect()),
            ("# x \\\nauto b\n", vec!["", "auto b"]),
            ("up x \\\n# y\n", vec!["up x # y"]),
            ("up x \\", vec!["up x"]),
            ("up x\\\\", vec!["up x"]),
            ("\\", vec![""]),
            ("  \\\n auto a", vec![" auto a"]),
            ("", vec![]),
            ("\n\r\n", vec!["", ""]),
        ] {
            assert_eq!(texts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_keep_the_rest() {
        assert_eq!(next_word("up  ip route"), Some(("up", "ip route")));
        assert_eq!(next_word(" auto"), Some(("", "auto")));
        assert_eq!(next_word(""), None);
        assert_eq!(words("a\tb\x0bc  d").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}
