//! The steps around a bridge over one of NetworkManager's NICs.
//!
//! Decides: that NetworkManager is not there while the links change. It ends without taking anything down. What it keeps
//! of each link under /run says which profile the link has: so it takes over bridge and port as they are when it starts,
//! and the NIC again when that is undone.
//! Never: runs a command.

use std::net::IpAddr;

use xenup_engine::action::Condition;
use xenup_engine::plan::Step;
use xenup_machine::network::{Mac, Network};
use xenup_machine::process::Command;

use super::change::{Change, OwnFile, Wanted, change};
use super::profile::Port;
use crate::host::{AddressPolicy, Bridge};
use crate::inspect::facts::{Facts, Nic, OwnerKind};
use crate::inspect::{Finding, Weight};
use crate::network::owner::{self, Edited, once, run, text_of};
use crate::network::refuse::is_made;

const SERVICE: &str = "NetworkManager.service";

/// Where NetworkManager keeps what a start of it goes by, a file for each link by its number.
const DEVICES: &str = "/run/NetworkManager/devices";

/// Where it keeps leases: `internal-UUID-LINK.lease` holds the address to ask for again.
const LEASES: &str = "/var/lib/NetworkManager";

/// A lease on a slow network; a static address takes a second. Less than a condition may take to be looked at.
const ONLINE_SECONDS: u32 = 50;

/// RTPROT_KERNEL of linux/rtnetlink.h.
const BY_KERNEL: u8 = 2;

/// What NetworkManager adds to a metric while a link does not reach what it asks for connectivity.
const PENALTY: u32 = 20_000;

/// Returns whether NetworkManager has a NIC, by profiles of its own and nobody beside it.
#[must_use]
pub fn configures(nic: &Nic) -> bool {
    let alone = nic.owners.iter().all(|owner| owner.kind == OwnerKind::NetworkManager);
    // veth stands for a NIC in a container.
    alone && !nic.owners.is_empty() && matches!(nic.kind.as_deref(), None | Some("veth"))
}

/// Returns the steps for bridges whose NICs are NetworkManager's; none where everything is as wanted.
///
/// # Errors
/// Every finding that makes one of them impossible.
pub fn edit(facts: &Facts, bridges: &[(&Bridge, Mac)]) -> Result<Edited, Vec<Finding>> {
    let mut edited = Edited::default();
    let mut blocking = Vec::new();
    let mut files: Vec<OwnFile> = Vec::new();
    let mut hands: Vec<Hand<'_>> = Vec::new();
    let mut uuids: Vec<String> = Vec::new();
    for (bridge, mac) in bridges {
        let Some(wanted) = wanted(facts, bridge, *mac) else { continue };
        match change(&facts.network.files, &wanted) {
            Ok(Change { files: own, uuids: [above, below], findings }) => {
                files.extend(own.into_iter().filter(|file| text_of(facts, &file.path) != Some(&file.text)));
                edited
                    .findings
                    .extend(findings.into_iter().filter(|_| !is_made(&facts.network.kernel, bridge)));
                edited.findings.extend(rival(facts, bridge));
                uuids.extend([above.clone(), below.clone()]);
                if !is_made(&facts.network.kernel, bridge) {
                    hands.push(Hand {
                        bridge,
                        above,
                        below,
                        own: wanted.active.and_then(|link| link.uuid.as_deref()),
                        metric: wanted.metric,
                    });
                }
            }
            Err(findings) => blocking.extend(findings),
        }
    }
    if !blocking.is_empty() {
        return Err(blocking);
    }
    once(&mut files, |file| &file.path);
    let steps: Vec<Step> = files.iter().filter_map(|file| file_step(facts, file)).collect();
    if hands.is_empty() {
        if !steps.is_empty() {
            let bridges: Vec<&str> = bridges.iter().map(|(bridge, _)| bridge.name.as_str()).collect();
            let [undo, reload] = reload(&bridges);
            edited.before.push(undo);
            edited.before.extend(steps);
            edited.after.push(reload);
        }
    } else {
        edited.findings.extend(interrupted(facts));
        edited.before.push(begin_when_undone(&hands));
        edited.before.extend(steps);
        edited.before.push(end());
        edited.after.extend(hands.iter().map(Hand::step));
        edited.after.push(begin(&uuids));
    }
    edited.checks =
        bridges.iter().zip(uuids.chunks(2)).filter_map(|(_, pair)| online(pair.first()?)).collect();
    Ok(edited)
}

fn wanted<'a>(facts: &'a Facts, bridge: &'a Bridge, mac: Mac) -> Option<Wanted<'a>> {
    let network = &facts.network;
    let nic = network.nic(&bridge.port)?;
    let made = is_made(&network.kernel, bridge);
    let holder = if made { bridge.name.as_str() } else { &bridge.port };
    let on_port =
        || network.kernel.addresses_on(&bridge.port).filter(|address| !made && !address.is_link_local());
    // Once the bridge is made, NetworkManager has judged its addresses.
    let lasting = on_port().filter(|address| address.valid.is_none()).map(|address| address.ip).collect();
    let from_mac =
        |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.octets().get(11..13) == Some(&[0xff, 0xfe]));
    let private =
        on_port().any(|address| address.ip.is_ipv6() && address.valid.is_some() && !from_mac(address.ip));
    Some(Wanted {
        bridge: bridge.name.as_str(),
        port: Port::of(nic, &network.kernel),
        mac,
        address: bridge.address,
        active: network.manager.iter().find(|link| link.link == holder),
        lent: network
            .kernel
            .addresses_on(holder)
            .any(|address| address.ip.is_ipv4() && address.valid.is_some()),
        metric: metric(&network.kernel, holder),
        lasting,
        private,
        machine_id: &facts.machine_id,
    })
}

/// NetworkManager gives the routes of a bridge another metric than those of a NIC, and each NIC one of its own: with the
/// one they have, they stay the same routes.
fn metric(kernel: &Network, link: &str) -> Option<u32> {
    let own = kernel.routes_by(link).filter(|route| route.protocol == BY_KERNEL && route.gateway.is_none());
    let v4 = own.filter(|route| !route.ipv6).map(|route| route.metric).filter(|metric| *metric > 0).min();
    v4.map(|metric| metric.checked_sub(PENALTY).filter(|less| *less > 0).unwrap_or(metric))
}

/// A default route by another NIC of NetworkManager's that stands behind the port's today. It numbers NICs as they come, from
/// 100 on, and a bridge is none: at the next boot the other one may have the metric that the bridge's profile names.
fn rival(facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    let kernel = &facts.network.kernel;
    if is_made(kernel, bridge) || bridge.address == AddressPolicy::None {
        return None;
    }
    let default = |link: &str| {
        kernel
            .routes_by(link)
            .find(|route| route.destination.is_none() && !route.ipv6)
            .map(|route| route.metric)
    };
    let own = default(&bridge.port)?;
    let nics = facts.network.nics.iter().filter(|nic| nic.name != bridge.port && configures(nic));
    let other =
        nics.map(|nic| nic.name.as_str()).find(|name| default(name).is_some_and(|metric| metric > own))?;
    let finding = Finding::blocking(
        "nm-metrics-meet",
        format!(
            "{} and {other} both have a default route, and {other}'s may be as good after a boot",
            bridge.port
        ),
        format!(
            "NetworkManager numbers NICs as they come: without {}, {other} may get its metric, {own}",
            bridge.port
        ),
        format!(
            "give {other} a greater one: nmcli connection modify ID ipv4.route-metric {}",
            own.saturating_add(100)
        ),
    );
    Some(Finding { weight: Weight::Warning, ..finding })
}

fn file_step(facts: &Facts, file: &OwnFile) -> Option<Step> {
    owner::file_step(&file.path, (&file.text, file.mode), text_of(facts, &file.path), file.why)
}

/// Connections that end with NetworkManager, and begin anew with it.
fn interrupted(facts: &Facts) -> Option<Finding> {
    let wireless: Vec<&str> = facts
        .network
        .manager
        .iter()
        .filter(|link| facts.network.nic(&link.link).is_some_and(|nic| nic.wireless))
        .map(|link| link.link.as_str())
        .collect();
    (!wireless.is_empty()).then(|| Finding {
        weight: Weight::Note,
        ..Finding::blocking(
            "nm-begins-anew",
            format!("NetworkManager is stopped and started, and {} is down meanwhile", wireless.join(", ")),
            "what is wired stays as it is; Wi-Fi, mobile and VPN connections end with NetworkManager",
            "do not come in through one of them while this is applied",
        )
    })
}

/// A bridge that NetworkManager is to take over.
struct Hand<'a> {
    bridge: &'a Bridge,
    /// UUIDs of the bridge's profile and of its port's.
    above: String,
    below: String,
    /// UUID of the profile that the NIC has.
    own: Option<&'a str>,
    /// The metric of its routes: NetworkManager numbers NICs as they come, and by now another one may have this number.
    metric: Option<u32>,
}

/// A word for sh(1): the kernel takes nearly any byte in a name.
fn word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// Says which profile a link has, and which metric NetworkManager gave it.
fn has(link: &str, uuid: &str, made: bool, metric: Option<u32>) -> String {
    let index = word(&format!("/sys/class/net/{link}/ifindex"));
    let number = |key: &str| {
        metric.map_or_else(String::new, |metric| format!("route-metric-default-{key}={metric}\\n"))
    };
    format!(
        "printf '[device]\\nmanaged=true\\nconnection-uuid={uuid}\\nnm-owned={made}\\n{}{}' > {DEVICES}/$(cat {index})",
        number("aspired"),
        number("effective")
    )
}

impl Hand<'_> {
    fn step(&self) -> Step {
        let (name, port) = (self.bridge.name.as_str(), self.bridge.port.as_str());
        let to = format!("{LEASES}/internal-{}-{name}.lease", self.above);
        let quoted = word(&to);
        let mut script = vec![has(name, &self.above, true, None), has(port, &self.below, false, None)];
        if let Some(own) = self.own.filter(|_| self.bridge.address == AddressPolicy::Keep) {
            let from = word(&format!("{LEASES}/internal-{own}-{port}.lease"));
            script.push(format!("if [ -e {from} ]; then cp -p {from} {quoted}; fi"));
        }
        run(
            &format!("manager-hands-{name}"),
            &format!("Say to NetworkManager that {name} has its profile, and {port} its own"),
            "started anew, it takes both over as they are, and asks for the lease that the NIC had",
            Some(Command::new("sh", ["-ec".to_owned(), script.join("; ")]).within(30)),
            Some(Command::new("rm", ["-f".to_owned(), to]).within(30)),
        )
    }
}

fn stop() -> Command {
    Command::new("systemctl", ["stop", SERVICE]).within(90)
}

fn begin_when_undone(hands: &[Hand<'_>]) -> Step {
    let known = hands.iter().filter_map(|hand| Some(has(&hand.bridge.port, hand.own?, false, hand.metric)));
    let script: Vec<String> = known.chain([format!("systemctl start {SERVICE}")]).collect();
    run(
        "manager-undo",
        "Start NetworkManager again if this is undone",
        "it then reads the profiles as they were, and takes the links over as they were",
        None,
        Some(Command::new("sh", ["-ec".to_owned(), script.join("; ")]).within(90)),
    )
}

fn end() -> Step {
    run(
        "manager-end",
        "Stop NetworkManager, which leaves addresses and leases as they are",
        "it would answer each change of a link with one of its own",
        Some(stop()),
        None,
    )
}

/// A profile that was not taken over is brought up.
fn begin(uuids: &[String]) -> Step {
    let each = uuids.join(" ");
    let script = format!(
        "systemctl start {SERVICE}; nm-online -q -s -t {ONLINE_SECONDS}; for uuid in {each}; do \
         nmcli -g GENERAL.STATE connection show $uuid | grep -qx activated || \
         nmcli -w {ONLINE_SECONDS} connection up $uuid; done"
    );
    run(
        "manager-begin",
        "Start NetworkManager",
        "it finds the bridge as its profile says, and takes it over",
        Some(Command::new("sh", ["-ec".to_owned(), script]).within(300)),
        Some(stop()),
    )
}

fn reload(bridges: &[&str]) -> [Step; 2] {
    let each: Vec<String> = bridges.iter().map(|name| word(name)).collect();
    let each = each.join(" ");
    let script = format!("nmcli connection reload; for link in {each}; do nmcli device reapply $link; done");
    let command = || Some(Command::new("sh", ["-ec".to_owned(), script.clone()]).within(120));
    [
        run(
            "manager-reload-undo",
            "Have NetworkManager read its profiles again if this is undone",
            "it then goes by the profiles as they were",
            None,
            command(),
        ),
        run(
            "manager-reload",
            "Have NetworkManager read its profiles again",
            "it changes what differs, and leaves the rest",
            command(),
            None,
        ),
    ]
}

/// The bridge's own profile is what it has.
fn online(uuid: &str) -> Option<Condition> {
    let script = format!(
        "nm-online -q -s -t {ONLINE_SECONDS}; nmcli -g GENERAL.STATE connection show {uuid} | grep -qx activated"
    );
    Some(Condition::Succeeds { command: vec!["sh".to_owned(), "-c".to_owned(), script] })
}
