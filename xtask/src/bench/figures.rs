//! Samples, their medians, and tables of them. Pure: measures nothing.

use std::fmt::Write as _;

use serde::Serialize;

/// One of those measured.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What ran.
    pub name: String,
    /// Milliseconds, in the order they were measured.
    pub samples_ms: Vec<f64>,
    /// What it cost the network, where that was watched: packets lost in each run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<f64>,
    /// Packets sent in each run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<f64>,
    /// The longest gap between two answers in each run, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps_ms: Vec<f64>,
}

impl Row {
    /// Returns a row without samples.
    pub fn new(name: &str) -> Self {
        let (samples_ms, lost, sent, gaps_ms) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { name: name.to_owned(), samples_ms, lost, sent, gaps_ms }
    }

    /// Returns the median of its milliseconds.
    pub fn median(&self) -> f64 {
        spread(&self.samples_ms).1
    }
}

/// What was measured in one run.
#[derive(Debug, Serialize)]
pub struct Table {
    /// The bench.
    pub name: &'static str,
    /// Ours first.
    pub rows: Vec<Row>,
    /// What belongs to the figures: targets, sizes.
    pub notes: Vec<String>,
    /// Peers that were left out, and why.
    pub skipped: Vec<String>,
}

/// Returns the least, the median and the largest; zeros where there is none.
pub fn spread(samples: &[f64]) -> (f64, f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let middle = if sorted.len() % 2 == 1 || sorted.is_empty() {
        at(sorted.len() / 2)
    } else {
        f64::midpoint(at(sorted.len() / 2 - 1), at(sorted.len() / 2))
    };
    (at(0), middle, at(sorted.len().saturating_sub(1)))
}

/// Returns a share with its interval of 95 % (Wilson's): `12/200 (0.035-0.102)`.
pub fn share(count: usize, of: usize) -> String {
    let (low, high) = wilson(count as f64, of as f64);
    format!("{count}/{of} ({low:.3}-{high:.3})")
}

fn wilson(count: f64, of: f64) -> (f64, f64) {
    if of <= 0.0 {
        return (0.0, 1.0);
    }
    let z = 1.96;
    let (rate, square) = (count / of, z * z);
    let middle = rate + square / (2.0 * of);
    let half = z * (rate * (1.0 - rate) / of + square / (4.0 * of * of)).sqrt();
    let over = 1.0 + square / of;
    (((middle - half) / over).max(0.0), ((middle + half) / over).min(1.0))
}

impl Row {
    /// Returns what was lost of all packets and in how many runs, with the intervals of both rates.
    fn loss(&self) -> String {
        let (lost, sent): (f64, f64) = (self.lost.iter().sum(), self.sent.iter().sum());
        let (low, high) = wilson(lost, sent);
        let lossy = self.lost.iter().filter(|lost| **lost > 0.0).count();
        let million = 1e6;
        format!(
            "{lost} of {sent} lost, {:.1} per million ({:.1}-{:.1}); runs with a loss {}",
            lost / sent.max(1.0) * million,
            low * million,
            high * million,
            share(lossy, self.lost.len())
        )
    }
}

impl Table {
    /// Returns it as text; the ratio is ours to the row's, so that above 1 ours takes longer.
    pub fn text(&self) -> String {
        let ours = self.rows.first().map_or(0.0, Row::median);
        let lossy = self.rows.iter().any(|row| !row.lost.is_empty());
        let mut text =
            format!("{}\n{:<44}{:>10}{:>20}{:>8}", self.name, "", "median ms", "(least-most)", "ratio");
        text += if lossy { "     lost (least-most)   gap ms (least-most)\n" } else { "\n" };
        for row in &self.rows {
            let (least, median, most) = spread(&row.samples_ms);
            let range = format!("({least:.1}-{most:.1})");
            let ratio = if median > 0.0 { format!("{:.2}", ours / median) } else { "-".to_owned() };
            let _ = write!(text, "{:<44}{median:>10.1}{range:>20}{ratio:>8}", row.name);
            if lossy {
                let cell = |samples: &[f64]| {
                    let (least, median, most) = spread(samples);
                    format!("{median:.0} ({least:.0}-{most:.0})")
                };
                let _ = write!(text, "{:>22}{:>22}", cell(&row.lost), cell(&row.gaps_ms));
            }
            text.push('\n');
        }
        let runs = self.rows.iter().map(|row| row.samples_ms.len()).max().unwrap_or_default();
        let fewer = self.rows.iter().filter(|row| row.samples_ms.len() < runs);
        let fewer: Vec<String> =
            fewer.map(|row| format!("{} {} times", row.name, row.samples_ms.len())).collect();
        let but = if fewer.is_empty() { String::new() } else { format!("; but {}", fewer.join(", ")) };
        let _ = writeln!(text, "  each measured {runs} times, in turns{but}");
        for row in self.rows.iter().filter(|row| !row.sent.is_empty()) {
            let _ = writeln!(text, "  {}: {}", row.name, row.loss());
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "  left out: {skipped}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Table, share, spread};

    #[test]
    fn shares_have_intervals_that_hold_them() {
        assert_eq!(share(0, 200), "0/200 (0.000-0.019)");
        assert_eq!(share(10, 200), "10/200 (0.027-0.090)");
        assert_eq!(share(0, 0), "0/0 (0.000-1.000)");
    }

    #[test]
    fn medians() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), (1.0, 2.5, 4.0));
        assert_eq!(spread(&[]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_table_has_ratios_of_ours_and_names_what_is_left_out() {
        let row = |name: &str, ms| Row { samples_ms: vec![ms], ..Row::new(name) };
        let table = Table {
            name: "inspect",
            rows: vec![row("ours", 10.0), row("dpkg-query", 4.0)],
            notes: vec!["target: 5".to_owned()],
            skipped: vec!["facter: not in Debian".to_owned()],
        };
        let text = table.text();
        let peer = text.lines().find(|line| line.starts_with("dpkg-query")).unwrap();
        assert!(peer.ends_with("2.50"), "{text}");
        assert!(text.contains("left out: facter"), "{text}");
    }
}
