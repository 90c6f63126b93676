//! Sizes and times as people read them. Decides how they are rounded; never what they are of.

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

/// Seconds as `7 s`, `2:05` or `1:02:05`.
#[must_use]
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02}"),
        _ => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_people_write_them() {
        let sizes = [0, 512, 1 << 20, (4 << 30) + (410 << 20), 6 << 30, 4_000_787_030_016, u64::MAX];
        let words: Vec<String> = sizes.iter().map(|bytes| size(*bytes)).collect();
        assert_eq!(words, ["0 bytes", "512 bytes", "1 MiB", "4.4 GiB", "6 GiB", "3.6 TiB", "16777216 TiB"]);
        let times: Vec<String> = [7, 125, 3725].map(|s| time(Duration::from_secs(s))).to_vec();
        assert_eq!(times, ["7 s", "2:05", "1:02:05"]);
    }
}
