//! Findings about the machine itself. Decides from processor, memory, firmware and release; never from packages.

use super::{Context, Hit, joined};

const MIB: u64 = 1 << 20;
/// dom0 ran guests with 768 MiB in tests, Xen takes about 128 MiB for itself, and the guests have to fit too.
const MEMORY_LITTLE: u64 = 2048 * MIB;
/// The oldest Debian whose packages xenup knows.
const OLDEST: u32 = 12;
/// The newest Debian that was tested.
const NEWEST: u32 = 13;

pub(super) fn container(context: &Context<'_>) -> Vec<Hit> {
    let Some(kind) = &context.facts.hardware.container else { return Vec::new() };
    Hit::new(
        format!("this is a container ({kind}), not a machine"),
        "a hypervisor replaces the kernel that boots, and a container has none of its own",
        "run xenup on the machine that runs this container",
    )
    .once()
}

pub(super) fn not_debian(context: &Context<'_>) -> Vec<Hit> {
    let distro = &context.facts.distro;
    if distro.id == "debian" {
        return Vec::new();
    }
    let name = match (distro.name.as_str(), distro.id.as_str()) {
        ("", "") => "a system without /etc/os-release",
        ("", id) => id,
        (name, _) => name,
    };
    Hit::new(
        format!("this is {name}, not Debian"),
        "every step relies on Debian's own Xen, GRUB and ifupdown packages",
        "use a machine with Debian 12 or 13",
    )
    .once()
}

fn release(context: &Context<'_>) -> Option<u32> {
    let distro = &context.facts.distro;
    (distro.id == "debian").then(|| distro.version.split('.').next().and_then(|text| text.parse().ok()))?
}

pub(super) fn release_too_old(context: &Context<'_>) -> Vec<Hit> {
    match release(context) {
        Some(version) if version < OLDEST => Hit::new(
            format!("Debian {version} is older than Debian {OLDEST}"),
            "its Xen gets no security updates any more, and xenup does not know its packages",
            format!("upgrade this machine to Debian {OLDEST} first, one release at a time"),
        )
        .once(),
        _ => Vec::new(),
    }
}

pub(super) fn release_untested(context: &Context<'_>) -> Vec<Hit> {
    let distro = &context.facts.distro;
    let name = match release(context) {
        Some(version) if version > NEWEST => format!("Debian {version}"),
        None if distro.id == "debian" => format!("{} (no release)", distro.name),
        _ => return Vec::new(),
    };
    Hit::new(
        format!("xenup was not tested on {name}"),
        format!("what it knows about packages and GRUB was checked on Debian {OLDEST} and {NEWEST}"),
        "rehearse first: xenup rehearse",
    )
    .once()
}

pub(super) fn not_amd64(context: &Context<'_>) -> Vec<Hit> {
    match context.facts.hardware.architecture.as_str() {
        "" | "amd64" => Vec::new(),
        "i386" => Hit::new(
            "this is a 32-bit Debian (i386)",
            "Xen has had no 32-bit x86 hypervisor since 4.3, and Linux no 32-bit dom0 since 5.9",
            "install Debian for amd64 on this machine, if its processor has 64 bits",
        )
        .once(),
        other => Hit::new(
            format!("this is Debian for {other}"),
            "xenup knows Xen on amd64 only",
            "use a machine with an amd64 processor",
        )
        .once(),
    }
}

pub(super) fn secure_boot_on(context: &Context<'_>) -> Vec<Hit> {
    if context.facts.firmware.secure_boot != Some(true) {
        return Vec::new();
    }
    Hit::new(
        "Secure Boot is on",
        "Debian's Xen is not signed: the firmware would refuse it",
        "switch Secure Boot off in the firmware's setup: systemctl reboot --firmware-setup",
    )
    .once()
}

pub(super) fn little_memory(context: &Context<'_>) -> Vec<Hit> {
    let hardware = &context.facts.hardware;
    // In a dom0 the kernel sees dom0's share, not the machine's memory.
    if hardware.memory == 0 || hardware.memory >= MEMORY_LITTLE || context.facts.xen.running.is_some() {
        return Vec::new();
    }
    Hit::new(
        format!("the machine has {} MiB of memory", hardware.memory / MIB),
        "Debian as dom0 wants 768 MiB, Xen itself about 128 MiB, and guests live on the rest",
        "add memory, or keep guests small",
    )
    .once()
}

pub(super) fn inside_hypervisor(context: &Context<'_>) -> Vec<Hit> {
    let Some(of) = &context.facts.hardware.guest_of else { return Vec::new() };
    if context.facts.hardware.container.is_some() {
        return Vec::new();
    }
    let under = if of == "unknown" { "a hypervisor".to_owned() } else { format!("a hypervisor ({of})") };
    Hit::new(
        format!("this machine is itself a guest of {under}"),
        "Xen inside a guest is slow, many providers do not support it, and a bridge to the provider's network needs \
         its leave for more than one address on the port",
        "use a machine of its own, or keep this one for tests",
    )
    .once()
}

pub(super) fn pv_only(context: &Context<'_>) -> Vec<Hit> {
    let facts = context.facts;
    if facts.hardware.virtualization.is_some() || facts.hardware.cpus == 0 || facts.xen.running.is_some() {
        return Vec::new();
    }
    Hit::new(
        "the processor shows neither vmx nor svm",
        "without hardware virtualization Xen runs PV guests only, no PVH and no HVM",
        "switch virtualization (VT-x, AMD-V) on in the firmware's setup, if the processor has it",
    )
    .once()
}

pub(super) fn no_watchdog(context: &Context<'_>) -> Vec<Hit> {
    let facts = context.facts;
    // Without a kernel that runs nothing is known about devices.
    if !facts.services.watchdogs.is_empty() || facts.hardware.cpus == 0 {
        return Vec::new();
    }
    Hit::new(
        "there is no watchdog device",
        "a trial boot that hangs hard ends by itself only with one; without it somebody has to switch the power off \
         and on, and the machine is then back on Linux",
        "load the driver of the board's watchdog (iTCO_wdt, sp5100_tco, ipmi_watchdog), if it has one",
    )
    .once()
}

pub(super) fn facts_unread(context: &Context<'_>) -> Vec<Hit> {
    let unread = &context.facts.unread;
    if unread.is_empty() {
        return Vec::new();
    }
    let shown: Vec<&str> = unread.iter().take(5).map(|one| one.what.as_str()).collect();
    let more = unread.len() - shown.len();
    let rest = if more == 0 { String::new() } else { format!(", and {more} more") };
    let tree = context.facts.hardware.cpus == 0;
    let fix = if tree {
        "inspect the running machine: xenup inspect"
    } else {
        "inspect as root: sudo xenup inspect"
    };
    Hit::new(
        format!("not everything could be read: {}{rest}", joined(&shown)),
        "what is not known is not judged; a finding may be missing",
        fix,
    )
    .once()
}
