//! The steps around a bridge over one of networkd's NICs.
//!
//! Decides: that networkd is not there while the links change. It ends by SIGUSR2, as for a restart: leases are not
//! released and addresses stay; its socket goes first, or the first change of a link would start it again. Started
//! anew, it finds what its files say and takes it over.
//! Never: runs a command.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::network::Mac;
use xenup_machine::process::Command;

use super::files::{Change, Lease, OwnFile, Wanted, change};
use super::matching::{Device, Host};
use super::netplan;
use super::portless::own_bridge;
use crate::host::{AddressPolicy, Bridge};
use crate::inspect::facts::Facts;
use crate::inspect::{Finding, Weight};
use crate::network::portless::Portless;
use crate::network::refuse::is_made;
use crate::plan::step::{Draft, write};

const SERVICE: &str = "systemd-networkd.service";
const SOCKET: &str = "systemd-networkd.socket";
pub(super) const WAIT_ONLINE: &str = "/usr/lib/systemd/systemd-networkd-wait-online";

/// A lease on a slow network; a static address takes a second. Less than a condition may take to be looked at.
const ONLINE_SECONDS: u32 = 50;

/// The steps of all bridges over networkd's NICs, around those that switch the links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// Before the links are switched: the files, then networkd ends.
    pub before: Vec<Step>,
    /// After it: networkd begins again.
    pub after: Vec<Step>,
    /// What holds then, in this boot and in later ones.
    pub checks: Vec<Condition>,
    /// What somebody should know.
    pub findings: Vec<Finding>,
}

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
    for (bridge, mac) in bridges {
        let Some(wanted) = wanted(facts, bridge, *mac) else { continue };
        match change(&facts.network.files, &host, &wanted) {
            Ok(Change { files: own, hold, findings }) => {
                files.extend(own.into_iter().filter(|file| !is_there(facts, file)));
                let made = is_made(&facts.network.kernel, bridge);
                holds.extend(
                    (wanted.lease.lent && !made && bridge.address == AddressPolicy::Keep).then_some(hold),
                );
                edited.findings.extend(findings);
                edited.findings.extend(learnt_anew(facts, bridge).filter(|_| !made));
                let outranked = netplan::outranked(facts, bridge);
                files.extend(outranked.is_some().then(netplan::waits).filter(|file| !is_there(facts, file)));
                edited.findings.extend(outranked.filter(|_| !made));
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
    let mut seen: Vec<PathBuf> = Vec::new();
    files.retain(|file| {
        let first = !seen.contains(&file.path);
        seen.push(file.path.clone());
        first
    });
    let switched = bridges.iter().any(|(bridge, _)| !is_made(&facts.network.kernel, bridge));
    let runs = facts.services.active.iter().any(|unit| unit == SERVICE);
    let mut steps: Vec<Step> = files.iter().filter_map(|file| file_step(facts, file)).collect();
    steps.extend(
        holds.iter().filter_map(|file| file_step(facts, file)).map(|step| Draft::of(step).this_boot().step()),
    );
    match (switched, runs) {
        (true, true) => {
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
        edited.checks = bridges.iter().filter_map(|(bridge, _)| online(bridge)).collect();
    }
    Ok(edited)
}

/// Measured with systemd 252: it takes the routes away that a router advertised, and waits for the next advertisement.
fn learnt_anew(facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    let mut addresses = facts.network.kernel.addresses_on(&bridge.port);
    let learnt = addresses.any(|address| address.ip.is_ipv6() && address.valid.is_some());
    if !learnt || facts.distro.version != "12" || bridge.address == AddressPolicy::None {
        return None;
    }
    Some(Finding {
        weight: Weight::Note,
        ..Finding::blocking(
            "ipv6-learnt-anew",
            format!("{} has IPv6 addresses that a router or a DHCPv6 server gave", bridge.port),
            "Debian 12's systemd-networkd learns their routes anew when it starts: up to 5 seconds without IPv6",
            "nothing to do; IPv4 goes on meanwhile",
        )
    })
}

fn wanted<'a>(facts: &Facts, bridge: &'a Bridge, mac: Mac) -> Option<Wanted<'a>> {
    let network = &facts.network;
    let nic = network.nic(&bridge.port)?;
    // Before the switch the NIC has the client, afterwards the bridge.
    let client = |link: &str| network.networkd.iter().find(|client| client.link == link);
    let clients = [client(&bridge.port), client(bridge.name.as_str())];
    let iaid = |of: fn(&crate::inspect::facts::NetworkdClient) -> Option<u32>| {
        clients.into_iter().flatten().find_map(of)
    };
    let holders = [bridge.port.as_str(), bridge.name.as_str()];
    let mut addresses = holders.into_iter().flat_map(|link| network.kernel.addresses_on(link));
    let made = is_made(&network.kernel, bridge);
    // Once the bridge is made, networkd has judged its addresses.
    let own = network.kernel.addresses_on(&bridge.port).filter(|address| !made && address.valid.is_none());
    let lasting = own.filter(|address| !address.is_link_local()).map(|address| address.ip).collect();
    Some(Wanted {
        lasting,
        bridge: bridge.name.as_str(),
        port: Device::nic(nic, network.kernel.link(&bridge.port)),
        mac,
        address: bridge.address,
        lease: Lease {
            iaid4: iaid(|client| client.iaid4),
            iaid6: iaid(|client| client.iaid6),
            lent: addresses.any(|address| address.ip.is_ipv4() && address.valid.is_some()),
        },
    })
}

fn text_of<'a>(facts: &'a Facts, path: &Path) -> Option<&'a str> {
    let of_networkd = facts.network.files.iter().find(|file| file.path == path);
    of_networkd.map(|file| file.text.as_str()).or_else(|| facts.file(path))
}

fn is_there(facts: &Facts, file: &OwnFile) -> bool {
    text_of(facts, &file.path) == Some(&file.text)
}

fn file_step(facts: &Facts, file: &OwnFile) -> Option<Step> {
    let before = text_of(facts, &file.path);
    let action = write(&file.path, &file.text, before)?;
    let verb = if before.is_some() { "Change" } else { "Write" };
    let title = format!("{verb} {}", file.path.display());
    Some(Draft::new(&title, title.clone(), file.why, action).risks(&[Risk::CutsNetwork]).step())
}

fn systemctl(args: &[&str]) -> Command {
    Command::new("systemctl", args.iter().copied()).within(90)
}

fn run(id: &str, title: &str, why: &str, forward: Option<Command>, backward: Option<Command>) -> Step {
    let action = Action::run(forward, backward);
    Draft::new(id, title, why, action).risks(&[Risk::CutsNetwork]).this_boot().step()
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

/// A bridge without an address never counts as online.
fn online(bridge: &Bridge) -> Option<Condition> {
    let interface = format!("--interface={}", bridge.name);
    let timeout = format!("--timeout={ONLINE_SECONDS}");
    (bridge.address == AddressPolicy::Keep)
        .then(|| Condition::Succeeds { command: vec![WAIT_ONLINE.to_owned(), interface, timeout] })
}
