//! Rollback: steps undone in reverse, each looked at again afterwards.
//!
//! Decides: which steps are undone and in which order; that one that fails does not stop the others; what is
//! said about each. Never: how one is undone (`undo` does), or that it succeeded because nothing complained.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Lasts, Undo};
use crate::error::EngineError;
use crate::event::Event;
use crate::executor::disarm_guard;
use crate::guard::Session;
use crate::journal::{Cause, End, Journal, Record, UndoNote};
use crate::perform::StepError;
use crate::plan::{Plan, Slug, Stage, Step};
use crate::status::{StageState, StageStatus, Status, StepState};
use crate::store::{Run, RunId};
use crate::undo::{self, Undoing};

/// What is to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole run.
    Run,
    /// One stage, and those after it that stand on it.
    Stage(Slug),
}

/// How the lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grip {
    /// Whoever has it is left alone.
    Lock,
    /// Whoever has it is ended: for the guard. A stage that was confirmed before it got there is left alone.
    Seize,
    /// Whoever has it is left alone: for a guard that tries again what failed. As before, what was confirmed is left.
    Again,
}

impl Grip {
    pub(crate) fn take(self, session: &mut Session<'_>, what: &str) -> Result<(), EngineError> {
        match self {
            Self::Lock | Self::Again => session.store.lock(session.machine, what),
            Self::Seize => session.store.seize(session.machine, what),
        }
    }
}

/// What a rollback did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Steps whose state before is there again, in the order they were undone.
    pub undone: Vec<Slug>,
    /// What a person should know about some of them.
    pub notes: Vec<(Slug, UndoNote)>,
    /// Steps that could not be undone, and why.
    pub failed: Vec<(Slug, String)>,
    /// Why the journal could not be written, where it could not; the machine was restored all the same.
    pub unrecorded: Option<String>,
    /// Whether nothing was done since somebody confirmed, or undid it, before a guard got there.
    #[serde(default)]
    pub left_alone: bool,
}

impl Report {
    /// Returns whether every undo succeeded; what others changed and what the plan called irreversible is
    /// named in the notes.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }

    /// Returns what was left since somebody else had changed it: it is not what it was before the run.
    #[must_use]
    pub fn left(&self) -> Vec<&str> {
        self.notes.iter().filter_map(|(_, note)| note.left_as_changed()).collect()
    }

    /// Returns whether all of it is what it was before.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_clean() && self.left().is_empty()
    }
}

/// Undoes a run, or a stage of it and those after, without a guard around it ([`crate::takeback`] has one). Steps that are undone already are left alone, so a rollback
/// that was interrupted is continued by the next.
///
/// # Errors
/// No such run or stage, a lock that another process has, a journal that is damaged. A step that cannot be
/// undone is no error: it is in the report.
pub fn rollback(
    session: &mut Session<'_>,
    run: &RunId,
    scope: &Scope,
    cause: Cause,
    grip: Grip,
) -> Result<Report, EngineError> {
    let what = format!("undoing run {run}");
    grip.take(session, &what)?;
    let (loaded, mut journal) = session.store.open(session.machine, run)?;
    let first = match scope {
        Scope::Run => 0,
        Scope::Stage(id) => {
            let at = loaded.plan.stages.iter().position(|stage| &stage.id == id);
            at.ok_or_else(|| EngineError::NoSuchStage { run: run.clone(), stage: id.clone() })?
        }
    };
    let stages = loaded.status.stages.get(first..).unwrap_or_default();
    let confirmed = stages.first().is_some_and(|stage| stage.state == StageState::Kept);
    if grip != Grip::Lock && confirmed {
        return Ok(Report { left_alone: true, ..Report::default() });
    }
    undo_open(session, &loaded, &mut journal, first, cause)
}

/// Returns whether a stage without a way back has begun: one of its steps has.
#[must_use]
pub fn is_past_return(planned: &Stage, found: &StageStatus) -> bool {
    planned.no_return.is_some() && found.steps.iter().any(|step| step.state != StepState::Pending)
}

/// Returns the number of the first stage that can be undone where somebody asks for that of all from `first` on: of a run
/// that is past a stage without a way back, what came after that and is not over.
///
/// # Errors
/// [`EngineError::NoReturn`] where that is nothing.
pub fn reach(loaded: &Run, first: usize) -> Result<usize, EngineError> {
    let (planned, found) = (&loaded.plan.stages, &loaded.status.stages);
    let past = planned.iter().zip(found).rposition(|(planned, found)| is_past_return(planned, found));
    let Some(past) = past.filter(|past| first <= *past) else { return Ok(first) };
    let after = past.saturating_add(1);
    // A stage that has begun, and none of its steps, is none: it would end the run, and undo nothing.
    let to_undo =
        |stage: &StageStatus| stage.is_armed() || stage.steps.iter().any(|step| is_to_undo(&step.state));
    let open = found.get(after..).unwrap_or_default().iter().any(to_undo);
    if open && loaded.status.is_unfinished() {
        return Ok(after);
    }
    let stage =
        planned.get(past).map(|stage| (stage.id.clone(), stage.no_return.clone().unwrap_or_default()));
    let (stage, why) = stage.unwrap_or_else(|| (Slug::of("upgrade"), String::new()));
    Err(EngineError::NoReturn { run: loaded.id.clone(), stage, why })
}

/// Undoes what is open of a run from a stage on, and ends the run.
///
/// # Errors
/// [`EngineError::NoReturn`]; what cannot be undone or recorded is in the report.
pub(crate) fn undo_open(
    session: &mut Session<'_>,
    loaded: &Run,
    journal: &mut Journal,
    first: usize,
    cause: Cause,
) -> Result<Report, EngineError> {
    let run = &loaded.id;
    let first = reach(loaded, first)?;
    let stages = loaded.status.stages.get(first..).unwrap_or_default();
    let open: Vec<Slug> =
        stages.iter().filter(|stage| is_open(stage)).map(|stage| stage.id.clone()).collect();
    make_room(session);
    let report = match (open.is_empty(), loaded.status.is_unfinished()) {
        (true, false) => return Ok(Report::default()),
        // All that is left of an interrupted rollback is to say that it is done.
        (true, true) => Report::default(),
        (false, _) => undo_stages(session, &loaded.plan, run, journal, &open, cause),
    };
    finish(session, &loaded.plan, journal, &open, report)
}

/// Returns whether a stage has something left to undo, be it the guard of one that is undone.
pub(crate) fn is_open(stage: &StageStatus) -> bool {
    stage.is_armed() || !matches!(stage.state, StageState::Pending | StageState::Undone)
}

/// Gives the reserved space free: on a full disk not even a record could be written otherwise.
pub(crate) fn make_room(session: &mut Session<'_>) {
    if let Err(error) = session.store.release_reserve(session.machine) {
        session.tell(Event::Warning { text: format!("the reserved space could not be given free: {error}") });
    }
}

/// Ends a run whose stages were undone. One that is stuck stays open, so that the next rollback goes on with it.
pub(crate) fn finish(
    session: &mut Session<'_>,
    plan: &Plan,
    journal: &mut Journal,
    stages: &[Slug],
    mut report: Report,
) -> Result<Report, EngineError> {
    let status = Status::fold(journal.records(), plan);
    let undone = |state: &StageState| matches!(state, StageState::Undone | StageState::Pending);
    let all = status.stages.iter().all(|stage| undone(&stage.state));
    let end = match (stages.first(), status.undone_because) {
        _ if !report.is_clean() => return Ok(report),
        (Some(stage), Some(cause)) if !all => End::Restored { stage: stage.clone(), cause },
        _ => End::RolledBack,
    };
    let unix_seconds = session.machine.clock().unix_seconds;
    let finished = Record::RunFinished { end, unix_seconds };
    record(session, journal, finished, &mut report);
    Ok(report)
}

/// Undoes the named stages of an open run, last first, and disarms the guards of those that are undone whole. Goes on past every error: what
/// cannot be recorded is restored all the same, since every undo looks at the machine and not at the journal.
pub(crate) fn undo_stages(
    session: &mut Session<'_>,
    plan: &Plan,
    run: &RunId,
    journal: &mut Journal,
    stages: &[Slug],
    cause: Cause,
) -> Report {
    let mut report = Report::default();
    make_room(session);
    // Whether a guard was pending counts from before the records of this rollback.
    let status = Status::fold(journal.records(), plan);
    let steps = stages.iter().filter_map(|id| status.stage(id)).flat_map(|stage| &stage.steps);
    let steps = steps.filter(|step| is_to_undo(&step.state)).count();
    session.tell(Event::UndoStarted { stages: stages.to_vec(), why: cause.clone(), steps });
    let unix_seconds = session.machine.clock().unix_seconds;
    let begun = Record::RollbackBegun { stages: stages.to_vec(), why: cause, unix_seconds };
    record(session, journal, begun, &mut report);
    for stage in plan.stages.iter().rev().filter(|stage| stages.contains(&stage.id)) {
        undo_stage(session, run, journal, stage, &status, &mut report);
    }
    report
}

pub(crate) fn is_to_undo(state: &StepState) -> bool {
    !matches!(state, StepState::Pending | StepState::Undone)
}

fn undo_stage(
    session: &mut Session<'_>,
    run: &RunId,
    journal: &mut Journal,
    stage: &Stage,
    status: &Status,
    report: &mut Report,
) {
    let failures = report.failed.len();
    let under_guard = status.stage(&stage.id).is_some_and(StageStatus::is_under_guard);
    for step in stage.steps.iter().rev() {
        undo_step(session, run, journal, step, status, under_guard, report);
    }
    let clean = report.failed.len() == failures;
    record(session, journal, Record::StageUndone { stage: stage.id.clone(), clean }, report);
    // Where something is left to undo, the guard stays, and tries again: later, and at each boot.
    if clean && status.stage(&stage.id).is_some_and(StageStatus::is_armed) {
        disarm_guard(session, journal, run, &stage.id);
    }
}

fn undo_step(
    session: &mut Session<'_>,
    run: &RunId,
    journal: &mut Journal,
    step: &Step,
    status: &Status,
    under_guard: bool,
    report: &mut Report,
) {
    let Some(found) = status.step(&step.id).filter(|found| is_to_undo(&found.state)) else { return };
    let Some(before) = &found.before else { return };
    let ended = step.lasts == Lasts::ThisBoot && found.boot_id != session.machine.clock().boot_id;
    let outcome = match &step.undo {
        Undo::Irreversible { why } => Ok(vec![UndoNote::Irreversible { why: why.clone() }]),
        _ if ended => Ok(vec![UndoNote::EndedWithBoot]),
        _ => {
            let after = found.after.as_ref();
            // Beside a file that stays as others left it, what is generated takes that into account.
            let status = report.is_whole().then_some(status);
            undo::undo(session, &Undoing { run, step, before, after, status, under_guard })
        }
    };
    let outcome = outcome.and_then(|notes| match waits_for(step, report) {
        None => Ok(notes),
        Some(other) => {
            Err(StepError::NotSo(format!("it was run, and has to be run again once `{other}` is undone")))
        }
    });
    let id = || step.id.clone();
    match outcome {
        Ok(notes) => {
            notes.iter().for_each(|note| tell_note(session, &step.id, note));
            session.tell(Event::StepUndone { step: id() });
            report.undone.push(id());
            report.notes.extend(notes.iter().map(|note| (id(), note.clone())));
            record(session, journal, Record::StepUndone { step: id(), notes }, report);
        }
        Err(error) => {
            let why = error.to_string();
            session.tell(Event::UndoFailed { step: id(), why: why.clone() });
            report.failed.push((id(), why.clone()));
            record(session, journal, Record::UndoFailed { step: id(), why }, report);
        }
    }
}

/// What a command makes at the end of an undo is made from all that was undone before it: where something of that is
/// not back, it is made now and once more when the next rollback has brought that back. Returns the first such step.
fn waits_for<'r>(step: &Step, report: &'r Report) -> Option<&'r Slug> {
    let last = matches!(step.action, Action::Run { forward: None, .. });
    report.failed.first().filter(|_| last).map(|(other, _)| other)
}

pub(crate) fn tell_note(session: &mut Session<'_>, step: &Slug, note: &UndoNote) {
    let step = step.clone();
    match note.clone() {
        UndoNote::LeftAsChanged { what } => session.tell(Event::LeftAsChanged { step, what }),
        UndoNote::KeptBeside { path, kept } => session.tell(Event::KeptBeside { step, path, kept }),
        UndoNote::Irreversible { why } => {
            session.tell(Event::Warning { text: format!("step `{step}` cannot be undone: {why}") });
        }
        UndoNote::UnpackedInPart { package } => {
            session.tell(Event::Warning { text: UndoNote::unpacked_in_part(&package) });
        }
        UndoNote::RegeneratedDifferently { path } => {
            let text = format!("{} was generated again and differs from before", path.display());
            session.tell(Event::Warning { text });
        }
        UndoNote::EndedWithBoot => {}
    }
}

/// Records, or remembers why that failed: a restored machine is worth more than a complete journal.
pub(crate) fn record(session: &mut Session<'_>, journal: &mut Journal, record: Record, report: &mut Report) {
    if let Err(error) = journal.append(session.machine, record) {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        report.unrecorded = Some(format!("{error}{}", source.unwrap_or_default()));
    }
}
