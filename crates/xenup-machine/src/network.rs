//! The kernel's network as plain data, and the operations that change it.
//!
//! Links are named, never numbered: an index does not survive a reboot, and data outlives both.
//! Field values follow rtnetlink(7), rt-link, rt-addr and rt-route. Never talks to a kernel.

mod op;
mod vlans;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub use op::{IPV4_SETTINGS, IPV6_SETTINGS, LinkOp};
use serde::{Deserialize, Serialize};
pub use vlans::{NoVlans, VlanRange};

/// An Ethernet address, written `52:54:00:aa:bb:cc`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Returns whether it may name one station: neither group nor all zero.
    #[must_use]
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an Ethernet address such as 52:54:00:aa:bb:cc")]
pub struct NotAMac(pub String);

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()));
            *byte = part
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(|| NotAMac(text.to_owned()))?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NotAMac(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// Everything the kernel knows that xenup may have to restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// By name.
    pub links: Vec<Link>,
    /// In the kernel's order.
    pub addresses: Vec<LinkAddress>,
    /// All tables but the local one, in the kernel's order.
    pub routes: Vec<Route>,
    /// Policy rules beyond the kernel's three.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl Network {
    /// Returns the link of that name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Returns the addresses on a link, in the kernel's order.
    pub fn addresses_on<'a>(&'a self, link: &'a str) -> impl Iterator<Item = &'a Address> {
        self.addresses.iter().filter(move |entry| entry.link == link).map(|entry| &entry.address)
    }

    /// Returns the routes that leave by a link.
    pub fn routes_by<'a>(&'a self, link: &'a str) -> impl Iterator<Item = &'a Route> {
        self.routes.iter().filter(move |route| route.link.as_deref() == Some(link))
    }

    /// Returns the ports of a bridge or bond.
    pub fn ports_of<'a>(&'a self, master: &'a str) -> impl Iterator<Item = &'a Link> {
        self.links.iter().filter(move |link| link.master.as_deref() == Some(master))
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name, 15 bytes at most.
    pub name: String,
    /// `bridge`, `veth`, `vlan`, `bond`, …; `None` for a physical NIC or loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether this is the loopback.
    #[serde(default, skip_serializing_if = "is_false")]
    pub loopback: bool,
    /// Address in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Address burnt in, where the driver tells (IFLA_PERM_ADDRESS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permanent_mac: Option<Mac>,
    /// IFF_UP: somebody set it up.
    pub up: bool,
    /// IFF_LOWER_UP: the medium is there.
    #[serde(default)]
    pub carrier: bool,
    /// RFC 2863 state, lower case: `up`, `down`, `lowerlayerdown`, `unknown`, …
    #[serde(default)]
    pub operstate: String,
    /// Bytes.
    pub mtu: u32,
    /// The bridge or bond it is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Settings, where it is a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Bridge>,
    /// The link below and the tag, where it is a VLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// VLANs that a port of a VLAN-aware bridge lets through with their tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<VlanRange>,
    /// Whether the NIC joins what it receives before the kernel sees it (large receive offload).
    #[serde(default, skip_serializing_if = "is_false")]
    pub large_receive: bool,
    /// How IPv6 link-local addresses are made (IFLA_INET6_ADDR_GEN_MODE): 0 eui64, 1 none, 2 stable, 3 random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_generation: Option<u8>,
    /// Other names (IFLA_PROP_LIST).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternative_names: Vec<String>,
}

impl Link {
    /// Returns whether it lets these VLANs through with their tags.
    #[must_use]
    pub fn carries(&self, vlans: VlanRange) -> bool {
        let covers = |own: &VlanRange| own.has(vlans.first()) && own.has(vlans.last());
        VlanRange::joined(self.vlans.clone()).iter().any(covers)
    }
}

/// Settings of a bridge that xenup makes or restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Whether the spanning tree protocol runs.
    pub stp: bool,
    /// Centiseconds (the kernel's unit).
    pub forward_delay: u32,
    /// Whether it looks at VLAN tags.
    pub vlan_filtering: bool,
}

/// What makes a VLAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// The link below.
    pub below: String,
    /// The tag, 1 to 4094.
    pub tag: u16,
}

/// An address as the kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The address itself.
    pub ip: IpAddr,
    /// Length of the network's prefix in bits.
    pub prefix: u8,
    /// The other end, on a point-to-point link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// Broadcast address (IPv4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<IpAddr>,
    /// 0 global, 253 link, 254 host.
    #[serde(default)]
    pub scope: u8,
    /// IFA_F_*: 0x80 permanent, 0x02 nodad, 0x08 dadfailed, 0x40 tentative, 0x100 managetempaddr, 0x200 noprefixroute.
    #[serde(default)]
    pub flags: u32,
    /// The label, where it is not the link's name (IPv4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Seconds it stays valid; `None` is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<u32>,
    /// Seconds it stays preferred; `None` is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<u32>,
    /// Who made it (IFA_PROTO): 0 unknown, 1 loopback, 2 router advertisement, 3 link-local.
    #[serde(default)]
    pub origin: u8,
}

impl Address {
    /// Returns a permanent global address without broadcast.
    #[must_use]
    pub fn new(ip: IpAddr, prefix: u8) -> Self {
        Self {
            ip,
            prefix,
            peer: None,
            broadcast: None,
            scope: 0,
            flags: 0x80,
            label: None,
            valid: None,
            preferred: None,
            origin: 0,
        }
    }

    /// Returns whether the kernel makes it by itself when a link comes up (IPv6 link-local).
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// An address and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkAddress {
    /// The link's name.
    pub link: String,
    /// The address.
    pub address: Address,
}

/// A destination network; `None` in a route is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// Network address.
    pub ip: IpAddr,
    /// Length in bits.
    pub length: u8,
}

/// Seconds that the kernel counts down; `None` is for ever. Two of them are always equal: when they were read is no
/// difference between the things they are of.
#[derive(Debug, Clone, Copy, Default, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Countdown(pub Option<u32>);

impl Countdown {
    fn is_endless(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for Countdown {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::hash::Hash for Countdown {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Whether it is an IPv6 route.
    pub ipv6: bool,
    /// Where to; `None` is the default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// Through whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// By which link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Our own address on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Smaller wins.
    #[serde(default)]
    pub metric: u32,
    /// 254 is main.
    pub table: u32,
    /// Who made it: 2 kernel, 3 boot, 4 static, 9 router advertisement, 16 dhcp.
    pub protocol: u8,
    /// 0 global, 253 link, 254 host.
    #[serde(default)]
    pub scope: u8,
    /// 1 unicast, 6 blackhole, 7 unreachable, …
    pub kind: u8,
    /// RTNH_F_ONLINK: the gateway is on the link though no address covers it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub onlink: bool,
    /// RTAX_MTU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// How long it lasts (IPv6: RTA_EXPIRES); routes that a router advertised end by themselves.
    #[serde(default, skip_serializing_if = "Countdown::is_endless")]
    pub expires: Countdown,
    /// Whether it has more than one next hop: then it is read, never rewritten.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multipath: bool,
}

/// A policy rule, as far as it may name a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Whether it is an IPv6 rule.
    pub ipv6: bool,
    /// Its place.
    pub priority: u32,
    /// The table it leads to.
    pub table: u32,
    /// Only packets from this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Only packets for this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// RTPROT_KERNEL of linux/rtnetlink.h.
const KERNEL: u8 = 2;

impl Route {
    /// Returns whether the kernel keeps it beside a route of the same destination, metric and table by another link:
    /// every IPv6 route (`fe80::/64` of each link, the default of each router), and the network of an IPv4 address.
    #[must_use]
    pub fn stands_beside_others(&self) -> bool {
        self.ipv6 || (self.protocol == KERNEL && self.gateway.is_none())
    }

    /// Returns whether it is the route that the kernel makes for an address by itself, and takes away with it.
    #[must_use]
    pub fn is_made_by(&self, address: &Address) -> bool {
        const NO_PREFIX_ROUTE: u32 = 0x200;
        let usual = if self.ipv6 { matches!(self.metric, 0 | 256) } else { self.metric == 0 };
        let Some(to) = self.destination else { return false };
        let far = address.peer.unwrap_or(address.ip);
        let connected = address.prefix == to.length && same_network(far, to.ip, to.length);
        let made = self.protocol == KERNEL && self.gateway.is_none() && address.flags & NO_PREFIX_ROUTE == 0;
        made && usual && connected
    }
}

fn same_network(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, true),
        IpAddr::V6(ip) => (u128::from(ip), false),
    };
    let ((one, one_v4), (other, other_v4)) = (bits(one), bits(other));
    let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
    one_v4 == other_v4 && one & mask == other & mask
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination {
            Some(prefix) => write!(f, "{}/{}", prefix.ip, prefix.length)?,
            None => write!(f, "default")?,
        }
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(link) = &self.link {
            write!(f, " dev {link}")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if self.table != 254 {
            write!(f, " table {}", self.table)?;
        }
        match self.protocol {
            0 | 3 => {}
            2 => write!(f, " proto kernel")?,
            4 => write!(f, " proto static")?,
            9 => write!(f, " proto ra")?,
            16 => write!(f, " proto dhcp")?,
            other => write!(f, " proto {other}")?,
        }
        match self.scope {
            0 => {}
            253 => write!(f, " scope link")?,
            254 => write!(f, " scope host")?,
            other => write!(f, " scope {other}")?,
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Countdown(Some(seconds)) = self.expires {
            write!(f, " expires {seconds}")?;
        }
        write!(f, "{}", if self.onlink { " onlink" } else { "" })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::Mac;

    #[test]
    fn ethernet_addresses_are_read_strictly() {
        let mac: Mac = "52:54:00:AA:bb:0c".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:aa:bb:0c");
        assert!(mac.is_station());
        for bad in ["", "52:54:00:aa:bb", "52:54:00:aa:bb:0c:1", "5:54:00:aa:bb:0c", "+2:54:00:aa:bb:0c"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert!(!Mac([1, 0, 0, 0, 0, 0]).is_station());
    }
}
