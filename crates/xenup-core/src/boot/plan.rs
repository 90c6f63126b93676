//! The steps around GRUB: pinned to Linux, Xen on trial, Xen by default. Decides which are still to be done.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Guard, Risk, Step, Watch};
use xenup_machine::process::Command;

use crate::host::{DefaultBoot, Host};
use crate::inspect::facts::Boot;
use crate::inspect::{Facts, Finding};
use crate::plan::step::{Draft, bracket, write};

use super::text::Pinned;
use super::{CUSTOM, Entries, FIRST, LAST, MENU, custom_text, entries, first_text, last_text, mark};

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
}

/// Returns the steps that are still to be done. `packages` says whether some are to be installed: then the menu is
/// made anew.
///
/// # Errors
/// A finding, where GRUB's menu has no entries to work with.
pub fn plan(facts: &Facts, host: &Host, packages: bool) -> Result<BootPlan, Box<Finding>> {
    let entries = entries(&facts.boot)?;
    let pinned = if is_theirs(&facts.boot, &entries) { Pinned::Theirs } else { Pinned::Linux };
    let trial_text = last_text(host, &facts.boot, &entries, pinned);
    let wanted_text = match host.boot.default {
        DefaultBoot::Xen => last_text(host, &facts.boot, &entries, Pinned::Xen),
        DefaultBoot::Linux => trial_text.clone(),
    };
    let now = facts.file(Path::new(LAST));
    // Where Xen is the default already with the same words, there is nothing to try.
    let settled = now == Some(wanted_text.as_str());
    let prepared_text = if settled { &wanted_text } else { &trial_text };
    let mut plan = prepare(facts, &entries, prepared_text, packages);
    let is_written = now == Some(prepared_text.as_str());
    if settled || host.boot.default == DefaultBoot::Linux {
        return Ok(plan);
    }
    // In a dom0 that was started with the words on disk the trial is over, only the default is missing.
    let dom0 = facts.xen.running.as_ref().is_some_and(|xen| xen.dom0);
    let started_so = facts.boot.cmdline.split_whitespace().any(|word| word == mark(host, &facts.boot));
    let tried = is_written && dom0 && started_so;
    if !tried {
        plan.trial = vec![arm(&entries)];
        let trial =
            Condition::FileSays { path: PathBuf::from("/sys/hypervisor/type"), text: "xen".to_owned() };
        plan.guard =
            Some(Guard { watch: Watch::TrialBoot, deadline_seconds: TRIAL_SECONDS, trial: Some(trial) });
    }
    plan.default = make_default(&facts.boot, &entries, &trial_text, &wanted_text);
    Ok(plan)
}

/// A default that somebody chose, and that is not Xen: it stays until the trial is confirmed.
fn is_theirs(boot: &Boot, entries: &Entries) -> bool {
    // Debian's xen.cfg computes it, so the variable may be unknown where the menu tells.
    let default = boot.grub.get("GRUB_DEFAULT").or(boot.menu_default.as_ref()).map_or("", String::as_str);
    let named = boot.entries.iter().find(|entry| entry.id == default || entry.title == default);
    let is_xen = named.map_or(default == entries.xen, |entry| entry.xen);
    !matches!(default, "" | "0") && default != entries.linux && !is_xen
}

fn prepare(facts: &Facts, entries: &Entries, last: &str, packages: bool) -> BootPlan {
    let first = write(Path::new(FIRST), &first_text(), facts.file(Path::new(FIRST)));
    let last = write(Path::new(LAST), last, facts.file(Path::new(LAST)));
    let has_xen = facts.boot.entries.iter().any(|entry| entry.id == entries.xen);
    let mut plan = BootPlan { before: fallback(facts, entries).into_iter().collect(), ..BootPlan::default() };
    if first.is_none() && last.is_none() && !packages && has_xen {
        return plan;
    }
    let (undo, make) = bracket(&update_grub(&facts.boot), vec![PathBuf::from(MENU)]);
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
            "Keep Linux the default when a hypervisor is installed",
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
            "memory, processors and console of dom0 as host.toml has them; the default stays on Linux",
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
        .leaves(vec![says(MENU, &format!("'{}'", entries.xen)), says(MENU, &format!("'{}'", entries.linux))])
        .step(),
    );
    plan
}

fn fallback(facts: &Facts, entries: &Entries) -> Option<Step> {
    let now = facts.file(Path::new(CUSTOM));
    let text = custom_text(now, entries)?;
    let action = write(Path::new(CUSTOM), &text, now)?;
    let why =
        "an entry that cannot be loaded would leave GRUB waiting for a key, and nobody is there to press one";
    let draft = Draft::new("grub-fallback", "Let GRUB fall back to plain Linux", why, action);
    Some(draft.risks(&[Risk::DecidesBoot]).step())
}

fn arm(entries: &Entries) -> Step {
    Draft::new(
        "arm-trial",
        "Boot Xen once, at the next restart",
        "the default stays on Linux: a trial that fails, or that nobody confirms, ends in a restart to Linux",
        Action::BootVariable { name: "next_entry".to_owned(), value: Some(entries.xen.clone()) },
    )
    .risks(&[Risk::DecidesBoot, Risk::NeedsReboot])
    .needs(vec![says(MENU, &format!("'{}'", entries.xen))])
    .step()
}

fn make_default(boot: &Boot, entries: &Entries, trial: &str, wanted: &str) -> Vec<Step> {
    let Some(action) = write(Path::new(LAST), wanted, Some(trial)) else { return Vec::new() };
    let (undo, make) = bracket(&update_grub(boot), vec![PathBuf::from(MENU)]);
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
    .leaves(vec![says(MENU, &format!("set default=\"{}\"", entries.xen))]);
    [undo, flip, menu].map(|draft| draft.risks(&[Risk::DecidesBoot]).step()).into()
}

/// The menu is made in the language it was made in before: titles are translated, and theirs may be somebody's default.
fn update_grub(boot: &Boot) -> Command {
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

fn says(path: &str, text: &str) -> Condition {
    Condition::FileSays { path: PathBuf::from(path), text: text.to_owned() }
}
