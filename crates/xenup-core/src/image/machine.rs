//! The plain Debian that a plan for an image begins with: as facts, though nobody could look at it yet.
//!
//! Decides: that its NICs have the names and addresses of host.toml, that ifupdown has those that keep an address, that
//! its links are what the files will make of them, and that its packages are installed.
//! Never: guesses at hardware; what is not known is left out of the facts.

use std::collections::{BTreeMap, BTreeSet};

use xenup_machine::network::{Bridge as BridgeSettings, Link, Network};

use super::Wanted;
use crate::host::{AddressPolicy, Bridge, Host};
use crate::inspect::facts::{
    At, Boot, ConfigFile, Distro, FORMAT, Facts, GrubEntry, Hardware, Loader, NetworkFacts, Nic, Owner,
    OwnerKind, Package, Packages, Services,
};
use crate::network::interfaces::MAIN;
use crate::packages;

const IFUPDOWN: &str = "ifupdown";
/// Bytes of a packet on Ethernet (IEEE 802.3).
const MTU: u32 = 1500;

/// Returns the machine before the host's packages.
pub(super) fn bare() -> Facts {
    Facts {
        format: FORMAT,
        hardware: Hardware { architecture: "amd64".to_owned(), ..Hardware::default() },
        packages: Packages { relevant: vec![installed(IFUPDOWN)], ..Packages::default() },
        services: Services { systemd: true, ..Services::default() },
        ..Facts::default()
    }
}

/// Returns the machine with its packages, and nothing of the host in its files.
pub(super) fn plain(wanted: &Wanted<'_>, host: &Host) -> Facts {
    let mut facts = bare();
    facts.hostname = wanted.hostname.to_owned();
    facts.distro =
        Distro { id: "debian".to_owned(), codename: wanted.codename.to_owned(), ..Distro::default() };
    facts.packages.relevant.extend(packages::wants(host, &bare()).iter().map(|name| installed(name)));
    facts.boot = boot(wanted);
    facts.network = network(wanted, host);
    facts
}

fn installed(name: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: String::new(),
        status: "installed".to_owned(),
        auto: false,
        held: false,
    }
}

/// GRUB's menu as update-grub makes it before there is a hypervisor.
fn boot(wanted: &Wanted<'_>) -> Boot {
    let simple = GrubEntry {
        title: "Debian GNU/Linux".to_owned(),
        id: format!("gnulinux-simple-{}", wanted.root),
        within: Vec::new(),
        submenu: false,
        xen: false,
        kernel: None,
        hypervisor: None,
        unrestricted: false,
    };
    let advanced = GrubEntry {
        title: "Advanced options for Debian GNU/Linux".to_owned(),
        id: format!("gnulinux-advanced-{}", wanted.root),
        submenu: true,
        ..simple.clone()
    };
    let values =
        [("GRUB_DEFAULT", "0"), ("GRUB_CMDLINE_LINUX_DEFAULT", ""), ("GRUB_CMDLINE_LINUX", wanted.cmdline)];
    Boot {
        loader: Loader::Grub,
        root_uuid: Some(wanted.root.to_owned()),
        grub: BTreeMap::from(values.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        menu_default: Some("0".to_owned()),
        entries: vec![simple, advanced],
        ..Boot::default()
    }
}

/// The kernel's side is as it will be once the files are read: nothing is to be switched.
fn network(wanted: &Wanted<'_>, host: &Host) -> NetworkFacts {
    let mut kernel = Network::default();
    let mut nics: Vec<Nic> = Vec::new();
    for bridge in &host.bridges {
        let is_own = bridge.vlan.is_none();
        let master = Some(bridge.name.to_string());
        let settings =
            BridgeSettings { stp: false, forward_delay: 0, vlan_filtering: !bridge.vlans.is_empty() };
        kernel.links.push(Link {
            kind: Some("bridge".to_owned()),
            mac: bridge.mac,
            bridge: Some(settings),
            ..link(bridge.name.as_str())
        });
        if !is_own {
            kernel.links.push(Link {
                kind: Some("vlan".to_owned()),
                master: master.clone(),
                ..link(&bridge.port)
            });
        }
        let own = Link {
            mac: bridge.mac,
            permanent_mac: bridge.mac,
            master: master.filter(|_| is_own),
            vlans: bridge.vlans.clone(),
            ..link(bridge.nic())
        };
        match kernel.links.iter_mut().find(|link| link.name == own.name) {
            None => kernel.links.push(own),
            Some(there) => {
                there.mac = there.mac.or(own.mac);
                there.permanent_mac = there.permanent_mac.or(own.permanent_mac);
                there.master = there.master.take().or(own.master);
                there.vlans.extend(own.vlans);
            }
        }
        if nics.iter().all(|nic| nic.name != bridge.nic()) {
            nics.push(nic(bridge, host));
        }
    }
    let text = interfaces(wanted, host);
    NetworkFacts {
        kernel,
        nics,
        files: vec![ConfigFile { path: MAIN.into(), text }],
        ..NetworkFacts::default()
    }
}

fn link(name: &str) -> Link {
    Link {
        name: name.to_owned(),
        kind: None,
        loopback: false,
        mac: None,
        permanent_mac: None,
        up: true,
        carrier: true,
        operstate: "up".to_owned(),
        mtu: MTU,
        master: None,
        bridge: None,
        vlan: None,
        vlans: Vec::new(),
        large_receive: false,
        ipv6_generation: None,
        alternative_names: Vec::new(),
    }
}

fn nic(bridge: &Bridge, host: &Host) -> Nic {
    let keeps = keeping(host).contains(bridge.nic());
    let owner = Owner { kind: OwnerKind::Ifupdown, at: vec![At { path: MAIN.into(), line: 0 }] };
    Nic {
        name: bridge.nic().to_owned(),
        mac: bridge.mac,
        driver: None,
        kind: None,
        path: None,
        wireless: false,
        owners: keeps.then_some(owner).into_iter().collect(),
        master: None,
        default_route: false,
    }
}

/// The NICs whose bridge keeps an address, in no order but their names'.
fn keeping(host: &Host) -> BTreeSet<&str> {
    let keeps = host.bridges.iter().filter(|bridge| bridge.address == AddressPolicy::Keep);
    keeps.map(Bridge::nic).collect()
}

/// Returns /etc/network/interfaces of that machine: each NIC that keeps an address has one there.
pub(super) fn interfaces(wanted: &Wanted<'_>, host: &Host) -> String {
    let mut text = "# The loopback, and the NICs that dom0 has an address on: interfaces(5).\n\
                    source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n"
        .to_owned();
    for nic in keeping(host) {
        text.push_str(&format!("\nauto {nic}\n{}", wanted.addresses.stanzas(nic)));
    }
    text
}
