//! Link operations, one message each and an acknowledgement before the next, on one socket.
//!
//! Decides: the message that an operation is. Nothing is batched: the kernel would go on past a message that fails, and
//! the acknowledgement of a message is there before its send returns, so that waiting for it costs microseconds.
//! Never decides the order, and undoes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use xenup_machine::network::{Address, Bridge, IPV4_SETTINGS, IPV6_SETTINGS, LinkOp, Mac, Route, VlanRange};
use xenup_machine::{MachineError, Reason};

use super::dump::{
    BRIDGE, FAMILY_SPECIFIC, GET_LINK, INET, INET6, LINK_BODY, LINK_NAME, NEW_LINK, RANGE_BEGIN, RANGE_END,
    VLAN_INFO, link_state,
};
use super::neighbour::Announcer;
use super::socket::{Connection, Refusal};
use super::wire::{APPEND, CREATE, EXCLUSIVE, REPLACE, Writer, i32_at};

const DELETE_LINK: u16 = 17;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
/// `RTNLGRP_LINK`.
const LINK_EVENTS: u32 = 1;
/// `IFF_UP`.
const UP: u32 = 1;
/// `IF_OPER_UP`.
const OPERATIONAL: u8 = 6;
/// `IFLA_LINKINFO`.
const LINK_INFO: u16 = 18;
/// `IFA_F_NODAD`.
const NO_DAD: u32 = 0x2;
/// The `IFA_F_*` that a request may carry; the rest is the kernel's to say (homeaddress, managetempaddr,
/// noprefixroute, mcautojoin).
const SETTABLE: u32 = 0x10 | 0x100 | 0x200 | 0x400;
/// `RT_TABLE_COMPAT`: the header's field where the table's number needs the attribute.
const TABLE_IN_ATTRIBUTE: u8 = 252;

/// What went wrong with one operation.
enum Failure {
    Refused(Refusal),
    Other(MachineError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Carries out operations in order, stopping at the first that fails.
pub(crate) fn change_links(ops: &[LinkOp]) -> Result<(), MachineError> {
    change_links_telling(ops, &mut || ())
}

/// Carries out operations in order, and calls `done` after each.
pub(crate) fn change_links_telling(ops: &[LinkOp], done: &mut dyn FnMut()) -> Result<(), MachineError> {
    let mut changer = Changer::open(ops).map_err(|refusal| refusal.about("change", "the network"))?;
    for (index, op) in ops.iter().enumerate() {
        let subject = || format!("link operation {index} `{op}`");
        changer.carry_out(op).map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal.about("carry out", &subject()),
            Failure::Other(error) => MachineError { doing: "carry out", subject: subject(), ..error },
        })?;
        done();
    }
    Ok(())
}

struct Changer {
    kernel: Connection,
    /// Open from the start where anything is to be waited for, so that no event is missed.
    events: Option<Connection>,
    known: BTreeMap<String, i32>,
    announcer: Announcer,
}

impl Changer {
    fn open(ops: &[LinkOp]) -> Result<Self, Refusal> {
        let waits = ops.iter().any(|op| matches!(op, LinkOp::WaitUp { .. }));
        let mut changer = Self {
            kernel: Connection::open()?,
            events: waits.then(|| Connection::listen(LINK_EVENTS)).transpose()?,
            known: BTreeMap::new(),
            announcer: Announcer::default(),
        };
        // Asked before the first change, so that no question falls between two that belong together.
        for name in ops.iter().flat_map(names) {
            match changer.index(name) {
                Err(refusal) if !refusal.is(&[Errno::NODEV]) => return Err(refusal),
                _ => {}
            }
        }
        Ok(changer)
    }

    fn carry_out(&mut self, op: &LinkOp) -> Result<(), Failure> {
        match op {
            LinkOp::CreateBridge { link, mac, bridge } => {
                self.create(link, create_bridge(link, *mac, *bridge))
            }
            LinkOp::CreateVeth { link, peer } => {
                self.known.remove(peer);
                self.create(link, create_veth(link, peer))?;
                Ok(self.index(peer).map(drop)?)
            }
            LinkOp::CreateVlan { link, below, tag } => {
                let below = self.index(below)?;
                self.create(link, create_vlan(link, below, *tag))
            }
            LinkOp::AddVlans { link, vlans } => {
                let index = self.index(link)?;
                Ok(self.kernel.execute(add_vlans(index, *vlans))?)
            }
            LinkOp::Delete { link } => {
                let index = self.index(link)?;
                self.kernel.execute(Writer::new(DELETE_LINK, 0, &link_body(index, 0, 0)))?;
                // A peer goes too, whatever its name: every name is asked for again.
                self.known.clear();
                Ok(())
            }
            LinkOp::SetUp { link, up } => {
                let index = self.index(link)?;
                let body = link_body(index, if *up { UP } else { 0 }, UP);
                Ok(self.kernel.execute(Writer::new(SET_LINK, 0, &body))?)
            }
            LinkOp::SetMaster { link, master } => {
                let master = master.as_deref().map(|name| self.index(name)).transpose()?.unwrap_or(0);
                self.set(link, |message| {
                    message.put_u32(10, master.cast_unsigned());
                })
            }
            LinkOp::SetMtu { link, mtu } => self.set(link, |message| {
                message.put_u32(4, *mtu);
            }),
            LinkOp::SetIpv6Generation { link, mode } => self.set(link, |message| {
                message.nest(26, |families| {
                    families.nest(u16::from(INET6), |inet6| {
                        inet6.put(8, &[*mode]);
                    });
                });
            }),
            LinkOp::SetIpv6 { link, enabled } => {
                self.index(link)?;
                set_ipv6(link, *enabled).map_err(Failure::Other)
            }
            LinkOp::CopySettings { from, to } => {
                self.index(from)?;
                self.index(to)?;
                copy_settings(from, to).map_err(Failure::Other)
            }
            LinkOp::AddAddress { link, address } => {
                let message = add_address(self.index(link)?, address);
                Ok(self.kernel.execute(message)?)
            }
            LinkOp::DeleteAddress { link, address } => {
                let message = delete_address(self.index(link)?, address);
                forgiven(self.kernel.execute(message), &[Errno::ADDRNOTAVAIL])
            }
            LinkOp::ReplaceRoute { route } => self.make_route(route),
            LinkOp::DeleteRoute { route } => self.delete_route(route),
            LinkOp::WaitUp { link, at_most_ms } => self.wait_up(link, *at_most_ms),
            LinkOp::Announce { link, ip } => self.announcer.announce(link, *ip).map_err(Failure::Other),
        }
    }

    fn create(&mut self, link: &str, message: Writer) -> Result<(), Failure> {
        self.known.remove(link);
        self.kernel.execute(message)?;
        Ok(self.index(link).map(drop)?)
    }

    fn set(&mut self, link: &str, fill: impl FnOnce(&mut Writer)) -> Result<(), Failure> {
        let mut message = Writer::new(SET_LINK, 0, &link_body(self.index(link)?, 0, 0));
        fill(&mut message);
        Ok(self.kernel.execute(message)?)
    }

    /// Returns a link's index, asked for once.
    fn index(&mut self, link: &str) -> Result<i32, Refusal> {
        if let Some(&index) = self.known.get(link) {
            return Ok(index);
        }
        let (index, _) = self.state(link)?;
        self.known.insert(link.to_owned(), index);
        Ok(index)
    }

    /// Returns a link's index and operational state, as they are now.
    fn state(&mut self, link: &str) -> Result<(i32, u8), Refusal> {
        let mut message = Writer::new(GET_LINK, 0, &[0; LINK_BODY]);
        message.put_text(LINK_NAME, link);
        message.add_flags(super::wire::ACK);
        let mut found = None;
        self.kernel.ask(message, &mut |message| {
            let index = message.split(LINK_BODY).and_then(|(body, _)| i32_at(body, 4));
            found = link_state(message).or(index.map(|index| (index, 0)));
        })?;
        let missing = Refusal { errno: Errno::NODEV.raw_os_error(), text: String::new() };
        found.ok_or(missing)
    }

    fn wait_up(&mut self, link: &str, at_most_ms: u32) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_millis(at_most_ms.into());
        loop {
            let (index, state) = self.state(link)?;
            if state == OPERATIONAL {
                return Ok(());
            }
            let Some(events) = &mut self.events else {
                return Err(Failure::Other(not_up(at_most_ms, state)));
            };
            let heard =
                events.events(deadline, &mut |message| link_state(message) == Some((index, OPERATIONAL)));
            match heard {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Failure::Other(not_up(at_most_ms, state))),
                // Events were lost: the state itself tells.
                Err(refusal) if refusal.is(&[Errno::NOBUFS]) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }

    /// Told to replace, the kernel takes away the first route of the same key, whoever's link it leads to.
    fn make_route(&mut self, route: &Route) -> Result<(), Failure> {
        if !route.stands_beside_others() {
            let message = self.route(route, NEW_ROUTE, CREATE | REPLACE)?;
            return Ok(self.kernel.execute(message)?);
        }
        let message = self.route(route, NEW_ROUTE, CREATE | APPEND)?;
        match self.kernel.execute(message) {
            Err(refusal) if refusal.is(&[Errno::EXIST]) => {}
            other => return Ok(other?),
        }
        if super::dump::network().map_err(Failure::Other)?.routes.contains(route) {
            return Ok(());
        }
        // The same way with another source or MTU.
        self.delete_route(route)?;
        let message = self.route(route, NEW_ROUTE, CREATE | APPEND)?;
        Ok(self.kernel.execute(message)?)
    }

    fn delete_route(&mut self, route: &Route) -> Result<(), Failure> {
        match self.route(route, DELETE_ROUTE, 0) {
            Err(Failure::Refused(refusal)) if refusal.is(&[Errno::NODEV]) => Ok(()),
            message => forgiven(self.kernel.execute(message?), &[Errno::SRCH]),
        }
    }

    fn route(&mut self, route: &Route, kind: u16, flags: u16) -> Result<Writer, Failure> {
        if route.multipath {
            let words = "a route with several next hops is not rewritten";
            return Err(Failure::Other(MachineError::new("change", "route", Reason::Other, words)));
        }
        let index = route.link.as_deref().map(|link| self.index(link)).transpose()?;
        Ok(route_message(route, index, kind, flags))
    }
}

/// Writes the one setting of a link that has no netlink attribute to change it. The name has been asked of the kernel,
/// which has none with a slash. Without IPv6 in the kernel it is off already.
fn set_ipv6(link: &str, enabled: bool) -> Result<(), MachineError> {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(link).join("disable_ipv6");
    match std::fs::write(&path, if enabled { "0" } else { "1" }) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !enabled => Ok(()),
        written => written.map_err(|error| MachineError::from_io("write", &path, &error)),
    }
}

/// Gives a link the settings of another. What the kernel does not have for that one (no IPv6) is passed over, and what
/// is the same already is not written.
fn copy_settings(from: &str, to: &str) -> Result<(), MachineError> {
    for (family, settings) in [("ipv6", IPV6_SETTINGS), ("ipv4", IPV4_SETTINGS)] {
        let folder = Path::new("/proc/sys/net").join(family).join("conf");
        for setting in settings {
            let source = folder.join(from).join(setting);
            let wanted = match std::fs::read(&source) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| MachineError::from_io("read", &source, &error))?,
            };
            let target = folder.join(to).join(setting);
            if std::fs::read(&target).is_ok_and(|now| now == wanted) {
                continue;
            }
            std::fs::write(&target, &wanted)
                .map_err(|error| MachineError::from_io("write", &target, &error))?;
        }
    }
    Ok(())
}

fn not_up(at_most_ms: u32, state: u8) -> MachineError {
    let words = format!("not operational after {at_most_ms} ms (IF_OPER state {state})");
    MachineError::new("wait", "link", Reason::TimedOut, words)
}

fn forgiven(result: Result<(), Refusal>, errnos: &[Errno]) -> Result<(), Failure> {
    match result {
        Err(refusal) if refusal.is(errnos) => Ok(()),
        other => Ok(other?),
    }
}

/// Returns the names of the links that an operation needs to be there.
fn names(op: &LinkOp) -> Vec<&str> {
    match op {
        LinkOp::CreateBridge { .. } | LinkOp::CreateVeth { .. } | LinkOp::Announce { .. } => Vec::new(),
        LinkOp::CreateVlan { below, .. } => vec![below],
        LinkOp::CopySettings { from, .. } => vec![from],
        LinkOp::SetMaster { link, master } => [link.as_str()].into_iter().chain(master.as_deref()).collect(),
        LinkOp::Delete { link }
        | LinkOp::SetUp { link, .. }
        | LinkOp::AddVlans { link, .. }
        | LinkOp::SetMtu { link, .. }
        | LinkOp::SetIpv6Generation { link, .. }
        | LinkOp::SetIpv6 { link, .. }
        | LinkOp::AddAddress { link, .. }
        | LinkOp::DeleteAddress { link, .. }
        | LinkOp::WaitUp { link, .. } => vec![link],
        LinkOp::ReplaceRoute { route } | LinkOp::DeleteRoute { route } => {
            route.link.as_deref().into_iter().collect()
        }
    }
}

/// Returns a `struct ifinfomsg`.
fn link_body(index: i32, flags: u32, change: u32) -> [u8; LINK_BODY] {
    let mut body = [0; LINK_BODY];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..].copy_from_slice(&change.to_ne_bytes());
    body
}

fn create_bridge(link: &str, mac: Mac, bridge: Bridge) -> Writer {
    let mut message = Writer::new(NEW_LINK, CREATE | EXCLUSIVE, &[0; LINK_BODY]);
    message.put_text(LINK_NAME, link).put(1, &mac.0).nest(LINK_INFO, |info| {
        info.put_text(1, "bridge").nest(2, |data| {
            data.put_u32(1, bridge.forward_delay).put_u32(5, bridge.stp.into());
            // Off is what a new bridge has, and a kernel without the option refuses even to be told so.
            if bridge.vlan_filtering {
                data.put(7, &[1]);
            }
        });
    });
    message
}

fn create_veth(link: &str, peer: &str) -> Writer {
    let mut message = Writer::new(NEW_LINK, CREATE | EXCLUSIVE, &[0; LINK_BODY]);
    message.put_text(LINK_NAME, link).nest(LINK_INFO, |info| {
        info.put_text(1, "veth").nest(2, |data| {
            data.nest(1, |other| {
                other.raw(&[0; LINK_BODY]).put_text(LINK_NAME, peer);
            });
        });
    });
    message
}

fn create_vlan(link: &str, below: i32, tag: u16) -> Writer {
    let mut message = Writer::new(NEW_LINK, CREATE | EXCLUSIVE, &[0; LINK_BODY]);
    message.put_u32(5, below.cast_unsigned()).put_text(LINK_NAME, link).nest(LINK_INFO, |info| {
        info.put_text(1, "vlan").nest(2, |data| {
            data.put(1, &tag.to_ne_bytes());
        });
    });
    message
}

/// As bridge(8) asks for it: `IFLA_AF_SPEC` of the bridge family, with `struct bridge_vlan_info` for a VLAN or for both
/// ends of a row (`BRIDGE_VLAN_INFO_RANGE_BEGIN`, `_END` of linux/if_bridge.h).
fn add_vlans(index: i32, vlans: VlanRange) -> Writer {
    let mut body = link_body(index, 0, 0);
    body[0] = BRIDGE;
    let mut message = Writer::new(SET_LINK, 0, &body);
    message.nest(FAMILY_SPECIFIC, |spec| {
        let mut info = |flags: u16, tag: u16| {
            let [a, b] = flags.to_ne_bytes();
            let [c, d] = tag.to_ne_bytes();
            spec.put(VLAN_INFO, &[a, b, c, d]);
        };
        if vlans.first() == vlans.last() {
            info(0, vlans.first());
        } else {
            info(RANGE_BEGIN, vlans.first());
            info(RANGE_END, vlans.last());
        }
    });
    message
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv6() { INET6 } else { INET }
}

/// Returns a `struct ifaddrmsg`.
fn address_body(index: i32, address: &Address) -> [u8; 8] {
    let mut body = [family(address.ip), address.prefix, 0, address.scope, 0, 0, 0, 0];
    body[4..].copy_from_slice(&index.to_ne_bytes());
    body
}

fn add_address(index: i32, address: &Address) -> Writer {
    let mut message = Writer::new(NEW_ADDRESS, CREATE | REPLACE, &address_body(index, address));
    let no_dad = if address.ip.is_ipv6() { NO_DAD } else { 0 };
    message.put_ip(2, address.ip).put_ip(1, address.peer.unwrap_or(address.ip));
    message.put_u32(8, (address.flags & SETTABLE) | no_dad);
    if let Some(broadcast) = address.broadcast {
        message.put_ip(4, broadcast);
    }
    if let Some(label) = &address.label {
        message.put_text(3, label);
    }
    if address.valid.is_some() || address.preferred.is_some() {
        let seconds = |life: Option<u32>| life.unwrap_or(u32::MAX).to_ne_bytes();
        let mut info = [0; 16];
        info[..4].copy_from_slice(&seconds(address.preferred));
        info[4..8].copy_from_slice(&seconds(address.valid));
        message.put(6, &info);
    }
    if address.origin != 0 {
        message.put(11, &[address.origin]);
    }
    message
}

fn delete_address(index: i32, address: &Address) -> Writer {
    let mut message = Writer::new(DELETE_ADDRESS, 0, &address_body(index, address));
    message.put_ip(2, address.ip).put_ip(1, address.peer.unwrap_or(address.ip));
    message
}

fn route_message(route: &Route, index: Option<i32>, kind: u16, flags: u16) -> Writer {
    let onlink = if route.onlink { 4_u32 } else { 0 };
    let table = u8::try_from(route.table).unwrap_or(TABLE_IN_ATTRIBUTE);
    let length = route.destination.map_or(0, |prefix| prefix.length);
    let family = if route.ipv6 { INET6 } else { INET };
    let mut body = [family, length, 0, 0, table, route.protocol, route.scope, route.kind, 0, 0, 0, 0];
    body[8..].copy_from_slice(&onlink.to_ne_bytes());
    let mut message = Writer::new(kind, flags, &body);
    message.put_u32(15, route.table);
    if let Some(prefix) = route.destination {
        message.put_ip(1, prefix.ip);
    }
    match route.gateway {
        Some(IpAddr::V6(gateway)) if !route.ipv6 => {
            let mut via = u16::from(INET6).to_ne_bytes().to_vec();
            via.extend(gateway.octets());
            message.put(18, &via);
        }
        Some(gateway) => {
            message.put_ip(5, gateway);
        }
        None => {}
    }
    if let Some(index) = index {
        message.put_u32(4, index.cast_unsigned());
    }
    if let Some(source) = route.source {
        message.put_ip(7, source);
    }
    if route.metric != 0 {
        message.put_u32(6, route.metric);
    }
    if let Some(seconds) = route.expires.0.filter(|_| kind == NEW_ROUTE && route.ipv6) {
        message.put_u32(23, seconds);
    }
    if let Some(mtu) = route.mtu.filter(|_| kind == NEW_ROUTE) {
        message.nest(8, |metrics| {
            metrics.put_u32(2, mtu);
        });
    }
    message
}
