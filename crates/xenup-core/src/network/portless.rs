//! Bridges without a port: those behind dom0's own address (`[[nat]]`), those that dom0 routes to (`[[routed]]`) and
//! those of guests among themselves (`[[isolated]]`).
//!
//! Decides: which program makes them at boot, their Ethernet addresses, and the link operations that make them now.
//! Never: what is translated or lent on them (see `nat`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::network::{Address, Bridge, Countdown, LinkOp, Mac, Network, Prefix, Route};

use super::interfaces::{BridgeAddress, BridgeRequest, HwAddress, MAIN};
use super::networkd;
use crate::host::{Host, LinkName, Subnet};
use crate::inspect::Finding;
use crate::inspect::facts::{At, Facts, Nic, OwnerKind};
use crate::plan::step::Draft;

const NETWORKD: &str = "systemd-networkd.service";
/// How IPv6 link-local addresses are made: not at all.
const GENERATION_NONE: u8 = 1;
/// RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK and RTN_UNICAST of linux/rtnetlink.h.
const MAIN_TABLE: u32 = 254;
const STATIC: u8 = 4;
const LINK: u8 = 253;
const UNICAST: u8 = 1;

/// A bridge without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portless<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Ethernet address: the same at every boot, whoever makes it.
    pub mac: Mac,
    /// Whose it is, in words.
    pub whose: &'static str,
    /// dom0's address there and its network; `None` where dom0 has none.
    pub address: Option<(Ipv4Addr, Subnet)>,
    /// Further networks that are sent there.
    pub routes: &'a [Subnet],
    /// The line of host.toml.
    pub line: u32,
}

/// Who makes such a bridge at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// ifupdown, by stanzas with `bridge_ports none`.
    Ifupdown,
    /// systemd-networkd, by a .netdev file.
    Networkd,
}

/// Returns the bridges without a port that `host` wants, in the order of the file's three lists.
#[must_use]
pub fn of<'a>(host: &'a Host, machine_id: &str) -> Vec<Portless<'a>> {
    let of = |name: &'a LinkName, whose, address, routes, line| {
        let name = name.as_str();
        Portless { name, mac: mac(machine_id, name), whose, address, routes, line }
    };
    let nats = host.nats.iter().map(|nat| {
        of(&nat.name, "for guests behind dom0", Some((nat.address, nat.subnet)), &[][..], nat.line)
    });
    let routed = host.routed.iter().map(|routed| {
        let address = Some((routed.address, routed.network));
        of(&routed.name, "for guests that dom0 routes to", address, &routed.routes, routed.line)
    });
    let isolated = host
        .isolated
        .iter()
        .map(|isolated| of(&isolated.name, "for guests among themselves", None, &[][..], isolated.line));
    nats.chain(routed).chain(isolated).collect()
}

/// An address that nobody else has by chance: locally administered, made from the machine's id and the bridge's name
/// (FNV-1a, 64 bits).
fn mac(machine_id: &str, name: &str) -> Mac {
    let bytes = machine_id.bytes().chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    Mac([0x02, a, b, c, d, e])
}

/// Returns who is to make them: systemd-networkd where it runs and has a NIC to itself, or where ifupdown has none; else
/// ifupdown where it has its file. A NIC that both have says nothing about who is meant: a file of systemd-networkd may fit
/// one that it was never to look after, and Debian brings some for containers.
#[must_use]
pub fn maker(facts: &Facts) -> Option<Maker> {
    let has = |nic: &Nic, kind| nic.owners.iter().any(|owner| owner.kind == kind);
    let nics = || facts.network.nics.iter();
    let is_networkds = nics().any(|nic| networkd::configures(facts, nic) && !has(nic, OwnerKind::Ifupdown));
    let is_ifupdowns = nics().any(|nic| has(nic, OwnerKind::Ifupdown));
    let runs = facts.services.active.iter().any(|unit| unit == NETWORKD);
    let has_file = facts.network.files.iter().any(|file| file.path == Path::new(MAIN));
    if (runs && is_networkds) || ((runs || is_networkds) && !is_ifupdowns) {
        Some(Maker::Networkd)
    } else if is_ifupdowns || (has_file && facts.packages.version("ifupdown").is_some()) {
        Some(Maker::Ifupdown)
    } else {
        None
    }
}

/// Returns what stands in the way of a bridge without a port.
#[must_use]
pub fn refuse(facts: &Facts, file: &Path, bridge: &Portless<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if maker(facts).is_none() {
        found.push(Finding::blocking(
            "bridge-without-maker",
            format!("nothing on this machine could make {} at boot", bridge.name),
            "this version writes files of ifupdown and of systemd-networkd, and neither has a NIC here",
            "apt-get install ifupdown, or have systemd-networkd configure a NIC",
        ));
    }
    if let Some(link) = facts.network.kernel.link(bridge.name)
        && !is_made(&facts.network.kernel, bridge)
    {
        let kind = link.kind.as_deref().unwrap_or("NIC");
        found.push(Finding::blocking(
            "bridge-name-taken",
            format!("there is a {kind} {} already, and not as host.toml wants it", bridge.name),
            "it may carry guests or addresses that nobody asked to change",
            format!("choose another name in host.toml, or `ip link delete {}` first", bridge.name),
        ));
    }
    let here = At { path: file.to_owned(), line: bridge.line };
    found.into_iter().map(|finding| Finding { at: vec![here.clone()], ..finding }).collect()
}

/// Whether the kernel has the bridge as it is wanted; ports of guests do not count.
#[must_use]
pub fn is_made(network: &Network, bridge: &Portless<'_>) -> bool {
    let is_bridge = network.link(bridge.name).is_some_and(|link| link.bridge.is_some());
    let has: Vec<String> = network
        .addresses_on(bridge.name)
        .filter(|address| !address.is_link_local())
        .map(ToString::to_string)
        .collect();
    let wanted: Vec<String> =
        bridge.address.iter().map(|(ip, subnet)| format!("{ip}/{}", subnet.length)).collect();
    let is_sent = |subnet: &Subnet| network.routes_by(bridge.name).any(|there| leads_to(there, *subnet));
    is_bridge && has == wanted && bridge.routes.iter().all(is_sent)
}

fn leads_to(route: &Route, subnet: Subnet) -> bool {
    let to = Prefix { ip: IpAddr::V4(subnet.network), length: subnet.length };
    route.destination == Some(to) && route.gateway.is_none() && route.table == MAIN_TABLE
}

/// Returns the stanzas to ask for.
#[must_use]
pub fn request(bridge: &Portless<'_>) -> BridgeRequest {
    BridgeRequest {
        name: bridge.name.to_owned(),
        ports: Vec::new(),
        mac: Some(HwAddress(bridge.mac.0)),
        address: match bridge.address {
            Some((ip, subnet)) => BridgeAddress::Fixed { ip, length: subnet.length },
            None => BridgeAddress::None,
        },
        stp: false,
        forward_delay: 0,
        max_wait: 0,
        wait_port: None,
        vlans: Vec::new(),
        routes: bridge.routes.iter().map(ToString::to_string).collect(),
    }
}

/// Returns the step that makes the bridge now.
#[must_use]
pub fn step(bridge: &Portless<'_>) -> Step {
    let why = match bridge.address {
        Some(_) => "guests have dom0 as their gateway there",
        None => "guests talk to each other there, and to nobody else",
    };
    let links = Action::Links { ops: ops(bridge), touches: vec![bridge.name.to_owned()] };
    Draft::new(&format!("make {}", bridge.name), format!("Make {} without a port", bridge.name), why, links)
        .risks(&[Risk::CutsNetwork])
        .leaves(checks(bridge))
        .this_boot()
        .step()
}

/// Before it comes up IPv6 is off: dom0 has no address there but the one that is written.
fn ops(bridge: &Portless<'_>) -> Vec<LinkOp> {
    let link = || bridge.name.to_owned();
    let plain = Bridge { stp: false, forward_delay: 0, vlan_filtering: false };
    let mut ops = vec![
        LinkOp::CreateBridge { link: link(), mac: bridge.mac, bridge: plain },
        LinkOp::SetIpv6Generation { link: link(), mode: GENERATION_NONE },
        LinkOp::SetIpv6 { link: link(), enabled: false },
        LinkOp::SetUp { link: link(), up: true },
    ];
    ops.extend(bridge.address.map(|(ip, subnet)| {
        let address = Address::new(IpAddr::V4(ip), subnet.length);
        // RFC 3021: a network of two addresses or one has none.
        let broadcast = (subnet.length <= 30).then(|| IpAddr::V4(subnet.broadcast()));
        LinkOp::AddAddress { link: link(), address: Address { broadcast, ..address } }
    }));
    ops.extend(
        bridge.routes.iter().map(|subnet| LinkOp::ReplaceRoute { route: direct(bridge.name, *subnet) }),
    );
    ops
}

/// A network without a gateway in it: each of its addresses is asked for on the bridge.
fn direct(link: &str, subnet: Subnet) -> Route {
    Route {
        ipv6: false,
        destination: Some(Prefix { ip: IpAddr::V4(subnet.network), length: subnet.length }),
        gateway: None,
        link: Some(link.to_owned()),
        source: None,
        metric: 0,
        table: MAIN_TABLE,
        protocol: STATIC,
        scope: LINK,
        kind: UNICAST,
        onlink: false,
        mtu: None,
        expires: Countdown::default(),
        multipath: false,
    }
}

/// Returns what holds once it is there.
#[must_use]
pub fn checks(bridge: &Portless<'_>) -> Vec<Condition> {
    let has = |(ip, subnet): (Ipv4Addr, Subnet)| Condition::HasAddress {
        link: bridge.name.to_owned(),
        address: format!("{ip}/{}", subnet.length),
    };
    let exists = || Condition::Exists { path: format!("/sys/class/net/{}/bridge", bridge.name).into() };
    vec![bridge.address.map_or_else(exists, has)]
}

#[cfg(test)]
mod tests {
    use super::{MAIN, Maker, NETWORKD, mac, maker};
    use crate::inspect::facts::{ConfigFile, Facts, Nic, Owner, OwnerKind, Package};

    #[test]
    fn addresses_are_stations_and_differ_by_machine_and_name() {
        let all = [mac("a", "xenbr2"), mac("a", "xenbr3"), mac("b", "xenbr2")];
        assert!(all.iter().all(|mac| mac.is_station() && mac.0[0] == 2));
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
    }

    /// A machine with a NIC for each list of owners, on which systemd-networkd runs or does not.
    fn machine(nics: &[&[OwnerKind]], networkd_runs: bool, ifupdown: bool) -> Facts {
        let mut facts = Facts::default();
        facts.network.nics = (0..)
            .zip(nics)
            .map(|(number, owners)| Nic {
                name: format!("eno{number}"),
                mac: None,
                driver: None,
                kind: None,
                path: None,
                wireless: false,
                owners: owners.iter().map(|kind| Owner { kind: *kind, at: Vec::new() }).collect(),
                master: None,
                default_route: false,
            })
            .collect();
        if networkd_runs {
            facts.services.active.push(NETWORKD.to_owned());
        }
        if ifupdown {
            facts.network.files.push(ConfigFile { path: MAIN.into(), text: "auto lo\n".to_owned() });
            facts.packages.relevant.push(Package {
                name: "ifupdown".to_owned(),
                version: "0.8.41".to_owned(),
                status: "installed".to_owned(),
                auto: false,
                held: false,
            });
        }
        facts
    }

    #[test]
    fn whoever_will_run_at_boot_makes_the_bridge() {
        use OwnerKind::{Ifupdown, NetworkManager, Networkd};
        type Row<'a> = (&'a str, &'a [&'a [OwnerKind]], bool, bool, Option<Maker>);
        let rows: [Row<'_>; 11] = [
            ("it runs and has the NIC", &[&[Networkd]], true, false, Some(Maker::Networkd)),
            ("it is to run from the next boot on", &[&[Networkd]], false, false, Some(Maker::Networkd)),
            ("the same, with ifupdown for lo alone", &[&[Networkd]], false, true, Some(Maker::Networkd)),
            ("it runs and has none", &[&[NetworkManager]], true, true, Some(Maker::Networkd)),
            ("it runs beside ifupdown, and has none", &[&[Ifupdown]], true, true, Some(Maker::Ifupdown)),
            ("each has one", &[&[Ifupdown], &[Networkd]], true, true, Some(Maker::Networkd)),
            ("both have the one NIC", &[&[Ifupdown, Networkd]], true, true, Some(Maker::Ifupdown)),
            ("ifupdown alone", &[&[Ifupdown]], false, true, Some(Maker::Ifupdown)),
            (
                "ifupdown with lo alone, beside another",
                &[&[NetworkManager]],
                false,
                true,
                Some(Maker::Ifupdown),
            ),
            ("another alone", &[&[NetworkManager]], false, false, None),
            ("nobody", &[&[]], false, false, None),
        ];
        for (name, nics, runs, ifupdown, expected) in rows {
            assert_eq!(maker(&machine(nics, runs, ifupdown)), expected, "{name}");
        }
    }
}
