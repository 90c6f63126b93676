//! Whose file says what a link is. Decides by the facts alone: NICs as `inspect` found them, links that the owners make
//! themselves by the names in their files. Never decides which of two owners wins.

use std::path::Path;

use crate::inspect::Facts;
use crate::inspect::facts::{At, ConfigFile, Owner, OwnerKind};
use crate::network::interfaces::{MAIN, by_path, load};
use crate::network::manager::{Profile, profiles};
use crate::network::units::parse;

const NETWORKD: [&str; 2] = ["/etc/systemd/network", "/run/systemd/network"];

/// Returns who configures a link, and where.
pub(super) fn owners(facts: &Facts, link: &str) -> Vec<Owner> {
    match facts.network.nic(link) {
        Some(nic) => nic.owners.clone(),
        None => named(&facts.network.files, link),
    }
}

/// Returns the places in files of ifupdown, systemd-networkd and NetworkManager that name a link.
pub(super) fn named(files: &[ConfigFile], link: &str) -> Vec<Owner> {
    let found = [
        (OwnerKind::Ifupdown, stanzas(files, link)),
        (OwnerKind::Networkd, units(files, link)),
        (OwnerKind::NetworkManager, connections(files, link)),
    ];
    found.into_iter().filter(|(_, at)| !at.is_empty()).map(|(kind, at)| Owner { kind, at }).collect()
}

fn stanzas(files: &[ConfigFile], link: &str) -> Vec<At> {
    let Ok(tree) = load(&by_path(files), Path::new(MAIN)) else { return Vec::new() };
    tree.stanzas_of(link).map(|view| At::from(&view.place())).collect()
}

/// Files that match the link by its whole name, and the one that makes it.
fn units(files: &[ConfigFile], link: &str) -> Vec<At> {
    let mut places = Vec::new();
    for file in files.iter().filter(|file| NETWORKD.iter().any(|dir| file.path.starts_with(dir))) {
        let section = match file.path.extension().and_then(|end| end.to_str()) {
            Some("network") => "Match",
            Some("netdev") => "NetDev",
            _ => continue,
        };
        let settings = parse(&file.text);
        let names = settings.iter().find(|setting| {
            let names = setting.section == section && setting.key == "Name";
            names && setting.value.split_whitespace().any(|name| name == link)
        });
        places.extend(names.map(|setting| At { path: file.path.clone(), line: setting.line }));
    }
    places
}

/// Profiles that are for the link by its name. What NetworkManager shows of links that others made is no configuration.
fn connections(files: &[ConfigFile], link: &str) -> Vec<At> {
    let own = profiles(files);
    let own = own.iter().filter(|profile| profile.interface() == Some(link) && !profile.is_external());
    own.map(Profile::matched_at).collect()
}
