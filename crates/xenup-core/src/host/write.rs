//! The host.toml that `xenup init` writes: what this machine has, as wishes.
//! Decides what is proposed; never writes a file.

use std::fmt::Write as _;

use crate::inspect::Facts;
use crate::inspect::facts::Nic;

const HEADER: &str = "\
# host.toml: what xenup makes of this machine. See host.toml(5).
# Written by `xenup init` from what it found; yours to edit. Nothing happens before `xenup apply`.
";

/// Returns a host.toml for this machine: one bridge over the NIC that has the default route, every other NIC named in
/// a comment. It parses; whether it can be planned is for the plan to say.
#[must_use]
pub fn from_facts(facts: &Facts) -> String {
    let mut text = HEADER.to_owned();
    text.push_str("\n[xen]\n");
    let _ = writeln!(text, "dom0-memory = \"{}\"", proposed_memory(facts.hardware.memory));
    let _ = writeln!(text, "dom0-vcpus = {}", facts.hardware.cpus.clamp(1, 2));
    let _ = writeln!(text, "console = \"{}\"", proposed_console(&facts.boot.cmdline));
    text.push_str(
        "options = []\n\n[boot]\ndefault = \"xen\"  # reached by one trial boot, kept only when confirmed\n",
    );
    bridges(&mut text, facts);
    text.push_str(
        "\n[guests]\non-shutdown = \"shutdown\"  # or \"save\", where the disk has room for their memory\n",
    );
    text
}

/// A bridge of the file: its name, its port, and the link that has the addresses today.
struct Proposal<'a> {
    name: &'a str,
    port: &'a Nic,
    today: &'a str,
}

fn bridges(text: &mut String, facts: &Facts) {
    let proposals = proposals(facts);
    for proposal in &proposals {
        let addresses: Vec<String> = facts
            .network
            .kernel
            .addresses_on(proposal.today)
            .filter(|address| !address.is_link_local())
            .map(ToString::to_string)
            .collect();
        let _ = writeln!(
            text,
            "\n[[bridge]]\nname = \"{}\"\nports = [\"{}\"]",
            proposal.name, proposal.port.name
        );
        if let Some(mac) = proposal.port.mac {
            let _ = writeln!(text, "mac = \"{mac}\"");
        }
        if addresses.is_empty() {
            text.push_str("address = \"none\"  # it has none today\n");
        } else {
            let _ = writeln!(text, "address = \"keep\"  # today: {}", addresses.join(", "));
        }
    }
    if proposals.is_empty() {
        text.push_str("\n# No NIC has the default route: name the bridge's port here.\n");
        text.push_str("# [[bridge]]\n# name = \"xenbr0\"\n# ports = [\"eno1\"]\n# address = \"keep\"\n");
    }
    for nic in &facts.network.nics {
        if proposals.iter().all(|proposal| proposal.port.name != nic.name) {
            let _ = writeln!(
                text,
                "\n# {} is not named in a bridge: it is dom0's alone and is never touched.",
                nic.name
            );
        }
    }
}

/// Bridges that are there already, or else one over the NIC with the default route.
fn proposals(facts: &Facts) -> Vec<Proposal<'_>> {
    let nics = &facts.network.nics;
    let mut proposals: Vec<Proposal<'_>> = Vec::new();
    for link in facts.network.kernel.links.iter().filter(|link| link.bridge.is_some()) {
        let mut ports = nics.iter().filter(|nic| nic.master.as_deref() == Some(&link.name));
        let name_fits = link.name.parse::<super::LinkName>().is_ok();
        if let (Some(port), None, true) = (ports.next(), ports.next(), name_fits) {
            proposals.push(Proposal { name: &link.name, port, today: &link.name });
        }
    }
    if proposals.is_empty() {
        let proposable = |nic: &&Nic| {
            nic.default_route
                && !nic.wireless
                && nic.master.is_none()
                && nic.kind.as_deref().is_none_or(|kind| kind == "bond")
        };
        let shared = nics.iter().find(proposable);
        proposals.extend(shared.map(|port| Proposal { name: "xenbr0", port, today: &port.name }));
    }
    proposals
}

const MIB: u64 = 1 << 20;

/// A quarter of the machine, within what Debian needs and what a dom0 can use.
fn proposed_memory(memory: u64) -> String {
    let quarter = (memory / 4 / MIB).clamp(768, 4096);
    let most = (memory / MIB).saturating_sub(512).max(512);
    match quarter.min(most) {
        whole if whole % 1024 == 0 => format!("{}G", whole / 1024),
        other => format!("{}M", other / 256 * 256),
    }
}

/// A machine whose Linux writes to a serial port has somebody who reads it there.
fn proposed_console(cmdline: &str) -> String {
    let serial = cmdline.split_whitespace().filter_map(|word| word.strip_prefix("console=ttyS")).next_back();
    let Some((port, speed)) = serial.map(|rest| rest.split_once(',').unwrap_or((rest, "9600"))) else {
        return "vga".to_owned();
    };
    let digits: String = speed.chars().take_while(char::is_ascii_digit).collect();
    let com = match port {
        "0" => "com1",
        "1" => "com2",
        _ => return "vga".to_owned(),
    };
    let proposed = format!("{com}:{digits}");
    if proposed.parse::<super::Console>().is_ok() { format!("{proposed},vga") } else { "vga".to_owned() }
}
