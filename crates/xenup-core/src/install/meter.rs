//! The line that says how far a disk is: a bar, the rate, the time that is left. Decides how it reads; never measures.

use std::time::Duration;

use crate::amounts::{self, Span};

const CELLS: u64 = 30;

/// Returns the line for `done` of `all` bytes after `elapsed`.
///
/// The rate is that of the whole time so far: a disk that stalls for a moment shall not promise hours.
#[must_use]
pub fn line(what: &str, done: u64, all: u64, elapsed: Duration) -> String {
    let all = all.max(1);
    let done = done.min(all);
    let cells = usize::try_from(done.saturating_mul(CELLS) / all).unwrap_or_default();
    let bar = "#".repeat(cells) + &".".repeat(CELLS as usize - cells.min(CELLS as usize));
    let percent = u128::from(done) * 100 / u128::from(all);
    let mut text = format!("{what} [{bar}] {percent:>3} % of {}", amounts::size(all));
    let millis = elapsed.as_millis();
    if millis >= 1000 && done > 0 {
        let rate = u64::try_from(u128::from(done) * 1000 / millis).unwrap_or(u64::MAX);
        text.push_str(&format!(", {} a second", amounts::size(rate)));
        if done < all {
            let left = u128::from(all - done) * millis / u128::from(done) / 1000;
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX));
            text.push_str(&format!(", {} left", Span(left)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::line;
    use std::time::Duration;

    #[test]
    fn it_says_how_far_how_fast_and_how_long() {
        let mib = 1 << 20;
        let at = |done, millis| line("writing", done, 1024 * mib, Duration::from_millis(millis));
        assert_eq!(at(0, 0), "writing [..............................]   0 % of 1 GiB");
        assert_eq!(
            at(256 * mib, 8000),
            "writing [#######.......................]  25 % of 1 GiB, 32 MiB a second, 24 s left"
        );
        assert_eq!(
            at(1024 * mib, 40_000),
            "writing [##############################] 100 % of 1 GiB, 25.6 MiB a second"
        );
        // Nothing to do is done, and no number is divided by.
        assert!(line("reading", 5, 0, Duration::ZERO).contains("100 %"));
        assert!(line("x", u64::MAX, u64::MAX, Duration::MAX).contains("100 %"));
    }
}
