//! The kernel's network in memory: what link operations do to it, and what it does by itself.
//!
//! Decides: which routes and addresses come and go with a link, and what the kernel refuses.
//! Never: models packets; a neighbour answers where a link is up and its network covers it.

use std::net::IpAddr;

use crate::network::{
    Address, Countdown, Link, LinkAddress, LinkOp, Mac, Network, Prefix, Route, Vlan, VlanRange,
};

/// IFA_F_NOPREFIXROUTE.
const NO_PREFIX_ROUTE: u32 = 0x200;

/// Links, addresses and routes, and which virtual links are pairs.
#[derive(Debug, Clone, Default)]
pub struct FakeNetwork {
    /// What the kernel says.
    pub state: Network,
    pairs: Vec<(String, String)>,
    /// NICs that lose their carrier when they become a port, as some do when a feature of theirs is switched off.
    pub(super) retraining: Vec<String>,
    /// Those that have lost it and not found it again.
    pub(super) dark: Vec<String>,
}

/// Returns a NIC that is up and has a carrier.
#[must_use]
pub fn nic(name: &str, mac: Mac) -> Link {
    Link {
        name: name.to_owned(),
        kind: None,
        loopback: false,
        mac: Some(mac),
        permanent_mac: Some(mac),
        up: true,
        carrier: true,
        operstate: "up".to_owned(),
        mtu: 1500,
        master: None,
        bridge: None,
        vlan: None,
        vlans: Vec::new(),
        large_receive: false,
        ipv6_generation: Some(0),
        alternative_names: Vec::new(),
    }
}

impl FakeNetwork {
    /// Returns a network in this state, without virtual pairs.
    #[must_use]
    pub fn new(state: Network) -> Self {
        Self { state, ..Self::default() }
    }

    /// Carries out one operation.
    ///
    /// # Errors
    /// The kernel's words.
    pub fn change(&mut self, op: &LinkOp) -> Result<(), &'static str> {
        match op {
            LinkOp::CreateBridge { link, mac, bridge } => {
                self.create(Link { bridge: Some(*bridge), ..virtual_link(link, "bridge", Some(*mac)) })?;
            }
            LinkOp::CreateVeth { link, peer } => {
                self.create(virtual_link(link, "veth", Some(made_up(link))))?;
                self.create(virtual_link(peer, "veth", Some(made_up(peer))))?;
                self.pairs.push((link.clone(), peer.clone()));
            }
            LinkOp::CreateVlan { link, below, tag } => {
                let under = self.link(below)?.clone();
                let vlan = Some(Vlan { below: below.clone(), tag: *tag });
                self.create(Link { vlan, mtu: under.mtu, ..virtual_link(link, "vlan", under.mac) })?;
            }
            LinkOp::Delete { link } => self.delete(link)?,
            LinkOp::SetUp { link, up } => self.set_up(link, *up)?,
            LinkOp::SetMaster { link, master } => self.set_master(link, master.as_deref())?,
            LinkOp::AddVlans { link, vlans } => self.add_vlans(link, *vlans)?,
            LinkOp::SetMtu { link, mtu } => self.link(link)?.mtu = *mtu,
            LinkOp::SetIpv6Generation { link, mode } => self.link(link)?.ipv6_generation = Some(*mode),
            LinkOp::SetIpv6 { link, enabled } => self.set_ipv6(link, *enabled)?,
            LinkOp::CopySettings { from, to } => self.copy_settings(from, to)?,
            LinkOp::AddAddress { link, address } => self.add_address(link, address)?,
            LinkOp::DeleteAddress { link, address } => self.delete_address(link, address)?,
            LinkOp::ReplaceRoute { route } => self.replace_route(route)?,
            LinkOp::DeleteRoute { route } => self.state.routes.retain(|there| there != route),
            LinkOp::WaitUp { link, .. } => {
                if self.link(link)?.operstate != "up" {
                    return Err("the link did not come up in time");
                }
            }
            LinkOp::Announce { link, .. } => drop(self.link(link)?),
        }
        self.look_for_carrier();
        Ok(())
    }

    /// Returns whether a neighbour would answer.
    #[must_use]
    pub fn answers(&self, link: &str, ip: IpAddr) -> bool {
        let up = self.state.link(link).is_some_and(|link| link.up && link.carrier);
        up && self.state.addresses_on(link).any(|address| covers(network_of(address), ip))
    }

    fn link(&mut self, name: &str) -> Result<&mut Link, &'static str> {
        self.state.links.iter_mut().find(|link| link.name == name).ok_or("No such device")
    }

    fn create(&mut self, link: Link) -> Result<(), &'static str> {
        if self.state.link(&link.name).is_some() {
            return Err("File exists");
        }
        self.state.links.push(link);
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), &'static str> {
        if self.link(name)?.kind.is_none() {
            return Err("Operation not supported");
        }
        let pair = self.pairs.iter().position(|(one, other)| one == name || other == name);
        let gone = match pair.map(|at| self.pairs.remove(at)) {
            Some((one, other)) => vec![one, other],
            None => vec![name.to_owned()],
        };
        let is_gone = |link: &str| gone.iter().any(|gone| gone == link);
        self.state.links.retain(|link| !is_gone(&link.name));
        self.state.addresses.retain(|entry| !is_gone(&entry.link));
        self.state.routes.retain(|route| !route.link.as_deref().is_some_and(is_gone));
        for link in self.state.links.iter_mut().filter(|link| link.master.as_deref().is_some_and(is_gone)) {
            link.master = None;
            link.vlans.clear();
        }
        Ok(())
    }

    fn set_up(&mut self, name: &str, up: bool) -> Result<(), &'static str> {
        let was = std::mem::replace(&mut self.link(name)?.up, up);
        if was == up {
            return Ok(());
        }
        if up {
            let addresses: Vec<Address> = self.state.addresses_on(name).cloned().collect();
            addresses.iter().for_each(|address| self.connect(name, address));
            return Ok(());
        }
        self.state.routes.retain(|route| route.link.as_deref() != Some(name));
        self.state.addresses.retain(|entry| entry.link != name || entry.address.ip.is_ipv4());
        Ok(())
    }

    fn set_master(&mut self, name: &str, master: Option<&str>) -> Result<(), &'static str> {
        if let Some(master) = master
            && self.link(master)?.bridge.is_none()
        {
            return Err("Operation not supported");
        }
        let link = self.link(name)?;
        // A port's VLANs are its bridge's.
        if link.master.as_deref() != master {
            link.vlans.clear();
        }
        link.master = master.map(str::to_owned);
        if master.is_some() && self.retraining.iter().any(|nic| nic == name) {
            self.dark.push(name.to_owned());
        }
        Ok(())
    }

    fn add_vlans(&mut self, name: &str, vlans: VlanRange) -> Result<(), &'static str> {
        let link = self.link(name)?;
        if link.master.is_none() {
            return Err("Operation not supported");
        }
        let all = std::mem::take(&mut link.vlans).into_iter().chain([vlans]).collect();
        link.vlans = VlanRange::joined(all);
        Ok(())
    }

    fn set_ipv6(&mut self, name: &str, enabled: bool) -> Result<(), &'static str> {
        self.link(name)?;
        if !enabled {
            self.state.addresses.retain(|entry| entry.link != name || entry.address.ip.is_ipv4());
            self.state.routes.retain(|route| route.link.as_deref() != Some(name) || !route.ipv6);
        }
        Ok(())
    }

    /// The settings are no part of what the kernel says of a link.
    fn copy_settings(&mut self, from: &str, to: &str) -> Result<(), &'static str> {
        self.link(from)?;
        self.link(to).map(drop)
    }

    fn add_address(&mut self, name: &str, address: &Address) -> Result<(), &'static str> {
        self.link(name)?;
        let same = |entry: &&mut LinkAddress| {
            entry.link == name && (entry.address.ip, entry.address.prefix) == (address.ip, address.prefix)
        };
        match self.state.addresses.iter_mut().find(same) {
            Some(entry) => entry.address = address.clone(),
            None => {
                self.state.addresses.push(LinkAddress { link: name.to_owned(), address: address.clone() });
            }
        }
        if self.link(name)?.up {
            self.connect(name, address);
        }
        Ok(())
    }

    /// The route to an address's own network, which the kernel makes.
    fn connect(&mut self, name: &str, address: &Address) {
        let host = if address.ip.is_ipv4() { 32 } else { 128 };
        if address.flags & NO_PREFIX_ROUTE != 0 || address.prefix == host {
            return;
        }
        let route = connected(name, address);
        let known = |there: &Route| {
            (there.destination, &there.link, there.protocol)
                == (route.destination, &route.link, route.protocol)
        };
        if !self.state.routes.iter().any(known) {
            self.state.routes.push(route);
        }
    }

    fn delete_address(&mut self, name: &str, address: &Address) -> Result<(), &'static str> {
        self.link(name)?;
        let same = |entry: &LinkAddress| {
            entry.link == name && (entry.address.ip, entry.address.prefix) == (address.ip, address.prefix)
        };
        if !self.state.addresses.iter().any(same) {
            return Ok(());
        }
        self.state.addresses.retain(|entry| !same(entry));
        let gone = connected(name, address);
        let heir =
            self.state.addresses_on(name).find(|other| network_of(other) == network_of(address)).cloned();
        let of_network = |route: &Route| {
            (route.destination, &route.link, route.protocol) == (gone.destination, &gone.link, 2)
        };
        self.state.routes.retain(|route| !of_network(route));
        if let Some(heir) = heir.filter(|_| self.state.link(name).is_some_and(|link| link.up)) {
            self.connect(name, &heir);
        }
        // Routes that prefer the address as source go with it (fib_sync_down_addr), wherever they lead.
        let elsewhere = self.state.addresses.iter().any(|entry| entry.address.ip == address.ip);
        self.state.routes.retain(|route| route.source != Some(address.ip) || elsewhere);
        Ok(())
    }

    fn replace_route(&mut self, route: &Route) -> Result<(), &'static str> {
        let name = route.link.clone().unwrap_or_default();
        if !self.link(&name)?.up {
            return Err("Network is down");
        }
        if let Some(source) = route.source
            && !self.state.addresses.iter().any(|entry| entry.address.ip == source)
        {
            return Err("Invalid argument");
        }
        // A link-local gateway is on the link by its nature (ip6_validate_gw).
        let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if let Some(gateway) = route.gateway.filter(|ip| !route.onlink && !link_local(ip)) {
            let direct = |there: &&Route| {
                there.gateway.is_none()
                    && there.link == route.link
                    && there.destination.is_some_and(|network| covers(network, gateway))
            };
            if !self.state.routes.iter().any(|there| direct(&there)) {
                return Err("Network is unreachable");
            }
        }
        let same = |there: &Route| {
            (there.ipv6, there.destination, there.metric, there.table)
                == (route.ipv6, route.destination, route.metric, route.table)
        };
        // The kernel replaces the first of them; others of the same key, by other links, stay. Where one of those is
        // what is asked for, it refuses (fib_table_insert).
        let beside = route.stands_beside_others();
        let same_way = |there: &Route| (&there.link, there.gateway) == (&route.link, route.gateway);
        let first = self.state.routes.iter().position(|there| same(there) && (!beside || same_way(there)));
        let there = self.state.routes.iter().position(|there| there == route);
        if !beside && there.is_some() && there != first {
            return Err("File exists");
        }
        match first {
            Some(at) => self.state.routes[at] = route.clone(),
            None => self.state.routes.push(route.clone()),
        }
        Ok(())
    }

    /// A pair wakes its end, and the end wakes the bridge it is a port of.
    pub(super) fn look_for_carrier(&mut self) {
        self.pass_carrier_on();
        self.pass_carrier_on();
    }

    fn pass_carrier_on(&mut self) {
        let live: Vec<String> = self
            .state
            .links
            .iter()
            .filter(|link| link.up && link.carrier)
            .filter_map(|link| link.master.clone())
            .collect();
        let pairs = self.pairs.clone();
        let up: Vec<String> =
            self.state.links.iter().filter(|link| link.up).map(|link| link.name.clone()).collect();
        for link in &mut self.state.links {
            let peer_up = pairs.iter().any(|(one, other)| {
                (one == &link.name && up.contains(other)) || (other == &link.name && up.contains(one))
            });
            link.carrier = link.up
                && !self.dark.contains(&link.name)
                && match link.kind.as_deref() {
                    Some("bridge") => live.contains(&link.name),
                    Some("veth") => peer_up,
                    _ => true,
                };
            link.operstate = if link.carrier { "up" } else { "down" }.to_owned();
        }
    }
}

fn virtual_link(name: &str, kind: &str, mac: Option<Mac>) -> Link {
    Link {
        kind: Some(kind.to_owned()),
        up: false,
        carrier: false,
        operstate: "down".to_owned(),
        mac,
        permanent_mac: None,
        ..nic(name, Mac([0; 6]))
    }
}

/// A locally administered address that depends on the name alone.
fn made_up(name: &str) -> Mac {
    let mut mac = [2_u8, 0, 0, 0, 0, 0];
    for (at, byte) in name.bytes().enumerate() {
        let place = 1 + at % 5;
        if let Some(slot) = mac.get_mut(place) {
            *slot = u8::wrapping_add(slot.wrapping_mul(31), byte);
        }
    }
    Mac(mac)
}

/// Returns the route the kernel makes for an address.
#[must_use]
pub fn connected(link: &str, address: &Address) -> Route {
    let ipv4 = address.ip.is_ipv4();
    Route {
        ipv6: !ipv4,
        destination: Some(network_of(address)),
        gateway: None,
        link: Some(link.to_owned()),
        source: ipv4.then_some(address.ip),
        metric: if ipv4 { 0 } else { 256 },
        table: 254,
        protocol: 2,
        scope: if ipv4 { 253 } else { 0 },
        kind: 1,
        onlink: false,
        mtu: None,
        expires: Countdown(address.valid.filter(|_| !ipv4)),
        multipath: false,
    }
}

fn network_of(address: &Address) -> Prefix {
    Prefix { ip: masked(address.ip, address.prefix), length: address.prefix }
}

fn masked(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - length.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - length.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

fn covers(network: Prefix, ip: IpAddr) -> bool {
    network.ip.is_ipv4() == ip.is_ipv4() && masked(ip, network.length) == network.ip
}
