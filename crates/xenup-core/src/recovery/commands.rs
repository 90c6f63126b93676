//! Each action's undo as commands that Debian has.

use std::path::Path;

use xenup_engine::action::{Action, FileState};
use xenup_engine::plan::Step;
use xenup_engine::snapshot::{FileSnapshot, Snapshot, Standing};
use xenup_machine::file::Kind;
use xenup_machine::network::{Link, LinkOp, Network};
use xenup_machine::process::Command;

/// Returns what a person types to undo a step; empty where nothing is to be done.
pub(super) fn undo(step: &Step, before: &Snapshot, store: &Path) -> Vec<String> {
    match (&step.action, before) {
        (Action::File { state, .. }, Snapshot::File(before)) => file(before, state, store),
        (Action::Packages { changes }, _) => {
            let new: Vec<&str> = changes
                .iter()
                .filter(|change| change.from.is_none())
                .map(|change| change.name.as_str())
                .collect();
            if new.is_empty() { Vec::new() } else { vec![format!("apt-get purge {}", new.join(" "))] }
        }
        (Action::Unit { unit, .. }, Snapshot::Unit { enabled, active }) => unit_back(unit, enabled, active),
        (Action::Links { touches, .. }, Snapshot::Links { network, .. }) => links(touches, network),
        (Action::BootVariable { name, .. }, Snapshot::BootVariable { value, .. }) => vec![match value {
            Some(value) => format!("grub-editenv - set {}", word(&format!("{name}={value}"))),
            None => format!("grub-editenv - unset {name}"),
        }],
        (Action::Run { backward: Some(backward), .. }, _) => vec![backward.line()],
        _ => Vec::new(),
    }
}

/// Returns what a person types to have back what a rollback has undone of a step; empty where nothing is to be done.
/// `kept` is what was there before the rollback, `undone` what it restored.
pub(super) fn bring_back(step: &Step, kept: &Snapshot, undone: &Snapshot, store: &Path) -> Vec<String> {
    match (&step.action, kept, undone) {
        (Action::File { .. }, Snapshot::File(kept), Snapshot::File(undone)) => {
            let path = word(&kept.path.display().to_string());
            let Some(there) = &kept.there else { return vec![format!("rm -f {path}")] };
            let dirs = undone
                .missing_parents
                .last()
                .map(|dir| format!("mkdir -p {}", word(&dir.display().to_string())));
            dirs.into_iter().chain(standing(there, &path, store)).collect()
        }
        (Action::Links { .. }, Snapshot::Links { network, .. }, Snapshot::Links { network: undone, .. }) => {
            links_again(network, undone)
        }
        (Action::Run { forward, .. }, _, _) => forward.iter().map(Command::line).collect(),
        (Action::Packages { .. }, _, _) => Vec::new(),
        _ => undo(step, kept, store),
    }
}

/// Bridges are made first; then what the rollback had put on a link goes, and what the link had comes.
fn links_again(kept: &Network, undone: &Network) -> Vec<String> {
    let new = kept.links.iter().filter(|link| undone.link(&link.name).is_none());
    let mut lines: Vec<String> = new.filter_map(make_bridge).collect();
    let mut ops = Vec::new();
    for link in &kept.links {
        if link.master != undone.link(&link.name).and_then(|there| there.master.clone()) {
            ops.push(LinkOp::SetMaster { link: link.name.clone(), master: link.master.clone() });
            ops.extend(its_vlans(link));
        }
        ops.push(LinkOp::SetUp { link: link.name.clone(), up: link.up });
        let extra = undone.addresses_on(&link.name).filter(|address| !address.is_link_local());
        let extra =
            extra.filter(|address| !kept.addresses_on(&link.name).any(|other| other.ip == address.ip));
        ops.extend(
            extra.map(|address| LinkOp::DeleteAddress { link: link.name.clone(), address: address.clone() }),
        );
        let own = kept.addresses_on(&link.name).filter(|address| !address.is_link_local());
        ops.extend(
            own.map(|address| LinkOp::AddAddress { link: link.name.clone(), address: address.clone() }),
        );
    }
    ops.extend(own_routes(kept, |link| kept.link(link).is_some()));
    lines.extend(ops.iter().map(ToString::to_string));
    lines
}

/// A port has lost them with its bridge.
fn its_vlans(link: &Link) -> impl Iterator<Item = LinkOp> + '_ {
    link.vlans.iter().map(|vlans| LinkOp::AddVlans { link: link.name.clone(), vlans: *vlans })
}

/// A kernel without VLAN filtering refuses to hear of it, even that it is off.
fn make_bridge(link: &Link) -> Option<String> {
    let (bridge, mac) = (link.bridge?, link.mac?);
    let vlans = if bridge.vlan_filtering { " vlan_filtering 1" } else { "" };
    let (name, stp, delay) = (&link.name, u8::from(bridge.stp), bridge.forward_delay);
    Some(format!("ip link add {name} address {mac} type bridge stp_state {stp} forward_delay {delay}{vlans}"))
}

fn file(before: &FileSnapshot, wanted: &FileState, store: &Path) -> Vec<String> {
    let path = word(&before.path.display().to_string());
    let mut lines = match &before.there {
        None if matches!(wanted, FileState::Dir { .. }) => vec![format!("rmdir {path}")],
        None => vec![format!("rm -f {path}")],
        Some(there) => standing(there, &path, store),
    };
    lines.extend(
        before.missing_parents.iter().rev().map(|dir| format!("rmdir {}", word(&dir.display().to_string()))),
    );
    lines
}

fn standing(there: &Standing, path: &str, store: &Path) -> Vec<String> {
    let attributes = &there.entry.attributes;
    let owner = format!("chown {}:{} {path}", attributes.uid, attributes.gid);
    let mode = format!("chmod {:04o} {path}", attributes.mode);
    match (&there.entry.kind, &there.digest) {
        (Kind::File { .. }, Some(digest)) => {
            let copy = store.join("objects").join(digest.as_str());
            vec![format!("cp --remove-destination {} {path}", word(&copy.display().to_string())), owner, mode]
        }
        (Kind::Symlink { target }, _) => {
            vec![format!("ln -sfn {} {path}", word(&target.display().to_string()))]
        }
        (Kind::Dir, _) => vec![format!("mkdir -p {path}"), owner, mode],
        _ => Vec::new(),
    }
}

fn unit_back(unit: &str, enabled: &str, active: &str) -> Vec<String> {
    let mut lines = Vec::new();
    match enabled {
        "enabled" => lines.push(format!("systemctl enable {unit}")),
        "disabled" => lines.push(format!("systemctl disable {unit}")),
        _ => {}
    }
    let verb = if active == "active" { "start" } else { "stop" };
    lines.push(format!("systemctl {verb} {unit}"));
    lines
}

/// First what was made goes away, then what was there gets its place, its addresses and its routes back.
fn links(touches: &[String], before: &Network) -> Vec<String> {
    let (old, new): (Vec<&String>, Vec<&String>) =
        touches.iter().partition(|name| before.link(name).is_some());
    let mut ops = Vec::new();
    for link in old.iter().filter_map(|name| before.link(name)) {
        ops.push(LinkOp::SetMaster { link: link.name.clone(), master: link.master.clone() });
        ops.extend(its_vlans(link));
    }
    ops.extend(new.iter().map(|name| LinkOp::Delete { link: (*name).clone() }));
    for link in old.iter().filter_map(|name| before.link(name)) {
        ops.push(LinkOp::SetUp { link: link.name.clone(), up: link.up });
        let addresses = before.addresses_on(&link.name).filter(|address| !address.is_link_local());
        ops.extend(
            addresses.map(|address| LinkOp::AddAddress { link: link.name.clone(), address: address.clone() }),
        );
    }
    ops.extend(own_routes(before, |link| old.iter().any(|name| *name == link)));
    ops.iter().map(ToString::to_string).collect()
}

/// The kernel makes its own routes (protocol 2) with the addresses; a gateway must be reachable before it is used.
fn own_routes(network: &Network, ours: impl Fn(&str) -> bool) -> Vec<LinkOp> {
    let mut routes: Vec<_> = network
        .routes
        .iter()
        .filter(|route| route.protocol != 2 && route.link.as_deref().is_some_and(&ours))
        .collect();
    routes.sort_by_key(|route| route.gateway.is_some());
    routes.into_iter().map(|route| LinkOp::ReplaceRoute { route: route.clone() }).collect()
}

fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
