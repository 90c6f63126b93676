//! apt's part of an upgrade: what is kept for the way, the sources, the archives, the upgrade itself.
//!
//! Decides: which steps can be undone, and in which order they stand. Never: runs apt.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition, FileState, PackageChange, Undo};
use xenup_engine::digest::Digest;
use xenup_engine::packages::mark;
use xenup_engine::plan::{Risk, Step};
use xenup_machine::process::Command;

use crate::inspect::Facts;
use crate::plan::step::{Draft, PLAIN};

use super::super::parts;
use super::super::simulation::Simulation;
use super::{Kept, Known};

/// Where a toolstack is kept.
const STASH: &str = "/var/lib/xenup/stash";
/// A toolstack is some 30 MiB.
const STASH_ROOM: u64 = 128 << 20;
/// apt asks slow mirrors too.
const FETCH_SECONDS: u64 = 900;

/// A minute on a slow machine, and several where it is busy.
const INITRAMFS_SECONDS: u64 = 1800;

/// Copies FROM to TO: all of it, or nothing under that name.
const COPY: &str = r#"rm -rf "$2" "$2.new"
mkdir -p "${2%/*}"
cp -a "$1" "$2.new"
mv "$2.new" "$2""#;

/// Lets the kept toolstack stand where the wrappers look for it, as long as its Xen runs.
const EXPOSE: &str = r#"grep -q control_d /proc/xen/capabilities 2>/dev/null || exit 0
[ -d "$1" ] || exit 0
mountpoint -q "$2" || { mkdir -p "$2"; mount --bind "$1" "$2"; }"#;

/// Takes the kept toolstack away.
const FORGET: &str = r#"! mountpoint -q "$2" || umount "$2"
rm -rf "$1" "$1.new""#;

fn shell(script: &str, args: &[&Path]) -> Command {
    let fixed = ["-euc", script, "xenup"].into_iter().map(str::to_owned);
    Command::new("sh", fixed.chain(args.iter().map(|path| path.to_string_lossy().into_owned())))
}

fn run(forward: Command, backward: Option<Command>) -> Action {
    Action::run(Some(forward), backward)
}

/// A step of a stage without a way back.
pub(super) fn onward(draft: Draft, why: &str) -> Step {
    Step { undo: Undo::Irreversible { why: why.to_owned() }, ..draft.step() }
}

/// What runs and would be taken by `apt autoremove` after the upgrade: Xen, its libraries, its kernel.
fn left_over(facts: &Facts, simulation: &Simulation) -> Vec<String> {
    let running = facts.xen.running.as_ref().filter(|xen| xen.dom0).map(|xen| xen.version.as_str());
    let kernel = facts
        .kernels
        .iter()
        .find(|kernel| kernel.running)
        .map(|kernel| format!("linux-image-{}", kernel.version));
    let needed = |name: &&String| {
        let of_xen = running.is_some_and(|xen| {
            parts::xen_of(name) == Some(xen) || name.strip_prefix("libxenmisc") == Some(xen)
        });
        of_xen || Some(*name) == kernel.as_ref()
    };
    simulation.no_longer_needed.iter().filter(needed).cloned().collect()
}

/// Returns the steps that keep what runs: from autoremove, and the toolstack from dpkg.
pub(super) fn keep(known: &Known<'_>, kept: Option<&Kept<'_>>) -> Vec<Step> {
    let mut steps = Vec::new();
    let names = left_over(known.facts, known.simulation);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        let title = format!("Keep {} from apt autoremove", names.join(", "));
        let why = "they run now, and are the way back until the new ones were found good";
        let action = run(mark("manual", &names), Some(mark("auto", &names)));
        steps.push(Draft::new("keep-packages", title, why, action).step());
    }
    if let Some(Kept { xen, lib }) = kept {
        let copy = stash(xen);
        let title = format!("Keep a copy of the toolstack of Xen {xen}");
        let why = "apt takes its package away while that Xen still runs";
        let action = run(shell(COPY, &[lib, &copy]), Some(shell(FORGET, &[&copy, lib])));
        let room = Condition::Room { path: PathBuf::from("/var/lib"), bytes: STASH_ROOM };
        let draft = Draft::new("stash-toolstack", title, why, action).needs(vec![room]);
        steps.push(draft.leaves(vec![Condition::Exists { path: copy.join("bin/xl") }]).step());
    }
    steps
}

fn stash(xen: &str) -> PathBuf {
    Path::new(STASH).join(format!("xen-{xen}"))
}

/// Returns the steps that switch the sources, and fetch the other release's lists.
pub(super) fn sources(known: &Known<'_>) -> Vec<Step> {
    let to = &known.check.to.name;
    let mut steps: Vec<Step> = Vec::new();
    for new in &known.derived.files {
        let Some(now) = known.files.iter().find(|file| file.path == new.path && file.text != new.text) else {
            continue;
        };
        let action = Action::File {
            path: new.path.clone(),
            state: FileState::Text { text: new.text.clone(), mode: PLAIN },
            seen: Some(Digest::of(now.text.as_bytes())),
        };
        let name = new.path.file_name().unwrap_or_default().to_string_lossy();
        let title = format!("Let {} name {to}", new.path.display());
        let why = "mirrors, keys and comments stay; what is not Debian's is switched off until its publisher has that release";
        steps.push(Draft::new(&format!("sources {name}"), title, why, action).step());
    }
    let update = Command::new("apt-get", ["-q", "-o", "APT::Update::Error-Mode=any", "update"]);
    let why = "apt chooses among what they name";
    let draft =
        Draft::new("lists", format!("Fetch the lists of {to}"), why, run(update.within(FETCH_SECONDS), None));
    steps.push(draft.step());
    steps
}

fn changes(known: &Known<'_>) -> (Vec<PackageChange>, Vec<String>) {
    let simulation = known.simulation;
    let installs = simulation.changes.installs.iter().map(|one| {
        let foreign = one.architecture.as_ref().map(|architecture| format!(":{architecture}"));
        PackageChange {
            name: format!("{}{}", one.name, foreign.unwrap_or_default()),
            version: one.version.clone(),
            from: one.from.clone(),
            asked: known.named.contains(&one.name.as_str()),
        }
    });
    let removes = simulation.changes.removes.iter().map(|one| one.name.clone());
    (installs.collect(), removes.collect())
}

/// Returns the step that fetches everything: the last thing for which a mirror is needed.
pub(super) fn fetch(known: &Known<'_>) -> Step {
    let (changes, removes) = changes(known);
    let title = format!("Fetch {} packages", changes.len());
    let action = Action::Upgrade { changes, removes, only_fetch: true };
    let why =
        "from here on no mirror is needed; and apt is asked once more whether it would do what is listed";
    let room = known.check.room.iter().filter_map(|room| {
        Some(Condition::Room { path: PathBuf::from(room.paths.first()?), bytes: room.needed })
    });
    Draft::new("fetch", title, why, action).needs(room.collect()).step()
}

/// Returns the step that upgrades.
pub(super) fn upgrade(known: &Known<'_>) -> Step {
    let counts = known.simulation.counts;
    let (changes, removes) = changes(known);
    let title =
        format!("Upgrade {} packages, install {}, take {} away", counts.upgraded, counts.new, counts.removed);
    let why = "configuration files that were changed here stay; the new ones lie beside them as *.dpkg-dist"
        .to_owned();
    let why = match known.named {
        [] => why,
        named => format!(
            "{}, which brings the new Xen, is asked for by name, since nothing else asks for it; {why}",
            named.join(", ")
        ),
    };
    let action = Action::Upgrade { changes, removes, only_fetch: false };
    let draft = Draft::new("packages", title, why, action).risks(&[Risk::TouchesServices]);
    onward(draft, "apt has no way back; what was cut short is finished")
}

/// Returns the step that makes the new kernel's initramfs anew. dpkg syncs what it unpacks; what packages' scripts write is
/// synced by nobody, and a power cut may have torn it though its package counts as installed.
pub(super) fn initramfs(kernel: &str) -> Step {
    let title = format!("Make the initramfs of Linux {kernel} anew");
    let why = "it is what boots next, and a power cut in the middle may have torn it";
    let action = run(Command::new("update-initramfs", ["-u", "-k", kernel]).within(INITRAMFS_SECONDS), None);
    onward(Draft::new("initramfs", title, why, action), "it is made from what is installed")
}

/// Returns the step that makes the kept toolstack the one that is found.
pub(super) fn expose(kept: &Kept<'_>) -> Step {
    let Kept { xen, lib } = kept;
    let title = format!("Let xl of Xen {xen} work on until the restart");
    let why = "its package is gone, and that Xen still runs: xl list and xl info are to say so";
    let action = run(shell(EXPOSE, &[&stash(xen), lib]), None);
    onward(Draft::new("expose-toolstack", title, why, action).this_boot(), "the restart ends it")
}

/// Returns the steps that let go of what was kept.
pub(super) fn release(known: &Known<'_>, kept: Option<&Kept<'_>>) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(Kept { xen, lib }) = kept {
        let title = format!("Remove the copy of the toolstack of Xen {xen}");
        let action = run(shell(FORGET, &[&stash(xen), lib]), None);
        steps.push(Draft::new("forget-toolstack", title, "that Xen does not run any more", action).step());
    }
    let names = left_over(known.facts, known.simulation);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        let title = format!("Leave {} to apt autoremove again", names.join(", "));
        let why = "the new ones were found good; nothing is removed before somebody asks for it";
        let action = run(mark("auto", &names), Some(mark("manual", &names)));
        steps.push(Draft::new("release-packages", title, why, action).step());
    }
    steps
}

/// What an administrator configures the network by, where no package brings files that it changes itself.
const NETWORK: [&str; 3] = ["/etc/network", "/etc/systemd/network", "/etc/netplan"];

/// What the network is configured by has to be what it was.
pub(super) fn network_files(facts: &Facts) -> impl Iterator<Item = Condition> + '_ {
    let files = facts.network.files.iter().filter(|file| {
        // A byte that is no UTF-8 was lost on the way here.
        NETWORK.iter().any(|dir| file.path.starts_with(dir)) && !file.text.contains('\u{fffd}')
    });
    files.map(|file| Condition::FileIs { path: file.path.clone(), digest: Digest::of(file.text.as_bytes()) })
}
