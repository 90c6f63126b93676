//! dom0 forwards IPv4 packets, for guests behind its address (`[[nat]]`) and for those that it routes to (`[[routed]]`).
//!
//! Decides: the step that switches it on, its exact undo, and what somebody should know before. Never: what may pass.

use std::path::Path;

use xenup_engine::action::Action;
use xenup_engine::plan::{Risk, Step};
use xenup_machine::process::Command;

use crate::host::Host;
use crate::inspect::facts::{At, Facts};
use crate::inspect::{Finding, Weight};
use crate::plan::step::Draft;

/// The bridge for whose sake dom0 forwards, and its line in host.toml.
fn first(host: &Host) -> Option<(&str, u32)> {
    let nats = host.nats.iter().map(|nat| (nat.name.as_str(), nat.line));
    let routed = host.routed.iter().map(|routed| (routed.name.as_str(), routed.line));
    nats.chain(routed).next()
}

/// Returns what stands in the way of forwarding.
#[must_use]
pub fn forbidden(facts: &Facts, host: &Host, file: &Path) -> Option<Finding> {
    let (name, line) = first(host)?;
    let off = facts.network.forwarding_off.clone()?;
    let finding = Finding::blocking(
        "forwarding-forbidden",
        format!("{} switches forwarding off at boot, and {name} needs it", off.path.display()),
        "files of sysctl.d(5) are read in the order of their names, and that one comes behind ours",
        "take the line out, or let it say 1",
    );
    Some(Finding { at: vec![off, At { path: file.to_owned(), line }], ..finding })
}

/// Returns what somebody should know before dom0 begins to forward; nothing where it does already.
#[must_use]
pub fn turned_on(facts: &Facts, host: &Host) -> Option<Finding> {
    let (_, line) = first(host)?;
    if facts.network.forwarding {
        return None;
    }
    let kernel = &facts.network.kernel;
    let ours = |name: &str| {
        let nats = host.nats.iter().map(|nat| nat.name.as_str());
        nats.chain(host.routed.iter().map(|routed| routed.name.as_str())).any(|own| own == name)
    };
    let with_address = |link: &&str| kernel.addresses_on(link).any(|address| address.ip.is_ipv4());
    let others = kernel.links.iter().filter(|link| !link.loopback && !ours(&link.name));
    let mut links: Vec<&str> = others.map(|link| link.name.as_str()).filter(with_address).collect();
    links.sort_unstable();
    let several = links.len() > 1;
    let why = if several {
        format!("it then carries packets between {} too, for whoever sends them to it", links.join(" and "))
    } else {
        "without it no packet of a guest leaves dom0; it has no other network to carry packets to".to_owned()
    };
    let fix = if several {
        "say in a forward chain of /etc/nftables.conf what may pass between them"
    } else {
        "nothing to do"
    };
    let weight = if several { Weight::Warning } else { Weight::Note };
    let finding = Finding::blocking("forwarding-turned-on", "dom0 begins to forward IPv4 packets", why, fix);
    Some(Finding { weight, at: vec![At { path: host.path.clone(), line }], ..finding })
}

/// The switch of all is undone together with those that the kernel sets by itself whenever that one changes. It is set again
/// by a file at every boot, so that an undo in any boot has to switch it off.
pub(super) fn step(facts: &Facts) -> Step {
    let network = &facts.network;
    let set = |value| format!("echo {value} >/proc/sys/net/ipv4/ip_forward");
    let mut off = set(0);
    if network.refuses_redirects {
        off.push_str(" && echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects");
    }
    let mut words = vec!["-c".to_owned(), off];
    if !network.forwards_from.is_empty() {
        let each = " && for link; do f=/proc/sys/net/ipv4/conf/$link/forwarding; \
                    [ ! -e \"$f\" ] || echo 1 >\"$f\" || exit; done";
        words.iter_mut().skip(1).for_each(|script| script.push_str(each));
        words.push("sh".to_owned());
        words.extend(network.forwards_from.iter().cloned());
    }
    let action = Action::run(
        Some(Command::new("sh", ["-c".to_owned(), set(1)]).within(30)),
        (!network.forwarding).then(|| Command::new("sh", words).within(30)),
    );
    let why = "without it no packet of a guest leaves dom0";
    Draft::new("forwarding", "Forward IPv4 packets", why, action).risks(&[Risk::CutsNetwork]).step()
}
