//! `xenup rollback`: a run undone, newest step first.

use xenup_engine::action::Action;
use xenup_engine::event::Event;
use xenup_engine::guard::Session;
use xenup_engine::journal::{Cause, End};
use xenup_engine::rollback::{self, Grip, Scope};
use xenup_engine::store::{Run, RunId, Store};
use xenup_machine::Probe;
use xenup_system::service;

use crate::args::{Rollback, RollbackHere, Source};
use crate::commands::{apply_here, events, machine, work};
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::Keeper;
use crate::ui::Ui;

/// Undoes a run.
pub fn run(ui: &mut Ui, args: &Rollback) -> Outcome {
    machine::need_root("rollback")?;
    let machine = machine::running()?;
    let store = machine::store();
    let Some(run) = chosen(&store, &machine, args.run.as_deref())? else {
        ui.result("Nothing to undo: no run has changed this machine.");
        return Ok(Exit::Done);
    };
    refuse_under_guests(&run)?;
    ui.status(format!("run {}: {}", run.id, run.plan.purpose));
    for line in &run.plan.not_restored {
        ui.status(format!("  not restored: {line}"));
    }
    if !args.yes {
        if !ui.can_prompt() {
            return Err(CommandError::usage("nobody is there to be asked").hinted("xenup rollback --yes"));
        }
        if !ui.confirm("Undo this run?") {
            return Err(CommandError::refused("not undone: nothing was changed"));
        }
    }
    drop(machine);
    work::run(ui, "rollback", &["rollback-here".to_owned(), run.id.to_string()])
}

/// Refuses to take the toolstack away from guests that run.
fn refuse_under_guests(run: &Run) -> Result<(), CommandError> {
    let brought = run.plan.steps().any(|(_, step)| matches!(step.action, Action::Packages { .. }));
    let guests = machine::facts(&Source::default())?.xen.guests;
    if !brought || guests.is_empty() {
        return Ok(());
    }
    let names = guests.join(", ");
    Err(CommandError::refused(format!(
        "guests are running, and this would take their toolstack away: {names}"
    ))
    .hinted("shut them down first: xl shutdown -a -w"))
}

/// Undoes a run in this process, which is a service of its own.
pub fn run_here(ui: &mut Ui, args: &RollbackHere) -> Outcome {
    machine::need_root("rollback")?;
    service::enter().map_err(CommandError::failed)?;
    // An undo is finished whatever the signal: half of one helps nobody.
    let _ignored = apply_here::stop_signals().map_err(CommandError::failed)?;
    let run: RunId = args.run.parse().map_err(CommandError::usage)?;
    let mut machine = machine::running()?;
    let store = machine::store();
    let mut keeper = Keeper::new(&store);
    let report = {
        let mut tell = |event: Event| events::show(ui, &event);
        let mut session =
            Session { machine: &mut machine, keeper: &mut keeper, store: &store, events: &mut tell };
        rollback::rollback(&mut session, &run, &Scope::Run, Cause::Asked, Grip::Lock)
            .map_err(machine::engine_error)?
    };
    events::show_report(ui, &report);
    if report.is_clean() {
        ui.status("Rolled back: the machine is as it was before the run.");
        return Ok(Exit::Done);
    }
    Err(CommandError::new(Exit::NotRestored, "not everything could be undone")
        .hinted("xenup status names what is left; xenup rollback tries again"))
}

/// Returns the run to undo: the one named, else the newest that is not undone.
fn chosen(store: &Store, probe: &dyn Probe, named: Option<&str>) -> Result<Option<Run>, CommandError> {
    if let Some(name) = named {
        let id: RunId = name
            .parse()
            .map_err(|error| CommandError::usage(error).hinted("xenup history lists the runs"))?;
        return store.load(probe, &id).map(Some).map_err(machine::engine_error);
    }
    for id in store.runs(probe).map_err(machine::engine_error)?.iter().rev() {
        let run = store.load(probe, id).map_err(machine::engine_error)?;
        if run.status.end != Some(End::RolledBack) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}
