//! The files of a VLAN that is made for a bridge, and of the NIC that carries it.
//!
//! Decides: their text. A .netdev file makes a VLAN only where the file of the link below names it (`VLAN=`,
//! systemd.network(5)): so a NIC that is no port of ours gets a file of ours too, with everything that its own declares.
//! Never: edits that file, or takes anything from the NIC.

use std::net::IpAddr;

use xenup_machine::network::{Mac, VlanRange};

use super::files::{
    Change, OwnFile, caught, guests_left_alone, is_ours, name, path, prefix, sections, without_addresses,
};
use super::matching::{Device, Host};
use super::refuse;
use super::tree::Tree;
use crate::host::Vlan;
use crate::inspect::Finding;
use crate::inspect::facts::ConfigFile;
use crate::network::owner::Goes;

/// A NIC that carries VLANs and stays what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// The NIC.
    pub nic: Device,
    /// The VLANs that are made on it, as their links are called.
    pub vlans: Vec<String>,
    /// The addresses it has that nobody lent and no router advertised.
    pub lasting: Vec<IpAddr>,
}

/// Returns the NIC's file, with its VLANs named.
///
/// # Errors
/// Findings with path and line: which file the NIC gets cannot be told, it has an address that the file does not declare,
/// or no name of ours would come first.
pub fn below(files: &[ConfigFile], host: &Host, carrier: &Carrier) -> Result<Change, Vec<Finding>> {
    let theirs = Tree::new(files, ".network").without(is_ours);
    let nic = &carrier.nic.name;
    let unit = refuse::source(&theirs, &carrier.nic, host).map_err(|finding| vec![*finding])?;
    let blocking = refuse::undeclared(unit, nic, &carrier.lasting);
    if !blocking.is_empty() {
        return Err(blocking);
    }
    let prefix = prefix(&theirs, [carrier.nic.clone()], host).map_err(|finding| vec![*finding])?;
    let mut text = format!(
        "# Written by xenup: what {} declares for {nic}, and the VLANs on it. See systemd.network(5).\n\
         [Match]\nName={nic}\n",
        unit.path.display()
    );
    text.push_str(&sections(unit, &[Goes::ToBridge, Goes::ToPort, Goes::ToBoth, Goes::Nowhere]));
    text.push_str("\n[Network]\n");
    text.push_str(&named(&carrier.vlans));
    let file = OwnFile {
        path: path(prefix, nic, "network"),
        text,
        why: "a VLAN is made where the file of the link below names it; the NIC's own stays as it is, and counts again without this one",
    };
    Ok(Change { files: vec![file], holder: name(prefix, nic, "network"), findings: Vec::new() })
}

/// Returns the lines that have VLANs made on the link whose file has them.
pub(super) fn named(vlans: &[String]) -> String {
    vlans.iter().map(|vlan| format!("VLAN={vlan}\n")).collect()
}

/// Returns the section by which a port lets through what has no tag, dom0's own packets among it, and these VLANs.
pub(super) fn for_guests(vlans: &[VlanRange]) -> String {
    if vlans.is_empty() {
        return String::new();
    }
    let lines: String = vlans.iter().map(|vlans| format!("VLAN={vlans}\n")).collect();
    format!("\n[BridgeVLAN]\nPVID=1\nEgressUntagged=1\n{lines}")
}

/// Returns the files of a VLAN and of the bridge over it, in the order in which they are written.
///
/// # Errors
/// Findings with path and line, as of [`below`].
pub fn over(
    files: &[ConfigFile],
    host: &Host,
    bridge: &str,
    vlan: &Vlan,
    nic: &Device,
    mac: Mac,
) -> Result<Vec<OwnFile>, Vec<Finding>> {
    let theirs = Tree::new(files, ".network").without(is_ours);
    let unit = refuse::source(&theirs, nic, host).map_err(|finding| vec![*finding])?;
    let port = vlan.link();
    let tagged = Device { mac: Some(mac), ..Device::made(&port, "vlan") };
    let prefix =
        prefix(&theirs, [tagged, Device::bridge(bridge, mac)], host).map_err(|finding| vec![*finding])?;
    let mtu = unit.mtu();
    let mut own = Vec::new();
    if !caught(&theirs, host).is_empty() {
        own.push(guests_left_alone(prefix));
    }
    own.push(OwnFile {
        path: path(prefix, &port, "netdev"),
        text: format!(
            "# Written by xenup: VLAN {0} on {1}, the port of {bridge}. See systemd.netdev(5).\n\
             [NetDev]\nName={port}\nKind=vlan\n{mtu}\n[VLAN]\nId={0}\n",
            vlan.tag, vlan.nic
        ),
        why: "systemd-networkd makes the VLAN at boot, once the NIC is there",
    });
    own.push(OwnFile {
        path: path(prefix, bridge, "netdev"),
        text: format!(
            "# Written by xenup: the bridge over {port}, with the address of {}. See systemd.netdev(5).\n\
             [NetDev]\nName={bridge}\nKind=bridge\nMACAddress={mac}\n{mtu}\n[Bridge]\nSTP=no\nForwardDelaySec=0\n",
            vlan.nic
        ),
        why: "systemd-networkd makes the bridge at boot",
    });
    own.push(OwnFile {
        path: path(prefix, bridge, "network"),
        text: without_addresses(bridge),
        why: "guests then have that VLAN to themselves; dom0 has no address there",
    });
    own.push(OwnFile {
        path: path(prefix, &port, "network"),
        text: format!(
            "# Written by xenup: {port} is the port of {bridge}. See systemd.network(5).\n\
             [Match]\nName={port}\n\n[Link]\nRequiredForOnline=no\n\n\
             [Network]\nBridge={bridge}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n"
        ),
        why: "the VLAN is the bridge's port, and has no address of its own",
    });
    Ok(own)
}
