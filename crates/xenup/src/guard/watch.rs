//! What a guard does when it wakes: asks the engine, and does the one thing it is told.

use xenup_engine::boot::{Decision, decide};
use xenup_engine::conditions;
use xenup_engine::error::EngineError;
use xenup_engine::event::Event;
use xenup_engine::executor;
use xenup_engine::guard::Session;
use xenup_engine::journal::Cause;
use xenup_engine::plan::{Slug, Watch};
use xenup_engine::rollback::{Grip, Report, Scope, rollback};
use xenup_engine::status::StageState;
use xenup_engine::store::{Run, RunId, Store};
use xenup_engine::takeback;
use xenup_machine::Probe;
use xenup_system::System;
use xenup_system::guard::{Sleeper, Wake, announce, reboot};
use xenup_system::service;

use super::{Keeper, card, files, store, words};
use crate::args::RunStage;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// How long until an undo that failed is tried again: at first, and at most. A full disk may have room by then.
const AGAIN_NS: u64 = 10_000_000_000;
const AGAIN_AT_MOST_NS: u64 = 300_000_000_000;

/// `guard-wait`: sleeps until the deadline or until the journal says that it is not needed.
///
/// # Errors
/// The journal cannot be read, or the undo cannot be begun; the service manager then starts it again.
pub fn run_wait(ui: &mut Ui, args: &RunStage) -> Outcome {
    let id: RunId = args.run.parse().map_err(CommandError::usage)?;
    let store = store();
    let sleeper = Sleeper::watching(&store.run_dir(&id)).map_err(CommandError::failed)?;
    let (mut shown, mut pause) = (None, AGAIN_NS);
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
            decision @ (Decision::UndoStage { .. } | Decision::BringBack { .. }) => {
                drop(machine);
                match act(ui, &store, &run, decision) {
                    Ok(Exit::NotRestored) => {}
                    Err(error) if is_stuck(&run) => error.print(ui),
                    other => return other,
                }
                wait_to_try_again(&sleeper, &store, &id, pause)?;
                pause = pause.saturating_mul(2).min(AGAIN_AT_MOST_NS);
            }
            // Confirmed, undone by somebody else, or another boot's: whoever did that clears up.
            _ => return Ok(Exit::Done),
        }
    }
}

/// Waits so long, or until somebody else has undone what is left.
fn wait_to_try_again(sleeper: &Sleeper, store: &Store, id: &RunId, pause: u64) -> Result<(), CommandError> {
    let (machine, _) = load(store, id)?;
    let until = machine.clock().boottime_ns.saturating_add(pause);
    drop(machine);
    loop {
        // What was written by our own attempt wakes it too.
        let wake = sleeper.wait(until).map_err(CommandError::failed)?;
        let (_, run) = load(store, id)?;
        if wake == Wake::Deadline || !is_stuck(&run) {
            return Ok(());
        }
    }
}

fn is_stuck(run: &Run) -> bool {
    run.status.stages.iter().any(|stage| stage.state == StageState::Stuck && stage.is_armed())
}

/// `guard-boot`: before the network starts, undoes what no boot may keep; never waits itself. What cannot be undone yet,
/// and what a soft reboot has left pending, is left to a waiting process.
///
/// # Errors
/// The journal cannot be read, or the stage cannot be undone.
pub fn run_boot(ui: &mut Ui) -> Outcome {
    let store = store();
    let machine = System::running().map_err(CommandError::failed)?;
    let Some(run) = store.newest_unfinished(&machine).map_err(CommandError::failed)? else {
        return Ok(Exit::Done);
    };
    let decision = decided(&machine, &run);
    match decision {
        Decision::UndoStage { ref stage, reboot_after: false, .. }
        | Decision::BringBack { ref stage, .. } => {
            drop(machine);
            let stage = stage.clone();
            let exit = act(ui, &store, &run, decision)?;
            if exit == Exit::NotRestored {
                wait_again(&store, &run, &stage)?;
            }
            Ok(exit)
        }
        Decision::UndoStage { .. } => {
            drop(machine);
            act(ui, &store, &run, decision)
        }
        Decision::WaitUntil { stage, .. } => {
            drop(machine);
            // A trial has a unit of its own that waits.
            let trial = run.status.stage(&stage).and_then(|stage| stage.guard.as_ref());
            if trial.is_some_and(|guard| guard.watch == Watch::Network) {
                wait_again(&store, &run, &stage)?;
            }
            Ok(Exit::Done)
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
        Decision::Nothing | Decision::StartTrial { .. } => Ok(Exit::Done),
    }
}

fn wait_again(store: &Store, run: &Run, stage: &Slug) -> Result<(), CommandError> {
    let mut machine = System::running().map_err(CommandError::failed)?;
    let keeper = Keeper::inside_guard(store);
    keeper.start_again(&mut machine, &run.id, stage).map_err(CommandError::failed)
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

/// Undoes or brings back a stage, as it was decided.
fn act(ui: &mut Ui, store: &Store, run: &Run, decision: Decision) -> Outcome {
    match decision {
        Decision::UndoStage { stage, why, reboot_after } => undo(ui, store, run, stage, why, reboot_after),
        Decision::BringBack { stage, why } => bring_back(ui, store, run, &stage, why),
        _ => Ok(Exit::Done),
    }
}

/// Undoes a stage whoever holds the lock, says so at the console, and reboots where the machine runs in what it undid.
/// One that was confirmed meanwhile is left alone, and nothing is said of it.
pub(super) fn undo(
    ui: &mut Ui,
    store: &Store,
    run: &Run,
    stage: Slug,
    why: Cause,
    reboot_after: bool,
) -> Outcome {
    let scope = Scope::Stage(stage.clone());
    let words = Words { being: "is being undone", done: "is undone", not: "could not be undone" };
    let (outcome, left_alone) = announced(ui, store, run, &stage, &words, |session, grip| {
        rollback(session, &run.id, &scope, why, grip)
    });
    if reboot_after && !left_alone {
        // Whatever is left is undone by the next boot, which is not the trial.
        announce("rebooting into what ran before the trial");
        reboot();
    }
    outcome
}

/// Brings back a stage whose rollback nobody confirmed, whoever holds the lock, and says so at the console.
fn bring_back(ui: &mut Ui, store: &Store, run: &Run, stage: &Slug, why: Cause) -> Outcome {
    let words = Words {
        being: "comes back, and its rollback ends",
        done: "is there again",
        not: "could not be brought back",
    };
    let verb = |session: &mut Session<'_>, grip| takeback::bring_back(session, &run.id, stage, why, grip);
    announced(ui, store, run, stage, &words, verb).0
}

/// How what becomes of a stage is said at the console.
struct Words {
    being: &'static str,
    done: &'static str,
    not: &'static str,
}

/// Does it, and says at the console what becomes of it; of a further attempt only the success. Returns whether the stage
/// was left alone, too.
fn announced(
    ui: &mut Ui,
    store: &Store,
    run: &Run,
    stage: &Slug,
    words: &Words,
    verb: impl FnOnce(&mut Session<'_>, Grip) -> Result<Report, EngineError>,
) -> (Outcome, bool) {
    let again = run.status.stage(stage).is_some_and(|found| found.state == StageState::Stuck);
    let say = |what: &str| announce(&format!("stage {stage} of run {} {what}", run.id));
    // A person who undoes what is left is not ended; whoever has had the time to confirm is.
    let grip = if again { Grip::Again } else { Grip::Seize };
    let heard = |event: &Event| {
        if !again && matches!(event, Event::UndoStarted { .. } | Event::ReturnStarted { .. }) {
            say(words.being);
        }
    };
    match listening(ui, store, heard, |session| verb(session, grip)) {
        Ok(report) if report.left_alone => (Ok(Exit::Done), true),
        Ok(report) if report.is_whole() => {
            say(words.done);
            (Ok(Exit::Done), false)
        }
        Ok(report) if report.is_clean() => {
            say(&format!("{}, but for what others changed; see: xenup status", words.done));
            (Ok(Exit::Done), false)
        }
        Ok(_) => {
            if !again {
                say(&format!("{} only in part, and is tried again; see: xenup status", words.done));
            }
            (Ok(Exit::NotRestored), false)
        }
        Err(error) => {
            if !again {
                say(words.not);
            }
            (Err(error), false)
        }
    }
}

/// Runs one verb of the engine with a machine that lives no longer than it, because the lock lives as long.
pub(super) fn with_session<T>(
    ui: &mut Ui,
    store: &Store,
    verb: impl FnOnce(&mut Session<'_>) -> Result<T, EngineError>,
) -> Result<T, CommandError> {
    listening(ui, store, |_| {}, verb)
}

fn listening<T>(
    ui: &mut Ui,
    store: &Store,
    heard: impl Fn(&Event),
    verb: impl FnOnce(&mut Session<'_>) -> Result<T, EngineError>,
) -> Result<T, CommandError> {
    let mut machine = System::running().map_err(CommandError::failed)?;
    let mut keeper = Keeper::inside_guard(store);
    let mut events = |event: Event| {
        heard(&event);
        tell(ui, &event);
    };
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
