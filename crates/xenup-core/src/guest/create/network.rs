//! A new guest's addresses, and how they are written for who sets the NIC up.
//!
//! Decides: which addresses, gateways and name servers go together. Facts: interfaces(5) with its inet and inet6
//! methods, systemd.network(5), netplan(5), resolv.conf(5). Never: looks at a network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Serialize;

use super::NIC;
use super::inside::Entry;

/// Where systemd-resolved has its resolv.conf.
const STUB: &str = "../run/systemd/resolve/stub-resolv.conf";

/// Who sets the guest's NIC up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// ifupdown, as Debian's installer has it.
    #[default]
    Ifupdown,
    /// systemd-networkd with systemd-resolved.
    Networkd,
    /// netplan, which has systemd-networkd do it, with systemd-resolved.
    Netplan,
}

/// An address with the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixed {
    /// The address.
    pub ip: IpAddr,
    /// The prefix's length in bits.
    pub prefix: u8,
}

/// What stands in the way of a guest's addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Not an address with a prefix.
    #[error("`{0}` is no address with its prefix, such as 192.0.2.10/24 or 2001:db8::10/64")]
    Form(String),
    /// An address that no station can have.
    #[error("{0} is no station's address: {1}")]
    NoStation(Prefixed, &'static str),
    /// Two addresses of one family.
    #[error("two addresses of one family: {0} and {1}")]
    Two(Prefixed, Prefixed),
    /// `dhcp` beside an IPv4 address.
    #[error("`dhcp` and {0} exclude each other")]
    DhcpAndStatic(Prefixed),
    /// A gateway without an address of its family.
    #[error("the gateway {0} has no address of its family beside it")]
    GatewayAlone(IpAddr),
    /// Two gateways of one family.
    #[error("two gateways of one family: {0} and {1}")]
    TwoGateways(IpAddr, IpAddr),
    /// A gateway outside the network.
    #[error("the gateway {0} is not in the network of {1}")]
    GatewayOutside(IpAddr, Prefixed),
    /// The gateway is the guest itself.
    #[error("the gateway {0} is the guest's own address")]
    GatewayIsSelf(IpAddr),
    /// Name servers where DHCP names them.
    #[error("name servers beside `dhcp`: the DHCP server names them, and they would be overwritten")]
    DnsAndDhcp,
}

impl NetworkFault {
    /// Returns one decision that helps.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Form(_) | Self::NoStation(..) => "--address ADDRESS/PREFIX, or --address dhcp",
            Self::Two(..) => {
                "name one IPv4 and one IPv6 address at most; more belong into the guest's own files"
            }
            Self::DhcpAndStatic(_) => "leave one of them out; an IPv6 address may stand beside dhcp",
            Self::GatewayAlone(_) => "leave --gateway out: DHCP and router advertisements name it",
            Self::TwoGateways(..) => "name one gateway for each family",
            Self::GatewayOutside(..) | Self::GatewayIsSelf(_) => {
                "name the router's address in that network, or another prefix"
            }
            Self::DnsAndDhcp => "leave --dns out, or give the guest a static address",
        }
    }
}

/// What a guest's NIC gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Addresses {
    /// IPv4 by DHCP.
    pub dhcp: bool,
    /// Static addresses, IPv4 first, each with its gateway.
    pub fixed: Vec<(Prefixed, Option<IpAddr>)>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

impl Addresses {
    /// Reads what was asked for: each of `words` is `dhcp` or ADDRESS/PREFIX; no word is `dhcp`.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn of(words: &[String], gateways: &[IpAddr], dns: &[IpAddr]) -> Result<Self, NetworkFault> {
        let mut dhcp = words.is_empty();
        let mut fixed: Vec<(Prefixed, Option<IpAddr>)> = Vec::new();
        for word in words {
            if word == "dhcp" {
                dhcp = true;
                continue;
            }
            let address: Prefixed = word.parse()?;
            if let Some((other, _)) = fixed.iter().find(|(other, _)| other.family() == address.family()) {
                return Err(NetworkFault::Two(*other, address));
            }
            fixed.push((address, None));
        }
        fixed.sort_by_key(|(address, _)| address.ip.is_ipv6());
        match fixed.first() {
            Some((address, _)) if dhcp && address.ip.is_ipv4() => {
                return Err(NetworkFault::DhcpAndStatic(*address));
            }
            _ => {}
        }
        for gateway in gateways {
            let Some((address, its)) = fixed.iter_mut().find(|(a, _)| a.ip.is_ipv6() == gateway.is_ipv6())
            else {
                return Err(NetworkFault::GatewayAlone(*gateway));
            };
            if let Some(other) = its {
                return Err(NetworkFault::TwoGateways(*other, *gateway));
            }
            if address.ip == *gateway {
                return Err(NetworkFault::GatewayIsSelf(*gateway));
            }
            if !is_link_local(gateway) && !address.contains(gateway) {
                return Err(NetworkFault::GatewayOutside(*gateway, *address));
            }
            *its = Some(*gateway);
        }
        if dhcp && !dns.is_empty() {
            return Err(NetworkFault::DnsAndDhcp);
        }
        Ok(Self { dhcp, fixed, dns: dns.to_vec() })
    }

    /// Returns the address that the guest's own name stands for in its hosts(5), where it has a fixed one.
    pub(super) fn first_fixed(&self) -> Option<IpAddr> {
        self.fixed.first().map(|(address, _)| address.ip)
    }

    /// Returns the files for who sets the NIC up.
    pub(super) fn entries(&self, manager: Manager) -> Vec<Entry> {
        match manager {
            Manager::Ifupdown => vec![
                Entry::file("/etc/network/interfaces", 0o644, self.interfaces()),
                Entry::file("/etc/resolv.conf", 0o644, self.resolv_conf()),
            ],
            Manager::Networkd => vec![
                Entry::file(format!("/etc/systemd/network/10-{NIC}.network"), 0o644, self.networkd()),
                Entry::link("/etc/resolv.conf", STUB),
            ],
            Manager::Netplan => vec![
                // netplan warns of a file that others can read: it may hold a password.
                Entry::file("/etc/netplan/10-xenup.yaml", 0o600, self.netplan()),
                Entry::link("/etc/resolv.conf", STUB),
            ],
        }
    }

    fn interfaces(&self) -> String {
        let mut text = format!(
            "# The loopback, and the guest's NIC: interfaces(5).\nsource /etc/network/interfaces.d/*\n\n\
             auto lo\niface lo inet loopback\n\nauto {NIC}\n"
        );
        text.push_str(&self.stanzas(NIC));
        text
    }

    /// Returns the stanzas of interfaces(5) that give a NIC these addresses.
    pub(crate) fn stanzas(&self, nic: &str) -> String {
        let mut text = String::new();
        if self.dhcp {
            text.push_str(&format!("iface {nic} inet dhcp\n"));
        }
        for (address, gateway) in &self.fixed {
            text.push_str(&format!("iface {nic} {} static\n    address {address}\n", address.family()));
            if let Some(gateway) = gateway {
                text.push_str(&format!("    gateway {gateway}\n"));
            }
        }
        text
    }

    fn resolv_conf(&self) -> String {
        self.dns.iter().map(|server| format!("nameserver {server}\n")).collect()
    }

    fn networkd(&self) -> String {
        let mut text = format!("# The guest's NIC: systemd.network(5).\n[Match]\nName={NIC}\n\n[Network]\n");
        if self.dhcp {
            text.push_str("DHCP=ipv4\n");
        }
        for (address, gateway) in &self.fixed {
            text.push_str(&format!("Address={address}\n"));
            if let Some(gateway) = gateway {
                text.push_str(&format!("Gateway={gateway}\n"));
            }
        }
        for server in &self.dns {
            text.push_str(&format!("DNS={server}\n"));
        }
        text
    }

    /// `default` is of the family of its `via`.
    fn netplan(&self) -> String {
        let mut text = format!(
            "# The guest's NIC: netplan(5).\nnetwork:\n  version: 2\n  renderer: networkd\n  ethernets:\n    {NIC}:\n"
        );
        if self.dhcp {
            text.push_str("      dhcp4: true\n");
        }
        list(&mut text, "addresses", 6, self.fixed.iter().map(|(address, _)| format!("\"{address}\"")));
        let gateways = self.fixed.iter().filter_map(|(_, gateway)| *gateway);
        list(&mut text, "routes", 6, gateways.map(|ip| format!("to: default\n          via: \"{ip}\"")));
        if !self.dns.is_empty() {
            text.push_str("      nameservers:\n");
        }
        list(&mut text, "addresses", 8, self.dns.iter().map(|ip| format!("\"{ip}\"")));
        text
    }
}

/// A list of YAML, where it has an element.
fn list(text: &mut String, key: &str, blanks: usize, elements: impl Iterator<Item = String>) {
    for (at, element) in elements.enumerate() {
        if at == 0 {
            text.push_str(&format!("{:blanks$}{key}:\n", ""));
        }
        text.push_str(&format!("{:blanks$}  - {element}\n", ""));
    }
}

impl Prefixed {
    /// Returns interfaces(5)'s word for the family.
    fn family(&self) -> &'static str {
        if self.ip.is_ipv4() { "inet" } else { "inet6" }
    }

    fn mask4(&self) -> u32 {
        u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0)
    }

    fn mask6(&self) -> u128 {
        u128::MAX.checked_shl(128_u32.saturating_sub(self.prefix.into())).unwrap_or(0)
    }

    fn contains(&self, other: &IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                own.to_bits() & self.mask4() == other.to_bits() & self.mask4()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                own.to_bits() & self.mask6() == other.to_bits() & self.mask6()
            }
            _ => false,
        }
    }

    /// Returns why no station can have the address.
    fn unfit(&self) -> Option<&'static str> {
        match self.ip {
            IpAddr::V4(ip) => self.unfit4(ip),
            IpAddr::V6(ip) => unfit6(ip),
        }
    }

    fn unfit4(&self, ip: Ipv4Addr) -> Option<&'static str> {
        let host = ip.to_bits() & !self.mask4();
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() {
            return Some("it is unspecified, loopback, multicast or broadcast");
        }
        // RFC 3021: a network of two addresses has neither of these.
        if self.prefix < 31 && host == 0 {
            return Some("it is the network's own");
        }
        (self.prefix < 31 && host == !self.mask4()).then_some("it is the network's broadcast")
    }
}

fn unfit6(ip: Ipv6Addr) -> Option<&'static str> {
    let unfit = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    unfit.then_some("it is unspecified, loopback or multicast")
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(ip) if ip.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80))
}

impl fmt::Display for Prefixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl Serialize for Prefixed {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl FromStr for Prefixed {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Self, NetworkFault> {
        let form = || NetworkFault::Form(text.to_owned());
        let (ip, prefix) = text.split_once('/').ok_or_else(form)?;
        let ip: IpAddr = ip.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        if prefix == 0 || prefix > most {
            return Err(form());
        }
        let address = Self { ip, prefix };
        address.unfit().map_or(Ok(address), |why| Err(NetworkFault::NoStation(address, why)))
    }
}
