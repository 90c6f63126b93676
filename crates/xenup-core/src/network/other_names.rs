//! Names by which guests of an older host know a bridge (`also`).
//!
//! Decides: the drop-in for udev that gives the bridge those names at boot (systemd.link(5), AlternativeName=), and the
//! command that gives them now. xl, vif-bridge and the kernel take an alternative name wherever they take a name.
//! Never: a name that a link has; that is a finding.

use std::path::{Path, PathBuf};

use xenup_engine::action::Action;
use xenup_engine::plan::Step;
use xenup_machine::process::Command;

use super::refuse::is_made;
use crate::host::{Bridge, Host};
use crate::inspect::Finding;
use crate::inspect::facts::{At, Facts};
use crate::plan::step::{Draft, write};

fn path(bridge: &Bridge) -> PathBuf {
    PathBuf::from(format!("/etc/systemd/network/10-xenup-{}.link", bridge.name))
}

/// Without a policy the name and the address stay what the owner of the network gives.
fn text(bridge: &Bridge) -> String {
    let mut text = format!(
        "# Written by xenup: other names of {0}, by which guests of an older host know it. See systemd.link(5).\n\
         [Match]\nOriginalName={0}\nType=bridge\n\n[Link]\nNamePolicy=keep\nMACAddressPolicy=none\n",
        bridge.name
    );
    for name in &bridge.also {
        text.push_str(&format!("AlternativeName={name}\n"));
    }
    text
}

/// Returns what stands in the way of a bridge's other names.
#[must_use]
pub fn refuse(facts: &Facts, file: &Path, bridge: &Bridge) -> Vec<Finding> {
    let kernel = &facts.network.kernel;
    let taken = |name: &&String| {
        let of_other = |link: &xenup_machine::network::Link| {
            link.name != bridge.name.as_str() && link.alternative_names.contains(name)
        };
        kernel.link(name).is_some() || kernel.links.iter().any(of_other)
    };
    let found = bridge.also.iter().filter(taken).map(|name| {
        Finding::blocking(
            "other-name-taken",
            format!("there is a link {name}, so that {} cannot be called so too", bridge.name),
            "guests that name it would come to that link",
            format!(
                "write bridge={} in their files, or give the NIC another name by a file for systemd.link(5)",
                bridge.name
            ),
        )
    });
    found
        .map(|finding| Finding { at: vec![At { path: file.to_owned(), line: bridge.line }], ..finding })
        .collect()
}

/// Returns the steps that give bridges their other names; none where they have them.
#[must_use]
pub fn steps(facts: &Facts, host: &Host) -> Vec<Step> {
    host.bridges
        .iter()
        .filter(|bridge| !bridge.also.is_empty())
        .flat_map(|bridge| one(facts, bridge))
        .collect()
}

fn one(facts: &Facts, bridge: &Bridge) -> Vec<Step> {
    let (path, text) = (path(bridge), text(bridge));
    let file = write(&path, &text, facts.file(&path));
    if file.is_none() && is_made(&facts.network.kernel, bridge) {
        return Vec::new();
    }
    let names = bridge.also.join(" and ");
    let title = format!("Call {} {names} too, at every boot", bridge.name);
    let why = "guests of an older host name their bridge so";
    let mut steps: Vec<Step> = file
        .map(|action| Draft::new(&format!("names {}", bridge.name), title, why, action).step())
        .into_iter()
        .collect();
    let there = facts.network.kernel.link(bridge.name.as_str());
    for name in &bridge.also {
        if there.is_some_and(|link| link.alternative_names.contains(name)) {
            continue;
        }
        let link = bridge.name.as_str();
        let add = Command::new("ip", ["link", "property", "add", "dev", link, "altname", name]).within(30);
        // Given by udev in a later boot, or not there at all.
        let script = "ip link show dev \"$1\" | grep -q \"^ *altname $2\\$\" || exit 0; \
                      ip link property del dev \"$1\" altname \"$2\"";
        let remove = Command::new("sh", ["-c", script, "sh", link, name]).within(30);
        let action = Action::run(Some(add), Some(remove));
        let title = format!("Call {} {name} too, now", bridge.name);
        steps.push(Draft::new(&format!("name {name}"), title, why, action).step());
    }
    steps
}
