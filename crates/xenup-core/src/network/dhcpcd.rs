//! A dhcpcd that ifupdown started moves from a NIC to its bridge and keeps its lease.
//!
//! Decides: whether it can be moved, and by which commands. Who it is to the server lies in its DUID, which is the machine's, and
//! in the Ethernet address, which the bridge has too; its lease lies in a file of the link's name. A dhcpcd for one link looks after
//! IPv6 on it as well. Source: dhcpcd(8), dhcpcd.conf(5), ifupdown's inet.defn.
//! Never: runs one.

use std::path::Path;

use xenup_engine::action::Action;
use xenup_engine::plan::{Risk, Step};
use xenup_machine::network::{Countdown, LinkOp, Route};
use xenup_machine::process::Command;

use super::dhcp::{self, Moved, STARTED_SECONDS};
use super::interfaces::{self, AddressPlan, Addressing, DhcpOptions, MAIN};
use crate::host::Bridge;
use crate::inspect::facts::{DhcpClient, Facts};
use crate::plan::step::Draft;

/// Its configuration.
pub const CONF: &str = "/etc/dhcpcd.conf";
const PROGRAM: &str = "/usr/sbin/dhcpcd";
/// RTPROT_DHCP and RTPROT_RA of linux/rtnetlink.h.
const LENT: [u8; 2] = [16, 9];

/// Returns how a dhcpcd on the bridge's port moves.
///
/// # Errors
/// What keeps it there, and what helps.
pub(super) fn moves(facts: &Facts, bridge: &Bridge, client: &DhcpClient) -> Result<Moved, (String, String)> {
    if !is_by_ifupdown(client, bridge) {
        return Err((
            "only one that ifupdown has started for this NIC alone can be moved".to_owned(),
            format!("end it, and `ifup {}` on the console", bridge.port),
        ));
    }
    let Some(options) = options(facts, bridge) else {
        return Err((
            format!("no stanza of interfaces(5) says `iface {} inet dhcp`", bridge.port),
            "see who has started it, and have one owner for the NIC".to_owned(),
        ));
    };
    if !persists(facts) {
        return Err((
            format!("{CONF} does not say `persistent`: it would take the address away as it ends"),
            format!(
                "write `persistent` into {CONF}, then `ifdown {0} && ifup {0}` on the console",
                bridge.port
            ),
        ));
    }
    let mut after = vec![begin(bridge, &options)];
    after.extend(tidy(facts, bridge, &options));
    Ok(Moved { before: vec![end(bridge, &options), lease(bridge)], after })
}

/// The title that dhcpcd gives itself where it was started for one link: `dhcpcd: eno1 [ip4] [ip6]`.
fn is_by_ifupdown(client: &DhcpClient, bridge: &Bridge) -> bool {
    let title = client.args.join(" ");
    let mut words = title.split_ascii_whitespace();
    words.next() == Some("dhcpcd:") && words.next() == Some(bridge.port.as_str())
}

fn options(facts: &Facts, bridge: &Bridge) -> Option<DhcpOptions> {
    let files = interfaces::by_path(&facts.network.files);
    let tree = interfaces::load(&files, Path::new(MAIN)).ok()?;
    let plans = AddressPlan::of_interface(&tree, &bridge.port).ok()?;
    plans.into_iter().find_map(|plan| match plan.addressing {
        Addressing::Dhcp(options) => Some(options),
        _ => None,
    })
}

/// Without this word it takes addresses and routes away when it ends.
fn persists(facts: &Facts) -> bool {
    let text = facts.file(Path::new(CONF)).unwrap_or_default();
    text.lines().any(|line| line.split('#').next().unwrap_or_default().trim() == "persistent")
}

/// The arguments that ifupdown gives it for a link.
fn args(options: &DhcpOptions, link: &str) -> Vec<String> {
    let lease = options.lease_seconds.map(|seconds| seconds.to_string());
    let metric = options.metric.map(|metric| metric.to_string());
    let each = [
        ("-h", &options.hostname),
        ("-i", &options.vendor),
        ("-I", &options.client),
        ("-l", &lease),
        ("-m", &metric),
    ];
    let given = each.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value.clone()?]));
    given.flatten().chain([link.to_owned()]).collect()
}

fn pid_file(link: &str) -> String {
    format!("/run/dhcpcd/{link}.pid")
}

/// With `persistent`, what it has set stays.
fn stop(link: &str) -> Command {
    dhcp::stop("dhcpcd", &pid_file(link), &[])
}

/// An undo starts it on the port again, and does not wait for its lease: the server may be away.
fn end(bridge: &Bridge, options: &DhcpOptions) -> Step {
    let pid_file = pid_file(&bridge.port);
    let matching = ["--start", "--oknodo", "--name", "dhcpcd", "--pidfile", &pid_file];
    let start = ["--startas", PROGRAM, "--", "--background"];
    let args = args(options, &bridge.port);
    let words = matching.into_iter().chain(start).chain(args.iter().map(String::as_str));
    let again = Command::new("start-stop-daemon", words).within(STARTED_SECONDS);
    dhcp::ended(&id("stop", bridge), bridge, stop(&bridge.port), again)
}

/// Its leases of both families, as far as it has any.
fn lease(bridge: &Bridge) -> Step {
    let file = |link: &str, family: &str| format!("/var/lib/dhcpcd/{link}.lease{family}");
    let to = ["", "6"].map(|family| file(bridge.name.as_str(), family));
    let script = "while [ $# -gt 0 ]; do [ ! -e \"$1\" ] || cp -p \"$1\" \"$2\"; shift 2; done";
    let pairs = ["", "6"].map(|family| file(&bridge.port, family)).into_iter().zip(&to);
    let pairs = pairs.flat_map(|(from, to)| [from, to.clone()]);
    let words = ["-euc", script, "sh"].map(str::to_owned).into_iter().chain(pairs);
    dhcp::lease_copied(&id("lease", bridge), bridge, Command::new("sh", words).within(30), &to)
}

fn begin(bridge: &Bridge, options: &DhcpOptions) -> Step {
    let (name, why) = (bridge.name.as_str(), "as ifup would, so that ifdown finds it");
    let client = Command::new("dhcpcd", args(options, name));
    dhcp::begun(&id("start", bridge), bridge, why, client, stop(name))
}

fn id(what: &str, bridge: &Bridge) -> String {
    format!("dhcp-{what}-{}", bridge.name)
}

/// It gives routes a metric by the link's number and makes its own beside those that moved, which nobody would look after.
fn tidy(facts: &Facts, bridge: &Bridge, options: &DhcpOptions) -> Option<Step> {
    let kernel = &facts.network.kernel;
    let lent = |route: &&Route| LENT.contains(&route.protocol) && route.metric > 0;
    let on_bridge = |route: &Route| Route {
        link: Some(bridge.name.to_string()),
        expires: Countdown::default(),
        ..route.clone()
    };
    let routes = kernel.routes_by(&bridge.port).filter(lent).filter(|_| options.metric.is_none());
    let mut ops: Vec<LinkOp> = routes.map(|route| LinkOp::DeleteRoute { route: on_bridge(route) }).collect();
    // Gateways first: they need the network's own route.
    ops.sort_by_key(|op| matches!(op, LinkOp::DeleteRoute { route } if route.gateway.is_none()));
    if ops.is_empty() {
        return None;
    }
    let draft = Draft::new(
        &id("routes", bridge),
        format!("Take the routes away that the client on {} has made anew", bridge.name),
        "it numbers them by the link: those that moved would stay beside them",
        Action::Links { ops, touches: vec![bridge.name.to_string()] },
    );
    Some(draft.risks(&[Risk::CutsNetwork]).this_boot().step())
}
