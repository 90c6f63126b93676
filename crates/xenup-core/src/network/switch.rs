//! The sequence of link operations that turns a live NIC into the port of a new bridge.
//!
//! Decides: what moves up to the bridge, what stays, and in which order, so that no packet has to wait for an
//! address, a route or a port that forwards.
//! Never: carries an operation out, or asks whether the change is wanted.
//!
//! The order is a measured one: the bridge is made operational by a temporary veth port before the NIC is enslaved
//! (without it one switch in 22 stalls for a second), and its addresses and routes are there before the NIC loses
//! them.

use std::net::{IpAddr, Ipv6Addr};

use xenup_machine::network::{
    Address, Bridge as Settings, Countdown, Link, LinkOp, Mac, Network, Prefix, Route, Vlan as Tagged,
    VlanRange,
};

use crate::host::{AddressPolicy, Vlan};

/// The temporary port and its other end.
pub const HELPER: (&str, &str) = ("xenup-port", "xenup-peer");

/// How long the bridge may take to become operational; it takes 1 to 10 ms.
const UP_WITHIN_MS: u32 = 2000;

/// The kernel's own limit for a label is IFNAMSIZ.
const LONGEST_LABEL: usize = 15;

/// What the kernel gives a bridge that is not told otherwise.
const USUAL_MTU: u32 = 1500;

const UNICAST: u8 = 1;
const GENERATION_NONE: u8 = 1;
const ORIGIN_LINK_LOCAL: u8 = 3;
/// IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_PERMANENT, IFA_F_MANAGETEMPADDR, IFA_F_NOPREFIXROUTE of linux/if_addr.h.
const NODAD: u32 = 0x02;
const DAD_FAILED: u32 = 0x08;
const KEPT_FLAGS: u32 = 0x80 | 0x100 | 0x200;

/// Returns the operations that make `bridge` over `port`, in order; empty where the kernel has no such port.
///
/// With [`AddressPolicy::Keep`] the port's addresses and routes move up. Link-local IPv6 addresses of the kernel's
/// making do not: the bridge makes the same ones itself from the same MAC. With [`AddressPolicy::None`] the bridge
/// gets none, IPv6 is off on it, and what the port had goes. With `vlans` the bridge looks at tags, and the port lets
/// these through beside what has none, which is the bridge's VLAN 1 as the kernel has it, dom0's own packets among it.
#[must_use]
pub fn switch(
    network: &Network,
    bridge: &str,
    port: &str,
    mac: Mac,
    policy: AddressPolicy,
    vlans: &[VlanRange],
) -> Vec<LinkOp> {
    let Some(link) = network.link(port) else { return Vec::new() };
    let settings = Settings { stp: false, forward_delay: 0, vlan_filtering: !vlans.is_empty() };
    let mut ops = create(link, bridge, mac, policy, settings);
    if policy == AddressPolicy::Keep {
        ops.extend(helper_in(bridge));
    }
    let moved = moved_addresses(network, port, mac);
    let routes = moved_routes(network, port, &moved);
    if policy == AddressPolicy::Keep {
        ops.extend(moved.iter().map(|address| add(bridge, port, address)));
    }
    // A port has no address of its own: bridge-utils does the same before it adds one.
    if link.ipv6_generation.is_none_or(|mode| mode != GENERATION_NONE) {
        ops.push(LinkOp::SetIpv6Generation { link: port.to_owned(), mode: GENERATION_NONE });
    }
    ops.push(LinkOp::SetMaster { link: port.to_owned(), master: Some(bridge.to_owned()) });
    ops.extend(vlans.iter().map(|vlans| LinkOp::AddVlans { link: port.to_owned(), vlans: *vlans }));
    if !link.up {
        ops.push(LinkOp::SetUp { link: port.to_owned(), up: true });
    }
    if policy == AddressPolicy::Keep {
        let on_bridge = |route: &Route| Route { link: Some(bridge.to_owned()), ..route.clone() };
        ops.extend(routes.iter().map(|route| LinkOp::ReplaceRoute { route: on_bridge(route) }));
    }
    ops.extend(clear(network, port, &moved));
    if policy == AddressPolicy::Keep {
        ops.push(LinkOp::Delete { link: HELPER.0.to_owned() });
        ops.extend(moved.iter().map(|address| LinkOp::Announce { link: bridge.to_owned(), ip: address.ip }));
    }
    ops
}

/// Returns the operations that make a VLAN on a NIC, which goes on as it is, and `bridge` over the VLAN; dom0 has no
/// address there. Empty where the kernel has no such NIC.
#[must_use]
pub fn on_vlan(network: &Network, bridge: &str, vlan: &Vlan, mac: Mac) -> Vec<LinkOp> {
    let Vlan { nic, tag } = vlan;
    let Some(below) = network.link(nic) else { return Vec::new() };
    let port = vlan.link();
    let mut ops = Vec::new();
    if !below.up {
        ops.push(LinkOp::SetUp { link: nic.clone(), up: true });
    }
    if network.link(&port).is_none() {
        ops.push(LinkOp::CreateVlan { link: port.clone(), below: nic.clone(), tag: *tag });
    }
    let new = Link {
        name: port.clone(),
        kind: Some("vlan".to_owned()),
        permanent_mac: None,
        up: false,
        master: None,
        bridge: None,
        vlans: Vec::new(),
        vlan: Some(Tagged { below: nic.clone(), tag: *tag }),
        large_receive: false,
        ipv6_generation: Some(0),
        alternative_names: Vec::new(),
        ..below.clone()
    };
    let made = Network { links: vec![network.link(&port).cloned().unwrap_or(new)], ..network.clone() };
    ops.extend(switch(&made, bridge, &port, mac, AddressPolicy::None, &[]));
    ops
}

/// Returns the links that [`switch`] touches: what the executor records before and restores after.
#[must_use]
pub fn touched(bridge: &str, port: &str, policy: AddressPolicy) -> Vec<String> {
    let mut links = vec![port.to_owned(), bridge.to_owned()];
    if policy == AddressPolicy::Keep {
        links.extend([HELPER.0.to_owned(), HELPER.1.to_owned()]);
    }
    links
}

fn create(port: &Link, bridge: &str, mac: Mac, policy: AddressPolicy, settings: Settings) -> Vec<LinkOp> {
    let link = || bridge.to_owned();
    let mut ops = vec![LinkOp::CreateBridge { link: link(), mac, bridge: settings }];
    if port.mtu != USUAL_MTU {
        ops.push(LinkOp::SetMtu { link: link(), mtu: port.mtu });
    }
    // Before it comes up, and before it has an address: ifupdown lets a host that forwards listen to its router
    // (accept_ra), or switches autoconfiguration off, for the link that had the stanza.
    ops.push(LinkOp::CopySettings { from: port.name.clone(), to: link() });
    match policy {
        // Before it comes up: up, it would take an address from the first router advertisement.
        AddressPolicy::None => {
            ops.push(LinkOp::SetIpv6Generation { link: link(), mode: GENERATION_NONE });
            ops.push(LinkOp::SetIpv6 { link: link(), enabled: false });
        }
        AddressPolicy::Keep if port.ipv6_generation == Some(GENERATION_NONE) => {
            ops.push(LinkOp::SetIpv6Generation { link: link(), mode: GENERATION_NONE });
        }
        AddressPolicy::Keep => {}
    }
    ops.push(LinkOp::SetUp { link: link(), up: true });
    ops
}

fn helper_in(bridge: &str) -> Vec<LinkOp> {
    let (port, peer) = HELPER;
    let up = |link: &str| LinkOp::SetUp { link: link.to_owned(), up: true };
    let silent = |link: &str| LinkOp::SetIpv6Generation { link: link.to_owned(), mode: GENERATION_NONE };
    vec![
        LinkOp::CreateVeth { link: port.to_owned(), peer: peer.to_owned() },
        silent(port),
        silent(peer),
        LinkOp::SetMaster { link: port.to_owned(), master: Some(bridge.to_owned()) },
        up(peer),
        up(port),
        LinkOp::WaitUp { link: bridge.to_owned(), at_most_ms: UP_WITHIN_MS },
    ]
}

/// Returns the addresses that do not come back by themselves, in the kernel's order: primaries before secondaries.
#[must_use]
pub fn moved_addresses(network: &Network, port: &str, mac: Mac) -> Vec<Address> {
    let moves = |address: &&Address| !is_kernels_own(address, mac) && address.flags & DAD_FAILED == 0;
    network.addresses_on(port).filter(moves).cloned().collect()
}

/// A link-local address that the kernel makes from the MAC; the bridge, having the same MAC, makes it too.
fn is_kernels_own(address: &Address, mac: Mac) -> bool {
    address.is_link_local() && (address.origin == ORIGIN_LINK_LOCAL || address.ip == IpAddr::V6(eui64(mac)))
}

/// RFC 4291, appendix A.
fn eui64(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, ((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f)
}

fn add(bridge: &str, port: &str, address: &Address) -> LinkOp {
    let nodad = if address.ip.is_ipv6() { NODAD } else { 0 };
    let label = address.label.as_deref().and_then(|label| relabelled(label, port, bridge));
    let flags = (address.flags & KEPT_FLAGS) | nodad;
    LinkOp::AddAddress { link: bridge.to_owned(), address: Address { flags, label, ..address.clone() } }
}

/// `eno1:web` becomes `xenbr0:web`; a label that would be too long is left out.
fn relabelled(label: &str, port: &str, bridge: &str) -> Option<String> {
    let rest = label.strip_prefix(port)?;
    let label = format!("{bridge}{rest}");
    (!rest.is_empty() && label.len() <= LONGEST_LABEL).then_some(label)
}

/// Returns the routes by the port that its addresses do not bring with them, those without a gateway first: a gateway
/// may be reached by one of them.
fn moved_routes(network: &Network, port: &str, moved: &[Address]) -> Vec<Route> {
    let moves = |route: &&Route| is_own(route) && !is_implied(route, moved);
    let mut routes: Vec<Route> = network.routes_by(port).filter(moves).cloned().collect();
    routes.sort_by_key(|route| route.gateway.is_some());
    routes
}

/// Returns the routes that stay behind when the port's addresses go, gateways first. The kernel keeps an IPv6 network's
/// route that has a lifetime when its address goes, and it would win over the bridge's.
fn left_routes(network: &Network, port: &str, moved: &[Address]) -> Vec<Route> {
    let left = |route: &&Route| is_own(route) && (route.ipv6 || !is_implied(route, moved));
    let mut routes: Vec<Route> = network.routes_by(port).filter(left).cloned().collect();
    routes.sort_by_key(|route| route.gateway.is_none());
    routes
}

fn is_own(route: &Route) -> bool {
    route.kind == UNICAST && !route.multipath && !is_link_scoped_v6(route)
}

/// `fe80::/10` and `ff00::/8`: each link has its own.
fn is_link_scoped_v6(route: &Route) -> bool {
    match route.destination {
        Some(Prefix { ip: IpAddr::V6(ip), .. }) => ip.is_unicast_link_local() || ip.is_multicast(),
        _ => false,
    }
}

fn is_implied(route: &Route, moved: &[Address]) -> bool {
    moved.iter().any(|address| route.is_made_by(address))
}

/// Takes off the port what is on the bridge by now: addresses in the reverse order, secondaries before primaries.
fn clear(network: &Network, port: &str, moved: &[Address]) -> Vec<LinkOp> {
    let without_end = |route: Route| Route { expires: Countdown::default(), ..route };
    let delete_route = |route: Route| LinkOp::DeleteRoute { route: without_end(route) };
    let delete =
        |address: &Address| LinkOp::DeleteAddress { link: port.to_owned(), address: address.clone() };
    let addresses: Vec<&Address> = network.addresses_on(port).collect();
    let mut ops: Vec<LinkOp> = left_routes(network, port, moved).into_iter().map(delete_route).collect();
    ops.extend(addresses.into_iter().rev().map(delete));
    ops
}
