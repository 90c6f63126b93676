//! Packages: what dpkg and apt say, and how apt is run so that it does what a plan lists and nothing else.
//!
//! Decides: the command lines, and whether a simulation is exactly what was listed.
//! Never: runs a command, or trusts the status one ends with: states are read again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use xenup_machine::process::{Command, Query};
use xenup_machine::{MachineError, Probe, Reason};

use crate::action::{PackageChange, PackageState};

/// dpkg's word for a package it has never heard of, or has forgotten.
pub const NOT_INSTALLED: &str = "not-installed";
/// dpkg's word for a package whose configuration files alone are left.
pub const CONFIG_FILES: &str = "config-files";
/// dpkg's word for a package that works.
pub const INSTALLED: &str = "installed";

/// How long apt may wait for another apt or dpkg to finish.
pub(crate) const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=120";

/// Half an hour: a slow mirror and a slow disk, with initrds made on the way.
const APT_SECONDS: u64 = 1800;

/// Returns the state of each named package, in the order of the names.
///
/// # Errors
/// `dpkg-query` or `apt-mark` is not there or does not answer.
pub fn states(probe: &dyn Probe, names: &[&str]) -> Result<Vec<PackageState>, MachineError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let format = "-f=${Package}\t${Architecture}\t${binary:Package}\t${db:Status-Status}\t${Version}\n";
    let args = ["-W", format].into_iter().chain(["--"]).chain(names.iter().copied());
    // Status 1 means that it knows no package of some name, which is an answer.
    let said = probe.query(&Query::new("dpkg-query", args))?;
    if !matches!(said.status, 0 | 1) {
        return Err(MachineError::new("run", "dpkg-query", Reason::Other, said.complaint()));
    }
    let auto = automatic(probe)?;
    let native = native(probe)?;
    Ok(names.iter().map(|name| state(name, &said.text(), &native, &auto)).collect())
}

fn state(name: &str, listing: &str, native: &str, auto: &BTreeSet<String>) -> PackageState {
    let found = listing.lines().find_map(|line| {
        let [package, architecture, shown, status, version] = line.split('\t').collect::<Vec<_>>()[..] else {
            return None;
        };
        let ours = package == name && (architecture == native || architecture == "all");
        (ours && status != NOT_INSTALLED).then_some((shown, status, version))
    });
    match found {
        Some((shown, status, version)) => PackageState {
            name: shown.to_owned(),
            status: status.to_owned(),
            version: version.to_owned(),
            auto: status == INSTALLED && (auto.contains(name) || auto.contains(shown)),
        },
        None => PackageState {
            name: name.to_owned(),
            status: NOT_INSTALLED.to_owned(),
            version: String::new(),
            auto: false,
        },
    }
}

fn native(probe: &dyn Probe) -> Result<String, MachineError> {
    Ok(probe.query(&Query::new("dpkg", ["--print-architecture"]))?.text().trim().to_owned())
}

fn automatic(probe: &dyn Probe) -> Result<BTreeSet<String>, MachineError> {
    let said = probe.query(&Query::new("apt-mark", ["showauto"]))?;
    if said.success() {
        return Ok(said.text().lines().map(|line| line.trim().to_owned()).collect());
    }
    Err(MachineError::new("run", "apt-mark showauto", Reason::Other, said.complaint()))
}

/// Returns whether an interrupted dpkg left work behind that has to be finished before apt does anything.
///
/// # Errors
/// dpkg's directory cannot be read.
pub fn is_interrupted(probe: &dyn Probe) -> Result<bool, MachineError> {
    // dpkg(1): its updates directory is empty but for a run that was cut short; apt looks there too.
    match probe.list(Path::new("/var/lib/dpkg/updates")) {
        Ok(names) => {
            let digits =
                |name: &OsString| name.to_str().is_some_and(|name| name.bytes().all(|c| c.is_ascii_digit()));
            Ok(names.iter().any(digits))
        }
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether a state is one that only a cut-short dpkg leaves.
#[must_use]
pub fn is_half_done(state: &PackageState) -> bool {
    !matches!(state.status.as_str(), NOT_INSTALLED | CONFIG_FILES | INSTALLED)
}

/// The environment in which neither debconf, apt-listchanges nor needrestart asks or restarts anything.
pub(crate) fn quiet(command: Command) -> Command {
    command
        .with_env("DEBIAN_FRONTEND", "noninteractive")
        .with_env("APT_LISTCHANGES_FRONTEND", "none")
        .with_env("NEEDRESTART_SUSPEND", "1")
        .within(APT_SECONDS)
}

/// What is written by an administrator stays; the version of the package lies beside it as `.dpkg-dist`.
pub(crate) fn conffiles_kept() -> [&'static str; 4] {
    ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
}

fn install_args(changes: &[PackageChange]) -> Vec<String> {
    let fixed = ["--no-remove", "--no-install-recommends", "install", "--"];
    let named = changes.iter().map(|change| format!("{}={}", change.name, change.version));
    fixed.into_iter().map(str::to_owned).chain(named).collect()
}

/// Returns the question what apt would do to install these.
#[must_use]
pub fn simulate_install(changes: &[PackageChange]) -> Query {
    let args = ["-s".to_owned(), "-q".to_owned()].into_iter().chain(install_args(changes));
    Query::new("apt-get", args)
}

/// Returns the commands that install these, and nothing else: every package is named with its version, so apt
/// has nothing to choose, and those that nobody asked for are marked automatic afterwards. All are fetched, and durable,
/// before dpkg begins: an undo after a power cut may need them ([`unpack_again`]).
#[must_use]
pub fn install(changes: &[PackageChange]) -> Vec<Command> {
    let options = || ["-y", "-q", "-o", LOCK_TIMEOUT].into_iter().chain(conffiles_kept()).map(str::to_owned);
    let fetch = options().chain(std::iter::once("--download-only".to_owned())).chain(install_args(changes));
    let mut commands = vec![
        quiet(Command::new("apt-get", fetch)),
        sync(),
        quiet(Command::new("apt-get", options().chain(install_args(changes)))),
    ];
    let dependencies: Vec<&str> =
        changes.iter().filter(|change| !change.asked).map(|change| change.name.as_str()).collect();
    if !dependencies.is_empty() {
        commands.push(mark("auto", &dependencies));
    }
    commands
}

/// Returns the command that makes everything written so far durable.
#[must_use]
pub fn sync() -> Command {
    Command::new("sync", [""; 0]).within(300)
}

/// Returns the command that marks packages `auto` or `manual`.
#[must_use]
pub fn mark(how: &str, names: &[&str]) -> Command {
    Command::new("apt-mark", ["-q", how].iter().chain(names).copied()).within(120)
}

/// Returns the command that finishes what an interrupted dpkg left, conffiles kept.
#[must_use]
pub fn finish_interrupted() -> Command {
    quiet(Command::new("dpkg", ["--force-confdef", "--force-confold", "--configure", "-a"]))
}

/// Returns where apt keeps the archive of this package, if it does (apt-get(8): `clean`; a colon of the version is `%3a`
/// in the name).
///
/// # Errors
/// apt's directory cannot be read, or dpkg does not answer.
pub fn kept_archive(
    probe: &dyn Probe,
    package: &str,
    version: &str,
) -> Result<Option<PathBuf>, MachineError> {
    let dir = Path::new("/var/cache/apt/archives");
    let names = match probe.list(dir) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let version = version.replace(':', "%3a");
    let possible = [native(probe)?, "all".to_owned()];
    let possible = possible.map(|architecture| format!("{package}_{version}_{architecture}.deb"));
    Ok(possible
        .iter()
        .find(|name| names.iter().any(|there| there == name.as_str()))
        .map(|name| dir.join(name)))
}

/// Returns the command that unpacks a package whose unpacking was cut short once more: only then does dpkg know all the
/// files that it brought, those named `*.dpkg-new` among them, and a removal takes them along.
#[must_use]
pub fn unpack_again(archive: &Path) -> Command {
    quiet(Command::new(
        "dpkg",
        ["--force-confold", "--force-depends", "--unpack", &archive.to_string_lossy()],
    ))
}

/// Returns the command that takes away packages whose unpacking was cut short, which apt cannot do without their
/// archives (dpkg(1), `--force-remove-reinstreq`); `verb` is `purge` or `remove`.
#[must_use]
pub fn forget_half_installed(verb: &str, names: &[&str]) -> Command {
    let fixed = ["--force-remove-reinstreq", if verb == "purge" { "--purge" } else { "--remove" }];
    quiet(Command::new("dpkg", fixed.iter().chain(names).copied()))
}

/// Returns the question what apt would do to take these away; `verb` is `purge` or `remove`.
#[must_use]
pub fn simulate_removal(verb: &str, names: &[&str]) -> Query {
    Query::new("apt-get", ["-s", "-q", verb, "--"].iter().chain(names).copied())
}

/// Returns the command that takes these away; `verb` is `purge` or `remove`.
#[must_use]
pub fn removal(verb: &str, names: &[&str]) -> Command {
    let fixed = ["-y", "-q", "-o", LOCK_TIMEOUT, verb, "--"];
    quiet(Command::new("apt-get", fixed.iter().chain(names).copied()))
}

/// Returns whether a line is one of the twenty in which dpkg counts the files it knows, before it has done anything; the
/// last, with their number, is none of them. Without a terminal dpkg prints each on a line of its own.
#[must_use]
pub fn is_counting(line: &str) -> bool {
    line.trim_end().strip_prefix("(Reading database ...").is_some_and(|rest| {
        rest.is_empty()
            || rest.trim_start().strip_suffix('%').is_some_and(|n| n.bytes().all(|c| c.is_ascii_digit()))
    })
}

/// What apt would do to one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Simulated<'a> {
    Install { name: &'a str, version: &'a str },
    Remove { name: &'a str },
}

/// Reads the `Inst`, `Remv` and `Purg` lines of `apt-get -s`; `Conf` lines follow from them.
fn simulated(text: &str) -> Vec<Simulated<'_>> {
    text.lines()
        .filter_map(|line| {
            let (verb, rest) = line.split_once(' ')?;
            let name = rest.split(' ').next()?;
            let name = name.split_once(':').map_or(name, |(name, _)| name);
            match verb {
                // Inst name [old] (new origin [arch])
                "Inst" => {
                    let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
                    Some(Simulated::Install { name, version })
                }
                "Remv" | "Purg" => Some(Simulated::Remove { name }),
                _ => None,
            }
        })
        .collect()
}

/// Checks that a simulated installation is what was listed. A listed package that stands there already at its
/// version is not simulated, and no fault.
///
/// # Errors
/// Everything apt would do beside, in words.
pub fn check_install(text: &str, changes: &[PackageChange], before: &[PackageState]) -> Result<(), String> {
    let would = simulated(text);
    let mut faults = Vec::new();
    for one in &would {
        match one {
            Simulated::Install { name, version } => {
                match changes.iter().find(|change| change.name == *name) {
                    Some(change) if change.version == *version => {}
                    Some(change) => {
                        faults.push(format!("install {name} {version} in place of {}", change.version));
                    }
                    None => faults.push(format!("install {name} {version}, which is not listed")),
                }
            }
            Simulated::Remove { name } => faults.push(format!("remove {name}")),
        }
    }
    for (change, state) in changes.iter().zip(before) {
        let there = state.status == INSTALLED && state.version == change.version;
        let wanted = Simulated::Install { name: &change.name, version: &change.version };
        if !there && !would.contains(&wanted) {
            faults.push(format!("not install {} {}", change.name, change.version));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("apt would {}", faults.join(", "))) }
}

/// Checks that a simulated removal takes away the listed packages alone.
///
/// # Errors
/// Everything apt would do beside, in words.
pub fn check_removal(text: &str, names: &[&str]) -> Result<(), String> {
    let beside = simulated(text).into_iter().filter_map(|one| match one {
        Simulated::Remove { name } if names.iter().any(|ours| bare_name(ours) == name) => None,
        Simulated::Remove { name } => Some(format!("remove {name}")),
        Simulated::Install { name, version } => Some(format!("install {name} {version}")),
    });
    let beside: Vec<String> = beside.collect();
    if beside.is_empty() { Ok(()) } else { Err(format!("apt would also {}", beside.join(", "))) }
}

fn bare_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::{NOT_INSTALLED, check_install, check_removal, is_counting};
    use crate::action::{PackageChange, PackageState};

    const SIMULATION: &str = "NOTE: This is only a simulation!\nReading package lists...\n\
        Inst libxen (4.17.7+13 Debian-Security:12/stable-security [amd64])\n\
        Inst xen-utils:amd64 [4.1] (4.17.7+13 Debian:12.1/stable [amd64]) []\n\
        Conf libxen (4.17.7+13 Debian:12.1/stable [amd64])\n";

    fn change(name: &str, version: &str) -> PackageChange {
        PackageChange { name: name.into(), version: version.into(), from: None, asked: true }
    }

    fn absent(name: &str) -> PackageState {
        PackageState { name: name.into(), status: NOT_INSTALLED.into(), version: String::new(), auto: false }
    }

    #[test]
    fn an_installation_is_what_was_listed_or_refused() {
        let both = [change("libxen", "4.17.7+13"), change("xen-utils", "4.17.7+13")];
        let before = [absent("libxen"), absent("xen-utils")];
        assert_eq!(check_install(SIMULATION, &both, &before), Ok(()));
        let why = check_install(SIMULATION, &both[..1], &before).unwrap_err();
        assert_eq!(why, "apt would install xen-utils 4.17.7+13, which is not listed");
        let why = check_install("Remv ssh [1]\n", &both[..1], &before).unwrap_err();
        assert_eq!(why, "apt would remove ssh, not install libxen 4.17.7+13");
    }

    #[test]
    fn a_removal_takes_nothing_else_along() {
        assert_eq!(check_removal("Purg libxen [4.17]\n", &["libxen:amd64"]), Ok(()));
        let why = check_removal("Remv mine [1]\nPurg libxen [4.17]\n", &["libxen"]).unwrap_err();
        assert_eq!(why, "apt would also remove mine");
    }
    #[test]
    fn dpkgs_counting_is_told_from_its_result() {
        let said = "(Reading database ... \n(Reading database ... 5%\n(Reading database ... 100%\n\
                    (Reading database ... 6654 files and directories currently installed.)\n\
                    Preparing to unpack .../ed_1.19-1_amd64.deb ...\n";
        let shown: Vec<&str> = said.lines().filter(|line| !is_counting(line)).collect();
        assert_eq!(
            shown,
            [
                "(Reading database ... 6654 files and directories currently installed.)",
                "Preparing to unpack .../ed_1.19-1_amd64.deb ..."
            ]
        );
    }
}
