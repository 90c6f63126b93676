//! A Linux source tree: which release it is.
//!
//! Decides: by its top Makefile. Never: runs it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::{MachineError, Probe};

/// The top Makefile has 75 KB.
const MAKEFILE_LIMIT: u64 = 1 << 20;

/// A release of Linux, as far as symbols come and go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Linux {
    /// The 6 of 6.1.
    pub major: u32,
    /// The 1 of 6.1.
    pub minor: u32,
}

/// The oldest and the newest Linux that the profiles were made for.
pub const KNOWN: (Linux, Linux) = (Linux { major: 5, minor: 10 }, Linux { major: 6, minor: 18 });

impl fmt::Display for Linux {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Linux {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let (major, minor) =
            parts.ok_or_else(|| format!("`{}` is no release of Linux", text.escape_debug()))?;
        Ok(Self { major, minor })
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() < 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A tree that is no kernel's.
#[derive(Debug, thiserror::Error)]
pub enum NoKernel {
    /// Its Makefile cannot be read.
    #[error("no kernel's source: its Makefile cannot be read")]
    Makefile(#[source] MachineError),
    /// Its Makefile is another program's.
    #[error("no kernel's source: its Makefile has no VERSION and PATCHLEVEL")]
    Version,
}

/// Returns the release of the tree whose root is the probe's.
///
/// # Errors
/// No Makefile, or one without VERSION and PATCHLEVEL.
pub fn release(tree: &dyn Probe) -> Result<Linux, NoKernel> {
    let bytes = tree.read(Path::new("/Makefile"), MAKEFILE_LIMIT).map_err(NoKernel::Makefile)?;
    let text = String::from_utf8_lossy(&bytes);
    let of = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find_map(|(key, value)| if key.trim() == name { number(value.trim()) } else { None })
    };
    match (of("VERSION"), of("PATCHLEVEL")) {
        (Some(major), Some(minor)) => Ok(Linux { major, minor }),
        _ => Err(NoKernel::Version),
    }
}

/// Returns the whole version that the tree's Makefile says: `6.1.192`, `6.12-rc3`; without what a configuration adds.
///
/// # Errors
/// As [`release`].
pub fn version(tree: &dyn Probe) -> Result<String, NoKernel> {
    let release = release(tree)?;
    let bytes = tree.read(Path::new("/Makefile"), MAKEFILE_LIMIT).map_err(NoKernel::Makefile)?;
    let text = String::from_utf8_lossy(&bytes);
    let of = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.find_map(|(key, value)| (key.trim() == name).then(|| value.trim().to_owned()));
        found.unwrap_or_default()
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-+~".contains(c);
    let sub = Some(of("SUBLEVEL")).filter(|text| number(text).is_some());
    let sub = sub.map(|number| format!(".{number}")).unwrap_or_default();
    let extra: String = of("EXTRAVERSION").chars().filter(|c| plain(*c)).collect();
    Ok(format!("{release}{sub}{extra}"))
}

#[cfg(test)]
mod tests {
    use xenup_machine::fake::FakeMachine;
    use xenup_machine::file::Attributes;

    use super::{Linux, version};

    #[test]
    fn the_makefile_says_the_whole_version() {
        for (text, said) in [
            ("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 192\nEXTRAVERSION =\n", "6.1.192"),
            ("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 0\nEXTRAVERSION = -rc3\n", "6.12.0-rc3"),
            ("VERSION = 6\nPATCHLEVEL = 12\nEXTRAVERSION = $(shell id)\n", "6.12shellid"),
        ] {
            let mut tree = FakeMachine::new();
            tree.put("/Makefile", text.as_bytes(), &Attributes::root(0o644));
            assert_eq!(version(&tree).unwrap(), said);
        }
    }

    #[test]
    fn releases_are_ordered_by_number() {
        let of = |text: &str| text.parse::<Linux>();
        assert!(of("5.10").unwrap() < of("6.1").unwrap() && of("6.9").unwrap() < of("6.12").unwrap());
        for text in ["6", "6.1.2", "6.x", "", "-6.1", "6.1000000"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
