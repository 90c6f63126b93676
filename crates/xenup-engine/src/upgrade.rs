//! An upgrade of all packages: how apt is asked and run, and what of its answer is refused.
//!
//! Decides: the command lines; that a first attempt does exactly what was listed, and a later one, which meets whatever the
//! first left, takes nothing away that was not. Never: runs a command, or leads back: apt has no way back.

use std::collections::BTreeSet;
use std::time::Duration;

use xenup_machine::process::{Command, Query};

use crate::action::PackageChange;
use crate::packages::{LOCK_TIMEOUT, conffiles_kept, quiet};

/// Thousands of packages on a slow disk, with every initrd made anew.
const SECONDS: u64 = 14_400;
/// apt thinks for a minute about a thousand packages on a slow machine.
const THINK: Duration = Duration::from_secs(900);
/// What nothing needs any more stays until somebody asks for its removal: the running Xen and kernel may be among it.
const KEEP: [&str; 2] = ["-o", "APT::Get::AutomaticRemove=false"];
const UPGRADE: [&str; 1] = ["full-upgrade"];
const MEND: [&str; 2] = ["-f", "install"];

/// What is asked for by name beside: `apt-get full-upgrade NAME` upgrades everything and installs that (apt-get(8)).
fn by_name(changes: &[PackageChange]) -> impl Iterator<Item = &str> {
    changes.iter().filter(|change| change.asked).map(|change| change.name.as_str())
}

fn ask<'a>(words: impl IntoIterator<Item = &'a str>) -> Query {
    let fixed = ["-s", "-q"].into_iter().chain(KEEP);
    Query::new("apt-get", fixed.chain(words)).within(THINK)
}

fn act<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let fixed = ["-y", "-q", "-o", LOCK_TIMEOUT, "-o", "Dpkg::Use-Pty=0"].into_iter();
    let fixed = fixed.chain(KEEP).chain(conffiles_kept());
    // apt-listbugs would stop it in the middle, where nobody is there to be asked.
    let command = quiet(Command::new("apt-get", fixed.chain(words)));
    command.with_env("APT_LISTBUGS_FRONTEND", "none").within(SECONDS)
}

/// Returns the question what an upgrade would do.
#[must_use]
pub fn simulate(changes: &[PackageChange]) -> Query {
    ask(UPGRADE.into_iter().chain(by_name(changes)))
}

/// Returns the question what it would take to mend what an interrupted upgrade has left.
#[must_use]
pub fn simulate_mend() -> Query {
    ask(MEND)
}

/// Returns the command that fetches every archive.
#[must_use]
pub fn fetch(changes: &[PackageChange]) -> Command {
    act(["--download-only"].into_iter().chain(UPGRADE).chain(by_name(changes)))
}

/// Returns the command that mends what an interrupted upgrade has left; nothing where nothing is broken.
#[must_use]
pub fn mend() -> Command {
    act(MEND)
}

/// Returns the command that upgrades.
#[must_use]
pub fn upgrade(changes: &[PackageChange]) -> Command {
    act(UPGRADE.into_iter().chain(by_name(changes)))
}

/// What apt would do: names and versions to install, names to take away.
fn would(text: &str) -> (BTreeSet<(&str, &str)>, BTreeSet<&str>) {
    let (mut installs, mut removes) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let Some((verb, rest)) = line.split_once(' ') else { continue };
        let name = rest.split(' ').next().unwrap_or_default();
        match verb {
            // Inst NAME [OLD] (NEW ORIGIN [ARCH])
            "Inst" => {
                let version = rest.split_once('(').and_then(|(_, rest)| rest.split([' ', ')']).next());
                installs.insert((name, version.unwrap_or_default()));
            }
            "Remv" | "Purg" => drop(removes.insert(name)),
            _ => {}
        }
    }
    (installs, removes)
}

/// Checks that a simulated upgrade is exactly what was listed.
///
/// # Errors
/// What apt would do beside, or leave out, in words.
pub fn check_listed(text: &str, changes: &[PackageChange], removes: &[String]) -> Result<(), String> {
    let (installs, gone) = would(text);
    let listed: BTreeSet<(&str, &str)> =
        changes.iter().map(|change| (change.name.as_str(), change.version.as_str())).collect();
    let mut faults: Vec<String> =
        installs.difference(&listed).map(|(name, version)| format!("install {name} {version}")).collect();
    faults
        .extend(listed.difference(&installs).map(|(name, version)| format!("not install {name} {version}")));
    let listed: BTreeSet<&str> = removes.iter().map(String::as_str).collect();
    faults.extend(gone.difference(&listed).map(|name| format!("remove {name}")));
    faults.extend(listed.difference(&gone).map(|name| format!("not remove {name}")));
    said(faults, ", which the plan says otherwise")
}

/// Checks that a simulation takes nothing away but what was listed.
///
/// # Errors
/// What it would take away beside, in words.
pub fn check_removals(text: &str, removes: &[String]) -> Result<(), String> {
    let (_, gone) = would(text);
    let beside = gone.into_iter().filter(|name| !removes.iter().any(|listed| listed == name));
    said(beside.map(|name| format!("remove {name}")).collect(), ", which the plan does not list")
}

/// Checks that a simulation has nothing left to do.
///
/// # Errors
/// What is left, in words.
pub fn check_nothing_left(text: &str) -> Result<(), String> {
    let (installs, gone) = would(text);
    let left = installs.into_iter().map(|(name, version)| format!("install {name} {version}"));
    said(
        left.chain(gone.into_iter().map(|name| format!("remove {name}"))).collect(),
        ", which is not done yet",
    )
}

/// How many are named: the others are like them.
const NAMED: usize = 5;

fn said(faults: Vec<String>, end: &str) -> Result<(), String> {
    if faults.is_empty() {
        return Ok(());
    }
    let more = faults.len().saturating_sub(NAMED);
    let named = faults.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(format!("apt would {named}{rest}{end}"))
}

#[cfg(test)]
mod tests {
    use super::{check_listed, check_nothing_left, check_removals};
    use crate::action::PackageChange;

    const TEXT: &str = "Remv xen-utils-4.17 [4.17.5]\nInst libc6:i386 [2.36-9] (2.41-12 Debian:13.1/stable [i386])\n\
        Inst libc6 [2.36-9] (2.41-12 Debian:13.1/stable [amd64]) []\nConf libc6 (2.41-12 Debian:13.1/stable [amd64])\n";

    fn change(name: &str, version: &str) -> PackageChange {
        PackageChange { name: name.into(), version: version.into(), from: None, asked: false }
    }

    #[test]
    fn an_upgrade_is_what_was_listed_or_refused() {
        let both = [change("libc6", "2.41-12"), change("libc6:i386", "2.41-12")];
        let gone = ["xen-utils-4.17".to_owned()];
        assert_eq!(check_listed(TEXT, &both, &gone), Ok(()));
        assert_eq!(
            check_listed(TEXT, &both[..1], &[]).unwrap_err(),
            "apt would install libc6:i386 2.41-12, remove xen-utils-4.17, which the plan says otherwise"
        );
        let newer = [change("libc6", "2.41-13"), both[1].clone()];
        assert_eq!(
            check_listed(TEXT, &newer, &gone).unwrap_err(),
            "apt would install libc6 2.41-12, not install libc6 2.41-13, which the plan says otherwise"
        );
    }

    #[test]
    fn a_later_attempt_takes_nothing_else_away_and_leaves_nothing() {
        assert_eq!(check_removals(TEXT, &["xen-utils-4.17".to_owned()]), Ok(()));
        assert_eq!(
            check_removals(TEXT, &[]).unwrap_err(),
            "apt would remove xen-utils-4.17, which the plan does not list"
        );
        assert_eq!(check_nothing_left("0 upgraded, 0 newly installed\n"), Ok(()));
        assert!(check_nothing_left(TEXT).is_err());
    }
}
