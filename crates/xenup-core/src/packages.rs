//! The packages of a Xen host, and what apt would do to install them.
//!
//! Decides: which packages are asked for by name, how apt is asked what it would do, and what of its answer is
//! refused.
//! Never: runs apt, installs anything.

use serde::{Deserialize, Serialize};
use xenup_engine::action::PackageChange;
use xenup_machine::process::{Output, Query};

use crate::host::Host;
use crate::inspect::facts::OwnerKind;
use crate::inspect::{Facts, Finding};
use crate::network::nat;
use crate::network::portless::{self, Maker};

/// The metapackage that follows Debian's current hypervisor and toolstack through upgrades.
pub const XEN_SYSTEM: &str = "xen-system-amd64";
/// What makes `bridge_ports` in interfaces(5) work.
pub const BRIDGE_UTILS: &str = "bridge-utils";
/// What translates the addresses of guests behind dom0.
pub const NFTABLES: &str = "nftables";
/// What gives them theirs: the program without a service of its own.
pub const DNSMASQ: &str = "dnsmasq-base";

/// Returns the packages that are wanted by name and not installed yet, in a fixed order.
#[must_use]
pub fn wants(host: &Host, facts: &Facts) -> Vec<String> {
    let mut wanted = vec![XEN_SYSTEM];
    let by_ifupdown = |port: &str| {
        let nic = facts.network.nic(port);
        nic.is_none_or(|nic| nic.owners.iter().all(|owner| owner.kind == OwnerKind::Ifupdown))
    };
    if host.bridges.iter().any(|bridge| by_ifupdown(bridge.nic())) {
        wanted.push(BRIDGE_UTILS);
    }
    if !portless::of(host, &facts.machine_id).is_empty() && portless::maker(facts) == Some(Maker::Ifupdown) {
        wanted.push(BRIDGE_UTILS);
    }
    wanted.dedup();
    if nat::needs_table(host) {
        wanted.push(NFTABLES);
    }
    if !host.nats.is_empty() {
        wanted.push(DNSMASQ);
    }
    wanted.retain(|name| facts.packages.version(name).is_none());
    wanted.into_iter().map(str::to_owned).collect()
}

/// Returns the question what apt would do to install these, recommended packages left out: on a host each of them is
/// its administrator's decision.
#[must_use]
pub fn simulate(wanted: &[String]) -> Query {
    let fixed = ["-s", "-q", "--no-install-recommends", "install", "--"].map(str::to_owned);
    Query::new("apt-get", fixed.into_iter().chain(wanted.iter().cloned()))
}

/// What apt said it would do (`apt-get -s`, apt-get(8)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AptSimulation {
    /// `Inst` lines, in apt's order.
    pub installs: Vec<Install>,
    /// `Remv` and `Purg` lines.
    pub removes: Vec<Remove>,
}

/// A package apt would unpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Name without architecture.
    pub name: String,
    /// The architecture, where it is not the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The version there is; `None` where it is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version it would bring.
    pub version: String,
    /// Where from, as apt prints it: `Debian:12.15/oldstable`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

/// A package apt would take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// Name without architecture.
    pub name: String,
    /// The version there is.
    pub version: String,
}

impl AptSimulation {
    /// Reads the output of `apt-get -s`. Lines that are neither `Inst`, `Remv` nor `Purg` are passed over, and so are
    /// such lines in another form than apt's: what is missed here is refused when apt is asked again at the step.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut simulation = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("Inst", rest)) => simulation.installs.extend(install(rest)),
                Some(("Remv" | "Purg", rest)) => simulation.removes.extend(remove(rest)),
                _ => {}
            }
        }
        simulation
    }

    /// Reads what apt answered.
    ///
    /// # Errors
    /// A finding with apt's own words, where it could not tell.
    pub fn of(output: &Output) -> Result<Self, Box<Finding>> {
        if output.success() {
            return Ok(Self::parse(&output.text()));
        }
        let complaint = output.complaint();
        let unknown = complaint.contains("Unable to locate package");
        let what = format!("apt cannot install the packages: {}", one_line(&complaint));
        let fix =
            if unknown { "apt-get update" } else { "put apt in order first; `apt-get check` tells more" };
        Err(Box::new(Finding::blocking("apt-cannot-install", what, "without them there is no Xen", fix)))
    }

    /// Returns the changes of a plan.
    ///
    /// # Errors
    /// Findings, where apt would remove or upgrade something: neither can be taken back exactly, and neither was asked
    /// for.
    pub fn changes(&self, wanted: &[String]) -> Result<Vec<PackageChange>, Vec<Finding>> {
        let mut findings = Vec::new();
        if !self.removes.is_empty() {
            let names: Vec<&str> = self.removes.iter().map(|one| one.name.as_str()).collect();
            findings.push(beside(
                "apt-would-remove",
                "remove",
                &names,
                "apt-get -s install names the reason; settle it first",
            ));
        }
        let upgrades: Vec<&str> =
            self.installs.iter().filter(|one| one.from.is_some()).map(|one| one.name.as_str()).collect();
        if !upgrades.is_empty() {
            findings.push(beside("apt-would-upgrade", "upgrade", &upgrades, "apt-get upgrade"));
        }
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|name| !self.installs.iter().any(|one| one.name == **name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            findings.push(Finding::blocking(
                "apt-would-not-install",
                format!("apt would not install {}", missing.join(", ")),
                "they are needed, and apt's answer does not name them",
                "apt-get update",
            ));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let change = |one: &Install| PackageChange {
            name: one.name.clone(),
            version: one.version.clone(),
            from: None,
            asked: wanted.contains(&one.name),
        };
        Ok(self.installs.iter().map(change).collect())
    }
}

fn beside(id: &str, verb: &str, names: &[&str], fix: &str) -> Finding {
    let what = format!("apt would {verb} {} to install Xen", names.join(", "));
    Finding::blocking(id, what, "a rollback could not bring the old state back exactly", fix)
}

/// Reads `NAME[:ARCH] [OLD] (NEW ORIGIN... [ARCH]) [...]`; `[OLD]` only in an upgrade.
fn install(rest: &str) -> Option<Install> {
    let (head, tail) = rest.split_once(" (")?;
    let inner = tail.split_once(')')?.0;
    let mut head = head.split(' ');
    let (name, architecture) = named(head.next()?)?;
    let from = head.next().and_then(|word| word.strip_prefix('[')?.strip_suffix(']')).map(str::to_owned);
    let (version, origin) = inner.split_once(' ').unwrap_or((inner, ""));
    let origin = origin.rsplit_once(" [").map_or(origin, |(origin, _)| origin);
    let full = !version.is_empty();
    full.then(|| Install { name, architecture, from, version: version.to_owned(), origin: origin.to_owned() })
}

/// Reads `NAME[:ARCH] [VERSION] [...]`.
fn remove(rest: &str) -> Option<Remove> {
    let mut words = rest.split(' ');
    let (name, _) = named(words.next()?)?;
    let version = words.next()?.strip_prefix('[')?.strip_suffix(']')?;
    Some(Remove { name, version: version.to_owned() })
}

fn named(word: &str) -> Option<(String, Option<String>)> {
    let (name, architecture) = word.split_once(':').map_or((word, None), |(name, arch)| (name, Some(arch)));
    (!name.is_empty()).then(|| (name.to_owned(), architecture.map(str::to_owned)))
}

fn one_line(text: &str) -> String {
    text.lines().map(|line| line.trim().trim_start_matches("E: ")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::AptSimulation;

    #[test]
    fn every_form_of_line_is_read() {
        let text = "Reading package lists...\n\
            Inst libxencall1 (4.17.7+13 Debian-Security:12/oldstable-security [amd64])\n\
            Inst libc6:i386 [2.36-9] (2.36-10 Debian:12.1/stable, Debian-Security:12/x [i386]) []\n\
            Inst tzdata [2024a-0] (2024b-0 Debian:12.1/stable [all])\n\
            Conf libxencall1 (4.17.7+13 Debian:12.1/stable [amd64])\n\
            Remv xen-utils-4.17 [4.17.5+72] [xen-system-amd64:amd64 ]\n\
            Purg nano [7.2-1]\n\
            Inst\nInst x\nRemv\nRemv y\nInst z ()\n";
        let simulation = AptSimulation::parse(text);
        let installs: Vec<String> = simulation
            .installs
            .iter()
            .map(|one| {
                format!("{} {:?} {:?} {} {}", one.name, one.architecture, one.from, one.version, one.origin)
            })
            .collect();
        assert_eq!(
            installs,
            [
                "libxencall1 None None 4.17.7+13 Debian-Security:12/oldstable-security",
                "libc6 Some(\"i386\") Some(\"2.36-9\") 2.36-10 Debian:12.1/stable, Debian-Security:12/x",
                "tzdata None Some(\"2024a-0\") 2024b-0 Debian:12.1/stable",
            ]
        );
        let removes: Vec<String> =
            simulation.removes.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
        assert_eq!(removes, ["xen-utils-4.17 4.17.5+72", "nano 7.2-1"]);
        let refused = simulation.changes(&["xen-system-amd64".to_owned()]).unwrap_err();
        let ids: Vec<&str> = refused.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(ids, ["apt-would-remove", "apt-would-upgrade", "apt-would-not-install"]);
    }
}
