//! What of the medium's system becomes this machine's own: which NIC is which, names, addresses.
//!
//! Decides: nothing about files. The image is thought once as the medium has it and once for this machine, and the files in
//! which the two differ are written; so an installed machine and `image build` cannot come apart.
//! Never: changes what only a build can (packages, GRUB's menu): that is refused.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, value};
use xenup_machine::network::Mac;

use super::manifest::Made;
use crate::guest::create::Addresses;
use crate::host::{Host, HostError};
use crate::image::{self, HostImage, NewFile, Wanted};
use crate::inspect::Finding;

/// Which NIC a port of host.toml is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The port's name in host.toml.
    pub port: String,
    /// The NIC's address; `None` leaves the port's bridges out.
    pub mac: Option<Mac>,
}

/// Files that differ from the medium's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personal {
    /// host.toml of this machine.
    pub host: String,
    /// Files to write, by path.
    pub files: Vec<NewFile>,
    /// Files that the medium's system has and this machine has not.
    pub gone: Vec<PathBuf>,
}

/// What cannot be made of the medium's system.
#[derive(Debug, thiserror::Error)]
pub enum PersonalFault {
    /// host.toml on the medium cannot be read.
    #[error("the medium's host.toml cannot be used")]
    Host(#[from] HostError),
    /// The image is refused with these NICs and addresses.
    #[error("{}", .0.iter().map(|f| format!("{}; {}", f.what, f.why)).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Finding>),
    /// The two differ in what only a build can make.
    #[error("the medium's system and this machine's differ in {0}, which only a build can make")]
    Built(&'static str),
}

/// Returns host.toml with each port's address, and without the bridges of ports that no NIC is.
///
/// # Errors
/// It cannot be read.
pub fn host_text(text: &str, roles: &[Role]) -> Result<String, PersonalFault> {
    let host = Host::parse(Path::new("host.toml"), text.as_bytes())?;
    // What was read is TOML.
    let mut document: DocumentMut = text.parse().unwrap_or_default();
    let Some(tables) = document.get_mut("bridge").and_then(|item| item.as_array_of_tables_mut()) else {
        return Ok(text.to_owned());
    };
    let role = |port: &str| roles.iter().find(|role| role.port == port);
    let mut given: Vec<&str> = Vec::new();
    for (table, bridge) in tables.iter_mut().zip(&host.bridges) {
        let Some(Role { mac: Some(mac), .. }) = role(bridge.nic()) else { continue };
        // The first bridge of a NIC says which it is; those on its VLANs need not.
        if given.contains(&bridge.nic()) {
            table.remove("mac");
        } else {
            table["mac"] = value(mac.to_string());
            given.push(bridge.nic());
        }
    }
    for (index, bridge) in host.bridges.iter().enumerate().rev() {
        if matches!(role(bridge.nic()), Some(Role { mac: None, .. })) {
            tables.remove(index);
        }
    }
    Ok(document.to_string())
}

/// Returns the ports of host.toml, each once, in its order, with the address that is written there.
#[must_use]
pub fn ports(host: &Host) -> Vec<(String, Option<Mac>)> {
    let mut ports: Vec<(String, Option<Mac>)> = Vec::new();
    for bridge in &host.bridges {
        match ports.iter_mut().find(|(port, _)| port == bridge.nic()) {
            Some((_, mac)) => *mac = mac.or(bridge.mac),
            None => ports.push((bridge.nic().to_owned(), bridge.mac)),
        }
    }
    ports
}

/// Returns host.toml for a medium: a port without an address gets one that no NIC has, so that an image can be made
/// before anybody knows the machine.
///
/// # Errors
/// It cannot be read.
pub fn for_medium(text: &str) -> Result<String, PersonalFault> {
    let host = Host::parse(Path::new("host.toml"), text.as_bytes())?;
    let roles: Vec<Role> = (1_u8..)
        .zip(ports(&host))
        .map(|(number, (port, mac))| Role { port, mac: mac.or(Some(Mac([2, 0x78, 0x65, 0x6e, 0, number]))) })
        .collect();
    host_text(text, &roles)
}

/// Returns what is this machine's own.
///
/// # Errors
/// The image is refused with these roles, or would differ in more than files.
pub fn of(
    made: &Made,
    roles: &[Role],
    hostname: &str,
    addresses: &Addresses,
) -> Result<Personal, PersonalFault> {
    let dhcp = Addresses { dhcp: true, fixed: Vec::new(), dns: Vec::new() };
    let before = thought(made, &made.host, &made.hostname, &dhcp)?;
    let host = host_text(&made.host, roles)?;
    let after = thought(made, &host, hostname, addresses)?;
    if before.edits != after.edits {
        return Err(PersonalFault::Built("lines of packages' files"));
    }
    if before.menu != after.menu {
        return Err(PersonalFault::Built("GRUB's menu"));
    }
    if before.wants != after.wants {
        return Err(PersonalFault::Built("the units that are started"));
    }
    let is_new = |file: &&NewFile| !before.files.contains(file);
    let is_gone = |path: &&PathBuf| after.files.iter().all(|file| file.path != **path);
    let files = after.files.iter().filter(is_new).cloned().collect();
    let gone = before.files.iter().map(|file| &file.path).filter(is_gone).cloned().collect();
    Ok(Personal { host, files, gone })
}

fn thought(
    made: &Made,
    host_text: &str,
    hostname: &str,
    addresses: &Addresses,
) -> Result<HostImage, PersonalFault> {
    let host = Host::parse(Path::new(crate::host::PATH), host_text.as_bytes())?;
    image::of(&Wanted {
        host: &host,
        host_text,
        hostname,
        codename: &made.codename,
        addresses,
        root: &made.root,
        cmdline: &made.cmdline,
        volumes: made.volumes,
    })
    .map_err(PersonalFault::Refused)
}
