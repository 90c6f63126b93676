//! What NetworkManager has for the NICs: its profiles, which of them each link has, and how a DHCP server knows it.
//!
//! Decides: which files are kept, and what `nmcli` says of a link. Secrets are left out of what is kept.
//! Never: decides which profile is for a NIC (see `crate::network::manager`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xenup_machine::process::Query;

use super::super::facts::{ConfigFile, ManagedLink, NetworkFacts, OwnerKind};
use super::super::reader::Reader;
use super::keep;
use super::owners::add;
use crate::network::manager::{DIRECTORIES, Keyfile, Port, Profile, chosen, is_ours, profiles};

/// The file of ours that tells NetworkManager to leave guests' links alone.
const UNMANAGED: &str = "/etc/NetworkManager/conf.d/zz-xenup.conf";

/// What names of files end with that NetworkManager passes over (`nms-keyfile-utils.c`).
const PASSED_OVER: [&str; 12] = [
    "~",
    ".bak",
    ".orig",
    ".rej",
    ".rpmnew",
    ".rpmsave",
    ".rpmorig",
    ".augnew",
    ".augtmp",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
];

/// Groups whose values are secrets, or stand beside some.
const SECRET: [&str; 9] =
    ["802-1x", "wifi-security", "pppoe", "vpn-secrets", "vpn", "wireguard", "macsec", "gsm", "cdma"];

/// Keeps the profiles, running or not.
pub(super) fn keep_files(reader: &Reader<'_>, files: &mut Vec<ConfigFile>) {
    for directory in DIRECTORIES {
        for name in reader.list(directory) {
            // Elsewhere than in /etc the end of the name is asked for.
            let counts = directory.starts_with("/etc") || name.ends_with(".nmconnection");
            if counts && !name.starts_with('.') && !PASSED_OVER.iter().any(|end| name.ends_with(end)) {
                keep_one(reader, files, &Path::new(directory).join(name));
            }
        }
    }
    if let Some(bytes) = reader.bytes(UNMANAGED) {
        keep(reader, files, Path::new(UNMANAGED), bytes);
    }
}

fn keep_one(reader: &Reader<'_>, files: &mut Vec<ConfigFile>, path: &Path) {
    let Some(bytes) = reader.bytes(path) else { return };
    let Ok(text) = String::from_utf8(bytes) else {
        return reader.missed(path.display().to_string(), "it is not UTF-8");
    };
    let keyfile = match Keyfile::parse(&text) {
        Ok(keyfile) => keyfile,
        Err(error) => return reader.missed(format!("{}:{}", path.display(), error.line), error.cause),
    };
    let profile = Profile { path: path.to_owned(), keyfile };
    // What is no cable is none of ours, and has passwords.
    if matches!(profile.kind(), "ethernet" | "bridge" | "bond" | "vlan" | "team" | "dummy" | "veth") {
        keep(reader, files, path, without_secrets(&text, &profile.keyfile).into_bytes());
    }
}

/// Lines of groups with secrets become empty comments: those of the others keep their numbers. A profile with such a
/// group is never edited.
fn without_secrets(text: &str, keyfile: &Keyfile) -> String {
    let secret = |number: u32| {
        keyfile.entries().iter().any(|entry| entry.line == number && SECRET.contains(&entry.group.as_str()))
    };
    let lines = (1..).zip(text.split_inclusive('\n'));
    lines.map(|(number, line)| if secret(number) { "#\n" } else { line }).collect()
}

/// Fills in which NICs are NetworkManager's, and what it has on them.
pub(super) fn gather(reader: &Reader<'_>, facts: &mut NetworkFacts) {
    let Some(said) = reader.answer(&Query::new("nmcli", ["-g", "DEVICE,STATE", "device"])) else { return };
    let managed = managed_devices(&said.text());
    let connections = Query::new("nmcli", ["-t", "-f", "UUID,DEVICE,FILENAME", "connection", "show"]);
    let active = reader.answer(&connections).map(|said| links(&said.text())).unwrap_or_default();
    let all: Vec<Profile> = profiles(&facts.files).into_iter().filter(|profile| !is_ours(profile)).collect();
    let mut shown = Vec::new();
    for nic in facts.nics.iter_mut().filter(|nic| managed.contains(&nic.name)) {
        // netplan may have NetworkManager do the work; the configuration is netplan's all the same.
        if nic.owners.iter().any(|owner| owner.kind == OwnerKind::Netplan) {
            continue;
        }
        let link = active.iter().find(|link| link.link == nic.name);
        let running =
            link.and_then(|link| all.iter().find(|profile| link.profile.as_ref() == Some(&profile.path)));
        let next = chosen(&all, &Port::of(nic, &facts.kernel), link);
        let places = match running {
            Some(profile) => vec![profile.matched_at()],
            None => next.into_iter().map(Profile::matched_at).collect(),
        };
        add(nic, OwnerKind::NetworkManager, places);
        // After a switch the bridge has the client.
        shown.extend([Some(nic.name.clone()), nic.master.clone()].into_iter().flatten());
    }
    let of_ours = |link: &ManagedLink| shown.contains(&link.link);
    facts.manager = active.into_iter().filter(of_ours).collect();
    for link in &mut facts.manager {
        let client = Query::new("nmcli", ["-t", "-f", "DHCP4", "device", "show", &link.link]);
        link.client4 = reader.answer(&client).and_then(|said| identity(&said.text()));
    }
}

/// Returns the devices that NetworkManager manages itself, from `nmcli -g DEVICE,STATE device`.
fn managed_devices(table: &str) -> BTreeSet<String> {
    let rows = table.lines().filter_map(|line| {
        let (device, state) = line.rsplit_once(':')?;
        let theirs = state.starts_with("unmanaged")
            || state.starts_with("unavailable")
            || state.contains("(externally)");
        // nmcli(1), -e: a colon in a name is escaped.
        (!theirs).then(|| device.replace("\\:", ":").replace("\\\\", "\\"))
    });
    rows.collect()
}

/// Returns the links with their profiles, from `nmcli -t -f UUID,DEVICE,FILENAME connection show`.
fn links(table: &str) -> Vec<ManagedLink> {
    let rows = table.lines().filter_map(|line| {
        let [uuid, device, file] = <[String; 3]>::try_from(fields(line)).ok()?;
        let is_uuid = !uuid.is_empty() && uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        (!device.is_empty()).then(|| ManagedLink {
            link: device,
            uuid: is_uuid.then_some(uuid),
            profile: (!file.is_empty()).then(|| PathBuf::from(file)),
            client4: None,
        })
    });
    rows.collect()
}

/// nmcli(1), -t and -e: fields are parted by colons, and a colon or a backslash within one has a backslash before it.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(chars.next())),
            _ => fields.last_mut().into_iter().for_each(|field| field.push(c)),
        }
    }
    fields
}

/// Returns the DHCPv4 client's identifier, from `nmcli -t -f DHCP4 device show LINK`.
fn identity(options: &str) -> Option<String> {
    let found = options.lines().find_map(|line| line.split_once("dhcp_client_identifier = "))?.1.trim();
    (!found.is_empty()).then(|| found.to_owned())
}

/// Gives a text to every parser of this module.
#[cfg(test)]
pub(super) fn hostile(text: &str) {
    let _ = (managed_devices(text), links(text), identity(text));
    if let Ok(keyfile) = Keyfile::parse(text) {
        assert_eq!(keyfile.text(), text);
        let _ = without_secrets(text, &keyfile);
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyfile, identity, links, managed_devices, without_secrets};

    #[test]
    fn unmanaged_and_external_devices_are_not_network_managers() {
        let table = "eno1:connected\nwlp2s0:disconnected\neno2:unmanaged\nvirbr0:connected (externally)\nlo:unmanaged\n";
        let managed: Vec<_> = managed_devices(table).into_iter().collect();
        assert_eq!(managed, ["eno1", "wlp2s0"]);
    }

    #[test]
    fn a_link_has_its_profile_and_a_colon_in_its_name() {
        let found = links("7c2e5b1e-51a4:eno1:/etc/a\\:b\n58cb::/etc/lan\nrubbish\n");
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.link.as_str(), one.uuid.as_deref()), ("eno1", Some("7c2e5b1e-51a4")));
        assert_eq!(one.profile.as_deref(), Some(std::path::Path::new("/etc/a:b")));
        let options = "DHCP4.OPTION[2]:dhcp_client_identifier = 01:52:54:00:aa:bb:02\n";
        assert_eq!(identity(options).as_deref(), Some("01:52:54:00:aa:bb:02"));
    }

    #[test]
    fn secrets_are_left_out_and_lines_keep_their_numbers() {
        let text = "[connection]\ntype=ethernet\n[802-1x]\npassword=hidden\n[ipv4]\nmethod=auto\n";
        let keyfile = Keyfile::parse(text).unwrap_or_default();
        assert_eq!(without_secrets(text, &keyfile), text.replace("password=hidden", "#"));
    }
}
