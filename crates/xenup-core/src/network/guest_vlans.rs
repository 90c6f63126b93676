//! The VLANs of a VLAN-aware bridge: what stands in their way, and how a guest gets its own.
//!
//! Decides: the hook that Xen's vif-bridge runs at its end (`call_hooks`, xen-hotplug-common.sh of 4.17 and 4.20), before
//! it says that the interface is ready. No script of either release reads `vlan=`; xl of 4.20 writes it to xenstore, that
//! of 4.17 passes over it, so that there the name of the bridge says it.
//! Never: replaces a script of Xen's, or touches a bridge that does not look at tags.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, FileState};
use xenup_engine::digest::Digest;
use xenup_engine::plan::Step;
use xenup_machine::network::Network;

use crate::host::{Bridge, Host};
use crate::inspect::Finding;
use crate::inspect::facts::Facts;
use crate::plan::step::Draft;

/// The hook.
pub const HOOK: &str = "/etc/xen/scripts/vif-post.d/xenup-vlan.hook";
/// vif-bridge runs what is executable.
const MODE: u32 = 0o755;
const HOOK_TEXT: &str = include_str!("guest_vlans.sh");

/// Returns the step that writes the hook; none where it is there, or no bridge has VLANs for guests.
#[must_use]
pub fn steps(facts: &Facts, host: &Host) -> Vec<Step> {
    let now = facts.file(Path::new(HOOK));
    if host.bridges.iter().all(|bridge| bridge.vlans.is_empty()) || now == Some(HOOK_TEXT) {
        return Vec::new();
    }
    let action = Action::File {
        path: PathBuf::from(HOOK),
        state: FileState::Text { text: HOOK_TEXT.to_owned(), mode: MODE },
        seen: now.map(|now| Digest::of(now.as_bytes())),
    };
    let why = "Xen's vif-bridge gives a guest no VLAN; it runs this at its end, and a guest whose VLAN cannot be had does not start";
    vec![Draft::new("guest-vlans", format!("Write {HOOK}"), why, action).step()]
}

/// Whether a bridge, where it is made, has all that it is to give guests.
#[must_use]
pub fn are_there(network: &Network, bridge: &Bridge) -> bool {
    let aware = network.link(bridge.name.as_str()).and_then(|link| link.bridge);
    let Some(port) = network.link(&bridge.port).filter(|_| aware.is_some_and(|bridge| bridge.vlan_filtering))
    else {
        return bridge.vlans.is_empty();
    };
    bridge.vlans.iter().all(|vlans| port.carries(*vlans))
}

/// Returns what stands in the way of a bridge that is made and has other VLANs, or none.
#[must_use]
pub fn refuse_made(network: &Network, bridge: &Bridge) -> Option<Finding> {
    if are_there(network, bridge) {
        return None;
    }
    let (name, port) = (&bridge.name, &bridge.port);
    let all: Vec<String> = bridge.vlans.iter().map(ToString::to_string).collect();
    let add: Vec<String> =
        all.iter().map(|vlans| format!("bridge vlan add dev {port} vid {vlans}")).collect();
    Some(Finding::blocking(
        "vlans-not-there",
        format!("{name} is there already, and does not carry VLANs {} by {port}", all.join(", ")),
        "this version makes VLANs with their bridge, and changes none that carries guests",
        format!(
            "`ip link set {name} type bridge vlan_filtering 1`, `{}`; in the stanza of {name}: bridge_vlan_aware yes, and each \
             command behind up",
            add.join("`, `")
        ),
    ))
}

/// Returns what stands in the way of a bridge that is still to be made.
#[must_use]
pub fn refuse(network: &Network, bridge: &Bridge) -> Option<Finding> {
    let of_guests = |tag: u16| bridge.vlans.iter().any(|vlans| vlans.has(tag));
    let (link, tag) = network.links.iter().find_map(|link| {
        let vlan = link.vlan.as_ref().filter(|vlan| vlan.below == bridge.port && of_guests(vlan.tag))?;
        Some((&link.name, vlan.tag))
    })?;
    Some(Finding::blocking(
        "vlan-taken",
        format!("{link} is VLAN {tag} on {}, which {} is to give guests", bridge.port, bridge.name),
        "the kernel hands a tagged frame to the NIC's own VLAN before the bridge sees it",
        format!("take {tag} out of vlans, or give {link} up"),
    ))
}
