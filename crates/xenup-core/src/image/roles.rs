//! Which NIC is which, on a machine that nobody has looked at. Decides what of host.toml an image can have, and what it
//! leaves to a plan on the machine.

use std::collections::BTreeSet;

use super::Wanted;
use crate::host::{AddressPolicy, Bridge, Host};
use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};
use crate::network::pin::is_kernels_name;

/// Returns the host without what an image cannot have: the address of a bridge without a port is made from the machine's
/// id, which the first boot draws.
pub(super) fn made(host: &Host) -> Host {
    Host { nats: Vec::new(), routed: Vec::new(), isolated: Vec::new(), ..host.clone() }
}

/// Returns everything that is to be said of the roles; what blocks among it.
pub(super) fn look(wanted: &Wanted<'_>) -> Vec<Finding> {
    let host = wanted.host;
    let mut found: Vec<Finding> = host.bridges.iter().filter_map(|bridge| named(host, bridge)).collect();
    found.extend(host.bridges.iter().filter_map(|bridge| told_apart(host, bridge)));
    found.extend(addresses(wanted));
    found.extend(later(host));
    if host.bridges.is_empty() {
        found.push(Finding {
            weight: Weight::Warning,
            at: vec![At { path: host.path.clone(), line: 0 }],
            ..Finding::blocking(
                "image-without-network",
                "the machine will have no network: host.toml names no bridge",
                "an image sets up the NICs of host.toml and no others",
                "add a [[bridge]] with the NIC's name and mac",
            )
        });
    }
    found
}

fn nics(host: &Host) -> BTreeSet<&str> {
    host.bridges.iter().map(Bridge::nic).collect()
}

fn at(host: &Host, bridge: &Bridge) -> Vec<At> {
    vec![At { path: host.path.clone(), line: bridge.line }]
}

/// A name that nothing in the image could give the NIC.
fn named(host: &Host, bridge: &Bridge) -> Option<Finding> {
    let nic = bridge.nic();
    let finding = if nic.contains('.') {
        Finding::blocking(
            "image-port-is-a-vlan",
            format!("{nic} is a VLAN, and nothing in the image would make it"),
            "an image has the NICs of a machine, and what host.toml makes over them",
            "name the NIC as the port, and write its tag as vlan",
        )
    } else if bridge.mac.is_some() && is_kernels_name(nic) {
        Finding::blocking(
            "image-kernel-name",
            format!("{nic} is a name that the kernel gives by itself, in no order that lasts"),
            "the NIC is found by its mac and then named, and udev cannot take a name of the kernel's own",
            format!(
                "call it otherwise, such as ports = [\"lan{}\"]",
                nic.trim_start_matches(char::is_alphabetic)
            ),
        )
    } else {
        return None;
    };
    Some(Finding { at: at(host, bridge), ..finding })
}

/// A NIC without an address is found by its name alone: good enough where it is the only one, and its name is known.
fn told_apart(host: &Host, bridge: &Bridge) -> Option<Finding> {
    let nic = bridge.nic();
    let is_known = host.bridges.iter().any(|other| other.nic() == nic && other.mac.is_some());
    if is_known {
        return None;
    }
    let count = nics(host).len();
    let finding = Finding::blocking(
        "image-nic-without-mac",
        format!("which NIC is {nic}, the port of {}, is told by nothing but its name", bridge.name),
        if count > 1 {
            format!("there are {count} NICs, and a machine that nobody has looked at may call them otherwise")
        } else {
            "a machine that calls its NIC otherwise comes up without a network".to_owned()
        },
        "write its address in host.toml: mac = \"52:54:00:aa:bb:cc\", as `ip -brief link` or the firmware shows it",
    );
    let weight = if count > 1 { Weight::Blocks } else { Weight::Warning };
    Some(Finding { weight, at: at(host, bridge), ..finding })
}

/// Addresses that were given, where it is not plain whose they are.
fn addresses(wanted: &Wanted<'_>) -> Option<Finding> {
    if wanted.addresses.fixed.is_empty() {
        return None;
    }
    let keeps = |bridge: &&Bridge| bridge.address == AddressPolicy::Keep;
    let names: Vec<&str> =
        wanted.host.bridges.iter().filter(keeps).map(|bridge| bridge.name.as_str()).collect();
    let (what, fix) = match names.as_slice() {
        [_] => return None,
        [] => (
            "an address was given, and no bridge has one".to_owned(),
            "write address = \"keep\" for the bridge that dom0 is to be reached by, or leave --address out",
        ),
        several => (
            format!(
                "an address was given, and {} bridges are to have one: {}",
                several.len(),
                several.join(", ")
            ),
            "leave --address out, so that each asks by DHCP, or write address = \"none\" for all but one",
        ),
    };
    Some(Finding {
        at: vec![At { path: wanted.host.path.clone(), line: 0 }],
        ..Finding::blocking("image-address-of-whom", what, "one address is one bridge's", fix)
    })
}

/// What is left to the machine.
fn later(host: &Host) -> Vec<Finding> {
    let nats = host.nats.iter().map(|nat| (nat.name.as_str(), nat.line));
    let routed = host.routed.iter().map(|routed| (routed.name.as_str(), routed.line));
    let isolated = host.isolated.iter().map(|isolated| (isolated.name.as_str(), isolated.line));
    let finding = |(name, line): (&str, u32)| Finding {
        weight: Weight::Warning,
        at: vec![At { path: host.path.clone(), line }],
        ..Finding::blocking(
            "image-bridge-later",
            format!("{name} is not in the image"),
            "its Ethernet address is made from the machine's id, which the first boot draws",
            "xenup apply, once on the machine: host.toml is there",
        )
    };
    nats.chain(routed).chain(isolated).map(finding).collect()
}
