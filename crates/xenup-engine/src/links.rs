//! Links: which part of the network a step touches, and the way back to it from any state in between.
//!
//! Decides: the order of operations that restore links, addresses and routes. Never: talks to a kernel.

use std::net::IpAddr;

use xenup_machine::network::{Address, Link, LinkAddress, LinkOp, Network, Route, Vlan};

/// IFA_F_NOPREFIXROUTE: the one address flag that somebody chooses; the others the kernel sets by itself.
const NO_PREFIX_ROUTE: u32 = 0x200;

/// RTPROT_RA of linux/rtnetlink.h.
const ADVERTISED: u8 = 9;

/// Returns the part of a network that the touched links have.
#[must_use]
pub fn part(network: &Network, touches: &[String]) -> Network {
    let touched = |name: &str| touches.iter().any(|link| link == name);
    let names = |link: &Option<String>| link.as_deref().is_some_and(touched);
    Network {
        links: network.links.iter().filter(|link| touched(&link.name)).cloned().collect(),
        addresses: network.addresses.iter().filter(|entry| touched(&entry.link)).cloned().collect(),
        routes: network.routes.iter().filter(|route| names(&route.link)).cloned().collect(),
        rules: network
            .rules
            .iter()
            .filter(|rule| names(&rule.input) || names(&rule.output))
            .cloned()
            .collect(),
    }
}

/// Returns the operations that lead from `now` back to `before`, as far as the touched links go. Both are
/// whole networks or their [`part`]s. The way in is cut as briefly as can be: links first, then addresses in
/// their order, then routes; what was not there before goes last. Of veth links one is deleted at a time, since
/// the other end goes with it: ask again until nothing is left to do.
#[must_use]
pub fn restore_ops(before: &Network, now: &Network, touches: &[String]) -> Vec<LinkOp> {
    let (before, now) = (part(before, touches), part(now, touches));
    let mut ops = Vec::new();
    // A bridge that is gone comes first: a port asks for it by name.
    let (gone, there): (Vec<&Link>, Vec<&Link>) =
        before.links.iter().partition(|link| now.link(&link.name).is_none());
    for link in gone.into_iter().chain(there) {
        restore_link(&mut ops, link, now.link(&link.name));
    }
    for link in &before.links {
        restore_addresses(&mut ops, &link.name, &before, &now);
    }
    let is_new = |link: &&Link| before.link(&link.name).is_none();
    // A bridge that goes has its routes until it is gone, for which the kernel takes milliseconds: answers would leave by
    // it, and it has no port any more.
    for link in now.links.iter().filter(is_new) {
        let moved = |address: &&Address| before.addresses.iter().any(|entry| entry.address.ip == address.ip);
        let addresses = now.addresses_on(&link.name).filter(moved);
        ops.extend(
            addresses
                .map(|address| LinkOp::DeleteAddress { link: link.name.clone(), address: address.clone() }),
        );
    }
    restore_routes(&mut ops, &before, &now);
    let new = now.links.iter().filter(is_new);
    let (pairs, single): (Vec<&Link>, Vec<&Link>) =
        new.partition(|link| link.kind.as_deref() == Some("veth"));
    let doomed = single.into_iter().chain(pairs.into_iter().take(1));
    ops.extend(doomed.map(|link| LinkOp::Delete { link: link.name.clone() }));
    ops
}

/// Returns what an undo in a later boot leads to: the state before, with what was lent then (addresses with a
/// lifetime, advertised routes) replaced by what is lent now to the bridge that took the link's place.
#[must_use]
pub fn in_this_boot(before: &Network, now: &Network) -> Network {
    let mut wanted = before.clone();
    for link in &before.links {
        let master = now.link(&link.name).and_then(|there| there.master.as_deref());
        let Some(master) = master.filter(|master| before.link(master).is_none()) else { continue };
        let lent: Vec<Address> =
            now.addresses_on(master).filter(|address| is_lent(address)).cloned().collect();
        for ipv4 in [true, false] {
            let same = |address: &Address| address.ip.is_ipv4() == ipv4 && is_lent(address);
            let (then, today) = (before.addresses_on(&link.name).any(same), lent.iter().any(same));
            if !then || !today {
                continue;
            }
            wanted.addresses.retain(|entry| entry.link != link.name || !same(&entry.address));
            let addresses = lent.iter().filter(|address| same(address)).map(|address| LinkAddress {
                link: link.name.clone(),
                // A label begins with the name of its link.
                address: Address { label: None, ..address.clone() },
            });
            wanted.addresses.extend(addresses);
            let moves =
                |route: &Route| route.ipv6 != ipv4 && !route.multipath && (ipv4 || is_advertised(route));
            let of = |route: &Route, name: &str| route.link.as_deref() == Some(name);
            wanted.routes.retain(|route| !of(route, &link.name) || !moves(route));
            let routes = now.routes.iter().filter(|route| of(route, master) && moves(route));
            wanted
                .routes
                .extend(routes.map(|route| Route { link: Some(link.name.clone()), ..route.clone() }));
        }
    }
    wanted
}

fn is_lent(address: &Address) -> bool {
    address.valid.is_some() && !address.is_link_local()
}

fn is_advertised(route: &Route) -> bool {
    route.protocol == ADVERTISED || route.expires.0.is_some()
}

fn restore_link(ops: &mut Vec<LinkOp>, before: &Link, now: Option<&Link>) {
    let name = || before.name.clone();
    let made;
    let now = match (now, before.bridge, before.mac) {
        (Some(now), _, _) => now,
        (None, None, _) if before.vlan.is_some() => {
            let vlan = before.vlan.clone();
            ops.extend(vlan.map(|Vlan { below, tag }| LinkOp::CreateVlan { link: name(), below, tag }));
            let ipv6_generation = before.ipv6_generation.map(|_| 0);
            made = Link { up: false, master: None, ipv6_generation, ..before.clone() };
            &made
        }
        (None, Some(bridge), Some(mac)) => {
            ops.push(LinkOp::CreateBridge { link: name(), mac, bridge });
            made = Link {
                up: false,
                master: None,
                mtu: 1500,
                ipv6_generation: before.ipv6_generation.map(|_| 0),
                ..before.clone()
            };
            &made
        }
        // A NIC that is gone, or a kind that no operation makes: the caller sees it when it compares.
        (None, _, _) => return,
    };
    if now.master != before.master {
        ops.push(LinkOp::SetMaster { link: name(), master: before.master.clone() });
    }
    // A port that leaves its bridge loses them.
    let missing =
        before.vlans.iter().filter(|vlans| now.master != before.master || !now.vlans.contains(vlans));
    ops.extend(missing.map(|vlans| LinkOp::AddVlans { link: name(), vlans: *vlans }));
    if now.mtu != before.mtu {
        ops.push(LinkOp::SetMtu { link: name(), mtu: before.mtu });
    }
    if let Some(mode) = before.ipv6_generation.filter(|_| now.ipv6_generation != before.ipv6_generation) {
        ops.push(LinkOp::SetIpv6Generation { link: name(), mode });
    }
    if now.up != before.up {
        ops.push(LinkOp::SetUp { link: name(), up: before.up });
    }
}

/// Restores the addresses of one link. IPv4 addresses have an order (the first of a network is primary), so
/// everything from the first difference on is taken off and put back.
fn restore_addresses(ops: &mut Vec<LinkOp>, link: &str, before: &Network, now: &Network) {
    for ipv4 in [true, false] {
        let of = |network: &Network| -> Vec<Address> {
            network.addresses_on(link).filter(|address| address.ip.is_ipv4() == ipv4).cloned().collect()
        };
        let (before, now) = (of(before), of(now));
        let same_from_start =
            before.iter().zip(&now).take_while(|(before, now)| same_address(before, now)).count();
        let keeps = |address: &Address| match ipv4 {
            true => now.iter().take(same_from_start).any(|kept| same_address(kept, address)),
            false => before.iter().any(|wanted| same_address(wanted, address)),
        };
        let extra = now.iter().filter(|address| !keeps(address) && !(address.is_link_local()));
        let extra: Vec<&Address> = extra.collect();
        // What is both taken off and put back would cut the way in twice: put back at once.
        ops.extend(
            extra
                .iter()
                .map(|address| LinkOp::DeleteAddress { link: link.into(), address: (*address).clone() }),
        );
        let missing = before.iter().enumerate().filter(|(at, address)| match ipv4 {
            true => *at >= same_from_start,
            false => !now.iter().any(|found| same_address(found, address)),
        });
        ops.extend(
            missing.map(|(_, address)| LinkOp::AddAddress { link: link.into(), address: address.clone() }),
        );
    }
}

/// Restores routes: all of them are set again, since an address or link that went away took its routes along.
fn restore_routes(ops: &mut Vec<LinkOp>, before: &Network, now: &Network) {
    let ours = |route: &&Route| !route.multipath && route.link.is_some();
    let known = |route: &Route| before.link(route.link.as_deref().unwrap_or_default()).is_some();
    // The kernel makes an address's own route, and refuses to be told so while another link has one of its key.
    let comes_back = |route: &Route| {
        let made_by = |entry: &&LinkAddress| {
            route.link.as_ref() == Some(&entry.link) && route.is_made_by(&entry.address)
        };
        let maker = before.addresses.iter().find(made_by);
        let stays = |entry: &LinkAddress| {
            now.addresses_on(&entry.link).any(|there| same_address(there, &entry.address))
        };
        maker.is_some_and(|entry| now.routes.contains(route) || !stays(entry))
    };
    // A gateway has to be reachable before a route through it is taken.
    let wanted = before.routes.iter().filter(ours).filter(|route| known(route) && !comes_back(route));
    let (direct, through): (Vec<&Route>, Vec<&Route>) = wanted.partition(|route| route.gateway.is_none());
    ops.extend(direct.into_iter().chain(through).map(|route| LinkOp::ReplaceRoute { route: route.clone() }));
    let extra = extra_routes(before, now).filter(ours).filter(|route| known(route));
    ops.extend(extra.map(|route| LinkOp::DeleteRoute { route: route.clone() }));
}

/// Returns the routes that were not there before. Each link's own `fe80::/64` is the kernel's, as its address is.
fn extra_routes<'a>(before: &'a Network, now: &'a Network) -> impl Iterator<Item = &'a Route> {
    let link_local = |route: &Route| match route.destination.map(|to| to.ip) {
        Some(IpAddr::V6(ip)) => ip.is_unicast_link_local() && route.gateway.is_none(),
        _ => false,
    };
    now.routes.iter().filter(move |route| !before.routes.contains(route) && !link_local(route))
}

/// Returns whether two addresses are one, whatever the kernel counts down or sets by itself.
fn same_address(one: &Address, two: &Address) -> bool {
    (one.ip, one.prefix, one.peer, one.scope) == (two.ip, two.prefix, two.peer, two.scope)
        && (one.broadcast, &one.label) == (two.broadcast, &two.label)
        && one.flags & NO_PREFIX_ROUTE == two.flags & NO_PREFIX_ROUTE
}

/// Returns how `now` differs from `before` on the touched links, in words; empty where it does not. What the
/// kernel makes by itself (link-local addresses, carrier, lifetimes) does not count.
#[must_use]
pub fn differences(before: &Network, now: &Network, touches: &[String]) -> Vec<String> {
    let (before, now) = (part(before, touches), part(now, touches));
    let mut found = Vec::new();
    for link in &before.links {
        match now.link(&link.name) {
            Some(there) if same_link(link, there) => {}
            Some(_) => found.push(format!("{} is set differently", link.name)),
            None => found.push(format!("{} is gone", link.name)),
        }
    }
    for link in now.links.iter().filter(|link| before.link(&link.name).is_none()) {
        found.push(format!("{} is there", link.name));
    }
    address_differences(&mut found, &before, &now);
    for route in before.routes.iter().filter(|route| !now.routes.contains(route)) {
        found.push(format!("the route {route} is gone"));
    }
    for route in extra_routes(&before, &now) {
        found.push(format!("the route {route} is there"));
    }
    if before.rules != now.rules {
        found.push("the policy rules that name these links differ".to_owned());
    }
    found
}

fn same_link(one: &Link, two: &Link) -> bool {
    (one.up, one.mtu, &one.master, one.bridge) == (two.up, two.mtu, &two.master, two.bridge)
        && (one.mac, one.ipv6_generation, &one.kind) == (two.mac, two.ipv6_generation, &two.kind)
        && one.vlans == two.vlans
}

fn address_differences(found: &mut Vec<String>, before: &Network, now: &Network) {
    let has = |network: &Network, entry: &LinkAddress| {
        let mut on_link = network.addresses_on(&entry.link);
        on_link.any(|address| same_address(address, &entry.address))
    };
    for entry in before.addresses.iter().filter(|entry| !has(now, entry)) {
        found.push(format!("{} has lost {}", entry.link, entry.address));
    }
    let made = |entry: &&LinkAddress| !entry.address.is_link_local() && !has(before, entry);
    for entry in now.addresses.iter().filter(made) {
        found.push(format!("{} has {}", entry.link, entry.address));
    }
    let order = |network: &Network, link: &str| -> Vec<_> {
        network.addresses_on(link).filter(|address| address.ip.is_ipv4()).map(|address| address.ip).collect()
    };
    if !found.is_empty() {
        return;
    }
    for link in before.links.iter().filter(|link| order(before, &link.name) != order(now, &link.name)) {
        found.push(format!("{} has its addresses in another order", link.name));
    }
}

/// Returns what the operations were to leave and `now` does not have, in words; empty where all is there.
#[must_use]
pub fn unmet(ops: &[LinkOp], now: &Network) -> Vec<String> {
    let later = |at: usize| ops.get(at + 1..).unwrap_or_default();
    let mut found = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let undone_later = later(at).iter().any(|other| overrides(other, op) || deletes_pair(ops, other, op));
        if !undone_later && !holds(op, now) {
            found.push(format!("`{op}` did not last"));
        }
    }
    found
}

/// Returns whether a later operation makes it pointless to look for what an earlier one left.
fn overrides(later: &LinkOp, earlier: &LinkOp) -> bool {
    use LinkOp::{AddAddress, CreateVeth, Delete, DeleteAddress, DeleteRoute, ReplaceRoute, SetUp};
    let deleted = |name: &str| matches!(later, Delete { link } if link == name);
    match (earlier, later) {
        (ReplaceRoute { route } | DeleteRoute { route }, ReplaceRoute { route: other }) => {
            (!route.stands_beside_others() || route.link == other.link)
                && (route.destination, route.metric, route.table, route.ipv6)
                    == (other.destination, other.metric, other.table, other.ipv6)
        }
        (ReplaceRoute { route }, DeleteRoute { route: other }) => route == other,
        (ReplaceRoute { route }, SetUp { link, up: false } | DeleteAddress { link, .. }) => {
            route.link.as_ref() == Some(link)
        }
        (AddAddress { link, address }, DeleteAddress { link: other, address: gone }) => {
            link == other && address.ip == gone.ip
        }
        (DeleteAddress { link, address }, AddAddress { link: other, address: there }) => {
            link == other && address.ip == there.ip
        }
        (CreateVeth { link, peer }, _) => deleted(link) || deleted(peer),
        (Delete { link }, _) => creates(later, link),
        _ => named(earlier).is_some_and(|name| deleted(name) || same_setting(later, earlier, name)),
    }
}

/// Returns whether `later` deletes the other end of the pair that `earlier` is about.
fn deletes_pair(ops: &[LinkOp], later: &LinkOp, earlier: &LinkOp) -> bool {
    let (LinkOp::Delete { link: gone }, Some(name)) = (later, named(earlier)) else { return false };
    ops.iter().any(|op| match op {
        LinkOp::CreateVeth { link, peer } => (link == gone && peer == name) || (peer == gone && link == name),
        _ => false,
    })
}

fn creates(op: &LinkOp, name: &str) -> bool {
    match op {
        LinkOp::CreateBridge { link, .. } | LinkOp::CreateVlan { link, .. } => link == name,
        LinkOp::CreateVeth { link, peer } => link == name || peer == name,
        _ => false,
    }
}

fn same_setting(later: &LinkOp, earlier: &LinkOp, name: &str) -> bool {
    std::mem::discriminant(later) == std::mem::discriminant(earlier)
        && named(later) == Some(name)
        && !matches!(
            earlier,
            LinkOp::AddAddress { .. } | LinkOp::DeleteAddress { .. } | LinkOp::AddVlans { .. }
        )
}

fn named(op: &LinkOp) -> Option<&str> {
    match op {
        LinkOp::CreateBridge { link, .. }
        | LinkOp::CreateVlan { link, .. }
        | LinkOp::CreateVeth { link, .. }
        | LinkOp::Delete { link }
        | LinkOp::SetUp { link, .. }
        | LinkOp::SetMaster { link, .. }
        | LinkOp::AddVlans { link, .. }
        | LinkOp::SetMtu { link, .. }
        | LinkOp::SetIpv6Generation { link, .. }
        | LinkOp::SetIpv6 { link, .. }
        | LinkOp::CopySettings { to: link, .. }
        | LinkOp::AddAddress { link, .. }
        | LinkOp::DeleteAddress { link, .. } => Some(link),
        _ => None,
    }
}

fn holds(op: &LinkOp, now: &Network) -> bool {
    let link = |name: &str| now.link(name);
    let has = |name: &str, address: &Address| {
        now.addresses_on(name).any(|found| (found.ip, found.prefix) == (address.ip, address.prefix))
    };
    match op {
        LinkOp::CreateBridge { link: name, .. } => link(name).is_some(),
        LinkOp::CreateVlan { link: name, below, tag } => {
            let is_it = |vlan: &Vlan| (&vlan.below, vlan.tag) == (below, *tag);
            link(name).is_some_and(|found| found.vlan.as_ref().is_some_and(is_it))
        }
        LinkOp::CreateVeth { link: name, peer } => link(name).is_some() && link(peer).is_some(),
        LinkOp::Delete { link: name } => link(name).is_none(),
        LinkOp::SetUp { link: name, up } => link(name).is_some_and(|found| found.up == *up),
        LinkOp::SetMaster { link: name, master } => link(name).is_some_and(|found| found.master == *master),
        LinkOp::AddVlans { link: name, vlans } => link(name).is_some_and(|found| found.carries(*vlans)),
        LinkOp::SetMtu { link: name, mtu } => link(name).is_some_and(|found| found.mtu == *mtu),
        LinkOp::SetIpv6Generation { link: name, mode } => {
            link(name).is_some_and(|found| found.ipv6_generation.is_none_or(|there| there == *mode))
        }
        LinkOp::AddAddress { link, address } => has(link, address),
        LinkOp::DeleteAddress { link, address } => !has(link, address),
        LinkOp::ReplaceRoute { route } => now.routes.iter().any(|found| same_route(found, route)),
        LinkOp::DeleteRoute { route } => !now.routes.contains(route),
        // Whether IPv6 is on is no part of what the kernel says of a link, but for the addresses it then has.
        LinkOp::SetIpv6 { link, enabled } => {
            *enabled || !now.addresses_on(link).any(|address| address.ip.is_ipv6())
        }
        // Nor are these settings.
        LinkOp::CopySettings { .. } | LinkOp::WaitUp { .. } | LinkOp::Announce { .. } => true,
    }
}

/// The kernel fills in what a request leaves out (scope, source), so those do not count.
fn same_route(one: &Route, two: &Route) -> bool {
    (one.ipv6, one.destination, one.gateway, &one.link) == (two.ipv6, two.destination, two.gateway, &two.link)
        && (one.metric, one.table) == (two.metric, two.table)
}
