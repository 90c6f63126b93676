//! Who owns each NIC's configuration.
//!
//! Decides: by each program's own rules and by whether it is there to apply them.
//! Never: decides which of two owners wins.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::facts::{AbsentNic, At, ConfigFile, NetworkFacts, Nic, Owner, OwnerKind, Packages};
use super::super::processes::Process;
use super::super::reader::Reader;
use super::{keep, manager, netplan, networkd};
use crate::network::interfaces::glob::Pattern;
use crate::network::interfaces::{InterfacesTree, MAIN, Selector, load_of};
use crate::network::netplan::merged;
use crate::network::networkd::{DIRECTORIES, Device, Host, Tree, Unit, is_ours};

/// Fills in the owners of all NICs, the files they were read from, and the names that no link has.
pub(super) fn gather(
    reader: &Reader<'_>,
    packages: &Packages,
    active: &[String],
    processes: &[Process],
    host: &Host,
    facts: &mut NetworkFacts,
) {
    ifupdown(reader, packages, facts);
    let runtime = netplans(reader, packages, facts);
    networkd_files(reader, active, host, runtime, facts);
    manager::keep_files(reader, &mut facts.files);
    let manager = active.iter().any(|unit| unit == "NetworkManager.service")
        || processes.iter().any(|process| process.name == "NetworkManager");
    if manager {
        manager::gather(reader, facts);
    }
}

pub(super) fn add(nic: &mut Nic, kind: OwnerKind, at: impl IntoIterator<Item = At>) {
    match nic.owners.iter_mut().find(|owner| owner.kind == kind) {
        Some(owner) => owner.at.extend(at),
        None => nic.owners.push(Owner { kind, at: at.into_iter().collect() }),
    }
}

fn ifupdown(reader: &Reader<'_>, packages: &Packages, facts: &mut NetworkFacts) {
    let installed =
        ["ifupdown", "ifupdown2", "ifupdown-ng"].iter().any(|name| packages.version(name).is_some());
    if !reader.exists(MAIN) {
        return;
    }
    let tree = match load_of(reader.probe) {
        Ok(tree) => tree,
        Err(error) => {
            if installed {
                facts.interfaces_error = Some(error.to_string());
            }
            return;
        }
    };
    for file in tree.files() {
        facts.files.push(ConfigFile { path: file.path().to_owned(), text: file.text().to_owned() });
    }
    if !installed {
        return;
    }
    for nic in &mut facts.nics {
        let lines = lines_of(&tree, &nic.name);
        if !lines.is_empty() {
            add(nic, OwnerKind::Ifupdown, lines);
        }
    }
    absent_interfaces(&tree, facts);
}

/// The lines that configure an interface or bring it up.
fn lines_of(tree: &InterfacesTree, name: &str) -> BTreeSet<At> {
    let mut lines: BTreeSet<At> = tree.stanzas_of(name).map(|view| At::from(&view.place())).collect();
    for selection in tree.selections() {
        let brings_up = matches!(selection.selector, Selector::Allow(_));
        // `auto /en*` names every link that fits; `auto /en*/1` picks one of them, which counts as naming it.
        let pattern = selection.name.strip_prefix('/').map(|rest| rest.split('/').next().unwrap_or(rest));
        let fits = match pattern {
            Some(pattern) => Pattern::new(pattern).matches(name),
            None => selection.name == name || selection.name.split('=').next() == Some(name),
        };
        if brings_up && fits {
            lines.insert(At::from(&selection.at));
        }
    }
    lines
}

/// Options by which a stanza makes its own link.
const MAKES_LINK: [&str; 5] = ["bridge", "bond", "vlan", "vxlan", "tunnel"];

/// Names that `auto` brings up with a stanza, but that no link has and no stanza makes.
fn absent_interfaces(tree: &InterfacesTree, facts: &mut NetworkFacts) {
    if facts.kernel.links.is_empty() {
        return;
    }
    for name in tree.class("auto") {
        if facts.kernel.link(name).is_some() || name.contains(['.', ':', '/', '*']) || name == "lo" {
            continue;
        }
        let Some(first) = tree.stanzas_of(name).next() else { continue };
        let made = tree.stanzas_of(name).any(|view| {
            let method = matches!(view.method, "tunnel" | "v4tunnel" | "6to4" | "ppp" | "wvdial");
            method
                || tree.options(view.id).iter().any(|option| {
                    let family = option.name.split(['-', '_']).next().unwrap_or_default();
                    MAKES_LINK.contains(&family) || option.value.contains("link add")
                })
        });
        if !made {
            let (name, owner) = (name.to_owned(), OwnerKind::Ifupdown);
            facts.absent.push(AbsentNic { name, owner, at: At::from(&first.place()) });
        }
    }
}

/// Returns whether netplan is there to apply its files.
fn netplans(reader: &Reader<'_>, packages: &Packages, facts: &mut NetworkFacts) -> bool {
    let installed = ["netplan.io", "netplan-generator"].iter().any(|name| packages.version(name).is_some());
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in ["/etc/netplan", "/run/netplan", "/usr/lib/netplan"] {
        paths.extend(reader.ending(directory, ".yaml"));
    }
    for path in paths {
        let Some(bytes) = reader.bytes(&path) else { continue };
        let Some(text) = keep(reader, &mut facts.files, &path, bytes) else { continue };
        if installed {
            netplan_file(&path, &text, facts);
        }
    }
    if installed {
        match merged(&facts.files) {
            Ok(devices) => facts.netplan = devices,
            Err(error) => reader.missed(error.path.display().to_string(), error.cause),
        }
    }
    installed
}

fn netplan_file(path: &Path, text: &str, facts: &mut NetworkFacts) {
    let devices = netplan::devices(text);
    for nic in &mut facts.nics {
        let mac = facts.kernel.link(&nic.name).and_then(|link| link.mac).map(|mac| mac.to_string());
        let lines: Vec<At> = match &devices {
            Some(devices) => devices
                .iter()
                .filter(|device| device.is_about(nic, mac.clone()))
                .map(|device| At { path: path.to_owned(), line: device.line })
                .collect(),
            None => netplan::named(path, text, &nic.name).into_iter().collect(),
        };
        if !lines.is_empty() {
            add(nic, OwnerKind::Netplan, lines);
        }
    }
    let absent = devices.unwrap_or_default().into_iter().filter(|device| {
        !device.matched && device.set_name.is_none() && facts.kernel.link(&device.id).is_none()
    });
    if !facts.kernel.links.is_empty() {
        facts.absent.extend(absent.map(|device| AbsentNic {
            name: device.id,
            owner: OwnerKind::Netplan,
            at: At { path: path.to_owned(), line: device.line },
        }));
    }
}

fn networkd_files(
    reader: &Reader<'_>,
    active: &[String],
    host: &Host,
    netplan: bool,
    facts: &mut NetworkFacts,
) {
    let (own, brought) = DIRECTORIES.split_at(2);
    networkd::keep_files(reader, &mut facts.files, own);
    let wanted = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
    let active = active.iter().any(|unit| unit == "systemd-networkd.service");
    if !active && !reader.exists(wanted) {
        return;
    }
    networkd::keep_files(reader, &mut facts.files, brought);
    let tree = Tree::new(&facts.files, ".network");
    let mut owned = Vec::new();
    for nic in &mut facts.nics {
        let link = facts.kernel.link(&nic.name);
        let taken = tree.taken(&Device::nic(nic, link), host);
        // A condition that cannot be told may be met: to miss an owner is worse than to name one too many.
        let managed = taken.unit.filter(|unit| !unit.is_unmanaged()).map(Unit::matched_at);
        let Some(at) = taken.uncertain.into_iter().next().or(managed) else { continue };
        // What netplan wrote for networkd is netplan's, also while a file of ours comes before it.
        let name = at.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let outranked = taken.unit.is_some_and(is_ours);
        let of_netplan = netplan && (outranked || name.starts_with("10-netplan-"));
        // After a switch the bridge has the client.
        owned.push(link.and_then(|link| link.master.clone()).unwrap_or_else(|| nic.name.clone()));
        if of_netplan && nic.owners.iter().any(|owner| owner.kind == OwnerKind::Netplan) {
            continue;
        }
        let kind = if of_netplan && !outranked { OwnerKind::Netplan } else { OwnerKind::Networkd };
        add(nic, kind, [at]);
    }
    if active {
        facts.networkd = owned.iter().filter_map(|link| networkd::client(reader, link)).collect();
    }
}
