//! Toolstacks, hypervisors and kernels: which come, which go, which stay. Decides by the names of Debian's packages.

use crate::inspect::Facts;
use crate::inspect::facts::Package;

use super::report::{Fortune, Kind, Part};
use super::simulation::Simulation;

/// Returns the parts of a machine, toolstacks first, what goes before what comes.
pub(super) fn parts(facts: &Facts, simulation: &Simulation) -> Vec<Part> {
    let installed = facts.packages.relevant.iter().filter(|package| package.status == "installed");
    let mut parts: Vec<Part> = installed.filter_map(|package| there(facts, simulation, package)).collect();
    let new =
        simulation.changes.installs.iter().filter(|one| one.from.is_none() && one.architecture.is_none());
    parts.extend(new.filter_map(|one| {
        Some(Part {
            kind: kind(&one.name)?,
            package: one.name.clone(),
            version: one.version.clone(),
            fortune: Fortune::Comes,
            runs: false,
        })
    }));
    parts.sort_by_key(|part| (part.kind, std::cmp::Reverse(part.fortune)));
    parts
}

fn there(facts: &Facts, simulation: &Simulation, package: &Package) -> Option<Part> {
    let kind = kind(&package.name)?;
    let upgraded = simulation.changes.installs.iter().find(|one| one.name == package.name);
    let fortune = if simulation.changes.removes.iter().any(|one| one.name == package.name) {
        Fortune::Goes
    } else if upgraded.is_some() {
        Fortune::Upgraded
    } else if simulation.no_longer_needed.contains(&package.name) {
        Fortune::LeftOver
    } else {
        Fortune::Stays
    };
    let version = upgraded.map_or(&package.version, |one| &one.version);
    let runs = match kind {
        Kind::Toolstack | Kind::Hypervisor => {
            facts.xen.running.as_ref().is_some_and(|xen| xen_of(&package.name) == Some(&xen.version))
        }
        Kind::Kernel => facts.kernels.iter().any(|kernel| {
            kernel.running && package.name.strip_prefix("linux-image-") == Some(&kernel.version)
        }),
    };
    Some(Part { kind, package: package.name.clone(), version: version.clone(), fortune, runs })
}

/// The Xen that a package of a toolstack or a hypervisor is of: `4.17`.
pub(super) fn xen_of(package: &str) -> Option<&str> {
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let utils = package.strip_prefix("xen-utils-").filter(|rest| numbered(rest));
    let hypervisor = package.strip_prefix("xen-hypervisor-").filter(|rest| numbered(rest));
    utils.or_else(|| hypervisor.map(|rest| rest.split('-').next().unwrap_or(rest)))
}

/// Whether a package is a toolstack, a hypervisor or a kernel.
pub(super) fn is_part(package: &str) -> bool {
    kind(package).is_some()
}

fn kind(package: &str) -> Option<Kind> {
    if xen_of(package).is_some() {
        let toolstack = package.starts_with("xen-utils-");
        return Some(if toolstack { Kind::Toolstack } else { Kind::Hypervisor });
    }
    let version = package.strip_prefix("linux-image-")?;
    let kernel = version.starts_with(|c: char| c.is_ascii_digit()) && !version.ends_with("-dbg");
    kernel.then_some(Kind::Kernel)
}

/// The packages of a kind that are there after the upgrade.
pub(super) fn after(parts: &[Part], kind: Kind) -> impl Iterator<Item = &Part> {
    parts.iter().filter(move |part| part.kind == kind && part.fortune != Fortune::Goes)
}
