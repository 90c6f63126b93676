//! A NIC's name, pinned by its permanent address. Decides which names are pinned and by which file; never writes it.
//!
//! udev takes the first .link file that matches a NIC, and that one alone (systemd.link(5)). Where somebody has one that
//! may match, a pin would switch its settings off, or be passed over itself: the name is left alone, with a word about it.

use std::path::PathBuf;

use xenup_machine::network::Link;

use super::networkd::{Device, Host as Machine, Matched, Tree};
use crate::host::{Bridge, Host};
use crate::inspect::facts::{At, ConfigFile, Facts};
use crate::inspect::{Finding, Weight};

/// A systemd.link(5) file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The NIC.
    pub port: String,
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Returns the pins for the bridges whose `mac` is given and whose NIC no other file may match.
///
/// A NIC whose driver tells no permanent address is left out: its bridge has the same address, and would be matched
/// too. So is one named by the kernel (`eth0`): udev cannot rename into the kernel's own names.
#[must_use]
pub fn pins(facts: &Facts, host: &Host) -> Vec<Pin> {
    let ours = |bridge: &&Bridge| others(facts, bridge).is_empty();
    let mut pins: Vec<Pin> = Vec::new();
    for pin in host.bridges.iter().filter(ours).filter_map(|bridge| pin(facts, bridge)) {
        if pins.iter().all(|other| other.path != pin.path) {
            pins.push(pin);
        }
    }
    pins
}

/// Returns a note for each name that is left alone for the sake of somebody's file, and that no file gives.
#[must_use]
pub fn not_pinned(facts: &Facts, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for bridge in host.bridges.iter().filter(|bridge| pin(facts, bridge).is_some()) {
        let others = others(facts, bridge);
        if others.is_empty() || others.iter().any(|other| other.name.as_deref() == Some(bridge.nic())) {
            continue;
        }
        let names: Vec<String> = others.iter().map(|other| other.path.display().to_string()).collect();
        let finding = Finding::blocking(
            "name-not-pinned",
            format!("the name {} is not pinned: {} may match that NIC", bridge.nic(), names.join(", ")),
            "udev takes the first .link file that matches a NIC, and that one alone",
            format!("write Name={} under [Link] there, where the file is about that NIC alone", bridge.nic()),
        );
        let at = others.into_iter().map(|other| At { path: other.path, line: 0 }).collect();
        findings.push(Finding { weight: Weight::Note, at, ..finding });
    }
    findings
}

/// A .link file of somebody else that may match a NIC.
struct Other {
    path: PathBuf,
    /// The name it gives; `None` where it leaves the name to others.
    name: Option<String>,
}

/// Returns the .link files of somebody else that may match the port; none where the pin is there already.
///
/// A condition that only udev could decide counts as met: a pin that switches somebody's settings off is worse than none.
fn others(facts: &Facts, bridge: &Bridge) -> Vec<Other> {
    let nic = facts.network.nic(bridge.nic());
    let (Some(nic), Some(link)) = (nic, facts.network.kernel.link(bridge.nic())) else { return Vec::new() };
    if facts.file(&path(bridge)).is_some() {
        return Vec::new();
    }
    // udev looks when the NIC appears, with its own address.
    let appeared = Link { mac: link.permanent_mac.or(link.mac), ..link.clone() };
    let devices = [link, &appeared].map(|link| Device::nic(nic, Some(link)));
    let machine = Machine::of(facts);
    // The network's files have the drop-ins as well.
    let files: Vec<ConfigFile> = facts.network.files.iter().chain(&facts.files).cloned().collect();
    let tree = Tree::new(&files, ".link");
    let may_match = tree
        .units()
        .iter()
        .filter(|unit| devices.iter().any(|device| device.matched(unit, &machine) != Matched::No));
    may_match
        .map(|unit| Other { path: unit.path.clone(), name: unit.gives_name().map(str::to_owned) })
        .collect()
}

fn path(bridge: &Bridge) -> PathBuf {
    PathBuf::from(format!("/etc/systemd/network/10-xenup-{}.link", bridge.nic()))
}

fn pin(facts: &Facts, bridge: &Bridge) -> Option<Pin> {
    let mac = bridge.mac?;
    let port = bridge.nic();
    let link = facts.network.kernel.link(port)?;
    if link.permanent_mac != Some(mac) || link.kind.is_some() || is_kernels_name(port) {
        return None;
    }
    let text = format!(
        "\
# Written by xenup: {port} {does} {bridge} and keeps its name, whatever else changes in the machine.
# See systemd.link(5).
[Match]
PermanentMACAddress={mac}

[Link]
Name={port}
AlternativeNamesPolicy=database onboard slot path
",
        does = if bridge.vlan.is_some() { "carries the VLAN of" } else { "is the port of" },
        bridge = bridge.name,
    );
    Some(Pin { port: port.to_owned(), path: path(bridge), text })
}

pub(crate) fn is_kernels_name(name: &str) -> bool {
    let digits =
        |prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit()));
    digits("eth") || digits("wlan")
}
