//! The card for 3 a.m.: what is pending, until when, and how to undo it by hand on a machine without xenup.
//!
//! Decides the words, and which of Debian's own commands brings each step back. Never writes the card, and never
//! counts on xenup being there: every command on it is Debian's, with the real paths of the kept copies.

mod commands;
mod grub;

use std::collections::BTreeMap;
use std::path::Path;

use xenup_engine::plan::{Plan, Slug, Stage, Step, Watch};
use xenup_engine::snapshot::Snapshot;
use xenup_engine::store::RunId;

pub use grub::linux_entry;

use crate::upgrade::apply::is_upgrade;

/// When a pending stage is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// So many seconds after a moment. The wall clock may be set meanwhile, the time since the boot is not.
    After {
        /// Seconds.
        seconds: u64,
        /// The moment, in seconds since 1970 by the wall clock as it was then.
        unix_seconds: i64,
        /// The same moment in seconds since the boot, suspends counted: what uptime(1) shows.
        uptime_seconds: u64,
    },
    /// So many seconds after the trial boot began.
    AfterTrialBoot {
        /// Seconds.
        seconds: u64,
    },
}

/// What the card is about.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its plan.
    pub plan: &'a Plan,
    /// The stage that waits.
    pub stage: &'a Stage,
    /// What stood where each of its steps reaches, as the journal recorded it or as it is now.
    pub before: &'a BTreeMap<Slug, Snapshot>,
    /// Where it is a rollback that waits: what stood there before it, for each step that it has undone or will.
    pub kept: Option<&'a BTreeMap<Slug, Snapshot>>,
    /// The directory of the store.
    pub store: &'a Path,
    /// When it is undone.
    pub deadline: Deadline,
    /// The GRUB entry that boots the machine as it was; see [`linux_entry`].
    pub grub_entry: Option<&'a str>,
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// For `/root/xenup-recovery.txt`.
    pub text: String,
    /// For `/etc/issue.d`, which agetty(8) shows above the login prompt.
    pub banner: String,
}

/// Where the card lies.
pub const CARD: &str = "/root/xenup-recovery.txt";
/// Where the banner lies.
pub const BANNER: &str = "/etc/issue.d/xenup.issue";

/// Returns the card. Commands to type are indented by four spaces, and nothing else is.
#[must_use]
pub fn card(pending: &Pending<'_>) -> Card {
    let mut text = head(pending);
    text.push_str(&by_hand(pending));
    text.push_str(&boot(pending));
    text.push_str(&keep(pending));
    Card { text, banner: banner(pending) }
}

fn head(pending: &Pending<'_>) -> String {
    let Pending { run, stage, .. } = pending;
    if pending.kept.is_some() {
        return head_of_rollback(pending);
    }
    let console = match watch(stage) {
        Watch::Network => "At this console, where the network is good:",
        Watch::TrialBoot => "At this console, after the trial boot:",
    };
    // A rollback in the trial would take away the hypervisor that the machine runs on; the way back is a reboot.
    let reboot =
        "To undo it now, in the trial boot: the next boot is plain Linux again.\n    systemctl reboot";
    let undo = match (watch(stage), pending.deadline) {
        (Watch::Network, _) => {
            format!("To undo it now, and the whole run with it:\n    xenup rollback {run}")
        }
        (Watch::TrialBoot, Deadline::After { .. }) => reboot.to_owned(),
        (Watch::TrialBoot, Deadline::AfterTrialBoot { .. }) if is_upgrade(pending.plan) => {
            format!("To call the trial off, before that boot:\n    xenup rollback {run}\n{reboot}")
        }
        (Watch::TrialBoot, Deadline::AfterTrialBoot { .. }) => {
            format!("To undo the whole run, before the trial boot:\n    xenup rollback {run}\n{reboot}")
        }
    };
    format!(
        "A CHANGE OF THIS MACHINE WAITS FOR A CONFIRMATION\n\n\
         What:      {} (run {run}, stage {})\n\
         Plan:      {}\n\
         Undone:    {}\n\n\
         WITH XENUP\n\n\
         To keep it, log in over a new connection and type:\n    xenup confirm\n\
         {console}\n    xenup confirm --console\n\
         {undo}\n\n",
        stage.title,
        stage.id,
        pending.plan.purpose,
        when(pending.deadline),
    )
}

fn head_of_rollback(pending: &Pending<'_>) -> String {
    let Pending { run, stage, .. } = pending;
    format!(
        "A ROLLBACK ON THIS MACHINE WAITS FOR A CONFIRMATION\n\n\
         Undone:    {} (run {run}, stage {})\n\
         Plan:      {}\n\
         Goes back: {}\n\n\
         WITH XENUP\n\n\
         To keep it undone, log in over a new connection and type:\n    xenup confirm\n\
         At this console, where the network is good:\n    xenup confirm --console\n\
         To have back at once what was there before the rollback:\n    systemctl reboot\n\n",
        stage.title,
        stage.id,
        pending.plan.purpose,
        when(pending.deadline),
    )
}

fn watch(stage: &Stage) -> Watch {
    stage.guard.as_ref().map_or(Watch::Network, |guard| guard.watch)
}

fn when(deadline: Deadline) -> String {
    match deadline {
        Deadline::After { seconds, unix_seconds, uptime_seconds } => {
            let second = unix_seconds.rem_euclid(86_400);
            format!(
                "by itself {seconds} s after {:02}:{:02}:{:02} UTC (uptime {uptime_seconds} s), or at the next boot",
                second / 3600,
                second / 60 % 60,
                second % 60
            )
        }
        Deadline::AfterTrialBoot { seconds } => {
            format!("by itself {seconds} seconds after the trial boot began, by a reboot")
        }
    }
}

fn by_hand(pending: &Pending<'_>) -> String {
    let mut text = String::from(
        "WITHOUT XENUP, AS ROOT, IN THIS ORDER\n\n\
         A kept copy that is not there belongs to a step that was not begun: go on with the next.\n",
    );
    match pending.kept {
        None => {
            for step in pending.stage.steps.iter().rev() {
                let lines =
                    pending.before.get(&step.id).map(|before| commands::undo(step, before, pending.store));
                push_step(&mut text, "Undo", step, lines.unwrap_or_default());
            }
        }
        Some(kept) => {
            for step in &pending.stage.steps {
                let (Some(kept), Some(undone)) = (kept.get(&step.id), pending.before.get(&step.id)) else {
                    continue;
                };
                let lines = commands::bring_back(step, kept, undone, pending.store);
                push_step(&mut text, "Bring back", step, lines);
            }
        }
    }
    text.push_str("\nThen start the machine anew:\n    systemctl reboot\n\n");
    text
}

fn push_step(text: &mut String, verb: &str, step: &Step, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{verb}: {}\n", step.title));
    for line in lines {
        text.push_str(&format!("    {line}\n"));
    }
}

/// A rollback that waits has not touched what boots.
fn boot(pending: &Pending<'_>) -> String {
    let Some(entry) = pending.grub_entry.filter(|_| pending.kept.is_none()) else { return String::new() };
    format!("AT THE BOOT MENU\n\nThe entry that boots this machine as it was before:\n{entry}\n\n")
}

/// With the copy of the binary gone, neither the waiting guard nor the units can do anything. The reload comes before the
/// kill: a unit whose file is gone has no last command, which in a trial is the reboot.
fn keep(pending: &Pending<'_>) -> String {
    let Pending { run, stage, store, .. } = pending;
    let guard = store.join("guard");
    let what = if pending.kept.is_some() { "ROLLBACK" } else { "CHANGE" };
    let unit = match watch(stage) {
        Watch::Network => format!("xenup-guard-{run}-{}.service", stage.id),
        Watch::TrialBoot => "xenup-trial.service".to_owned(),
    };
    format!(
        "TO KEEP THE {what} THOUGH XENUP IS GONE\n\n\
         \x20   rm -rf {guard}\n\
         \x20   rm -f /etc/systemd/system/xenup-*.service /etc/systemd/system/sysinit.target.wants/xenup-*.service\n\
         \x20   rm -f /etc/systemd/system/*.service.d/xenup-trial.conf\n\
         \x20   systemctl daemon-reload\n\
         \x20   systemctl kill --signal=KILL {unit}\n\
         \x20   rm -f {BANNER}\n",
        guard = guard.display(),
    )
}

fn banner(pending: &Pending<'_>) -> String {
    // agetty(8) expands backslashes in issue files; slugs, ids and times have none.
    let (what, goes) = match pending.kept {
        None => ("", "is undone"),
        Some(_) => ("the rollback of ", "goes back"),
    };
    format!(
        "xenup: {what}stage {} of run {} waits for `xenup confirm`;\nit {goes} {}.\nWhat to do without a network: {CARD}\n\n",
        pending.stage.id,
        pending.run,
        when(pending.deadline)
    )
}
