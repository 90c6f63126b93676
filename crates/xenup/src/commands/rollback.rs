//! `xenup rollback`: a run undone, newest step first, but for a confirmed network: that is undone before all else, and
//! waits for a confirm like any other change of the way in.
//!
//! Decides: what is said and asked first, how the end reads. Never: which stage needs a guard (the engine does).

use std::path::Path;

use xenup_core::by_hand;
use xenup_core::kernel::build::dom0;
use xenup_engine::action::Action;
use xenup_engine::event::Event;
use xenup_engine::guard::Session;
use xenup_engine::journal::End;
use xenup_engine::rollback;
use xenup_engine::status::{ArmedGuard, StageState, StageStatus};
use xenup_engine::store::{Run, RunId, Store};
use xenup_engine::takeback::{self, Outcome as Back, Protection};
use xenup_machine::{Clock, Probe};
use xenup_system::service;

use crate::args::{Rollback, RollbackHere, Source};
use crate::commands::status::because;
use crate::commands::{apply_here, events, lasting, machine, work};
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
    if run.status.awaiting().is_some_and(|stage| waits(stage, &machine.clock())) {
        ui.warning(format!("the rollback of run {} waits for a confirm; nothing was done", run.id));
        ui.hint("xenup status");
        return Ok(Exit::AwaitingConfirm);
    }
    refuse_past_return(&store, &machine, &run)?;
    refuse_under_guests(&run)?;
    refuse_of_running_kernel(&machine, &run)?;
    ui.status(format!("run {}: {}", run.id, run.plan.purpose));
    if rollback::reach(&run, 0).is_ok_and(|first| first > 0) {
        ui.status(
            "  the upgrade itself stays: there is no way back from it; what came after it is called off",
        );
    }
    for line in &run.plan.not_restored {
        ui.status(format!("  not restored: {line}"));
    }
    say_protection(ui, &run, args.deadline);
    if !args.yes {
        if !ui.can_prompt() {
            return Err(CommandError::usage("nobody is there to be asked").hinted("xenup rollback --yes"));
        }
        if !ui.confirm("Undo this run?") {
            return Err(CommandError::refused("not undone: nothing was changed"));
        }
    }
    drop(machine);
    go_on(ui, &run.id, args.deadline)
}

/// Refuses what there is no way back from: an upgrade that has begun, and what lies before one.
fn refuse_past_return(store: &Store, probe: &dyn Probe, run: &Run) -> Result<(), CommandError> {
    if let Err(error) = rollback::reach(run, 0) {
        let hint = match run.status.is_unfinished() {
            true => "go on with it: xenup upgrade apply",
            false => "nothing is to be undone; an older release is installed anew, or comes from a backup",
        };
        return Err(CommandError::refused(error).hinted(hint));
    }
    for id in store.runs(probe).map_err(machine::engine_error)?.iter().rev().take_while(|id| **id != run.id) {
        let newer = store.load(probe, id).map_err(machine::engine_error)?;
        let mut stages = newer.plan.stages.iter().zip(&newer.status.stages);
        if stages.any(|(planned, found)| rollback::is_past_return(planned, found)) {
            let words = format!("run {} is older than an upgrade of all packages, run {id}", run.id);
            return Err(CommandError::refused(words)
                .hinted("what it had installed is another version by now: take it away by apt and by hand"));
        }
    }
    Ok(())
}

/// Returns whether a rollback waits for a confirm that would still count; a guard that is gone is made good for below.
fn waits(stage: &StageStatus, now: &Clock) -> bool {
    let in_time = |guard: &ArmedGuard| {
        guard.boot_id == now.boot_id && guard.deadline_ns.is_some_and(|deadline| now.boottime_ns < deadline)
    };
    stage.is_being_taken_back() && stage.guard.as_ref().is_some_and(in_time)
}

/// Undoes a run, or goes on with that, in a service of its own.
pub fn go_on(ui: &mut Ui, run: &RunId, deadline: u64) -> Outcome {
    let args = ["take-back", run.as_str(), "--deadline", &deadline.to_string()].map(str::to_owned);
    work::run(ui, "rollback", &args)
}

/// Says how the way in is kept, before anybody is asked.
fn say_protection(ui: &mut Ui, run: &Run, deadline: u64) {
    match takeback::protection(&run.plan, &run.status) {
        Protection::Guarded { stage } => {
            ui.status(format!(
                "  stage {stage} goes first, under a guard: its addresses move back, and then you have"
            ));
            ui.status(format!(
                "  {deadline} s to run `xenup confirm` over a NEW connection, or stage {stage} comes back; the rest waits for that"
            ));
        }
        Protection::NotNeeded => {
            ui.status("  no guard is needed: nothing of it that was confirmed can cut the way in");
        }
        Protection::Impossible { stage, why } => {
            ui.warning(format!("stage {stage} can cut the way in, and is undone WITHOUT a guard: {why}"));
            ui.hint("have the machine's console at hand, or leave the run as it is");
        }
    }
}

/// Refuses to take the toolstack away from guests that run, those that were started while a rollback waited included.
pub fn refuse_under_guests(run: &Run) -> Result<(), CommandError> {
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

/// Refuses to take the modules of the kernel that runs: a crash would boot it once more, without a network.
fn refuse_of_running_kernel(probe: &dyn Probe, run: &Run) -> Result<(), CommandError> {
    let Some(release) = dom0::release_of(&run.plan) else { return Ok(()) };
    let running =
        probe.read(Path::new("/proc/sys/kernel/osrelease"), 4096).map_err(machine::machine_error)?;
    if String::from_utf8_lossy(&running).trim() != release {
        return Ok(());
    }
    let words = format!("Linux {release} runs, and this would take its modules away");
    Err(CommandError::refused(words)
        .hinted("restart into another kernel first, by GRUB's menu or: grub-reboot gnulinux-simple-UUID"))
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
    let outcome = {
        let mut tell = |event: Event| events::show(ui, &event);
        let mut session =
            Session { machine: &mut machine, keeper: &mut keeper, store: &store, events: &mut tell };
        takeback::roll_back(&mut session, &run, args.deadline).map_err(machine::engine_error)?
    };
    drop(machine);
    conclude(ui, &run, &outcome)
}

fn conclude(ui: &mut Ui, run: &RunId, outcome: &Back) -> Outcome {
    let hint = "xenup status names what is left; xenup rollback tries again";
    match outcome {
        Back::RolledBack(report) => {
            events::show_report(ui, report);
            if report.is_whole() {
                ui.status("Rolled back: the machine is as it was before the run.");
            } else if report.is_clean() {
                events::say_left(ui, report);
            }
            if report.is_clean() && still_runs(run) {
                ui.status("What the run had started still runs, and ends with this boot.");
                ui.status("next: systemctl reboot   (to finish)");
            }
            if report.is_clean() {
                return Ok(if report.is_whole() { Exit::Done } else { Exit::NotRestored });
            }
            Err(CommandError::new(Exit::NotRestored, "not everything could be undone").hinted(hint))
        }
        Back::AwaitingConfirm { stage, seconds, report } => {
            if !report.undone.is_empty() {
                events::show_report(ui, report);
            }
            say_awaiting(ui, stage.as_str(), *seconds);
            Ok(Exit::AwaitingConfirm)
        }
        Back::BroughtBack { stage, cause, report } => {
            say_brought_back(ui, stage.as_str(), cause);
            events::show_return(ui, report);
            if report.is_clean() {
                return Ok(Exit::FailedAndRestored);
            }
            Err(CommandError::new(Exit::NotRestored, "not everything could be brought back").hinted(hint))
        }
    }
}

/// Returns whether what the run had started runs on in this boot, though all of it is undone.
fn still_runs(run: &RunId) -> bool {
    let machine = machine::running().ok();
    machine.is_some_and(|machine| {
        machine::store().load(&machine, run).is_ok_and(|run| lasting::ends_with_this_boot(&machine, &run))
    })
}

/// Says that an undone stage waits, and for what.
pub fn say_awaiting(ui: &mut Ui, stage: &str, seconds: u64) {
    ui.status(format!("Stage {stage} is undone, and comes back in {seconds} s unless you confirm that."));
    ui.status("The rest of the run is untouched so far; the confirm goes on with it.");
    ui.status("next: from a NEW connection: xenup confirm   (at the console: xenup confirm --console)");
}

/// Says that a rollback went back.
pub fn say_brought_back(ui: &mut Ui, stage: &str, cause: &xenup_engine::journal::Cause) {
    ui.status(format!(
        "Not rolled back: stage {stage} is as it was before the rollback, because {}.",
        because(cause)
    ));
}

/// Returns the run to undo: the one named, else the newest that is not undone.
fn chosen(store: &Store, probe: &dyn Probe, named: Option<&str>) -> Result<Option<Run>, CommandError> {
    if let Some(name) = named {
        let id: RunId = name
            .parse()
            .map_err(|error| CommandError::usage(error).hinted("xenup history lists the runs"))?;
        let run = store.load(probe, &id).map_err(machine::engine_error)?;
        return if is_kept_by_hand(&run) { Err(refuse_by_hand(&run)) } else { Ok(Some(run)) };
    }
    for id in store.runs(probe).map_err(machine::engine_error)?.iter().rev() {
        let run = store.load(probe, id).map_err(machine::engine_error)?;
        if run.status.end != Some(End::RolledBack) && !is_kept_by_hand(&run) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// Returns whether a run is a command of somebody's own that was confirmed: nothing knows how to undo that any more.
fn is_kept_by_hand(run: &Run) -> bool {
    let kept = |stage: &StageStatus| stage.state == StageState::Kept;
    by_hand::is_by_hand(&run.plan) && run.status.stages.iter().all(kept)
}

fn refuse_by_hand(run: &Run) -> CommandError {
    CommandError::refused(format!(
        "run {} is a command of your own that was confirmed, and xenup cannot undo what others have built on since: {}",
        run.id, run.plan.purpose
    ))
    .hinted("undo it by a command of your own, guarded in the same way: xenup guard -- COMMAND")
}
