//! What has to happen at a boot, and when a guard wakes.
//!
//! Decides: from the journal's status, the clocks, and whether this is the trial boot, the one thing to do.
//! Never: does it. The boot-time unit and the guard's service ask the same question, so a guard that slept
//! through a confirm, a rollback or a reboot acts on what is, not on what it was armed for.

use serde::{Deserialize, Serialize};
use xenup_machine::Clock;

use crate::error::EngineError;
use crate::guard::Session;
use crate::journal::{Cause, Record};
use crate::plan::{Plan, Slug, Watch};
use crate::status::{ArmedGuard, StageState, StageStatus, Status};
use crate::store::RunId;

/// What has to happen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// Nothing.
    Nothing,
    /// Undo a stage, whoever holds the lock; then reboot where it says so.
    UndoStage {
        /// The stage.
        stage: Slug,
        /// Why.
        why: Cause,
        /// Whether the machine runs in the trial that is being undone.
        reboot_after: bool,
    },
    /// Bring back a stage whose rollback nobody confirmed, whoever holds the lock ([`crate::takeback::bring_back`]).
    BringBack {
        /// The stage.
        stage: Slug,
        /// Why.
        why: Cause,
    },
    /// Ask again at this moment.
    WaitUntil {
        /// The stage.
        stage: Slug,
        /// CLOCK_BOOTTIME in nanoseconds.
        boottime_ns: u64,
    },
    /// This is the trial boot: start its deadline ([`start_trial`]), check, and wait for a confirm.
    StartTrial {
        /// The stage.
        stage: Slug,
        /// Seconds until it is undone.
        deadline_seconds: u64,
    },
    /// It was confirmed or undone, and a crash came before its guard was disarmed.
    Disarm {
        /// The stage.
        stage: Slug,
    },
    /// A stage without a guard was interrupted: say so, and leave it to `apply` or `rollback`.
    Report {
        /// The stage.
        stage: Slug,
    },
}

/// Returns what has to happen now. `in_trial` says whether the guard's trial condition holds; `None` where
/// that cannot be told, which counts as no.
#[must_use]
pub fn decide(status: &Status, plan: &Plan, now: &Clock, in_trial: Option<bool>) -> Decision {
    // A stage that waits, runs or is being undone comes before one that only has to be tidied up.
    for stage in &status.stages {
        let decision = match (&stage.state, &stage.guard) {
            (StageState::Stuck, Some(guard)) if !guard.disarmed => stuck(status, stage, guard, now, in_trial),
            (StageState::Pending | StageState::Undone | StageState::Stuck | StageState::Kept, _) => continue,
            (StageState::TakingBack | StageState::TakenBack | StageState::Returning, Some(guard)) => {
                taken_back(status, stage, guard, now)
            }
            (_, Some(guard)) if !guard.disarmed => match guard.watch {
                Watch::Network => network(status, stage, guard, now),
                Watch::TrialBoot => trial(status, plan, stage, guard, now, in_trial == Some(true)),
            },
            _ if status.boot_id == now.boot_id => continue,
            _ => Decision::Report { stage: stage.id.clone() },
        };
        return decision;
    }
    let over = status.stages.iter().find(|stage| stage.is_armed());
    over.map_or(Decision::Nothing, |stage| Decision::Disarm { stage: stage.id.clone() })
}

fn network(status: &Status, stage: &StageStatus, guard: &ArmedGuard, now: &Clock) -> Decision {
    let undo = |why| Decision::UndoStage { stage: stage.id.clone(), why, reboot_after: false };
    if guard.boot_id != now.boot_id {
        return undo(unfinished_undo(status, stage).unwrap_or(Cause::Rebooted));
    }
    match guard.deadline_ns {
        Some(deadline) if now.boottime_ns < deadline => {
            Decision::WaitUntil { stage: stage.id.clone(), boottime_ns: deadline }
        }
        _ => undo(unfinished_undo(status, stage).unwrap_or(Cause::NotConfirmed)),
    }
}

fn taken_back(status: &Status, stage: &StageStatus, guard: &ArmedGuard, now: &Clock) -> Decision {
    let begun = status.undone_because.clone().filter(|_| stage.state == StageState::Returning);
    let bring_back = |why| Decision::BringBack { stage: stage.id.clone(), why: begun.unwrap_or(why) };
    if guard.boot_id != now.boot_id {
        return bring_back(Cause::Rebooted);
    }
    match guard.deadline_ns {
        Some(deadline) if now.boottime_ns < deadline => {
            Decision::WaitUntil { stage: stage.id.clone(), boottime_ns: deadline }
        }
        _ => bring_back(Cause::NotConfirmed),
    }
}

fn trial(
    status: &Status,
    plan: &Plan,
    stage: &StageStatus,
    guard: &ArmedGuard,
    now: &Clock,
    in_trial: bool,
) -> Decision {
    let undo = |why| Decision::UndoStage {
        stage: stage.id.clone(),
        why: unfinished_undo(status, stage).unwrap_or(why),
        reboot_after: in_trial,
    };
    let awaiting = stage.state == StageState::AwaitingConfirm;
    match &guard.trial {
        Some(trial) if awaiting && trial.boot_id == now.boot_id => {
            if now.boottime_ns < trial.boottime_ns {
                Decision::WaitUntil { stage: stage.id.clone(), boottime_ns: trial.boottime_ns }
            } else {
                undo(Cause::NotConfirmed)
            }
        }
        Some(_) => undo(Cause::NotConfirmed),
        // Still in the boot that armed it: the trial lies ahead, or an apply is at work.
        None if guard.boot_id == now.boot_id => Decision::Nothing,
        None if !awaiting => undo(Cause::Interrupted),
        None if in_trial => {
            let planned = plan.stages.iter().find(|planned| planned.id == stage.id);
            let deadline_seconds = planned.and_then(|planned| planned.guard.as_ref());
            Decision::StartTrial {
                stage: stage.id.clone(),
                deadline_seconds: deadline_seconds.map_or(0, |guard| guard.deadline_seconds),
            }
        }
        None => undo(Cause::TrialNotReached),
    }
}

/// What could not be undone or brought back is tried again as long as its guard is armed. Only the trial itself is
/// left by a reboot, and once: a machine whose default cannot be set back must not go round in circles.
fn stuck(
    status: &Status,
    stage: &StageStatus,
    guard: &ArmedGuard,
    now: &Clock,
    in_trial: Option<bool>,
) -> Decision {
    let why = status.undone_because.clone().unwrap_or(Cause::Interrupted);
    let stage_id = stage.id.clone();
    if stage.is_return_stuck() {
        return Decision::BringBack { stage: stage_id, why };
    }
    let this_boot = guard.trial.as_ref().is_some_and(|trial| trial.boot_id == now.boot_id);
    Decision::UndoStage { stage: stage_id, why, reboot_after: this_boot && in_trial == Some(true) }
}

/// An undo that was interrupted is taken up again for the reason it was begun.
fn unfinished_undo(status: &Status, stage: &StageStatus) -> Option<Cause> {
    let cause = status.undone_because.clone();
    cause.filter(|_| stage.state == StageState::Undoing)
}

/// Starts the deadline of the trial that was booted, and returns it: CLOCK_BOOTTIME in nanoseconds.
/// Started twice in one boot, it keeps the first.
///
/// # Errors
/// No such stage, no armed guard, or a store that cannot be locked or written.
pub fn start_trial(session: &mut Session<'_>, run: &RunId, stage: &Slug) -> Result<u64, EngineError> {
    session.store.lock(session.machine, &format!("starting the trial of {run}"))?;
    let (loaded, mut journal) = session.store.open(session.machine, run)?;
    let no_such_stage = || EngineError::NoSuchStage { run: run.clone(), stage: stage.clone() };
    let status = loaded.status.stage(stage).ok_or_else(no_such_stage)?;
    let planned = loaded.plan.stages.iter().find(|planned| &planned.id == stage);
    let guard = planned.and_then(|planned| planned.guard.as_ref()).ok_or_else(no_such_stage)?;
    let clock = session.machine.clock();
    if let Some(trial) = status.guard.as_ref().and_then(|guard| guard.trial.as_ref())
        && trial.boot_id == clock.boot_id
    {
        return Ok(trial.boottime_ns);
    }
    let deadline_ns = clock.boottime_ns.saturating_add(guard.deadline_seconds.saturating_mul(1_000_000_000));
    let begun = Record::TrialBegun { stage: stage.clone(), boot_id: clock.boot_id, deadline_ns };
    journal.append(session.machine, begun)?;
    Ok(deadline_ns)
}
