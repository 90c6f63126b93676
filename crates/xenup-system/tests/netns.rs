//! The kernel's network through rtnetlink, in namespaces of our own. Needs root; skipped with a reason otherwise.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests set up real links"
)]

#[path = "support/namespace.rs"]
mod namespace;

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use namespace::Namespace;
use xenup_machine::network::{
    Address, Bridge, Countdown, IPV4_SETTINGS, IPV6_SETTINGS, LinkOp, Mac, Network, Prefix, Route,
};
use xenup_machine::{Machine, MachineError, Probe, Reason};
use xenup_system::System;

const NIC: &str = "eno1";
const BRIDGE: &str = "xenbr0";
const MAC: Mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0xcc]);

fn network() -> Network {
    System::running().unwrap().network().unwrap()
}

fn change(ops: Vec<LinkOp>) -> Result<(), MachineError> {
    System::running().unwrap().change_links(&ops)
}

fn answers(link: &str, ip: &str, wait_ms: u64) -> Result<bool, MachineError> {
    let address = Address::new(ip.parse().unwrap(), 32);
    System::running().unwrap().neighbour_answers(link, &address, Duration::from_millis(wait_ms))
}

/// Two machines on one cable: ours with the NIC, the router at the other end.
struct Cable {
    host: Namespace,
    router: Namespace,
}

impl Cable {
    fn new() -> Option<Self> {
        let (host, router) = (Namespace::new()?, Namespace::new()?);
        host.ip(&format!("link add {NIC} address {MAC} type veth peer name cable netns {}", router.id));
        for words in [
            "link set cable up",
            "address add 192.0.2.1/24 dev cable",
            "-6 address add 2001:db8::1/64 dev cable nodad",
            "address add 198.51.100.1/32 dev lo",
            "-6 address add 2001:db8:ff::1/128 dev lo nodad",
        ] {
            router.ip(words);
        }
        for words in [
            "link set eno1 mtu 1400 up",
            "address add 192.0.2.10/24 broadcast 192.0.2.255 dev eno1",
            "address add 192.0.2.11/24 dev eno1 label eno1:1",
            "address add 192.0.2.77 peer 192.0.2.78 dev eno1",
            "-6 address add 2001:db8::10/64 dev eno1 nodad valid_lft 86400 preferred_lft 3600",
            "route add default via 192.0.2.1 dev eno1 proto dhcp src 192.0.2.11 metric 100",
            "route add 203.0.113.0/24 via 192.0.2.1 dev eno1 table 100 mtu 1300",
            "route add 203.0.113.128/25 via 10.9.9.9 dev eno1 onlink proto static",
            "route add blackhole 10.0.0.0/8",
            "-6 route add default via 2001:db8::1 dev eno1 proto static metric 512",
            "-6 route add 2001:db8:77::/48 via 2001:db8::1 dev eno1 src 2001:db8::10",
            "rule add iif eno1 table 100 priority 1000",
            "-6 rule add oif eno1 table 200 priority 1001",
        ] {
            host.ip(words);
        }
        Some(Self { host, router })
    }

    fn network(&self) -> Network {
        self.host.run(network)
    }

    /// Sends from beyond the router to `to` on the host until it answers.
    fn reaches(&self, to: &str, by: &str) -> bool {
        let (to, by): (IpAddr, IpAddr) = (to.parse().unwrap(), by.parse().unwrap());
        let echo = self.host.run(move || UdpSocket::bind((to, 0)).unwrap());
        let asker = self.router.run(move || UdpSocket::bind((by, 0)).unwrap());
        asker.connect(echo.local_addr().unwrap()).unwrap();
        echo.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        asker.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        (0..5).any(|_| {
            let mut buffer = [0; 16];
            // A refusal by ICMP belongs to an earlier try.
            let _ = asker.send(b"there?");
            let Ok((length, from)) = uninterrupted(|| echo.recv_from(&mut buffer)) else { return false };
            let _ = echo.send_to(&buffer[..length], from);
            uninterrupted(|| asker.recv(&mut buffer)).is_ok_and(|length| &buffer[..length] == b"there?")
        })
    }
}

/// A wait with a time limit ends early when the process is stopped or traced; that is no answer.
fn uninterrupted<T>(mut wait: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match wait() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Addresses and routes as values that do not depend on the link's name, time or the kernel's order.
fn on(network: &Network, link: &str) -> (Vec<String>, Vec<String>) {
    let mut addresses: Vec<String> = network
        .addresses_on(link)
        .filter(|address| !address.is_link_local())
        .map(|address| {
            let label = address.label.clone().unwrap_or_default();
            let Address { ip, prefix, peer, broadcast, scope, .. } = address;
            format!("{ip}/{prefix} {peer:?} {broadcast:?} {scope} {label} {}", address.valid.is_some())
        })
        .collect();
    let mut routes: Vec<String> = network
        .routes_by(link)
        .filter(|route| route.destination.is_none_or(|to| to.ip.to_string() != "fe80::"))
        .map(|route| format!("{:?}", Route { link: None, ..route.clone() }))
        .collect();
    addresses.sort();
    routes.sort();
    (addresses, routes)
}

/// The operations of design.md section 7: everything on `from` moves to `to`; `enslave` comes between.
fn moved(network: &Network, from: &str, to: &str, enslave: LinkOp) -> Vec<LinkOp> {
    let addresses: Vec<Address> =
        network.addresses_on(from).filter(|address| !address.is_link_local()).cloned().collect();
    let routes: Vec<Route> = network
        .routes_by(from)
        .filter(|route| route.protocol != 2)
        .map(|route| Route { link: Some(to.to_owned()), ..route.clone() })
        .collect();
    let add = |address: Address| LinkOp::AddAddress { link: to.to_owned(), address };
    let remove = |address: Address| LinkOp::DeleteAddress { link: from.to_owned(), address };
    let mut ops: Vec<LinkOp> = addresses.iter().cloned().map(add).collect();
    ops.push(enslave);
    ops.extend(routes.into_iter().map(|route| LinkOp::ReplaceRoute { route }));
    ops.extend(addresses.into_iter().map(remove));
    // Routes of IPv6 stand beside each other; the prefix route of an address with a lifetime outlives it.
    let left = network.routes_by(from).filter(|route| route.ipv6).cloned();
    ops.extend(left.map(|route| LinkOp::DeleteRoute { route }));
    ops
}

fn up(link: &str) -> LinkOp {
    LinkOp::SetUp { link: link.to_owned(), up: true }
}

fn master(link: &str, master: Option<&str>) -> LinkOp {
    LinkOp::SetMaster { link: link.to_owned(), master: master.map(str::to_owned) }
}

fn switch(before: &Network) -> Vec<LinkOp> {
    let bridge = Bridge { stp: false, forward_delay: 0, vlan_filtering: false };
    let mut ops = vec![
        LinkOp::CreateBridge { link: BRIDGE.to_owned(), mac: MAC, bridge },
        LinkOp::SetMtu { link: BRIDGE.to_owned(), mtu: 1400 },
        LinkOp::CopySettings { from: NIC.to_owned(), to: BRIDGE.to_owned() },
        LinkOp::SetIpv6Generation { link: BRIDGE.to_owned(), mode: 1 },
        LinkOp::CreateVeth { link: "xenup-a".to_owned(), peer: "xenup-b".to_owned() },
        master("xenup-a", Some(BRIDGE)),
        up("xenup-b"),
        up("xenup-a"),
        up(BRIDGE),
        LinkOp::WaitUp { link: BRIDGE.to_owned(), at_most_ms: 10_000 },
    ];
    ops.extend(moved(before, NIC, BRIDGE, master(NIC, Some(BRIDGE))));
    ops.push(LinkOp::Delete { link: "xenup-a".to_owned() });
    ops.push(LinkOp::Announce { link: BRIDGE.to_owned(), ip: "192.0.2.10".parse().unwrap() });
    ops.push(LinkOp::Announce { link: BRIDGE.to_owned(), ip: "2001:db8::10".parse().unwrap() });
    ops
}

#[test]
fn the_network_is_read_as_it_was_set() {
    let Some(cable) = Cable::new() else { return };
    cable.host.ip("link add br7 type bridge stp_state 1 forward_delay 400");
    cable.host.ip("link property add dev eno1 altname enp1s0");
    cable.host.ip("route add 10.7.0.0/16 nexthop via 192.0.2.1 dev eno1 nexthop via 192.0.2.2 dev eno1");
    let network = cable.network();
    let names: Vec<&str> = network.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["br7", NIC, "lo"]);
    let nic = network.link(NIC).unwrap();
    assert_eq!((nic.kind.as_deref(), nic.mac, nic.mtu), (Some("veth"), Some(MAC), 1400));
    assert_eq!((nic.up, nic.carrier, nic.operstate.as_str()), (true, true, "up"));
    assert_eq!(nic.alternative_names, ["enp1s0"]);
    assert_eq!(nic.ipv6_generation, Some(0));
    assert!(network.link("lo").unwrap().loopback && network.link("lo").unwrap().mac.is_none());
    let bridge = network.link("br7").unwrap().bridge.unwrap();
    assert_eq!(bridge, Bridge { stp: true, forward_delay: 400, vlan_filtering: false });

    let address = |text: &str| {
        let ip: IpAddr = text.parse().unwrap();
        network.addresses_on(NIC).find(|address| address.ip == ip).unwrap_or_else(|| panic!("{text}")).clone()
    };
    assert_eq!(address("192.0.2.10").broadcast, Some("192.0.2.255".parse().unwrap()));
    assert_eq!(address("192.0.2.11").label.as_deref(), Some("eno1:1"));
    assert_eq!(address("192.0.2.77").peer, Some("192.0.2.78".parse().unwrap()));
    let lasting = address("2001:db8::10");
    assert!(lasting.valid.is_some_and(|left| left <= 86_400) && lasting.flags & 0x80 == 0);

    let route = |text: &str, ipv6: bool| {
        let find = |route: &&Route| {
            let to = route.destination.map(|Prefix { ip, length }| format!("{ip}/{length}"));
            route.ipv6 == ipv6 && to.as_deref().unwrap_or("default") == text
        };
        network.routes.iter().find(find).unwrap_or_else(|| panic!("{text}")).clone()
    };
    let default = route("default", false);
    assert_eq!(default.gateway, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(default.source, Some("192.0.2.11".parse().unwrap()));
    assert_eq!((default.metric, default.protocol, default.table), (100, 16, 254));
    assert_eq!((route("203.0.113.0/24", false).table, route("203.0.113.0/24", false).mtu), (100, Some(1300)));
    assert!(route("203.0.113.128/25", false).onlink);
    assert_eq!((route("10.0.0.0/8", false).kind, route("10.0.0.0/8", false).link), (6, None));
    let several = route("10.7.0.0/16", false);
    assert_eq!((several.multipath, several.link.as_deref()), (true, Some(NIC)));
    assert_eq!((route("default", true).metric, route("default", true).protocol), (512, 4));
    assert!(network.routes.iter().all(|route| route.table != 255));

    let rules: Vec<_> = network.rules.iter().map(|rule| (rule.ipv6, rule.priority, rule.table)).collect();
    assert_eq!(rules, [(false, 1000, 100), (true, 1001, 200)]);
    assert_eq!(network.rules[0].input.as_deref(), Some(NIC));
    assert_eq!(network.rules[1].output.as_deref(), Some(NIC));
}

#[test]
fn the_only_nic_becomes_a_port_and_back_again() {
    let Some(cable) = Cable::new() else { return };
    let before = cable.network();
    assert!(cable.reaches("192.0.2.10", "198.51.100.1"));
    let ops = switch(&before);
    cable.host.run(move || change(ops)).unwrap();

    let after = cable.network();
    assert_eq!(on(&after, BRIDGE), on(&before, NIC));
    assert_eq!(on(&after, NIC), (Vec::new(), Vec::new()));
    assert_eq!(after.link(NIC).unwrap().master.as_deref(), Some(BRIDGE));
    assert_eq!(after.link(BRIDGE).unwrap().mac, Some(MAC));
    assert_eq!(after.link("xenup-a"), None);
    assert!(cable.reaches("192.0.2.10", "198.51.100.1"), "IPv4 through the default route");
    assert!(cable.reaches("2001:db8::10", "2001:db8:ff::1"), "IPv6 through the default route");
    assert!(cable.host.run(|| answers(BRIDGE, "192.0.2.1", 5_000)).unwrap());
    assert!(cable.host.run(|| answers(BRIDGE, "2001:db8::1", 5_000)).unwrap());

    let mut ops = moved(&after, BRIDGE, NIC, master(NIC, None));
    ops.push(LinkOp::Delete { link: BRIDGE.to_owned() });
    cable.host.run(move || change(ops)).unwrap();
    let restored = cable.network();
    assert_eq!(on(&restored, NIC), on(&before, NIC));
    assert_eq!(restored.links.len(), before.links.len());
    assert_eq!(restored.link(NIC).unwrap(), before.link(NIC).unwrap());
    assert!(cable.reaches("192.0.2.10", "198.51.100.1"));
    assert!(cable.reaches("2001:db8::10", "2001:db8:ff::1"));
}

#[test]
fn a_neighbour_that_is_not_there_does_not_answer() {
    let Some(cable) = Cable::new() else { return };
    assert!(!cable.host.run(|| answers(NIC, "192.0.2.99", 300)).unwrap());
    assert!(!cable.host.run(|| answers(NIC, "2001:db8::99", 300)).unwrap());
    assert!(cable.host.run(|| answers(NIC, "192.0.2.1", 5_000)).unwrap());
    assert!(cable.host.run(|| answers(NIC, "2001:db8::1", 5_000)).unwrap());
    let before = cable.host.ip("neigh show 192.0.2.99");
    assert_eq!(before, "", "the kernel's table is left as it was");
    assert!(cable.host.run(|| answers("eno7", "192.0.2.1", 5_000)).unwrap_err().is_not_found());
}

#[test]
fn an_announcement_corrects_what_neighbours_remember() {
    let Some(cable) = Cable::new() else { return };
    for ip in ["192.0.2.10", "2001:db8::10"] {
        cable.router.ip(&format!("neigh replace {ip} lladdr 02:00:00:00:00:99 nud stale dev cable"));
        let remembers = || cable.router.ip(&format!("neigh show {ip} dev cable")).contains(&MAC.to_string());
        assert!(!remembers(), "{ip}");
        let announced = LinkOp::Announce { link: NIC.to_owned(), ip: ip.parse().unwrap() };
        cable.host.run(move || change(vec![announced])).unwrap();
        // The frame is taken in by the other end's softirq, soon after the send returns.
        assert!((0..200).any(|_| remembers()), "{ip}");
    }
    let announced = LinkOp::Announce { link: "lo".to_owned(), ip: "127.0.0.1".parse().unwrap() };
    let error = cable.host.run(move || change(vec![announced])).unwrap_err();
    assert!(error.words.contains("not an Ethernet link"), "{error}");
}

#[test]
fn a_failed_operation_is_named_and_ends_the_list() {
    let Some(cable) = Cable::new() else { return };
    let set = |mtu| LinkOp::SetMtu { link: NIC.to_owned(), mtu };
    let route = Route {
        ipv6: false,
        destination: None,
        gateway: Some("10.9.9.9".parse().unwrap()),
        link: Some(NIC.to_owned()),
        source: None,
        metric: 7,
        table: 254,
        protocol: 4,
        scope: 0,
        kind: 1,
        onlink: false,
        mtu: None,
        expires: Countdown::default(),
        multipath: false,
    };
    let refused = LinkOp::ReplaceRoute { route: route.clone() };
    let said = format!(
        "carry out link operation 1 `{refused}`: Network is unreachable (os error 101): Nexthop has invalid gateway"
    );
    let ops = vec![set(1300), refused, set(1200)];
    let error = cable.host.run(move || change(ops)).unwrap_err();
    assert_eq!(error.reason, Reason::Network);
    assert_eq!(error.to_string(), said);
    assert_eq!(cable.network().link(NIC).unwrap().mtu, 1300);

    let several = Route { multipath: true, ..route };
    let error = cable.host.run(move || change(vec![LinkOp::DeleteRoute { route: several }])).unwrap_err();
    assert!(error.words.contains("several next hops"), "{error}");
    let error = cable.host.run(|| change(vec![up("eno7")])).unwrap_err();
    assert_eq!(error.reason, Reason::NotFound, "{error}");
    let twice = LinkOp::CreateVeth { link: NIC.to_owned(), peer: "other".to_owned() };
    let error = cable.host.run(move || change(vec![twice])).unwrap_err();
    assert_eq!(error.reason, Reason::Exists, "{error}");
}

#[test]
fn what_is_gone_already_is_no_error() {
    let Some(cable) = Cable::new() else { return };
    let before = cable.network();
    let address = Address::new("192.0.2.200".parse().unwrap(), 24);
    let six = Address::new("2001:db8::200".parse().unwrap(), 64);
    let route = Route { metric: 4242, ..before.routes_by(NIC).next().unwrap().clone() };
    let elsewhere = Route { link: Some("eno7".to_owned()), ..route.clone() };
    let ops = vec![
        LinkOp::DeleteAddress { link: NIC.to_owned(), address },
        LinkOp::DeleteAddress { link: NIC.to_owned(), address: six },
        LinkOp::DeleteRoute { route },
        LinkOp::DeleteRoute { route: elsewhere },
    ];
    cable.host.run(move || change(ops)).unwrap();
    assert_eq!(on(&cable.network(), NIC), on(&before, NIC));
}

#[test]
fn a_route_leaves_those_of_other_links_alone() {
    let Some(cable) = Cable::new() else { return };
    for words in [
        "link add eno2 type veth peer name far",
        "link set far up",
        "link set eno2 up",
        "address add 192.0.2.20/24 dev eno2",
        "-6 address add fe80::20/64 dev eno2 nodad",
        "-6 address add fe80::10/64 dev eno1 nodad",
        "-6 route append 2001:db8:9::/48 dev eno2 metric 700",
        "-6 route append 2001:db8:9::/48 dev eno1 metric 700 mtu 1300",
    ] {
        cable.host.ip(words);
    }
    let before = cable.network();
    let shared = |route: &&Route| {
        let text = route.to_string();
        ["192.0.2.0/24 dev", "fe80::/64 dev", "2001:db8:9::/48 dev"].iter().any(|way| text.starts_with(way))
    };
    let mine: Vec<Route> = before.routes_by(NIC).filter(shared).cloned().collect();
    assert_eq!(mine.len(), 3, "{mine:?}");
    for words in [
        "route delete 192.0.2.0/24 dev eno1",
        "-6 route delete fe80::/64 dev eno1",
        "-6 route delete 2001:db8:9::/48 dev eno1",
        "-6 route append 2001:db8:9::/48 dev eno1 metric 700 mtu 1280",
    ] {
        cable.host.ip(words);
    }
    let make: Vec<LinkOp> = mine.into_iter().map(|route| LinkOp::ReplaceRoute { route }).collect();
    let again = make.clone();
    cable.host.run(move || change(make)).unwrap();
    assert_eq!(on(&cable.network(), NIC), on(&before, NIC));
    assert_eq!(cable.network().routes_by("eno2").count(), before.routes_by("eno2").count());
    cable.host.run(move || change(again)).unwrap();
    assert_eq!(cable.network().routes.len(), before.routes.len(), "asked for twice");
}

#[test]
fn a_link_without_a_medium_is_not_waited_for_for_ever() {
    let Some(cable) = Cable::new() else { return };
    cable.host.ip("link add lonely type veth peer name other");
    let wait = LinkOp::WaitUp { link: "lonely".to_owned(), at_most_ms: 50 };
    let error = cable.host.run(move || change(vec![up("lonely"), wait])).unwrap_err();
    assert_eq!(error.reason, Reason::TimedOut, "{error}");
}

#[test]
fn ipv6_can_be_switched_off_and_on() {
    let Some(cable) = Cable::new() else { return };
    let set = |enabled| LinkOp::SetIpv6 { link: NIC.to_owned(), enabled };
    cable.host.run(move || change(vec![set(false)])).unwrap();
    assert!(cable.network().addresses_on(NIC).all(|address| address.ip.is_ipv4()));
    cable.host.run(move || change(vec![set(true)])).unwrap();
    let error =
        cable.host.run(|| change(vec![LinkOp::SetIpv6 { link: "../all".to_owned(), enabled: false }]));
    assert_eq!(error.unwrap_err().reason, Reason::NotFound);
}

/// The settings that a switch copies, as they are on a link.
fn settings(cable: &Cable, link: &'static str) -> Vec<String> {
    let families = [("ipv6", IPV6_SETTINGS), ("ipv4", IPV4_SETTINGS)];
    let paths = families
        .into_iter()
        .flat_map(|(family, names)| names.map(|name| format!("/proc/sys/net/{family}/conf/{link}/{name}")));
    let read = |path: String| {
        cable
            .host
            .run(move || format!("{path}={}", std::fs::read_to_string(&path).unwrap_or_default().trim()))
    };
    paths.map(|path| read(path).replace(link, "LINK")).collect()
}

fn set(cable: &Cable, setting: &'static str, value: &'static str) {
    cable.host.run(move || std::fs::write(format!("/proc/sys/net/{setting}"), value).unwrap());
}

#[test]
fn a_bridge_gets_the_settings_of_its_port() {
    let Some(cable) = Cable::new() else { return };
    // As ifupdown leaves a host that forwards and listens to its router.
    for (setting, value) in [
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/eno1/accept_ra", "2"),
        ("ipv6/conf/eno1/autoconf", "0"),
        ("ipv6/conf/eno1/use_tempaddr", "2"),
        ("ipv4/conf/eno1/rp_filter", "2"),
        ("ipv4/conf/eno1/arp_ignore", "1"),
        ("ipv4/conf/eno1/arp_announce", "2"),
        ("ipv4/conf/eno1/proxy_arp", "1"),
    ] {
        set(&cable, setting, value);
    }
    let wanted = settings(&cable, NIC);
    assert!(wanted.contains(&"/proc/sys/net/ipv6/conf/LINK/accept_ra=2".to_owned()), "{wanted:?}");
    let ops = switch(&cable.network());
    cable.host.run(move || change(ops)).unwrap();
    assert_eq!(settings(&cable, BRIDGE), wanted);
    assert_eq!(settings(&cable, NIC), wanted, "the port keeps its own");
}

#[test]
fn a_bridge_over_a_port_without_ipv6_has_none() {
    let Some(cable) = Cable::new() else { return };
    set(&cable, "ipv6/conf/eno1/disable_ipv6", "1");
    let bridge = Bridge { stp: false, forward_delay: 0, vlan_filtering: false };
    let copy = |from: &str| LinkOp::CopySettings { from: from.to_owned(), to: BRIDGE.to_owned() };
    let ops = vec![
        LinkOp::CreateBridge { link: BRIDGE.to_owned(), mac: MAC, bridge },
        copy(NIC),
        up(BRIDGE),
        master(NIC, Some(BRIDGE)),
    ];
    cable.host.run(move || change(ops)).unwrap();
    assert!(cable.network().addresses_on(BRIDGE).all(|address| address.ip.is_ipv4()));
    let nobody = vec![copy("eno7")];
    assert_eq!(cable.host.run(move || change(nobody)).unwrap_err().reason, Reason::NotFound);
}
