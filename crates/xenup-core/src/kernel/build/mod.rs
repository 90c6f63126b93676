//! Building a kernel: what it needs, with which settings, how far it is, and whether what came of it can play its role.
//!
//! Decides: by the configuration, make's own words and the built image. Never: runs make, or looks at a disk.

pub mod dom0;
pub mod needs;
pub mod prepare;
pub mod progress;
pub mod record;

use std::fmt;

use super::kconfig::Values;
use super::kconfig::expr::Tristate;
use super::role::{Answer, Role, Verdict};

/// The revision of every package; kbuild makes it the number of the build in the kernel's banner.
const REVISION: u32 = 1;
const MIB: u64 = 1 << 20;
/// An unpacked source: 1.4 GB of Linux 6.1, 1.6 of 6.12.
pub const TREE_ROOM: u64 = 1900 * MIB;
/// What a build needs whatever is switched on: make's own tools, three links of vmlinux, the packages.
const BASE_ROOM: u64 = 400 * MIB;
/// For each symbol that is on: its objects, and once more in the package's tree.
const SYMBOL_ROOM: u64 = MIB;

/// Returns an estimate of what the objects and packages of a configuration take, in bytes; debug information is six times
/// the rest.
#[must_use]
pub fn room(values: &Values) -> u64 {
    let on = values.iter().filter(|(_, value)| matches!(*value, "y" | "m")).count() as u64;
    let plain = BASE_ROOM.saturating_add(SYMBOL_ROOM.saturating_mul(on));
    if values.switch("DEBUG_INFO") == Tristate::Y { plain.saturating_mul(6) } else { plain }
}

/// Returns a package's version: the kernel's own, and the configuration by the start of its digest, so that two
/// configurations of one source are told apart.
#[must_use]
pub fn package_version(kernel: &str, config_digest: &str) -> String {
    let short: String = config_digest.chars().take(8).collect();
    format!("{kernel}+c{short}-{REVISION}")
}

/// Returns the variables by which two builds of one source come to the same image. `moment` is `seconds` in words, as
/// date(1) writes them.
#[must_use]
pub fn settings(seconds: i64, moment: &str, version: &str) -> Vec<(&'static str, String)> {
    vec![
        ("KBUILD_BUILD_TIMESTAMP", moment.to_owned()),
        ("KBUILD_BUILD_USER", "xenup".to_owned()),
        ("KBUILD_BUILD_HOST", "debian".to_owned()),
        ("KBUILD_BUILD_VERSION", REVISION.to_string()),
        ("KDEB_PKGVERSION", version.to_owned()),
        ("KDEB_CHANGELOG_DIST", "unstable".to_owned()),
        ("DEBFULLNAME", "xenup kernel build".to_owned()),
        ("DEBEMAIL", "root@localhost".to_owned()),
        ("SOURCE_DATE_EPOCH", seconds.to_string()),
    ]
}

/// A role that a kernel was built for and cannot play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplayable {
    /// The role.
    pub role: Role,
    /// What stops it, or what nothing says.
    pub why: String,
    /// What to change, where that is known.
    pub change: Option<String>,
}

impl fmt::Display for Unplayable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.role, self.why)
    }
}

/// Returns what of `plays` the kernel cannot be. What is not known is never a yes.
#[must_use]
pub fn unplayable(plays: &[Role], verdicts: &[Verdict]) -> Vec<Unplayable> {
    let judged = plays.iter().filter_map(|role| {
        let verdict = verdicts.iter().find(|verdict| verdict.role == *role);
        let (why, change) = match verdict.map(|verdict| &verdict.answer) {
            Some(Answer::Yes { .. }) => return None,
            Some(Answer::No { reason, evidence, change }) => {
                (format!("{reason} ({})", evidence.what), Some(change.clone()))
            }
            Some(Answer::Unknown { why }) => (format!("not known, {why}"), None),
            None => ("it was not judged".to_owned(), None),
        };
        Some(Unplayable { role: *role, why, change })
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::{package_version, room, settings, unplayable};
    use crate::kernel::kconfig::Values;
    use crate::kernel::role::{Answer, Evidence, Role, Verdict};

    #[test]
    fn more_symbols_take_more_room_and_debug_information_most() {
        let of = |text: &str| room(&Values::parse(text));
        assert_eq!(of("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=\"y y\"\n"), 402 << 20);
        assert_eq!(of("CONFIG_DEBUG_INFO=y\n"), 6 * (401 << 20));
    }

    #[test]
    fn two_configurations_are_two_versions() {
        assert_eq!(package_version("6.1.192", "0123456789abcdef"), "6.1.192+c01234567-1");
        let all = settings(1, "Thu Jan  1 00:00:01 UTC 1970", "6.1+c0-1");
        let of = |name| all.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        assert_eq!(of("SOURCE_DATE_EPOCH"), Some("1"));
        // Debian's rules of Linux 6.1 take the number of the build from the revision.
        assert_eq!(of("KBUILD_BUILD_VERSION"), Some("1"));
    }

    #[test]
    fn a_role_is_played_with_a_yes_alone() {
        let no = Answer::No {
            reason: "it was not built for Xen".to_owned(),
            evidence: Evidence { what: "no Xen note".to_owned(), offset: None },
            change: "set CONFIG_XEN".to_owned(),
        };
        let verdicts = [
            Verdict { role: Role::Pv, answer: no },
            Verdict { role: Role::Pvh, answer: Answer::Yes { given: vec!["a condition".to_owned()] } },
            Verdict { role: Role::Hvm, answer: Answer::Unknown { why: "nothing says".to_owned() } },
        ];
        let said: Vec<String> = unplayable(&[Role::Pv, Role::Pvh, Role::Hvm, Role::Dom0], &verdicts)
            .iter()
            .map(|one| format!("{one}; {:?}", one.change))
            .collect();
        assert_eq!(
            said,
            [
                "PV: it was not built for Xen (no Xen note); Some(\"set CONFIG_XEN\")",
                "HVM: not known, nothing says; None",
                "dom0: it was not judged; None",
            ]
        );
        assert!(unplayable(&[Role::Pvh], &verdicts).is_empty());
    }
}
