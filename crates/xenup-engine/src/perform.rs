//! How each action is done, and whether it was: the forward half of a step.
//!
//! Decides: which primitives an action is made of, and what must be there when it is done.
//! Never: records anything or undoes what it began; the executor does both.

use std::path::{Path, PathBuf};

use xenup_machine::file::{Attributes, Entry, Kind};
use xenup_machine::process::{Command, Query};
use xenup_machine::{MachineError, Probe};

use crate::action::{Action, FileState, LineEdit, PackageChange, PackageState};
use crate::conditions;
use crate::digest::Digest;
use crate::durable;
use crate::event::Event;
use crate::guard::Session;
use crate::plan::{Slug, Step};
use crate::snapshot::{FileSnapshot, Snapshot, Standing};
use crate::store::{RunId, Store};
use crate::{grubenv, links, packages, units, upgrade};

/// Why a step or its undo did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A primitive failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A command ended with another status than 0.
    #[error("`{line}` ended with status {status}: {complaint}")]
    Command {
        /// The command line.
        line: String,
        /// Its status.
        status: i32,
        /// Its last words.
        complaint: String,
    },
    /// The machine is not as it has to be.
    #[error("{0}")]
    NotSo(String),
}

/// Returns the name under which a file is written before it takes its place: hidden, so that no directory of
/// fragments reads it, and the same for every attempt of a run, so that the next one clears it.
#[must_use]
pub fn temporary(path: &Path, run: &RunId) -> PathBuf {
    let name = Digest::of(path.as_os_str().as_encoded_bytes());
    durable::parent(path).join(format!(".xenup-{run}-{}", name.short()))
}

/// Runs a command, its lines told as events.
pub(crate) fn run(session: &mut Session<'_>, step: &Slug, command: &Command) -> Result<(), StepError> {
    let events = &mut *session.events;
    let mut tell = |text: &str| events(Event::Line { step: step.clone(), text: text.to_owned() });
    let output = session.machine.run(command, &mut tell)?;
    if output.success() {
        return Ok(());
    }
    Err(StepError::Command { line: command.line(), status: output.status, complaint: output.complaint() })
}

/// Returns what apt says that it would do.
pub(crate) fn told(probe: &dyn Probe, question: &Query) -> Result<String, StepError> {
    let would = probe.query(question)?;
    if would.success() {
        return Ok(would.text());
    }
    let complaint = would.complaint();
    Err(StepError::Command { line: question.line(), status: would.status, complaint })
}

/// Makes durable what a command wrote: most of them leave that to chance.
pub(crate) fn settle(session: &mut Session<'_>, step: &Slug) -> Result<(), StepError> {
    run(session, step, &packages::sync())
}

/// Checks what a step needs before anything is recorded or done.
///
/// # Errors
/// What differs from what the plan was made from, in words.
pub fn check_before(probe: &dyn Probe, step: &Step) -> Result<(), String> {
    for condition in &step.needs {
        conditions::check(probe, condition)
            .map_err(|found| format!("it needs that {}, but {found}", conditions::describe(condition)))?;
    }
    match &step.action {
        Action::File { path, state, seen } => check_seen(probe, path, state, seen.as_ref()),
        _ => Ok(()),
    }
}

/// Checks that a path is what the plan saw.
pub(crate) fn check_seen(
    probe: &dyn Probe,
    path: &Path,
    state: &FileState,
    seen: Option<&Digest>,
) -> Result<(), String> {
    let there = crate::snapshot::standing(probe, path).map_err(|error| error.to_string())?;
    let shown = path.display();
    if let FileState::Edited { lines } = state {
        return check_lines(probe, path, there.as_ref(), lines);
    }
    match (&there, seen) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(format!("{shown} has appeared since the plan was made")),
        (None, Some(_)) => Err(format!("{shown} has gone since the plan was made")),
        (Some(there), Some(seen)) => {
            check_kind(&there.entry, state).map_err(|what| format!("{shown} {what}"))?;
            if there.seen() == *seen {
                return Ok(());
            }
            Err(match &there.entry.kind {
                Kind::Symlink { target } => {
                    format!("{shown} is a symbolic link to {}: the plan has to name that", target.display())
                }
                _ => format!("{shown} has changed since the plan was made"),
            })
        }
    }
}

/// A file that is edited was not known when the plan was made; its lines say what was expected.
fn check_lines(
    probe: &dyn Probe,
    path: &Path,
    there: Option<&Standing>,
    lines: &[LineEdit],
) -> Result<(), String> {
    if !there.is_some_and(|there| matches!(there.entry.kind, Kind::File { .. })) {
        return Err(format!("{} is no file", path.display()));
    }
    let bytes = probe.read(path, crate::snapshot::LARGEST_FILE).map_err(|error| error.to_string())?;
    edited(path, lines, &bytes).map(drop)
}

/// Returns the text of an edited file.
fn edited(path: &Path, lines: &[LineEdit], bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    LineEdit::apply_all(lines, text)
        .ok_or_else(|| format!("{} does not have each line to be edited exactly once", path.display()))
}

fn check_kind(entry: &Entry, state: &FileState) -> Result<(), &'static str> {
    match (&entry.kind, state) {
        (Kind::Special, _) => Err("is neither a file, nor a directory, nor a link"),
        (Kind::Dir, FileState::Text { .. } | FileState::Link { .. }) => Err("is a directory"),
        (Kind::File { .. } | Kind::Symlink { .. }, FileState::Dir { .. }) => Err("is no directory"),
        _ => Ok(()),
    }
}

/// Does the action of a step.
///
/// # Errors
/// The first thing that failed; what was done until then is for an undo.
pub fn perform(
    session: &mut Session<'_>,
    run_id: &RunId,
    step: &Step,
    before: &Snapshot,
) -> Result<(), StepError> {
    match (&step.action, before) {
        (Action::File { path, state, .. }, Snapshot::File(before)) => {
            put(session, path, state, before, &temporary(path, run_id))
        }
        (Action::Packages { changes }, Snapshot::Packages { packages }) => {
            install(session, &step.id, changes, packages)
        }
        (Action::Upgrade { changes, removes, only_fetch: true }, _) => {
            fetch(session, &step.id, changes, removes)
        }
        (Action::Upgrade { changes, removes, .. }, _) => upgrade(session, &step.id, changes, removes),
        (Action::Unit { unit, state }, Snapshot::Unit { enabled, active }) => {
            for command in units::commands(unit, enabled, active, state) {
                run(session, &step.id, &command)?;
            }
            settle(session, &step.id)
        }
        (Action::Links { ops, .. }, _) => Ok(session.machine.change_links(ops)?),
        (Action::BootVariable { name, value }, _) => {
            run(session, &step.id, &grubenv::command(name, value.as_deref()))?;
            settle(session, &step.id)
        }
        (Action::Run { forward: Some(command), .. }, _) => {
            run(session, &step.id, command)?;
            settle(session, &step.id)
        }
        (Action::Run { forward: None, .. }, _) => Ok(()),
        _ => Err(StepError::NotSo("what was recorded before it belongs to another action".to_owned())),
    }
}

fn put(
    session: &mut Session<'_>,
    path: &Path,
    state: &FileState,
    before: &FileSnapshot,
    temporary: &Path,
) -> Result<(), StepError> {
    let text = text_after(session.machine, session.store, state, before)?;
    let machine = &mut *session.machine;
    if !matches!(state, FileState::Absent) {
        for parent in &before.missing_parents {
            durable::make_dir(machine, parent, &Attributes::root(0o755))?;
        }
    }
    let attributes = attributes_after(state, before.there.as_ref());
    match state {
        FileState::Text { .. } | FileState::Edited { .. } => {
            durable::put_file(machine, path, text.as_bytes(), &attributes, temporary)
        }
        // Made anew it would have another time, which no undo gives back.
        FileState::Link { target } if is_link(before.there.as_ref(), target, &attributes) => {
            durable::sync_parent(machine, path)
        }
        FileState::Link { target } => durable::put_link(machine, path, target, &attributes, temporary),
        FileState::Dir { .. } => durable::make_dir(machine, path, &attributes),
        FileState::Absent => match before.there.as_ref().map(|there| &there.entry.kind) {
            Some(Kind::Dir) => {
                machine.remove_dir(path)?;
                durable::sync_parent(machine, path)
            }
            _ => durable::clear(machine, path),
        },
    }?;
    Ok(())
}

/// Returns the text a file step leaves; empty where it leaves no file.
fn text_after(
    probe: &dyn Probe,
    store: &Store,
    state: &FileState,
    before: &FileSnapshot,
) -> Result<String, StepError> {
    match (state, before.there.as_ref().and_then(|there| there.digest.as_ref())) {
        (FileState::Text { text, .. }, _) => Ok(text.clone()),
        (FileState::Edited { lines }, Some(digest)) => {
            edited(&before.path, lines, &store.object(probe, digest)?).map_err(StepError::NotSo)
        }
        (FileState::Edited { .. }, None) => {
            Err(StepError::NotSo(format!("{} is no file", before.path.display())))
        }
        _ => Ok(String::new()),
    }
}

/// Whether a link to that target stands there already, with that owner.
fn is_link(there: Option<&Standing>, to: &Path, wanted: &Attributes) -> bool {
    there.is_some_and(|there| {
        let has = &there.entry.attributes;
        matches!(&there.entry.kind, Kind::Symlink { target } if target == to)
            && (has.uid, has.gid) == (wanted.uid, wanted.gid)
            && has.xattrs == wanted.xattrs
    })
}

/// Attributes of what was there are kept, but for the time; something new belongs to root.
fn attributes_after(state: &FileState, there: Option<&Standing>) -> Attributes {
    let mode = match state {
        FileState::Text { mode, .. } | FileState::Dir { mode } => *mode,
        FileState::Edited { .. } | FileState::Link { .. } | FileState::Absent => 0o777,
    };
    match there {
        Some(there) if !matches!(there.entry.kind, Kind::Symlink { .. }) => {
            Attributes { mtime: None, ..there.entry.attributes.clone() }
        }
        _ => Attributes::root(mode),
    }
}

/// Returns what a file step leaves, as far as it can be told beforehand (not the time).
///
/// # Errors
/// What the file was before cannot be read from the store, where it has to be edited.
pub fn planned(
    probe: &dyn Probe,
    store: &Store,
    state: &FileState,
    before: &FileSnapshot,
) -> Result<Option<Standing>, StepError> {
    let attributes = attributes_after(state, before.there.as_ref());
    let (kind, digest) = match state {
        FileState::Absent => return Ok(None),
        FileState::Text { .. } | FileState::Edited { .. } => {
            let text = text_after(probe, store, state, before)?;
            (Kind::File { size: text.len() as u64 }, Some(Digest::of(text.as_bytes())))
        }
        FileState::Dir { .. } => (Kind::Dir, None),
        FileState::Link { target } => (Kind::Symlink { target: target.clone() }, None),
    };
    Ok(Some(Standing { entry: Entry { kind, attributes, device: 0 }, digest }))
}

fn install(
    session: &mut Session<'_>,
    step: &Slug,
    changes: &[PackageChange],
    before: &[PackageState],
) -> Result<(), StepError> {
    let would = told(session.machine, &packages::simulate_install(changes))?;
    packages::check_install(&would, changes, before).map_err(StepError::NotSo)?;
    for command in packages::install(changes) {
        run(session, step, &command)?;
    }
    settle(session, step)
}

/// Fetches what an upgrade needs, where apt would do exactly what is listed.
fn fetch(
    session: &mut Session<'_>,
    step: &Slug,
    changes: &[PackageChange],
    removes: &[String],
) -> Result<(), StepError> {
    let would = told(session.machine, &upgrade::simulate(changes))?;
    upgrade::check_listed(&would, changes, removes).map_err(StepError::NotSo)?;
    run(session, step, &upgrade::fetch(changes))?;
    settle(session, step)
}

/// Upgrades, from whatever state an earlier attempt has left.
fn upgrade(
    session: &mut Session<'_>,
    step: &Slug,
    changes: &[PackageChange],
    removes: &[String],
) -> Result<(), StepError> {
    // In the middle of an upgrade some packages wait for others that are not unpacked yet: apt sees to those.
    match run(session, step, &packages::finish_interrupted()) {
        Ok(()) | Err(StepError::Command { .. }) => {}
        other => return other,
    }
    for (question, command) in
        [(upgrade::simulate_mend(), upgrade::mend()), (upgrade::simulate(changes), upgrade::upgrade(changes))]
    {
        let would = told(session.machine, &question)?;
        upgrade::check_removals(&would, removes).map_err(StepError::NotSo)?;
        run(session, step, &command)?;
    }
    settle(session, step)
}

/// Checks that what is there after a step is what it was to leave.
///
/// # Errors
/// What is there instead, in words.
pub fn check_after(
    probe: &dyn Probe,
    store: &Store,
    step: &Step,
    before: &Snapshot,
    after: &Snapshot,
) -> Result<(), String> {
    match (&step.action, before, after) {
        (Action::File { path, state, .. }, Snapshot::File(before), Snapshot::File(after)) => {
            let planned = planned(probe, store, state, before).map_err(|error| error.to_string())?;
            let as_planned = match (planned, &after.there) {
                (None, None) => true,
                (Some(planned), Some(there)) => there.same_but_for_time(&planned),
                _ => false,
            };
            if !as_planned {
                return Err(format!("{} is not what was written", path.display()));
            }
        }
        (Action::Packages { changes }, _, Snapshot::Packages { packages }) => {
            check_installed(changes, packages)?;
        }
        (Action::Upgrade { changes, only_fetch, .. }, _, Snapshot::Packages { packages }) => {
            if !only_fetch {
                check_upgraded(probe, changes, packages)?;
            }
        }
        (Action::Unit { unit, state }, _, Snapshot::Unit { enabled, active }) => {
            if !units::meets(enabled, active, state) {
                return Err(format!("{unit} is {enabled} and {active}"));
            }
        }
        (Action::Links { ops, .. }, _, Snapshot::Links { network, .. }) => {
            if let Some(first) = links::unmet(ops, network).first() {
                return Err(first.clone());
            }
        }
        (Action::BootVariable { name, value: wanted }, _, Snapshot::BootVariable { value, .. }) => {
            if value != wanted {
                return Err(format!("{name} is {}", value.as_deref().unwrap_or("not set")));
            }
        }
        (Action::Run { .. }, _, Snapshot::Run { .. }) => {}
        _ => return Err("what was recorded after it belongs to another action".to_owned()),
    }
    for condition in &step.leaves {
        conditions::check(probe, condition).map_err(|found| {
            format!("it was to leave that {}, but {found}", conditions::describe(condition))
        })?;
    }
    Ok(())
}

/// Nothing is half done, and apt has nothing left to do. Versions are not compared with those that were listed: somebody
/// may have helped by hand, and what the stage checks says whether the machine is what it has to be.
fn check_upgraded(
    probe: &dyn Probe,
    changes: &[PackageChange],
    states: &[PackageState],
) -> Result<(), String> {
    let words = |error: StepError| error.to_string();
    if let Some(state) = states.iter().find(|state| packages::is_half_done(state)) {
        return Err(format!("package {} is {}", state.name, state.status));
    }
    upgrade::check_nothing_left(&told(probe, &upgrade::simulate(changes)).map_err(words)?)
}

fn check_installed(changes: &[PackageChange], states: &[PackageState]) -> Result<(), String> {
    for (change, state) in changes.iter().zip(states) {
        if state.status != packages::INSTALLED {
            return Err(format!("package {} is {}", change.name, state.status));
        }
        if state.version != change.version {
            return Err(format!("package {} has version {}", change.name, state.version));
        }
    }
    Ok(())
}
