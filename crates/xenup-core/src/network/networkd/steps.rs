//! The steps around a bridge over one of networkd's NICs.
//!
//! Decides: that networkd is not there while the links change. It ends by SIGUSR2, as for a restart: leases are not
//! released and addresses stay; its socket goes first, or the first change of a link would start it again. Started
//! anew, it finds what its files say and takes it over.
//! Never: runs a command.

use xenup_engine::action::Condition;
use xenup_engine::plan::Step;
use xenup_machine::network::Mac;
use xenup_machine::process::Command;

use super::files::{Change, Lease, OwnFile, Wanted, change};
use super::holds::{self, Kept, is_lent, lasting};
use super::matching::{Device, Host};
use super::netplan;
use super::portless::own_bridge;
use super::tagged::{Carrier, below, over};
use crate::host::{AddressPolicy, Bridge, Vlan};
use crate::inspect::facts::Facts;
use crate::inspect::{Finding, Weight};
use crate::network::owner::{self, Edited, once, run, text_of};
use crate::network::portless::Portless;
use crate::network::refuse::is_made;
use crate::plan::step::{Draft, PLAIN};

const SERVICE: &str = "systemd-networkd.service";
const SOCKET: &str = "systemd-networkd.socket";
pub(super) const WAIT_ONLINE: &str = "/usr/lib/systemd/systemd-networkd-wait-online";

/// A lease on a slow network; a static address takes a second. Less than a condition may take to be looked at.
const ONLINE_SECONDS: u32 = 50;

/// Returns the steps for bridges whose NICs are networkd's; none where everything is as wanted.
///
/// # Errors
/// Every finding that makes one of them impossible.
pub fn edit(
    facts: &Facts,
    bridges: &[(&Bridge, Mac)],
    portless: &[Portless<'_>],
) -> Result<Edited, Vec<Finding>> {
    let host = Host::of(facts);
    let mut edited = Edited::default();
    let mut blocking = Vec::new();
    let (mut files, mut holds) = (Vec::new(), Vec::new());
    let switched = bridges.iter().any(|(bridge, _)| !is_made(&facts.network.kernel, bridge));
    for (bridge, mac) in bridges {
        match one(facts, &host, bridges, bridge, *mac) {
            Ok(found) => {
                files.extend(found.files.into_iter().filter(|file| !is_there(facts, file)));
                holds.extend(found.holds.into_iter().filter(|_| switched));
                edited.findings.extend(found.findings);
            }
            Err(findings) => blocking.extend(findings),
        }
    }
    for bridge in portless {
        match own_bridge(&facts.network.files, &host, bridge) {
            Ok(own) => files.extend(own.into_iter().filter(|file| !is_there(facts, file))),
            Err(finding) => blocking.push(*finding),
        }
    }
    if !blocking.is_empty() {
        return Err(blocking);
    }
    once(&mut files, |file| &file.path);
    let runs = facts.services.active.iter().any(|unit| unit == SERVICE);
    let mut steps: Vec<Step> = files.iter().filter_map(|file| file_step(facts, file)).collect();
    let of_this_boot = |files: &[OwnFile]| -> Vec<Step> {
        let steps = files.iter().filter_map(|file| file_step(facts, file));
        steps.map(|step| Draft::of(step).this_boot().step()).collect()
    };
    if runs {
        steps.extend(of_this_boot(&holds));
    }
    match (switched, runs) {
        (true, true) => {
            // First, so that its undo comes last: networkd starts with them both ways.
            edited.before.extend(of_this_boot(&holds::of_nics(facts, &host)));
            edited.before.push(begin_when_undone());
            edited.before.extend(steps);
            edited.before.push(end());
            edited.after = vec![begin()];
        }
        (false, true) if !steps.is_empty() => {
            let [undo, reload] = reload();
            edited.before.push(undo);
            edited.before.extend(steps);
            edited.after.push(reload);
        }
        _ => edited.before.extend(steps),
    }
    if runs {
        edited.checks = bridges.iter().filter_map(|(bridge, _)| online(facts, bridges, bridge)).collect();
    }
    Ok(edited)
}

/// What one bridge needs.
#[derive(Default)]
struct Found {
    files: Vec<OwnFile>,
    holds: Vec<OwnFile>,
    findings: Vec<Finding>,
}

fn one(
    facts: &Facts,
    host: &Host,
    bridges: &[(&Bridge, Mac)],
    bridge: &Bridge,
    mac: Mac,
) -> Result<Found, Vec<Finding>> {
    match &bridge.vlan {
        None => over_nic(facts, host, bridges, bridge, mac),
        Some(vlan) => over_vlan(facts, host, bridges, bridge, vlan, mac),
    }
}

fn over_nic(
    facts: &Facts,
    host: &Host,
    bridges: &[(&Bridge, Mac)],
    bridge: &Bridge,
    mac: Mac,
) -> Result<Found, Vec<Finding>> {
    let files = &facts.network.files;
    let Some(wanted) = wanted(facts, bridges, bridge, mac) else { return Ok(Found::default()) };
    let Change { files: own, holder, findings } = change(files, host, &wanted)?;
    let mut found = Found { files: own, findings, ..Found::default() };
    let kept = Kept::on(facts, &[&bridge.port, bridge.name.as_str()]);
    found.holds.extend(holds::drop_in(&holder, kept).filter(|_| bridge.address == AddressPolicy::Keep));
    let made = is_made(&facts.network.kernel, bridge);
    found.findings.extend(learnt_anew(facts, bridge).filter(|_| !made));
    let outranked = netplan::outranked(facts, &bridge.port, bridge);
    found.files.extend(outranked.is_some().then(netplan::waits));
    found.findings.extend(outranked.filter(|_| !made));
    Ok(found)
}

/// The NIC's own file is in the care of the first bridge over one of its VLANs, unless the NIC is a port itself.
fn over_vlan(
    facts: &Facts,
    host: &Host,
    bridges: &[(&Bridge, Mac)],
    bridge: &Bridge,
    vlan: &Vlan,
    mac: Mac,
) -> Result<Found, Vec<Finding>> {
    let network = &facts.network;
    let Some(nic) = network.nic(&vlan.nic) else { return Ok(Found::default()) };
    let device = Device::nic(nic, network.kernel.link(&nic.name));
    let mut found = Found::default();
    if carries(bridges, bridge) {
        let carrier = Carrier {
            nic: device.clone(),
            vlans: vlans(bridges, &vlan.nic),
            lasting: lasting(facts, &vlan.nic),
        };
        let Change { files, holder, findings } = below(&network.files, host, &carrier)?;
        found.files.extend(files);
        found.findings.extend(findings);
        found.holds.extend(holds::drop_in(&holder, Kept::on(facts, &[&vlan.nic])));
        let made = is_made(&network.kernel, bridge);
        found.findings.extend(netplan::outranked(facts, &vlan.nic, bridge).filter(|_| !made));
        found.findings.extend(learnt_anew_on(facts, &vlan.nic).filter(|_| !made));
    }
    found.files.extend(over(&network.files, host, bridge.name.as_str(), vlan, &device, mac)?);
    Ok(found)
}

/// Whether the NIC below a bridge's VLAN is no port, and this bridge the first over one of its VLANs.
fn carries(bridges: &[(&Bridge, Mac)], bridge: &Bridge) -> bool {
    let mut on_nic = bridges.iter().map(|(other, _)| *other).filter(|other| other.nic() == bridge.nic());
    bridge.vlan.is_some()
        && bridges.iter().all(|(other, _)| other.port != bridge.nic())
        && on_nic.next().is_some_and(|first| first.name == bridge.name)
}

/// The VLANs that are made on a NIC.
fn vlans(bridges: &[(&Bridge, Mac)], nic: &str) -> Vec<String> {
    let made = bridges.iter().filter_map(|(bridge, _)| bridge.vlan.as_ref());
    made.filter(|vlan| vlan.nic == nic).map(Vlan::link).collect()
}

/// Measured with systemd 252: it takes the routes away that a router advertised, and waits for the next advertisement.
fn learnt_anew(facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    (bridge.address == AddressPolicy::Keep).then(|| learnt_anew_on(facts, &bridge.port)).flatten()
}

fn learnt_anew_on(facts: &Facts, nic: &str) -> Option<Finding> {
    let mut addresses = facts.network.kernel.addresses_on(nic);
    let learnt = addresses.any(|address| address.ip.is_ipv6() && address.valid.is_some());
    if !learnt || facts.distro.version != "12" {
        return None;
    }
    Some(Finding {
        weight: Weight::Note,
        ..Finding::blocking(
            "ipv6-learnt-anew",
            format!("{nic} has IPv6 addresses that a router or a DHCPv6 server gave"),
            "Debian 12's systemd-networkd learns their routes anew when it starts: up to 5 seconds without IPv6",
            "nothing to do; IPv4 goes on meanwhile",
        )
    })
}

fn wanted<'a>(facts: &Facts, bridges: &[(&Bridge, Mac)], bridge: &'a Bridge, mac: Mac) -> Option<Wanted<'a>> {
    let network = &facts.network;
    let nic = network.nic(&bridge.port)?;
    // Before the switch the NIC has the client, afterwards the bridge.
    let client = |link: &str| network.networkd.iter().find(|client| client.link == link);
    let clients = [client(&bridge.port), client(bridge.name.as_str())];
    let iaid = |of: fn(&crate::inspect::facts::NetworkdClient) -> Option<u32>| {
        clients.into_iter().flatten().find_map(of)
    };
    let holders = [bridge.port.as_str(), bridge.name.as_str()];
    // Once the bridge is made, networkd has judged its addresses.
    let made = is_made(&network.kernel, bridge);
    Some(Wanted {
        lasting: if made { Vec::new() } else { lasting(facts, &bridge.port) },
        vlans: vlans(bridges, &bridge.port),
        for_guests: bridge.vlans.clone(),
        bridge: bridge.name.as_str(),
        port: Device::nic(nic, network.kernel.link(&bridge.port)),
        mac,
        address: bridge.address,
        lease: Lease {
            iaid4: iaid(|client| client.iaid4),
            iaid6: iaid(|client| client.iaid6),
            lent: is_lent(facts, &holders),
        },
    })
}

fn is_there(facts: &Facts, file: &OwnFile) -> bool {
    text_of(facts, &file.path) == Some(&file.text)
}

fn file_step(facts: &Facts, file: &OwnFile) -> Option<Step> {
    owner::file_step(&file.path, (&file.text, PLAIN), text_of(facts, &file.path), file.why)
}

fn systemctl(args: &[&str]) -> Command {
    Command::new("systemctl", args.iter().copied()).within(90)
}

/// Ends networkd without its letting go of anything; a service that has ended already is no fault.
fn hold() -> Command {
    let script = format!(
        "systemctl stop {SOCKET}; systemctl kill --kill-who=main --signal=SIGUSR2 {SERVICE}; systemctl stop {SERVICE}"
    );
    Command::new("sh", ["-c".to_owned(), script]).within(120)
}

fn start() -> Command {
    systemctl(&["start", SOCKET, SERVICE])
}

fn begin_when_undone() -> Step {
    run(
        "networkd-undo",
        "Start systemd-networkd again if this is undone",
        "it then reads the files as they were, with the links as they were",
        None,
        Some(start()),
    )
}

fn end() -> Step {
    run(
        "networkd-end",
        "Stop systemd-networkd, leaving addresses and leases as they are",
        "it would answer each change of a link with one of its own; SIGUSR2 ends it as for a restart, without a release",
        Some(hold()),
        None,
    )
}

fn begin() -> Step {
    run(
        "networkd-begin",
        "Start systemd-networkd",
        "it finds the bridge as its files say, and takes it over",
        Some(start()),
        Some(hold()),
    )
}

fn reload() -> [Step; 2] {
    let command = || Some(Command::new("networkctl", ["reload"]).within(90));
    [
        run(
            "networkd-reload-undo",
            "Have systemd-networkd read its files again if this is undone",
            "it then goes by the files as they were",
            None,
            command(),
        ),
        run(
            "networkd-reload",
            "Have systemd-networkd read its files again",
            "it sets the links up anew whose files changed",
            command(),
            None,
        ),
    ]
}

/// A bridge without an address never counts as online; the NIC below its VLAN, which gets another file, does as before.
fn online(facts: &Facts, bridges: &[(&Bridge, Mac)], bridge: &Bridge) -> Option<Condition> {
    let has_address =
        |link: &&str| facts.network.kernel.addresses_on(link).any(|address| !address.is_link_local());
    let link = match bridge.address {
        AddressPolicy::Keep => Some(bridge.name.as_str()),
        AddressPolicy::None => Some(bridge.nic()).filter(|_| carries(bridges, bridge)).filter(has_address),
    }?;
    let interface = format!("--interface={link}");
    let timeout = format!("--timeout={ONLINE_SECONDS}");
    Some(Condition::Succeeds { command: vec![WAIT_ONLINE.to_owned(), interface, timeout] })
}
