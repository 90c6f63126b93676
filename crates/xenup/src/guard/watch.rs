//! What a guard does when it wakes: asks the engine, and does the one thing it is told.

use xenup_engine::boot::{Decision, decide};
use xenup_engine::conditions;
use xenup_engine::error::EngineError;
use xenup_engine::event::Event;
use xenup_engine::executor;
use xenup_engine::guard::Session;
use xenup_engine::journal::Cause;
use xenup_engine::plan::Slug;
use xenup_engine::rollback::{Grip, Scope, rollback};
use xenup_engine::store::{Run, RunId, Store};
use xenup_engine::takeback;
use xenup_machine::Probe;
use xenup_system::System;
use xenup_system::guard::{Sleeper, announce, reboot};
use xenup_system::service;

use super::{Keeper, card, files, store, words};
use crate::args::RunStage;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// `guard-wait`: sleeps until the deadline or until the journal says that it is not needed.
///
/// # Errors
/// The journal cannot be read, or the stage cannot be undone; the service manager then starts it again.
pub fn run_wait(ui: &mut Ui, args: &RunStage) -> Outcome {
    let id: RunId = args.run.parse().map_err(CommandError::usage)?;
    let store = store();
    let sleeper = Sleeper::watching(&store.run_dir(&id)).map_err(CommandError::failed)?;
    let mut shown = None;
    // Readable now is what the arming waits to hear.
    load(&store, &id)?;
    service::enter().map_err(CommandError::failed)?;
    ui.status(format!("waiting for a confirmation of stage {} of run {id}", args.stage));
    loop {
        let (machine, run) = load(&store, &id)?;
        match decided(&machine, &run) {
            Decision::WaitUntil { stage, boottime_ns } => {
                if shown.replace(boottime_ns) != Some(boottime_ns) {
                    refresh_card(ui, &store, &run, &stage);
                }
                sleeper.wait(boottime_ns).map_err(CommandError::failed)?;
            }
            Decision::UndoStage { stage, why, reboot_after } => {
                drop(machine);
                return undo(ui, &store, &run, stage, why, reboot_after);
            }
            Decision::BringBack { stage, why } => {
                drop(machine);
                return bring_back(ui, &store, &run, &stage, why);
            }
            // Confirmed, undone by somebody else, or another boot's: whoever did that clears up.
            _ => return Ok(Exit::Done),
        }
    }
}

/// `guard-boot`: before the network starts, undoes what no boot may keep; never waits.
///
/// # Errors
/// The journal cannot be read, or the stage cannot be undone.
pub fn run_boot(ui: &mut Ui) -> Outcome {
    let store = store();
    let machine = System::running().map_err(CommandError::failed)?;
    let Some(run) = store.newest_unfinished(&machine).map_err(CommandError::failed)? else {
        return Ok(Exit::Done);
    };
    match decided(&machine, &run) {
        Decision::UndoStage { stage, why, reboot_after } => {
            drop(machine);
            undo(ui, &store, &run, stage, why, reboot_after)
        }
        Decision::BringBack { stage, why } => {
            drop(machine);
            bring_back(ui, &store, &run, &stage, why)
        }
        Decision::Disarm { stage } => {
            drop(machine);
            with_session(ui, &store, |session| executor::disarm(session, &run.id, &stage))?;
            Ok(Exit::Done)
        }
        Decision::Report { stage } => {
            announce(&format!("run {} was interrupted in stage {stage}; see: xenup status", run.id));
            Ok(Exit::Done)
        }
        Decision::Nothing | Decision::WaitUntil { .. } | Decision::StartTrial { .. } => Ok(Exit::Done),
    }
}

/// Loads a run through a machine of its own, which the caller drops before anybody takes the lock.
pub(super) fn load(store: &Store, id: &RunId) -> Result<(System, Run), CommandError> {
    let machine = System::running().map_err(CommandError::failed)?;
    let run = store.load(&machine, id).map_err(CommandError::failed)?;
    Ok((machine, run))
}

/// Asks the engine what has to happen now.
pub(super) fn decided(machine: &System, run: &Run) -> Decision {
    let trial = run.plan.stages.iter().filter_map(|stage| stage.guard.as_ref()?.trial.as_ref()).next();
    let in_trial = trial.map(|trial| conditions::check(machine, trial).is_ok());
    decide(&run.status, &run.plan, &machine.clock(), in_trial)
}

/// Undoes a stage whoever holds the lock, says so at the console, and reboots where the machine runs in what it undid.
pub(super) fn undo(
    ui: &mut Ui,
    store: &Store,
    run: &Run,
    stage: Slug,
    why: Cause,
    reboot_after: bool,
) -> Outcome {
    announce(&format!("stage {stage} of run {} is being undone", run.id));
    let scope = Scope::Stage(stage.clone());
    let undone = with_session(ui, store, |session| rollback(session, &run.id, &scope, why, Grip::Seize));
    let outcome = match undone {
        Ok(report) if report.is_clean() => {
            announce(&format!("stage {stage} of run {} is undone", run.id));
            Ok(Exit::Done)
        }
        Ok(_) => {
            announce(&format!("stage {stage} of run {} is undone only in part; see: xenup status", run.id));
            Ok(Exit::NotRestored)
        }
        Err(error) => {
            announce(&format!("stage {stage} of run {} could not be undone", run.id));
            Err(error)
        }
    };
    if reboot_after {
        // Whatever is left is undone by the next boot, which is not the trial.
        announce("rebooting into what ran before the trial");
        reboot();
    }
    outcome
}

/// Brings back a stage whose rollback nobody confirmed, whoever holds the lock, and says so at the console.
fn bring_back(ui: &mut Ui, store: &Store, run: &Run, stage: &Slug, why: Cause) -> Outcome {
    announce(&format!("the rollback of stage {stage} of run {} goes back", run.id));
    let back =
        with_session(ui, store, |session| takeback::bring_back(session, &run.id, stage, why, Grip::Seize));
    match back {
        Ok(report) if report.is_clean() => {
            announce(&format!("stage {stage} of run {} is there again", run.id));
            Ok(Exit::Done)
        }
        Ok(_) => {
            announce(&format!(
                "stage {stage} of run {} is there again only in part; see: xenup status",
                run.id
            ));
            Ok(Exit::NotRestored)
        }
        Err(error) => {
            announce(&format!("stage {stage} of run {} could not be brought back", run.id));
            Err(error)
        }
    }
}

/// Runs one verb of the engine with a machine that lives no longer than it, because the lock lives as long.
pub(super) fn with_session<T>(
    ui: &mut Ui,
    store: &Store,
    verb: impl FnOnce(&mut Session<'_>) -> Result<T, EngineError>,
) -> Result<T, CommandError> {
    let mut machine = System::running().map_err(CommandError::failed)?;
    let mut keeper = Keeper::inside_guard(store);
    let mut events = |event: Event| tell(ui, &event);
    let mut session = Session { machine: &mut machine, keeper: &mut keeper, store, events: &mut events };
    verb(&mut session).map_err(CommandError::failed)
}

/// Writes an event into the log. Steps are named; what they do is in the plan.
fn tell(ui: &mut Ui, event: &Event) {
    match event {
        Event::StepUndone { step } => ui.status(format!("undone: {step}")),
        Event::StepReturned { step } => ui.status(format!("brought back: {step}")),
        Event::UndoFailed { step, why } | Event::ReturnFailed { step, why } => {
            ui.warning(format!("{step}: {why}"));
        }
        Event::KeptBeside { step, path, kept } => ui.warning(format!(
            "{step}: {} was changed meanwhile; that is kept as {}",
            path.display(),
            kept.display()
        )),
        Event::LeftAsChanged { step, what } => ui.warning(format!("{step}: left as it is: {what}")),
        Event::Warning { text } => ui.warning(text),
        _ => {}
    }
}

/// The deadline moved: the card says the new one. A card that cannot be written stops no guard.
pub(super) fn refresh_card(ui: &mut Ui, store: &Store, run: &Run, stage: &Slug) {
    let Some(guard) = run.status.stage(stage).and_then(|stage| stage.guard.as_ref()) else { return };
    let written = System::running().and_then(|mut machine| {
        let card = card::files(&machine, store, run, stage, guard)?;
        files::put(&mut machine, &store.root().join("guard"), &card)
    });
    if let Err(error) = written {
        ui.warning(words(&error));
    }
}
