//! What makes a bridge over one of networkd's NICs impossible. Decides that from the NIC's file; never plans a file.

use std::net::IpAddr;

use super::declared::Declared;
use super::files::Wanted;
use super::matching::{Device, Host};
use super::tree::{Line, Tree, Unit};
use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};
use crate::network::owner::Goes;

/// Sections that shape what leaves by the cable, or belong to the card.
const OF_PORT: [&str; 27] = [
    "SR-IOV",
    "LLDP",
    "QDisc",
    "NetworkEmulator",
    "TokenBucketFilter",
    "PIE",
    "FlowQueuePIE",
    "StochasticFairBlue",
    "StochasticFairnessQueueing",
    "BFIFO",
    "PFIFO",
    "PFIFOHeadDrop",
    "PFIFOFast",
    "CAKE",
    "ControlledDelay",
    "DeficitRoundRobinScheduler",
    "DeficitRoundRobinSchedulerClass",
    "EnhancedTransmissionSelection",
    "GenericRandomEarlyDetection",
    "FairQueueingControlledDelay",
    "FairQueueing",
    "TrivialLinkEqualizer",
    "HierarchyTokenBucket",
    "HierarchyTokenBucketClass",
    "ClassfulMultiQueueing",
    "BandMultiQueueing",
    "HeavyHitterFilter",
];

/// Sections about addresses and routes.
const OF_BRIDGE: [&str; 20] = [
    "Address",
    "Neighbor",
    "IPv6AddressLabel",
    "RoutingPolicyRule",
    "NextHop",
    "Route",
    "DHCP",
    "DHCPv4",
    "DHCPv6",
    "DHCPv6PrefixDelegation",
    "DHCPPrefixDelegation",
    "IPv6AcceptRA",
    "DHCPServer",
    "DHCPServerStaticLease",
    "IPv6SendRA",
    "IPv6PrefixDelegation",
    "IPv6Prefix",
    "IPv6RoutePrefix",
    "IPv6PREF64Prefix",
    "MobilityDomain",
];

/// Links on top of the NIC that cannot be there beside a bridge, and masters.
const STACKED: [&str; 11] = [
    "Bridge",
    "Bond",
    "BatmanAdvanced",
    "IPoIB",
    "IPVLAN",
    "IPVTAP",
    "MACVLAN",
    "MACVTAP",
    "MACsec",
    "Tunnel",
    "Xfrm",
];

/// Returns where a setting belongs.
pub(super) fn goes(section: &str, key: &str) -> Goes {
    match (section, key) {
        ("Match", _) => Goes::Away,
        (other, _) if other.starts_with("X-") => Goes::Away,
        ("Network", key) if STACKED.contains(&key) => Goes::Nowhere,
        // Frames with a tag reach the VLAN before the bridge.
        ("Network", "VLAN" | "LLDP" | "EmitLLDP") => Goes::ToPort,
        ("Network", _) => Goes::ToBridge,
        // The bridge has the address by its .netdev file.
        ("Link", "MACAddress" | "Group") => Goes::ToPort,
        ("Link", "MTUBytes") => Goes::ToBoth,
        ("Link", "Unmanaged") => Goes::Away,
        ("Link", _) => Goes::ToBridge,
        (section, _) if OF_PORT.contains(&section) => Goes::ToPort,
        (section, _) if OF_BRIDGE.contains(&section) => Goes::ToBridge,
        _ => Goes::Nowhere,
    }
}

/// Returns the file the NIC gets today.
///
/// # Errors
/// A finding: no file is for it, or which one it is cannot be told.
pub(super) fn source<'a>(theirs: &'a Tree, port: &Device, host: &Host) -> Result<&'a Unit, Box<Finding>> {
    let taken = theirs.taken(port, host);
    if let Some(first) = taken.uncertain.first() {
        return Err(Box::new(Finding {
            at: taken.uncertain.clone(),
            ..Finding::blocking(
                "networkd-match-unknown",
                format!("whether {} is for {} cannot be told", name(first), port.name),
                "only systemd-networkd itself can decide that condition, and a plan would have to guess what the NIC gets",
                format!("write Name={} into that [Match] in its place", port.name),
            )
        }));
    }
    taken.unit.ok_or_else(|| {
        Box::new(Finding::blocking(
            "networkd-no-file",
            format!("no .network file is for {}", port.name),
            "its addresses would be gone after a reboot, and so would the bridge's",
            format!("write /etc/systemd/network/20-{0}.network with [Match] Name={0}", port.name),
        ))
    })
}

fn name(at: &At) -> String {
    at.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the settings of the NIC's file that stand in the way.
pub(super) fn settings(unit: &Unit, wanted: &Wanted<'_>) -> Vec<Finding> {
    unit.lines().iter().filter_map(|line| setting(line, wanted)).collect()
}

fn setting(line: &Line, wanted: &Wanted<'_>) -> Option<Finding> {
    let (section, key, value) = (&line.setting.section, &line.setting.key, &line.setting.value);
    let port = wanted.port.name.as_str();
    let at = |finding: Finding| Some(Finding { at: vec![line.at.clone()], ..finding });
    if goes(section, key) == Goes::Nowhere {
        let shown = if section == "Network" { format!("{key}={value}") } else { format!("[{section}]") };
        return at(Finding::blocking(
            "networkd-setting-not-movable",
            format!(
                "{port} has {shown}, which the port of a bridge cannot have, or which this version does not know"
            ),
            "it would end with the change, or the bridge would not come up",
            format!("take it out of the file, or name another port for {}", wanted.bridge),
        ));
    }
    if section == "Link" && key == "ActivationPolicy" && !matches!(value.as_str(), "up" | "always-up" | "") {
        return at(Finding::blocking(
            "networkd-not-brought-up",
            format!("{port} has ActivationPolicy={value}"),
            "the bridge would not come up by itself after a reboot",
            "write ActivationPolicy=up",
        ));
    }
    if section != "Match" && value.split_ascii_whitespace().any(|word| word == port) {
        return at(Finding::blocking(
            "networkd-names-nic",
            format!("{key}={value} in [{section}] names {port}"),
            "once the bridge has the addresses, it would no longer mean them",
            format!("write it without {port}, or for {}", wanted.bridge),
        ));
    }
    None
}

/// Returns a finding for each address that the NIC has and its file does not declare: networkd takes such an address
/// away when it starts.
pub(super) fn undeclared(unit: &Unit, nic: &str, lasting: &[IpAddr]) -> Vec<Finding> {
    let declared = Declared::of(unit);
    let by_client = |ip: &IpAddr| if ip.is_ipv4() { declared.dhcp4 } else { declared.dhcp6 };
    let strangers = lasting.iter().filter(|ip| !declared.addresses.contains(ip) && !by_client(ip));
    let found = strangers.map(|ip| Finding {
        at: vec![unit.matched_at()],
        ..Finding::blocking(
            "networkd-address-not-declared",
            format!("{nic} has {ip}, and its file does not declare it"),
            "it was set by hand or by another program: systemd-networkd takes it away when it starts",
            format!("write Address={ip} with its prefix length into the file, or take it off the NIC"),
        )
    });
    found.collect()
}

/// Returns a warning for each setting by which an IPv6 address depends on the link's name or hardware.
pub(super) fn changing_addresses(unit: &Unit, wanted: &Wanted<'_>) -> Vec<Finding> {
    let changes = unit.lines().iter().filter(|line| {
        let setting = &line.setting;
        match (setting.section.as_str(), setting.key.as_str()) {
            ("Network", "IPv6LinkLocalAddressGenerationMode") => setting.value == "stable-privacy",
            ("IPv6AcceptRA", "Token") => setting.value.starts_with("prefixstable"),
            _ => false,
        }
    });
    let found = changes.map(|line| Finding {
        weight: Weight::Warning,
        at: vec![line.at.clone()],
        ..Finding::blocking(
            "ipv6-address-changes",
            format!("{}={} makes another address on {}", line.setting.key, line.setting.value, wanted.bridge),
            "such an address is made from the link's name and card as well, and the bridge has others",
            "know the new address from `ip -6 address` before you confirm, or write the address itself",
        )
    });
    found.collect()
}
