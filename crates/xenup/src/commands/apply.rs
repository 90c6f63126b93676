//! `xenup apply`: a plan carried out in a service of its own, while the terminal only looks at it.
//!
//! Decides: which run goes on, what is asked first, how the end reads.
//! Never: changes the machine in the process that the terminal can kill (see `apply_here`).

use std::path::Path;

use xenup_engine::plan::{Plan, Watch};
use xenup_engine::status::{StageState, StageStatus};
use xenup_engine::store::{Run, parse_plan};
use xenup_machine::Probe as _;
use xenup_system::files;
use xenup_system::guard::Sleeper;

use crate::args::{Apply, Source};
use crate::commands::{machine, plan, work};
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::refuse_over_network;
use crate::ui::Ui;

/// How one agrees to a plan where nobody can be asked.
pub const OTHERWISE: &str = "xenup plan shows the plan; xenup apply --yes carries it out";

/// Carries out a plan, or goes on with the run that is not finished.
pub fn run(ui: &mut Ui, args: &Apply) -> Outcome {
    machine::need_root("apply")?;
    let machine = machine::running()?;
    if let Some(run) = machine::store().newest_unfinished(&machine).map_err(machine::engine_error)? {
        if args.plan.is_some() {
            return Err(CommandError::refused(format!(
                "run {} is not finished; a second plan has to wait",
                run.id
            ))
            .hinted("xenup apply goes on with it, xenup rollback undoes it"));
        }
        return go_on(ui, &run, args.wait);
    }
    let mut chosen = match &args.plan {
        Some(path) => read_plan(path)?,
        None if args.installer => for_installer(ui, &args.host)?,
        None => plan::make(ui, &Source::default(), &args.host, None)?.plan,
    };
    if chosen.is_empty() {
        ui.result("Nothing to do: the machine is as host.toml asks.");
        return Ok(Exit::Done);
    }
    if chosen.stages.iter().any(|stage| stage.guard.is_some()) {
        refuse_over_network()?;
    }
    if let Some(seconds) = args.deadline {
        set_deadline(&mut chosen, seconds);
    }
    agree(ui, &chosen, args.yes, OTHERWISE)?;
    let exit = carry_out(ui, &chosen)?;
    after(ui, exit, args.wait)
}

/// Makes the plan for a system that does not run.
fn for_installer(ui: &mut Ui, host: &Path) -> Result<Plan, CommandError> {
    if files::exists(Path::new("/run/systemd/system")) {
        return Err(CommandError::refused(
            "this system runs: its network and its boot have to be tried, not only written",
        )
        .hinted("xenup apply   (without --installer)"));
    }
    Ok(plan::for_installer(ui, host)?.plan)
}

/// Carries a plan out in a service of its own; nobody is asked.
pub fn carry_out(ui: &mut Ui, plan: &Plan) -> Outcome {
    let file = work::keep_plan(plan, machine::running()?.clock().boottime_ns)?;
    work::run(ui, "apply", &["carry-out".to_owned(), file.display().to_string()])
}

/// Goes on with a run, unless it waits for a person.
pub fn go_on(ui: &mut Ui, run: &Run, wait: bool) -> Outcome {
    if run.status.awaiting().is_some() {
        ui.warning(format!("run {} waits for a confirm; nothing was done", run.id));
        ui.hint("xenup status");
        return Ok(Exit::AwaitingConfirm);
    }
    if let Some(stage) = run.status.stages.iter().find(|stage| stage.state == StageState::Stuck) {
        return Err(CommandError::refused(format!(
            "stage {} of run {} could not be undone",
            stage.id, run.id
        ))
        .hinted("xenup rollback tries again; xenup status says what is left"));
    }
    let what = if run.status.rolling_back { "the rollback of run" } else { "run" };
    ui.status(format!("going on with {what} {}", run.id));
    let exit = work::run(ui, "apply", &["carry-out".to_owned()])?;
    after(ui, exit, wait)
}

fn read_plan(path: &Path) -> Result<Plan, CommandError> {
    let bytes = files::read(path).map_err(CommandError::usage)?;
    parse_plan(&bytes).map_err(|error| {
        CommandError::usage(machine::at_line(path, &error)).hinted("make it anew: xenup plan --out FILE")
    })
}

fn set_deadline(plan: &mut Plan, seconds: u64) {
    for guard in plan.stages.iter_mut().filter_map(|stage| stage.guard.as_mut()) {
        if guard.watch == Watch::Network {
            guard.deadline_seconds = seconds;
        }
    }
}

/// Asks whether a plan is to be carried out; `without_a_terminal` says how else one agrees.
pub fn agree(ui: &mut Ui, plan: &Plan, yes: bool, without_a_terminal: &str) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    if !ui.can_prompt() {
        return Err(CommandError::usage("nobody is there to be asked").hinted(without_a_terminal));
    }
    for line in xenup_core::plan::render::summary(plan) {
        ui.status(line);
    }
    if ui.confirm("Carry this out?") {
        Ok(())
    } else {
        Err(CommandError::refused("not carried out: nothing was changed"))
    }
}

/// Says what follows; with `--wait`, waits for the confirmation and goes on.
fn after(ui: &mut Ui, exit: Exit, wait: bool) -> Outcome {
    if exit != Exit::AwaitingConfirm || !wait {
        return Ok(exit);
    }
    let store = machine::store();
    loop {
        let machine = machine::running()?;
        let Some(newest) = store.newest_unfinished(&machine).map_err(machine::engine_error)? else {
            return ended(&machine);
        };
        let sleeper = Sleeper::watching(&store.run_dir(&newest.id)).map_err(CommandError::failed)?;
        // Read again under the watch: what changed before it would wake nobody.
        let run = store.load(&machine, &newest.id).map_err(machine::engine_error)?;
        match run.status.awaiting() {
            Some(stage) if is_trial(stage) => return Ok(Exit::AwaitingConfirm),
            None if run.status.is_unfinished() => return go_on(ui, &run, wait),
            None => return ended(&machine),
            Some(_) => {}
        }
        let hour_ns = 3_600_000_000_000;
        sleeper.wait(machine.clock().boottime_ns + hour_ns).map_err(CommandError::failed)?;
    }
}

fn is_trial(stage: &StageStatus) -> bool {
    stage.guard.as_ref().is_some_and(|guard| guard.watch == Watch::TrialBoot)
}

fn ended(probe: &dyn xenup_machine::Probe) -> Outcome {
    let newest = machine::store().newest(probe).map_err(machine::engine_error)?;
    let done = newest.is_some_and(|run| run.status.end == Some(xenup_engine::journal::End::Done));
    Ok(if done { Exit::Done } else { Exit::FailedAndRestored })
}
