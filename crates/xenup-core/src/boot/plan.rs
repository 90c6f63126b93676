//! The steps around GRUB: pinned to Linux, Xen on trial, Xen by default. Decides which are still to be done.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition, UnitState};
use xenup_engine::plan::{Guard, Risk, Step, Watch};
use xenup_machine::process::Command;

use crate::host::{DefaultBoot, Host};
use crate::inspect::facts::Boot;
use crate::inspect::{Facts, Finding};
use crate::plan::step::{Draft, bracket, write};

use super::default::{in_menu, is_saved, kept};
use super::text::{Pinned, default_id, say_the_same};
use super::{
    CUSTOM, Entries, FIRST, LAST, MENU, custom_text, entries, first_text, known_good, last_text, mark,
};

/// GRUB's environment block.
const GRUBENV: &str = "/boot/grub/grubenv";

/// Fifteen minutes: a slow machine boots in five, and somebody has to log in.
const TRIAL_SECONDS: u64 = 900;

/// The steps around GRUB, by the stage they belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootPlan {
    /// Before anything else: what an undo ends with, and the drop-ins.
    pub before: Vec<Step>,
    /// After the packages: the menu, and that it has Xen's entry.
    pub after: Vec<Step>,
    /// The trial.
    pub trial: Vec<Step>,
    /// The guard around the trial.
    pub guard: Option<Guard>,
    /// After the trial was confirmed.
    pub default: Vec<Step>,
    /// Whether the default that stays until then is an entry that somebody chose, and not plain Linux of this system.
    pub theirs: bool,
}

/// Returns the steps that are still to be done. `packages` says whether some are to be installed: then the menu is
/// made anew.
///
/// # Errors
/// A finding, where GRUB's menu has no entries to work with.
pub fn plan(facts: &Facts, host: &Host, packages: bool) -> Result<BootPlan, Box<Finding>> {
    let entries = entries(&facts.boot)?;
    let pinned = kept(&facts.boot, &entries)?;
    let trial_text = last_text(host, facts, &entries, &pinned);
    let (wanted, wanted_text) = match host.boot.default {
        DefaultBoot::Xen => (&Pinned::Xen, last_text(host, facts, &entries, &Pinned::Xen)),
        DefaultBoot::Linux => (&pinned, trial_text.clone()),
    };
    let now = facts.file(Path::new(LAST));
    // Where Xen is the default already with the same words, there is nothing to try.
    let settled =
        now.and_then(|now| Some((settled(facts, host, &entries, now, (wanted, &wanted_text))?, now)));
    let (default, prepared_text) = settled.unwrap_or((&pinned, trial_text.as_str()));
    let mut plan = prepare(facts, &entries, default, prepared_text, packages);
    let is_written = now == Some(prepared_text);
    let settled = settled.is_some();
    if settled && facts.boot.known_good && !facts.boot.newer_is_tried && *default == Pinned::Xen {
        plan.default = vec![try_newer()];
    }
    if settled || host.boot.default == DefaultBoot::Linux {
        return Ok(plan);
    }
    // In a dom0 that was started with the words on disk the trial is over, only the default is missing.
    let dom0 = facts.xen.running.as_ref().is_some_and(|xen| xen.dom0);
    let started_so = facts.boot.cmdline.split_whitespace().any(|word| word == mark(host, facts));
    let tried = is_written && dom0 && started_so;
    if !tried {
        plan.trial = vec![arm(&facts.boot, &entries, default)];
        let trial =
            Condition::FileSays { path: PathBuf::from("/sys/hypervisor/type"), text: "xen".to_owned() };
        plan.guard =
            Some(Guard { watch: Watch::TrialBoot, deadline_seconds: TRIAL_SECONDS, trial: Some(trial) });
    }
    plan.default = make_default(&facts.boot, &entries, &trial_text, &wanted_text);
    Ok(plan)
}

/// Returns which default the last drop-in names already, where it is the one that is wanted. An image and an installer
/// make the newest Xen the default, and then it stays that.
fn settled<'a>(
    facts: &Facts,
    host: &Host,
    entries: &Entries,
    now: &str,
    (wanted, wanted_text): (&'a Pinned, &str),
) -> Option<&'a Pinned> {
    let keeps = *wanted == Pinned::Xen && facts.boot.can_try_newer;
    if say_the_same(now, wanted_text) && (facts.boot.known_good || !keeps) {
        return Some(wanted);
    }
    let made = keeps && say_the_same(now, &last_text(host, facts, entries, &Pinned::Made));
    made.then_some(&Pinned::Made)
}

/// Whether a default is an entry that somebody chose: it stays until the trial is confirmed.
fn is_theirs(default: &Pinned) -> bool {
    matches!(default, Pinned::Theirs | Pinned::Entry(_))
}

/// What stays of the default, as the end of a sentence.
fn stays(default: &Pinned) -> &'static str {
    match default {
        Pinned::Linux | Pinned::Known(_) => "the default stays on Linux",
        Pinned::Xen | Pinned::Made => "the default stays Xen",
        Pinned::Theirs | Pinned::Entry(_) => "the default stays what it is",
    }
}

fn prepare(facts: &Facts, entries: &Entries, default: &Pinned, last: &str, packages: bool) -> BootPlan {
    let first = write(Path::new(FIRST), &first_text(), facts.file(Path::new(FIRST)));
    let last = write(Path::new(LAST), last, facts.file(Path::new(LAST)));
    let has_xen = facts.boot.entries.iter().any(|entry| entry.id == entries.xen);
    let before = fallback(facts, entries).into_iter().collect();
    let mut plan = BootPlan { before, theirs: is_theirs(default), ..BootPlan::default() };
    if first.is_none() && last.is_none() && !packages && has_xen {
        return plan;
    }
    let (undo, make) = bracket(&update_grub(&facts.boot), &[PathBuf::from(MENU)], true);
    plan.before.push(
        Draft::new(
            "menu-undo",
            "Make GRUB's menu anew if this is undone",
            "the menu is made from the files below, so it is made again when they are as they were",
            undo,
        )
        .risks(&[Risk::DecidesBoot])
        .step(),
    );
    plan.before.extend(first.map(|action| {
        Draft::new(
            "grub-keeps-linux",
            if is_theirs(default) {
                "Keep the default when a hypervisor is installed"
            } else {
                "Keep Linux the default when a hypervisor is installed"
            },
            "Debian's xen.cfg would make Xen the default at once; it has not been tried on this machine yet",
            action,
        )
        .risks(&[Risk::DecidesBoot])
        .step()
    }));
    plan.before.extend(last.map(|action| {
        Draft::new(
            "grub-words",
            "Write the command lines of Xen and of its Linux",
            format!("memory, processors and console of dom0 as host.toml has them; {}", stays(default)),
            action,
        )
        .risks(&[Risk::DecidesBoot])
        .step()
    }));
    plan.after.push(
        Draft::new(
            "menu",
            "Make GRUB's menu anew",
            "so that it has an entry for Xen, with these command lines",
            make,
        )
        .risks(&[Risk::DecidesBoot])
        .leaves(menu_says(&facts.boot, entries, default))
        .step(),
    );
    plan
}

/// What grub.cfg has to say once it is made: both entries, and the default that was meant to stay.
fn menu_says(boot: &Boot, entries: &Entries, default: &Pinned) -> Vec<Condition> {
    let mut conditions =
        vec![says(MENU, &format!("'{}'", entries.xen)), says(MENU, &format!("'{}'", entries.linux))];
    conditions.extend(in_menu(boot, entries, default).map(|name| says(MENU, &set_default(&name))));
    if *default != Pinned::Xen {
        conditions.push(does_not_say(MENU, &set_default(&entries.xen)));
    }
    conditions
}

/// Returns the line of grub.cfg that 00_header makes of GRUB_DEFAULT.
#[must_use]
pub fn set_default(name: &str) -> String {
    format!("set default=\"{name}\"")
}

fn fallback(facts: &Facts, entries: &Entries) -> Option<Step> {
    let now = facts.file(Path::new(CUSTOM));
    let text = custom_text(now, &facts.boot, entries)?;
    let action = write(Path::new(CUSTOM), &text, now)?;
    let why =
        "an entry that cannot be loaded would leave GRUB waiting for a key, and nobody is there to press one";
    let draft = Draft::new("grub-fallback", "Let GRUB fall back to plain Linux", why, action);
    Some(draft.risks(&[Risk::DecidesBoot]).step())
}

fn arm(boot: &Boot, entries: &Entries, default: &Pinned) -> Step {
    let target = if is_theirs(default) { "the default" } else { "Linux" };
    let why = format!(
        "{}: a trial that fails, or that nobody confirms, ends in a restart to {target}",
        stays(default)
    );
    let mut needs = vec![says(MENU, &format!("'{}'", entries.xen))];
    needs.push(does_not_say(MENU, &set_default(&entries.xen)));
    // With GRUB_SAVEDEFAULT an entry chosen by hand in between would be what the trial falls back to.
    if *default == Pinned::Theirs && is_saved(boot) {
        needs.push(does_not_say(GRUBENV, &format!("saved_entry={}", entries.xen)));
    }
    let action = Action::BootVariable { name: "next_entry".to_owned(), value: Some(entries.xen.clone()) };
    Draft::new("arm-trial", "Boot Xen once, at the next restart", why, action)
        .risks(&[Risk::DecidesBoot, Risk::NeedsReboot])
        .needs(needs)
        .step()
}

fn make_default(boot: &Boot, entries: &Entries, trial: &str, wanted: &str) -> Vec<Step> {
    let Some(action) = write(Path::new(LAST), wanted, Some(trial)) else { return Vec::new() };
    let (undo, make) = bracket(&update_grub(boot), &[PathBuf::from(MENU)], true);
    let undo = Draft::new(
        "default-undo",
        "Make GRUB's menu anew if this is undone",
        "the menu is made from the file below, so it is made again when that is as it was",
        undo,
    );
    let flip = Draft::new("default-xen", "Make Xen the default", "its trial boot was confirmed", action);
    let menu = Draft::new(
        "default-menu",
        "Make GRUB's menu anew",
        "so that Xen is what boots when nobody chooses",
        make,
    )
    .leaves(vec![says(MENU, &set_default(default_id(boot, entries)))]);
    let mut steps = vec![undo.risks(&[Risk::DecidesBoot]).step()];
    if boot.can_try_newer {
        steps.extend([keep(boot, entries), try_newer()]);
    }
    steps.extend([flip, menu].map(|draft| draft.risks(&[Risk::DecidesBoot]).step()));
    steps
}

/// What was booted becomes an entry of its own. An undo takes away what this step has made, not what was kept before it:
/// then the next restart tries what the menu has by then.
pub(crate) fn keep(boot: &Boot, entries: &Entries) -> Step {
    let xenup = |word: &str| Command::new("/usr/sbin/xenup", ["known-good", word]);
    let action = Action::Run {
        forward: Some(xenup("keep")),
        backward: (!boot.known_good).then(|| xenup("forget")),
        generates: vec![PathBuf::from(known_good::FILE)],
        put_back: false,
        once: false,
    };
    let why = "dpkg replaces Xen and kernels under the same names: copies stay what boots by itself, until what is newer \
               booted well once";
    Draft::new("known-good", "Keep copies of the Xen and Linux that were tried", why, action)
        .risks(&[Risk::DecidesBoot])
        .needs(vec![says(MENU, &format!("'{}'", entries.xen))])
        .leaves(vec![says(known_good::FILE, &format!("'{}'", known_good::ID))])
        .step()
}

/// The units of the package; enabling the first enables those of the trial.
fn try_newer() -> Step {
    let state = UnitState { enabled: Some(true), active: Some(true) };
    let why = "at a shutdown after an upgrade the newer Xen or kernel is armed to be booted once; it becomes the default \
               when that boot holds what this trial had to hold, and otherwise the machine restarts into what is kept";
    Draft::new(
        "try-newer",
        "Boot every later Xen and kernel once on trial first",
        why,
        Action::Unit { unit: known_good::UNIT.to_owned(), state },
    )
    .risks(&[Risk::TouchesServices, Risk::DecidesBoot])
    .step()
}

/// The menu is made in the language it was made in before: titles are translated, and theirs may be somebody's default.
pub(crate) fn update_grub(boot: &Boot) -> Command {
    let command = Command::new("update-grub", Vec::<String>::new());
    let plain = |lang: &&String| lang.chars().all(|c| c.is_ascii_alphanumeric() || "_@".contains(c));
    match boot.menu_lang.as_ref().filter(plain) {
        Some(lang) => {
            let locale = format!("{lang}.UTF-8");
            command.with_env("LANG", &locale).with_env("LC_ALL", &locale)
        }
        None => command,
    }
}

fn does_not_say(path: &str, text: &str) -> Condition {
    Condition::FileDoesNotSay { path: PathBuf::from(path), text: text.to_owned() }
}

fn says(path: &str, text: &str) -> Condition {
    Condition::FileSays { path: PathBuf::from(path), text: text.to_owned() }
}
