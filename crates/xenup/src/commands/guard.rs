//! `guard -- COMMAND`: the snapshot, deadline and confirm of a run around a change of the network made by hand.
//!
//! Decides: nothing of its own; it makes a plan of one stage and lets the engine carry it out like any other.

use std::path::{Path, PathBuf};

use xenup_core::by_hand::{self, Request};
use xenup_engine::durable;
use xenup_machine::process::Command;
use xenup_machine::{Machine, MachineError, Probe};

use super::{machine, work};
use crate::args::GuardCommand;
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::{STORE, program_copy};
use crate::ui::Ui;

/// The longest file that is moved aside.
const LONGEST: u64 = 64 << 20;

/// Runs the verb.
pub fn run(ui: &mut Ui, args: &GuardCommand) -> Outcome {
    machine::need_root("guard")?;
    let system = machine::running()?;
    if let Some(run) = machine::store().newest_unfinished(&system).map_err(machine::engine_error)? {
        return Err(CommandError::refused(format!("run {} is not finished", run.id)).hinted("xenup status"));
    }
    let unique = system.clock().boottime_ns;
    let aside = Path::new(STORE).join(format!("aside-{unique}"));
    let program = program_copy().map_err(machine::machine_error)?;
    let request = Request {
        command: &args.command,
        deadline_seconds: args.deadline,
        machine_id: machine_id(&system)?,
        sweep: Command::new(&program.display().to_string(), ["guard-sweep", &aside.display().to_string()]),
        aside,
    };
    let plan = by_hand::plan(&system, &request).map_err(machine::machine_error)?;
    drop(system);
    for missing in &plan.not_restored {
        ui.warning(format!("not restored: {missing}"));
    }
    let file = work::keep_plan(&plan, unique)?;
    let exit = work::run(ui, "guard-command", &["apply-here".to_owned(), file.display().to_string()])?;
    Ok(exit)
}

fn machine_id(probe: &dyn Probe) -> Result<String, CommandError> {
    let bytes = probe.read(Path::new("/etc/machine-id"), 4096).map_err(machine::machine_error)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// `guard-sweep`: within the undo of such a run, moves away what the command made and the plan does not know.
/// It works for whoever holds the lock, so it takes none.
pub fn run_sweep(ui: &mut Ui, aside: &Path) -> Outcome {
    machine::need_root("guard")?;
    let mut system = machine::running()?;
    let newest = machine::store().newest_unfinished(&system).map_err(machine::engine_error)?;
    let Some(run) = newest else { return Ok(Exit::Done) };
    for path in by_hand::unknown_files(&system, &run.plan).map_err(machine::machine_error)? {
        let kept = by_hand::moved_aside(aside, &path);
        move_aside(&mut system, &path, &kept).map_err(machine::machine_error)?;
        ui.status(format!("{} is now {}", path.display(), kept.display()));
    }
    let network = system.network().map_err(machine::machine_error)?;
    for link in by_hand::unknown_links(&network, &run.plan) {
        ui.status(format!("deleting link {link}"));
        let gone = xenup_machine::network::LinkOp::Delete { link };
        match system.change_links(std::slice::from_ref(&gone)) {
            // The other end of a pair goes with the first.
            Err(error) if !error.is_not_found() => return Err(machine::machine_error(error)),
            _ => {}
        }
    }
    Ok(Exit::Done)
}

fn move_aside(machine: &mut dyn Machine, path: &Path, kept: &Path) -> Result<(), MachineError> {
    let Some(entry) = machine.entry(path)? else { return Ok(()) };
    let fresh = PathBuf::from(format!("{}.new", kept.display()));
    match &entry.kind {
        xenup_machine::file::Kind::Symlink { target } => {
            durable::put_link(machine, kept, target, &entry.attributes, &fresh)?;
        }
        _ => {
            let bytes = machine.read(path, LONGEST)?;
            durable::put_file(machine, kept, &bytes, &entry.attributes, &fresh)?;
        }
    }
    durable::clear(machine, path)
}
