//! The files of ours: the bridge's .netdev and .network, its port's .network, and one that keeps guests' links out.
//!
//! Decides: their names, so that each is the first match, and their text. What the NIC's own file declares moves to
//! the bridge's; that file itself stays as it is, and counts again once ours are gone.
//! Never: leaves a setting out without a finding, or writes an identity that was not read.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use xenup_machine::network::{Mac, VlanRange};

use super::declared::Declared;
use super::matching::{Device, Host, Matched};
use super::refuse::{self, goes};
use super::tagged;
use super::tree::{DIRECTORIES, Tree, Unit};
use crate::host::AddressPolicy;
use crate::inspect::facts::{At, ConfigFile};
use crate::inspect::{Finding, Weight};
use crate::network::owner::Goes;
use crate::network::switch::HELPER;

/// What the names of our files begin with; the first that sorts before every other file for the same links is taken.
const PREFIXES: [&str; 3] = ["05-xenup-", "00-xenup-", "0-xenup-"];

/// Where files lie that a reboot ends.
pub const RUNTIME: &str = "/run/systemd/network";

/// What is wanted of one NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The bridge's name.
    pub bridge: &'a str,
    /// The NIC.
    pub port: Device,
    /// The address of both.
    pub mac: Mac,
    /// What becomes of the NIC's addresses.
    pub address: AddressPolicy,
    /// How DHCP servers know the NIC.
    pub lease: Lease,
    /// The addresses it has that nobody lent and no router advertised.
    pub lasting: Vec<IpAddr>,
    /// The VLANs that are made on the NIC for other bridges, as their links are called.
    pub vlans: Vec<String>,
    /// The VLANs that the bridge gives guests; any makes it VLAN-aware.
    pub for_guests: Vec<VlanRange>,
}

/// How DHCP servers know a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// IAID of the DHCPv4 client.
    pub iaid4: Option<u32>,
    /// IAID of the DHCPv6 client.
    pub iaid6: Option<u32>,
    /// Whether the link has an IPv4 address that was lent.
    pub lent: bool,
}

/// A file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// Why.
    pub why: &'static str,
}

/// What becomes of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Files to be there, in the order in which they are written.
    pub files: Vec<OwnFile>,
    /// The name of the .network file of the link that has the addresses.
    pub holder: String,
    /// What somebody should know.
    pub findings: Vec<Finding>,
}

/// Returns whether a file is one that [`change`] made.
pub(crate) fn is_ours(unit: &Unit) -> bool {
    PREFIXES.iter().any(|prefix| unit.name.starts_with(prefix)) && unit.path.starts_with(DIRECTORIES[0])
}

/// Returns the files of a bridge over a NIC that networkd configures.
///
/// # Errors
/// Findings with path and line: which file the NIC gets cannot be told, a setting cannot move, the identity by which a
/// lease is kept is not known, or no name of ours would come first.
pub fn change(files: &[ConfigFile], host: &Host, wanted: &Wanted<'_>) -> Result<Change, Vec<Finding>> {
    let theirs = Tree::new(files, ".network").without(is_ours);
    let unit = refuse::source(&theirs, &wanted.port, host).map_err(|finding| vec![*finding])?;
    let mut blocking = refuse::settings(unit, wanted);
    if wanted.address == AddressPolicy::Keep {
        blocking.extend(refuse::undeclared(unit, &wanted.port.name, &wanted.lasting));
    }
    let mut findings = refuse::changing_addresses(unit, wanted);
    let devices = [wanted.port.clone(), Device::bridge(wanted.bridge, wanted.mac)];
    let prefix = prefix(&theirs, devices, host).unwrap_or_else(|finding| {
        blocking.push(*finding);
        ""
    });
    let identity = match wanted.address {
        AddressPolicy::Keep => identity(unit, wanted),
        AddressPolicy::None => Ok(String::new()),
    };
    let identity = identity.unwrap_or_else(|finding| {
        blocking.push(*finding);
        String::new()
    });
    if !blocking.is_empty() {
        return Err(blocking);
    }
    let path = |name: &str, end: &str| path(prefix, name, end);
    let mut own = Vec::new();
    let caught = caught(&theirs, host);
    if !caught.is_empty() {
        findings.push(catch_all(caught, &path("vif", "network")));
        own.push(guests_left_alone(prefix));
    }
    own.push(OwnFile {
        path: path(wanted.bridge, "netdev"),
        text: netdev(unit, wanted),
        why: "systemd-networkd makes the bridge at boot, with its port's address, so that leases and filters hold",
    });
    own.push(OwnFile {
        path: path(wanted.bridge, "network"),
        text: bridge_network(unit, wanted, &identity),
        why: match wanted.address {
            AddressPolicy::Keep => "what the NIC's own file declares moves up to the bridge",
            AddressPolicy::None => "guests then have the cable to themselves; dom0 has no address there",
        },
    });
    own.push(OwnFile {
        path: path(&wanted.port.name, "network"),
        text: port_network(unit, wanted),
        why: "the first file that matches a link wins: the NIC's own stays as it is, and counts again without this one",
    });
    findings.extend(renaming(files, wanted, host));
    let holder = name(prefix, wanted.bridge, "network");
    Ok(Change { files: own, holder, findings })
}

/// Returns where a file of ours lies.
pub(super) fn path(prefix: &str, link: &str, end: &str) -> PathBuf {
    PathBuf::from(DIRECTORIES[0]).join(name(prefix, link, end))
}

/// Returns the name of a file of ours.
pub(super) fn name(prefix: &str, link: &str, end: &str) -> String {
    format!("{prefix}{link}.{end}")
}

/// Returns the beginning of a name that comes before every file that is, or may be, for these links or guests' vifs.
pub(super) fn prefix(
    theirs: &Tree,
    links: impl IntoIterator<Item = Device>,
    host: &Host,
) -> Result<&'static str, Box<Finding>> {
    let mut devices = strangers();
    devices.extend(links);
    let rivals = theirs
        .units()
        .iter()
        .filter(|unit| devices.iter().any(|device| device.matched(unit, host) != Matched::No));
    let Some(first) = rivals.min_by(|one, other| one.name.cmp(&other.name)) else { return Ok(PREFIXES[0]) };
    let found = PREFIXES.into_iter().find(|prefix| *prefix < first.name.as_str());
    found.ok_or_else(|| {
        let what = format!("{} comes before any name that a file of ours could have", first.name);
        let why = "the first file that matches a link wins, and the bridge would not come up after a reboot";
        let fix = "give it a name that begins with a higher number, such as 20-";
        Box::new(Finding {
            at: vec![first.matched_at()],
            ..Finding::blocking("networkd-name-first", what, why, fix)
        })
    })
}

/// Links that systemd-networkd is to leave alone: a guest's, and those that the switch makes for a moment.
fn strangers() -> Vec<Device> {
    vec![Device::vif(), Device::made(HELPER.0, "veth"), Device::made(HELPER.1, "veth")]
}

/// Returns the files that are, or may be, for links that are not theirs.
pub(super) fn caught(theirs: &Tree, host: &Host) -> Vec<At> {
    let mut places: Vec<At> = Vec::new();
    for device in strangers() {
        let taken = theirs.taken(&device, host);
        let taking = taken.unit.filter(|unit| !unit.is_unmanaged()).map(Unit::matched_at);
        for at in taken.uncertain.into_iter().chain(taking) {
            if !places.contains(&at) {
                places.push(at);
            }
        }
    }
    places
}

fn catch_all(at: Vec<At>, ours: &std::path::Path) -> Finding {
    Finding {
        at,
        weight: Weight::Note,
        ..Finding::blocking(
            "networkd-catch-all",
            "a .network file is for every link, guests' vifs and their taps included",
            "systemd-networkd would take them off their bridge, or ask for addresses on them",
            format!("nothing to do: {} keeps vif* out of it", ours.display()),
        )
    }
}

pub(super) fn guests_left_alone(prefix: &str) -> OwnFile {
    OwnFile {
        path: format!("{}/{prefix}vif.network", DIRECTORIES[0]).into(),
        text: format!(
            "# Written by xenup: links of guests are configured by Xen's own scripts. See systemd.network(5).\n\
             [Match]\nName=vif* {} {}\n\n[Link]\nUnmanaged=yes\n",
            HELPER.0, HELPER.1
        ),
        why: "another file is for every link, guests' vifs among them; Xen's own scripts configure those",
    }
}

/// A .link file that goes by the address fits the bridge too, and would give it the NIC's name.
fn renaming(files: &[ConfigFile], wanted: &Wanted<'_>, host: &Host) -> Vec<Finding> {
    let links = Tree::new(files, ".link");
    let bridge = Device::bridge(wanted.bridge, wanted.mac);
    let Some(unit) = links.taken(&bridge, host).unit else { return Vec::new() };
    let Some(name) = unit.gives_name() else { return Vec::new() };
    vec![Finding {
        at: vec![unit.matched_at()],
        weight: Weight::Warning,
        ..Finding::blocking(
            "link-file-fits-bridge",
            format!("{} is for {} too, and names it {name}", unit.name, wanted.bridge),
            "the bridge has the NIC's address; udev may give it the NIC's name before the NIC has it",
            "write PermanentMACAddress= in the place of MACAddress= there: a bridge has none",
        )
    }]
}

/// Returns the lines that keep the identity by which DHCP servers know the NIC.
fn identity(unit: &Unit, wanted: &Wanted<'_>) -> Result<String, Box<Finding>> {
    let declared = Declared::of(unit);
    let mut text = String::new();
    if declared.dhcp4 && declared.by_iaid4 {
        match wanted.lease.iaid4 {
            Some(iaid) => {
                let _ = write!(text, "\n[DHCPv4]\nIAID={iaid}\n");
            }
            None if wanted.lease.lent => return Err(Box::new(unknown_identity(unit, wanted))),
            None => {}
        }
    }
    if let Some(iaid) = wanted.lease.iaid6.filter(|_| declared.dhcp6 && declared.by_iaid6) {
        let _ = write!(text, "\n[DHCPv6]\nIAID={iaid}\n");
    }
    Ok(text)
}

fn unknown_identity(unit: &Unit, wanted: &Wanted<'_>) -> Finding {
    let at = unit.last("Network", "DHCP").map(|line| line.at.clone());
    Finding {
        at: at.into_iter().collect(),
        ..Finding::blocking(
            "dhcp-identity-unknown",
            format!("the identity by which {}'s DHCP server knows it could not be read", wanted.port.name),
            "systemd-networkd makes it from the card, so that the bridge would have another, and another address",
            format!(
                "see that `networkctl status {}` shows a DHCP client ID, or write ClientIdentifier=mac into [DHCPv4]",
                wanted.port.name
            ),
        )
    }
}

fn header(text: &str) -> String {
    format!("# Written by xenup: {text} See systemd.network(5).\n")
}

fn netdev(unit: &Unit, wanted: &Wanted<'_>) -> String {
    let mtu = unit.mtu();
    format!(
        "# Written by xenup: the bridge over {}, with its address. See systemd.netdev(5).\n\
         [NetDev]\nName={}\nKind=bridge\nMACAddress={}\n{mtu}\n[Bridge]\nSTP=no\nForwardDelaySec=0\n{}",
        wanted.port.name,
        wanted.bridge,
        wanted.mac,
        if wanted.for_guests.is_empty() { "" } else { "VLANFiltering=yes\n" }
    )
}

fn bridge_network(unit: &Unit, wanted: &Wanted<'_>, identity: &str) -> String {
    let (port, bridge) = (&wanted.port.name, wanted.bridge);
    match wanted.address {
        AddressPolicy::Keep => {
            let from = unit.path.display();
            let mut text = header(&format!("what {from} declares for {port}, on {bridge}."));
            let _ = write!(text, "[Match]\nName={bridge}\n");
            text.push_str(&sections(unit, &[Goes::ToBridge, Goes::ToBoth]));
            text.push_str(identity);
            text
        }
        AddressPolicy::None => without_addresses(bridge),
    }
}

/// Returns the file of a bridge on which dom0 has no address, IPv6 included.
pub(super) fn without_addresses(bridge: &str) -> String {
    let mut text = header(&format!("{bridge} is for guests alone."));
    let _ = write!(
        text,
        "[Match]\nName={bridge}\n\n[Link]\nRequiredForOnline=no\n\n\
         [Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n"
    );
    text
}

fn port_network(unit: &Unit, wanted: &Wanted<'_>) -> String {
    let (port, bridge) = (&wanted.port.name, wanted.bridge);
    let mut text =
        header(&format!("{port} is the port of {bridge}, in the place of {}.", unit.path.display()));
    let _ = write!(
        text,
        "[Match]\nName={port}\n\n[Link]\nRequiredForOnline=no\n\n\
         [Network]\nBridge={bridge}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n"
    );
    text.push_str(&tagged::named(&wanted.vlans));
    text.push_str(&sections(unit, &[Goes::ToPort, Goes::ToBoth]));
    text.push_str(&tagged::for_guests(&wanted.for_guests));
    text
}

/// Returns the settings that go there, section by section as they stand in the file and its drop-ins.
pub(super) fn sections(unit: &Unit, there: &[Goes]) -> String {
    let mut text = String::new();
    let mut group = None;
    for line in unit.lines() {
        let setting = &line.setting;
        if !there.contains(&goes(&setting.section, &setting.key)) {
            continue;
        }
        if group != Some(setting.group) {
            group = Some(setting.group);
            let _ = write!(text, "\n[{}]\n", setting.section);
        }
        let _ = writeln!(text, "{}={}", setting.key, setting.value);
    }
    text
}
