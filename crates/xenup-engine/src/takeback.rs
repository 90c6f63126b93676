//! A rollback of what was confirmed: the network goes back under a guard of its own, and is confirmed like any change.
//!
//! Decides: which stage needs that and whether it can be had; that such a stage is undone first and alone, so that
//! nothing which its return needs is gone; what comes back, and in which order, where nobody confirms.
//! Never: takes away what cannot be brought back while somebody may still be locked out. How a step is undone or
//! brought back is [`undo`]'s; when, after a deadline or a reboot, is [`crate::boot::decide`]'s.
//!
//! Order, so that a crash anywhere is safe: the journal says `take-back-begun` with the deadline and is durable → the
//! keeper is armed → of each step, newest first: what is there now is kept and recorded, then it is undone → the
//! journal says `stage-taken-back` → somebody confirms, and the rest of the run is undone; or the guard reads the
//! journal, and brings back what was kept, oldest first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_machine::{MachineError, Probe};

use crate::action::{Action, Lasts};
use crate::error::EngineError;
use crate::event::Event;
use crate::executor::{self, disarm_guard};
use crate::guard::Session;
use crate::journal::{Cause, End, Journal, Moment, Record, UndoNote};
use crate::links;
use crate::plan::{Plan, Risk, Slug, Stage, Step, Watch};
use crate::rollback::{self, Grip, Report, is_open, is_to_undo, make_room, record, tell_note};
use crate::snapshot::{self, FileSnapshot, Snapshot, Standing};
use crate::status::{Kept, StageState, StageStatus, Status, StepState, StepStatus};
use crate::store::{Run, RunId};
use crate::undo::{self, Undoing};

/// What became of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The run was undone, as far as the report says.
    RolledBack(Report),
    /// A stage is undone, and its guard brings it back unless somebody confirms.
    AwaitingConfirm {
        /// The stage.
        stage: Slug,
        /// Seconds that are left.
        seconds: u64,
        /// What was undone.
        report: Report,
    },
    /// What was undone of a stage is there again, as far as the report says.
    BroughtBack {
        /// The stage.
        stage: Slug,
        /// Why.
        cause: Cause,
        /// What came back.
        report: Report,
    },
}

/// How the rollback of a run keeps the way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Nothing that was confirmed and can cut the way in is undone.
    NotNeeded,
    /// This stage is undone first, under a guard.
    Guarded {
        /// The stage.
        stage: Slug,
    },
    /// This stage can cut the way in, and could not be brought back.
    Impossible {
        /// The stage.
        stage: Slug,
        /// Why it could not.
        why: String,
    },
}

/// Returns how the rollback of a run keeps the way in; of several stages, for the one that is undone next.
#[must_use]
pub fn protection(plan: &Plan, status: &Status) -> Protection {
    let confirmed = plan.stages.iter().rev().filter(|stage| needs_guard(stage, status));
    let mut impossible = None;
    for stage in confirmed {
        match in_the_way(plan, status, stage) {
            None => return Protection::Guarded { stage: stage.id.clone() },
            Some(why) => {
                impossible.get_or_insert(Protection::Impossible { stage: stage.id.clone(), why });
            }
        }
    }
    impossible.unwrap_or(Protection::NotNeeded)
}

/// Returns whether a stage was confirmed, and its undo can cut the way in.
fn needs_guard(stage: &Stage, status: &Status) -> bool {
    let Some(found) = status.stage(&stage.id) else { return false };
    let kept = found.steps.iter().any(|step| step.kept.is_some());
    let confirmed = match found.state {
        StageState::Kept => true,
        StageState::Stuck => kept,
        _ => found.is_being_taken_back(),
    };
    let cuts = open_steps(stage, status).any(|step| step.risks.contains(&Risk::CutsNetwork));
    confirmed && cuts && stage.guard.as_ref().is_some_and(|guard| guard.watch == Watch::Network)
}

fn open_steps<'a>(stage: &'a Stage, status: &'a Status) -> impl Iterator<Item = &'a Step> {
    let open = |step: &&Step| status.step(&step.id).is_some_and(|found| is_to_undo(&found.state));
    stage.steps.iter().filter(open)
}

/// Returns why a stage could not be brought back once it is undone, or not be undone before the others.
fn in_the_way(plan: &Plan, status: &Status, stage: &Stage) -> Option<String> {
    for step in open_steps(stage, status) {
        match &step.action {
            Action::Run { once: true, .. } => {
                return Some(format!("step `{}` cannot be done a second time", step.id));
            }
            Action::Packages { .. } | Action::Upgrade { .. } => {
                return Some(format!("step `{}` installed packages", step.id));
            }
            _ => {}
        }
    }
    let later = plan.stages.iter().skip_while(|other| other.id != stage.id).skip(1);
    for other in later.flat_map(|later| open_steps(later, status)) {
        if let Some(step) = open_steps(stage, status).find(|step| meet(step, other, status)) {
            return Some(format!("step `{}` stands on step `{}`", other.id, step.id));
        }
    }
    None
}

/// Returns whether two steps reach the same thing, so that the later one has to be undone before the earlier one.
fn meet(one: &Step, later: &Step, status: &Status) -> bool {
    let (mine, theirs) = (paths(one, status), paths(later, status));
    let crossing = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    if mine.iter().any(|a| theirs.iter().any(|b| crossing(a, b))) {
        return true;
    }
    match (&one.action, &later.action) {
        (Action::Unit { unit, .. }, Action::Unit { unit: other, .. }) => unit == other,
        (Action::Links { touches, .. }, Action::Links { touches: others, .. }) => {
            touches.iter().any(|link| others.contains(link))
        }
        // They share one block, which the first of them may have made.
        (Action::BootVariable { .. }, Action::BootVariable { .. }) => true,
        _ => false,
    }
}

/// Returns the paths a step reaches; directories that it made for them stand for all below.
fn paths(step: &Step, status: &Status) -> Vec<PathBuf> {
    match &step.action {
        Action::File { path, .. } => {
            let before = status.step(&step.id).and_then(|found| found.before.as_ref());
            let made = match before {
                Some(Snapshot::File(before)) => before.missing_parents.first().cloned(),
                _ => None,
            };
            vec![made.unwrap_or_else(|| path.clone())]
        }
        Action::Run { generates, .. } => generates.clone(),
        _ => Vec::new(),
    }
}

/// Undoes a run that somebody asked to undo: first, under a guard and up to its confirm, what was confirmed and can cut
/// the way in; then the rest. A rollback that was interrupted is continued by the next.
///
/// # Errors
/// No such run, a lock that another process has, a journal that is damaged or cannot be written before anything was
/// undone. A step that cannot be undone is no error: it is in the report.
pub fn roll_back(
    session: &mut Session<'_>,
    run: &RunId,
    deadline_seconds: u64,
) -> Result<Outcome, EngineError> {
    session.store.lock(session.machine, &format!("undoing run {run}"))?;
    let (loaded, journal) = session.store.open(session.machine, run)?;
    proceed(session, &loaded, journal, Some(deadline_seconds))
}

/// Goes on with a rollback of which a part is or was under a guard, for [`executor::resume`].
pub(crate) fn go_on(
    session: &mut Session<'_>,
    loaded: &Run,
    journal: Journal,
) -> Result<executor::Outcome, EngineError> {
    let run = loaded.id.clone();
    let first = loaded.plan.stages.first().map(|stage| stage.id.clone());
    Ok(match proceed(session, loaded, journal, None)? {
        Outcome::AwaitingConfirm { stage, seconds, .. } => {
            executor::Outcome::AwaitingConfirm { run, stage, deadline_seconds: seconds }
        }
        Outcome::RolledBack(report) | Outcome::BroughtBack { report, .. } if !report.is_clean() => {
            executor::Outcome::Stuck { run, report }
        }
        Outcome::BroughtBack { stage, cause, report } => {
            executor::Outcome::BroughtBack { run, stage, cause, report }
        }
        Outcome::RolledBack(report) => match first {
            Some(stage) => executor::Outcome::Restored { run, stage, cause: Cause::Asked, report },
            None => executor::Outcome::NothingToDo,
        },
    })
}

/// Without a deadline, that of the plan's own guard counts.
fn proceed(
    session: &mut Session<'_>,
    loaded: &Run,
    journal: Journal,
    deadline_seconds: Option<u64>,
) -> Result<Outcome, EngineError> {
    let mut work = Work {
        session,
        plan: &loaded.plan,
        run: loaded.id.clone(),
        status: loaded.status.clone(),
        journal,
        report: Report::default(),
    };
    if let Some(pending) = loaded.status.being_taken_back()
        && let Some(outcome) = work.pending(pending)
    {
        return Ok(outcome);
    }
    refuse_changed(work.session.machine, &loaded.plan, &loaded.status)?;
    let Protection::Guarded { stage } = protection(&loaded.plan, &loaded.status) else {
        let Work { session, mut journal, .. } = work;
        return rollback::undo_open(session, loaded, &mut journal, 0, Cause::Asked).map(Outcome::RolledBack);
    };
    // The reserved space stays reserved: where the disk is full, it is the return that has to have it.
    if let Some(stuck) = work.undo_unconfirmed(&stage)? {
        return Ok(Outcome::RolledBack(stuck));
    }
    let planned = loaded.plan.stages.iter().find(|planned| planned.id == stage);
    let planned = planned.ok_or(EngineError::NoSuchStage { run: loaded.id.clone(), stage })?;
    let own = planned.guard.as_ref().map_or(0, |guard| guard.deadline_seconds);
    work.take_back(planned, deadline_seconds.unwrap_or(own))
}

/// Refuses to undo a confirmed stage that can cut the way in where somebody has changed one of its files since: theirs
/// would be left, and the rest would go.
fn refuse_changed(probe: &dyn Probe, plan: &Plan, status: &Status) -> Result<(), EngineError> {
    let cuts = |stage: &Stage| {
        let kept = status.stage(&stage.id).is_some_and(|found| found.state == StageState::Kept);
        kept && open_steps(stage, status).any(|step| step.risks.contains(&Risk::CutsNetwork))
    };
    // Of several steps that wrote one file, the last says what was left there. What lasts for one boot is written by its
    // owner at the next.
    let mut last: BTreeMap<&Path, (&Stage, &StepStatus)> = BTreeMap::new();
    for stage in &plan.stages {
        for step in open_steps(stage, status) {
            if let (Action::File { path, .. }, Lasts::OnDisk, Some(found)) =
                (&step.action, step.lasts, status.step(&step.id))
            {
                last.insert(path, (stage, found));
            }
        }
    }
    for stage in plan.stages.iter().filter(|stage| cuts(stage)) {
        let mut files = Vec::new();
        for (_, found) in last.values().filter(|(of, _)| of.id == stage.id) {
            files.extend(changed(probe, found).map_err(EngineError::Probe)?);
        }
        if !files.is_empty() {
            return Err(EngineError::ChangedSince { stage: stage.id.clone(), files });
        }
    }
    Ok(())
}

/// Returns what stood at the file of a step before, where what stands there now is neither that nor what it left.
fn changed(probe: &dyn Probe, found: &StepStatus) -> Result<Option<FileSnapshot>, MachineError> {
    let (Some(Snapshot::File(before)), Some(Snapshot::File(after))) = (&found.before, &found.after) else {
        return Ok(None);
    };
    let now = snapshot::standing(probe, &before.path)?;
    let is = |there: &Option<Standing>| undo::same(now.as_ref(), there.as_ref());
    Ok((!is(&before.there) && !is(&after.there)).then(|| before.clone()))
}

/// Brings a stage back that was undone under a guard, for whoever woke to do so. One whose undo was confirmed in the
/// meantime is left alone.
///
/// # Errors
/// No such run, the lock cannot be taken, a journal that is damaged. What cannot be brought back is in the report.
pub fn bring_back(
    session: &mut Session<'_>,
    run: &RunId,
    stage: &Slug,
    cause: Cause,
    grip: Grip,
) -> Result<Report, EngineError> {
    let what = format!("bringing back stage {stage} of run {run}");
    grip.take(session, &what)?;
    let (loaded, journal) = session.store.open(session.machine, run)?;
    let planned = loaded.plan.stages.iter().find(|planned| &planned.id == stage);
    let planned =
        planned.ok_or_else(|| EngineError::NoSuchStage { run: run.clone(), stage: stage.clone() })?;
    let open = |stage: &StageStatus| stage.is_being_taken_back() || stage.is_return_stuck();
    if !loaded.status.stage(stage).is_some_and(open) {
        return Ok(Report { left_alone: true, ..Report::default() });
    }
    let (plan, status) = (&loaded.plan, loaded.status.clone());
    let mut work = Work { session, plan, run: run.clone(), status, journal, report: Report::default() };
    work.bring_back(planned, cause);
    Ok(work.report)
}

struct Work<'w, 's> {
    session: &'w mut Session<'s>,
    plan: &'w Plan,
    run: RunId,
    /// The fold of the journal, kept up with each record.
    status: Status,
    journal: Journal,
    report: Report,
}

impl Work<'_, '_> {
    fn append(&mut self, record: Record) -> Result<(), EngineError> {
        self.journal.append(self.session.machine, record)?;
        if let Some(last) = self.journal.records().last() {
            self.status.take(last);
        }
        Ok(())
    }

    /// Does what a stage asks for whose undo is under way: waits, or brings it back. `None` where its undo goes on.
    fn pending(&mut self, pending: &StageStatus) -> Option<Outcome> {
        let now = self.session.machine.clock();
        let guard = pending.guard.as_ref()?;
        let deadline = guard.deadline_ns.filter(|_| guard.boot_id == now.boot_id);
        let left = deadline.map_or(0, |deadline| deadline.saturating_sub(now.boottime_ns)) / 1_000_000_000;
        let in_time = deadline.is_some_and(|deadline| now.boottime_ns < deadline);
        let cause = match pending.state {
            StageState::Returning => self.status.undone_because.clone().unwrap_or(Cause::Interrupted),
            _ if guard.boot_id != now.boot_id => Cause::Rebooted,
            _ if !in_time => Cause::NotConfirmed,
            StageState::TakenBack => {
                let stage = pending.id.clone();
                self.session.tell(Event::AwaitingConfirm { stage: stage.clone(), seconds: left });
                return Some(Outcome::AwaitingConfirm { stage, seconds: left, report: Report::default() });
            }
            _ => return None,
        };
        let plan = self.plan;
        let planned = plan.stages.iter().find(|planned| planned.id == pending.id)?;
        Some(self.bring_back(planned, cause))
    }

    /// Undoes the stages after one that are not confirmed, as ever: their guards would be in this one's way. Returns
    /// the report where one of them is stuck.
    fn undo_unconfirmed(&mut self, stage: &Slug) -> Result<Option<Report>, EngineError> {
        let later = self.status.stages.iter().skip_while(|found| &found.id != stage).skip(1);
        let open = later.filter(|found| is_open(found) && found.state != StageState::Kept);
        let open: Vec<Slug> = open.map(|found| found.id.clone()).collect();
        if open.is_empty() {
            return Ok(None);
        }
        let (session, run) = (&mut *self.session, &self.run);
        let report = rollback::undo_stages(session, self.plan, run, &mut self.journal, &open, Cause::Asked);
        self.status = Status::fold(self.journal.records(), self.plan);
        if report.is_clean() {
            self.report = report;
            return Ok(None);
        }
        rollback::finish(session, self.plan, &mut self.journal, &open, report).map(Some)
    }

    /// Undoes a stage under a guard.
    fn take_back(&mut self, stage: &Stage, seconds: u64) -> Result<Outcome, EngineError> {
        let clock = self.session.machine.clock();
        let begun = Record::TakeBackBegun {
            stage: stage.id.clone(),
            boot_id: clock.boot_id,
            deadline_ns: after(clock.boottime_ns, seconds),
            unix_seconds: clock.unix_seconds,
        };
        // What cannot be recorded cannot be brought back: until here nothing was changed.
        self.append(begun)?;
        let steps = open_steps(stage, &self.status).count();
        self.session.tell(Event::TakeBackStarted { stage: stage.id.clone(), steps, seconds });
        if let Err(why) = self.arm(stage) {
            return Ok(self.bring_back(stage, Cause::GuardFailed { why }));
        }
        for step in stage.steps.iter().rev() {
            if let Err(why) = self.take_step_back(step) {
                self.session.tell(Event::UndoFailed { step: step.id.clone(), why: why.clone() });
                return Ok(self.bring_back(stage, Cause::StepFailed { step: step.id.clone(), why }));
            }
        }
        // The time to confirm counts from here, so that slow steps do not eat it up.
        let at = Moment::of(&self.session.machine.clock());
        let deadline_ns = after(at.boottime_ns, seconds);
        let taken = Record::StageTakenBack { stage: stage.id.clone(), at, deadline_ns };
        if let Err(error) = self.append(taken) {
            let cause = Cause::StepFailed { step: stage.id.clone(), why: executor::with_source(&error) };
            return Ok(self.bring_back(stage, cause));
        }
        self.session.tell(Event::AwaitingConfirm { stage: stage.id.clone(), seconds });
        let report = std::mem::take(&mut self.report);
        Ok(Outcome::AwaitingConfirm { stage: stage.id.clone(), seconds, report })
    }

    fn arm(&mut self, stage: &Stage) -> Result<(), String> {
        let guard = self.status.stage(&stage.id).and_then(|found| found.guard.clone());
        let guard = guard.ok_or_else(|| "the journal does not know of it".to_owned())?;
        let (session, run) = (&mut *self.session, &self.run);
        session.keeper.arm(session.machine, run, &stage.id, &guard).map_err(|error| error.to_string())
    }

    /// Keeps what is there and records it, unless that was done before an interruption; then undoes the step.
    fn take_step_back(&mut self, step: &Step) -> Result<(), String> {
        let Some(found) = self.status.step(&step.id).filter(|found| is_to_undo(&found.state)) else {
            return Ok(());
        };
        if found.state == StepState::TakenBack {
            return Ok(());
        }
        let Some(before) = found.before.clone() else { return Ok(()) };
        if found.kept.is_none() {
            self.keep(step)?;
        }
        let Some(found) = self.status.step(&step.id).cloned() else { return Ok(()) };
        let Some(kept) = &found.kept else { return Ok(()) };
        let (before, after) = target(step, before, &found, kept);
        let undoing = Undoing {
            run: &self.run,
            step,
            before: &before,
            after: after.as_ref(),
            status: None,
            under_guard: false,
        };
        let notes = match is_gone(step, &found, kept) {
            true => vec![UndoNote::EndedWithBoot],
            false => undo::undo(self.session, &undoing).map_err(|error| error.to_string())?,
        };
        self.undone(step, notes, |step, notes| Record::StepTakenBack { step, notes })
    }

    fn keep(&mut self, step: &Step) -> Result<(), String> {
        let captured =
            snapshot::capture(self.session.machine, &step.action).map_err(|error| error.to_string())?;
        let store = self.session.store;
        let session = &mut *self.session;
        for bytes in &captured.contents {
            store.keep(session.machine, bytes).map_err(|error| executor::with_source(&error))?;
        }
        let boot_id = session.machine.clock().boot_id;
        let keeping = Record::StepTakingBack { step: step.id.clone(), boot_id, now: captured.snapshot };
        self.append(keeping).map_err(|error| executor::with_source(&error))
    }

    fn undone(
        &mut self,
        step: &Step,
        notes: Vec<UndoNote>,
        record: impl FnOnce(Slug, Vec<UndoNote>) -> Record,
    ) -> Result<(), String> {
        notes.iter().for_each(|note| tell_note(self.session, &step.id, note));
        self.session.tell(Event::StepUndone { step: step.id.clone() });
        self.report.undone.push(step.id.clone());
        self.report.notes.extend(notes.iter().map(|note| (step.id.clone(), note.clone())));
        self.append(record(step.id.clone(), notes)).map_err(|error| executor::with_source(&error))
    }

    /// Brings back what was undone of a stage, first step first, disarms its guard, and ends the run where it was. Goes
    /// on past every error, and past a journal that cannot be written: each step looks at the machine.
    fn bring_back(&mut self, stage: &Stage, cause: Cause) -> Outcome {
        make_room(self.session);
        self.report = Report::default();
        self.session.tell(Event::ReturnStarted { stage: stage.id.clone(), why: cause.clone() });
        let unix_seconds = self.session.machine.clock().unix_seconds;
        let begun = Record::ReturnBegun { stage: stage.id.clone(), why: cause.clone(), unix_seconds };
        self.note(begun);
        for step in &stage.steps {
            self.bring_step_back(step);
        }
        let clean = self.report.is_clean();
        self.note(Record::StageReturned { stage: stage.id.clone(), clean });
        if clean {
            disarm_guard(self.session, &mut self.journal, &self.run, &stage.id);
            let unix_seconds = self.session.machine.clock().unix_seconds;
            let end = End::BroughtBack { stage: stage.id.clone(), cause: cause.clone() };
            self.note(Record::RunFinished { end, unix_seconds });
            // The run can still be undone: it needs its room for that again. A disk that is full has none to give.
            let _ = self.session.store.reserve_again(self.session.machine);
        }
        let report = self.report.clone();
        Outcome::BroughtBack { stage: stage.id.clone(), cause, report }
    }

    fn note(&mut self, entry: Record) {
        record(self.session, &mut self.journal, entry, &mut self.report);
    }

    fn bring_step_back(&mut self, step: &Step) {
        let Some(found) = self.status.step(&step.id).cloned() else { return };
        let (Some(kept), Some(before)) = (&found.kept, found.before.clone()) else { return };
        let ended = step.lasts == Lasts::ThisBoot && kept.boot_id != self.session.machine.clock().boot_id;
        let ended = ended || is_gone(step, &found, kept);
        let (undone, _) = target(step, before, &found, kept);
        let undoing = Undoing {
            run: &self.run,
            step,
            before: &kept.now,
            after: Some(&undone),
            status: None,
            under_guard: true,
        };
        let outcome = match ended {
            true => Ok(vec![UndoNote::EndedWithBoot]),
            false => undo::bring_back(self.session, &undoing, &undone),
        };
        let id = || step.id.clone();
        match outcome {
            Ok(notes) => {
                notes.iter().for_each(|note| tell_note(self.session, &step.id, note));
                self.session.tell(Event::StepReturned { step: id() });
                self.report.undone.push(id());
                self.report.notes.extend(notes.iter().map(|note| (id(), note.clone())));
                self.note(Record::StepReturned { step: id(), notes });
            }
            Err(error) => {
                let why = error.to_string();
                self.session.tell(Event::ReturnFailed { step: id(), why: why.clone() });
                self.report.failed.push((id(), why.clone()));
                self.note(Record::ReturnFailed { step: id(), why });
            }
        }
    }
}

/// Returns what an undo under a guard leads to, and what it takes for left by the step. What lasts for one boot and was
/// done in an earlier one was made again at the boot, from what is on disk: that is no change by somebody else.
fn target(step: &Step, before: Snapshot, found: &StepStatus, kept: &Kept) -> (Snapshot, Option<Snapshot>) {
    if step.lasts == Lasts::OnDisk || found.boot_id == kept.boot_id {
        return (before, found.after.clone());
    }
    match (before, &kept.now) {
        (Snapshot::Links { network, ipv6_off }, Snapshot::Links { network: now, .. }) => {
            (Snapshot::Links { network: links::in_this_boot(&network, now), ipv6_off }, None)
        }
        (before, now) => (before, Some(now.clone())),
    }
}

/// Returns whether a later boot made nothing where a step left something for one boot: its owner does not run.
fn is_gone(step: &Step, found: &StepStatus, kept: &Kept) -> bool {
    let other_boot = step.lasts == Lasts::ThisBoot && found.boot_id != kept.boot_id;
    let nowhere = matches!(&kept.now, Snapshot::File(now) if !now.missing_parents.is_empty());
    other_boot && nowhere
}

fn after(boottime_ns: u64, seconds: u64) -> u64 {
    boottime_ns.saturating_add(seconds.saturating_mul(1_000_000_000))
}
