//! Findings about NICs. Decides for the ports of the bridges that are wanted, and for what names any NIC; never for a
//! NIC that stays as it is.

use super::super::facts::{Facts, Mention, Nic};
use super::super::finding::Finding;
use super::super::network::mentions::renamed;
use super::{Context, Hit, joined};
use crate::host::{AddressPolicy, Bridge, Host};
use crate::network::refuse;

impl<'a> Context<'a> {
    /// The ports that are there; an absent one is the plan's to name.
    fn nics(&self) -> impl Iterator<Item = &'a Nic> {
        self.ports.iter().filter_map(|port| self.facts.network.nic(port))
    }
}

/// The NICs with the default route, those below a bridge that has it included.
pub(super) fn likely_ports(facts: &Facts) -> Vec<&str> {
    let network = &facts.network;
    let carries = |link: &str| network.kernel.routes_by(link).any(|route| route.destination.is_none());
    let nics =
        network.nics.iter().filter(|nic| nic.default_route || nic.master.as_deref().is_some_and(carries));
    nics.map(|nic| nic.name.as_str()).collect()
}

pub(super) fn interfaces_unreadable(context: &Context<'_>) -> Vec<Hit> {
    let Some(error) = &context.facts.network.interfaces_error else { return Vec::new() };
    Hit::new(
        format!("the interfaces files cannot be read: {error}"),
        "a plan would have to guess what they say",
        "correct the file; `ifquery --list --all` says whether ifupdown takes it",
    )
    .once()
}

pub(super) fn root_on_network(context: &Context<'_>) -> Vec<Hit> {
    let Some(sign) = &context.facts.boot.root_on_network else { return Vec::new() };
    if context.ports.is_empty() {
        return Vec::new();
    }
    Hit::new(
        format!("the root file system is on the network: {sign}"),
        format!(
            "while {} becomes a port of a bridge, the machine would lose its own root",
            joined(&context.ports)
        ),
        "bridge a NIC that the root file system does not need",
    )
    .once()
}

pub(super) fn two_owners(context: &Context<'_>) -> Vec<Hit> {
    let nics = context.nics().filter(|nic| nic.owners.len() > 1);
    nics.map(|nic| {
        let names: Vec<&str> = nic.owners.iter().map(|owner| owner.kind.program()).collect();
        Hit::new(
            format!("{} is configured by {}", nic.name, joined(&names)),
            "whichever acts last wins; a bridge made for one is taken apart by the other",
            format!("decide for one and remove {} from the other", nic.name),
        )
        .at(nic.owners.iter().flat_map(|owner| owner.at.clone()))
    })
    .collect()
}

pub(super) fn owner_not_supported(context: &Context<'_>) -> Vec<Hit> {
    // Several owners are a finding of their own.
    let nics = context.nics().filter(|nic| nic.owners.len() == 1);
    let found = nics.filter_map(|nic| Some((nic, refuse::unsupported(context.facts, nic)?)));
    found
        .map(|(nic, owner)| {
            let (what, why, fix) = refuse::not_supported(nic, owner.kind);
            Hit::new(what, why, fix).at(owner.at.clone())
        })
        .collect()
}

pub(super) fn wireless(context: &Context<'_>) -> Vec<Hit> {
    let nics = context.nics().filter(|nic| nic.wireless);
    nics.map(|nic| {
        Hit::new(
            format!("{} is wireless", nic.name),
            "an access point takes frames of its own station only, so that guests behind a bridge are not heard",
            "bridge a wired NIC",
        )
    })
    .collect()
}

pub(super) fn enslaved(context: &Context<'_>) -> Vec<Hit> {
    let kernel = &context.facts.network.kernel;
    let nics = context.nics().filter_map(|nic| Some((nic, nic.master.as_deref()?)));
    // A port of a bridge is what a converted machine has.
    let nics = nics.filter(|(_, master)| kernel.link(master).is_none_or(|link| link.bridge.is_none()));
    nics.map(|(nic, master)| {
        Hit::new(
            format!("{} is a port of {master} already", nic.name),
            "a NIC has one master",
            format!("name {master} as the port, or take {} out of it", nic.name),
        )
    })
    .collect()
}

pub(super) fn without_owner(context: &Context<'_>) -> Vec<Hit> {
    let kernel = &context.facts.network.kernel;
    let nics = context.nics().filter(|nic| {
        nic.owners.is_empty()
            && nic.master.is_none()
            && context.facts.network.interfaces_error.is_none()
            && kernel.addresses_on(&nic.name).any(|address| !address.is_link_local())
    });
    nics.map(|nic| {
        Hit::new(
            format!("{} has an address, and no configuration names it", nic.name),
            "it was set by hand or by a program that xenup does not know, and is gone after a reboot",
            format!("write a stanza for {} into /etc/network/interfaces", nic.name),
        )
    })
    .collect()
}

pub(super) fn configured_absent(context: &Context<'_>) -> Vec<Hit> {
    let network = &context.facts.network;
    let spare: Vec<&str> = network
        .nics
        .iter()
        .filter(|nic| nic.kind.is_none() && nic.owners.is_empty())
        .map(|nic| nic.name.as_str())
        .collect();
    let fix = |absent: &str| match spare.as_slice() {
        [one] => format!("write {one} in the place of {absent}, if that is the NIC meant"),
        _ => format!("correct the name, or remove what is configured for {absent}"),
    };
    network
        .absent
        .iter()
        .map(|absent| {
            Hit::new(
                format!("{} configures {}, and there is no such link", absent.owner.program(), absent.name),
                "a NIC was renamed or taken out; ifup fails on it at every boot",
                fix(&absent.name),
            )
            .at([absent.at.clone()])
        })
        .collect()
}

pub(super) fn named_elsewhere(context: &Context<'_>) -> Vec<Hit> {
    let mentions = &context.facts.network.mentions;
    let nics = context.nics().filter(|nic| nic.master.is_none());
    nics.filter_map(|nic| {
        let own: Vec<_> = mentions.iter().filter(|mention| mention.nic == nic.name).collect();
        let mut of: Vec<&str> = own.iter().map(|mention| mention.of.as_str()).collect();
        of.sort_unstable();
        of.dedup();
        let first = own.first()?;
        Some(
            Hit::new(
                format!("{} is named by {} too: \"{}\"", nic.name, joined(&of), first.text),
                "the addresses move to the bridge: what names the NIC no longer matches its traffic, and a new session \
                 may be refused where the old one goes on",
                format!("name the bridge beside {} in these lines before the change", nic.name),
            )
            .at(own.iter().map(|mention| mention.at.clone())),
        )
    })
    .collect()
}

/// Lines of these are shown as they have to be for the bridge; the others say more than a name can tell.
const SHOWN: [&str; 5] = ["nftables", "iptables", "ufw", "sysctl", "wireguard"];
/// More of them say nothing that the first do not.
const MOST_SHOWN: usize = 8;

/// Returns what is to be done about lines that name a port: each as it has to be for its bridge, as far as that is sure.
pub(super) fn lines_for_bridges(facts: &Facts, host: &Host, finding: &Finding) -> String {
    let moves = host.bridges.iter().filter(|bridge| bridge.address == AddressPolicy::Keep);
    let lines = |bridge: &Bridge| -> Vec<String> {
        let of_port = facts.network.mentions.iter().filter(|mention| mention.nic == bridge.port);
        let here = of_port.filter(|mention| finding.at.contains(&mention.at));
        let sure = here.filter(|mention| SHOWN.contains(&mention.of.as_str()));
        let one = |mention: &Mention| {
            let line = renamed(&mention.text, &mention.nic, bridge.name.as_str())?;
            Some(format!("{}:{} `{line}`", mention.at.path.display(), mention.at.line))
        };
        sure.filter_map(one).collect()
    };
    let all: Vec<String> = moves.flat_map(lines).collect();
    let rest = all.len().saturating_sub(MOST_SHOWN);
    let shown: Vec<&str> = all.iter().take(MOST_SHOWN).map(String::as_str).collect();
    match (shown.is_empty(), rest) {
        (true, _) => finding.fix.clone(),
        (false, 0) => format!("{}; beside each of these: {}", finding.fix, shown.join(", ")),
        (false, rest) => {
            format!(
                "{}; beside each of these: {}, and {rest} more in the same way",
                finding.fix,
                shown.join(", ")
            )
        }
    }
}

pub(super) fn cloud_init(context: &Context<'_>) -> Vec<Hit> {
    let Some(path) = &context.facts.services.cloud_init_network else { return Vec::new() };
    // Files of ours come before what netplan makes of its own.
    if path.starts_with("/etc/netplan") {
        return Vec::new();
    }
    Hit::new(
        format!("cloud-init writes {} again at boot", path.display()),
        "the bridge would be gone with the next new instance id or datasource",
        "echo 'network: {config: disabled}' > /etc/cloud/cloud.cfg.d/99-disable-network-config.cfg",
    )
    .at([super::At { path: path.clone(), line: 0 }])
    .once()
}

pub(super) fn forward_drop(context: &Context<'_>) -> Vec<Hit> {
    let facts = context.facts;
    let Some(chain) = &facts.network.forward_drop else { return Vec::new() };
    let docker = facts.services.active.iter().any(|unit| unit == "docker.service");
    let by = if docker { " (Docker sets it)" } else { "" };
    let why = if facts.network.bridge_nf_call {
        "bridged packets pass that chain here (net.bridge.bridge-nf-call-iptables = 1): guests would have no network"
    } else {
        "routed guests pass that chain, and bridged ones too as soon as br_netfilter is loaded"
    };
    let fix = if docker {
        "allow the bridge: iptables -I DOCKER-USER -i xenbr0 -o xenbr0 -j ACCEPT"
    } else {
        "allow what goes from the bridge to the bridge in that chain"
    };
    Hit::new(format!("the policy of {chain} is drop{by}"), why, fix).once()
}

pub(super) fn dhcp_on_every_link(context: &Context<'_>) -> Vec<Hit> {
    let clients = context.facts.network.dhcp_clients.iter().filter(|client| client.link == "*");
    clients
        .map(|client| {
            Hit::new(
                format!("{} asks for an address on every link (process {})", client.program, client.pid),
                "it would ask on a bridge's port and on guests' vifs as well",
                "write denyinterfaces vif* and the port's name into /etc/dhcpcd.conf",
            )
        })
        .collect()
}

pub(super) fn session(context: &Context<'_>) -> Vec<Hit> {
    let Some(session) = &context.facts.session else { return Vec::new() };
    let Some(link) = session.link.as_deref().filter(|link| context.ports.contains(link)) else {
        return Vec::new();
    };
    Hit::new(
        format!("this session (from {}) comes in through {link}", session.client),
        format!("{link} becomes a port of a bridge while you look on"),
        "be ready to come in a second time: only a new connection can confirm the change",
    )
    .once()
}
