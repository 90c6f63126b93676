//! Text for HTML and SVG, in elements and in attributes. Decides what the two would take for markup; never which other
//! characters may stand there.

/// Returns the text with `&`, `<`, `>` and both quotes as entities, and every other character that `instead` has
/// something for replaced by that.
pub(crate) fn escaped(text: &str, instead: impl Fn(char) -> Option<char>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(instead(c).unwrap_or(c)),
        }
    }
    out
}
