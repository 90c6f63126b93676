//! What waits for a reboot: parts of Xen and dom0's kernel that are installed in another state than they run in, and what
//! works until then.
//!
//! Decides: by releases (Xen 4.17 runs, 4.20 is installed), and within one by the time at which dpkg unpacked a package
//! (its list of files below /var/lib/dpkg/info is written then) against that of the boot. Never: asks a hypervisor, or takes
//! a reboot for needed where nothing of Xen's has changed.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::Probe;

use crate::inspect::Facts;

use super::parts::xen_of;

/// What waits for a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// What differs, a sentence each.
    pub differs: Vec<String>,
    /// What works until then, or does not.
    pub until_then: String,
    /// The one thing to do.
    pub next: String,
}

/// Returns what waits for a reboot on a machine whose dom0 runs; `None` where nothing does.
#[must_use]
pub fn pending(probe: &dyn Probe, facts: &Facts) -> Option<Pending> {
    let xen = facts.xen.running.as_ref().filter(|xen| xen.dom0)?;
    let mut differs = Vec::new();
    let named = |package: &str| {
        facts.packages.relevant.iter().find(|one| one.name == package && one.status == "installed")
    };
    let newest = facts
        .packages
        .relevant
        .iter()
        .filter(|one| one.status == "installed" && one.name.starts_with("xen-hypervisor-"))
        .filter_map(|one| Some((xen_of(&one.name)?, one)))
        .max_by_key(|(version, _)| number(version));
    match newest {
        Some((version, package)) if number(version) > number(&xen.version) => {
            differs.push(format!(
                "Xen {} runs, and {} {} is installed",
                xen.full, package.name, package.version
            ));
        }
        _ => {
            let package = format!("xen-hypervisor-{}-amd64", xen.version);
            if let Some(package) = named(&package).filter(|package| since_boot(probe, &package.name)) {
                differs.push(format!("Xen {} runs, and {} was unpacked since", xen.full, package.version));
            }
        }
    }
    let toolstack = facts.xen.toolstacks.contains(&xen.version);
    if !toolstack {
        let others: Vec<&str> = facts.xen.toolstacks.iter().map(String::as_str).collect();
        let there =
            if others.is_empty() { "none".to_owned() } else { format!("that of Xen {}", others.join(", ")) };
        differs.push(format!("the toolstack of Xen {} is gone; {there} is installed", xen.version));
    }
    differs.extend(kernel(probe, facts));
    if differs.is_empty() {
        return None;
    }
    let guests = facts.xen.guests.len();
    let (until_then, next) = if toolstack {
        (
            format!("xl of Xen {} works: guests can be stopped and started", xen.version),
            "when it suits the guests: systemctl reboot".to_owned(),
        )
    } else {
        (
            "guests that run go on; xl, xendomains and consoles do not work, and a reboot cuts guests off"
                .to_owned(),
            "shut each guest down from inside, then: systemctl reboot".to_owned(),
        )
    };
    let until_then =
        if guests > 0 && toolstack { format!("{until_then} ({guests} run)") } else { until_then };
    Some(Pending { differs, until_then, next })
}

/// dom0's kernel: a newer one that can be dom0, or the running one unpacked anew.
fn kernel(probe: &dyn Probe, facts: &Facts) -> Option<String> {
    let place = facts.kernels.iter().position(|kernel| kernel.running)?;
    let running = facts.kernels.get(place)?;
    let newer = facts.kernels.get(place.saturating_add(1)..).unwrap_or_default();
    if let Some(newest) = newer.iter().rfind(|kernel| kernel.dom0 == Some(true)) {
        return Some(format!("Linux {} runs, and {} is installed", running.version, newest.version));
    }
    since_boot(probe, &format!("linux-image-{}", running.version))
        .then(|| format!("Linux {} runs, and was unpacked anew since", running.version))
}

/// Whether dpkg unpacked a package after this boot.
fn since_boot(probe: &dyn Probe, package: &str) -> bool {
    let boot = probe.clock().booted_unix_seconds();
    let lists = [format!("{package}.list"), format!("{package}:amd64.list")];
    let entry =
        lists.iter().find_map(|name| probe.entry(&Path::new("/var/lib/dpkg/info").join(name)).ok()?);
    entry.and_then(|entry| entry.attributes.mtime).is_some_and(|mtime| mtime.seconds > boot)
}

/// A release as numbers: 4.9 is before 4.17.
fn number(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap_or((version, ""));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}
