//! Confirm: somebody says that a guarded stage is good, and can prove that the way in works.
//!
//! Decides: which proof counts, and that the journal knows of it before the guard is disarmed.
//! Never: takes a connection for new because it is there; it must have begun after the change.

use crate::error::EngineError;
use crate::event::Event;
use crate::guard::Session;
use crate::journal::{Proof, Record};
use crate::plan::{Slug, Watch};
use crate::status::StageStatus;
use crate::store::RunId;

/// Why a confirm was refused. The guard stays armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmError {
    /// No stage waits for one.
    #[error("run {run} has nothing to confirm")]
    NothingToConfirm {
        /// The run.
        run: RunId,
    },
    /// The trial lies ahead.
    #[error("stage `{stage}` is confirmed in the trial boot, which has not begun")]
    TrialNotBegun {
        /// The stage.
        stage: Slug,
    },
    /// This is another boot than the one to be confirmed.
    #[error("stage `{stage}` was to be confirmed in an earlier boot, and goes back to what was before")]
    OtherBoot {
        /// The stage.
        stage: Slug,
    },
    /// The deadline has passed.
    #[error("the time to confirm stage `{stage}` is over, and it goes back to what was before")]
    TooLate {
        /// The stage.
        stage: Slug,
    },
    /// The connection is older than the change: it would live on even if no new one could be made.
    #[error(
        "the connection from {from} was made before the change, so it does not prove that a new one can be"
    )]
    OldConnection {
        /// The other end.
        from: String,
    },
}

/// Confirms the stage of `run` that waits for it, or its undo, and disarms its guard. Returns the stage.
///
/// # Errors
/// [`ConfirmError`] where the proof does not count; a store that cannot be locked or written. A guard that
/// could not be disarmed is told as a warning: it reads the journal when it wakes, and finds nothing to do.
pub fn confirm(session: &mut Session<'_>, run: &RunId, proof: Proof) -> Result<Slug, EngineError> {
    session.store.lock(session.machine, &format!("confirming run {run}"))?;
    let (loaded, mut journal) = session.store.open(session.machine, run)?;
    let waiting = loaded.status.awaiting();
    let waiting = waiting.ok_or_else(|| ConfirmError::NothingToConfirm { run: run.clone() })?;
    let clock = session.machine.clock();
    check(waiting, &proof, &clock)?;
    let stage = waiting.id.clone();
    let confirmed = Record::Confirmed { stage: stage.clone(), by: proof, unix_seconds: clock.unix_seconds };
    journal.append(session.machine, confirmed)?;
    session.tell(Event::Confirmed { stage: stage.clone() });
    crate::executor::disarm_guard(session, &mut journal, run, &stage);
    Ok(stage)
}

/// Checks whether a proof counts for a stage that waits.
fn check(waiting: &StageStatus, proof: &Proof, now: &xenup_machine::Clock) -> Result<(), ConfirmError> {
    let stage = || waiting.id.clone();
    let Some(guard) = &waiting.guard else { return Ok(()) };
    let (boot_id, deadline_ns) = match (guard.watch, &guard.trial) {
        (Watch::Network, _) => (&guard.boot_id, guard.deadline_ns),
        (Watch::TrialBoot, Some(trial)) => (&trial.boot_id, Some(trial.boottime_ns)),
        (Watch::TrialBoot, None) => return Err(ConfirmError::TrialNotBegun { stage: stage() }),
    };
    if *boot_id != now.boot_id {
        return Err(ConfirmError::OtherBoot { stage: stage() });
    }
    if deadline_ns.is_some_and(|deadline| now.boottime_ns >= deadline) {
        return Err(ConfirmError::TooLate { stage: stage() });
    }
    // In a trial boot every connection is newer than the change, which was the boot.
    let changed = waiting.verified.as_ref().filter(|_| guard.watch == Watch::Network);
    match (proof, changed) {
        (Proof::NewConnection { started_boottime_ns, from }, Some(changed))
            if *started_boottime_ns <= changed.boottime_ns =>
        {
            Err(ConfirmError::OldConnection { from: from.clone() })
        }
        _ => Ok(()),
    }
}
