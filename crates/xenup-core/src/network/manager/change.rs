//! The profiles of ours: the bridge's and its port's; and the list of links that NetworkManager leaves alone.
//!
//! Decides: their names and their text. What the NIC's own profile declares moves to the bridge's; that profile stays,
//! and counts again once ours are gone.
//! Never: leaves a setting out without a finding, or writes an identity that was not read.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use xenup_machine::network::Mac;

use super::goes::goes;
use super::profile::{ETC, FROM, Port, Profile, is_ours, profiles};
use super::refuse;
use crate::host::AddressPolicy;
use crate::inspect::Finding;
use crate::inspect::facts::{ConfigFile, ManagedLink};
use crate::network::owner::Goes;
use crate::network::switch::HELPER;

/// What the names of our profiles begin with.
pub(super) const PREFIX: &str = "xenup-";

/// The highest priority that a profile may have: of several for a NIC, the greatest wins.
pub(super) const PRIORITY: i32 = 999;

/// Where NetworkManager is told to leave guests' links alone. It sorts after what others write, and adds to their lists.
const UNMANAGED: &str = "/etc/NetworkManager/conf.d/zz-xenup.conf";

/// Permission bits without which NetworkManager passes over a profile.
pub(super) const SECRET: u32 = 0o600;

/// What is wanted of one NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The bridge's name.
    pub bridge: &'a str,
    /// The NIC.
    pub port: Port,
    /// The address of both.
    pub mac: Mac,
    /// What becomes of the NIC's addresses.
    pub address: AddressPolicy,
    /// What NetworkManager has on the NIC; once the bridge is made, on the bridge.
    pub active: Option<&'a ManagedLink>,
    /// Whether an IPv4 address was lent.
    pub lent: bool,
    /// The metric of the routes it has, which NetworkManager gives by the kind of a link.
    pub metric: Option<u32>,
    /// The addresses it has that nobody lent and no router advertised.
    pub lasting: Vec<IpAddr>,
    /// Whether it has IPv6 addresses that a router advertised and that are not made from its Ethernet address.
    pub private: bool,
    /// The machine's id, from which the profiles' UUIDs are made.
    pub machine_id: &'a str,
}

/// A file to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// Its permission bits where it is new.
    pub mode: u32,
    /// Why.
    pub why: &'static str,
}

/// What becomes of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Files to be there, in the order in which they are written.
    pub files: Vec<OwnFile>,
    /// UUIDs of the bridge's profile and of its port's.
    pub uuids: [String; 2],
    /// What somebody should know.
    pub findings: Vec<Finding>,
}

/// Returns the files of a bridge over a NIC that NetworkManager configures. Where the bridge's profile is there and the
/// one whose place it took is gone, no file is to be changed.
///
/// # Errors
/// Findings with path and line: which profile the NIC gets cannot be told, a setting cannot move, the identity by which
/// a lease is kept is not known, or a profile has our priority.
pub fn change(files: &[ConfigFile], wanted: &Wanted<'_>) -> Result<Change, Vec<Finding>> {
    let all = profiles(files);
    let uuids = uuids(wanted);
    let own = all.iter().find(|profile| profile.path == path(wanted.bridge));
    let theirs: Vec<Profile> = all.iter().filter(|profile| !is_ours(profile)).cloned().collect();
    let from = own.and_then(|own| own.keyfile.value(FROM.0, FROM.1));
    let nobody = Profile::default();
    let source = match from {
        None if refuse::needs_none(&theirs, wanted) || own.is_some() => &nobody,
        // A path may be another NIC's by now: those that NetworkManager makes by itself are numbered.
        Some(from) => {
            match theirs.iter().find(|one| one.path.to_str() == Some(from) && one.fits(&wanted.port)) {
                Some(source) => source,
                None => return Ok(Change { files: Vec::new(), uuids, findings: Vec::new() }),
            }
        }
        None => refuse::source(&theirs, wanted).map_err(|finding| vec![*finding])?,
    };
    let mut blocking = refuse::settings(source, wanted);
    blocking.extend(refuse::outranked(&theirs, wanted));
    blocking.extend(refuse::undeclared(source, wanted));
    let identity = identity(source, own, wanted).unwrap_or_else(|finding| {
        blocking.push(*finding);
        String::new()
    });
    if !blocking.is_empty() {
        return Err(blocking);
    }
    let written = own.and_then(|own| own.keyfile.value("ipv4", "route-metric")?.parse().ok());
    let metric = wanted.metric.or(written);
    let mut own = vec![OwnFile {
        path: UNMANAGED.into(),
        text: unmanaged(),
        mode: crate::plan::step::PLAIN,
        why: "NetworkManager would ask for an address on each guest's link as on any NIC; Xen's own scripts configure those",
    }];
    own.extend(bound(source, wanted));
    own.push(OwnFile {
        path: path(wanted.bridge),
        text: bridge(source, &Wanted { metric, ..wanted.clone() }, &uuids, &identity),
        mode: SECRET,
        why: match wanted.address {
            AddressPolicy::Keep => {
                "what the NIC's own profile declares moves up to the bridge, with the port's address"
            }
            AddressPolicy::None => "guests then have the cable to themselves; dom0 has no address there",
        },
    });
    own.push(OwnFile {
        path: path(&wanted.port.name),
        text: port(source, wanted, &uuids),
        mode: SECRET,
        why: match source.is_none() {
            true => "the NIC has no profile: this one makes it the port at each boot",
            false => "the greatest priority wins: the NIC's own profile stays as it is, and counts again without this one",
        },
    });
    Ok(Change {
        files: own,
        uuids,
        findings: refuse::changing_addresses(source, wanted).into_iter().collect(),
    })
}

fn path(link: &str) -> PathBuf {
    PathBuf::from(format!("{ETC}/{PREFIX}{link}.nmconnection"))
}

/// UUIDs that are the same whenever they are asked for (RFC 9562, version 8): the machine's id and the link's name,
/// FNV-1a of 64 bits over both orders.
fn uuids(wanted: &Wanted<'_>) -> [String; 2] {
    [wanted.bridge, &wanted.port.name].map(|link| uuid(wanted.machine_id, wanted.bridge, link))
}

fn uuid(machine_id: &str, bridge: &str, link: &str) -> String {
    let fnv = |bytes: &mut dyn Iterator<Item = u8>| {
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let text = format!("xenup {machine_id} {bridge} {link}");
    let high = (fnv(&mut text.bytes()) & 0xffff_ffff_ffff_0fff) | 0x8000;
    let low = (fnv(&mut text.bytes().rev()) & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    let hex = format!("{high:016x}{low:016x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A profile for any NIC would go to another one, with its addresses, once ours has this one.
fn bound(source: &Profile, wanted: &Wanted<'_>) -> Option<OwnFile> {
    (!source.is_bound() && source.path.starts_with(ETC)).then(|| OwnFile {
        path: source.path.clone(),
        text: source.keyfile.with("connection", "interface-name", &wanted.port.name),
        mode: SECRET,
        why: "it names no NIC: NetworkManager would give it to another one, addresses and all, once this one is a port",
    })
}

fn unmanaged() -> String {
    format!(
        "# Written by xenup: links of guests are configured by Xen's own scripts. See NetworkManager.conf(5).\n\
         [keyfile]\nunmanaged-devices+=interface-name:vif*;interface-name:{};interface-name:{}\n",
        HELPER.0, HELPER.1
    )
}

fn header(what: &str) -> String {
    format!("# Written by xenup: {what} See nm-settings-keyfile(5).\n")
}

fn bridge(source: &Profile, wanted: &Wanted<'_>, uuids: &[String; 2], identity: &str) -> String {
    let (name, port, mac) = (wanted.bridge, &wanted.port.name, wanted.mac);
    let [uuid, _] = uuids;
    let from = source.path.display();
    let keep = wanted.address == AddressPolicy::Keep;
    let mut text = match wanted.address {
        AddressPolicy::Keep => header(&format!("what {from} declares for {port}, on {name}.")),
        AddressPolicy::None => header(&format!("{name} is for guests alone.")),
    };
    let _ = write!(
        text,
        "[connection]\nid={name}\nuuid={uuid}\ntype=bridge\ninterface-name={name}\nautoconnect-priority={PRIORITY}\n"
    );
    let moved = |group: &str| {
        if keep { settings(source, group, &[Goes::ToBridge, Goes::ToBoth]) } else { String::new() }
    };
    text.push_str(&moved("connection"));
    let _ = write!(text, "\n[ethernet]\ncloned-mac-address={mac}\n");
    text.push_str(&settings(source, "ethernet", &[Goes::ToBoth]));
    text.push_str("\n[bridge]\nstp=false\nforward-delay=0\n");
    for group in ["ipv4", "ipv6"] {
        let _ = write!(text, "\n[{group}]\n");
        if !keep {
            text.push_str("method=disabled\n");
            continue;
        }
        if source.keyfile.value(group, "method").is_none() {
            text.push_str("method=auto\n");
        }
        let own = moved(group);
        // What names a way of making the identity gives way to the identity itself.
        let gives_way =
            |line: &&str| group == "ipv4" && !identity.is_empty() && line.starts_with("dhcp-client-id=");
        text.extend(own.split_inclusive('\n').filter(|line| !gives_way(line)));
        if let Some(metric) = wanted.metric.filter(|_| source.keyfile.get(group, "route-metric").is_none()) {
            let _ = writeln!(text, "route-metric={metric}");
        }
        if group == "ipv4" {
            text.push_str(identity);
        }
    }
    let proxy = moved("proxy");
    if !proxy.is_empty() {
        let _ = write!(text, "\n[proxy]\n{proxy}");
    }
    if !source.is_none() {
        let _ = write!(text, "\n[{}]\n{}={from}\n", FROM.0, FROM.1);
    }
    text
}

fn port(source: &Profile, wanted: &Wanted<'_>, uuids: &[String; 2]) -> String {
    let (name, bridge) = (&wanted.port.name, wanted.bridge);
    let [_, uuid] = uuids;
    let mut text = match source.is_none() {
        true => header(&format!("{name} is the port of {bridge}.")),
        false => {
            header(&format!("{name} is the port of {bridge}, in the place of {}.", source.path.display()))
        }
    };
    let _ = write!(
        text,
        "[connection]\nid={name} in {bridge}\nuuid={uuid}\ntype=ethernet\ninterface-name={name}\n\
         autoconnect-priority={PRIORITY}\nmaster={bridge}\nslave-type=bridge\n"
    );
    let there = [Goes::ToPort, Goes::ToBoth];
    text.push_str(&settings(source, "connection", &there));
    let mut seen: Vec<&str> = vec!["connection"];
    for (group, _) in source.keyfile.groups() {
        let moved = settings(source, group, &there);
        if !seen.contains(&group) && !moved.is_empty() {
            let _ = write!(text, "\n[{group}]\n{moved}");
        }
        seen.push(group);
    }
    text
}

/// Returns the settings of a group that go there, as they stand in the profile; of a key given twice, the later one.
fn settings(source: &Profile, group: &str, there: &[Goes]) -> String {
    let counts = |entry: &&super::keyfile::Entry| {
        entry.group == group
            && there.contains(&goes(group, &entry.key))
            && source.keyfile.get(group, &entry.key).is_some_and(|last| last.line == entry.line)
    };
    let lines = source.keyfile.entries().iter().filter(counts);
    lines.map(|entry| format!("{}={}\n", entry.key, entry.value)).collect()
}

/// Returns the line that keeps the identity by which a DHCP server knows the NIC: as it is now, else as ours has it.
fn identity(source: &Profile, own: Option<&Profile>, wanted: &Wanted<'_>) -> Result<String, Box<Finding>> {
    let named = source.keyfile.value("ipv4", "dhcp-client-id");
    // What does not depend on the profile or the link is the same on the bridge.
    let lasting = |id: &str| !matches!(id, "stable" | "duid" | "perm-mac" | "ipv6-duid");
    let lends = source.keyfile.value("ipv4", "method").is_none_or(|method| method == "auto");
    let declared = named.is_some_and(lasting) || !lends;
    if declared || wanted.address == AddressPolicy::None {
        return Ok(String::new());
    }
    let written = || own.and_then(|own| own.keyfile.value("ipv4", "dhcp-client-id"));
    match wanted.active.and_then(|link| link.client4.as_deref()).or_else(written) {
        Some(id) => Ok(format!("dhcp-client-id={id}\n")),
        None if wanted.lent => Err(Box::new(refuse::unknown_identity(source, wanted))),
        None => Ok(String::new()),
    }
}
