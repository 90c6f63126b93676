//! What apt says it would do: `apt-get -s full-upgrade`, and `apt-get --print-uris full-upgrade` for its sizes.
//!
//! Decides: which of apt's sentences matter. Their forms are those of apt-get since apt 1.0 without a locale. Never: runs
//! apt, or guesses what a sentence that is not there would say.

use serde::{Deserialize, Serialize};

use crate::packages::AptSimulation;

/// A simulated upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    /// What would be unpacked and taken away, in apt's order.
    pub changes: AptSimulation,
    /// What nothing needs any more afterwards: `apt autoremove` would take it.
    pub no_longer_needed: Vec<String>,
    /// What stays at its version although there is a newer one.
    pub kept_back: Vec<String>,
    /// What is on hold and would change all the same.
    pub held_changed: Vec<String>,
    /// What would go back to an older version.
    pub downgraded: Vec<String>,
    /// Essential packages that would be taken away.
    pub essential_removed: Vec<String>,
    /// apt's last line.
    pub counts: Counts,
}

/// `482 upgraded, 122 newly installed, 38 to remove and 0 not upgraded.`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counts {
    /// Upgraded.
    pub upgraded: usize,
    /// New.
    pub new: usize,
    /// Taken away.
    pub removed: usize,
    /// Left at their versions.
    pub not_upgraded: usize,
}

/// What `apt-get --print-uris` says of sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Sizes {
    /// Bytes to fetch: the sizes of all archives that are named.
    pub download: u64,
    /// Bytes more on the disk afterwards, as apt rounds them; negative where some become free.
    pub disk: i64,
}

/// The lists that matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    NoLongerNeeded,
    KeptBack,
    HeldChanged,
    Downgraded,
    Essential,
}

/// The beginnings and ends of apt's headings; singular and plural differ between them.
const HEADINGS: [(&str, &str, List); 5] = [
    ("The following package", "no longer required:", List::NoLongerNeeded),
    ("The following package", "been kept back:", List::KeptBack),
    ("The following held package", "changed:", List::HeldChanged),
    ("The following package", "DOWNGRADED:", List::Downgraded),
    ("WARNING: The following essential package", "removed.", List::Essential),
];

impl Simulation {
    /// Reads apt's output.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut simulation = Self { changes: AptSimulation::parse(text), ..Self::default() };
        let mut list = None;
        for line in text.lines() {
            if line.starts_with("  ") {
                if let Some(list) = list {
                    simulation.list(list).extend(names(line));
                }
            } else if let Some(counts) = counts(line) {
                simulation.counts = counts;
            } else if list != Some(List::Essential) || !line.starts_with("This should NOT be done") {
                list = heading(line);
            }
        }
        simulation
    }

    fn list(&mut self, list: List) -> &mut Vec<String> {
        match list {
            List::NoLongerNeeded => &mut self.no_longer_needed,
            List::KeptBack => &mut self.kept_back,
            List::HeldChanged => &mut self.held_changed,
            List::Downgraded => &mut self.downgraded,
            List::Essential => &mut self.essential_removed,
        }
    }
}

fn heading(line: &str) -> Option<List> {
    let line = line.trim_end();
    let found = HEADINGS.iter().find(|(start, end, _)| line.starts_with(start) && line.ends_with(end));
    found.map(|(_, _, list)| *list)
}

/// The names of a line; an essential package comes with its reason: `libc6 (due to dpkg)`.
fn names(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut reason = false;
    for word in line.split_ascii_whitespace() {
        reason |= word.starts_with('(');
        if reason {
            reason = !word.ends_with(')');
        } else {
            names.push(word.to_owned());
        }
    }
    names
}

fn counts(line: &str) -> Option<Counts> {
    let (upgraded, rest) = line.split_once(" upgraded, ")?;
    let (new, rest) = rest.split_once(" newly installed, ")?;
    // What is installed again and what goes back stand between, where there is any.
    let rest = rest.rsplit(", ").next()?;
    let (removed, rest) = rest.split_once(" to remove and ")?;
    let not_upgraded = rest.split_once(" not upgraded")?.0;
    Some(Counts {
        upgraded: upgraded.parse().ok()?,
        new: new.parse().ok()?,
        removed: removed.parse().ok()?,
        not_upgraded: not_upgraded.parse().ok()?,
    })
}

impl Sizes {
    /// Reads the output; `None` where apt says nothing of sizes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut download = 0_u64;
        let mut disk = None;
        for line in text.lines() {
            if line.starts_with('\'') {
                // 'ADDRESS' FILE SIZE HASH
                let size = line.rsplit_once("' ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
                download = download.saturating_add(size.unwrap_or(0));
            } else if let Some(rest) = line.strip_prefix("After this operation, ") {
                disk = difference(rest);
            }
        }
        disk.map(|disk| Self { download, disk })
    }
}

/// Reads `1359 MB of additional disk space will be used.` or `12.3 kB disk space will be freed.`
fn difference(text: &str) -> Option<i64> {
    let mut words = text.split(' ');
    let (number, unit) = (words.next()?, words.next()?);
    // Units of a thousand, and one digit behind a point at most.
    let unit: u64 = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    let number = number.replace(',', "");
    let (whole, tenths) = number.split_once('.').unwrap_or((&number, "0"));
    let tenths = tenths.get(..1)?.parse::<u64>().ok()?;
    let bytes = whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(tenths.checked_mul(unit / 10)?)?;
    let bytes = i64::try_from(bytes).ok()?;
    Some(if text.contains("freed") { -bytes } else { bytes })
}

#[cfg(test)]
mod tests {
    use super::{Counts, Simulation, Sizes};

    #[test]
    fn every_list_is_read_and_others_are_passed_over() {
        let text = "The following package was automatically installed and is no longer required:\n  libaio1\n\
            Use 'apt autoremove' to remove it.\nThe following packages have been kept back:\n  a b\n  c\n\
            The following NEW packages will be installed:\n  new\nThe following held packages will be changed:\n  h\n\
            The following packages will be DOWNGRADED:\n  d\n\
            WARNING: The following essential packages will be removed.\n\
            This should NOT be done unless you know exactly what you are doing!\n  dash libc6 (due to dash) e2fsprogs\n\
            1 upgraded, 2 newly installed, 3 reinstalled, 4 downgraded, 5 to remove and 6 not upgraded.\n\
            11 not fully installed or removed.\nRemv xen-utils-4.17 [4.17.5]\n";
        let simulation = Simulation::parse(text);
        assert_eq!(simulation.no_longer_needed, ["libaio1"]);
        assert_eq!(simulation.kept_back, ["a", "b", "c"]);
        assert_eq!(
            (&simulation.held_changed[..], &simulation.downgraded[..]),
            (&["h".to_owned()][..], &["d".to_owned()][..])
        );
        assert_eq!(simulation.essential_removed, ["dash", "libc6", "e2fsprogs"]);
        assert_eq!(simulation.counts, Counts { upgraded: 1, new: 2, removed: 5, not_upgraded: 6 });
        assert_eq!(simulation.changes.removes.len(), 1);
        assert_eq!(Simulation::parse("no sense\n  x\n"), Simulation::default());
    }

    #[test]
    fn sizes_are_summed_and_the_difference_is_read() {
        let text = "Need to get 3 B/743 MB of archives.\nAfter this operation, 1,359 MB of additional disk space will be used.\n\
            'http://a/x%20y_1_all.deb' x y_1_all.deb 7\n'http://a/z_1_all.deb' z_1_all.deb 234964 SHA256:00\n";
        assert_eq!(Sizes::parse(text), Some(Sizes { download: 234_964, disk: 1_359_000_000 }));
        let freed = Sizes::parse("After this operation, 12.3 kB disk space will be freed.\n");
        assert_eq!(freed, Some(Sizes { download: 0, disk: -12_300 }));
        for bad in [
            "",
            "After this operation, many MB",
            "After this operation, 1 furlong of",
            "After this operation, 99999999999999999999 TB of",
        ] {
            assert_eq!(Sizes::parse(bad), None, "{bad}");
        }
    }
}
