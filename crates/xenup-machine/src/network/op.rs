//! The operations that change the kernel's network, each also as the ip(8) command that would do the same.
//!
//! Decides: their form and their words. Never carries one out.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Address, Bridge, Mac, Route, VlanRange};

/// Settings under `net.ipv6.conf` that say how a link gets addresses and routes: what ifupdown sets for its stanzas
/// (`accept_ra`, `autoconf`, `privext`), and whether it has IPv6 at all.
pub const IPV6_SETTINGS: [&str; 4] = ["accept_ra", "autoconf", "use_tempaddr", "disable_ipv6"];
/// Settings under `net.ipv4.conf` that say which packets a link takes and what it answers for.
pub const IPV4_SETTINGS: [&str; 4] = ["rp_filter", "arp_ignore", "arp_announce", "proxy_arp"];

/// One operation on the kernel's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LinkOp {
    /// Creates a bridge, down, with this address and no delay.
    CreateBridge {
        /// Name.
        link: String,
        /// Address; kept when ports come and go.
        mac: Mac,
        /// Settings.
        bridge: Bridge,
    },
    /// Creates a pair of virtual Ethernet links, down.
    CreateVeth {
        /// One end.
        link: String,
        /// The other end.
        peer: String,
    },
    /// Creates a VLAN on a link, down.
    CreateVlan {
        /// Name.
        link: String,
        /// The link below.
        below: String,
        /// The tag, 1 to 4094.
        tag: u16,
    },
    /// Deletes a virtual link.
    Delete {
        /// Name.
        link: String,
    },
    /// Sets a link up or down.
    SetUp {
        /// Name.
        link: String,
        /// Up or down.
        up: bool,
    },
    /// Makes a link a port of a bridge, or of none.
    SetMaster {
        /// Name.
        link: String,
        /// The bridge.
        master: Option<String>,
    },
    /// Lets a port of a VLAN-aware bridge carry VLANs, with their tags; those that it carries already stay.
    AddVlans {
        /// The port.
        link: String,
        /// The VLANs.
        vlans: VlanRange,
    },
    /// Sets the MTU.
    SetMtu {
        /// Name.
        link: String,
        /// Bytes.
        mtu: u32,
    },
    /// Sets how IPv6 link-local addresses are made (see [`Link::ipv6_generation`]).
    SetIpv6Generation {
        /// Name.
        link: String,
        /// Mode.
        mode: u8,
    },
    /// Turns IPv6 on a link on or off (`net.ipv6.conf.LINK.disable_ipv6`): off takes its addresses away.
    SetIpv6 {
        /// Name.
        link: String,
        /// On or off.
        enabled: bool,
    },
    /// Gives a link the [`IPV6_SETTINGS`] and [`IPV4_SETTINGS`] of another, which keeps its own.
    CopySettings {
        /// Whose settings.
        from: String,
        /// Who gets them.
        to: String,
    },
    /// Adds an address; one that is there already is replaced. IPv6 without duplicate address detection.
    AddAddress {
        /// Link.
        link: String,
        /// Address.
        address: Address,
    },
    /// Deletes an address; one that is not there is no error.
    DeleteAddress {
        /// Link.
        link: String,
        /// Address.
        address: Address,
    },
    /// Makes a route. It takes the place of the one of the same destination, metric and table, except where routes
    /// stand beside each other ([`Route::stands_beside_others`]): there one by another link stays.
    ReplaceRoute {
        /// Route.
        route: Route,
    },
    /// Deletes a route; one that is not there is no error.
    DeleteRoute {
        /// Route.
        route: Route,
    },
    /// Waits until a link's operational state is `up`.
    WaitUp {
        /// Name.
        link: String,
        /// Milliseconds at most.
        at_most_ms: u32,
    },
    /// Tells neighbours where an address now is (gratuitous ARP, unsolicited neighbour advertisement).
    Announce {
        /// Link.
        link: String,
        /// Address.
        ip: IpAddr,
    },
}

impl fmt::Display for LinkOp {
    /// Writes the operation as the ip(8) command that would do the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge { link, mac, bridge } => write!(
                f,
                "ip link add {link} address {mac} type bridge stp_state {} forward_delay {}{}",
                u8::from(bridge.stp),
                bridge.forward_delay,
                // Off is what a new bridge has, and a kernel without the option refuses even to be told so.
                if bridge.vlan_filtering { " vlan_filtering 1" } else { "" }
            ),
            Self::CreateVeth { link, peer } => write!(f, "ip link add {link} type veth peer name {peer}"),
            Self::CreateVlan { link, below, tag } => {
                write!(f, "ip link add link {below} name {link} type vlan id {tag}")
            }
            Self::Delete { link } => write!(f, "ip link delete {link}"),
            Self::SetUp { link, up } => write!(f, "ip link set {link} {}", if *up { "up" } else { "down" }),
            Self::SetMaster { link, master: Some(master) } => write!(f, "ip link set {link} master {master}"),
            Self::SetMaster { link, master: None } => write!(f, "ip link set {link} nomaster"),
            Self::AddVlans { link, vlans } => write!(f, "bridge vlan add dev {link} vid {vlans}"),
            Self::SetMtu { link, mtu } => write!(f, "ip link set {link} mtu {mtu}"),
            Self::SetIpv6Generation { link, mode } => {
                write!(f, "ip link set {link} addrgenmode {}", generation(*mode))
            }
            Self::SetIpv6 { link, enabled } => {
                write!(f, "sysctl -w net.ipv6.conf.{link}.disable_ipv6={}", u8::from(!enabled))
            }
            Self::CopySettings { from, to } => write!(
                f,
                "# set net.ipv6.conf.{to}.{{{}}} and net.ipv4.conf.{to}.{{{}}} as they are on {from}",
                IPV6_SETTINGS.join(","),
                IPV4_SETTINGS.join(",")
            ),
            Self::AddAddress { link, address } => write_address(f, "replace", link, address),
            Self::DeleteAddress { link, address } => write!(f, "ip address delete {address} dev {link}"),
            Self::ReplaceRoute { route } => {
                let verb = if route.stands_beside_others() { "append" } else { "replace" };
                write!(f, "ip {}route {verb} {route}", family(route.ipv6))
            }
            Self::DeleteRoute { route } => write!(f, "ip {}route delete {route}", family(route.ipv6)),
            Self::WaitUp { link, at_most_ms } => {
                write!(f, "# wait until {link} is operational, {at_most_ms} ms at most")
            }
            Self::Announce { link, ip: IpAddr::V4(ip) } => write!(f, "arping -U -c 1 -I {link} {ip}"),
            Self::Announce { link, ip } => {
                write!(f, "# announce {ip} on {link} by a neighbour advertisement")
            }
        }
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, verb: &str, link: &str, address: &Address) -> fmt::Result {
    match address.peer {
        Some(peer) => {
            write!(f, "ip address {verb} {} peer {peer}/{} dev {link}", address.ip, address.prefix)?
        }
        None => write!(f, "ip address {verb} {address} dev {link}")?,
    }
    if let Some(label) = &address.label {
        write!(f, " label {label}")?;
    }
    if let Some(broadcast) = address.broadcast {
        write!(f, " broadcast {broadcast}")?;
    }
    if let Some(valid) = address.valid {
        write!(f, " valid_lft {valid}")?;
    }
    if let Some(preferred) = address.preferred {
        write!(f, " preferred_lft {preferred}")?;
    }
    if address.ip.is_ipv6() { write!(f, " nodad") } else { Ok(()) }
}

fn family(ipv6: bool) -> &'static str {
    if ipv6 { "-6 " } else { "" }
}

fn generation(mode: u8) -> &'static str {
    match mode {
        0 => "eui64",
        1 => "none",
        2 => "stable_secret",
        _ => "random",
    }
}
