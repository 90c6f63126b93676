//! The executor: carries a plan out, stage by stage, and alone owns the order in which things happen.
//!
//! Decides: check → record → do → look → record, for each step; verify, arm, wait or undo, for each stage.
//! Never: how an action is done (`perform`) or undone (`undo`), or what a plan is for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use xenup_machine::{Clock, Probe};

use crate::action::{Action, Condition};
use crate::conditions;
use crate::error::EngineError;
use crate::event::Event;
use crate::guard::Session;
use crate::journal::{Cause, End, Journal, Moment, Record};
use crate::perform::{self, StepError};
use crate::plan::{Guard, Plan, Slug, Stage, Step, Watch};
use crate::rollback::{self, Report};
use crate::snapshot::{self, Snapshot};
use crate::status::{ArmedGuard, StageState, Status, StepState};
use crate::store::RunId;
use crate::takeback;
use crate::undo::{self, Undoing};
use crate::validate::validate;

/// How long links are given for their carrier before a stage's checks, in nanoseconds: less than the shortest deadline.
const CARRIER_NS: u64 = 15_000_000_000;

/// How often they are looked at meanwhile.
const CARRIER_PAUSE: Duration = Duration::from_millis(200);

/// What a caller decides about a run.
pub struct Options<'a> {
    /// What is being done, for whoever is told that the lock is held: `applying host.toml`.
    pub what: &'a str,
    /// Asked before each step; once it says true (SIGINT, SIGTERM), the stage is undone.
    pub stop: &'a dyn Fn() -> bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { what: "applying a plan", stop: &|| false }
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every stage is kept.
    Done {
        /// The run.
        run: RunId,
    },
    /// The plan is empty.
    NothingToDo,
    /// A stage is done, and undone by its guard unless somebody confirms.
    AwaitingConfirm {
        /// The run.
        run: RunId,
        /// The stage.
        stage: Slug,
        /// Seconds that are left; counted from the trial boot where the guard watches over one.
        deadline_seconds: u64,
    },
    /// A stage failed and was undone; those before it are kept.
    Restored {
        /// The run.
        run: RunId,
        /// The stage.
        stage: Slug,
        /// Why.
        cause: Cause,
        /// What was undone.
        report: Report,
    },
    /// A rollback that was under way was not confirmed, or failed: the stage that it had undone is there again.
    BroughtBack {
        /// The run.
        run: RunId,
        /// The stage.
        stage: Slug,
        /// Why.
        cause: Cause,
        /// What was brought back.
        report: Report,
    },
    /// A stage without a way back was stopped in the middle: the run goes on from there ([`resume`]).
    Halted {
        /// The run.
        run: RunId,
        /// The stage.
        stage: Slug,
        /// Why.
        cause: Cause,
    },
    /// A stage failed and could not be undone wholly.
    Stuck {
        /// The run.
        run: RunId,
        /// What was undone, and what was not.
        report: Report,
    },
}

/// Carries out a plan until it is done, or until a stage waits for a confirm.
///
/// # Errors
/// Refused before anything was changed: the plan is invalid or for another machine, the machine has changed
/// since it was made, another run is unfinished, the lock is held, the store cannot be written.
pub fn apply(session: &mut Session<'_>, plan: &Plan, options: &Options<'_>) -> Result<Outcome, EngineError> {
    validate(plan)?;
    check_machine(session.machine, plan)?;
    if plan.is_empty() {
        return Ok(Outcome::NothingToDo);
    }
    session.store.lock(session.machine, options.what)?;
    if let Some(open) = session.store.newest_unfinished(session.machine)? {
        return Err(EngineError::Unfinished { run: open.id });
    }
    if let Some(first) = plan.stages.iter().find(|stage| !stage.steps.is_empty()) {
        check_stage(session.machine, first)?;
    }
    let (run, journal) = session.store.begin(session.machine, plan)?;
    session.tell(Event::Run { run: run.clone() });
    let status = Status::fold(journal.records(), plan);
    Work { session, plan, run, journal, status, options }.stages()
}

/// Goes on with a run: with the stage after one that was confirmed, with one that was interrupted, or with an
/// undo that was, or with a rollback of which a part was confirmed. An interrupted stage under a guard is undone; another is completed.
///
/// # Errors
/// As [`apply`].
pub fn resume(session: &mut Session<'_>, run: &RunId, options: &Options<'_>) -> Result<Outcome, EngineError> {
    session.store.lock(session.machine, options.what)?;
    let (loaded, journal) = session.store.open(session.machine, run)?;
    validate(&loaded.plan)?;
    check_machine(session.machine, &loaded.plan)?;
    if loaded.status.end.is_some() {
        return Ok(Outcome::NothingToDo);
    }
    session.tell(Event::Run { run: run.clone() });
    if loaded.status.rolling_back || loaded.status.being_taken_back().is_some() {
        return takeback::go_on(session, &loaded, journal);
    }
    let status = loaded.status.clone();
    let mut work = Work { session, plan: &loaded.plan, run: run.clone(), journal, status, options };
    let undoing = |state: &StageState| matches!(state, StageState::Undoing | StageState::Stuck);
    if let Some(first) = loaded.status.stages.iter().find(|stage| undoing(&stage.state)) {
        let cause = loaded.status.undone_because.clone().unwrap_or(Cause::Interrupted);
        return work.undo_from(&first.id, cause);
    }
    if let Some(waiting) = loaded.status.awaiting() {
        let seconds = work.seconds_left(waiting.guard.as_ref());
        return Ok(work.awaiting(&waiting.id, seconds));
    }
    work.stages()
}

/// Disarms a guard and records it. A guard that cannot be disarmed reads the journal when it wakes, and finds
/// nothing to do: a warning, not an error.
pub(crate) fn disarm_guard(session: &mut Session<'_>, journal: &mut Journal, run: &RunId, stage: &Slug) {
    let disarmed = session.keeper.disarm(session.machine, run, stage).map_err(|error| error.to_string());
    let recorded = disarmed.and_then(|()| {
        let record = Record::GuardDisarmed { stage: stage.clone() };
        journal.append(session.machine, record).map_err(|error| error.to_string())
    });
    if let Err(error) = recorded {
        session
            .tell(Event::Warning { text: format!("the guard of `{stage}` could not be disarmed: {error}") });
    }
}

/// Disarms the guard of a stage that was confirmed or undone, after a crash in between ([`crate::boot::Decision::Disarm`]).
///
/// # Errors
/// The store cannot be locked or read.
pub fn disarm(session: &mut Session<'_>, run: &RunId, stage: &Slug) -> Result<(), EngineError> {
    session.store.lock(session.machine, &format!("disarming the guard of run {run}"))?;
    let (loaded, mut journal) = session.store.open(session.machine, run)?;
    let over = |state: &StageState| matches!(state, StageState::Kept | StageState::Undone);
    if loaded.status.stage(stage).is_some_and(|stage| over(&stage.state)) {
        disarm_guard(session, &mut journal, run, stage);
    }
    Ok(())
}

fn check_machine(probe: &dyn Probe, plan: &Plan) -> Result<(), EngineError> {
    let found = probe.read(Path::new("/etc/machine-id"), 4096).map_err(EngineError::Probe)?;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    if found == plan.machine_id {
        return Ok(());
    }
    Err(EngineError::OtherMachine { planned: plan.machine_id.clone(), found })
}

/// Checks what can be checked of a stage before its first step: its first step wholly, and of the others the
/// files that no step before them writes.
fn check_stage(probe: &dyn Probe, stage: &Stage) -> Result<(), EngineError> {
    let drift = |step: &Step| {
        let step = step.id.clone();
        move |what| EngineError::Drift { step, what }
    };
    if let Some(first) = stage.steps.first() {
        perform::check_before(probe, first).map_err(drift(first))?;
    }
    let mut written = BTreeSet::new();
    for step in &stage.steps {
        // What a package brings or a command writes cannot be foreseen.
        if matches!(step.action, Action::Packages { .. } | Action::Upgrade { .. } | Action::Run { .. }) {
            break;
        }
        if let Action::File { path, state, seen } = &step.action
            && written.insert(path)
        {
            perform::check_seen(probe, path, state, seen.as_ref()).map_err(drift(step))?;
        }
    }
    Ok(())
}

/// Why a stage is not done.
enum Stopped {
    /// Before its first step: nothing was changed.
    Refused(EngineError),
    /// In the middle.
    Failed(Cause),
}

struct Work<'w, 's> {
    session: &'w mut Session<'s>,
    plan: &'w Plan,
    run: RunId,
    journal: Journal,
    /// The fold of the journal, kept up with each record.
    status: Status,
    options: &'w Options<'w>,
}

impl Work<'_, '_> {
    fn record(&mut self, record: Record) -> Result<(), EngineError> {
        self.journal.append(self.session.machine, record)?;
        if let Some(last) = self.journal.records().last() {
            self.status.take(last);
        }
        Ok(())
    }

    fn clock(&self) -> Clock {
        self.session.machine.clock()
    }

    /// Carries out every stage that is not kept yet.
    fn stages(&mut self) -> Result<Outcome, EngineError> {
        let plan = self.plan;
        for (at, stage) in plan.stages.iter().enumerate() {
            let found = self.status.stage(&stage.id);
            let guard = found.and_then(|found| found.guard.as_ref());
            let armed = guard.is_some_and(|guard| !guard.disarmed);
            match found.map(|found| &found.state) {
                Some(StageState::Kept) => {
                    if armed {
                        disarm_guard(self.session, &mut self.journal, &self.run, &stage.id);
                    }
                    continue;
                }
                Some(StageState::Running) if guard.is_some() => {
                    return self.undo_from(&stage.id, Cause::Interrupted);
                }
                _ => {}
            }
            self.session.tell(Event::StageStarted {
                stage: stage.id.clone(),
                title: stage.title.clone(),
                number: at + 1,
                of: plan.stages.len(),
            });
            match self.stage(stage) {
                Ok(None) => {}
                Ok(Some(seconds)) => return Ok(self.awaiting(&stage.id, seconds)),
                Err(Stopped::Refused(error)) => return self.refuse(stage, error),
                Err(Stopped::Failed(cause)) => return self.stopped(stage, cause),
            }
        }
        self.finish(End::Done)?;
        Ok(Outcome::Done { run: self.run.clone() })
    }

    /// Undoes a stage that was stopped. One without a way back is left as it is once it has begun; until then all that led
    /// to it is undone too.
    fn stopped(&mut self, stage: &Stage, cause: Cause) -> Result<Outcome, EngineError> {
        if stage.no_return.is_none() {
            return self.undo_from(&stage.id, cause);
        }
        // The first such stage that has begun is where the way back ended.
        let plan = self.plan;
        let mut stages = plan.stages.iter().zip(&self.status.stages);
        if stages.any(|(planned, found)| rollback::is_past_return(planned, found)) {
            return Ok(Outcome::Halted { run: self.run.clone(), stage: stage.id.clone(), cause });
        }
        self.undo_from(plan.stages.first().map_or(&stage.id, |first| &first.id), cause)
    }

    fn finish(&mut self, end: End) -> Result<(), EngineError> {
        let unix_seconds = self.clock().unix_seconds;
        self.record(Record::RunFinished { end, unix_seconds })
    }

    fn awaiting(&mut self, stage: &Slug, deadline_seconds: u64) -> Outcome {
        self.session.tell(Event::AwaitingConfirm { stage: stage.clone(), seconds: deadline_seconds });
        Outcome::AwaitingConfirm { run: self.run.clone(), stage: stage.clone(), deadline_seconds }
    }

    /// Ends a run whose next stage was refused before anything of it was done.
    fn refuse(&mut self, planned: &Stage, error: EngineError) -> Result<Outcome, EngineError> {
        let stage = &planned.id;
        if planned.no_return.is_some() {
            self.stopped(planned, Cause::StepFailed { step: stage.clone(), why: error.to_string() })?;
            return Err(error);
        }
        if self.status.stage(stage).is_some_and(|stage| stage.state == StageState::Pending) {
            rollback::make_room(self.session);
            let step = stage.clone();
            let cause = Cause::StepFailed { step, why: error.to_string() };
            self.finish(End::Restored { stage: stage.clone(), cause })?;
            return Err(error);
        }
        self.undo_from(stage, Cause::StepFailed { step: stage.clone(), why: error.to_string() })?;
        Err(error)
    }

    /// Undoes a stage and those after it, and ends the run.
    fn undo_from(&mut self, stage: &Slug, cause: Cause) -> Result<Outcome, EngineError> {
        let from = self.status.stages.iter().skip_while(|found| &found.id != stage);
        let open = from.filter(|found| rollback::is_open(found));
        let open: Vec<Slug> = open.map(|found| found.id.clone()).collect();
        let (session, run) = (&mut *self.session, &self.run);
        let report = rollback::undo_stages(session, self.plan, run, &mut self.journal, &open, cause.clone());
        let report = rollback::finish(session, self.plan, &mut self.journal, &open, report)?;
        let (run, stage) = (self.run.clone(), stage.clone());
        if report.is_clean() {
            Ok(Outcome::Restored { run, stage, cause, report })
        } else {
            Ok(Outcome::Stuck { run, report })
        }
    }

    /// Carries out one stage. Returns the seconds that are left to confirm it, where it has a guard.
    fn stage(&mut self, stage: &Stage) -> Result<Option<u64>, Stopped> {
        let fresh = self.status.stage(&stage.id).is_none_or(|found| found.state == StageState::Pending);
        let stage_failed = |error: EngineError| {
            Stopped::Failed(Cause::StepFailed { step: stage.id.clone(), why: with_source(&error) })
        };
        if fresh {
            check_stage(self.session.machine, stage).map_err(Stopped::Refused)?;
            self.record(Record::StageBegun { stage: stage.id.clone() }).map_err(Stopped::Refused)?;
            if let Some(guard) = &stage.guard {
                self.arm(stage, guard)?;
            }
        }
        for (at, step) in stage.steps.iter().enumerate() {
            self.session.tell(Event::StepStarted {
                step: step.id.clone(),
                title: step.title.clone(),
                number: at + 1,
                of: stage.steps.len(),
            });
            self.step(stage, step)?;
            self.session.tell(Event::StepDone { step: step.id.clone() });
        }
        self.verify(stage)?;
        let seconds = stage.guard.as_ref().map(|guard| guard.deadline_seconds);
        let at = Moment::of(&self.clock());
        self.record(Record::StageVerified { stage: stage.id.clone(), at }).map_err(stage_failed)?;
        self.session.tell(Event::StageVerified { stage: stage.id.clone() });
        Ok(seconds)
    }

    /// Arms a stage's guard: recorded first, so that whoever wakes finds what it is for.
    fn arm(&mut self, stage: &Stage, guard: &Guard) -> Result<(), Stopped> {
        let failed = |why: String| Stopped::Failed(Cause::GuardFailed { why });
        self.record_guard(stage, guard).map_err(|error| failed(with_source(&error)))?;
        let armed = self.status.stage(&stage.id).and_then(|found| found.guard.clone());
        let armed = armed.ok_or_else(|| failed("the journal does not know of it".to_owned()))?;
        self.session
            .keeper
            .arm(self.session.machine, &self.run, &stage.id, &armed)
            .map_err(|error| failed(error.to_string()))?;
        self.session.tell(Event::GuardArmed { stage: stage.id.clone(), seconds: guard.deadline_seconds });
        Ok(())
    }

    fn record_guard(&mut self, stage: &Stage, guard: &Guard) -> Result<(), EngineError> {
        let clock = self.clock();
        let deadline = clock.boottime_ns.saturating_add(guard.deadline_seconds.saturating_mul(1_000_000_000));
        let deadline_ns = (guard.watch == Watch::Network).then_some(deadline);
        let (stage, watch) = (stage.id.clone(), guard.watch);
        self.record(Record::GuardArmed { stage, watch, boot_id: clock.boot_id, deadline_ns })
    }

    /// Checks what must hold after a stage. A trial's checks are made in the trial. The time to confirm counts
    /// from here, so that slow steps do not eat it up.
    fn verify(&mut self, stage: &Stage) -> Result<(), Stopped> {
        let trial = stage.guard.as_ref().is_some_and(|guard| guard.watch == Watch::TrialBoot);
        if !trial {
            self.wait_for_carrier(&stage.checks);
        }
        for condition in stage.checks.iter().filter(|_| !trial) {
            conditions::check(self.session.machine, condition).map_err(|found| {
                let why = format!("{} was to hold, but {found}", conditions::describe(condition));
                Stopped::Failed(Cause::ChecksFailed { why })
            })?;
        }
        match &stage.guard {
            Some(guard) => self
                .record_guard(stage, guard)
                .map_err(|error| Stopped::Failed(Cause::GuardFailed { why: with_source(&error) })),
            None => Ok(()),
        }
    }

    /// Gives links the time that some NICs need for a new carrier when they become a port.
    fn wait_for_carrier(&mut self, checks: &[Condition]) {
        let links: Vec<&Condition> =
            checks.iter().filter(|check| matches!(check, Condition::LinkUp { .. })).collect();
        let until = self.clock().boottime_ns.saturating_add(CARRIER_NS);
        loop {
            let dark = |check: &&&Condition| conditions::check(self.session.machine, check).is_err();
            let all_up = links.iter().find(dark).is_none();
            if all_up || (self.options.stop)() || self.clock().boottime_ns >= until {
                return;
            }
            self.session.machine.pause(CARRIER_PAUSE);
        }
    }

    /// Does one step, unless it is done already; one that was interrupted is undone first.
    fn step(&mut self, stage: &Stage, step: &Step) -> Result<(), Stopped> {
        let found = self.status.step(&step.id);
        match found.map(|found| (&found.state, &found.before)) {
            Some((StepState::Done, _)) => return Ok(()),
            Some((StepState::Pending | StepState::Undone, _) | (_, None)) | None => {}
            // There is no way back: it is done again, from whatever it has left.
            Some((_, Some(_))) if stage.no_return.is_some() => {}
            Some((_, Some(before))) => {
                let before = before.clone();
                self.undo_interrupted(step, &before).map_err(|why| self.failed(step, why))?;
            }
        }
        if (self.options.stop)() {
            return Err(Stopped::Failed(Cause::Interrupted));
        }
        if let Err(what) = perform::check_before(self.session.machine, step) {
            self.session.tell(Event::StepFailed { step: step.id.clone(), why: what.clone() });
            let untouched = self
                .status
                .stage(&stage.id)
                .is_some_and(|stage| stage.steps.iter().all(|step| step.state == StepState::Pending));
            let step = step.id.clone();
            return Err(match untouched {
                true => Stopped::Refused(EngineError::Drift { step, what }),
                false => Stopped::Failed(Cause::StepFailed { step, why: what }),
            });
        }
        self.recorded_step(step).map_err(|why| self.failed(step, why))
    }

    /// Records that a step failed, as far as that is possible, and returns why the stage stops.
    fn failed(&mut self, step: &Step, why: String) -> Stopped {
        self.session.tell(Event::StepFailed { step: step.id.clone(), why: why.clone() });
        let started = self.status.step(&step.id).is_some_and(|found| found.state == StepState::Started);
        if started {
            // Whether it is recorded or not, the step is undone from what was recorded before it.
            let _ = self.record(Record::StepFailed { step: step.id.clone(), why: why.clone() });
        }
        Stopped::Failed(Cause::StepFailed { step: step.id.clone(), why })
    }

    fn undo_interrupted(&mut self, step: &Step, before: &Snapshot) -> Result<(), String> {
        let undoing = Undoing { run: &self.run, step, before, after: None, status: None, under_guard: false };
        let notes = undo::undo(self.session, &undoing).map_err(|error| error.to_string())?;
        let record = Record::StepUndone { step: step.id.clone(), notes };
        self.record(record).map_err(|error| with_source(&error))
    }

    /// The heart: what is there is kept and recorded, then the action is done, then what is there is read again,
    /// checked and recorded.
    fn recorded_step(&mut self, step: &Step) -> Result<(), String> {
        let words = |error: xenup_machine::MachineError| error.to_string();
        let captured = snapshot::capture(self.session.machine, &step.action).map_err(words)?;
        for bytes in &captured.contents {
            self.session.store.keep(self.session.machine, bytes).map_err(|error| with_source(&error))?;
        }
        let before = captured.snapshot;
        let boot_id = self.clock().boot_id;
        let started = Record::StepStarted { step: step.id.clone(), boot_id, before: before.clone() };
        self.record(started).map_err(|error| with_source(&error))?;
        perform::perform(self.session, &self.run, step, &before)
            .map_err(|error: StepError| error.to_string())?;
        let after = snapshot::capture(self.session.machine, &step.action).map_err(words)?.snapshot;
        let store = self.session.store;
        perform::check_after(self.session.machine, store, step, &before, &after)?;
        let done = Record::StepDone { step: step.id.clone(), after };
        self.record(done).map_err(|error| with_source(&error))
    }

    fn seconds_left(&self, guard: Option<&ArmedGuard>) -> u64 {
        let now = self.clock();
        let deadline = guard.and_then(|guard| match &guard.trial {
            Some(trial) => Some(trial.boottime_ns),
            None => guard.deadline_ns,
        });
        deadline.map_or(0, |deadline| deadline.saturating_sub(now.boottime_ns) / 1_000_000_000)
    }
}

impl Moment {
    /// Returns the moment a clock shows.
    #[must_use]
    pub fn of(clock: &Clock) -> Self {
        Self { boot_id: clock.boot_id.clone(), boottime_ns: clock.boottime_ns }
    }
}

/// Returns an error and what caused it, on one line, for a record that cannot keep the chain.
pub(crate) fn with_source(error: &EngineError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
