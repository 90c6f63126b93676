//! From facts to what is drawn.
//!
//! Decides: the order (bridges first, each followed by its ports; then what belongs to nobody) and which links are
//! guests'. Facts: a back-end of xen-netback is called vifD.N, that of an emulated NIC vifD.N-emu.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::network::{Link, Network};

use super::declared::declared;
use super::owners::owners;
use crate::inspect::Facts;
use crate::inspect::facts::{Owner, OwnerKind};

/// RT_TABLE_MAIN of rtnetlink(7).
const MAIN_TABLE: u32 = 254;

/// All links that are drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drawing {
    /// Each master before its ports.
    pub links: Vec<Drawn>,
    /// Links that a plan takes away, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A NIC.
    Nic,
    /// Several NICs as one.
    Bond,
    /// A VLAN on another link.
    Vlan,
    /// A bridge.
    Bridge,
    /// A guest's network interface, seen from dom0.
    Vif,
    /// Anything else.
    Other,
}

/// How a link differs from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    New,
    /// Master, addresses, gateways or the owner's files are others.
    Changed,
}

/// A guest's network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfGuest {
    /// The guest's number.
    pub id: u32,
    /// Its name, where a toolstack told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of its interfaces.
    pub device: u32,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drawn {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it is, in words: `NIC`, `VLAN 7 on eno1`, `veth`.
    pub what: String,
    /// Whether somebody set it up; `None` where no kernel can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Whether the medium is there.
    pub carrier: bool,
    /// Its address on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Where it is not 1500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The bridge or bond it is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The link below, where it is a VLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
    /// Addresses but those of the link alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Gateways of the default routes by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// Who configures it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
    /// The guest, where it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<OfGuest>,
    /// How it differs from before; only in a drawing of what a plan leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

impl Drawn {
    /// Returns a NIC of which nothing is known but its name.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Nic,
            what: "NIC".to_owned(),
            up: None,
            carrier: false,
            mac: None,
            mtu: None,
            master: None,
            below: None,
            addresses: Vec::new(),
            gateways: Vec::new(),
            owners: Vec::new(),
            guest: None,
            change: None,
        }
    }

    /// Returns whose interface it is, in words; nothing where it is no guest's.
    pub(super) fn guest_words(&self) -> Option<String> {
        let OfGuest { id, name, device } = self.guest.as_ref()?;
        let guest =
            name.as_ref().map_or_else(|| format!("guest {id}"), |name| format!("guest {name} ({id})"));
        let emulated = if self.name.ends_with("-emu") { "emulated " } else { "" };
        Some(format!("{guest}, {emulated}NIC {device}"))
    }
}

impl Drawing {
    /// Returns the ports of a link, in order.
    pub(super) fn ports<'a>(&'a self, master: &'a str) -> impl Iterator<Item = &'a Drawn> {
        self.links.iter().filter(move |link| link.master.as_deref() == Some(master))
    }

    /// Returns the links that are nobody's ports, in order.
    pub(super) fn tops(&self) -> impl Iterator<Item = &Drawn> {
        self.links.iter().filter(|link| link.master.is_none())
    }

    pub(super) fn link(&self, name: &str) -> Option<&Drawn> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Marks what differs from `before`.
    pub(super) fn compare(&mut self, before: &Self) {
        for link in &mut self.links {
            link.change = match before.link(&link.name) {
                None => Some(Change::New),
                Some(was) => {
                    let same = (&was.master, &was.addresses, &was.gateways, files(was))
                        == (&link.master, &link.addresses, &link.gateways, files(link));
                    (!same).then_some(Change::Changed)
                }
            };
        }
        let names: BTreeSet<&str> = self.links.iter().map(|link| link.name.as_str()).collect();
        let gone = before.links.iter().filter(|link| !names.contains(link.name.as_str()));
        self.gone = gone.map(|link| link.name.clone()).collect();
    }
}

/// The files of a link's owners: a line moves when another one is written above it.
fn files(link: &Drawn) -> Vec<(OwnerKind, &Path)> {
    let all = link.owners.iter().flat_map(|owner| owner.at.iter().map(|at| (owner.kind, at.path.as_path())));
    all.collect()
}

/// Draws the facts. A master that is a port of itself, by whatever way, is drawn as if it had none.
pub(super) fn draw(facts: &Facts) -> Drawing {
    let network = &facts.network.kernel;
    let mut drawn: Vec<Drawn> =
        network.links.iter().filter(|link| !link.loopback).map(|link| one(facts, network, link)).collect();
    if drawn.is_empty() {
        drawn = declared(facts);
    }
    let mut links = Vec::new();
    let mut placed = BTreeSet::new();
    let orphan =
        |link: &Drawn| link.master.as_deref().is_none_or(|master| drawn.iter().all(|one| one.name != master));
    let tops = drawn.iter().filter(|link| orphan(link));
    let (bridges, others): (Vec<&Drawn>, Vec<&Drawn>) = tops.partition(|link| link.kind == Kind::Bridge);
    for top in bridges.into_iter().chain(others) {
        place(top, None, &drawn, &mut placed, &mut links);
    }
    for link in &drawn {
        place(link, None, &drawn, &mut placed, &mut links);
    }
    Drawing { links, gone: Vec::new() }
}

/// Puts a link and its ports in order: NICs and what stands for them first, then guests.
fn place<'a>(
    link: &'a Drawn,
    master: Option<&str>,
    all: &'a [Drawn],
    placed: &mut BTreeSet<&'a str>,
    links: &mut Vec<Drawn>,
) {
    if !placed.insert(&link.name) {
        return;
    }
    links.push(Drawn { master: master.map(str::to_owned), ..link.clone() });
    let mut ports: Vec<&Drawn> = all.iter().filter(|one| one.master.as_deref() == Some(&link.name)).collect();
    ports.sort_by_key(|port| port.guest.as_ref().map(|guest| (guest.id, guest.device)));
    for port in ports {
        place(port, Some(&link.name), all, placed, links);
    }
}

fn one(facts: &Facts, network: &Network, link: &Link) -> Drawn {
    let guest = of_guest(facts, &link.name);
    let nic = facts.network.nic(&link.name);
    let (kind, what) = kind(link, guest.as_ref(), nic.is_some_and(|nic| nic.wireless));
    let gateways = network
        .routes_by(&link.name)
        .filter(|route| route.destination.is_none() && route.table == MAIN_TABLE);
    let addresses = network.addresses_on(&link.name).filter(|address| !address.is_link_local());
    Drawn {
        name: link.name.clone(),
        kind,
        what,
        up: Some(link.up),
        carrier: link.carrier,
        mac: link.mac.filter(|_| guest.is_none()).map(|mac| mac.to_string()),
        mtu: (link.mtu != 1500).then_some(link.mtu),
        master: link.master.clone(),
        below: link.vlan.as_ref().map(|vlan| vlan.below.clone()),
        addresses: addresses.map(ToString::to_string).collect(),
        gateways: gateways
            .map(|route| route.gateway.map_or_else(|| "the link itself".to_owned(), |ip| ip.to_string()))
            .collect(),
        owners: owners(facts, &link.name),
        guest,
        change: None,
    }
}

fn kind(link: &Link, guest: Option<&OfGuest>, wireless: bool) -> (Kind, String) {
    if guest.is_some() {
        return (Kind::Vif, "vif".to_owned());
    }
    if let Some(bridge) = link.bridge {
        let what = if bridge.vlan_filtering { "VLAN-aware bridge" } else { "bridge" };
        return (Kind::Bridge, what.to_owned());
    }
    let (kind, what) = without_vlans(link, wireless);
    if link.vlans.is_empty() {
        return (kind, what);
    }
    let vlans: Vec<String> = link.vlans.iter().map(ToString::to_string).collect();
    (kind, format!("{what} for VLANs {}", vlans.join(", ")))
}

fn without_vlans(link: &Link, wireless: bool) -> (Kind, String) {
    match (link.kind.as_deref(), &link.vlan) {
        (Some("bond"), _) => (Kind::Bond, "bond".to_owned()),
        (_, Some(vlan)) => (Kind::Vlan, format!("VLAN {} on {}", vlan.tag, vlan.below)),
        (None, _) if wireless => (Kind::Nic, "wireless NIC".to_owned()),
        (None, _) => (Kind::Nic, "NIC".to_owned()),
        (Some("bridge"), _) => (Kind::Bridge, "bridge".to_owned()),
        (Some(other), _) => (Kind::Other, other.to_owned()),
    }
}

/// The guest of a back-end, by the link's name; its own name as the toolstack told it.
fn of_guest(facts: &Facts, link: &str) -> Option<OfGuest> {
    let (id, device) = link.strip_prefix("vif")?.split_once('.')?;
    let device = device.strip_suffix("-emu").unwrap_or(device);
    let (id, device) = (id.parse().ok()?, device.parse().ok()?);
    let known = facts.xen.domains.iter().find(|domain| domain.id == id);
    Some(OfGuest { id, name: known.map(|domain| domain.name.clone()), device })
}
