//! netplan's files as netplan 0.106 (Debian 12) and 1.1 (Debian 13) merge them (netplan(5), netplan-yaml(5)).
//!
//! Decides: which files count, in which order, and what each device says when all are merged.
//! Never: edits one, or renders it for a back end; that is netplan's.

mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inspect::facts::ConfigFile;

/// In order of precedence: a name found in one hides the same name in the later ones.
pub const DIRECTORIES: [&str; 4] = ["/run/netplan", "/etc/netplan", "/usr/lib/netplan", "/lib/netplan"];

/// Why the files cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {cause}", path = path.display())]
pub struct NetplanError {
    /// The file.
    pub path: PathBuf,
    /// The cause, with line and column.
    pub cause: String,
}

/// A device as all files together define it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetplanDevice {
    /// Its key: the name of the link, where nothing matches or renames it.
    pub id: String,
    /// The section it is in: `ethernets`, `bonds`, `bridges`, `vlans`, `wifis`, …
    pub section: String,
    /// The files that define it, in the order in which they are merged.
    pub files: Vec<PathBuf>,
    /// `networkd` or `NetworkManager`; its own, else the one of all.
    pub renderer: String,
    /// `match:`, key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matches: BTreeMap<String, String>,
    /// `set-name:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_name: Option<String>,
    /// `dhcp4:`.
    pub dhcp4: bool,
    /// `dhcp6:`.
    pub dhcp6: bool,
    /// `accept-ra:`; `None` leaves it to the back end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_ra: Option<bool>,
    /// `addresses:` of all files, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// `gateway4:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway4: Option<String>,
    /// `gateway6:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<String>,
    /// `nameservers: addresses:` of all files, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// `routes:` of all files: destination and gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<(String, String)>,
    /// `interfaces:` of a bridge or bond, of all files, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// `macaddress:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// Returns the files that count, in the order in which netplan merges them: by name, whatever directory has it.
#[must_use]
pub fn counting(files: &[ConfigFile]) -> Vec<&ConfigFile> {
    let mut names: BTreeMap<&str, &ConfigFile> = BTreeMap::new();
    for directory in DIRECTORIES.map(Path::new) {
        for file in files.iter().filter(|file| file.path.parent() == Some(directory)) {
            let name = file.path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|name| name.ends_with(".yaml") && !name.starts_with('.')) {
                names.entry(name).or_insert(file);
            }
        }
    }
    names.into_values().collect()
}

/// Returns every device of all files together, by section and key. A later file's plain value replaces an earlier
/// one's; lists are joined, so that no file can take an address away that another gives.
///
/// # Errors
/// The first file that is no YAML, or whose keys have other types than netplan-yaml(5) says, with line and column.
pub fn merged(files: &[ConfigFile]) -> Result<Vec<NetplanDevice>, NetplanError> {
    let mut devices: BTreeMap<(String, String), NetplanDevice> = BTreeMap::new();
    let mut renderer = None;
    for file in counting(files) {
        let network =
            read::network(&file.text).map_err(|cause| NetplanError { path: file.path.clone(), cause })?;
        renderer = network.renderer.clone().or(renderer);
        for (section, id, said) in network.devices() {
            let device = devices.entry((section.to_owned(), id.clone())).or_insert_with(|| NetplanDevice {
                id: id.clone(),
                section: section.to_owned(),
                ..NetplanDevice::default()
            });
            device.files.push(file.path.clone());
            said.merge_into(device);
        }
    }
    let general = renderer.unwrap_or_else(|| "networkd".to_owned());
    let whole = devices.into_values().map(|device| match device.renderer.is_empty() {
        true => NetplanDevice { renderer: general.clone(), ..device },
        false => device,
    });
    Ok(whole.collect())
}
