//! Sizes and times as people read them. Decides how they are rounded; never what they are of.

use std::fmt;
use std::time::Duration;

/// Bytes as MiB, GiB or TiB, with one decimal where that tells something.
#[must_use]
pub fn size(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    let Some((unit, name)) = STEPS.iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(*unit) / 2) / u128::from(*unit);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenth) => format!("{whole}.{tenth} {name}"),
    }
}

/// A time in the two largest of hours, minutes and seconds.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(out, "{seconds} s"),
            (0, minutes, seconds) => write!(out, "{minutes} min {seconds:02} s"),
            (hours, minutes, _) => write!(out, "{hours} h {minutes:02} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let sizes = [0, 512, 1 << 20, (4 << 30) + (410 << 20), 6 << 30, 4_000_787_030_016, u64::MAX];
        let words: Vec<String> = sizes.iter().map(|bytes| size(*bytes)).collect();
        assert_eq!(words, ["0 bytes", "512 bytes", "1 MiB", "4.4 GiB", "6 GiB", "3.6 TiB", "16777216 TiB"]);
    }

    #[test]
    fn times_have_their_two_largest_units() {
        let words =
            [0, 59, 60, 3599, 3600, 86_461].map(|seconds| Span(Duration::from_secs(seconds)).to_string());
        assert_eq!(words, ["0 s", "59 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "24 h 01 min"]);
    }
}
