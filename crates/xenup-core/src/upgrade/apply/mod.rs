//! The upgrade itself, as a plan: what leads from a host that is ready to the next release, booted once on trial.
//!
//! Decides: the stages. `prepare` stands and falls together, and can be undone whole: the default pinned to plain Linux, the
//! running toolstack kept, the sources switched, everything fetched, and only then guests shut down. `upgrade` has no way
//! back, and is finished instead. Then the trial, the default, the guests, and what was kept for the way.
//! Never: asks apt or a guest (the check has), or plans where the check has something to fix that this plan does not do.

mod guests;
mod packages;

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition};
use xenup_engine::packages::INSTALLED;
use xenup_engine::plan::{Guard, Plan, Risk, SCHEMA, Slug, Stage, Step, Watch};
use xenup_engine::rollback::is_past_return;
use xenup_engine::status::Status;

use crate::boot::{self, Entries, LAST, MENU, Pinned};
use crate::host::Host;
use crate::inspect::facts::Package;
use crate::inspect::{Facts, Finding};
use crate::network::plan::NetworkPlan;
use crate::plan::step::{Draft, bracket, write};
use crate::plan::trial_checks;

use super::parts::{after, xen_of};
use super::report::{Check, Fortune, Kind};
use super::simulation::Simulation;
use super::sources::{Derived, SourceFile};

/// What a check has to fix, and this plan does: it shuts guests down before their toolstack goes.
const DONE_HERE: &str = "upgrade-toolstack-goes";
/// Fifteen minutes, as for the first trial.
const TRIAL_SECONDS: u64 = 900;
/// The stage without a way back.
pub const UPGRADE: &str = "upgrade";
/// The stage in which guests come back.
pub const GUESTS: &str = "guests-up";

/// What an upgrade is planned from.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// What it is to be.
    pub host: &'a Host,
    /// What stands in the way, and what apt would do in short.
    pub check: &'a Check,
    /// What apt would do.
    pub simulation: &'a Simulation,
    /// What it was asked for by name beside.
    pub named: &'a [&'a str],
    /// apt's sources as they are.
    pub files: &'a [SourceFile],
    /// And as they will be.
    pub derived: &'a Derived,
}

/// What the new release brings that has to be there afterwards.
struct New {
    /// The release of its Xen, such as `4.20`.
    xen: String,
    /// dom0's newest kernel, where a new one comes.
    kernel: Option<String>,
}

/// The Xen that runs as dom0's, where its toolstack goes.
struct Kept<'a> {
    /// Its release.
    xen: &'a str,
    /// Where its toolstack is.
    lib: PathBuf,
}

/// Returns the plan; empty where apt has nothing to do.
///
/// # Errors
/// Every finding that refuses it.
pub fn plan(known: &Known<'_>) -> Result<Plan, Vec<Finding>> {
    let Known { facts, host, check, simulation, .. } = known;
    let mut found: Vec<Finding> =
        check.fix.iter().filter(|finding| finding.id != DONE_HERE).cloned().collect();
    found.extend(no_machine_id(facts));
    found.extend(no_trial(check));
    found.extend(not_as_wanted(known));
    let entries = boot::entries(&facts.boot).map_err(|finding| found.push(*finding)).ok();
    let network = crate::network::plan::plan(facts, host).unwrap_or_default();
    let new = new(check).map_err(|finding| found.push(*finding)).ok();
    let up = guests::running(check, facts).map_err(|finding| found.push(*finding)).ok();
    let (Some(entries), Some(new), Some(up), true) = (entries, new, up, found.is_empty()) else {
        return Err(found);
    };
    let mut plan = Plan {
        schema: SCHEMA,
        machine_id: facts.machine_id.clone(),
        purpose: format!("upgrade {} to {}", named(facts), check.to.name),
        stages: Vec::new(),
        not_restored: Vec::new(),
    };
    let counts = simulation.counts;
    if counts.upgraded == 0 && counts.new == 0 && counts.removed == 0 {
        return Ok(plan);
    }
    let kept = kept(check, facts);
    let pinned = pinned(facts);
    plan.stages = vec![
        prepare(known, &entries, &pinned, kept.as_ref(), &up),
        upgrade(known, &entries, &pinned, &new, kept.as_ref()),
        trial(facts, &entries, &new, network),
        default(facts, host, &entries, &pinned),
    ];
    plan.stages.extend(guests::up(&up));
    plan.stages.push(release(known, kept.as_ref()));
    plan.stages.retain(|stage| !stage.steps.is_empty());
    plan.not_restored = vec![
        "packages, once the stage `upgrade` has begun: apt and dpkg have no way back to older versions"
            .to_owned(),
        "apt's lists and the archives that were fetched: the next apt-get update writes them anew".to_owned(),
        "what ran in guests that were shut down: they start anew".to_owned(),
    ];
    Ok(plan)
}

fn named(facts: &Facts) -> &str {
    if facts.hostname.is_empty() { "this machine" } else { &facts.hostname }
}

/// A plan is bound to the machine that it was made for. One that has no id gets it from a package's script in the middle of the
/// upgrade, and could not go on.
fn no_machine_id(facts: &Facts) -> Option<Finding> {
    facts.machine_id.is_empty().then(|| {
        Finding::blocking(
            "upgrade-no-machine-id",
            "this machine has no id: /etc/machine-id is empty",
            "systemd's package makes one while it is upgraded, and the upgrade would not know its machine again",
            "systemd-machine-id-setup",
        )
    })
}

/// Without a trial the new Xen would be the default at once.
fn no_trial(check: &Check) -> Option<Finding> {
    let why = check.no_trial.as_ref()?.first()?;
    Some(Finding::blocking(
        "upgrade-no-trial",
        format!("the new Xen cannot be booted once on trial: {why}"),
        "this way of upgrading always has plain Linux to come back to",
        "upgrade by hand, as docs/upgrade.md has it",
    ))
}

/// A host that is not as host.toml wants it has a plan of its own first. What this one brings by name is not missed.
fn not_as_wanted(known: &Known<'_>) -> Option<Finding> {
    let Known { host, named, .. } = known;
    let mut facts = known.facts.clone();
    let there = |name: &str| Package {
        name: name.to_owned(),
        version: String::new(),
        status: INSTALLED.to_owned(),
        auto: false,
        held: false,
    };
    facts.packages.relevant.retain(|package| !named.contains(&package.name.as_str()));
    facts.packages.relevant.extend(named.iter().map(|name| there(name)));
    let absent = crate::packages::wants(host, &facts);
    let what = match crate::plan::plan(&facts, host, None) {
        Ok(planned) if planned.plan.is_empty() => return None,
        _ if !absent.is_empty() => format!("not installed: {}", absent.join(", ")),
        Ok(_) => "there is a plan for it".to_owned(),
        Err(found) => found.first().map_or_else(String::new, |finding| finding.what.clone()),
    };
    let what = format!("this machine is not as {} wants it: {what}", host.path.display());
    let why = "an upgrade keeps what boots and the bridges as they are, so they have to be right before it";
    Some(Finding::blocking("upgrade-not-as-host-toml", what, why, "xenup plan"))
}

/// Returns what has to be there after the upgrade.
///
/// # Errors
/// A finding where no new hypervisor and toolstack come.
fn new(check: &Check) -> Result<New, Box<Finding>> {
    let comes = |kind| after(&check.parts, kind).filter(|part| part.fortune == Fortune::Comes);
    let toolstacks: Vec<&str> = comes(Kind::Toolstack).filter_map(|part| xen_of(&part.package)).collect();
    let xen =
        comes(Kind::Hypervisor).filter_map(|part| xen_of(&part.package)).find(|xen| toolstacks.contains(xen));
    let Some(xen) = xen else {
        return Err(Box::new(Finding::blocking(
            "upgrade-no-new-xen",
            format!("{} brings no new hypervisor with its toolstack to this machine", check.to.name),
            "a Xen host is upgraded together with its Xen",
            "apt-get install --no-install-recommends xen-system-amd64, or, where Xen is not wanted here, upgrade by apt alone",
        )));
    };
    let kernels = comes(Kind::Kernel).filter(|part| !part.package.contains("-cloud-"));
    let kernel = kernels.filter_map(|part| part.package.strip_prefix("linux-image-")).last();
    Ok(New { xen: xen.to_owned(), kernel: kernel.map(str::to_owned) })
}

fn kept<'a>(check: &Check, facts: &'a Facts) -> Option<Kept<'a>> {
    let running = facts.xen.running.as_ref().filter(|xen| xen.dom0)?;
    let goes = check
        .parts
        .iter()
        .any(|part| part.kind == Kind::Toolstack && part.fortune == Fortune::Goes && part.runs);
    let xen = running.version.as_str();
    goes.then(|| Kept { xen, lib: Path::new("/usr/lib").join(format!("xen-{xen}")) })
}

/// Returns the entry that boots until the trial is confirmed: plain Linux with the kernel that runs, which is known to
/// boot; the newest where the menu has no entry for that.
fn pinned(facts: &Facts) -> Pinned {
    let running = facts.kernels.iter().find(|kernel| kernel.running).map(|kernel| kernel.version.as_str());
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+:".contains(c));
    let found = facts.boot.entries.iter().find(|entry| {
        let inside = !entry.xen && !entry.submenu && !entry.within.is_empty();
        let names = entry.within.iter().chain([&entry.id]);
        inside
            && running.is_some()
            && entry.kernel.as_deref() == running
            && names.into_iter().all(|name| plain(name))
    });
    found.map_or(Pinned::Linux, |entry| {
        let way: Vec<&str> = entry.within.iter().chain([&entry.id]).map(String::as_str).collect();
        Pinned::Known(way.join(">"))
    })
}

/// The name of what is pinned, as grub.cfg has it.
fn default_name<'a>(entries: &'a Entries, pinned: &'a Pinned) -> &'a str {
    match pinned {
        Pinned::Known(name) | Pinned::Entry(name) => name,
        Pinned::Linux | Pinned::Theirs => &entries.linux,
        Pinned::Xen | Pinned::Made => &entries.xen,
    }
}

fn says(path: &str, text: &str) -> Condition {
    Condition::FileSays { path: PathBuf::from(path), text: text.to_owned() }
}

fn set_default(name: &str) -> Condition {
    says(MENU, &boot::set_default(name))
}

fn stage(id: &str, title: String, steps: Vec<Step>) -> Stage {
    Stage { id: Slug::of(id), title, guard: None, no_return: None, steps, checks: Vec::new() }
}

fn prepare(
    known: &Known<'_>,
    entries: &Entries,
    pinned: &Pinned,
    kept: Option<&Kept<'_>>,
    up: &[guests::Running],
) -> Stage {
    let Known { facts, host, check, .. } = known;
    let mut steps = Vec::new();
    let text = boot::last_text(host, facts, entries, pinned);
    if let Some(action) = write(Path::new(LAST), &text, facts.file(Path::new(LAST))) {
        let (undo, make) = bracket(&boot::update_grub(&facts.boot), &[PathBuf::from(MENU)], true);
        let draft = |id: &str, title: &str, why: &str, action| {
            Draft::new(id, title, why, action).risks(&[Risk::DecidesBoot])
        };
        steps.extend([
            draft(
                "menu-undo",
                "Make GRUB's menu anew if this is undone",
                "the menu is made from the file below, so it is made again when that is as it was",
                undo,
            )
            .step(),
            draft(
                "pin-linux",
                "Keep plain Linux the default until the new Xen was booted on trial",
                "a power cut in the middle then ends in a Linux that is known to boot, where the upgrade goes on",
                action,
            )
            .step(),
            draft("menu", "Make GRUB's menu anew", "so that it boots plain Linux when nobody chooses", make)
                .leaves(vec![set_default(default_name(entries, pinned))])
                .step(),
        ]);
    }
    steps.extend(packages::keep(known, kept));
    steps.extend(packages::sources(known));
    steps.push(packages::fetch(known));
    steps.extend(guests::down(up, facts));
    let down = if up.is_empty() { "" } else { ", guests shut down" };
    stage(
        "prepare",
        format!("The default, the sources of {}, everything fetched{down}", check.to.name),
        steps,
    )
}

fn upgrade(
    known: &Known<'_>,
    entries: &Entries,
    pinned: &Pinned,
    new: &New,
    kept: Option<&Kept<'_>>,
) -> Stage {
    let facts = known.facts;
    let mut steps = vec![packages::upgrade(known)];
    steps.extend(kept.map(packages::expose));
    // dracut has no update-initramfs.
    let by_initramfs_tools = facts.packages.version("dracut").is_none();
    steps.extend(new.kernel.as_deref().filter(|_| by_initramfs_tools).map(packages::initramfs));
    let why = "so that it has the new Xen and the new kernel, whichever script ran last";
    let menu = Action::run(Some(boot::update_grub(&facts.boot)), None);
    steps.push(packages::onward(
        Draft::new("upgrade-menu", "Make GRUB's menu anew", why, menu).risks(&[Risk::DecidesBoot]),
        "the menu is made from what is installed",
    ));
    let mut checks = vec![
        Condition::Exists { path: PathBuf::from(format!("/usr/lib/xen-{}/bin/xl", new.xen)) },
        says(MENU, &format!("/xen-{}-amd64.gz", new.xen)),
        says(MENU, &format!("'{}'", entries.xen)),
        set_default(default_name(entries, pinned)),
    ];
    if let Some(kernel) = &new.kernel {
        checks.push(Condition::Exists { path: PathBuf::from(format!("/boot/initrd.img-{kernel}")) });
        checks.push(says(&format!("/boot/config-{kernel}"), "CONFIG_XEN_DOM0=y"));
        checks.push(says(MENU, &format!("/vmlinuz-{kernel}")));
    }
    checks.extend(packages::network_files(facts));
    Stage {
        no_return: Some(
            "apt and dpkg have no way back to older versions, so the upgrade is finished".to_owned(),
        ),
        checks,
        ..stage(UPGRADE, format!("All packages to {}", known.check.to.name), steps)
    }
}

fn trial(facts: &Facts, entries: &Entries, new: &New, network: NetworkPlan) -> Stage {
    let why =
        "plain Linux stays the default: a trial that fails, or that nobody confirms, ends in a restart to it";
    let action = Action::BootVariable { name: "next_entry".to_owned(), value: Some(entries.xen.clone()) };
    let arm = Draft::new("arm-trial", "Boot the new Xen once, at the next restart", why, action)
        .risks(&[Risk::DecidesBoot, Risk::NeedsReboot])
        .needs(vec![
            says(MENU, &format!("'{}'", entries.xen)),
            Condition::FileDoesNotSay {
                path: PathBuf::from(MENU),
                text: format!("set default=\"{}\"", entries.xen),
            },
        ]);
    // The Xen that is left says another number, and plain Linux none.
    let minor = new.xen.split('.').nth(1).unwrap_or_default();
    let told = says("/sys/hypervisor/version/minor", minor);
    let guard = Guard { watch: Watch::TrialBoot, deadline_seconds: TRIAL_SECONDS, trial: Some(told) };
    Stage {
        guard: Some(guard),
        checks: trial_checks(facts, network.lasting_checks),
        ..stage("boot-trial", format!("Xen {}, booted once on trial", new.xen), vec![arm.step()])
    }
}

/// What the default was before comes back: its file, byte for byte.
fn default(facts: &Facts, host: &Host, entries: &Entries, pinned: &Pinned) -> Stage {
    let before = facts.file(Path::new(LAST)).unwrap_or_default();
    let text = boot::last_text(host, facts, entries, pinned);
    let mut steps = Vec::new();
    if let Some(action) = write(Path::new(LAST), before, Some(&text)) {
        let (undo, make) = bracket(&boot::update_grub(&facts.boot), &[PathBuf::from(MENU)], true);
        let why = "the menu is made from the file below, so it is made again when that is as it was";
        let undo = Draft::new("default-undo", "Make GRUB's menu anew if this is undone", why, undo);
        let why = "the trial boot of the new Xen was confirmed";
        let flip = Draft::new("default-back", "Make the default what it was before", why, action);
        let menu = Draft::new("default-menu", "Make GRUB's menu anew", "so that it boots the default", make);
        let [undo, flip, menu] = [undo, flip, menu].map(|draft| draft.risks(&[Risk::DecidesBoot]).step());
        let keep = before.contains(boot::known_good::ID).then(|| boot::keep(&facts.boot, entries));
        steps.extend([Some(undo), keep, Some(flip), Some(menu)].into_iter().flatten());
    }
    stage("boot-default", "The default as it was before".to_owned(), steps)
}

/// What was kept for the way goes.
fn release(known: &Known<'_>, kept: Option<&Kept<'_>>) -> Stage {
    stage("release", "What was kept for the way goes".to_owned(), packages::release(known, kept))
}

/// Returns the guests that a plan starts again, with their files.
#[must_use]
pub fn guests(plan: &Plan) -> Vec<(String, String)> {
    guests::of(plan)
}

/// Whether a run of a plan is past its point of no return.
#[must_use]
pub fn is_under_way(plan: &Plan, status: &Status) -> bool {
    let mut stages = plan.stages.iter().zip(&status.stages);
    stages.any(|(planned, found)| is_past_return(planned, found))
}

/// Whether a plan is one of these.
#[must_use]
pub fn is_upgrade(plan: &Plan) -> bool {
    plan.stages.iter().any(|stage| stage.id.as_str() == UPGRADE && stage.no_return.is_some())
}
