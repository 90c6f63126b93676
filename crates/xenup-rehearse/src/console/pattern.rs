//! What to wait for in a stream of bytes in which a kernel and a hypervisor speak between, and within, the lines.
//!
//! It decides where a match lies. Pure.

/// What Xen puts before each of its lines; it may come in the middle of another program's line.
const XEN: &[u8] = b"(XEN) ";
/// How far back a match that Xen's words interrupt is looked for.
const FILTERED: usize = 64 << 10;

/// One or several alternatives, of literal text each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Literal>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Literal {
    text: Vec<u8>,
    at_end: bool,
}

impl Pattern {
    /// This text, anywhere.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(vec![Literal { text: text.into(), at_end: false }])
    }

    /// This text as the last that has come: a prompt.
    #[must_use]
    pub fn end(text: &str) -> Self {
        Self(vec![Literal { text: text.into(), at_end: true }])
    }

    /// Any of these; [`Match::index`] counts the alternatives in order, nested ones flattened.
    #[must_use]
    pub fn any(patterns: &[Self]) -> Self {
        Self(patterns.iter().flat_map(|pattern| pattern.0.clone()).collect())
    }

    /// The first match in `bytes`, of which the first `searched` held none at an earlier look.
    #[must_use]
    pub(super) fn find(&self, bytes: &[u8], searched: usize) -> Option<Found> {
        self.find_raw(bytes, searched).or_else(|| {
            let start = bytes.len().saturating_sub(FILTERED);
            let (kept, places) = without_xen(bytes.get(start..)?)?;
            let found = self.find_raw(&kept, 0)?;
            let place = |at: usize| places.get(at).copied();
            // The end is one after the last byte's place: what follows may be Xen's and is not consumed.
            let end = place(found.end.checked_sub(1)?)? + 1;
            Some(Found { index: found.index, start: start + place(found.start)?, end: start + end })
        })
    }

    fn find_raw(&self, bytes: &[u8], searched: usize) -> Option<Found> {
        let find = |(index, literal): (usize, &Literal)| {
            let start = if literal.at_end {
                bytes.ends_with(&literal.text).then(|| bytes.len() - literal.text.len())?
            } else {
                let from = searched.saturating_sub(literal.text.len());
                from + position(bytes.get(from..)?, &literal.text)?
            };
            Some(Found { index, start, end: start + literal.text.len() })
        };
        self.0.iter().enumerate().filter_map(find).min_by_key(|found| found.start)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, literal) in self.0.iter().enumerate() {
            let or = if n == 0 { "" } else { " or " };
            write!(f, "{or}\"{}\"", String::from_utf8_lossy(&literal.text).escape_debug())?;
        }
        Ok(())
    }
}

/// Where a match lies in the bytes that were searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub index: usize,
    pub start: usize,
    pub end: usize,
}

/// What was waited for and came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which alternative.
    pub index: usize,
    /// What came before it, since the last match.
    pub before: String,
    /// Its text.
    pub matched: String,
}

fn position(bytes: &[u8], text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    bytes.windows(text.len()).position(|window| window == text)
}

/// Whether Xen has spoken. Looked for at every arrival, hence by its rare first byte.
fn has_xen(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == XEN[0]) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(XEN) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// The bytes without Xen's own lines, and the place of each in the original; `None` where Xen said nothing.
fn without_xen(bytes: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    if !has_xen(bytes) {
        return None;
    }
    let (mut kept, mut places) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if bytes.get(at..).is_some_and(|rest| rest.starts_with(XEN)) {
            let line = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'\n'));
            at = line.map_or(bytes.len(), |length| at + length + 1);
            continue;
        }
        kept.push(byte);
        places.push(at);
        at += 1;
    }
    Some((kept, places))
}

/// Text as a person reads it: no carriage returns, no terminal control sequences, other bytes as U+FFFD.
#[must_use]
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            0x1b => skip_sequence(&mut rest),
            b'\n' | b'\t' => out.push(byte),
            0..=0x1f | 0x7f => {}
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Skips what follows an escape (ECMA-48): parameters and one final byte of a control sequence, or one byte.
fn skip_sequence(rest: &mut std::iter::Peekable<impl Iterator<Item = u8>>) {
    if rest.next() != Some(b'[') {
        return;
    }
    while let Some(byte) = rest.next_if(|byte| (0x20..=0x7e).contains(byte)) {
        if byte >= 0x40 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Pattern, readable};

    fn found(index: usize, start: usize, end: usize) -> Option<Found> {
        Some(Found { index, start, end })
    }

    #[test]
    fn the_earliest_alternative_wins_and_ends_are_ends() {
        let either = Pattern::any(&[Pattern::text("beta"), Pattern::text("alpha"), Pattern::end("# ")]);
        assert_eq!(either.find(b"an alpha, a beta", 0), found(1, 3, 8));
        assert_eq!(either.find(b"root# ", 0), found(2, 4, 6));
        assert_eq!(either.find(b"root# x", 0), None);
        assert_eq!(either.to_string(), "\"beta\" or \"alpha\" or \"# \"");
    }

    #[test]
    fn a_match_may_begin_in_what_was_searched() {
        assert_eq!(Pattern::text("login: ").find(b"host login: ", 8), found(0, 5, 12));
    }

    #[test]
    fn xen_may_speak_within_a_match() {
        let bytes = b"[[xen(XEN) d1v0 went away\r\nup]] rest";
        assert_eq!(Pattern::text("[[xenup]]").find(bytes, 0), found(0, 0, 31));
        assert_eq!(Pattern::text("went away").find(bytes, 0), found(0, 16, 25));
        assert_eq!(Pattern::text("[[xenup]]").find(b"[[xen(XEN) no end of line", 0), None);
    }

    #[test]
    fn control_sequences_are_not_for_reading() {
        assert_eq!(readable(b"\x1b[?2004h\x1b[1;31mred\x1b[0m\r\nab\x07c\xff\x1b(B"), "red\nabc\u{fffd}B");
        assert_eq!(readable(b"cut \x1b["), "cut ");
    }
}
