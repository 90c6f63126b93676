//! Guests that dom0 routes to (`[[routed]]`): nothing is translated, and dom0 may answer for them on its own cable.
//!
//! Decides: what stands in the way of their subnets, the sysctls, and on which link dom0 answers by proxy ARP: where a
//! network of dom0's own covers an address that it sends to guests.
//! Never: filters a packet. The bridge itself is made as any without a port (see `portless`).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::network::{Network, Prefix};
use xenup_machine::process::Command;

use super::forwarding;
use super::portless::{Portless, is_made};
use crate::host::{AddressPolicy, Host, Routed, Subnet};
use crate::inspect::facts::{At, Facts};
use crate::inspect::{Finding, Weight};
use crate::plan::step::{Draft, write};

/// The file that has packets forwarded, and dom0 answer for guests, from the next boot on.
pub const SYSCTL: &str = "/etc/sysctl.d/60-xenup-routed.conf";

/// Returns what stands in the way of a routed network.
#[must_use]
pub fn refuse(facts: &Facts, host: &Host, file: &Path, routed: &Routed) -> Vec<Finding> {
    let kernel = &facts.network.kernel;
    let mut found: Vec<Finding> =
        subnets(routed).filter_map(|subnet| taken(kernel, routed, subnet)).collect();
    let covered = routed.routes.iter().find(|subnet| !covering(kernel, routed, **subnet).is_empty());
    match (covered, routed.proxy_arp) {
        (Some(subnet), false) => {
            let by = covering(kernel, routed, *subnet).join(" and ");
            let finding = Finding::blocking(
                "routed-not-answered-for",
                format!("{subnet} of {} lies in the network of {by}", routed.name),
                "neighbours there ask for it by ARP, and nobody answers unless the router sends it to dom0 by itself",
                "write proxy-arp = true, or nothing where the provider routes it to this machine",
            );
            found.push(Finding { weight: Weight::Warning, ..finding });
        }
        (None, true) => {
            let finding = Finding::blocking(
                "routed-proxy-idle",
                format!(
                    "no network of dom0's covers a route of {}, so that proxy-arp has nothing to answer for",
                    routed.name
                ),
                "dom0 answers for an address where its neighbours would ask for it",
                "take proxy-arp out, or name the guests' addresses in routes",
            );
            found.push(Finding { weight: Weight::Warning, ..finding });
        }
        _ => {}
    }
    found.extend(answers_for_others(kernel, host, routed));
    found.extend(dropped(facts, routed));
    let here = At { path: file.to_owned(), line: routed.line };
    found.into_iter().map(|finding| Finding { at: vec![here.clone()], ..finding }).collect()
}

/// The networks that are sent to the bridge.
fn subnets(routed: &Routed) -> impl Iterator<Item = Subnet> + '_ {
    std::iter::once(routed.network).chain(routed.routes.iter().copied())
}

/// An address, or a network, within the subnet that is somebody else's; dom0's own address may be the guests' gateway too.
fn taken(kernel: &Network, routed: &Routed, subnet: Subnet) -> Option<Finding> {
    let ours = |link: &str| link == routed.name.as_str();
    let gateway = subnet == routed.network && subnet.length == 32;
    let within = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if subnet.meets(ip, 32));
    let address = kernel
        .addresses
        .iter()
        .find(|entry| !gateway && !ours(&entry.link) && within(entry.address.ip))
        .map(|entry| format!("{} has {}", entry.link, entry.address));
    let inside = |to: Prefix| to.length >= subnet.length && within(to.ip);
    let route = || {
        let mut others =
            kernel.routes.iter().filter(|route| !gateway && !route.link.as_deref().is_some_and(ours));
        others
            .find(|route| route.destination.is_some_and(inside))
            .map(|route| format!("there is a route {route}"))
    };
    let taken = address.or_else(route)?;
    Some(Finding::blocking(
        "routed-subnet-taken",
        format!("{subnet} of {} is in use: {taken}", routed.name),
        "dom0 would send to guests what is meant for others",
        "write in host.toml what is the guests' alone; dom0's own address can be theirs as a gateway, with /32",
    ))
}

/// The links in whose own network a subnet lies.
fn covering<'a>(kernel: &'a Network, routed: &Routed, subnet: Subnet) -> Vec<&'a str> {
    let covers = |to: Prefix| match to.ip {
        IpAddr::V4(ip) => (1..subnet.length).contains(&to.length) && subnet.meets(ip, to.length),
        IpAddr::V6(_) => false,
    };
    let mut links: Vec<&str> = kernel
        .routes
        .iter()
        .filter(|route| route.gateway.is_none() && route.destination.is_some_and(covers))
        .filter_map(|route| route.link.as_deref())
        .filter(|link| *link != routed.name.as_str())
        .collect();
    links.sort_unstable();
    links.dedup();
    links
}

/// Returns the links on which dom0 answers for guests, as they are called once the plan is carried out.
fn answering<'a>(kernel: &'a Network, host: &'a Host) -> Vec<&'a str> {
    let proxied = host.routed.iter().filter(|routed| routed.proxy_arp);
    let all = proxied
        .flat_map(|routed| routed.routes.iter().flat_map(move |subnet| covering(kernel, routed, *subnet)));
    let later = |link: &'a str| {
        let moves =
            |bridge: &&crate::host::Bridge| bridge.port == link && bridge.address == AddressPolicy::Keep;
        host.bridges.iter().find(moves).map_or(link, |bridge| bridge.name.as_str())
    };
    let mut links: Vec<&str> = all.map(later).collect();
    links.sort_unstable();
    links.dedup();
    links
}

/// The kernel answers for whatever it would send elsewhere (arp_process, net/ipv4/arp.c).
fn answers_for_others(kernel: &Network, host: &Host, routed: &Routed) -> Option<Finding> {
    let on = answering(kernel, host);
    if !routed.proxy_arp || on.is_empty() {
        return None;
    }
    let port_of = |link: &str| {
        host.bridges.iter().any(|bridge| bridge.port == link && on.contains(&bridge.name.as_str()))
    };
    let is_routed = |link: &str| host.routed.iter().any(|one| one.name.as_str() == link);
    let mut others: Vec<String> = kernel
        .routes
        .iter()
        .filter(|route| !route.ipv6 && route.destination.is_some())
        .filter(|route| {
            let link = route.link.as_deref().unwrap_or_default();
            !on.contains(&link) && !port_of(link) && !is_routed(link)
        })
        .filter_map(|route| route.destination.map(|to| format!("{}/{}", to.ip, to.length)))
        .collect();
    others.dedup();
    if others.is_empty() {
        return None;
    }
    let finding = Finding::blocking(
        "proxy-arp-for-others",
        format!("on {} dom0 then answers for {} too", on.join(" and "), others.join(", ")),
        "proxy ARP answers for every address that dom0 would send by another link",
        "nothing to do where nobody there asks for them; else have the provider route the guests' addresses to dom0",
    );
    Some(Finding { weight: Weight::Warning, ..finding })
}

fn dropped(facts: &Facts, routed: &Routed) -> Option<Finding> {
    let chain = facts.network.forward_drop.as_ref()?;
    let finding = Finding::blocking(
        "routed-forward-dropped",
        format!(
            "the policy of {chain} is drop, and packets to and from guests of {} pass that chain",
            routed.name
        ),
        "nothing reaches them but what a rule of that chain lets through",
        format!(
            "allow there what comes in by {0} and what goes out by {0}, as far as it should",
            routed.name
        ),
    );
    Some(Finding { weight: Weight::Warning, ..finding })
}

/// Returns the steps after which dom0 routes; none where it does. `forwards` says that another step has it forward.
#[must_use]
pub fn steps(facts: &Facts, host: &Host, bridges: &[Portless<'_>], forwards: bool) -> Vec<Step> {
    if host.routed.is_empty() {
        return Vec::new();
    }
    let kernel = &facts.network.kernel;
    let is_routed =
        |bridge: &&Portless<'_>| host.routed.iter().any(|routed| routed.name.as_str() == bridge.name);
    let made = bridges.iter().filter(is_routed).all(|bridge| is_made(kernel, bridge));
    let links = answering(kernel, host);
    let path = Path::new(SYSCTL);
    let file = write(path, &sysctl(&links), facts.file(path));
    if made && file.is_none() {
        return Vec::new();
    }
    let title = format!("Write {SYSCTL}");
    let why = "dom0 carries the packets of guests from the next boot on too";
    let mut steps: Vec<Step> = file
        .map(|action| Draft::new(&title, title.clone(), why, action).risks(&[Risk::CutsNetwork]).step())
        .into_iter()
        .collect();
    if !forwards {
        steps.push(forwarding::step(facts));
    }
    steps.extend(links.into_iter().map(|link| answer(facts, link)));
    steps
}

fn sysctl(links: &[&str]) -> String {
    let mut text =
        "# Written by xenup: dom0 routes to guests. See sysctl.d(5).\nnet.ipv4.ip_forward = 1\n".to_owned();
    for link in links {
        // A dot in a link's name is a slash here.
        let _ = writeln!(text, "net.ipv4.conf.{}.proxy_arp = 1", link.replace('.', "/"));
    }
    text
}

fn switch_of(link: &str) -> PathBuf {
    format!("/proc/sys/net/ipv4/conf/{link}/proxy_arp").into()
}

fn answer(facts: &Facts, link: &str) -> Step {
    let set = |script: &str| {
        let path = switch_of(link).display().to_string();
        Command::new("sh", ["-c", script, "sh", &path]).within(30)
    };
    // A link that is not there any more answers for nobody.
    let off = (!facts.network.proxy_arp.iter().any(|on| on == link))
        .then(|| set("[ ! -e \"$1\" ] || echo 0 >\"$1\""));
    let action = Action::run(Some(set("echo 1 >\"$1\"")), off);
    let title = format!("Answer on {link} for guests that dom0 routes to");
    let why = "their addresses lie in the network there, and neighbours ask for them by ARP";
    Draft::new(&format!("proxy-arp {link}"), title, why, action).risks(&[Risk::CutsNetwork]).step()
}

/// Returns what holds once dom0 routes.
#[must_use]
pub fn checks(facts: &Facts, host: &Host) -> Vec<Condition> {
    if host.routed.is_empty() {
        return Vec::new();
    }
    let says = |path: PathBuf| Condition::FileSays { path, text: "1".to_owned() };
    let answering = answering(&facts.network.kernel, host);
    let all = std::iter::once(PathBuf::from("/proc/sys/net/ipv4/ip_forward"));
    all.chain(answering.into_iter().map(switch_of)).map(says).collect()
}
