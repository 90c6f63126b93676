//! The links that files declare, for a tree of files without a kernel.
//!
//! Decides: by interfaces(5), by files of systemd-networkd that name a link by its whole name, and by NetworkManager's
//! profiles that do. Whether a link is up
//! nobody can tell. Never: guesses a link from a pattern.

use std::collections::BTreeMap;
use std::path::Path;

use super::drawing::{Drawn, Kind};
use super::owners::owners;
use crate::inspect::Facts;
use crate::network::interfaces::{InterfacesTree, MAIN, StanzaView, by_path, load};
use crate::network::manager::{Profile, profiles};
use crate::network::units::{Setting, boolean, parse};

/// Returns the links that files declare, by name.
pub(super) fn declared(facts: &Facts) -> Vec<Drawn> {
    let mut links = BTreeMap::new();
    let files = &facts.network.files;
    if let Ok(tree) = load(&by_path(files), Path::new(MAIN)) {
        // An alias such as eth0:1 is an address of eth0.
        for view in tree.stanzas().filter(|view| view.stanza.name != "lo") {
            stanza(&mut links, &tree, &view);
        }
    }
    let units = |end: &'static str| {
        let found = files.iter().filter(move |file| file.path.extension().is_some_and(|own| own == end));
        found.map(|file| parse(&file.text))
    };
    units("network").for_each(|settings| network(&mut links, &settings));
    // What a VLAN is on stands in the file of the link below.
    units("netdev").for_each(|settings| netdev(&mut links, &settings));
    profiles(files).iter().for_each(|profile| connection(&mut links, profile));
    for nic in &facts.network.nics {
        let link = get(&mut links, &nic.name);
        link.mac = nic.mac.map(|mac| mac.to_string());
        link.master = link.master.take().or_else(|| nic.master.clone());
    }
    let mut links: Vec<Drawn> = links.into_values().collect();
    for link in &mut links {
        link.owners = owners(facts, &link.name);
    }
    links
}

type Links = BTreeMap<String, Drawn>;

fn get<'a>(links: &'a mut Links, name: &str) -> &'a mut Drawn {
    links.entry(name.to_owned()).or_insert_with(|| Drawn::named(name))
}

fn is(link: &mut Drawn, kind: Kind, what: impl Into<String>) {
    (link.kind, link.what) = (kind, what.into());
}

fn stanza(links: &mut Links, tree: &InterfacesTree, view: &StanzaView<'_>) {
    let name = view.stanza.name.split(':').next().unwrap_or_default();
    let options = tree.options(view.id);
    let value = |key: &str| {
        let found = options.iter().find(|option| option.name.replace('-', "_") == key);
        found.map(|option| option.value.as_str())
    };
    let ports = |key: &str| -> Vec<String> {
        let words = value(key).into_iter().flat_map(str::split_whitespace);
        words
            .filter(|word| !matches!(*word, "none" | "all" | "regex" | "noregex"))
            .map(str::to_owned)
            .collect()
    };
    let bridged = value("bridge_ports").is_some();
    let slaves = [ports("bond_slaves"), ports("slaves")].concat();
    for port in ports("bridge_ports").iter().chain(&slaves) {
        get(links, port).master = Some(name.to_owned());
    }
    let link = get(links, name);
    if bridged {
        let aware = value("bridge_vlan_aware") == Some("yes");
        is(link, Kind::Bridge, if aware { "VLAN-aware bridge" } else { "bridge" });
    } else if !slaves.is_empty() {
        is(link, Kind::Bond, "bond");
    }
    if let Some(address) = value("address") {
        let mask = value("netmask").filter(|_| !address.contains('/')).map(|mask| format!("/{mask}"));
        link.addresses.push(format!("{address}{}", mask.unwrap_or_default()));
    } else if view.method == "dhcp" {
        link.addresses.push("by DHCP".to_owned());
    }
    link.gateways.extend(value("gateway").map(str::to_owned));
    let tagged = name.rsplit_once('.').filter(|(_, tag)| tag.parse::<u16>().is_ok());
    let below = value("vlan_raw_device").or(tagged.map(|(below, _)| below)).map(str::to_owned);
    if let (Some(below), false) = (below, bridged) {
        let tag = value("vlan_id").or(tagged.map(|(_, tag)| tag)).or_else(|| name.strip_prefix("vlan"));
        vlan(links, name, &below, tag.unwrap_or_default());
    }
}

fn vlan(links: &mut Links, name: &str, below: &str, tag: &str) {
    get(links, below);
    let link = get(links, name);
    link.below = Some(below.to_owned());
    is(link, Kind::Vlan, format!("{} on {below}", format!("VLAN {tag}").trim_end()));
}

fn network(links: &mut Links, settings: &[Setting]) {
    let all = |section: &str, key: &str| -> Vec<&str> {
        let found = settings.iter().filter(|setting| setting.section == section && setting.key == key);
        found.map(|setting| setting.value.as_str()).collect()
    };
    let names = all("Match", "Name").into_iter().flat_map(str::split_whitespace);
    // A pattern and its opposite name no link.
    for name in names.filter(|name| !name.contains(['*', '?', '[', '!'])) {
        for tagged in all("Network", "VLAN") {
            vlan(links, tagged, name, "");
        }
        let link = get(links, name);
        link.addresses.extend(all("Network", "Address").into_iter().map(str::to_owned));
        if all("Network", "DHCP")
            .last()
            .is_some_and(|value| matches!(*value, "yes" | "true" | "ipv4" | "ipv6"))
        {
            link.addresses.push("by DHCP".to_owned());
        }
        link.gateways.extend(all("Network", "Gateway").into_iter().map(str::to_owned));
        let master =
            all("Network", "Bridge").last().or(all("Network", "Bond").last()).map(|name| (*name).to_owned());
        link.master = link.master.take().or(master);
    }
}

fn netdev(links: &mut Links, settings: &[Setting]) {
    let last = |section: &str, key: &str| {
        let found = settings.iter().rfind(|setting| setting.section == section && setting.key == key);
        found.map(|setting| setting.value.as_str())
    };
    let (Some(name), Some(kind)) = (last("NetDev", "Name"), last("NetDev", "Kind")) else { return };
    let link = get(links, name);
    match kind {
        "bridge" => {
            let aware = last("Bridge", "VLANFiltering").and_then(boolean) == Some(true);
            is(link, Kind::Bridge, if aware { "VLAN-aware bridge" } else { "bridge" });
        }
        "bond" => is(link, Kind::Bond, "bond"),
        "vlan" => {
            let tag = last("VLAN", "Id").map(|id| format!(" {id}")).unwrap_or_default();
            let below = link.below.as_ref().map(|below| format!(" on {below}")).unwrap_or_default();
            is(link, Kind::Vlan, format!("VLAN{tag}{below}"));
        }
        other => is(link, Kind::Other, other),
    }
}

/// A profile for any link names none.
fn connection(links: &mut Links, profile: &Profile) {
    let (Some(name), false) = (profile.interface(), profile.is_external()) else { return };
    let link = get(links, name);
    match profile.kind() {
        "bridge" => is(link, Kind::Bridge, "bridge"),
        "bond" => is(link, Kind::Bond, "bond"),
        "vlan" => {
            let value = |key| profile.keyfile.value("vlan", key).unwrap_or_default();
            if value("parent").is_empty() {
                is(link, Kind::Vlan, format!("VLAN {}", value("id")));
            } else {
                vlan(links, name, value("parent"), value("id"));
            }
        }
        _ => {}
    }
    let link = get(links, name);
    let (addresses, gateways) = profile.addresses();
    link.addresses.extend(addresses);
    link.gateways.extend(gateways);
    if profile.keyfile.value("ipv4", "method") == Some("auto") {
        link.addresses.push("by DHCP".to_owned());
    }
    link.master = link.master.take().or_else(|| profile.controller().map(str::to_owned));
}
