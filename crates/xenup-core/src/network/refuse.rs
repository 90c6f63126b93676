//! What makes a bridge of host.toml impossible on this machine. Decides that from the facts; never plans a step.

use std::path::Path;

use xenup_machine::network::Network;

use super::{forwarding, guest_vlans, manager, nat, networkd, other_names, portless, routed};
use crate::host::{AddressPolicy, Bridge, Host};
use crate::inspect::facts::{At, Facts, Nic, Owner, OwnerKind};
use crate::inspect::{Finding, Weight};

/// Returns everything that stands in the way of the bridges and NAT networks of `host`, and what is to be known of them.
#[must_use]
pub fn refuse(facts: &Facts, host: &Host) -> Vec<Finding> {
    let file = &host.path;
    let mut findings: Vec<Finding> =
        host.bridges.iter().flat_map(|bridge| one(facts, file, bridge)).collect();
    findings.extend(host.bridges.iter().flat_map(|bridge| other_names::refuse(facts, file, bridge)));
    for bridge in portless::of(host, &facts.machine_id) {
        findings.extend(portless::refuse(facts, file, &bridge));
    }
    findings.extend(host.nats.iter().flat_map(|nat| nat::refuse(facts, file, nat)));
    findings.extend(host.routed.iter().flat_map(|one| routed::refuse(facts, host, file, one)));
    findings.extend(forwarding::forbidden(facts, host, file));
    if let Some(error) = &facts.network.interfaces_error {
        let fix = "correct the file; `ifquery --list --all` says whether ifupdown takes it";
        let what = format!("the interfaces files cannot be read: {error}");
        findings.push(Finding::blocking(
            "interfaces-unreadable",
            what,
            "a plan would have to guess what they say",
            fix,
        ));
    }
    findings
}

/// Whether the kernel has the bridge over its port already.
#[must_use]
pub fn is_made(network: &Network, bridge: &Bridge) -> bool {
    let is_bridge = network.link(bridge.name.as_str()).is_some_and(|link| link.bridge.is_some());
    let is_port =
        network.link(&bridge.port).is_some_and(|link| link.master.as_deref() == Some(bridge.name.as_str()));
    is_bridge && is_port
}

fn one(facts: &Facts, file: &Path, bridge: &Bridge) -> Vec<Finding> {
    let found = match facts.network.nic(bridge.nic()) {
        None => vec![absent(facts, bridge)],
        Some(nic) if is_made(&facts.network.kernel, bridge) => {
            let other_vlans = guest_vlans::refuse_made(&facts.network.kernel, bridge);
            owner(facts, nic).into_iter().chain(other_vlans).collect()
        }
        Some(nic) if bridge.vlan.is_some() => tagged(facts, bridge, nic),
        Some(nic) => present(facts, bridge, nic),
    };
    found
        .into_iter()
        .map(|finding| Finding { at: located(finding.at, file, bridge.line), ..finding })
        .collect()
}

fn located(at_facts: Vec<At>, file: &Path, line: u32) -> Vec<At> {
    [at(file, line)].into_iter().chain(at_facts).collect()
}

fn absent(facts: &Facts, bridge: &Bridge) -> Finding {
    let port = bridge.nic();
    let renamed = facts.network.nics.iter().find(|nic| bridge.mac.is_some() && nic.mac == bridge.mac);
    if let Some(nic) = renamed {
        return Finding::blocking(
            "nic-renamed",
            format!("{port} is called {} now", nic.name),
            "its address is the one that host.toml gives",
            format!("write ports = [\"{}\"] for {} in host.toml", nic.name, bridge.name),
        );
    }
    let names: Vec<&str> = facts.network.nics.iter().map(|nic| nic.name.as_str()).collect();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Finding::blocking(
        "nic-absent",
        format!("there is no NIC {port}"),
        format!("{} needs it; there are: {there}", bridge.name),
        format!("name another port for {} in host.toml", bridge.name),
    )
}

fn present(facts: &Facts, bridge: &Bridge, nic: &Nic) -> Vec<Finding> {
    let kernel = &facts.network.kernel;
    let mut found: Vec<Finding> = owner(facts, nic).into_iter().collect();
    found.extend(other_mac(facts, bridge, nic));
    found.extend(not_bridgeable(nic));
    if !bridge.vlans.is_empty() && manager::configures(nic) {
        found.push(Finding::blocking(
            "vlan-not-made",
            format!("NetworkManager configures {}, and this version gives its bridges no VLANs", nic.name),
            "NetworkManager would take the bridge for one without VLANs, and guests would be cut off",
            "configure the NIC in /etc/network/interfaces, or leave vlans out",
        ));
    }
    found.extend(name_taken(kernel, bridge));
    found.extend(routing(kernel, &nic.name));
    found.extend(guest_vlans::refuse(kernel, bridge));
    found.extend(large_receive(facts, nic));
    match bridge.address {
        AddressPolicy::Keep => found.extend(nothing_to_keep(kernel, bridge)),
        AddressPolicy::None => found.extend(own_session(facts, bridge)),
    }
    found
}

/// A NIC that carries a VLAN may be anything else beside, a port too.
fn tagged(facts: &Facts, bridge: &Bridge, nic: &Nic) -> Vec<Finding> {
    let kernel = &facts.network.kernel;
    let mut found: Vec<Finding> = owner(facts, nic).into_iter().collect();
    found.extend(other_mac(facts, bridge, nic));
    found.extend(not_bridgeable(&Nic { master: None, ..nic.clone() }));
    found.extend(name_taken(kernel, bridge));
    found.extend(large_receive(facts, nic));
    if manager::configures(nic) {
        found.push(Finding::blocking(
            "vlan-not-made",
            format!("NetworkManager configures {}, and this version makes no VLAN for it", nic.name),
            "the VLAN would have no profile, and be gone after a reboot",
            "configure the NIC and its VLAN in /etc/network/interfaces",
        ));
    }
    if kernel.link(&bridge.port).is_some() {
        found.push(Finding::blocking(
            "vlan-there-already",
            format!("there is a link {} already", bridge.port),
            "whoever made it may use it",
            format!("write ports = [\"{}\"] without vlan in host.toml", bridge.port),
        ));
    }
    found
}

fn owner(facts: &Facts, nic: &Nic) -> Option<Finding> {
    let other = unsupported(facts, nic)?;
    let (what, why, fix) = not_supported(nic, other.kind);
    Some(Finding { at: other.at.clone(), ..Finding::blocking("network-owner-not-supported", what, why, fix) })
}

/// Returns the owner of a NIC that this version cannot change the network of.
pub(crate) fn unsupported<'a>(facts: &Facts, nic: &'a Nic) -> Option<&'a Owner> {
    let supported = |kind: OwnerKind| match kind {
        OwnerKind::Ifupdown | OwnerKind::Networkd => true,
        OwnerKind::Netplan => networkd::configures(facts, nic),
        OwnerKind::NetworkManager => manager::configures(nic),
    };
    nic.owners.iter().find(|owner| !supported(owner.kind))
}

/// Returns what, why and what to do about it.
pub(crate) fn not_supported(nic: &Nic, kind: OwnerKind) -> (String, &'static str, String) {
    let name = &nic.name;
    let what = format!("{name} is configured by {}", kind.program());
    if kind == OwnerKind::Netplan {
        let why = "netplan has made no file for it that systemd-networkd reads, and this version knows no other back end of it";
        let fix = format!(
            "see what `netplan get` says of {name}: with the renderer networkd, after `netplan generate`, it can be bridged"
        );
        return (what, why, fix);
    }
    if nic.owners.iter().any(|owner| owner.kind != kind) {
        let why = "both would have a say in what becomes of a bridge";
        let fix = format!("decide for one, and remove {name} from the other");
        return (format!("{what}, and not by it alone"), why, fix);
    }
    let kind = nic.kind.as_deref().unwrap_or("link");
    let why =
        "this version makes bridges over NetworkManager's Ethernet NICs alone, not over what it makes itself";
    (format!("{what}, and is a {kind}"), why, format!("configure {name} in /etc/network/interfaces"))
}

fn other_mac(facts: &Facts, bridge: &Bridge, nic: &Nic) -> Option<Finding> {
    let wanted = bridge.mac?;
    let link = facts.network.kernel.link(&nic.name);
    let known = [nic.mac, link.and_then(|link| link.permanent_mac), link.and_then(|link| link.mac)];
    if known.contains(&Some(wanted)) {
        return None;
    }
    let other = facts.network.nics.iter().find(|other| other.mac == Some(wanted));
    let fix = match other {
        Some(other) => format!("write ports = [\"{}\"] for {} in host.toml", other.name, bridge.name),
        None => format!("correct the mac of {} in host.toml", bridge.name),
    };
    let has = nic.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
    Some(Finding::blocking(
        "nic-is-another",
        format!("{} has the address {has}, not {wanted}", nic.name),
        "host.toml means another NIC",
        fix,
    ))
}

fn not_bridgeable(nic: &Nic) -> Option<Finding> {
    let name = &nic.name;
    if nic.wireless {
        let why = "an access point takes frames of its own station only";
        return Some(Finding::blocking(
            "nic-wireless",
            format!("{name} is wireless"),
            why,
            "bridge a wired NIC",
        ));
    }
    if let Some(master) = &nic.master {
        let fix = format!("name {master} as the port, or take {name} out of it");
        return Some(Finding::blocking(
            "nic-enslaved",
            format!("{name} is a port of {master} already"),
            "a NIC has one master",
            fix,
        ));
    }
    // veth stands for a NIC in a container.
    if nic.kind.as_deref().is_some_and(|kind| !matches!(kind, "bond" | "vlan" | "veth")) {
        let kind = nic.kind.as_deref().unwrap_or_default();
        return Some(Finding::blocking(
            "nic-virtual",
            format!("{name} is a {kind}"),
            "no cable hangs on it",
            "name a NIC, a bond or a VLAN",
        ));
    }
    None
}

fn name_taken(kernel: &Network, bridge: &Bridge) -> Option<Finding> {
    let link = kernel.link(bridge.name.as_str())?;
    let kind = link.kind.as_deref().unwrap_or("NIC");
    Some(Finding::blocking(
        "bridge-name-taken",
        format!("there is a {kind} {} already, without {} in it", bridge.name, bridge.port),
        "it may carry guests or addresses that nobody asked to change",
        format!("choose another name in host.toml, or remove {} first", bridge.name),
    ))
}

/// The kernel switches it off on every port of a bridge and on what is below one (dev_disable_lro in net/core/dev.c).
fn large_receive(facts: &Facts, nic: &Nic) -> Option<Finding> {
    let below = |name: &str, master: Option<&str>| name == nic.name || master == Some(nic.name.as_str());
    let links = &facts.network.kernel.links;
    let name =
        &links.iter().find(|link| link.large_receive && below(&link.name, link.master.as_deref()))?.name;
    let driver = facts.network.nic(name).and_then(|nic| nic.driver.as_deref());
    let driver = driver.map(|driver| format!(" ({driver})")).unwrap_or_default();
    let finding = Finding::blocking(
        "nic-large-receive",
        format!("large receive offload is on for {name}{driver}"),
        "a bridge has the kernel switch it off, and some drivers (ixgbe, bnx2x) start the NIC anew for that: its link is \
         down for seconds",
        format!("`ethtool -K {name} lro off`, at a time when such a gap does no harm, then plan again"),
    );
    Some(Finding { weight: Weight::Warning, ..finding })
}

fn routing(kernel: &Network, port: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if kernel
        .rules
        .iter()
        .any(|rule| [&rule.input, &rule.output].iter().any(|name| name.as_deref() == Some(port)))
    {
        let fix = format!("`ip rule` lists them: remove those that say iif or oif {port}");
        let what = format!("policy routing rules name {port}");
        found.push(Finding::blocking(
            "rule-names-port",
            what,
            "they would stop matching once the bridge has the addresses",
            fix,
        ));
    }
    if kernel.routes.iter().any(|route| route.multipath) {
        let what = "a route has more than one next hop".to_owned();
        found.push(Finding::blocking(
            "multipath-route",
            what,
            "such routes are not moved by this version",
            "replace it by single routes",
        ));
    }
    found
}

fn nothing_to_keep(kernel: &Network, bridge: &Bridge) -> Option<Finding> {
    if kernel.addresses_on(&bridge.port).any(|address| !address.is_link_local()) {
        return None;
    }
    Some(Finding::blocking(
        "nothing-to-keep",
        format!("{} has no address that {} could keep", bridge.port, bridge.name),
        "nobody could tell afterwards whether the change was good",
        format!("`ifup {}` first, or write address = \"none\"", bridge.port),
    ))
}

fn own_session(facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    let session = facts.session.as_ref()?;
    if session.link.as_deref() != Some(&bridge.port) {
        return None;
    }
    Some(Finding::blocking(
        "own-session",
        format!("this session comes in through {}, by {}", bridge.port, session.server),
        format!("address = \"none\" takes that address away, and {} with it", bridge.name),
        "write address = \"keep\", or come in through another NIC",
    ))
}

fn at(file: &Path, line: u32) -> At {
    At { path: file.to_owned(), line }
}
