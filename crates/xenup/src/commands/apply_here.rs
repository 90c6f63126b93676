//! `xenup apply-here`: carries out a plan in this process, which is a service of its own.
//!
//! Decides: how the engine's outcome becomes an exit code and the last words of a log.
//! Never: asks; whoever started it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use xenup_core::upgrade::conffiles::Conffiles;
use xenup_engine::event::Event;
use xenup_engine::executor::{self, Options, Outcome as Applied};
use xenup_engine::guard::Session;
use xenup_engine::journal::Cause;
use xenup_engine::store::parse_plan;
use xenup_system::files;
use xenup_system::service;

use crate::args::ApplyHere;
use crate::commands::status::because;
use crate::commands::{events, machine, rollback};
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::Keeper;
use crate::ui::Ui;

/// Carries out the plan file, or goes on with the unfinished run where none is named.
pub fn run(ui: &mut Ui, args: &ApplyHere) -> Outcome {
    machine::need_root("apply")?;
    service::enter().map_err(CommandError::failed)?;
    let plan = match &args.plan {
        None => None,
        Some(path) => {
            let bytes = files::read(path).map_err(CommandError::failed)?;
            files::remove_file(path).map_err(CommandError::failed)?;
            Some(parse_plan(&bytes).map_err(CommandError::usage)?)
        }
    };
    let stopped = stop_signals().map_err(CommandError::failed)?;
    let mut machine = machine::running()?;
    let store = machine::store();
    let mut keeper = Keeper::new(&store);
    let mut conffiles = Conffiles::default();
    let applied = {
        let mut tell = |event: Event| {
            if let Event::Line { text, .. } = &event {
                conffiles.take(text);
            }
            events::show(ui, &event);
        };
        let mut session =
            Session { machine: &mut machine, keeper: &mut keeper, store: &store, events: &mut tell };
        let stop = || stopped.load(Ordering::Relaxed);
        let options = Options { what: "applying a plan", stop: &stop };
        match &plan {
            Some(plan) => executor::apply(&mut session, plan, &options),
            None => match store.newest_unfinished(session.machine).map_err(machine::engine_error)? {
                Some(run) => executor::resume(&mut session, &run.id, &options),
                None => Ok(Applied::NothingToDo),
            },
        }
    };
    if !conffiles.kept().is_empty() {
        ui.status("configuration files that stayed as they were, the new version beside each as .dpkg-dist:");
        conffiles.kept().iter().for_each(|path| ui.status(format!("  {path}")));
    }
    let applied = applied.map_err(machine::engine_error)?;
    let newest = store.newest_unfinished(&machine).map_err(machine::engine_error)?;
    Ok(conclude(ui, applied, newest.is_some_and(|run| run.status.rolling_back)))
}

/// Returns a flag that SIGINT, SIGTERM and SIGHUP set: the step under way is finished, then the stage is undone.
pub fn stop_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    Ok(stopped)
}

/// What can be done about a step's failure, where its words say so.
fn hint_at(ui: &mut Ui, cause: &Cause) {
    if let Cause::StepFailed { why, .. } = cause
        && let Some(hint) = machine::hint_for_words(why)
    {
        ui.hint(hint);
    }
}

fn conclude(ui: &mut Ui, applied: Applied, rolling_back: bool) -> Exit {
    match applied {
        Applied::Done { run } => {
            ui.status(format!("Done: run {run} is complete and verified."));
            Exit::Done
        }
        Applied::NothingToDo => {
            ui.status("Nothing to do.");
            Exit::Done
        }
        Applied::AwaitingConfirm { stage, deadline_seconds, .. } if stage.as_str() == "boot-trial" => {
            ui.status("The next boot, and only that one, is the trial; the default stays what it is.");
            ui.status(format!(
                "After it you have {deadline_seconds} s to run `xenup confirm`, or the machine reboots to its default entry."
            ));
            ui.status("next: systemctl reboot");
            Exit::AwaitingConfirm
        }
        Applied::AwaitingConfirm { stage, deadline_seconds, .. } if rolling_back => {
            rollback::say_awaiting(ui, stage.as_str(), deadline_seconds);
            Exit::AwaitingConfirm
        }
        Applied::AwaitingConfirm { stage, deadline_seconds, .. } => {
            ui.status(format!("Stage {stage} is undone in {deadline_seconds} s unless you confirm it."));
            ui.status(
                "next: from a NEW connection: xenup confirm   (at the console: xenup confirm --console)",
            );
            Exit::AwaitingConfirm
        }
        Applied::Restored { stage, cause, report, .. } => {
            events::show_report(ui, &report);
            if !report.is_whole() {
                ui.error(format!("stage {stage} was undone"));
                events::say_left(ui, &report);
                return Exit::NotRestored;
            }
            if cause == Cause::Asked {
                ui.status("Rolled back: the machine is as it was before the run.");
                return Exit::FailedAndRestored;
            }
            ui.error(format!("stage {stage} was undone; the machine is as it was before it"));
            hint_at(ui, &cause);
            Exit::FailedAndRestored
        }
        Applied::BroughtBack { stage, cause, report, .. } => {
            rollback::say_brought_back(ui, stage.as_str(), &cause);
            events::show_return(ui, &report);
            Exit::FailedAndRestored
        }
        Applied::Halted { stage, cause, .. } => {
            ui.error(format!("stage {stage} was stopped, and has no way back: {}", because(&cause)));
            hint_at(ui, &cause);
            ui.hint("xenup upgrade apply   (goes on from there)");
            Exit::NotRestored
        }
        Applied::Stuck { report, .. } => {
            events::show_report(ui, &report);
            ui.error("not everything could be undone");
            ui.hint("xenup status");
            Exit::NotRestored
        }
    }
}
