//! Findings about packages, kernels and room on the disk. Decides from dpkg's and apt's files; never asks apt.

use super::super::facts::Package;
use super::{Context, Hit, joined};

const MIB: u64 = 1 << 20;
/// The hypervisor's files take 4 MiB; an initrd is written anew beside the old one, 40 MiB on Debian 12.
const BOOT_ROOM: u64 = 64 * MIB;
/// The same, and a kernel with its initrd to come.
const BOOT_ROOM_WITH_KERNEL: u64 = 160 * MIB;
/// Downloads of the Xen packages, their lists, and xenup's own copies of what it changes.
const VAR_ROOM: u64 = 512 * MIB;

pub(super) fn dpkg_broken(context: &Context<'_>) -> Vec<Hit> {
    let broken = &context.facts.packages.broken;
    if broken.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = broken.iter().take(5).map(|(name, state)| format!("{name} ({state})")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let more = broken.len() - names.len();
    let rest = if more == 0 { String::new() } else { format!(", and {more} more") };
    // A package that was only half unpacked has to come from the archive again.
    let torn = broken.iter().find(|(_, state)| state == "half-installed" || state == "installed");
    let fix = match torn {
        Some((name, _)) => format!("apt-get install --reinstall {name}"),
        None => "dpkg --configure -a".to_owned(),
    };
    Hit::new(
        format!("dpkg left packages half done: {}{rest}", joined(&names)),
        "apt would finish them in the same run, and a rollback could not take that back",
        fix,
    )
    .once()
}

pub(super) fn apt_busy(context: &Context<'_>) -> Vec<Hit> {
    let Some(holder) = &context.facts.services.apt_busy else { return Vec::new() };
    Hit::new(
        format!("packages are being changed: {holder}"),
        "two runs at once are not possible, and the facts would be out of date at once",
        "wait until it has ended",
    )
    .once()
}

pub(super) fn unattended_upgrade_running(context: &Context<'_>) -> Vec<Hit> {
    let running = context.facts.services.active.iter().any(|unit| unit == "apt-daily-upgrade.service");
    if !running || context.facts.services.apt_busy.is_some() {
        return Vec::new();
    }
    Hit::new(
        "apt-daily-upgrade.service is running",
        "it is about to upgrade packages while a plan is made from what they are now",
        "wait until it has ended: systemctl is-active apt-daily-upgrade.service",
    )
    .once()
}

pub(super) fn unattended_upgrades(context: &Context<'_>) -> Vec<Hit> {
    let Some(at) = &context.facts.services.unattended_upgrades else { return Vec::new() };
    Hit::new(
        "apt upgrades packages by itself (unattended-upgrades)",
        "a new hypervisor or kernel comes at night without a restart; what boots next is then not what runs now",
        "decide whether Xen is upgraded by hand: Unattended-Upgrade::Package-Blacklist in 50unattended-upgrades",
    )
    .at([at.clone()])
    .once()
}

pub(super) fn held(context: &Context<'_>) -> Vec<Hit> {
    let matters = |package: &&Package| {
        package.held
            && ["xen-", "libxen", "linux-image-", "grub-"].iter().any(|stem| package.name.starts_with(stem))
    };
    let held: Vec<&str> =
        context.facts.packages.relevant.iter().filter(matters).map(|package| package.name.as_str()).collect();
    if held.is_empty() {
        return Vec::new();
    }
    Hit::new(
        format!("held back from upgrades: {}", joined(&held)),
        "Xen's packages need each other in exact versions; one that is held keeps the others out",
        format!("apt-mark unhold {}", held.join(" ")),
    )
    .once()
}

pub(super) fn third_party_sources(context: &Context<'_>) -> Vec<Hit> {
    let foreign: Vec<_> = context
        .facts
        .packages
        .sources
        .iter()
        .filter(|source| source.origin.as_deref().is_some_and(|origin| !origin.starts_with("Debian")))
        .collect();
    if foreign.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<&str> = foreign.iter().filter_map(|source| source.origin.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    Hit::new(
        format!("apt takes packages from elsewhere too: {}", joined(&names)),
        "one of them may replace a package that Debian's Xen or GRUB relies on",
        "look at the plan's list of packages: every one comes with its version",
    )
    .at(foreign.iter().map(|source| source.at.clone()))
    .once()
}

pub(super) fn no_dom0_kernel(context: &Context<'_>) -> Vec<Hit> {
    let kernels = &context.facts.kernels;
    if kernels.iter().any(|kernel| kernel.dom0 == Some(true)) {
        return Vec::new();
    }
    let what = match kernels.as_slice() {
        [] => "there is no Linux kernel in /boot".to_owned(),
        kernels => {
            let names: Vec<&str> = kernels.iter().map(|kernel| kernel.version.as_str()).collect();
            format!("no kernel here can be dom0: {}", joined(&names))
        }
    };
    let cloud = kernels.iter().any(|kernel| kernel.version.contains("-cloud-"));
    let why = if cloud {
        "Debian builds the cloud kernel without CONFIG_XEN_DOM0, so that GRUB gets no Xen entry"
    } else {
        "GRUB makes a Xen entry only for a kernel with CONFIG_XEN_DOM0=y in its /boot/config file"
    };
    Hit::new(what, why, "apt-get install linux-image-amd64").once()
}

pub(super) fn dom0_kernel_untried(context: &Context<'_>) -> Vec<Hit> {
    let kernels = &context.facts.kernels;
    // A container or a tree runs none of these kernels.
    let Some(running) = kernels.iter().find(|kernel| kernel.running) else { return Vec::new() };
    let Some(newest) = kernels.iter().rfind(|kernel| kernel.dom0 == Some(true)) else { return Vec::new() };
    if running.dom0 == Some(true) {
        return Vec::new();
    }
    Hit::new(
        format!("{} runs now, and dom0 would run {}", running.version, newest.version),
        "a trial boot would try Xen and another kernel at once",
        "boot that kernel once without Xen before the trial",
    )
    .once()
}

pub(super) fn toolstack_gone(context: &Context<'_>) -> Vec<Hit> {
    let xen = &context.facts.xen;
    let Some(running) = xen.running.as_ref().filter(|running| running.dom0) else { return Vec::new() };
    if xen.toolstacks.contains(&running.version) {
        return Vec::new();
    }
    Hit::new(
        format!("Xen {} runs, and its toolstack /usr/lib/xen-{} is gone", running.full, running.version),
        "xl refuses to work, and guests are neither saved nor shut down at a reboot",
        "shut the guests down from inside, then reboot",
    )
    .once()
}

fn known(context: &Context<'_>, path: &str) -> bool {
    context.facts.unread.iter().all(|unread| unread.what != path)
}

pub(super) fn no_room_in_boot(context: &Context<'_>) -> Vec<Hit> {
    let facts = context.facts;
    let kernel_to_come = !facts.kernels.iter().any(|kernel| kernel.dom0 == Some(true));
    let needed = if kernel_to_come { BOOT_ROOM_WITH_KERNEL } else { BOOT_ROOM };
    // A hypervisor that is there already has had its room.
    if !facts.xen.hypervisors.is_empty() || facts.boot.boot_free >= needed || !known(context, "/boot") {
        return Vec::new();
    }
    let whose = if facts.boot.boot_separate { "/boot" } else { "/boot, a part of the root file system," };
    Hit::new(
        format!("{whose} has {} MiB left, and {} MiB are needed", facts.boot.boot_free / MIB, needed / MIB),
        "the hypervisor is written there, and an initrd anew beside the old one",
        "apt-get autoremove --purge",
    )
    .once()
}

pub(super) fn no_room_in_var(context: &Context<'_>) -> Vec<Hit> {
    let facts = context.facts;
    if !facts.xen.hypervisors.is_empty() || facts.boot.var_free >= VAR_ROOM || !known(context, "/var") {
        return Vec::new();
    }
    Hit::new(
        format!("/var has {} MiB left, and {} MiB are needed", facts.boot.var_free / MIB, VAR_ROOM / MIB),
        "apt downloads the packages there, and xenup keeps there what it changes, so that it can be undone",
        "apt-get clean",
    )
    .once()
}
