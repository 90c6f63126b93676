//! What a suite of Debian's archive is called in another release. Decides by names alone.

use crate::audit::target::{SUITES, Suite};

/// Names that stand for whichever release is at that place today.
const ALIASES: [&str; 3] = ["stable", "oldstable", "oldoldstable"];
/// Other suites of the archive that are no release's.
const ROLLING: [&str; 5] = ["testing", "unstable", "sid", "experimental", "rc-buggy"];
/// What can stand behind a release's name.
const POCKETS: [&str; 8] = [
    "",
    "-updates",
    "-security",
    "-proposed-updates",
    "-backports",
    "-debug",
    "-backports-debug",
    "-proposed-updates-debug",
];
/// The first release whose security suite is called `NAME-security`; before it was `NAME/updates`.
const FIRST_DASH_SECURITY: u32 = 11;

/// A suite's name in the other release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renamed {
    /// The same: it names that release already.
    Same,
    /// This one.
    To(String),
    /// It has none, and why.
    No(&'static str),
}

/// Returns what `suite`, in use on a machine of the release `from`, is called in `to`. A name such as `stable` becomes the
/// release's own: what it stands for changes by itself.
#[must_use]
pub fn renamed(suite: &str, from: &Suite, to: &Suite) -> Renamed {
    if suite.ends_with('/') {
        return Renamed::No("it is a folder of packages, not a suite");
    }
    if suite == "proposed-updates" {
        return Renamed::To(format!("{}-proposed-updates", to.name));
    }
    let (base, pocket) = match suite.find(['-', '/']) {
        Some(at) => suite.split_at(at),
        None => (suite, ""),
    };
    if ROLLING.contains(&base) {
        return Renamed::No("it is no release");
    }
    let alias = ALIASES.contains(&base);
    if !alias && base != from.name && base != to.name {
        let other = SUITES.iter().any(|suite| suite.name == base);
        return Renamed::No(if other {
            "it is another release's"
        } else {
            "no release of Debian has this name"
        });
    }
    let pocket = match pocket {
        "/updates" | "-security" => security(to),
        // What comes after a release goes into its own backports once that release is there.
        "-backports-sloppy" => "-backports",
        pocket if POCKETS.contains(&pocket) => pocket,
        _ => return Renamed::No("no suite of Debian's is called so"),
    };
    let name = format!("{}{pocket}", to.name);
    if name == suite { Renamed::Same } else { Renamed::To(name) }
}

fn security(to: &Suite) -> &'static str {
    let number = to.number.parse().unwrap_or(u32::MAX);
    if number >= FIRST_DASH_SECURITY { "-security" } else { "/updates" }
}
