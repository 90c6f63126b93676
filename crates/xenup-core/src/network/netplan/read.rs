//! One file of netplan's, as it is written. Decides types; never what another file says.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::NetplanDevice;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    network: Option<Network>,
}

/// `network:`, as far as a change has to know it; netplan itself judges the rest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Network {
    pub renderer: Option<String>,
    ethernets: Section,
    wifis: Section,
    modems: Section,
    bonds: Section,
    bridges: Section,
    vlans: Section,
    vrfs: Section,
    tunnels: Section,
}

type Section = Option<BTreeMap<String, Option<Said>>>;

/// What one file says of a device.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Said {
    renderer: Option<String>,
    #[serde(rename = "match")]
    matches: Option<BTreeMap<String, OneOrMany>>,
    set_name: Option<String>,
    dhcp4: Option<bool>,
    dhcp6: Option<bool>,
    accept_ra: Option<bool>,
    addresses: Option<Vec<Address>>,
    gateway4: Option<String>,
    gateway6: Option<String>,
    nameservers: Option<Nameservers>,
    routes: Option<Vec<Route>>,
    interfaces: Option<Vec<String>>,
    macaddress: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `192.0.2.10/24`, or `192.0.2.10/24: {lifetime: 0}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Address {
    Plain(String),
    WithOptions(BTreeMap<String, IgnoredAny>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nameservers {
    addresses: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Route {
    to: Option<String>,
    via: Option<String>,
}

/// Reads a file. An empty one, or one without `network:`, says nothing.
pub(super) fn network(text: &str) -> Result<Network, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Network::default());
    }
    let document: Document = serde_saphyr::from_str(text).map_err(|error| first_line(&error.to_string()))?;
    Ok(document.network.unwrap_or_default())
}

/// The library shows the text around the fault as well; a finding has the line's number for that.
fn first_line(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl Network {
    /// Returns the devices with the section each is in.
    pub fn devices(self) -> impl Iterator<Item = (&'static str, String, Said)> {
        let sections = [
            ("ethernets", self.ethernets),
            ("wifis", self.wifis),
            ("modems", self.modems),
            ("bonds", self.bonds),
            ("bridges", self.bridges),
            ("vlans", self.vlans),
            ("vrfs", self.vrfs),
            ("tunnels", self.tunnels),
        ];
        sections.into_iter().flat_map(|(name, section)| {
            let devices = section.unwrap_or_default().into_iter();
            devices.map(move |(id, said)| (name, id, said.unwrap_or_default()))
        })
    }
}

impl Said {
    /// Adds to what earlier files said.
    pub fn merge_into(self, device: &mut NetplanDevice) {
        if let Some(renderer) = self.renderer {
            device.renderer = renderer;
        }
        for (key, value) in self.matches.into_iter().flatten() {
            let value = match value {
                OneOrMany::One(value) => value,
                OneOrMany::Many(values) => values.join(" "),
            };
            device.matches.insert(key, value);
        }
        device.set_name = self.set_name.or(device.set_name.take());
        device.dhcp4 = self.dhcp4.unwrap_or(device.dhcp4);
        device.dhcp6 = self.dhcp6.unwrap_or(device.dhcp6);
        device.accept_ra = self.accept_ra.or(device.accept_ra);
        device.gateway4 = self.gateway4.or(device.gateway4.take());
        device.gateway6 = self.gateway6.or(device.gateway6.take());
        device.mac = self.macaddress.or(device.mac.take());
        let addresses = self.addresses.into_iter().flatten().flat_map(|address| match address {
            Address::Plain(address) => vec![address],
            Address::WithOptions(map) => map.into_keys().collect(),
        });
        join(&mut device.addresses, addresses);
        join(&mut device.nameservers, self.nameservers.and_then(|said| said.addresses).into_iter().flatten());
        join(&mut device.interfaces, self.interfaces.into_iter().flatten());
        let routes = self.routes.into_iter().flatten();
        let routes = routes.map(|route| (route.to.unwrap_or_default(), route.via.unwrap_or_default()));
        join(&mut device.routes, routes);
    }
}

fn join<T: PartialEq>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}
