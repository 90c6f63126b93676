//! What a stanza configures, in types: addresses, DHCP, SLAAC, link and bridge options.
//! It decides which values ifupdown could not mean. It never asks whether an address is free or a gateway answers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{InterfacesError, Place};
use super::file::{Family, is_hook};
use super::tree::{Effective, InterfacesTree, StanzaId};

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HwAddress(pub [u8; 6]);

/// Not six pairs of hexadecimal digits with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ethernet address such as 52:54:00:12:34:56")]
pub struct NotHwAddress;

impl FromStr for HwAddress {
    type Err = NotHwAddress;

    fn from_str(text: &str) -> Result<Self, NotHwAddress> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NotHwAddress)?;
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(NotHwAddress);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| NotHwAddress)?;
        }
        if parts.next().is_some() { Err(NotHwAddress) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for HwAddress {
    type Error = NotHwAddress;

    fn try_from(text: String) -> Result<Self, NotHwAddress> {
        text.parse()
    }
}

impl From<HwAddress> for String {
    fn from(address: HwAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HwAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The `hwaddress` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HwAddressOption {
    /// An address (the word `ether` before it is taken off, as ifupdown does).
    Fixed(HwAddress),
    /// A new one at each ifup.
    Random,
}

/// The `broadcast` option of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broadcast {
    /// `+`: the last address of the subnet.
    Last,
    /// `-`: the first address of the subnet.
    First,
    /// As written.
    Address(Ipv4Addr),
}

/// A static address and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaticAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length: of `netmask`, else of `address`, else the class of an IPv4 address, else 128.
    pub prefix: u8,
    /// The default gateway.
    pub gateway: Option<IpAddr>,
    /// The metric of the default route.
    pub metric: Option<u32>,
    /// IPv4: the broadcast address.
    pub broadcast: Option<Broadcast>,
    /// IPv4: the other end of the link.
    pub pointopoint: Option<Ipv4Addr>,
    /// `global`, `site`, `link` or `host`.
    pub scope: Option<String>,
    /// IPv6.
    pub v6: V6Options,
}

impl StaticAddress {
    /// Returns whether the gateway is inside the subnet; true without a gateway and for a link-local one.
    /// ifupdown adds the route `onlink`, so a gateway outside works where the network means it.
    pub fn gateway_inside(&self) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let Some(gateway) = self.gateway else { return true };
        if matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            return true;
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        bits(gateway) & mask == bits(self.address) & mask
    }
}

/// The options of inet6 methods that become sysctls and waiting times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct V6Options {
    /// 0 off, 1 on, 2 on even when forwarding.
    pub accept_ra: Option<u8>,
    /// Stateless autoconfiguration, 0 or 1.
    pub autoconf: Option<u8>,
    /// Privacy extensions: 0 off, 1 assign, 2 prefer.
    pub privext: Option<u8>,
    /// Stateless DHCPv6 beside SLAAC, 0 or 1.
    pub dhcp: Option<u8>,
    /// Ask for a prefix by DHCPv6, 0 or 1.
    pub request_prefix: Option<u8>,
    /// How often duplicate address detection is awaited; 0 turns it off.
    pub dad_attempts: Option<u32>,
    /// Seconds, or `forever`.
    pub preferred_lifetime: Option<String>,
}

/// The options of `inet dhcp`. Which of them count depends on the client that is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DhcpOptions {
    /// The client identifier (dhcpcd), or `no`.
    pub client: Option<String>,
    /// The host name asked for (dhcpcd, udhcpc).
    pub hostname: Option<String>,
    /// The metric of the routes.
    pub metric: Option<u32>,
    /// The lease time asked for, in seconds (`leasetime`, or the older `leasehours`).
    pub lease_seconds: Option<u64>,
    /// The vendor class (dhcpcd).
    pub vendor: Option<String>,
}

/// How a stanza's addresses come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// `static`.
    Static(StaticAddress),
    /// `inet dhcp`.
    Dhcp(DhcpOptions),
    /// `inet6 dhcp`.
    Dhcp6(V6Options),
    /// `inet6 auto`.
    Auto(V6Options),
    /// `manual`.
    Manual,
    /// `loopback`.
    Loopback,
    /// Another method of ifupdown.
    Other(String),
}

/// The `dns-*` options, which resolvconf and its kin read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// `dns-nameserver` and `dns-nameservers`.
    pub nameservers: Vec<IpAddr>,
    /// `dns-search` and `dns-domain`.
    pub search: Vec<String>,
}

/// The `bridge_*` options of bridge-utils (a hyphen for the underscore is the same to it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BridgeOptions {
    /// The words of `bridge_ports`; empty for `none`.
    pub ports: Vec<String>,
    /// All others: name with underscores, and value.
    pub others: Vec<(String, String)>,
}

impl BridgeOptions {
    /// Returns whether the ports are chosen at run time (`all`, `regex`).
    pub fn is_dynamic(&self) -> bool {
        self.ports.iter().any(|word| matches!(word.as_str(), "all" | "regex" | "noregex"))
    }
}

/// A command of a stanza.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// `pre-up`, `up`, `down` or `post-down`.
    pub phase: String,
    /// The command.
    pub command: String,
    /// Where.
    pub at: Place,
}

/// Where an interface is configured and who brings it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// The logical interface.
    pub interface: String,
    /// Its stanzas, in reading order.
    pub stanzas: Vec<ConfiguredStanza>,
    /// The classes that name it: "auto", "hotplug", or one's own, each with its line.
    pub classes: Vec<(String, Place)>,
}

/// A stanza, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfiguredStanza {
    /// The family.
    pub family: Family,
    /// The method.
    pub method: String,
    /// Where it begins.
    pub at: Place,
}

/// Returns every interface that has a stanza, in the order of their first stanzas.
pub fn configured(tree: &InterfacesTree) -> Vec<Configured> {
    let mut out: Vec<Configured> = Vec::new();
    for view in tree.stanzas() {
        let stanza =
            ConfiguredStanza { family: view.family, method: view.method.to_owned(), at: view.place() };
        let name = &view.stanza.name;
        match out.iter_mut().find(|known| known.interface == *name) {
            Some(known) => known.stanzas.push(stanza),
            None => {
                let classes = tree.classes_of(name).into_iter();
                let classes = classes.map(|(class, at)| (class.to_owned(), at)).collect();
                out.push(Configured { interface: name.clone(), stanzas: vec![stanza], classes });
            }
        }
    }
    out
}

/// What a stanza configures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressPlan {
    /// The logical interface.
    pub interface: String,
    /// The family.
    pub family: Family,
    /// Where the stanza begins.
    pub at: Place,
    /// How its addresses come about.
    pub addressing: Addressing,
    /// The `mtu` option.
    pub mtu: Option<u32>,
    /// The `hwaddress` option.
    pub hwaddress: Option<HwAddressOption>,
    /// The `dns-*` options.
    pub dns: Dns,
    /// The `bridge_*` options, where `bridge_ports` is given.
    pub bridge: Option<BridgeOptions>,
    /// The commands, in order.
    pub hooks: Vec<Hook>,
    /// Options that none of the above took: name and value, in order.
    pub others: Vec<(String, String)>,
}

impl AddressPlan {
    /// Reads a stanza with all it inherits.
    ///
    /// # Errors
    /// A value that its option cannot have, a single-valued option given twice, a static stanza without an address.
    pub fn of(tree: &InterfacesTree, id: StanzaId) -> Result<Option<Self>, InterfacesError> {
        let Some(view) = tree.view(id) else { return Ok(None) };
        let mut reader = Reader { options: tree.options(id), taken: Vec::new() };
        let addressing = reader.addressing(view.family, view.method, &view.place())?;
        let plan = Self {
            interface: view.stanza.name.clone(),
            family: view.family,
            at: view.place(),
            addressing,
            mtu: reader.parse("mtu", "a number of bytes")?,
            hwaddress: reader.hwaddress()?,
            dns: reader.dns()?,
            bridge: reader.bridge(),
            hooks: reader.hooks(),
            others: reader.others(),
        };
        Ok(Some(plan))
    }

    /// Reads all stanzas of an interface and of its aliases (`eno1:0`), in reading order: what `address = "keep"` keeps.
    ///
    /// # Errors
    /// As [`AddressPlan::of`].
    pub fn of_interface(tree: &InterfacesTree, interface: &str) -> Result<Vec<Self>, InterfacesError> {
        let own = |name: &str| {
            name.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let stanzas = tree.stanzas().filter(|view| own(&view.stanza.name));
        stanzas.filter_map(|view| Self::of(tree, view.id).transpose()).collect()
    }

    /// Returns whether it gives the interface an address, or lets somebody give it one.
    pub fn has_address(&self) -> bool {
        !matches!(self.addressing, Addressing::Manual | Addressing::Loopback | Addressing::Other(_))
    }
}

struct Reader {
    options: Vec<Effective>,
    taken: Vec<String>,
}

impl Reader {
    fn one(&mut self, name: &str) -> Result<Option<&Effective>, InterfacesError> {
        self.taken.push(name.to_owned());
        let mut found = self.options.iter().filter(|option| option.name == name);
        let first = found.next();
        if let (Some(first), Some(again)) = (first, found.next()) {
            let (option, first) = (name.to_owned(), first.at.line);
            return Err(InterfacesError::Repeated { at: again.at.clone(), option, first });
        }
        Ok(first)
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, InterfacesError> {
        Ok(self.one(name)?.map(|option| option.value.clone()))
    }

    fn parse<T: FromStr>(
        &mut self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<T>, InterfacesError> {
        let Some(option) = self.one(name)? else { return Ok(None) };
        option.value.parse().map(Some).map_err(|_| bad(option, expected))
    }

    fn small(&mut self, name: &str, max: u8, expected: &'static str) -> Result<Option<u8>, InterfacesError> {
        let Some(option) = self.one(name)? else { return Ok(None) };
        // ifupdown takes these words where it tests a switch, sysctl(8) takes digits alone.
        let value = match option.value.as_str() {
            "on" | "yes" | "true" => Some(1),
            "off" | "no" | "false" => Some(0),
            digits => digits.parse().ok().filter(|value| *value <= max),
        };
        value.map(Some).ok_or_else(|| bad(option, expected))
    }

    fn addressing(
        &mut self,
        family: Family,
        method: &str,
        at: &Place,
    ) -> Result<Addressing, InterfacesError> {
        Ok(match (family, method) {
            (Family::Inet | Family::Inet6, "static") => Addressing::Static(self.fixed(family, at)?),
            (Family::Inet, "dhcp") => Addressing::Dhcp(self.dhcp()?),
            (Family::Inet6, "dhcp") => Addressing::Dhcp6(self.v6()?),
            (Family::Inet6, "auto") => Addressing::Auto(self.v6()?),
            (_, "manual") => Addressing::Manual,
            (_, "loopback") => Addressing::Loopback,
            (_, other) => Addressing::Other(other.to_owned()),
        })
    }

    fn fixed(&mut self, family: Family, at: &Place) -> Result<StaticAddress, InterfacesError> {
        let option = self.one("address")?.cloned().ok_or_else(|| InterfacesError::NoAddress(at.clone()))?;
        let netmask = self.one("netmask")?.cloned();
        let (address, prefix) = match family {
            Family::Inet6 => v6_address(&option, netmask.as_ref())?,
            _ => v4_address(&option, netmask.as_ref())?,
        };
        let gateway = match family {
            Family::Inet6 => {
                self.parse::<Ipv6Addr>("gateway", "an IPv6 address without a prefix")?.map(IpAddr::V6)
            }
            _ => self.parse::<Ipv4Addr>("gateway", "an IPv4 address without a prefix")?.map(IpAddr::V4),
        };
        let metric = self.parse("metric", "a number")?;
        let scope = self.text("scope")?;
        if family == Family::Inet6 {
            let v6 = self.v6()?;
            let (broadcast, pointopoint) = (None, None);
            return Ok(StaticAddress { address, prefix, gateway, metric, broadcast, pointopoint, scope, v6 });
        }
        // `network` is a word of older releases which ifupdown 0.8 hands to scripts alone.
        self.parse::<Ipv4Addr>("network", "an IPv4 address")?;
        let broadcast = self.broadcast()?;
        let pointopoint = self.parse("pointopoint", "an IPv4 address")?;
        let v6 = V6Options::default();
        Ok(StaticAddress { address, prefix, gateway, metric, broadcast, pointopoint, scope, v6 })
    }

    fn broadcast(&mut self) -> Result<Option<Broadcast>, InterfacesError> {
        let Some(option) = self.one("broadcast")? else { return Ok(None) };
        Ok(Some(match option.value.as_str() {
            "+" => Broadcast::Last,
            "-" => Broadcast::First,
            text => Broadcast::Address(text.parse().map_err(|_| bad(option, "an IPv4 address, `+` or `-`"))?),
        }))
    }

    fn dhcp(&mut self) -> Result<DhcpOptions, InterfacesError> {
        let seconds: Option<u64> = self.parse("leasetime", "a number of seconds")?;
        let hours: Option<u64> = self.parse("leasehours", "a number of hours")?;
        Ok(DhcpOptions {
            client: self.text("client")?,
            hostname: self.text("hostname")?,
            metric: self.parse("metric", "a number")?,
            lease_seconds: seconds.or(hours.map(|hours| hours.saturating_mul(3600))),
            vendor: self.text("vendor")?,
        })
    }

    fn v6(&mut self) -> Result<V6Options, InterfacesError> {
        Ok(V6Options {
            accept_ra: self.small("accept_ra", 2, "0, 1 or 2")?,
            autoconf: self.small("autoconf", 1, "0 or 1")?,
            privext: self.small("privext", 2, "0, 1 or 2")?,
            dhcp: self.small("dhcp", 1, "0 or 1")?,
            request_prefix: self.small("request_prefix", 1, "0 or 1")?,
            dad_attempts: self.parse("dad-attempts", "a number")?,
            preferred_lifetime: self.text("preferred-lifetime")?,
        })
    }

    fn hwaddress(&mut self) -> Result<Option<HwAddressOption>, InterfacesError> {
        let Some(option) = self.one("hwaddress")? else { return Ok(None) };
        if option.value == "random" {
            return Ok(Some(HwAddressOption::Random));
        }
        let mut words = option.value.split(' ');
        let (class, rest) = (words.next().unwrap_or_default(), words.next());
        let address = if class.eq_ignore_ascii_case("ether") { rest.unwrap_or_default() } else { class };
        let fixed = address.parse().map_err(|_| bad(option, "an Ethernet address or `random`"))?;
        Ok(Some(HwAddressOption::Fixed(fixed)))
    }

    fn dns(&mut self) -> Result<Dns, InterfacesError> {
        let mut dns = Dns::default();
        for option in &self.options {
            match option.name.as_str() {
                "dns-nameserver" | "dns-nameservers" => {
                    for word in option.value.split_ascii_whitespace() {
                        // A link-local server carries its zone: fe80::1%eno1.
                        let address = word.split('%').next().unwrap_or_default();
                        dns.nameservers.push(address.parse().map_err(|_| bad(option, "IP addresses"))?);
                    }
                }
                "dns-search" | "dns-domain" => {
                    dns.search.extend(option.value.split_ascii_whitespace().map(str::to_owned));
                }
                _ => continue,
            }
            self.taken.push(option.name.clone());
        }
        Ok(dns)
    }

    fn bridge(&mut self) -> Option<BridgeOptions> {
        let mut ports = None;
        let mut others = Vec::new();
        for option in &self.options {
            let name = option.name.replace('-', "_");
            if !name.starts_with("bridge_") {
                continue;
            }
            self.taken.push(option.name.clone());
            if name == "bridge_ports" {
                let words = option.value.split_ascii_whitespace().filter(|word| *word != "none");
                ports.get_or_insert_with(Vec::new).extend(words.map(str::to_owned));
            } else {
                others.push((name, option.value.clone()));
            }
        }
        ports.map(|ports| BridgeOptions { ports, others })
    }

    fn hooks(&self) -> Vec<Hook> {
        let hooks = self.options.iter().filter(|option| is_hook(&option.name));
        hooks
            .map(|option| Hook {
                phase: option.name.clone(),
                command: option.value.clone(),
                at: option.at.clone(),
            })
            .collect()
    }

    fn others(self) -> Vec<(String, String)> {
        let Self { options, taken } = self;
        let left =
            options.into_iter().filter(|option| !is_hook(&option.name) && !taken.contains(&option.name));
        left.map(|option| (option.name, option.value)).collect()
    }
}

fn bad(option: &Effective, expected: &'static str) -> InterfacesError {
    let (option, value, at) = (option.name.clone(), option.value.clone(), option.at.clone());
    InterfacesError::Value { at, option, value, expected }
}

fn v4_address(option: &Effective, netmask: Option<&Effective>) -> Result<(IpAddr, u8), InterfacesError> {
    let (text, own) = split_prefix(&option.value);
    let address: Ipv4Addr =
        text.parse().map_err(|_| bad(option, "an IPv4 address, with or without /PREFIX"))?;
    let prefix = match (netmask, own) {
        // A netmask that is written wins over the prefix, as in ifupdown (`=netmask?`).
        (Some(netmask), _) => v4_prefix(&netmask.value)
            .ok_or_else(|| bad(netmask, "a netmask such as 255.255.255.0, or 0 to 32"))?,
        (None, Some(own)) => v4_prefix(own).ok_or_else(|| bad(option, "a prefix from 0 to 32"))?,
        (None, None) => match address.octets()[0] {
            0..=127 => 8,
            128..=191 => 16,
            192..=223 => 24,
            _ => 32,
        },
    };
    Ok((IpAddr::V4(address), prefix))
}

fn v4_prefix(text: &str) -> Option<u8> {
    if let Ok(mask) = text.parse::<Ipv4Addr>() {
        let bits = mask.to_bits();
        let prefix = bits.leading_ones();
        let contiguous = bits.checked_shl(prefix).unwrap_or(0) == 0;
        return contiguous.then_some(prefix as u8);
    }
    text.parse().ok().filter(|prefix| *prefix <= 32)
}

fn v6_address(option: &Effective, netmask: Option<&Effective>) -> Result<(IpAddr, u8), InterfacesError> {
    let (text, own) = split_prefix(&option.value);
    let address: Ipv6Addr =
        text.parse().map_err(|_| bad(option, "an IPv6 address, with or without /PREFIX"))?;
    let prefix = |text: &str| text.parse::<u8>().ok().filter(|prefix| *prefix <= 128);
    let prefix = match (netmask, own) {
        (Some(netmask), _) => prefix(&netmask.value).ok_or_else(|| bad(netmask, "0 to 128"))?,
        (None, Some(own)) => prefix(own).ok_or_else(|| bad(option, "a prefix from 0 to 128"))?,
        (None, None) => 128,
    };
    Ok((IpAddr::V6(address), prefix))
}

fn split_prefix(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)))
}
