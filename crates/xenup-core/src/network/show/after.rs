//! What a plan leaves of a network: its link operations and its files, done to the facts.
//!
//! Decides: what each operation does to links, addresses and routes, as far as it is drawn. Never: touches a machine.

use std::path::PathBuf;

use xenup_engine::action::{Action, FileState, LineEdit};
use xenup_machine::network::{Address, Link, LinkAddress, LinkOp, Network, Vlan, VlanRange};

use super::owners::named;
use crate::inspect::Facts;
use crate::inspect::facts::{ConfigFile, Owner};

/// An action that does not fit the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// A link that is not there.
    #[error("the plan says `{op}`, but there is no link {link} here")]
    NoLink {
        /// The operation, as ip(8) would have it.
        op: String,
        /// The link.
        link: String,
    },
    /// Lines of a file that is another one.
    #[error("the plan edits lines of {} that are not there", .0.display())]
    NoLine(PathBuf),
}

/// Returns the facts as the actions leave them, as far as the network goes.
///
/// # Errors
/// An action that does not fit.
pub(super) fn after<'a>(
    facts: &Facts,
    actions: impl IntoIterator<Item = &'a Action>,
) -> Result<Facts, NotFollowed> {
    let mut left = facts.clone();
    let (mut changed, mut pairs) = (Vec::new(), Vec::new());
    for action in actions {
        match action {
            Action::Links { ops, .. } => {
                for op in ops {
                    change(&mut left.network.kernel, &mut pairs, op)?;
                }
            }
            Action::File { path, state, .. } if is_owners(path) => {
                file(&mut left.network.files, path, state)?;
                changed.push(path.clone());
            }
            _ => {}
        }
    }
    let Facts { network, .. } = &mut left;
    for nic in &mut network.nics {
        nic.master = network.kernel.link(&nic.name).and_then(|link| link.master.clone());
        nic.owners = owners(&nic.owners, &network.files, &changed, &nic.name);
    }
    Ok(left)
}

fn is_owners(path: &std::path::Path) -> bool {
    let unit = path.extension().is_some_and(|end| end == "network" || end == "netdev");
    path.starts_with("/etc/network") || (path.starts_with("/etc/systemd/network") && unit)
}

fn file(files: &mut Vec<ConfigFile>, path: &PathBuf, state: &FileState) -> Result<(), NotFollowed> {
    let was = files.iter().position(|file| file.path == *path).map(|at| files.remove(at));
    let text = match state {
        FileState::Text { text, .. } => text.clone(),
        FileState::Edited { lines } => was
            .and_then(|file| LineEdit::apply_all(lines, &file.text))
            .ok_or_else(|| NotFollowed::NoLine(path.clone()))?,
        _ => return Ok(()),
    };
    files.push(ConfigFile { path: path.clone(), text });
    Ok(())
}

/// Places in files that stay as they are go on; those of changed files are looked up anew. A file of networkd's that
/// the plan makes for the NIC comes first, so that the older one is not read any more.
fn owners(before: &[Owner], files: &[ConfigFile], changed: &[PathBuf], nic: &str) -> Vec<Owner> {
    let is_changed = |owner: &mut Owner, wanted: bool| {
        owner.at.retain(|at| changed.contains(&at.path) == wanted);
        !owner.at.is_empty()
    };
    let mut new = named(files, nic);
    new.retain_mut(|owner| is_changed(owner, true));
    let mut old = before.to_vec();
    old.retain_mut(|owner| is_changed(owner, false));
    old.retain(|owner| {
        new.iter().all(|other| other.kind != owner.kind)
            || owner.kind == crate::inspect::facts::OwnerKind::Ifupdown
    });
    for owner in new {
        match old.iter_mut().find(|known| known.kind == owner.kind) {
            Some(known) => known.at.extend(owner.at),
            None => old.push(owner),
        }
    }
    old
}

/// The two ends of each veth that the plan made.
type Pairs = Vec<[String; 2]>;

fn change(network: &mut Network, pairs: &mut Pairs, op: &LinkOp) -> Result<(), NotFollowed> {
    match op {
        LinkOp::CreateBridge { link, mac, bridge } => {
            network.links.push(Link { bridge: Some(*bridge), mac: Some(*mac), ..made(link, "bridge") });
        }
        LinkOp::CreateVeth { link, peer } => {
            network.links.push(made(link, "veth"));
            network.links.push(made(peer, "veth"));
            pairs.push([link.clone(), peer.clone()]);
        }
        LinkOp::CreateVlan { link, below, tag } => {
            let under = get(network, op, below)?.clone();
            let vlan = Some(Vlan { below: below.clone(), tag: *tag });
            network.links.push(Link { vlan, mac: under.mac, mtu: under.mtu, ..made(link, "vlan") });
        }
        LinkOp::Delete { link } => delete(network, pairs, link),
        LinkOp::SetUp { link, up } => {
            let found = get(network, op, link)?;
            (found.up, found.carrier) = (*up, found.carrier || *up);
        }
        LinkOp::SetMaster { link, master } => get(network, op, link)?.master.clone_from(master),
        LinkOp::AddVlans { link, vlans } => {
            let port = get(network, op, link)?;
            port.vlans = VlanRange::joined(port.vlans.iter().copied().chain([*vlans]).collect());
        }
        LinkOp::SetMtu { link, mtu } => get(network, op, link)?.mtu = *mtu,
        LinkOp::SetIpv6 { link, enabled } => {
            get(network, op, link)?;
            if !enabled {
                network.addresses.retain(|entry| entry.link != *link || entry.address.ip.is_ipv4());
                network.routes.retain(|route| route.link.as_ref() != Some(link) || !route.ipv6);
            }
        }
        LinkOp::AddAddress { link, address } => {
            get(network, op, link)?;
            network.addresses.retain(|entry| !(entry.link == *link && is_same(&entry.address, address)));
            network.addresses.push(LinkAddress { link: link.clone(), address: address.clone() });
        }
        LinkOp::DeleteAddress { link, address } => {
            network.addresses.retain(|entry| !(entry.link == *link && is_same(&entry.address, address)));
            // Routes that prefer the address as source go with it.
            let elsewhere = network.addresses.iter().any(|entry| entry.address.ip == address.ip);
            network.routes.retain(|route| route.source != Some(address.ip) || elsewhere);
        }
        LinkOp::ReplaceRoute { route } => {
            let place = |route: &xenup_machine::network::Route| {
                (route.ipv6, route.destination, route.metric, route.table)
            };
            let stands = route.stands_beside_others();
            network
                .routes
                .retain(|there| place(there) != place(route) || (stands && there.link != route.link));
            network.routes.push(route.clone());
        }
        LinkOp::DeleteRoute { route } => network.routes.retain(|there| there != route),
        LinkOp::SetIpv6Generation { .. }
        | LinkOp::CopySettings { .. }
        | LinkOp::WaitUp { .. }
        | LinkOp::Announce { .. } => {}
    }
    Ok(())
}

fn is_same(one: &Address, other: &Address) -> bool {
    (one.ip, one.prefix) == (other.ip, other.prefix)
}

fn get<'a>(network: &'a mut Network, op: &LinkOp, name: &str) -> Result<&'a mut Link, NotFollowed> {
    let found = network.links.iter_mut().find(|link| link.name == name);
    found.ok_or_else(|| NotFollowed::NoLink { op: op.to_string(), link: name.to_owned() })
}

/// A veth goes with its other end.
fn delete(network: &mut Network, pairs: &Pairs, name: &str) {
    let pair = pairs.iter().find(|pair| pair.iter().any(|end| end == name));
    let gone = pair.map_or_else(|| vec![name.to_owned()], |pair| pair.to_vec());
    network.links.retain(|link| !gone.contains(&link.name));
    network.addresses.retain(|entry| !gone.contains(&entry.link));
    network.routes.retain(|route| !route.link.as_ref().is_some_and(|link| gone.contains(link)));
    for link in &mut network.links {
        link.master = link.master.take().filter(|master| !gone.contains(master));
    }
}

fn made(name: &str, kind: &str) -> Link {
    Link {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        loopback: false,
        mac: None,
        permanent_mac: None,
        up: false,
        carrier: false,
        operstate: "down".to_owned(),
        mtu: 1500,
        master: None,
        bridge: None,
        vlan: None,
        vlans: Vec::new(),
        large_receive: false,
        ipv6_generation: None,
        alternative_names: Vec::new(),
    }
}
