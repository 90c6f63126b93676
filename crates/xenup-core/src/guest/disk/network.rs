//! Which network interfaces a guest configures, by name: a guest whose NIC gets another name has no network. Decides from
//! the files of ifupdown, systemd-networkd, netplan, ifcfg and NetworkManager; reads names alone, never addresses.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use super::facts::Interface;
use super::files::Files;
use crate::network::interfaces;

const INTERFACES: &str = "/etc/network/interfaces";

/// Gathers the names.
pub(super) fn interfaces(files: &mut Files<'_>) -> Vec<Interface> {
    let mut found = ifupdown(files);
    found.extend(networkd(files));
    found.extend(netplan(files));
    found.extend(by_key(files, "/etc/sysconfig/network-scripts", "ifcfg", "DEVICE", |name| {
        name.starts_with("ifcfg-")
    }));
    let folder = "/etc/NetworkManager/system-connections";
    found.extend(by_key(files, folder, "networkmanager", "interface-name", |_| true));
    found.retain(|interface| interface.name != "lo");
    found.sort();
    found.dedup();
    found
}

/// A guest's files as ifupdown's reader asks for them.
struct Shared<'a, 'b>(RefCell<&'a mut Files<'b>>);

impl interfaces::Files for Shared<'_, '_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.to_str().ok_or(io::ErrorKind::NotFound)?;
        self.0.borrow_mut().bytes(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<std::ffi::OsString>> {
        let path = path.to_str().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.0.borrow_mut().names(path).into_iter().map(Into::into).collect())
    }
}

fn ifupdown(files: &mut Files<'_>) -> Vec<Interface> {
    if files.stat(INTERFACES).is_none() {
        return Vec::new();
    }
    let shared = Shared(RefCell::new(files));
    let loaded = interfaces::load(&shared, INTERFACES.as_ref());
    let tree = match loaded {
        Ok(tree) => tree,
        Err(error) => {
            let text = error.to_string();
            files.note(INTERFACES, super::files::clean(&text));
            return Vec::new();
        }
    };
    let stanza = |view: interfaces::StanzaView<'_>| Interface {
        name: super::files::clean(&view.stanza.name),
        owner: "ifupdown".to_owned(),
        file: view.place().path.display().to_string(),
    };
    tree.stanzas().map(stanza).collect()
}

fn networkd(files: &mut Files<'_>) -> Vec<Interface> {
    let mut found = Vec::new();
    for folder in ["/etc/systemd/network", "/usr/lib/systemd/network"] {
        for name in files.names(folder).into_iter().filter(|name| name.ends_with(".network")) {
            // Those that systemd ships are for containers and their hosts.
            if folder.starts_with("/usr") && name.starts_with("80-") {
                continue;
            }
            let file = format!("{folder}/{name}");
            let text = files.text(&file).unwrap_or_default();
            let mut section = "";
            for line in text.lines().map(str::trim) {
                if line.starts_with('[') {
                    section = line;
                }
                let names = line.strip_prefix("Name=").filter(|_| section == "[Match]").unwrap_or_default();
                found.extend(names.split_ascii_whitespace().map(|name| interface(name, "networkd", &file)));
            }
        }
    }
    found
}

/// Names under the kinds of interfaces that netplan has, by indentation: what it writes itself, and what people write.
fn netplan(files: &mut Files<'_>) -> Vec<Interface> {
    let kinds = ["ethernets:", "bridges:", "bonds:", "vlans:", "wifis:", "tunnels:"];
    let mut found = Vec::new();
    for name in files.names("/etc/netplan").into_iter().filter(|name| name.ends_with(".yaml")) {
        let file = format!("/etc/netplan/{name}");
        let text = files.text(&file).unwrap_or_default();
        // The indentation of the kind we are in, and of the names in it.
        let (mut kind, mut names): (Option<usize>, Option<usize>) = (None, None);
        for line in text.lines() {
            let line = line.split(" #").next().unwrap_or_default();
            let word = line.trim();
            if word.is_empty() || word.starts_with('#') {
                continue;
            }
            let depth = line.len().saturating_sub(line.trim_start().len());
            if kind.is_some_and(|kind| depth <= kind) {
                (kind, names) = (None, None);
            }
            if kinds.contains(&word) {
                (kind, names) = (Some(depth), None);
            } else if kind.is_some() && names.is_none_or(|names| names == depth) {
                names = Some(depth);
                if let Some((key, _)) = word.split_once(':') {
                    found.push(interface(key.trim_matches(['"', '\'']), "netplan", &file));
                }
            } else if kinds.iter().any(|kind| word.starts_with(kind)) {
                files.note(&file, "interfaces in braces are not read");
            }
        }
    }
    found
}

/// Names given by one `key=value` line in each file of a folder.
fn by_key(
    files: &mut Files<'_>,
    folder: &str,
    owner: &str,
    key: &str,
    takes: fn(&str) -> bool,
) -> Vec<Interface> {
    let mut found = Vec::new();
    for name in files.names(folder).into_iter().filter(|name| takes(name)) {
        let file = format!("{folder}/{name}");
        let text = files.text(&file).unwrap_or_default();
        let values = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        found.extend(values.map(|value| interface(value.trim_matches(['"', '\'']), owner, &file)));
    }
    found
}

fn interface(name: &str, owner: &str, file: &str) -> Interface {
    Interface { name: name.to_owned(), owner: owner.to_owned(), file: file.to_owned() }
}
