//! What a .network file declares, as far as a change has to know it. Decides meanings; never where they go.

use std::net::IpAddr;

use super::tree::Unit;
use crate::network::units::boolean;

/// What a file declares for a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Static addresses, without their prefix lengths.
    pub addresses: Vec<IpAddr>,
    /// Whether a DHCPv4 client runs.
    pub dhcp4: bool,
    /// Whether a DHCPv6 client runs, or runs where a router says so.
    pub dhcp6: bool,
    /// Whether the DHCPv4 client is known to its server by the link's IAID: unless the file names another way.
    pub by_iaid4: bool,
    /// The same of the DHCPv6 client.
    pub by_iaid6: bool,
}

impl Declared {
    /// Returns what a file declares.
    #[must_use]
    pub fn of(unit: &Unit) -> Self {
        let dhcp = unit.last("Network", "DHCP").map_or("", |line| line.setting.value.as_str());
        let on = boolean(dhcp) == Some(true) || dhcp == "both";
        let set = |section: &str, key: &str| {
            let value = unit.last(section, key).map(|line| line.setting.value.as_str());
            value.filter(|value| !value.is_empty())
        };
        // [DHCP] is the older name of [DHCPv4].
        let v4 = |key: &str| set("DHCPv4", key).or_else(|| set("DHCP", key));
        let advertised = set("Network", "IPv6AcceptRA").and_then(boolean) != Some(false);
        Self {
            addresses: addresses(unit),
            dhcp4: on || matches!(dhcp, "ipv4" | "v4"),
            dhcp6: on || matches!(dhcp, "ipv6" | "v6") || advertised,
            by_iaid4: v4("IAID").is_none() && !matches!(v4("ClientIdentifier"), Some("mac" | "duid-only")),
            by_iaid6: set("DHCPv6", "IAID").is_none(),
        }
    }
}

/// An empty assignment in [Network] takes back the addresses before it.
fn addresses(unit: &Unit) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in unit.lines() {
        let setting = &line.setting;
        if !matches!(setting.section.as_str(), "Network" | "Address") || setting.key != "Address" {
            continue;
        }
        if setting.value.is_empty() {
            found.clear();
        }
        found.extend(setting.value.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok()));
    }
    found
}
