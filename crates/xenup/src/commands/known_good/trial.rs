//! What a boot shows: whether a trial is kept or left, and whether what is known to boot still is.
//!
//! Decides: by the checks of the trial that somebody confirmed, as far as they hold in what is known to boot. Never:
//! restarts a machine out of what is known to boot, but where its kernel's modules are gone.

use std::time::Duration;

use xenup_core::boot::known_good::{KnownGood, known_mark, trial_mark};
use xenup_engine::action::Condition;
use xenup_engine::conditions;
use xenup_engine::status::StageState;
use xenup_engine::store::Store;
use xenup_machine::process::Query;
use xenup_machine::{Machine as _, Probe};
use xenup_system::System;
use xenup_system::guard::{announce, reboot, reboot_within, settled};

use super::{Newest, cmdline, is_going_down, is_installed, keep, read, write};
use crate::commands::machine;
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::{AGAIN, GRACE, after};
use crate::ui::Ui;

/// How long a boot may take to settle; the unit ends the whole after fifteen minutes.
const SETTLES: Duration = Duration::from_secs(600);
/// How often what is good is kept again where that failed, and how long until then: apt may be at work.
const KEPT_AGAIN: usize = 12;
const KEEP_AGAIN: Duration = Duration::from_secs(10);
/// How long an orderly restart may take where guests are shut down first: xendomains has thirty minutes.
const WITH_GUESTS: Duration = Duration::from_secs(35 * 60);

/// What becomes of a trial.
enum Verdict {
    Good,
    Bad(String),
    /// Somebody restarts the machine before it is judged.
    Left,
}

/// In a trial boot: keeps it where it is good, else goes back.
///
/// # Errors
/// Where it goes back; the unit then restarts the machine.
pub(super) fn check(ui: &mut Ui, machine: &mut System) -> Outcome {
    let cmdline = cmdline(machine);
    let Some(mark) = trial_mark(&cmdline) else { return Ok(Exit::Done) };
    settled(SETTLES);
    let verdict = judge(ui, machine).unwrap_or_else(|error| Verdict::Bad(error.words()));
    match verdict {
        Verdict::Good => promote(ui, machine, mark),
        Verdict::Left => Ok(Exit::Done),
        Verdict::Bad(why) => {
            let noted = note_failure(machine, &why);
            announce(&format!("this trial boot is not good: {why}; restarting into what is known to boot"));
            if has_guests(machine) {
                reboot_within(WITH_GUESTS)
            } else {
                reboot()
            }
            noted.and(Err(CommandError::failed(why)))
        }
    }
}

fn judge(ui: &mut Ui, machine: &mut System) -> Result<Verdict, CommandError> {
    let checks = confirmed(&machine::store(), machine)?;
    let unmet = read(machine).map_err(machine::machine_error)?.unmet;
    let asked: Vec<Condition> =
        checks.into_iter().filter(|check| !unmet.contains(&conditions::describe(check))).collect();
    Ok(match failing_after_grace(ui, machine, &asked) {
        None => Verdict::Left,
        Some(failing) => failing.into_iter().next().map_or(Verdict::Good, |(_, why)| Verdict::Bad(why)),
    })
}

fn note_failure(machine: &mut System, why: &str) -> Result<(), CommandError> {
    let mut state = read(machine).map_err(machine::machine_error)?;
    if let Some(trial) = &mut state.trial {
        trial.failed = Some(why.to_owned());
    }
    write(machine, &state).map_err(machine::machine_error)
}

fn has_guests(probe: &dyn Probe) -> bool {
    let listed = probe.query(&Query::new("xl", ["list"]));
    // A heading, and Domain-0.
    listed.is_ok_and(|output| output.text().lines().count() > 2)
}

/// Returns the checks that do not hold after some patience, each with its words; `None` where the machine is going down.
fn failing_after_grace<'a>(
    ui: &mut Ui,
    machine: &mut System,
    checks: &'a [Condition],
) -> Option<Vec<(&'a Condition, String)>> {
    let until = after(machine.clock().boottime_ns, GRACE);
    loop {
        let fails = |check: &'a Condition| Some((check, conditions::check(machine, check).err()?));
        let failing: Vec<_> = checks.iter().filter_map(fails).collect();
        if is_going_down(machine) {
            return None;
        }
        if failing.is_empty() || machine.clock().boottime_ns >= until {
            return Some(failing);
        }
        let words: Vec<&str> = failing.iter().map(|(_, why)| why.as_str()).collect();
        ui.warning(format!("does not hold yet: {}", words.join("; ")));
        machine.pause(AGAIN);
    }
}

/// The checks of the newest trial of Xen that was confirmed.
fn confirmed(store: &Store, probe: &dyn Probe) -> Result<Vec<Condition>, CommandError> {
    for id in store.runs(probe).map_err(machine::engine_error)?.iter().rev() {
        let run = store.load(probe, id).map_err(machine::engine_error)?;
        let mut stages = run.plan.stages.iter().zip(&run.status.stages);
        let is_it = |name: &str, state: &StageState| name == "boot-trial" && *state == StageState::Kept;
        if let Some((planned, _)) = stages.find(|(planned, found)| is_it(planned.id.as_str(), &found.state)) {
            return Ok(planned.checks.clone());
        }
    }
    Err(CommandError::failed("no run of this machine has a trial boot that was confirmed"))
}

/// What is good is kept; where that fails it is tried once more at the next restart, and nobody is thrown out.
fn promote(ui: &mut Ui, machine: &mut System, mark: &str) -> Outcome {
    for _ in 0..KEPT_AGAIN {
        match Newest::read(machine) {
            Ok(newest) if newest.tried().mark != mark => break,
            Ok(newest) => match keep(machine, &newest) {
                Ok(()) => {
                    let words = newest.words();
                    announce(&format!("{words} booted well, and is what boots by itself from now on"));
                    return Ok(Exit::Done);
                }
                Err(error) => ui.warning(error.words()),
            },
            Err(error) => ui.warning(error.words()),
        }
        machine.pause(KEEP_AGAIN);
    }
    let state = KnownGood { trial: None, ..read(machine).map_err(machine::machine_error)? };
    write(machine, &state).map_err(machine::machine_error)?;
    announce("this trial boot is good, and could not be kept; the next restart is a trial again");
    Ok(Exit::Done)
}

/// In a boot of what is known to: leaves it where its kernel's modules are gone, and notes which checks do not hold.
///
/// # Errors
/// The state cannot be read or written. The unit restarts nothing then.
pub(super) fn look(ui: &mut Ui, machine: &mut System) -> Outcome {
    if known_mark(&cmdline(machine)).is_none() {
        return Ok(Exit::Done);
    }
    let mut state = read(machine).map_err(machine::machine_error)?;
    let Some(known) = &state.known else { return Ok(Exit::Done) };
    if !is_installed(machine, &known.linux) && state.linux.is_some() {
        let linux = known.linux.clone();
        state.known = None;
        write(machine, &state).map_err(machine::machine_error)?;
        announce(&format!(
            "Linux {linux} is not installed any more, and has no modules; restarting into plain Linux"
        ));
        reboot();
        return Ok(Exit::Done);
    }
    settled(SETTLES);
    let checks = confirmed(&machine::store(), machine)?;
    let Some(failing) = failing_after_grace(ui, machine, &checks) else { return Ok(Exit::Done) };
    let unmet: Vec<String> = failing.iter().map(|(check, _)| conditions::describe(check)).collect();
    let mut state = read(machine).map_err(machine::machine_error)?;
    if state.unmet != unmet {
        for words in &unmet {
            ui.warning(format!("does not hold, and is asked of no trial: {words}"));
        }
        state.unmet = unmet;
        write(machine, &state).map_err(machine::machine_error)?;
    }
    Ok(Exit::Done)
}
