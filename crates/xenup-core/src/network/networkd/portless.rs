//! The files of a bridge without a port.
//!
//! Decides: their names, so that each is the first match, and their text. Never: writes them.

use super::files::{OwnFile, caught, guests_left_alone, is_ours, prefix};
use super::matching::{Device, Host};
use super::tree::{DIRECTORIES, Tree};
use crate::inspect::Finding;
use crate::inspect::facts::ConfigFile;
use crate::network::portless::Portless;

/// Returns the files, in the order in which they are written.
///
/// # Errors
/// A finding, where no name of ours would come first.
pub(super) fn own_bridge(
    files: &[ConfigFile],
    host: &Host,
    bridge: &Portless<'_>,
) -> Result<Vec<OwnFile>, Box<Finding>> {
    let theirs = Tree::new(files, ".network").without(is_ours);
    let prefix = prefix(&theirs, [Device::bridge(bridge.name, bridge.mac)], host)?;
    let path = |end: &str| format!("{}/{prefix}{}.{end}", DIRECTORIES[0], bridge.name).into();
    let Portless { name, mac, .. } = bridge;
    let whose = bridge.whose;
    let address =
        bridge.address.map(|(ip, subnet)| format!("Address={ip}/{}\n", subnet.length)).unwrap_or_default();
    let routes: String =
        bridge.routes.iter().map(|subnet| format!("\n[Route]\nDestination={subnet}\nScope=link\n")).collect();
    let mut own = Vec::new();
    if !caught(&theirs, host).is_empty() {
        own.push(guests_left_alone(prefix));
    }
    own.push(OwnFile {
        path: path("netdev"),
        text: format!(
            "# Written by xenup: a bridge {whose}. See systemd.netdev(5).\n\
             [NetDev]\nName={name}\nKind=bridge\nMACAddress={mac}\n\n[Bridge]\nSTP=no\nForwardDelaySec=0\n"
        ),
        why: "systemd-networkd makes the bridge at boot",
    });
    own.push(OwnFile {
        path: path("network"),
        text: format!(
            "# Written by xenup: {name} is {whose}. See systemd.network(5).\n\
             [Match]\nName={name}\n\n[Link]\nRequiredForOnline=no\n\n\
             [Network]\n{address}LinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n{routes}"
        ),
        why: "dom0 has that address there and no other, IPv6 included",
    });
    Ok(own)
}
