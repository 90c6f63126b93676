//! `xenup inspect`: facts as a page, findings with their fixes. Writes nothing.

use xenup_core::inspect::facts::{Facts, Loader, Nic, OwnerKind};
use xenup_core::inspect::{Finding, Weight, findings};

use crate::args::Inspect;
use crate::commands::{machine, print_json};
use crate::error::{Exit, Outcome};
use crate::ui::Ui;

/// Prints facts and findings.
pub fn run(ui: &mut Ui, args: &Inspect) -> Outcome {
    let facts = machine::facts(&args.source)?;
    let found = findings(&facts, Some(&default_ports(&facts)));
    if args.json {
        return print_json(
            ui,
            &serde_json::json!({ "format": facts.format, "facts": facts, "findings": found }),
        );
    }
    page(ui, &facts);
    print_findings(ui, &found);
    Ok(Exit::Done)
}

/// Returns the NICs that `init` would bridge: those that carry the default route.
fn default_ports(facts: &Facts) -> Vec<&str> {
    facts.network.nics.iter().filter(|nic| nic.default_route).map(|nic| nic.name.as_str()).collect()
}

fn page(ui: &mut Ui, facts: &Facts) {
    ui.heading(format!("{} is {}", facts.hostname, facts.distro.name));
    for (label, value) in [
        ("processor", processor(facts)),
        ("memory", format!("{:.1} GiB", gib(facts.hardware.memory))),
        ("firmware", firmware(facts)),
        ("kernel", kernel(facts)),
        ("xen", xen(facts)),
        ("boot", boot(facts)),
        ("packages", format!("{} installed", facts.packages.installed)),
    ] {
        ui.result(format!("  {label:<10} {value}"));
    }
    for nic in &facts.network.nics {
        ui.result(format!("  {:<10} {}", nic.name, network_card(facts, nic)));
    }
    if let Some(session) = &facts.session {
        let link = session.link.as_deref().unwrap_or("an unknown link");
        ui.result(format!("  {:<10} from {} through {link}", "session", session.client));
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn processor(facts: &Facts) -> String {
    let hardware = &facts.hardware;
    let extensions = hardware.virtualization.as_deref().unwrap_or("no hardware virtualization shown");
    let inside = hardware.guest_of.as_deref().map(|of| format!(", inside {of}")).unwrap_or_default();
    format!("{} x {}, {}, {extensions}{inside}", hardware.cpus, hardware.cpu, hardware.architecture)
}

fn firmware(facts: &Facts) -> String {
    match (facts.firmware.uefi, facts.firmware.secure_boot) {
        (false, _) => "BIOS".to_owned(),
        (true, Some(true)) => "UEFI, Secure Boot on".to_owned(),
        (true, Some(false)) => "UEFI, Secure Boot off".to_owned(),
        (true, None) => "UEFI, Secure Boot unknown".to_owned(),
    }
}

fn kernel(facts: &Facts) -> String {
    let describe = |kernel: &xenup_core::inspect::facts::Kernel| {
        let role = match kernel.dom0 {
            Some(true) => "can be dom0",
            Some(false) => "cannot be dom0",
            None => "no configuration beside it",
        };
        format!("{} ({}{role})", kernel.version, if kernel.running { "running, " } else { "" })
    };
    facts.kernels.iter().map(describe).collect::<Vec<_>>().join(", ")
}

fn xen(facts: &Facts) -> String {
    let running = match &facts.xen.running {
        Some(xen) => format!("{} running, this is {}", xen.full, if xen.dom0 { "dom0" } else { "a guest" }),
        None => "not running".to_owned(),
    };
    let installed: Vec<&str> =
        facts.xen.hypervisors.iter().map(|hypervisor| hypervisor.name.as_str()).collect();
    if installed.is_empty() {
        format!("{running}, none installed")
    } else {
        format!("{running}, installed: {}", installed.join(", "))
    }
}

fn boot(facts: &Facts) -> String {
    let loader = match facts.boot.loader {
        Loader::Grub => "GRUB",
        Loader::SystemdBoot => "systemd-boot",
        Loader::Other => "a loader that xenup does not know",
        Loader::Unknown => "no loader found",
    };
    let default =
        facts.boot.grub.get("GRUB_DEFAULT").map(|value| format!(", default {value}")).unwrap_or_default();
    let trial = if facts.boot.grubenv_obstacle.is_empty() {
        ", a trial boot can be armed"
    } else {
        ", no trial boot"
    };
    format!("{loader}{default}{trial}")
}

fn network_card(facts: &Facts, nic: &Nic) -> String {
    let mut words = Vec::new();
    words.extend(nic.mac.map(|mac| mac.to_string()));
    words.extend(nic.owners.iter().map(|owner| {
        let at = owner.at.first().map(|at| format!(" {}:{}", at.path.display(), at.line)).unwrap_or_default();
        format!("{}{at}", owner_name(owner.kind))
    }));
    words.extend(nic.master.iter().map(|master| format!("port of {master}")));
    words.extend(
        facts.network.kernel.addresses_on(&nic.name).filter(|a| !a.is_link_local()).map(ToString::to_string),
    );
    if nic.default_route {
        words.push("default route".to_owned());
    }
    words.join(", ")
}

fn owner_name(kind: OwnerKind) -> &'static str {
    match kind {
        OwnerKind::Ifupdown => "ifupdown",
        OwnerKind::Networkd => "systemd-networkd",
        OwnerKind::Netplan => "netplan",
        OwnerKind::NetworkManager => "NetworkManager",
    }
}

/// Prints each finding with its reason, places and fix.
pub fn print_findings(ui: &mut Ui, found: &[Finding]) {
    let blocking = found.iter().filter(|finding| finding.weight == Weight::Blocks).count();
    if found.is_empty() {
        ui.result("\nNothing stands in the way.");
        return;
    }
    ui.heading(format!("\nFindings: {} in the way, {} to know", blocking, found.len() - blocking));
    for finding in found {
        print_finding(ui, finding);
    }
}

/// Prints one finding.
pub fn print_finding(ui: &mut Ui, finding: &Finding) {
    let weight = match finding.weight {
        Weight::Blocks => "in the way",
        Weight::Warning => "warning",
        Weight::Note => "note",
    };
    ui.result(format!("  {weight}: {} [{}]", finding.what, finding.id));
    for at in &finding.at {
        let line = if at.line == 0 { String::new() } else { format!(":{}", at.line) };
        ui.result(format!("    at   {}{line}", at.path.display()));
    }
    ui.result(format!("    why  {}", finding.why));
    ui.result(format!("    fix  {}", finding.fix));
}
