//! The host.toml that `xenup init` writes: what this machine has, as wishes, each with its reason.
//! Decides what is proposed; never writes a file.

use std::fmt::Write as _;

use crate::inspect::Facts;
use crate::inspect::facts::Nic;

const HEADER: &str = "\
# host.toml: what xenup makes of this machine. Every key is explained in host.toml(5).
# Written by `xenup init` from what it found; yours to edit. Nothing happens before `xenup apply`.
";

const MIB: u64 = 1 << 20;

/// Returns a host.toml for this machine: one bridge over the NIC that has the default route, unused wired NICs as
/// bridges for guests alone (commented out), the others named in a comment. It parses; whether it can be planned is
/// for the plan to say.
#[must_use]
pub fn from_facts(facts: &Facts) -> String {
    let mut text = HEADER.to_owned();
    xen(&mut text, facts);
    text.push_str(
        "\n[boot]\ndefault = \"xen\"  # reached by one trial boot, kept only when confirmed; \"linux\" leaves Xen to the menu\n",
    );
    bridges(&mut text, facts);
    text.push_str(
        "\n[guests]\non-shutdown = \"shutdown\"  # or \"save\", where /var/lib/xen/save has room for their memory\n",
    );
    text
}

fn xen(text: &mut String, facts: &Facts) {
    let (memory, memory_why) = memory(facts);
    let (vcpus, vcpus_why) = vcpus(facts);
    let (console, console_why) = console(facts);
    let (options, options_why) = options(facts);
    let lines = [
        ("dom0-memory", format!("\"{memory}\""), memory_why),
        ("dom0-vcpus", vcpus.to_string(), vcpus_why),
        ("console", format!("\"{console}\""), console_why),
        ("options", options, options_why),
    ];
    text.push_str("\n[xen]\n");
    for (key, value, why) in lines {
        let _ = writeln!(text, "{key} = {value}  # {why}");
    }
}

/// The smallest dom0 of Debian that installed and started guests in tests.
const MEMORY_LEAST: u64 = 768 * MIB;
/// Beyond this a dom0 that serves disks and networks gains nothing.
const MEMORY_MOST: u64 = 8192 * MIB;
/// What Xen keeps for itself, and room for one small guest.
const MEMORY_LEFT: u64 = 384 * MIB;

/// One gibibyte and a twentieth of the machine, the rule by which XenServer sizes its dom0; on a small machine half.
fn memory(facts: &Facts) -> (String, String) {
    let all = facts.hardware.memory;
    if all == 0 {
        return ("1G".to_owned(), "this machine's memory could not be read".to_owned());
    }
    if facts.xen.running.is_some() {
        // The kernel keeps a little back from what Xen gave.
        let now = all.div_ceil(256 * MIB) * 256;
        return (written(now), "what dom0 has now".to_owned());
    }
    let rule = (1024 * MIB + all / 20).min(all / 2).clamp(MEMORY_LEAST, MEMORY_MOST);
    let most = all.saturating_sub(MEMORY_LEFT).max(512 * MIB);
    let whole = rule.min(most) / MIB / 256 * 256;
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let gib = all as f64 / f64::from(1 << 30);
    let why = if all < 4096 * MIB {
        format!("of {gib:.1} GiB, a small machine; the rest is for Xen and guests")
    } else {
        format!("of {gib:.1} GiB: 1 GiB and a twentieth, 8 GiB at most; the rest is for guests")
    };
    (written(whole), why)
}

/// Writes mebibytes as host.toml does.
fn written(mebibytes: u64) -> String {
    match mebibytes {
        whole if whole % 1024 == 0 => format!("{}G", whole / 1024),
        other => format!("{other}M"),
    }
}

/// A quarter of the processors, two to four: more than four seldom help a dom0, and fewer starve its disk and network.
fn vcpus(facts: &Facts) -> (u32, String) {
    let all = facts.hardware.cpus;
    if facts.xen.running.is_some() {
        return (all.max(1), "what dom0 has now".to_owned());
    }
    let proposed = (all / 4).clamp(2, 4).min(all.max(1));
    let why = if all == 0 { "the processors could not be counted".to_owned() } else { format!("of {all}") };
    (proposed, why)
}

/// The words that GRUB hands to Xen today; empty before Xen is installed.
fn xen_words(facts: &Facts) -> impl Iterator<Item = &str> {
    let variables = ["GRUB_CMDLINE_XEN", "GRUB_CMDLINE_XEN_DEFAULT"];
    variables
        .into_iter()
        .filter_map(|name| facts.boot.grub.get(name))
        .flat_map(|words| words.split_whitespace())
}

/// Where Xen writes today, else where Linux does: a serial port that is written to has somebody who reads it.
fn console(facts: &Facts) -> (String, String) {
    let of_xen = xen_words(facts).find_map(|word| {
        let (port, settings) = word.split_once('=').filter(|(name, _)| matches!(*name, "com1" | "com2"))?;
        Some((port.to_owned(), digits(settings), format!("Xen has {word} today")))
    });
    let words = facts.boot.cmdline.split_whitespace();
    let of_linux = words.filter_map(|word| word.strip_prefix("console=ttyS")).next_back().and_then(|rest| {
        let (port, speed) = rest.split_once(',').unwrap_or((rest, "9600"));
        let com = [("0", "com1"), ("1", "com2")].into_iter().find(|(number, _)| *number == port)?.1;
        Some((com.to_owned(), digits(speed), format!("Linux writes to ttyS{port} today")))
    });
    let serial = of_xen.or(of_linux).map(|(com, speed, why)| (format!("{com}:{speed},vga"), why));
    serial
        .filter(|(proposed, _)| proposed.parse::<super::Console>().is_ok())
        .unwrap_or_else(|| ("vga".to_owned(), "or \"com1:115200\", where a serial line is read".to_owned()))
}

fn digits(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default()
}

/// How QEMU names the processor that it emulates without KVM.
const EMULATED: &str = "QEMU TCG CPU";

/// Words that Xen has today and no other key stands for, else those that this machine needs. Under QEMU's emulation
/// PVH guests end at once with HAP, and userlands crash with XSAVE (measured with QEMU 10.0 and Xen 4.17).
fn options(facts: &Facts) -> (String, String) {
    // Words with a key of their own are refused there. What xenup wrote itself comes from a host.toml that is there.
    let ours =
        |name: &str| facts.boot.grub_set_at.get(name).is_some_and(|at| at.path.ends_with("zz-xenup.cfg"));
    let others = xen_words(facts).filter(|_| !ours("GRUB_CMDLINE_XEN") && !ours("GRUB_CMDLINE_XEN_DEFAULT"));
    let mut words: Vec<String> = others.filter_map(|word| super::value::xen_option(word).ok()).collect();
    let mut why = "what GRUB hands to Xen today";
    if words.is_empty() && facts.hardware.cpu.starts_with(EMULATED) {
        words = vec!["hap=0".to_owned(), "xsave=0".to_owned()];
        why = "QEMU emulates this processor: guests fail with HAP and XSAVE";
    }
    if words.is_empty() {
        return ("[]".to_owned(), "further words for Xen's command line; this machine needs none".to_owned());
    }
    (toml_edit::Array::from_iter(words).to_string(), why.to_owned())
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
        bridge(text, facts, proposal);
    }
    if proposals.is_empty() {
        text.push_str("\n# No wired NIC has the default route: name the bridge's port here.\n");
        text.push_str("# [[bridge]]\n# name = \"xenbr0\"\n# ports = [\"eno1\"]\n# address = \"keep\"\n");
    }
    let mut number = 0;
    for nic in &facts.network.nics {
        if proposals.iter().any(|proposal| proposal.port.name == nic.name) {
            continue;
        }
        match left_because(facts, nic, &proposals) {
            Some(why) => {
                let _ = writeln!(text, "\n# {} {why}: it is left alone.", nic.name.escape_debug());
            }
            None => {
                number = free_number(facts, &proposals, number + 1);
                guests_only(text, nic, number);
            }
        }
    }
}

fn bridge(text: &mut String, facts: &Facts, proposal: &Proposal<'_>) {
    let Proposal { name, port, today } = proposal;
    let _ = writeln!(text, "\n[[bridge]]\nname = \"{name}\"\nports = [{}]", quoted(&port.name));
    pin(text, port, "");
    match today_has(facts, today) {
        Some(today) => {
            let _ = writeln!(text, "address = \"keep\"  # today: {today}");
        }
        None => text.push_str("address = \"none\"  # it has none today: the bridge is for guests alone\n"),
    }
}

/// The address by which a NIC's name is pinned; a bond or a VLAN gets its name from its own configuration.
fn pin(text: &mut String, port: &Nic, comment: &str) {
    if let (Some(mac), None | Some("veth")) = (port.mac, port.kind.as_deref()) {
        let why = format!("  # its own address: {} keeps its name by it", port.name.escape_debug());
        let _ = writeln!(text, "{comment}mac = \"{mac}\"{}", if comment.is_empty() { &why } else { "" });
    }
}

/// RA_ORIGIN: an address that a router advertisement made (IFA_PROTO).
const BY_ROUTER: u8 = 2;

/// What a link has, in a person's words: `192.0.2.10/24 via 192.0.2.1, SLAAC`; `None` without an address.
fn today_has(facts: &Facts, link: &str) -> Option<String> {
    let kernel = &facts.network.kernel;
    let global = || kernel.addresses_on(link).filter(|address| !address.is_link_local());
    let mut words: Vec<String> =
        global().filter(|address| address.origin != BY_ROUTER).map(ToString::to_string).collect();
    let gateways = kernel.routes_by(link).filter(|route| {
        route.destination.is_none() && route.gateway.is_some_and(|gateway| !is_link_local(gateway))
    });
    if let (Some(gateway), Some(last)) = (gateways.filter_map(|route| route.gateway).next(), words.last_mut())
    {
        let _ = write!(last, " via {gateway}");
    }
    if global().any(|address| address.origin == BY_ROUTER) {
        words.push("SLAAC".to_owned());
    }
    if let Some(client) = facts.network.dhcp_clients.iter().find(|client| client.link == link) {
        words.push(format!("by DHCP ({})", client.program));
    }
    if facts.network.networkd.iter().any(|client| client.link == link && client.iaid4.is_some()) {
        words.push("by DHCP (systemd-networkd)".to_owned());
    }
    if facts.network.manager.iter().any(|managed| managed.link == link && managed.client4.is_some()) {
        words.push("by DHCP (NetworkManager)".to_owned());
    }
    global().next()?;
    Some(words.join(", "))
}

/// A NIC's name as a TOML string: the kernel allows quotes and backslashes in it.
fn quoted(name: &str) -> String {
    toml_edit::Value::from(name).to_string()
}

fn is_link_local(address: std::net::IpAddr) -> bool {
    matches!(address, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Why a NIC is not proposed for guests; `None` where it could be theirs.
fn left_because(facts: &Facts, nic: &Nic, proposals: &[Proposal<'_>]) -> Option<String> {
    if nic.wireless {
        return Some("is wireless and cannot be bridged".to_owned());
    }
    if let Some(master) = &nic.master {
        return Some(format!("belongs to {master}"));
    }
    // veth stands for a NIC in a container.
    if let Some(kind) = nic.kind.as_deref().filter(|kind| *kind != "veth") {
        let below = facts.network.kernel.link(&nic.name).and_then(|link| link.vlan.as_ref());
        return Some(match below {
            Some(vlan) => format!("is a VLAN on {}", vlan.below),
            None => format!("is a {kind}"),
        });
    }
    if let Some(today) = today_has(facts, &nic.name) {
        return Some(format!("has {today}"));
    }
    if let Some(owner) = nic.owners.first() {
        return Some(format!("is configured by {}", owner.kind.program()));
    }
    // Without a bridge for dom0 first, one for guests is nothing to begin with.
    proposals.is_empty().then(|| "has no address".to_owned())
}

/// The first number from `number` on with which `xenbr` is no link's name.
fn free_number(facts: &Facts, proposals: &[Proposal<'_>], number: u32) -> u32 {
    let taken = |number: &u32| {
        let name = format!("xenbr{number}");
        facts.network.kernel.link(&name).is_some() || proposals.iter().any(|proposal| proposal.name == name)
    };
    (number..).find(|number| !taken(number)).unwrap_or(number)
}

fn guests_only(text: &mut String, nic: &Nic, number: u32) {
    let _ = writeln!(
        text,
        "\n# {} has no address and no configuration. For guests alone:",
        nic.name.escape_debug()
    );
    let _ = writeln!(text, "# [[bridge]]\n# name = \"xenbr{number}\"\n# ports = [{}]", quoted(&nic.name));
    pin(text, nic, "# ");
    text.push_str("# address = \"none\"\n");
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
        // A bond or a VLAN may be bridged as it is; veth stands for a NIC in a container.
        let mut proposable =
            nics.iter().filter(|nic| nic.default_route && !nic.wireless && nic.master.is_none());
        let shared = proposable.next();
        proposals.extend(shared.map(|port| Proposal { name: "xenbr0", port, today: &port.name }));
    }
    proposals
}
