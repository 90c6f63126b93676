//! The stage that makes the bridges: files, live links, DHCP clients, the owner's state.
//! Decides which steps are still to be done; never does one.

use std::net::IpAddr;

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Guard, Risk, Step, Watch};
use xenup_machine::network::{Address, Mac, Network, Route};

use crate::host::{AddressPolicy, Bridge, Host};
use crate::inspect::facts::Facts;
use crate::inspect::{Finding, Weight};
use crate::plan::step::Draft;

use super::ifupdown::Made;
use super::owner::Edited;
use super::portless::{Maker, Portless};
use super::refuse::{is_made, refuse};
use super::switch::{moved_addresses, on_vlan, switch, touched};
use super::{dhcp, forwarding, guest_vlans, ifupdown, manager, nat, networkd, other_names, portless, routed};

/// Three minutes: a new login, a look around, `xenup confirm`. A machine that is cut off is back after them.
const CONFIRM_SECONDS: u64 = 180;

/// RT_TABLE_MAIN and RTPROT_RA of linux/rtnetlink.h.
const MAIN_TABLE: u32 = 254;
const ADVERTISED: u8 = 9;

/// The network's part of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPlan {
    /// In order; none where everything is as wanted.
    pub steps: Vec<Step>,
    /// What holds once the bridges are there, in this boot.
    pub checks: Vec<Condition>,
    /// What of it holds in every later boot: a lease may be another one then.
    pub lasting_checks: Vec<Condition>,
    /// What somebody should know.
    pub findings: Vec<Finding>,
    /// Whether a DHCP client moves.
    pub dhcp: bool,
}

impl NetworkPlan {
    /// Returns the guard around the steps.
    #[must_use]
    pub fn guard() -> Guard {
        Guard { watch: Watch::Network, deadline_seconds: CONFIRM_SECONDS, trial: None }
    }
}

/// Returns the steps that are still to be done for the bridges of `host`.
///
/// # Errors
/// Every finding that makes a bridge impossible.
pub fn plan(facts: &Facts, host: &Host) -> Result<NetworkPlan, Vec<Finding>> {
    let (mut blocking, mut findings): (Vec<Finding>, Vec<Finding>) =
        refuse(facts, host).into_iter().partition(|finding| finding.weight == Weight::Blocks);
    let portless = portless::of(host, &facts.machine_id);
    if (host.bridges.is_empty() && portless.is_empty()) || !blocking.is_empty() {
        return if blocking.is_empty() { Ok(NetworkPlan::default()) } else { Err(blocking) };
    }
    let by = |maker| if portless::maker(facts) == Some(maker) { portless.as_slice() } else { &[] };
    let (managers, others): (Vec<&Bridge>, Vec<&Bridge>) =
        host.bridges.iter().partition(|bridge| is_managers(facts, bridge));
    let (theirs, ifupdowns): (Vec<&Bridge>, Vec<&Bridge>) =
        others.into_iter().partition(|bridge| is_networkds(facts, bridge));
    let edited = edit_interfaces(facts, &ifupdowns, by(Maker::Ifupdown)).unwrap_or_else(|finding| {
        blocking.push(*finding);
        None
    });
    let networkd =
        networkd::edit(facts, &addressed(facts, theirs), by(Maker::Networkd)).unwrap_or_else(|findings| {
            blocking.extend(findings);
            Edited::default()
        });
    let manager = manager::edit(facts, &addressed(facts, managers)).unwrap_or_else(|findings| {
        blocking.extend(findings);
        Edited::default()
    });
    let unmade = |bridge: &&Bridge| !is_made(&facts.network.kernel, bridge);
    let kernel = &facts.network.kernel;
    let new: Vec<&Portless<'_>> =
        portless.iter().filter(|bridge| !portless::is_made(kernel, bridge)).collect();
    let over_nics = ifupdowns.into_iter().filter(unmade);
    let mut made: Vec<Made<'_>> = over_nics
        .map(|bridge| Made { name: bridge.name.as_str(), port: Some(bridge.port.as_str()) })
        .collect();
    if portless::maker(facts) == Some(Maker::Ifupdown) {
        made.extend(new.iter().map(|bridge| Made { name: bridge.name, port: None }));
    }
    let mut live: Vec<Step> = new.into_iter().map(portless::step).collect();
    let mut moves_dhcp = false;
    for bridge in host.bridges.iter().filter(unmade) {
        match one(facts, bridge) {
            Ok((steps, dhcp)) => {
                live.extend(steps);
                moves_dhcp |= dhcp;
            }
            Err(findings) => blocking.extend(findings),
        }
    }
    if !blocking.is_empty() {
        return Err(blocking);
    }
    let mut plan = NetworkPlan { dhcp: moves_dhcp, ..NetworkPlan::default() };
    plan.steps.extend(edited.iter().flat_map(|edited| edited.steps.iter().cloned()));
    plan.steps.extend(networkd.before);
    plan.steps.extend(manager.before);
    plan.steps.extend(live);
    plan.steps.extend(manager.after);
    plan.steps.extend(networkd.after);
    plan.steps.extend(edited.iter().flat_map(|edited| ifupdown::state(facts, &made, edited)));
    plan.steps.extend(other_names::steps(facts, host));
    plan.steps.extend(guest_vlans::steps(facts, host));
    let translating = nat::steps(facts, host, &portless);
    let forwards = !host.nats.is_empty() && !translating.is_empty();
    plan.steps.extend(translating);
    plan.steps.extend(routed::steps(facts, host, &portless, forwards));
    let stays = |bridge: &Bridge| is_managers(facts, bridge);
    // Whoever owns the network says that it is done before its addresses are looked for.
    let owners: Vec<Condition> = networkd.checks.into_iter().chain(manager.checks).collect();
    let checks = |counts: fn(&Address) -> bool| -> Vec<Condition> {
        let links = host.bridges.iter().flat_map(|bridge| link_checks(kernel, bridge));
        let addresses =
            host.bridges.iter().flat_map(|bridge| address_checks(kernel, bridge, stays(bridge), counts));
        links.chain(owners.iter().cloned()).chain(addresses).collect()
    };
    plan.checks = checks(|_| true);
    let standing: Vec<Condition> = portless
        .iter()
        .flat_map(portless::checks)
        .chain(nat::checks(host))
        .chain(routed::checks(facts, host))
        .collect();
    plan.checks.extend(standing.iter().cloned());
    plan.lasting_checks = checks(is_lasting);
    plan.lasting_checks.extend(standing);
    findings.extend(forwarding::turned_on(facts, host));
    findings.extend(nat::findings(facts, host));
    plan.findings = edited.map(|edited| edited.findings).unwrap_or_default();
    plan.findings.extend(findings);
    plan.findings.extend(networkd.findings);
    plan.findings.extend(manager.findings);
    Ok(plan)
}

/// Bridges with the address that each and its port have; one without is refused by itself.
fn addressed<'a>(facts: &Facts, bridges: Vec<&'a Bridge>) -> Vec<(&'a Bridge, Mac)> {
    bridges.into_iter().filter_map(|bridge| Some((bridge, ifupdown::mac(facts, bridge)?))).collect()
}

/// Whether the bridge's port is configured by NetworkManager.
fn is_managers(facts: &Facts, bridge: &Bridge) -> bool {
    facts.network.nic(bridge.nic()).is_some_and(manager::configures)
}

/// Whether the bridge's port is configured by systemd-networkd; without any owner, ifupdown is to have it.
fn is_networkds(facts: &Facts, bridge: &Bridge) -> bool {
    let nic = facts.network.nic(bridge.nic());
    nic.is_some_and(|nic| networkd::configures(facts, nic))
}

fn edit_interfaces(
    facts: &Facts,
    bridges: &[&Bridge],
    portless: &[Portless<'_>],
) -> Result<Option<ifupdown::Edited>, Box<Finding>> {
    let none = bridges.is_empty() && portless.is_empty();
    if none { Ok(None) } else { ifupdown::edit(facts, bridges, portless).map(Some) }
}

fn one(facts: &Facts, bridge: &Bridge) -> Result<(Vec<Step>, bool), Vec<Finding>> {
    let kernel = &facts.network.kernel;
    let Some(mac) = ifupdown::mac(facts, bridge) else {
        let what = format!("{} has no Ethernet address", bridge.port);
        return Err(vec![Finding::blocking(
            "nic-without-mac",
            what,
            "a bridge needs its port's address",
            "name an Ethernet NIC as the port",
        )]);
    };
    let name = bridge.name.as_str();
    let clients = match bridge.address {
        AddressPolicy::Keep if is_networkds(facts, bridge) || is_managers(facts, bridge) => {
            no_clients(facts, bridge)?
        }
        AddressPolicy::Keep => dhcp::moves(facts, bridge)?,
        AddressPolicy::None => no_clients(facts, bridge)?,
    };
    let links = match &bridge.vlan {
        None => Action::Links {
            ops: switch(kernel, name, &bridge.port, mac, bridge.address, &bridge.vlans),
            touches: touched(name, &bridge.port, bridge.address),
        },
        Some(vlan) => {
            let ops = on_vlan(kernel, name, vlan, mac);
            let is_down = kernel.link(&vlan.nic).is_some_and(|link| !link.up);
            let below = is_down.then(|| vlan.nic.clone());
            Action::Links {
                ops,
                touches: below.into_iter().chain([bridge.port.clone(), name.to_owned()]).collect(),
            }
        }
    };
    let has_carrier = kernel.link(bridge.nic()).is_some_and(|link| link.carrier);
    let carrier = has_carrier.then(|| Condition::LinkUp { link: bridge.nic().to_owned() });
    // An address that changed since would be put on the bridge as it was.
    let moved = moved_addresses(kernel, &bridge.port, mac);
    let still = moved.iter().filter(|address| bridge.address == AddressPolicy::Keep && is_ours(address));
    let has =
        |address: &Address| Condition::HasAddress { link: bridge.port.clone(), address: address.to_string() };
    let needs: Vec<Condition> = carrier.into_iter().chain(still.map(has)).collect();
    let why = match bridge.address {
        AddressPolicy::Keep => {
            "guests and dom0 then share the cable; addresses and routes move in one sequence"
        }
        AddressPolicy::None if bridge.vlan.is_some() => {
            "guests then have that VLAN to themselves; the NIC goes on as it is"
        }
        AddressPolicy::None => {
            "guests then have the cable to themselves; dom0 has no address there, IPv6 included"
        }
    };
    let switch =
        Draft::new(&format!("switch {name}"), format!("Make {name} over {}", bridge.port), why, links)
            .risks(&[Risk::CutsNetwork])
            .needs(needs)
            .leaves(vec![Condition::PortOf { link: bridge.port.clone(), master: name.to_owned() }])
            .this_boot()
            .step();
    let has_client = !clients.after.is_empty();
    Ok((clients.before.into_iter().chain([switch]).chain(clients.after).collect(), has_client))
}

/// A client on a NIC that is to have no address would give it one again; where networkd has the NIC, its own client
/// moves with the files, and another one would stay behind.
fn no_clients(facts: &Facts, bridge: &Bridge) -> Result<dhcp::Moved, Vec<Finding>> {
    let clients = facts.network.dhcp_clients.iter().filter(|client| client.link == bridge.port);
    let findings: Vec<Finding> = clients
        .map(|client| {
            let what = format!("{} (process {}) serves {}", client.program, client.pid, bridge.port);
            let why = match bridge.address {
                AddressPolicy::None => {
                    format!("{} is to have no address, and it would get one again", bridge.name)
                }
                AddressPolicy::Keep => {
                    let owner =
                        if is_managers(facts, bridge) { "NetworkManager" } else { "systemd-networkd" };
                    format!("{owner} has {}, and this client would take its address back", bridge.port)
                }
            };
            let fix = match bridge.address {
                AddressPolicy::None => format!("`ifdown {0}`, then `ip link set {0} up`", bridge.port),
                AddressPolicy::Keep => {
                    format!("decide for one: stop {} and see that it is not started again", client.program)
                }
            };
            Finding::blocking("dhcp-client-in-the-way", what, why, fix)
        })
        .collect();
    if findings.is_empty() { Ok(dhcp::Moved::default()) } else { Err(findings) }
}

/// An address that nobody lent.
fn is_lasting(address: &Address) -> bool {
    address.valid.is_none()
}

/// What a router advertised comes and goes without anybody's doing.
fn is_ours(address: &Address) -> bool {
    address.ip.is_ipv4() || is_lasting(address)
}

/// Returns what holds of the links of a bridge that is as it should be.
fn link_checks(kernel: &Network, bridge: &Bridge) -> Vec<Condition> {
    let name = || bridge.name.to_string();
    let mut checks = vec![Condition::PortOf { link: bridge.port.clone(), master: name() }];
    if kernel.link(bridge.nic()).is_some_and(|link| link.carrier) {
        checks.push(Condition::LinkUp { link: name() });
    }
    checks
}

/// Returns what holds of its addresses, those that `counts` lets through among it. NetworkManager makes link-local
/// addresses anew, from the profile: those of its NICs are not asked for.
fn address_checks(
    kernel: &Network,
    bridge: &Bridge,
    managers: bool,
    counts: fn(&Address) -> bool,
) -> Vec<Condition> {
    if bridge.address == AddressPolicy::None {
        return Vec::new();
    }
    let name = || bridge.name.to_string();
    let holder = if is_made(kernel, bridge) { bridge.name.as_str() } else { &bridge.port };
    let mac = kernel.link(&bridge.port).and_then(|link| link.mac).unwrap_or(Mac([0; 6]));
    let addresses = moved_addresses(kernel, holder, mac);
    let has = |address: &Address| Condition::HasAddress { link: name(), address: address.to_string() };
    let stays = |address: &&Address| is_ours(address) && !(managers && address.is_link_local());
    let own = addresses.iter().filter(stays).filter(|address| counts(address)).map(has);
    own.chain(gateways(kernel, holder).into_iter().map(|ip| Condition::Answers { link: name(), ip }))
        .collect()
}

/// Returns the gateways of the main table's default routes by a link, each once. One that a router advertisement named
/// is left out: it has a link-local address, and so has to have the bridge before it can ask for it.
fn gateways(kernel: &Network, link: &str) -> Vec<IpAddr> {
    let ours = |route: &&Route| {
        route.destination.is_none() && route.table == MAIN_TABLE && route.protocol != ADVERTISED
    };
    let mut gateways: Vec<IpAddr> = Vec::new();
    for route in kernel.routes_by(link).filter(ours) {
        gateways.extend(route.gateway.filter(|ip| !gateways.contains(ip)));
    }
    gateways
}
