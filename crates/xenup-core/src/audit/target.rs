//! Which hypervisor guests are judged by: a release of Xen, or the one that a Debian suite has.
//!
//! Decides: by a table of suites, each row with its source, and by what is known of Debian's builds. An installed
//! hypervisor's own configuration outweighs both. Never: asks an archive.

use std::fmt;
use std::str::FromStr;

use crate::kernel::{Hypervisor, Release};

use super::report::To;

/// A suite of Debian, and its Xen.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// Debian's number.
    pub number: &'static str,
    /// The Xen in it.
    pub xen: Release,
    /// Where that is known from.
    pub source: &'static str,
    /// Options that are known of its build, as a configuration has them; empty where none is.
    pub config: &'static str,
}

const fn suite(
    name: &'static str,
    number: &'static str,
    major: u8,
    minor: u8,
    source: &'static str,
    config: &'static str,
) -> Suite {
    Suite { name, number, xen: Release { major, minor }, source, config }
}

/// What Debian's xen 4.17.7+13, 4.20.3 and 4.20.4 set, as shipped: shadow paging went with the update for XSA-495.
const SINCE_XSA_495: &str = "# CONFIG_PV32 is not set\n# CONFIG_SHADOW_PAGING is not set\n";

/// What is said of a row that nothing but hearsay supports.
const NO_SOURCE: &str = "which Xen it has is hearsay: no source was found";

/// The suites, oldest first.
pub const SUITES: &[Suite] = &[
    suite("etch", "4", 3, 0, NO_SOURCE, ""),
    suite("lenny", "5", 3, 2, NO_SOURCE, ""),
    suite("squeeze", "6", 4, 0, "Debian bug 681376: packages xen-hypervisor-4.0", ""),
    suite("wheezy", "7", 4, 1, "Debian bug 681376: packages xen-hypervisor-4.1", ""),
    suite("jessie", "8", 4, 4, "DSA-3414-1: xen 4.4.1-9+deb8u3", ""),
    suite("stretch", "9", 4, 8, "DSA-4050-1: xen 4.8.2+xsa245-0+deb9u1", ""),
    suite("buster", "10", 4, 11, NO_SOURCE, ""),
    suite("bullseye", "11", 4, 14, "Debian's security tracker: xen 4.14.6-1", ""),
    suite("bookworm", "12", 4, 17, "xen 4.17.7+13 as shipped", SINCE_XSA_495),
    suite("trixie", "13", 4, 20, "xen 4.20.3 and 4.20.4 as shipped", SINCE_XSA_495),
];

/// Debian 13's, where nothing says another.
const DEFAULT: &str = "trixie";

/// What `--to` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// A release of Xen.
    Release(Release),
    /// A suite of Debian.
    Suite(&'static Suite),
}

/// A word that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no release of Xen (2.0, 3.0 to 3.4, 4.0 to 4.21) and no suite of Debian with one ({list})", list = names())]
pub struct UnknownGoal(String);

fn names() -> String {
    let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
    names.join(", ")
}

impl FromStr for Goal {
    type Err = UnknownGoal;

    fn from_str(word: &str) -> Result<Self, UnknownGoal> {
        if let Some(suite) = SUITES.iter().find(|suite| suite.name == word) {
            return Ok(Self::Suite(suite));
        }
        word.parse().map(Self::Release).map_err(|_| UnknownGoal(word.to_owned()))
    }
}

/// The hypervisor that guests are judged by.
#[derive(Debug, Clone)]
pub struct Target {
    /// It.
    pub xen: Hypervisor,
    /// The suite it comes with, where Debian has that release.
    pub suite: Option<&'static Suite>,
    /// Where what is known of it comes from.
    pub source: String,
}

impl Target {
    /// Returns what is to be judged by: what `goal` names; else the newest of `installed`; else the Xen of the suite
    /// that the host runs; else Debian 13's.
    #[must_use]
    pub fn of(goal: Option<Goal>, installed: &[Hypervisor], codename: &str) -> Self {
        let newest = || installed.iter().max_by_key(|xen| xen.release);
        let named = SUITES.iter().find(|suite| suite.name == codename);
        match goal {
            Some(Goal::Suite(suite)) => Self::in_suite(suite, installed, codename),
            Some(Goal::Release(release)) => {
                let here = installed.iter().find(|xen| xen.release == release);
                let suite = SUITES.iter().find(|suite| suite.xen == release);
                match (here, suite) {
                    (Some(xen), suite) => Self::installed(xen, suite),
                    (None, Some(suite)) => Self::build(suite),
                    (None, None) => Self {
                        xen: Hypervisor::of(release),
                        suite: None,
                        source: "as its makers built it; no suite of Debian has it".to_owned(),
                    },
                }
            }
            None => match (newest(), named) {
                (Some(xen), _) => Self::installed(xen, SUITES.iter().find(|suite| suite.xen == xen.release)),
                (None, Some(suite)) => Self::build(suite),
                (None, None) => SUITES
                    .iter()
                    .find(|suite| suite.name == DEFAULT)
                    .map_or_else(Self::last_resort, Self::build),
            },
        }
    }

    /// A suite's Xen: the installed one, where the host runs that suite and has it.
    fn in_suite(suite: &'static Suite, installed: &[Hypervisor], codename: &str) -> Self {
        let here = installed.iter().find(|xen| xen.release == suite.xen);
        match here.filter(|_| codename == suite.name) {
            Some(xen) => Self::installed(xen, Some(suite)),
            None => Self::build(suite),
        }
    }

    fn installed(xen: &Hypervisor, suite: Option<&'static Suite>) -> Self {
        Self { xen: xen.clone(), suite, source: "installed here".to_owned() }
    }

    fn build(suite: &'static Suite) -> Self {
        let origin = format!("Debian {}, {}", suite.number, suite.source);
        let xen = if suite.config.is_empty() {
            Hypervisor::of(suite.xen)
        } else {
            Hypervisor::built(suite.xen, suite.config, &origin)
        };
        Self { xen, suite: Some(suite), source: origin }
    }

    fn last_resort() -> Self {
        let release = Release { major: 4, minor: 20 };
        Self { xen: Hypervisor::of(release), suite: None, source: "nothing names another".to_owned() }
    }

    /// Returns it as the report has it.
    #[must_use]
    pub fn shown(&self) -> To {
        To {
            xen: self.xen.name.clone(),
            suite: self.suite.map(|suite| suite.name.to_owned()),
            source: self.source.clone(),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Debian {} ({})", self.number, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, SUITES, Target};
    use crate::kernel::hypervisor::{Capability, RELEASES, State};
    use crate::kernel::{Hypervisor, Release};

    #[test]
    fn a_suite_or_a_release_is_understood_and_nothing_else() {
        let xen = |word: &str| Target::of(Some(word.parse().unwrap()), &[], "").xen.name;
        assert_eq!([xen("trixie"), xen("4.20"), xen("4.21"), xen("etch")], ["4.20", "4.20", "4.21", "3.0"]);
        for word in ["", "Trixie", "forky", "4", "5.0", "4.22", "..", "xen"] {
            assert!(word.parse::<Goal>().is_err(), "{word}");
        }
        assert!(SUITES.iter().all(|suite| RELEASES.contains(&suite.xen)));
    }

    #[test]
    fn an_installed_hypervisor_speaks_for_itself() {
        let with_shadow = "CONFIG_SHADOW_PAGING=y\nCONFIG_PV32=y\n".to_owned();
        let installed = [Hypervisor::installed("4.17-amd64", Some(with_shadow)).unwrap()];
        let shadow = |goal: Option<&str>, codename: &str| {
            let goal = goal.map(|word| word.parse().unwrap());
            Target::of(goal, &installed, codename).xen.fact(Capability::Shadow).state
        };
        assert_eq!(shadow(None, "bookworm"), State::Yes);
        assert_eq!(shadow(Some("4.17"), "bookworm"), State::Yes);
        assert_eq!(shadow(Some("trixie"), "bookworm"), State::No);
        // Upgrading to bookworm brings its own build, whatever is called 4.17 before.
        assert_eq!(shadow(Some("bookworm"), "bullseye"), State::No);
        assert_eq!(Target::of(None, &[], "buster").xen.release, Release { major: 4, minor: 11 });
    }
}
