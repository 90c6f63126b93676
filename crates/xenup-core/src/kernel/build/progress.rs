//! How far a build is, by what make says.
//!
//! Decides: which of its lines is a step (kbuild prints `  CC      init/main.o` for each), how many there will be (`make -n`
//! prints the same words as commands of a shell), and what of it is told. Never: asks a clock; times come in.

use std::time::Duration;

use crate::amounts::Span;

/// Before so many steps, or so much time, an estimate would jump.
const FEWEST: u64 = 20;
const SHORTEST: Duration = Duration::from_secs(5);
/// Without a terminal a line is written each time so many hundredths are done, or so many steps where nobody knows
/// how many there are.
const PART: u64 = 5;
const STEPS: u64 = 200;
/// Of the width of a terminal, what the bar itself takes.
const BAR: u64 = 24;

/// Returns what a line of make's output does and to what: `CC init/main.o`; `None` for any other line.
#[must_use]
pub fn step(line: &str) -> Option<String> {
    let rest = line.strip_prefix("  ")?;
    let (verb, what) = rest.split_once(' ')?;
    let letters = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let is_verb =
        verb.len() >= 2 && verb.starts_with(|c: char| c.is_ascii_uppercase()) && verb.bytes().all(letters);
    let what = what.trim();
    let what = what.strip_prefix("[M]").map_or(what, str::trim_start);
    (is_verb && !what.is_empty()).then(|| format!("{verb} {what}"))
}

/// Returns how many steps a line of `make -n` stands for.
#[must_use]
pub fn planned(line: &str) -> u64 {
    let mut count: u64 = 0;
    for part in line.split("echo '").skip(1) {
        let said = part.split('\'').next().unwrap_or_default();
        count = count.saturating_add(u64::from(step(said).is_some()));
    }
    count
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    total: Option<u64>,
    done: u64,
    last: String,
    told: u64,
}

impl Progress {
    /// Returns a build that has done nothing of `total` steps; `None` where nobody knows how many there are.
    #[must_use]
    pub fn new(total: Option<u64>) -> Self {
        Self { total: total.filter(|total| *total > 0), ..Self::default() }
    }

    /// Takes a line of make's output; `false` where it is no step.
    pub fn take(&mut self, line: &str) -> bool {
        let Some(step) = step(line) else { return false };
        self.done = self.done.saturating_add(1);
        self.last = step;
        true
    }

    /// Returns how many steps were done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Returns how many hundredths are done: never all of them, since make may do more than it announced.
    #[must_use]
    pub fn hundredths(&self) -> Option<u64> {
        self.total.map(|total| (self.done.saturating_mul(100) / total).min(99))
    }

    /// Returns how long the rest takes if its steps take as long as those before.
    #[must_use]
    pub fn left(&self, elapsed: Duration) -> Option<Duration> {
        let rest = self.total?.checked_sub(self.done).filter(|rest| *rest > 0)?;
        if self.done < FEWEST || elapsed < SHORTEST {
            return None;
        }
        let seconds = u128::from(elapsed.as_secs()).saturating_mul(u128::from(rest)) / u128::from(self.done);
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
    }

    /// Returns the line of a terminal, at most `width` columns.
    #[must_use]
    pub fn meter(&self, elapsed: Duration, width: usize) -> String {
        let line = match (self.total, self.hundredths()) {
            (Some(total), Some(hundredths)) => {
                let full = hundredths.saturating_mul(BAR) / 100;
                let bar: String = (0..BAR).map(|at| if at < full { '#' } else { '.' }).collect();
                let left =
                    self.left(elapsed).map(|left| format!("  {} left", Span(left))).unwrap_or_default();
                format!("[{bar}] {hundredths:>2} %  {}/{total}{left}  {}", self.done, self.last)
            }
            _ => format!("{} steps, {}  {}", self.done, Span(elapsed), self.last),
        };
        line.chars().take(width).collect()
    }

    /// Returns the line for where there is no terminal, when one is due.
    pub fn line(&mut self, elapsed: Duration) -> Option<String> {
        let mark = match self.hundredths() {
            Some(hundredths) => hundredths / PART,
            None => self.done / STEPS,
        };
        if mark <= self.told {
            return None;
        }
        self.told = mark;
        Some(match (self.total, self.hundredths()) {
            (Some(total), Some(hundredths)) => {
                let left =
                    self.left(elapsed).map(|left| format!(", {} left", Span(left))).unwrap_or_default();
                format!("{hundredths} %: {} of {total} steps{left}", self.done)
            }
            _ => format!("{} steps after {}", self.done, Span(elapsed)),
        })
    }
}
