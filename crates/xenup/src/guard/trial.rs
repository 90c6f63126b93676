//! A trial boot: its deadline starts, what must hold is checked, and somebody has to confirm.

use std::time::Duration;

use xenup_engine::action::Condition;
use xenup_engine::boot::{Decision, start_trial};
use xenup_engine::conditions;
use xenup_engine::journal::Cause;
use xenup_engine::plan::Slug;
use xenup_engine::store::{Run, Store};
use xenup_machine::Probe as _;
use xenup_system::System;
use xenup_system::guard::{Sleeper, announce, settled};

use super::store;
use super::watch::{decided, load, refresh_card, undo, with_session};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// How long the checks may fail once the boot has settled: a lease, a bridge's first carrier, a slow service.
pub(crate) const GRACE: Duration = Duration::from_secs(60);
/// How long until checks that failed are made again.
pub(crate) const AGAIN: Duration = Duration::from_secs(3);

/// `guard-trial`: keeps the deadline of a trial boot.
///
/// # Errors
/// The journal cannot be read or written; the unit's own last line then reboots the machine.
pub fn run_trial(ui: &mut Ui) -> Outcome {
    let store = store();
    let machine = System::running().map_err(CommandError::failed)?;
    let Some(run) = store.newest_unfinished(&machine).map_err(CommandError::failed)? else {
        return Ok(Exit::Done);
    };
    let sleeper = Sleeper::watching(&store.run_dir(&run.id)).map_err(CommandError::failed)?;
    if let Decision::StartTrial { stage, .. } = decided(&machine, &run) {
        drop(machine);
        with_session(ui, &store, |session| start_trial(session, &run.id, &stage))?;
    }
    let mut checks = Checks::NotMade;
    loop {
        let (machine, run) = load(&store, &run.id)?;
        match decided(&machine, &run) {
            Decision::WaitUntil { stage, boottime_ns } => {
                let now = machine.clock().boottime_ns;
                let wake = checks.proceed(ui, &store, &run, &stage, now, boottime_ns);
                drop(machine);
                match wake {
                    Ok(wake) => drop(sleeper.wait(wake).map_err(CommandError::failed)?),
                    Err(why) => return undo(ui, &store, &run, stage, Cause::ChecksFailed { why }, true),
                }
            }
            Decision::UndoStage { stage, why, reboot_after } => {
                drop(machine);
                return undo(ui, &store, &run, stage, why, reboot_after);
            }
            _ => return Ok(Exit::Done),
        }
    }
}

/// Where the checks of a trial stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    NotMade,
    /// They fail, and may until this moment of the boot clock, in nanoseconds.
    FailUntil(u64),
    Hold,
}

impl Checks {
    /// Makes the checks where they are due; returns when to wake next, or what still does not hold at the end.
    fn proceed(
        &mut self,
        ui: &mut Ui,
        store: &Store,
        run: &Run,
        stage: &Slug,
        now: u64,
        deadline: u64,
    ) -> Result<u64, String> {
        if *self == Self::Hold {
            return Ok(deadline);
        }
        if *self == Self::NotMade {
            refresh_card(ui, store, run, stage);
            settled(Duration::from_nanos(deadline.saturating_sub(now)));
        }
        let now = System::running().map_or(now, |machine| machine.clock().boottime_ns);
        match failing(run, stage) {
            None => {
                // The checks take their time: somebody may have confirmed meanwhile.
                let waits = load(store, &run.id).is_ok_and(|(_, run)| run.status.awaiting().is_some());
                if waits {
                    announce(&format!(
                        "the trial boot is good; it is kept by: xenup confirm (run {})",
                        run.id
                    ));
                }
                *self = Self::Hold;
                Ok(deadline)
            }
            Some(why) => match *self {
                Self::FailUntil(end) if now >= end => Err(why),
                Self::FailUntil(end) => Ok(after(now, AGAIN).min(end)),
                _ => {
                    ui.warning(format!("does not hold yet: {why}"));
                    *self = Self::FailUntil(after(now, GRACE).min(deadline));
                    Ok(after(now, AGAIN))
                }
            },
        }
    }
}

/// Returns the moment so much later, both in nanoseconds.
pub(crate) fn after(now: u64, time: Duration) -> u64 {
    now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Returns the first check of a stage that does not hold, in words.
pub(crate) fn failing(run: &Run, stage: &Slug) -> Option<String> {
    let planned = run.plan.stages.iter().find(|planned| &planned.id == stage)?;
    let machine = System::running().map_err(|error| error.to_string());
    let check = |condition: &Condition| match &machine {
        Ok(machine) => conditions::check(machine, condition).err(),
        Err(error) => Some(error.clone()),
    };
    planned.checks.iter().find_map(check)
}
