//! VLANs by their tags, one or a row of them, as bridge(8) writes them: `100`, `200-209`.
//!
//! Decides: which tags there are (IEEE 802.1Q). Never: what a bridge does with them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Twelve bits, of which all zeros and all ones mean something else.
const MOST: u16 = 4094;

/// VLANs from the first to the last, both counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VlanRange {
    first: u16,
    last: u16,
}

impl VlanRange {
    /// Returns the VLANs from `first` to `last`; `None` where one is no tag, or the last comes before the first.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first >= 1 && first <= last && last <= MOST).then_some(Self { first, last })
    }

    /// Returns the first tag.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// Returns the last tag.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    /// Returns whether the VLAN is one of them.
    #[must_use]
    pub fn has(self, tag: u16) -> bool {
        (self.first..=self.last).contains(&tag)
    }

    /// Returns the same VLANs in order, each once, neighbours in one row: how the kernel tells them.
    #[must_use]
    pub fn joined(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut joined: Vec<Self> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(before) if range.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(range.last);
                }
                _ => joined.push(range),
            }
        }
        joined
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

/// A text that names no VLANs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no VLAN: 1 to 4094, or a row of them such as 200-209")]
pub struct NoVlans(pub String);

impl FromStr for VlanRange {
    type Err = NoVlans;

    fn from_str(text: &str) -> Result<Self, NoVlans> {
        let tag = |text: &str| {
            text.parse::<u16>().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = tag(first).zip(tag(last)).and_then(|(first, last)| Self::new(first, last));
        range.ok_or_else(|| NoVlans(text.to_owned()))
    }
}

impl TryFrom<String> for VlanRange {
    type Error = NoVlans;

    fn try_from(text: String) -> Result<Self, NoVlans> {
        text.parse()
    }
}

impl From<VlanRange> for String {
    fn from(range: VlanRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::VlanRange;

    #[test]
    fn rows_are_read_strictly_and_joined() {
        let read = |text: &str| text.parse::<VlanRange>().ok();
        for bad in ["", "0", "4095", "9-8", "+1", "1-", "-1", "1-2-3", "1 - 2", "70000"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let all: Vec<VlanRange> = ["30-39", "5", "6", "35-50", "100"].into_iter().filter_map(read).collect();
        let joined: Vec<String> = VlanRange::joined(all).iter().map(ToString::to_string).collect();
        assert_eq!(joined, ["5-6", "30-50", "100"]);
    }
}
