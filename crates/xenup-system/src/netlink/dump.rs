//! The whole network as the kernel tells it (rt-link, rt-addr, rt-route, rt-rule of rtnetlink(7)). Never changes it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use xenup_machine::MachineError;
use xenup_machine::network::{
    Address, Bridge, Countdown, Link, LinkAddress, Mac, Network, Prefix, Route, Rule, Vlan, VlanRange,
};

use super::features;
use super::socket::{Connection, Refusal};
use super::wire::{Attributes, Message, i32_at, u8_at, u16_at, u32_at};

/// `AF_INET`.
pub(super) const INET: u8 = 2;
/// `AF_INET6`.
pub(super) const INET6: u8 = 10;
/// `AF_BRIDGE`.
pub(super) const BRIDGE: u8 = 7;
/// `IFLA_AF_SPEC`.
pub(super) const FAMILY_SPECIFIC: u16 = 26;
/// `IFLA_BRIDGE_VLAN_INFO`.
pub(super) const VLAN_INFO: u16 = 2;
/// `BRIDGE_VLAN_INFO_RANGE_BEGIN`.
pub(super) const RANGE_BEGIN: u16 = 8;
/// `BRIDGE_VLAN_INFO_RANGE_END`.
pub(super) const RANGE_END: u16 = 16;
/// `BRIDGE_VLAN_INFO_PVID` and `BRIDGE_VLAN_INFO_UNTAGGED`.
const WITHOUT_TAG: u16 = 2 | 4;
/// `RTEXT_FILTER_BRVLAN_COMPRESSED`: rows of VLANs are told by their ends.
const VLAN_ROWS: u32 = 4;
/// `RTM_GETLINK`.
pub(super) const GET_LINK: u16 = 18;
/// `RTM_NEWLINK`.
pub(super) const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const GET_RULE: u16 = 34;
/// Length of `struct ifinfomsg`.
pub(super) const LINK_BODY: usize = 16;
/// `IFLA_IFNAME`.
pub(super) const LINK_NAME: u16 = 3;
/// `IFLA_OPERSTATE`.
const LINK_OPERSTATE: u16 = 16;
/// `IFLA_EXT_MASK` with `RTEXT_FILTER_SKIP_STATS`: counters are three quarters of a link's bytes.
const LINK_FILTER: u16 = 29;
const SKIP_STATS: u32 = 8;
/// `RT_TABLE_LOCAL`: the kernel's own, made from the addresses.
const TABLE_LOCAL: u32 = 255;
/// `RTM_F_CLONED`: a cached route, not one that somebody set.
const CLONED: u32 = 0x200;
/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;
/// What the kernel counts as no end (`INFINITY_LIFE_TIME`).
const FOR_EVER: u32 = u32::MAX;

/// Names by index.
type Names = BTreeMap<i32, String>;

/// Reads the network of the calling thread's namespace.
pub(crate) fn network() -> Result<Network, MachineError> {
    read().map_err(|refusal| refusal.about("read", "the network"))
}

fn read() -> Result<Network, Refusal> {
    let mut kernel = Connection::open()?;
    let mut raw: Vec<RawLink> = Vec::new();
    let filter = |message: &mut super::wire::Writer| {
        message.put_u32(LINK_FILTER, SKIP_STATS);
    };
    kernel.dump(GET_LINK, &[0; LINK_BODY], &filter, &mut |message| raw.extend(RawLink::parse(message)))?;
    let names: Names = raw.iter().map(|link| (link.index, link.link.name.clone())).collect();
    let mut network = Network::default();
    let nothing = |_: &mut super::wire::Writer| {};
    kernel.dump(GET_ADDRESS, &[0; 8], &nothing, &mut |message| {
        network.addresses.extend(address(message, &names));
    })?;
    for family in [INET, INET6] {
        let mut body = [0; 12];
        body[0] = family;
        let mut routes = |message: Message<'_>| network.routes.extend(route(message, &names));
        absent(kernel.dump(GET_ROUTE, &body, &nothing, &mut routes))?;
        let mut rules = |message: Message<'_>| network.rules.extend(rule(message));
        absent(kernel.dump(GET_RULE, &body, &nothing, &mut rules))?;
    }
    if raw.iter().any(|link| link.link.bridge.is_some_and(|bridge| bridge.vlan_filtering)) {
        vlans(&mut kernel, &mut raw)?;
    }
    if raw.iter().any(|link| link.link.kind.is_none() && !link.link.loopback) {
        // It is worth a warning; a kernel that will not say keeps nobody from reading the rest.
        for index in features::links_with(features::LARGE_RECEIVE).unwrap_or_default() {
            raw.iter_mut().filter(|link| link.index == index).for_each(|link| link.link.large_receive = true);
        }
    }
    network.links = raw.into_iter().map(|link| link.named(&names)).collect();
    network.links.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(network)
}

/// Reads which VLANs the ports of bridges let through with their tags.
fn vlans(kernel: &mut Connection, links: &mut [RawLink]) -> Result<(), Refusal> {
    let mut body = [0; LINK_BODY];
    body[0] = BRIDGE;
    let filter = |message: &mut super::wire::Writer| {
        message.put_u32(LINK_FILTER, VLAN_ROWS);
    };
    kernel.dump(GET_LINK, &body, &filter, &mut |message| {
        let Some((index, found)) = port_vlans(message) else { return };
        // The bridge is told of beside its ports.
        let port = links.iter_mut().find(|link| link.index == index && link.link.bridge.is_none());
        if let Some(port) = port {
            port.link.vlans = found;
        }
    })
}

fn port_vlans(message: Message<'_>) -> Option<(i32, Vec<VlanRange>)> {
    if message.kind != NEW_LINK {
        return None;
    }
    let (body, attributes) = message.split(LINK_BODY)?;
    let (mut found, mut begun) = (Vec::new(), None);
    for (_, info) in attributes.within(FAMILY_SPECIFIC).iter().filter(|&(kind, _)| kind == VLAN_INFO) {
        let (Some(flags), Some(tag)) = (u16_at(info, 0), u16_at(info, 2)) else { continue };
        if flags & RANGE_BEGIN != 0 {
            begun = Some(tag);
            continue;
        }
        let first = begun.take().unwrap_or(tag);
        if flags & WITHOUT_TAG == 0 {
            found.extend(VlanRange::new(first, tag));
        }
    }
    Some((i32_at(body, 4)?, VlanRange::joined(found)))
}

/// A kernel without IPv6 or policy routing has none of it, which is no error.
fn absent(result: Result<(), Refusal>) -> Result<(), Refusal> {
    use rustix::io::Errno;
    match result {
        Err(refusal) if refusal.is(&[Errno::OPNOTSUPP, Errno::AFNOSUPPORT]) => Ok(()),
        other => other,
    }
}

/// A link whose master and lower link are still numbers.
struct RawLink {
    index: i32,
    master: Option<i32>,
    below: Option<(i32, u16)>,
    link: Link,
}

impl RawLink {
    fn parse(message: Message<'_>) -> Option<Self> {
        if message.kind != NEW_LINK {
            return None;
        }
        let (body, attributes) = message.split(LINK_BODY)?;
        let flags = u32_at(body, 8)?;
        let info = attributes.within(18);
        let (kind, data) = (info.text(1), info.within(2));
        let is = |name: &str| kind.as_deref() == Some(name);
        let lower = attributes.u32(5).map(u32::cast_signed).unwrap_or(0);
        let link = Link {
            name: attributes.text(LINK_NAME)?,
            loopback: flags & 0x8 != 0,
            mac: attributes.find(1).and_then(mac),
            permanent_mac: attributes.find(54).and_then(mac),
            up: flags & 0x1 != 0,
            carrier: flags & 0x1_0000 != 0,
            operstate: operstate_name(attributes.u8(LINK_OPERSTATE)).to_owned(),
            mtu: attributes.u32(4).unwrap_or(0),
            master: None,
            bridge: is("bridge").then(|| bridge(data)),
            vlan: None,
            vlans: Vec::new(),
            large_receive: false,
            ipv6_generation: attributes.within(26).within(u16::from(INET6)).u8(8),
            alternative_names: attributes
                .within(52)
                .iter()
                .filter(|&(kind, _)| kind == 53)
                .map(|(_, name)| super::wire::text(name))
                .collect(),
            kind: kind.clone(),
        };
        let below = data.u16(1).filter(|_| is("vlan")).map(|tag| (lower, tag));
        let master = attributes.u32(10).map(u32::cast_signed);
        Some(Self { index: i32_at(body, 4)?, master, below, link })
    }

    fn named(mut self, names: &Names) -> Link {
        self.link.master = self.master.map(|index| name_of(names, index));
        self.link.vlan = self.below.map(|(index, tag)| Vlan { below: name_of(names, index), tag });
        self.link
    }
}

/// Reads a message as each of the things it may be.
#[cfg(fuzzing)]
pub(super) fn read_any(message: Message<'_>) {
    let names = Names::new();
    let link = RawLink::parse(message).map(|link| link.named(&names));
    let _ = (
        link,
        link_state(message),
        address(message, &names),
        route(message, &names),
        rule(message),
        port_vlans(message),
    );
}

/// Returns a link's name; `if7` for one in another namespace, as ip(8) writes it.
fn name_of(names: &Names, index: i32) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
}

/// Returns a station's address; the zeros of the loopback are none.
fn mac(value: &[u8]) -> Option<Mac> {
    let mac = Mac(value.try_into().ok()?);
    (mac.0 != [0; 6]).then_some(mac)
}

fn bridge(data: Attributes<'_>) -> Bridge {
    Bridge {
        stp: data.u32(5).unwrap_or(0) != 0,
        forward_delay: data.u32(1).unwrap_or(0),
        vlan_filtering: data.u8(7).unwrap_or(0) != 0,
    }
}

/// Returns the name of an `IF_OPER_*` (linux/if.h).
fn operstate_name(state: Option<u8>) -> &'static str {
    match state {
        Some(1) => "notpresent",
        Some(2) => "down",
        Some(3) => "lowerlayerdown",
        Some(4) => "testing",
        Some(5) => "dormant",
        Some(6) => "up",
        _ => "unknown",
    }
}

/// Returns the index and operational state of an `RTM_NEWLINK`; state 6 is up.
pub(super) fn link_state(message: Message<'_>) -> Option<(i32, u8)> {
    let (body, attributes) = message.split(LINK_BODY).filter(|_| message.kind == NEW_LINK)?;
    Some((i32_at(body, 4)?, attributes.u8(LINK_OPERSTATE)?))
}

fn address(message: Message<'_>, names: &Names) -> Option<LinkAddress> {
    let (body, attributes) = message.split(8).filter(|_| message.kind == NEW_ADDRESS)?;
    let link = names.get(&i32_at(body, 4)?)?.clone();
    // With both, IFA_LOCAL is ours and IFA_ADDRESS the other end; alone, IFA_ADDRESS is ours.
    let (local, other) = (attributes.ip(2), attributes.ip(1));
    let ip = local.or(other)?;
    let life = |at| attributes.find(6).and_then(|info| u32_at(info, at)).filter(|&left| left != FOR_EVER);
    let address = Address {
        ip,
        prefix: u8_at(body, 1)?,
        peer: other.filter(|&other| other != ip),
        broadcast: attributes.ip(4),
        scope: u8_at(body, 3)?,
        flags: attributes.u32(8).unwrap_or_else(|| u32::from(u8_at(body, 2).unwrap_or(0))),
        label: attributes.text(3).filter(|label| *label != link),
        valid: life(4),
        preferred: life(0),
        origin: attributes.u8(11).unwrap_or(0),
    };
    Some(LinkAddress { link, address })
}

fn route(message: Message<'_>, names: &Names) -> Option<Route> {
    let (body, attributes) = message.split(12).filter(|_| message.kind == NEW_ROUTE)?;
    let flags = u32_at(body, 8)?;
    let table = attributes.u32(15).unwrap_or_else(|| u32::from(u8_at(body, 4).unwrap_or(0)));
    if table == TABLE_LOCAL || flags & CLONED != 0 {
        return None;
    }
    let ipv6 = u8_at(body, 0)? == INET6;
    let length = u8_at(body, 1)?;
    let destination = match attributes.ip(1) {
        Some(ip) => Some(Prefix { ip, length }),
        // A prefix of no bits is the default; of some bits without an address, it is that of all zeros.
        None => (length > 0).then(|| Prefix { ip: unspecified(ipv6), length }),
    };
    let hops = attributes.find(9);
    let hop = hops.and_then(first_hop);
    let through = hop.map_or(attributes, |hop| hop.attributes);
    let index = hop.map(|hop| hop.index).or_else(|| attributes.u32(4).map(u32::cast_signed));
    Some(Route {
        ipv6,
        destination,
        gateway: gateway(through),
        link: index.map(|index| name_of(names, index)),
        source: attributes.ip(7),
        metric: attributes.u32(6).unwrap_or(0),
        table,
        protocol: u8_at(body, 5)?,
        scope: u8_at(body, 6)?,
        kind: u8_at(body, 7)?,
        onlink: flags & ONLINK != 0,
        mtu: attributes.within(8).u32(2),
        expires: Countdown(expires(attributes)),
        // A route through a nexthop object belongs to that object: it cannot be rewritten alone either.
        multipath: hops.is_some() || attributes.u32(30).is_some(),
    })
}

#[derive(Clone, Copy)]
struct Hop<'a> {
    index: i32,
    attributes: Attributes<'a>,
}

/// Returns `rta_expires` of `struct rta_cacheinfo` in seconds: the kernel gives hundredths, and 0 for ever.
fn expires(attributes: Attributes<'_>) -> Option<u32> {
    let ticks = attributes.find(12).and_then(|info| i32_at(info, 8))?;
    u32::try_from(ticks).ok().filter(|&ticks| ticks > 0).map(|ticks| (ticks / 100).max(1))
}

/// Returns the first `struct rtnexthop` of a multipath route.
fn first_hop(hops: &[u8]) -> Option<Hop<'_>> {
    let length = usize::from(u16_at(hops, 0)?);
    Some(Hop { index: i32_at(hops, 4)?, attributes: Attributes(hops.get(8..length)?) })
}

/// Returns the gateway: `RTA_GATEWAY`, or `RTA_VIA` where it is of the other family.
fn gateway(attributes: Attributes<'_>) -> Option<IpAddr> {
    attributes.ip(5).or_else(|| attributes.find(18).and_then(|via| super::wire::ip(via.get(2..)?)))
}

fn unspecified(ipv6: bool) -> IpAddr {
    if ipv6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() }
}

fn rule(message: Message<'_>) -> Option<Rule> {
    let (body, attributes) = message.split(12).filter(|_| message.kind == NEW_RULE)?;
    let rule = Rule {
        ipv6: u8_at(body, 0)? == INET6,
        priority: attributes.u32(6).unwrap_or(0),
        table: attributes.u32(15).unwrap_or_else(|| u32::from(u8_at(body, 4).unwrap_or(0))),
        input: attributes.text(3),
        output: attributes.text(17),
    };
    let plain = rule.input.is_none() && rule.output.is_none();
    let kernels = matches!((rule.priority, rule.table), (0, 255) | (32766, 254) | (32767, 253));
    (!plain || !kernels).then_some(rule)
}
