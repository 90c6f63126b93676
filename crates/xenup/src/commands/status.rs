//! `xenup status`: what happened, what is safe, and the one command to type.
//!
//! Decides: how a run's state reads. Never: changes anything; the state is a fold over the journal.

mod upgrading;
mod waits;

use schemars::JsonSchema;
use serde::Serialize;
use xenup_core::upgrade::pending::Pending;
use xenup_engine::journal::{Cause, End, UndoNote};
use xenup_engine::plan::Watch;
use xenup_engine::status::{ArmedGuard, StageState, StageStatus, Status, StepState};
use xenup_engine::store::{Run, RunId, Store};
use xenup_machine::{Clock, Probe};

use crate::args;
use crate::commands::{known_good, lasting, machine, print_json};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// What `--json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    /// The form of this object.
    format: u32,
    /// The newest run that is not finished, or the newest.
    run: Option<RunTold>,
    /// What waits for a reboot.
    reboot: Option<Pending>,
    /// What is known to boot, and what was tried since.
    known_good: Option<known_good::Told>,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
struct RunTold {
    /// Its name.
    id: RunId,
    /// What it is for.
    purpose: String,
    /// Where it stands.
    status: Status,
}

/// What a person reads first, and last.
#[derive(Debug, PartialEq, Eq)]
struct Advice {
    /// What is the case, in capitals where it cannot wait.
    headline: String,
    /// What cannot go wrong from here.
    safe: String,
    /// The one command.
    next: String,
}

/// Prints where the newest run stands.
pub fn run(ui: &mut Ui, args: &args::Status) -> Outcome {
    let machine = machine::running()?;
    let store = machine::store();
    let run = newest(&store, &machine)?;
    let waits = waits::waits(&machine);
    let known_good = known_good::told(&machine);
    if args.json {
        let run = run.map(|run| RunTold { id: run.id, purpose: run.plan.purpose, status: run.status });
        let told = Told { format: 1, run, reboot: waits, known_good };
        return print_json(ui, &serde_json::json!(told));
    }
    let Some(run) = run else {
        ui.heading("No run yet: xenup has changed nothing on this machine.");
        ui.result("next: xenup inspect");
        waits::tell(ui, waits.as_ref(), false);
        return Ok(Exit::Done);
    };
    let still_runs = lasting::ends_with_this_boot(&machine, &run);
    for line in page(&run, &machine.clock(), still_runs, waits::is_dom0(&machine)) {
        ui.result(line);
    }
    let leads = waits::leads(&run);
    waits::tell(ui, waits.as_ref(), leads);
    if let Some((heading, lines)) = known_good.as_ref().map(|told| told.lines(leads)) {
        ui.heading(heading);
        lines.into_iter().for_each(|line| ui.result(line));
    }
    Ok(if run.status.awaiting().is_some() { Exit::AwaitingConfirm } else { Exit::Done })
}

fn newest(store: &Store, probe: &dyn Probe) -> Result<Option<Run>, CommandError> {
    let unfinished = store.newest_unfinished(probe).map_err(machine::engine_error)?;
    match unfinished {
        Some(run) => Ok(Some(run)),
        None => store.newest(probe).map_err(machine::engine_error),
    }
}

/// Returns the page, line by line.
fn page(run: &Run, now: &Clock, still_runs: bool, is_dom0: bool) -> Vec<String> {
    let mut advice = upgrading::advise(&run.plan, &run.status, is_dom0)
        .unwrap_or_else(|| upgrading::in_words_of_its_verb(&run.plan, &run.status, advise(&run.status, now)));
    // Undone is not ended: the hypervisor and its links are there until the next boot.
    if still_runs && run.status.end.is_some() {
        advice.next = "systemctl reboot   (ends what the run had started)".to_owned();
    }
    let mut lines = vec![advice.headline, format!("run {}: {}", run.id, run.plan.purpose)];
    for stage in &run.status.stages {
        let title = run
            .plan
            .stages
            .iter()
            .find(|planned| planned.id == stage.id)
            .map_or("", |planned| &planned.title);
        lines.push(format!("  {:<13} {:<20} {title}", stage.id.as_str(), state(stage)));
        lines.extend(troubles(stage));
    }
    lines.extend(upgrading::guests_down(&run.plan, &run.status));
    lines.push(format!("safe: {}", advice.safe));
    lines.push(format!("next: {}", advice.next));
    lines
}

fn state(stage: &StageStatus) -> &'static str {
    match stage.state {
        StageState::Pending => "not begun",
        StageState::Running => "begun, not finished",
        StageState::AwaitingConfirm => "waits for confirm",
        StageState::Kept => "kept",
        StageState::Undoing => "being undone",
        StageState::Undone => "undone",
        StageState::Stuck => "NOT ALL UNDONE",
        StageState::TakingBack => "being undone",
        StageState::TakenBack => "undone, if confirmed",
        StageState::Returning => "coming back",
    }
}

fn troubles(stage: &StageStatus) -> impl Iterator<Item = String> + '_ {
    stage.steps.iter().filter_map(|step| match &step.state {
        StepState::Failed { why } => Some(format!("    {} failed: {why}", step.id)),
        StepState::UndoFailed { why } if step.kept.is_some() => {
            Some(format!("    {} could not be brought back: {why}", step.id))
        }
        StepState::UndoFailed { why } => Some(format!("    {} could not be undone: {why}", step.id)),
        _ => step
            .notes
            .iter()
            .find_map(UndoNote::left_as_changed)
            .map(|what| format!("    {} left as somebody else had changed it: {what}", step.id)),
    })
}

/// Returns whether something was left since somebody else had changed it.
fn is_left(status: &Status) -> bool {
    let mut notes = status.stages.iter().flat_map(|stage| &stage.steps).flat_map(|step| &step.notes);
    notes.any(|note| note.left_as_changed().is_some())
}

fn advise(status: &Status, now: &Clock) -> Advice {
    if let Some(stage) = status.stages.iter().find(|stage| stage.state == StageState::Stuck) {
        let (safe, next) = match stage.is_armed() {
            true => (
                "its guard stays, and tries again by itself, at each boot too",
                "xenup rollback   (tries at once; by hand: /root/xenup-recovery.txt)",
            ),
            false => (
                "what could not be undone is named above; nothing else is touched",
                "xenup rollback   (tries again)",
            ),
        };
        return Advice {
            headline: format!("STUCK: stage {} could not be undone completely.", stage.id),
            safe: safe.to_owned(),
            next: next.to_owned(),
        };
    }
    if let Some(stage) = status.awaiting() {
        return awaiting(stage, now);
    }
    if let Some(advice) = taking_back(status) {
        return advice;
    }
    if let Some(stage) =
        status.stages.iter().find(|s| matches!(s.state, StageState::Running | StageState::Undoing))
    {
        let (headline, next) = if stage.state == StageState::Undoing {
            (format!("Stage {} is being undone, or its undo was interrupted.", stage.id), "xenup rollback")
        } else {
            (
                format!("Stage {} is at work, or was interrupted.", stage.id),
                "xenup apply   (goes on; xenup rollback undoes it)",
            )
        };
        let safe = "every step is in the journal with what was there before it".to_owned();
        return Advice { headline, safe, next: next.to_owned() };
    }
    match &status.end {
        None => Advice {
            headline: "A run is under way; its next stage has not begun.".to_owned(),
            safe: "what was done so far is verified".to_owned(),
            next: "xenup apply   (goes on; xenup rollback undoes the run)".to_owned(),
        },
        Some(End::Done) => Advice {
            headline: "Done: every stage is kept.".to_owned(),
            safe: "the machine is as host.toml asks".to_owned(),
            next: "nothing; xenup rollback takes the run back".to_owned(),
        },
        Some(End::Restored { stage, cause }) => Advice {
            headline: format!("Stage {stage} was undone: {}.", because(cause)),
            safe: match is_left(status) {
                true => format!("what stage {stage} changed is undone, but for what is named above"),
                false => {
                    format!("what stage {stage} changed is as it was before; the stages before it are kept")
                }
            },
            next: "xenup apply   (tries again; xenup rollback undoes the whole run)".to_owned(),
        },
        Some(End::BroughtBack { stage, cause }) => Advice {
            headline: format!("Not rolled back: stage {stage} came back, because {}.", because(cause)),
            safe: format!("stage {stage} is as it was before the rollback; what is undone is named above"),
            next: "nothing; xenup rollback tries again".to_owned(),
        },
        Some(End::RolledBack) if is_left(status) => Advice {
            headline: "Rolled back, but for what somebody else had changed.".to_owned(),
            safe: "what was left is named above; the rest is as it was before the run".to_owned(),
            next: "nothing; what was left is put back by hand, where it is not wanted".to_owned(),
        },
        Some(End::RolledBack) => Advice {
            headline: "Rolled back: the machine is as it was before the run.".to_owned(),
            safe: "nothing of the run is left".to_owned(),
            next: "nothing".to_owned(),
        },
    }
}

/// A rollback under a guard that is at work, was interrupted, or was confirmed and is not at its end.
fn taking_back(status: &Status) -> Option<Advice> {
    let advice = |headline: String, safe: &str, next: &str| {
        Some(Advice { headline, safe: safe.to_owned(), next: next.to_owned() })
    };
    match status.being_taken_back() {
        Some(stage) if stage.state == StageState::Returning => advice(
            format!("The rollback of stage {} goes back, or that was interrupted.", stage.id),
            "what was there before the rollback is kept, and comes back",
            "wait; xenup rollback finishes it at once",
        ),
        Some(stage) => advice(
            format!("Stage {} is being undone under a guard, or that was interrupted.", stage.id),
            "what was there before the rollback comes back at the deadline, and at a reboot",
            "xenup rollback   (goes on; without it the stage comes back)",
        ),
        None if status.rolling_back => advice(
            "A rollback was confirmed, and the rest of it is at work or was interrupted.".to_owned(),
            "every step is in the journal with what was there before it",
            "xenup rollback   (goes on)",
        ),
        None => None,
    }
}

fn awaiting(stage: &StageStatus, now: &Clock) -> Advice {
    let left = stage.guard.as_ref().and_then(|guard| seconds_left(guard, now));
    let deadline = left.map_or_else(String::new, |seconds| format!(" in {}", duration(seconds)));
    let trial = stage.guard.as_ref().is_some_and(|guard| guard.watch == Watch::TrialBoot);
    let booted = stage.guard.as_ref().is_some_and(|guard| guard.trial.is_some());
    let confirm =
        "xenup confirm   (over a NEW connection; at the console: xenup confirm --console)".to_owned();
    match (trial, booted) {
        (false, _) if stage.state == StageState::TakenBack => Advice {
            headline: format!("WAITS FOR CONFIRM: stage {} is undone, and comes back{deadline}.", stage.id),
            safe: "without a confirm it is as before the rollback, after a reboot too; the rest is untouched"
                .to_owned(),
            next: confirm,
        },
        (false, _) => Advice {
            headline: format!("WAITS FOR CONFIRM: stage {} is undone{deadline}.", stage.id),
            safe: "without a confirm everything of this stage goes back, after a reboot too".to_owned(),
            next: confirm,
        },
        (true, true) => Advice {
            headline: format!(
                "WAITS FOR CONFIRM: this is the trial boot; the machine reboots to its default entry{deadline}."
            ),
            safe: "without a confirm the machine reboots to the default entry that it had before the trial"
                .to_owned(),
            next: confirm,
        },
        (true, false) => Advice {
            headline: "The trial boot is armed: the next boot, and only that one, is the trial.".to_owned(),
            safe: "the default stays what it is".to_owned(),
            next: "systemctl reboot   (xenup rollback calls the trial off, and undoes the whole run)"
                .to_owned(),
        },
    }
}

/// Returns the seconds until a guard acts; `None` where its clock does not run in this boot.
fn seconds_left(guard: &ArmedGuard, now: &Clock) -> Option<u64> {
    let deadline = match &guard.trial {
        Some(trial) if trial.boot_id == now.boot_id => trial.boottime_ns,
        Some(_) => return None,
        None if guard.boot_id == now.boot_id => guard.deadline_ns?,
        None => return None,
    };
    Some(deadline.saturating_sub(now.boottime_ns) / 1_000_000_000)
}

fn duration(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

/// Returns why something was undone, as the rest of a sentence.
pub fn because(cause: &Cause) -> String {
    match cause {
        Cause::Asked => "it was asked for".to_owned(),
        Cause::StepFailed { step, why } => format!("step {step} failed: {why}"),
        Cause::ChecksFailed { why } => format!("a check failed: {why}"),
        Cause::GuardFailed { why } => format!("the guard could not be armed: {why}"),
        Cause::NotConfirmed => "nobody confirmed it in time".to_owned(),
        Cause::Rebooted => "the machine was started anew before it was confirmed".to_owned(),
        Cause::TrialNotReached => "the trial did not come up, and Linux was booted".to_owned(),
        Cause::Interrupted => "the process that worked on it ended in the middle".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use xenup_engine::journal::{Cause, End, Moment, Proof, Record};
    use xenup_engine::plan::{Plan, Slug, Stage, Watch};
    use xenup_engine::status::Status;
    use xenup_machine::Clock;

    use super::advise;

    fn plan() -> Plan {
        let stage = |id: &str| Stage {
            id: Slug::of(id),
            title: String::new(),
            guard: None,
            no_return: None,
            steps: vec![],
            checks: vec![],
        };
        Plan {
            schema: 1,
            machine_id: "m".to_owned(),
            purpose: "test".to_owned(),
            stages: vec![stage("prepare"), stage("network"), stage("boot-trial")],
            not_restored: vec![],
        }
    }

    fn begun() -> Record {
        serde_json::from_value(serde_json::json!({
            "record": "run-begun", "run": "20261122-160301-ab12", "machine_id": "m", "boot_id": "b",
            "plan": "0".repeat(64), "unix_seconds": 0
        }))
        .unwrap()
    }

    fn stage(id: &str) -> Slug {
        Slug::of(id)
    }

    fn guarded(id: &str, watch: Watch, deadline_ns: Option<u64>) -> [Record; 3] {
        [
            Record::StageBegun { stage: stage(id) },
            Record::GuardArmed { stage: stage(id), watch, boot_id: "b".to_owned(), deadline_ns },
            Record::StageVerified {
                stage: stage(id),
                at: Moment { boot_id: "b".to_owned(), boottime_ns: 1 },
            },
        ]
    }

    fn reads(records: Vec<Record>, boot_id: &str) -> [String; 3] {
        let now = Clock { unix_seconds: 0, boottime_ns: 30_000_000_000, boot_id: boot_id.to_owned() };
        let advice = advise(&Status::fold(&records, &plan()), &now);
        [advice.headline, advice.safe, advice.next]
    }

    #[test]
    fn a_pending_network_says_how_long_is_left_and_what_to_type() {
        let mut records = vec![begun()];
        records.extend(guarded("network", Watch::Network, Some(181_000_000_000)));
        let [headline, safe, next] = reads(records, "b");
        assert_eq!(headline, "WAITS FOR CONFIRM: stage network is undone in 2 min 31 s.");
        assert_eq!(safe, "without a confirm everything of this stage goes back, after a reboot too");
        assert_eq!(next, "xenup confirm   (over a NEW connection; at the console: xenup confirm --console)");
    }

    #[test]
    fn an_armed_trial_asks_for_the_reboot_and_a_booted_one_for_the_confirm() {
        let mut records = vec![begun()];
        records.extend(guarded("boot-trial", Watch::TrialBoot, None));
        let [headline, _, next] = reads(records.clone(), "b");
        assert_eq!(headline, "The trial boot is armed: the next boot, and only that one, is the trial.");
        assert_eq!(next, "systemctl reboot   (xenup rollback calls the trial off, and undoes the whole run)");
        records.push(Record::TrialBegun {
            stage: stage("boot-trial"),
            boot_id: "c".to_owned(),
            deadline_ns: 75_000_000_000,
        });
        let [headline, ..] = reads(records, "c");
        assert_eq!(
            headline,
            "WAITS FOR CONFIRM: this is the trial boot; the machine reboots to its default entry in 45 s."
        );
    }

    #[test]
    fn what_was_undone_says_why_and_what_is_kept() {
        let mut records = vec![begun()];
        records.extend(guarded("network", Watch::Network, Some(1)));
        let stages = vec![stage("network")];
        records.push(Record::RollbackBegun { stages, why: Cause::NotConfirmed, unix_seconds: 0 });
        let [headline, ..] = reads(records.clone(), "b");
        assert_eq!(headline, "Stage network is being undone, or its undo was interrupted.");
        records.push(Record::StageUndone { stage: stage("network"), clean: true });
        let end = End::Restored { stage: stage("network"), cause: Cause::NotConfirmed };
        records.push(Record::RunFinished { end, unix_seconds: 0 });
        let [headline, safe, _] = reads(records, "b");
        assert_eq!(headline, "Stage network was undone: nobody confirmed it in time.");
        assert_eq!(safe, "what stage network changed is as it was before; the stages before it are kept");
    }

    #[test]
    fn an_undo_that_failed_comes_first() {
        let mut records = vec![begun()];
        records.extend(guarded("network", Watch::Network, Some(1)));
        records.push(Record::StageUndone { stage: stage("network"), clean: false });
        let [headline, _, next] = reads(records, "b");
        assert_eq!(headline, "STUCK: stage network could not be undone completely.");
        assert_eq!(next, "xenup rollback   (tries at once; by hand: /root/xenup-recovery.txt)");
        let unguarded = vec![
            begun(),
            Record::StageBegun { stage: stage("prepare") },
            Record::StageUndone { stage: stage("prepare"), clean: false },
        ];
        let [_, _, next] = reads(unguarded, "b");
        assert_eq!(next, "xenup rollback   (tries again)", "there is no card");
    }

    #[test]
    fn a_rollback_that_waits_says_what_comes_back_and_how_it_ended() {
        let at = |boottime_ns| Moment { boot_id: "b".to_owned(), boottime_ns };
        let mut records = vec![begun()];
        records.extend(guarded("network", Watch::Network, Some(1)));
        records.push(Record::Confirmed { stage: stage("network"), by: Proof::Console, unix_seconds: 0 });
        records.push(Record::RunFinished { end: End::Done, unix_seconds: 0 });
        records.push(Record::TakeBackBegun {
            stage: stage("network"),
            boot_id: "b".to_owned(),
            deadline_ns: 90_000_000_000,
            unix_seconds: 0,
        });
        let [headline, _, next] = reads(records.clone(), "b");
        assert_eq!(headline, "Stage network is being undone under a guard, or that was interrupted.");
        assert_eq!(next, "xenup rollback   (goes on; without it the stage comes back)");
        let deadline_ns = 95_000_000_000;
        records.push(Record::StageTakenBack { stage: stage("network"), at: at(1), deadline_ns });
        let [headline, safe, next] = reads(records.clone(), "b");
        assert_eq!(headline, "WAITS FOR CONFIRM: stage network is undone, and comes back in 1 min 5 s.");
        assert_eq!(
            safe,
            "without a confirm it is as before the rollback, after a reboot too; the rest is untouched"
        );
        assert_eq!(next, "xenup confirm   (over a NEW connection; at the console: xenup confirm --console)");
        let mut confirmed = records.clone();
        confirmed.push(Record::Confirmed { stage: stage("network"), by: Proof::Console, unix_seconds: 0 });
        let [headline, _, next] = reads(confirmed, "b");
        assert_eq!(headline, "A rollback was confirmed, and the rest of it is at work or was interrupted.");
        assert_eq!(next, "xenup rollback   (goes on)");
        let (stage, why) = (stage("network"), Cause::NotConfirmed);
        records.push(Record::ReturnBegun { stage: stage.clone(), why: why.clone(), unix_seconds: 0 });
        records.push(Record::StageReturned { stage: stage.clone(), clean: true });
        records.push(Record::RunFinished { end: End::BroughtBack { stage, cause: why }, unix_seconds: 0 });
        let [headline, ..] = reads(records, "b");
        assert_eq!(
            headline,
            "Not rolled back: stage network came back, because nobody confirmed it in time."
        );
    }

    #[test]
    fn a_confirmed_stage_leaves_the_next_one_to_apply() {
        let mut records = vec![begun()];
        records.extend(guarded("network", Watch::Network, Some(1)));
        records.push(Record::Confirmed { stage: stage("network"), by: Proof::Console, unix_seconds: 0 });
        let [headline, _, next] = reads(records, "b");
        assert_eq!(headline, "A run is under way; its next stage has not begun.");
        assert_eq!(next, "xenup apply   (goes on; xenup rollback undoes the run)");
    }
}
