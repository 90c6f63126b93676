//! How each action is undone: the backward half of a step.
//!
//! Decides: from what was there before, what the step left and what is there now, whether it is ours to undo.
//! Never: trusts that a step was done, or not done: it looks. So it can be done from any state in between,
//! and done again after it was killed half-way.

use std::path::{Path, PathBuf};

use xenup_machine::file::{Attributes, Kind};
use xenup_machine::network::{LinkOp, Network};
use xenup_machine::{Machine, MachineError, Probe};

use crate::action::{Action, PackageChange, PackageState};
use crate::durable;
use crate::generated;
use crate::guard::Session;
use crate::journal::UndoNote;
use crate::packages::{self, CONFIG_FILES, INSTALLED, NOT_INSTALLED};
use crate::perform::{StepError, planned, run, settle, temporary, told};
use crate::plan::{Slug, Step};
use crate::snapshot::{self, FileSnapshot, Snapshot, Standing};
use crate::status::Status;
use crate::store::{RunId, Store};
use crate::{grubenv, links, units};

/// How often links are gone back to: each time from what the kernel says then. One more than there are ends of
/// temporary links in any sequence of ours.
const LINK_ATTEMPTS: usize = 5;

/// What an undo works from.
pub struct Undoing<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The step.
    pub step: &'a Step,
    /// What was there before it.
    pub before: &'a Snapshot,
    /// What it left; `None` where it was never seen to be done.
    pub after: Option<&'a Snapshot>,
    /// Where the run stands, which knows what it has generated; `None` where generated files are to be made again.
    pub status: Option<&'a Status>,
    /// Whether the way in depends on it: then what others changed gives way.
    pub under_guard: bool,
}

/// Undoes a step and checks that what was there is there again. Returns what a person should know about it.
///
/// # Errors
/// What could not be restored.
pub fn undo(session: &mut Session<'_>, undoing: &Undoing<'_>) -> Result<Vec<UndoNote>, StepError> {
    let step = undoing.step;
    match (&step.action, undoing.before) {
        (Action::File { .. }, Snapshot::File(before)) => undo_file(session, undoing, before),
        (Action::Packages { changes }, Snapshot::Packages { packages }) => {
            undo_packages(session, &step.id, changes, packages)
        }
        // What was fetched stays in apt's own cache.
        (Action::Upgrade { only_fetch: true, .. }, Snapshot::Packages { .. }) => Ok(Vec::new()),
        (Action::Unit { unit, .. }, Snapshot::Unit { enabled, active }) => {
            undo_unit(session, &step.id, unit, (enabled, active)).map(|()| Vec::new())
        }
        (Action::Links { touches, .. }, Snapshot::Links { network, ipv6_off }) => {
            undo_links(session.machine, network, ipv6_off, touches).map(|()| Vec::new())
        }
        (Action::BootVariable { name, value: set }, Snapshot::BootVariable { value, block }) => {
            undo_boot_variable(session, undoing, name, (value.as_deref(), set.as_deref()), block)
        }
        (Action::Run { backward, put_back, .. }, Snapshot::Run { generates }) => {
            generated::undo(session, undoing, (backward.as_ref(), *put_back), generates)
        }
        _ => Err(StepError::NotSo("what the journal kept of it belongs to another action".to_owned())),
    }
}

/// Brings back what was there before a step was undone under a guard (`undoing.before`), and checks it; `undone` is
/// what that undo had restored. Returns what a person should know about it.
///
/// # Errors
/// What could not be brought back.
pub fn bring_back(
    session: &mut Session<'_>,
    undoing: &Undoing<'_>,
    undone: &Snapshot,
) -> Result<Vec<UndoNote>, StepError> {
    match (&undoing.step.action, undoing.before, undone) {
        (Action::Run { forward, .. }, _, _) => {
            // What a command leaves is its own: it is run again, as it was when the step was done.
            if let Some(command) = forward {
                run(session, &undoing.step.id, command)?;
                settle(session, &undoing.step.id)?;
            }
            Ok(Vec::new())
        }
        (Action::File { .. }, Snapshot::File(kept), Snapshot::File(undone)) => {
            // The undo removed the directories that the step had made.
            if kept.there.is_some() {
                for parent in &undone.missing_parents {
                    durable::make_dir(session.machine, parent, &Attributes::root(0o755))?;
                }
            }
            undo(session, undoing)
        }
        _ => undo(session, undoing),
    }
}

fn undo_file(
    session: &mut Session<'_>,
    undoing: &Undoing<'_>,
    before: &FileSnapshot,
) -> Result<Vec<UndoNote>, StepError> {
    let Action::File { state, .. } = &undoing.step.action else { return Ok(Vec::new()) };
    let planned = planned(session.machine, session.store, state, before)?;
    let left = match undoing.after {
        Some(Snapshot::File(after)) => after.there.as_ref(),
        _ => planned.as_ref(),
    };
    let path = &before.path;
    let temporary = temporary(path, undoing.run);
    durable::clear(session.machine, &temporary)?;
    let now = snapshot::standing(session.machine, path)?;
    let mut notes = Vec::new();
    if !same(now.as_ref(), before.there.as_ref()) && !same(now.as_ref(), left) {
        let kept = kept_beside(path, undoing.run);
        if !undoing.under_guard || !keep_beside(session.machine, now.as_ref(), path, &kept, &temporary)? {
            let what =
                format!("{} {}", path.display(), if now.is_some() { "was changed" } else { "was removed" });
            return Ok(vec![UndoNote::LeftAsChanged { what }]);
        }
        notes.push(UndoNote::KeptBeside { path: path.clone(), kept });
    }
    let put = put_back(session.machine, session.store, before, now.as_ref(), &temporary);
    if put.is_err() {
        // The rollback goes on: a name left beside would keep the directory from going with its package.
        let _ = durable::clear(session.machine, &temporary);
    }
    if put? {
        let what = format!("{} holds files of others", path.display());
        notes.push(UndoNote::LeftAsChanged { what });
    }
    remove_parents(session.machine, before)?;
    Ok(notes)
}

pub(crate) fn same(one: Option<&Standing>, two: Option<&Standing>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => one.same_but_for_time(two),
        _ => false,
    }
}

/// Hidden, in the same directory: a directory of fragments (`source interfaces.d/*`) must not go on reading it.
fn kept_beside(path: &Path, run: &RunId) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".xenup-kept-{run}"));
    durable::parent(path).join(name)
}

/// Copies what somebody else put at `path` to `kept`. Returns whether the way is clear; a directory is not moved.
fn keep_beside(
    machine: &mut dyn Machine,
    now: Option<&Standing>,
    path: &Path,
    kept: &Path,
    temporary: &Path,
) -> Result<bool, MachineError> {
    let Some(now) = now else { return Ok(true) };
    match &now.entry.kind {
        Kind::File { .. } => {
            let bytes = machine.read(path, snapshot::LARGEST_FILE)?;
            durable::put_file(machine, kept, &bytes, &now.entry.attributes, temporary)?;
            Ok(true)
        }
        Kind::Symlink { target } => {
            durable::put_link(machine, kept, target, &now.entry.attributes, temporary)?;
            Ok(true)
        }
        Kind::Dir | Kind::Special => Ok(false),
    }
}

/// Puts back what stood at a path, and checks it. Returns whether a directory of ours stays since others use it.
fn put_back(
    machine: &mut dyn Machine,
    store: &Store,
    before: &FileSnapshot,
    now: Option<&Standing>,
    temporary: &Path,
) -> Result<bool, StepError> {
    let path = &before.path;
    match &before.there {
        Some(there) if now.is_some_and(|now| now.is_restored_to(there)) => {
            // It may have been put back just before a crash, and its name not be durable yet.
            durable::sync_parent(machine, path)?;
        }
        Some(there) => {
            let attributes = &there.entry.attributes;
            match (&there.entry.kind, &there.digest) {
                (Kind::File { .. }, Some(digest)) => {
                    let bytes = store.object(machine, digest)?;
                    durable::put_file(machine, path, &bytes, attributes, temporary)?;
                }
                (Kind::Symlink { target }, _) => {
                    durable::put_link(machine, path, target, attributes, temporary)?;
                }
                (Kind::Dir, _) => durable::make_dir(machine, path, attributes)?,
                _ => return Err(StepError::NotSo(format!("{} cannot be made again", path.display()))),
            }
        }
        None => match now.map(|now| &now.entry.kind) {
            Some(Kind::Dir) => durable::remove_dir_if_empty(machine, path)?,
            _ => durable::clear(machine, path)?,
        },
    }
    let now = snapshot::standing(machine, path)?;
    match (&now, &before.there) {
        (None, None) => Ok(false),
        (Some(now), Some(there)) if now.is_restored_to(there) => Ok(false),
        (Some(now), None) if now.entry.kind == Kind::Dir => Ok(true),
        _ => Err(StepError::NotSo(format!("{} is not what it was before", path.display()))),
    }
}

fn remove_parents(machine: &mut dyn Machine, before: &FileSnapshot) -> Result<(), MachineError> {
    before.missing_parents.iter().rev().try_for_each(|dir| durable::remove_dir_if_empty(machine, dir))
}

fn undo_packages(
    session: &mut Session<'_>,
    step: &Slug,
    changes: &[PackageChange],
    before: &[PackageState],
) -> Result<Vec<UndoNote>, StepError> {
    let names: Vec<&str> = before.iter().map(|state| bare(&state.name)).collect();
    let mut now = packages::states(session.machine, &names)?;
    let mut notes = Vec::new();
    if packages::is_interrupted(session.machine)? || now.iter().any(packages::is_half_done) {
        notes = finish_interrupted(session, step, changes, (before, &now))?;
        now = packages::states(session.machine, &names)?;
    }
    for (verb, was) in [("purge", NOT_INSTALLED), ("remove", CONFIG_FILES)] {
        let brought =
            |(before, now): &(&PackageState, &PackageState)| before.status == was && now.status != was;
        let names: Vec<&str> =
            before.iter().zip(&now).filter(brought).map(|(_, now)| now.name.as_str()).collect();
        if !names.is_empty() {
            take_away(session, step, verb, &names)?;
        }
    }
    restore_marks(session, step, before, &names)?;
    settle(session, step)?;
    let now = packages::states(session.machine, &names)?;
    let differs = before.iter().zip(&now).find(|(before, now)| !is_restored(before, now));
    match differs {
        None => Ok(notes),
        Some((before, now)) => Err(StepError::NotSo(format!(
            "package {} is {} {}, and was {} {}",
            now.name, now.status, now.version, before.status, before.version
        ))),
    }
}

fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// What is left of a removed package keeps the version that was removed, so that version is not compared.
fn is_restored(before: &PackageState, now: &PackageState) -> bool {
    before.status == now.status
        && (before.status != INSTALLED || (&before.version, before.auto) == (&now.version, now.auto))
}

/// Lets dpkg finish what was cut short. What it cannot finish is left for the removal that follows, so only
/// packages that were not there before may stay half done. Returns what may be left of those that it could not unpack.
fn finish_interrupted(
    session: &mut Session<'_>,
    step: &Slug,
    changes: &[PackageChange],
    (before, now): (&[PackageState], &[PackageState]),
) -> Result<Vec<UndoNote>, StepError> {
    let mut notes = Vec::new();
    for (verb, was) in [("purge", NOT_INSTALLED), ("remove", CONFIG_FILES)] {
        let torn = before
            .iter()
            .zip(now)
            .filter(|(before, now)| now.status == "half-installed" && before.status == was);
        let torn: Vec<&str> = torn.map(|(_, now)| now.name.as_str()).collect();
        for name in &torn {
            notes.extend(unpack_again(session, step, changes, name)?);
        }
        if !torn.is_empty() {
            run(session, step, &packages::forget_half_installed(verb, &torn))?;
        }
    }
    // A package whose script always fails cannot be finished, and is taken away all the same.
    match run(session, step, &packages::finish_interrupted()) {
        Ok(()) | Err(StepError::Command { .. }) => Ok(notes),
        other => other.map(|()| notes),
    }
}

/// Unpacks a half-installed package again, from the archive that apt fetched, so that dpkg knows what to take away.
fn unpack_again(
    session: &mut Session<'_>,
    step: &Slug,
    changes: &[PackageChange],
    name: &str,
) -> Result<Option<UndoNote>, StepError> {
    let in_part = || Some(UndoNote::UnpackedInPart { package: name.to_owned() });
    let Some(change) = changes.iter().find(|change| change.name == bare(name)) else { return Ok(in_part()) };
    let Some(archive) = packages::kept_archive(session.machine, &change.name, &change.version)? else {
        return Ok(in_part());
    };
    match run(session, step, &packages::unpack_again(&archive)) {
        Ok(()) => Ok(None),
        Err(StepError::Command { .. }) => Ok(in_part()),
        Err(other) => Err(other),
    }
}

fn take_away(session: &mut Session<'_>, step: &Slug, verb: &str, names: &[&str]) -> Result<(), StepError> {
    let would = told(session.machine, &packages::simulate_removal(verb, names))?;
    packages::check_removal(&would, names).map_err(StepError::NotSo)?;
    run(session, step, &packages::removal(verb, names))
}

fn restore_marks(
    session: &mut Session<'_>,
    step: &Slug,
    before: &[PackageState],
    names: &[&str],
) -> Result<(), StepError> {
    let now = packages::states(session.machine, names)?;
    for (how, auto) in [("auto", true), ("manual", false)] {
        let wrong = before.iter().zip(&now).filter(|(before, now)| {
            let both = before.status == INSTALLED && now.status == INSTALLED;
            both && before.auto == auto && now.auto != auto
        });
        let wrong: Vec<&str> = wrong.map(|(_, now)| now.name.as_str()).collect();
        if !wrong.is_empty() {
            run(session, step, &packages::mark(how, &wrong))?;
        }
    }
    Ok(())
}

fn undo_unit(
    session: &mut Session<'_>,
    step: &Slug,
    unit: &str,
    (enabled, active): (&str, &str),
) -> Result<(), StepError> {
    let wanted = units::state_of(enabled, active);
    let now = (units::is_enabled(session.machine, unit)?, units::is_active(session.machine, unit)?);
    for command in units::commands(unit, &now.0, &now.1, &wanted) {
        run(session, step, &command)?;
    }
    settle(session, step)?;
    let now = (units::is_enabled(session.machine, unit)?, units::is_active(session.machine, unit)?);
    if now.0 == enabled && units::is_running(&now.1) == units::is_running(active) {
        return Ok(());
    }
    Err(StepError::NotSo(format!("{unit} is {} and {}, and was {enabled} and {active}", now.0, now.1)))
}

fn undo_links(
    machine: &mut dyn Machine,
    before: &Network,
    ipv6_off: &[String],
    touches: &[String],
) -> Result<(), StepError> {
    let mut last = Ok(());
    for attempt in 0..LINK_ATTEMPTS {
        let now = machine.network()?;
        let switches = ipv6_switches(machine, before, &now, ipv6_off)?;
        if links::differences(before, &now, touches).is_empty() && switches.is_empty() {
            return Ok(());
        }
        let mut ops = links::restore_ops(before, &now, touches);
        // Before an address of IPv6 is put on a link, and before a link that is to have none comes up.
        let made = ops.iter().take_while(|op| matches!(op, LinkOp::CreateBridge { .. })).count();
        ops.splice(made..made, switches);
        // All at once is quickest. Where something is refused, the rest of the way back is gone all the same.
        last = match attempt {
            0 => machine.change_links(&ops),
            _ => one_by_one(machine, &ops),
        };
    }
    let differs = links::differences(before, &machine.network()?, touches);
    match (differs.first(), last) {
        (None, _) => Ok(()),
        (Some(_), Err(error)) => Err(error.into()),
        (Some(first), Ok(())) => Err(StepError::NotSo(first.clone())),
    }
}

/// Returns the operations that switch IPv6 on or off where it was not so before.
fn ipv6_switches(
    probe: &dyn Probe,
    before: &Network,
    now: &Network,
    ipv6_off: &[String],
) -> Result<Vec<LinkOp>, MachineError> {
    let off_now = snapshot::ipv6_off(probe, now)?;
    let names = before.links.iter().map(|link| &link.name);
    let wrong = names.filter(|name| ipv6_off.contains(name) != off_now.contains(name));
    let switch = |name: &String| LinkOp::SetIpv6 { link: name.clone(), enabled: !ipv6_off.contains(name) };
    Ok(wrong.map(switch).collect())
}

/// Carries out each operation, whatever became of those before it. Returns the first error.
fn one_by_one(machine: &mut dyn Machine, ops: &[LinkOp]) -> Result<(), MachineError> {
    ops.iter().map(|op| machine.change_links(std::slice::from_ref(op))).fold(Ok(()), Result::and)
}

fn undo_boot_variable(
    session: &mut Session<'_>,
    undoing: &Undoing<'_>,
    name: &str,
    (before, set): (Option<&str>, Option<&str>),
    block: &FileSnapshot,
) -> Result<Vec<UndoNote>, StepError> {
    let step = &undoing.step.id;
    let temporary = temporary(&block.path, undoing.run);
    durable::clear(session.machine, &temporary)?;
    let bytes = read_block(session.machine)?;
    let size = match block.there.as_ref().map(|there| &there.entry.kind) {
        Some(Kind::File { size }) => *size,
        _ => grubenv::SIZE,
    };
    let sound = bytes.as_ref().is_some_and(|bytes| grubenv::is_sound(bytes, size));
    if !sound && (block.there.is_some() || bytes.is_some()) {
        // Torn by a crash while grub-editenv wrote it in place, or gone: nothing of it can be believed.
        let now = snapshot::standing(session.machine, &block.path)?;
        put_back(session.machine, session.store, block, now.as_ref(), &temporary)?;
        return Ok(Vec::new());
    }
    let now = bytes.as_ref().and_then(|bytes| grubenv::value(bytes, name));
    let now = now.as_deref();
    // GRUB empties next_entry when it takes it, so an empty value is nobody's change.
    if now != before && now != set && now != Some("") {
        let what = format!("{name} in {} is now `{}`", grubenv::PATH, now.unwrap_or_default());
        return Ok(vec![UndoNote::LeftAsChanged { what }]);
    }
    if now != before {
        run(session, step, &grubenv::command(name, before))?;
    }
    remove_new_block(session.machine, block)?;
    settle(session, step)?;
    let now = read_block(session.machine)?.and_then(|bytes| grubenv::value(&bytes, name));
    if now.as_deref() == before {
        return Ok(Vec::new());
    }
    Err(StepError::NotSo(format!("{name} is {}", now.as_deref().unwrap_or("not set"))))
}

fn read_block(probe: &dyn Probe) -> Result<Option<Vec<u8>>, MachineError> {
    match probe.read(Path::new(grubenv::PATH), snapshot::LARGEST_FILE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a block that `grub-editenv` made where there was none, once it says nothing.
fn remove_new_block(machine: &mut dyn Machine, block: &FileSnapshot) -> Result<(), MachineError> {
    let says_nothing = read_block(machine)?.is_none_or(|bytes| grubenv::variables(&bytes).next().is_none());
    if block.there.is_none() && says_nothing { durable::clear(machine, &block.path) } else { Ok(()) }
}
