//! What is to be fixed before an upgrade, and what is worth knowing. Decides ids, weights and words; the order is that of
//! the work: apt first, then Xen, then guests. Never: reads a machine.

use crate::audit::{Audit, Verdict};
use crate::inspect::facts::At;
use crate::inspect::{Facts, Finding, Weight};

use super::Asked;
use super::parts::{after, xen_of};
use super::report::{AptSummary, Check, Fortune, Kind, Part};
use super::simulation::Simulation;
use super::sources::{Derived, Fate};

const MIB: u64 = 1 << 20;
/// Names of a list that are written out; the page is one page.
const NAMED: usize = 8;

/// Findings of `inspect` that refuse an upgrade too.
const OF_THE_MACHINE: [&str; 7] = [
    "not-debian",
    "dpkg-broken",
    "apt-busy",
    "unattended-upgrade-running",
    "toolstack-gone",
    "no-dom0-kernel",
    "secure-boot-on",
];
/// Findings of `inspect` by which a new Xen cannot be tried once, or not at all.
pub(super) const OF_TRIAL: [&str; 6] = [
    "secure-boot-on",
    "loader-not-grub",
    "grubenv-unwritable",
    "grub-password",
    "grub-submenu-disabled",
    "kexec-skips-grub",
];

fn weighed(weight: Weight, id: &str, what: String, why: &str, fix: impl Into<String>) -> Finding {
    Finding { weight, ..Finding::blocking(id, what, why, fix) }
}

fn seen(mut finding: Finding, at: impl IntoIterator<Item = At>) -> Finding {
    finding.at.extend(at);
    finding
}

/// Names in a sentence, the first of them where there are many.
fn names<S: AsRef<str>>(all: &[S]) -> String {
    let shown: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = all.len().saturating_sub(shown.len());
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{rest}", shown.join(", "))
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Findings of `inspect`, as they weigh here.
pub(super) fn of_inspect(found: &[Finding]) -> Vec<Finding> {
    let carried = found.iter().filter_map(|finding| {
        let id = finding.id.as_str();
        if OF_THE_MACHINE.contains(&id) {
            Some(finding.clone())
        } else if OF_TRIAL.contains(&id) {
            // Without a trial the new Xen is the default at once: possible, and worse.
            Some(Finding { weight: Weight::Warning, ..finding.clone() })
        } else {
            None
        }
    });
    carried.collect()
}

/// A host from which no upgrade leads to that release.
pub(super) fn anew(asked: &Asked<'_>) -> Vec<Finding> {
    let from = asked.from.map_or("what is here".to_owned(), ToString::to_string);
    let what = format!("no upgrade leads from {from} to {}", asked.to);
    let why = "Debian upgrades a release at a time, and each of them would have to run this host's guests";
    let fix =
        format!("install {} anew beside it, then carry over what stands above: xenup init there", asked.to);
    vec![weighed(Weight::Blocks, "upgrade-anew", what, why, fix)]
}

/// Findings about the sources.
pub(super) fn of_sources(derived: &Derived, asked: &Asked<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    // A tree may lack them; a host that is made anew does not need them.
    if asked.anew {
        return found;
    }
    let to = asked.to.name;
    if !derived.entries.iter().any(super::sources::Entry::brings_packages) {
        let what = format!("no source of apt's is Debian's: there is none to take {to} from");
        let why = "the other release's sources are made of the machine's own, and nothing is thought up";
        let fix = "write Debian's own archive into /etc/apt/sources.list.d/debian.sources (sources.list(5)), then apt-get update";
        found.push(weighed(Weight::Blocks, "upgrade-no-source", what, why, fix));
    }
    let left: Vec<_> =
        derived.entries.iter().filter(|one| one.binary && matches!(one.fate, Fate::LeftOut { .. })).collect();
    if !left.is_empty() {
        let mut words: Vec<String> = left
            .iter()
            .map(|entry| match &entry.fate {
                Fate::LeftOut { why } => format!("{} {} ({why})", entry.uri, entry.suite),
                _ => String::new(),
            })
            .collect();
        words.dedup();
        let what =
            format!("{} left out: {}", count(words.len(), "source is", "sources are"), words.join("; "));
        let why = "what was installed from there stays as it is, and may not fit the new release";
        let fix =
            format!("decide for each whether its publisher has {to}; switch it on again after the upgrade");
        found.push(seen(
            weighed(Weight::Warning, "upgrade-source-left-out", what, why, fix),
            left.iter().map(|entry| entry.at.clone()),
        ));
    }
    let alias: Vec<_> = derived
        .entries
        .iter()
        .filter(|one| {
            ["stable", "oldstable"].iter().any(|name| one.suite.starts_with(name)) && one.brings_packages()
        })
        .collect();
    if !alias.is_empty() {
        let what = format!(
            "sources name {} instead of a release",
            names(&unique(alias.iter().map(|one| one.suite.clone())))
        );
        let why = "what that stands for changes on the day of a release, and apt then upgrades without being told to";
        let fix = format!("write the release's own name: {to}");
        found.push(seen(
            weighed(Weight::Note, "upgrade-source-alias", what, why, fix),
            alias.iter().map(|one| one.at.clone()),
        ));
    }
    found
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// Findings about what apt would do.
pub(super) fn of_apt(summary: &AptSummary, simulation: &Simulation) -> Vec<Finding> {
    let mut found = Vec::new();
    if !simulation.essential_removed.is_empty() {
        let what =
            format!("apt would take essential packages away: {}", names(&simulation.essential_removed));
        let why = "without them the system does not work";
        found.push(weighed(
            Weight::Blocks,
            "upgrade-removes-essential",
            what,
            why,
            "look at what needs them gone: apt-get -s full-upgrade with the new sources",
        ));
    }
    found.extend(held_and_kept_back(summary, simulation));
    if let Some(foreign) = summary.foreign.as_ref().filter(|foreign| !foreign.is_empty()) {
        let what = format!(
            "{} from no source of Debian's: {}",
            count(foreign.len(), "package is", "packages are"),
            names(foreign)
        );
        let why =
            "Debian's upgrade is tested with Debian's packages; these may keep others back or stop working";
        found.push(weighed(
            Weight::Warning,
            "upgrade-foreign-packages",
            what,
            why,
            "decide for each whether it stays: apt-get purge takes one away",
        ));
    }
    if !summary.removed.is_empty() {
        let what = format!("apt takes away without a successor: {}", names(&summary.removed));
        let why = "a service among them is gone after the upgrade";
        found.push(weighed(
            Weight::Note,
            "upgrade-removes",
            what,
            why,
            "look whether one of them is yours: apt-mark showmanual",
        ));
    }
    found
}

/// Packages without whose new versions a host is neither the old nor the new release.
fn matters(name: &str) -> bool {
    let stems = ["xen-", "libxen", "linux-image-", "grub-", "python3", "systemd", "initramfs-tools"];
    let whole = ["libc6", "apt", "dpkg", "udev", "base-files"];
    stems.iter().any(|stem| name.starts_with(stem)) || whole.contains(&name)
}

/// What is on hold keeps itself back, and what cannot come without it: python3, where xen-utils-4.17 has to stay.
fn held_and_kept_back(summary: &AptSummary, simulation: &Simulation) -> Option<Finding> {
    let back: Vec<&String> = summary.kept_back.iter().chain(&simulation.held_changed).collect();
    if back.is_empty() {
        return None;
    }
    let weight = if back.iter().chain(&summary.held.iter().collect::<Vec<_>>()).any(|name| matters(name)) {
        Weight::Blocks
    } else {
        Weight::Warning
    };
    let kept = format!(
        "{} kept back at the old version: {}",
        count(back.len(), "package is", "packages are"),
        names(&back)
    );
    Some(if summary.held.is_empty() {
        let first = back.first().map_or("", |name| name.as_str());
        let why = "something that is installed does not let the new version in";
        weighed(
            weight,
            "upgrade-kept-back",
            kept,
            why,
            format!("apt-cache policy {first} says what there is; decide what has to go for it"),
        )
    } else {
        let what = format!("{kept}; on hold: {}", names(&summary.held));
        let why = "Xen, the kernel and what they need come together or not at all";
        weighed(weight, "upgrade-held", what, why, format!("apt-mark unhold {}", summary.held.join(" ")))
    })
}

/// Findings about Xen: its toolstack, its hypervisor, dom0's kernels.
pub(super) fn of_xen(parts: &[Part], facts: &Facts, simulation: &Simulation) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(no_new_xen(parts, simulation));
    let comes = |kind| parts.iter().any(|part| part.kind == kind && part.fortune == Fortune::Comes);
    let asked_for = facts.packages.version("linux-image-amd64").is_some();
    let kernels = parts.iter().any(|part| part.kind == Kind::Kernel);
    if kernels && !comes(Kind::Kernel) && !asked_for {
        let what = "no new kernel comes".to_owned();
        let why = "linux-image-amd64 is not installed, so that nothing asks for the new release's kernel";
        found.push(weighed(
            Weight::Warning,
            "upgrade-no-kernel",
            what,
            why,
            "apt-get install linux-image-amd64",
        ));
    }
    let mut new = parts.iter().filter(|part| part.kind == Kind::Kernel && part.fortune == Fortune::Comes);
    if comes(Kind::Kernel) && new.all(|part| part.package.contains("-cloud-")) {
        let what = "the only new kernel is the cloud kernel, which cannot be dom0".to_owned();
        let why = "Debian builds it without CONFIG_XEN_DOM0, so that GRUB gets no Xen entry for it";
        found.push(weighed(
            Weight::Blocks,
            "upgrade-cloud-kernel",
            what,
            why,
            "apt-get install linux-image-amd64",
        ));
    }
    let left: Vec<&str> = parts
        .iter()
        .filter(|part| part.runs && part.fortune == Fortune::LeftOver)
        .map(|part| part.package.as_str())
        .collect();
    if !left.is_empty() {
        let what = format!("apt autoremove would take what runs now: {}", names(&left));
        let why = "until the new Xen and kernel were started and found good, these are the way back";
        found.push(weighed(
            Weight::Warning,
            "upgrade-autoremove-running",
            what,
            why,
            format!("apt-mark manual {}", left.join(" ")),
        ));
    }
    found
}

/// The toolstack that goes under guests: they are shut down when everything else is in order.
pub(super) fn toolstack_goes(parts: &[Part], facts: &Facts, running: &[&str]) -> Option<Finding> {
    let gone = parts
        .iter()
        .find(|part| part.kind == Kind::Toolstack && part.fortune == Fortune::Goes && part.runs)?;
    let xen = facts.xen.running.as_ref().map_or("", |xen| xen.version.as_str());
    let what = |guests: &str| format!("apt takes {} away while Xen {xen} runs{guests}", gone.package);
    let why = "xl then fails until the reboot, xendomains can neither save nor shut guests down, and the reboot cuts them off";
    Some(if running.is_empty() {
        let fix = "start no guest between the upgrade and the reboot, and reboot right after it";
        weighed(Weight::Warning, "upgrade-toolstack-goes", what(", with no guest"), why, fix)
    } else {
        let guests = format!(
            ", under {}: {}",
            count(running.len(), "running guest", "running guests"),
            names(running)
        );
        weighed(Weight::Blocks, "upgrade-toolstack-goes", what(&guests), why, "xl shutdown -a -w")
    })
}

/// A host whose Xen has no successor: nothing asks for one where xen-system-amd64 is not installed.
pub(super) fn no_new_xen(parts: &[Part], simulation: &Simulation) -> Option<Finding> {
    let host = parts.iter().any(|part| matches!(part.kind, Kind::Toolstack | Kind::Hypervisor));
    let goes = parts.iter().any(|part| part.kind == Kind::Toolstack && part.fortune == Fortune::Goes);
    let pair = |version: &str| {
        let has = |kind| after(parts, kind).any(|part| xen_of(&part.package) == Some(version));
        has(Kind::Toolstack) && has(Kind::Hypervisor)
    };
    let whole = parts.iter().filter_map(|part| xen_of(&part.package)).any(pair);
    if !host || (whole && !goes) {
        return None;
    }
    let comes = |kind| parts.iter().any(|part| part.kind == kind && part.fortune == Fortune::Comes);
    let missing: Vec<&str> = [(Kind::Toolstack, "toolstack"), (Kind::Hypervisor, "hypervisor")]
        .into_iter()
        .filter(|(kind, _)| !comes(*kind))
        .map(|(_, word)| word)
        .collect();
    if missing.is_empty() {
        return None;
    }
    let here = simulation.changes.installs.iter().any(|one| one.name == crate::packages::XEN_SYSTEM);
    let what =
        format!("no new {} comes: the host is left without a Xen that works", missing.join(" and no new "));
    let why = if here {
        "xen-system-amd64 is upgraded, and what it asks for does not come with it"
    } else {
        "xen-system-amd64 is not installed, so that nothing asks for the new release's Xen"
    };
    Some(weighed(
        Weight::Blocks,
        "upgrade-no-xen",
        what,
        why,
        "apt-get install --no-install-recommends xen-system-amd64",
    ))
}

/// What a tree cannot tell.
pub(super) fn apt_not_asked(why: &str, to: &str) -> Finding {
    let what = "what apt would do is not known".to_owned();
    weighed(
        Weight::Blocks,
        "upgrade-apt-not-asked",
        what,
        why,
        format!("on the machine itself: xenup upgrade check --to {to}"),
    )
}

/// Findings about guests: the audit's, and kernels of dom0's that guests boot.
pub(super) fn of_guests(audit: &Audit, simulation: Option<&Simulation>, to: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let of = |verdict| -> Vec<&str> {
        audit
            .guests
            .iter()
            .filter(|guest| guest.verdict == verdict)
            .map(|guest| guest.name.as_str())
            .collect()
    };
    let xen = &audit.to.xen;
    let after_change = of(Verdict::StartsAfterChange);
    if !after_change.is_empty() {
        let what = format!("on Xen {xen} only after a change of their files: {}", names(&after_change));
        found.push(weighed(
            Weight::Blocks,
            "upgrade-guest-needs-change",
            what,
            "the changes are sure: judged again with them, nothing known stands in the way",
            format!("xenup audit --fix --to {to}, then xenup apply xenup-audit-plan.json"),
        ));
    }
    for guest in audit.guests.iter().filter(|guest| guest.verdict == Verdict::WillNotStart) {
        let reason = guest.reasons.first();
        let why = reason.map_or("", |reason| reason.what.as_str());
        let change = reason.and_then(|reason| reason.change.clone());
        let what = format!("{} will not start on Xen {xen}", guest.name);
        let fix = change.unwrap_or_else(|| format!("xenup audit --to {to} says what is known of it"));
        found.push(weighed(
            Weight::Blocks,
            "upgrade-guest-will-not-start",
            what,
            if why.is_empty() { "its file is not read" } else { why },
            fix,
        ));
    }
    let unknown = of(Verdict::CannotBeTold);
    if !unknown.is_empty() {
        let what = format!("whether they start on Xen {xen} cannot be told: {}", names(&unknown));
        found.push(weighed(
            Weight::Blocks,
            "upgrade-guest-not-known",
            what,
            "something that would have to be known could not be read",
            format!("xenup audit --to {to} names it for each"),
        ));
    }
    for finding in &audit.host {
        found.push(pinned(finding, simulation));
    }
    found
}

/// A kernel that guests boot is in the way where this upgrade makes it superfluous.
fn pinned(finding: &Finding, simulation: Option<&Simulation>) -> Finding {
    let package = finding.at.first().and_then(|at| {
        let version = at.path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?;
        Some(format!("linux-image-{version}"))
    });
    let taken = simulation.zip(package).filter(|(simulation, package)| {
        finding.id == "audit-dom0-kernel" && simulation.no_longer_needed.contains(package)
    });
    match taken {
        Some((_, package)) => Finding {
            weight: Weight::Blocks,
            why: "after the upgrade nothing needs its package: the next apt autoremove takes it, and the guest no longer starts".to_owned(),
            fix: format!("apt-mark manual {package}"),
            ..finding.clone()
        },
        None => finding.clone(),
    }
}

/// Findings about room.
pub(super) fn of_room(check: &Check) -> Vec<Finding> {
    let short = check.room.iter().filter(|room| room.needed > room.free);
    let found = short.map(|room| {
        let what = format!(
            "{}: {} MiB are free, and the upgrade takes {} MiB",
            room.paths.join(", "),
            room.free / MIB,
            room.needed.div_ceil(MIB)
        );
        let boot = room.paths.iter().any(|path| path == "/boot");
        let only_boot = boot && room.paths.len() == 1;
        let fix = if only_boot {
            "apt-get autoremove --purge"
        } else {
            "apt-get clean, then make room: du -xh --max-depth=2 / | sort -h"
        };
        weighed(
            Weight::Blocks,
            "upgrade-no-room",
            what,
            "dpkg that runs out of room in the middle leaves packages half done",
            fix,
        )
    });
    found.collect()
}
