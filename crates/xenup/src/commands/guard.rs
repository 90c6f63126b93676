//! `guard -- COMMAND`: the snapshot, deadline and confirm of a run around a change of the network made by hand.
//!
//! Decides: nothing of its own; it makes a plan of one stage and lets the engine carry it out like any other.

use std::path::{Path, PathBuf};

use xenup_core::by_hand::{self, Made, Request};
use xenup_engine::durable;
use xenup_engine::store::Run;
use xenup_machine::file::Attributes;
use xenup_machine::process::Command;
use xenup_machine::{Machine, MachineError, Probe};

use super::{machine, work};
use crate::args::GuardCommand;
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::{STORE, program_copy, refuse_over_network};
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
    refuse_over_network()?;
    let unique = system.clock().boottime_ns;
    let aside = Path::new(STORE).join(format!("aside-{unique}"));
    let program = program_copy().map_err(machine::machine_error)?;
    let own = |verb: &str| Command::new(&program.display().to_string(), [verb, &aside.display().to_string()]);
    let request = Request {
        command: &args.command,
        deadline_seconds: args.deadline,
        machine_id: machine_id(&system)?,
        note: own("guard-note"),
        sweep: own("guard-sweep"),
        aside: aside.clone(),
    };
    let plan = by_hand::plan(&system, &request).map_err(machine::machine_error)?;
    drop(system);
    for missing in &plan.not_restored {
        ui.warning(format!("not restored: {missing}"));
    }
    let file = work::keep_plan(&plan, unique)?;
    let exit = work::run(ui, "guard-command", &["carry-out".to_owned(), file.display().to_string()])?;
    Ok(exit)
}

fn machine_id(probe: &dyn Probe) -> Result<String, CommandError> {
    let bytes = probe.read(Path::new("/etc/machine-id"), 4096).map_err(machine::machine_error)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// `guard-note`: within such a run, right after the command, notes what the command made. What comes later is others'.
pub fn run_note(aside: &Path) -> Outcome {
    machine::need_root("guard")?;
    let mut system = machine::running()?;
    let Some(run) = run_of(&system, aside)? else { return Ok(Exit::Done) };
    let made = by_hand::made(&system, &run.plan).map_err(machine::machine_error)?;
    let bytes = serde_json::to_vec(&made).map_err(CommandError::failed)?;
    let path = note_of(&run);
    durable::put_file(&mut system, &path, &bytes, &Attributes::root(0o600), &path.with_extension("new"))
        .map_err(machine::machine_error)?;
    Ok(Exit::Done)
}

/// The run that a directory belongs to: the newest one may be another's.
fn run_of(probe: &dyn Probe, aside: &Path) -> Result<Option<Run>, CommandError> {
    let store = machine::store();
    for id in store.runs(probe).map_err(machine::engine_error)?.iter().rev() {
        let run = store.load(probe, id).map_err(machine::engine_error)?;
        if by_hand::aside_of(&run.plan) == Some(aside) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

fn note_of(run: &Run) -> PathBuf {
    machine::store().run_dir(&run.id).join("made.json")
}

/// What the command made, as far as it is still there. Where it was ended before that was noted, all that is new.
fn made_by_it(probe: &dyn Probe, run: &Run) -> Result<Made, CommandError> {
    let now = by_hand::made(probe, &run.plan).map_err(machine::machine_error)?;
    match probe.read(&note_of(run), LONGEST) {
        Err(error) if error.is_not_found() => Ok(now),
        Err(error) => Err(machine::machine_error(error)),
        Ok(bytes) => Ok(now.seen_in(&serde_json::from_slice(&bytes).map_err(CommandError::failed)?)),
    }
}

/// `guard-sweep`: within the undo of such a run, moves away what the command made and the plan does not know.
/// It works for whoever holds the lock, so it takes none.
pub fn run_sweep(ui: &mut Ui, aside: &Path) -> Outcome {
    machine::need_root("guard")?;
    let mut system = machine::running()?;
    let Some(run) = run_of(&system, aside)? else { return Ok(Exit::Done) };
    let made = made_by_it(&system, &run)?;
    let room = machine::store().run_dir(&run.id).join("aside");
    for path in made.files {
        durable::make_dirs(&mut system, &room, 0o700).map_err(machine::machine_error)?;
        let kept = by_hand::moved_aside(&room, &path);
        move_aside(&mut system, &path, &kept).map_err(machine::machine_error)?;
        ui.status(format!("{} is now {}", path.display(), kept.display()));
    }
    for link in made.links {
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
