//! Where a run stands: a fold over its journal, and the only state there is.
//!
//! Decides: what the records add up to, for each stage and step. Never: reads or writes anything.

use serde::{Deserialize, Serialize};

use crate::journal::{Cause, End, Moment, Record, UndoNote};
use crate::plan::{Plan, Slug, Stage, Watch};
use crate::snapshot::Snapshot;
use crate::store::RunId;

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum StageState {
    /// Not begun.
    Pending,
    /// Begun and not finished; whether anybody is at work on it is for the lock to say.
    Running,
    /// Done and verified, and undone by its guard unless somebody confirms.
    AwaitingConfirm,
    /// Done for good, as far as this run goes.
    Kept,
    /// Being undone; an undo that was interrupted is taken up again.
    Undoing,
    /// Undone, every step of it.
    Undone,
    /// Undone as far as possible; some steps were not.
    Stuck,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun: it may have been done not at all, in part or whole.
    Started,
    /// Done, and read again.
    Done,
    /// Failed, in part or whole.
    Failed {
        /// In words.
        why: String,
    },
    /// Undone, and read again.
    Undone,
    /// Its undo failed.
    UndoFailed {
        /// In words.
        why: String,
    },
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Its name in the plan.
    pub id: Slug,
    /// Where it stands.
    #[serde(flatten)]
    pub state: StepState,
    /// The boot in which it was begun.
    pub boot_id: String,
    /// What was there before it, once it was begun.
    pub before: Option<Snapshot>,
    /// What was there after it, once it was done.
    pub after: Option<Snapshot>,
    /// What its undo had to say.
    pub notes: Vec<UndoNote>,
}

/// An armed guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmedGuard {
    /// What it watches over.
    pub watch: Watch,
    /// The boot in which it was armed.
    pub boot_id: String,
    /// CLOCK_BOOTTIME in nanoseconds, in the boot it was armed in; `None` for a trial boot.
    pub deadline_ns: Option<u64>,
    /// The trial, once it was booted: which boot, and the deadline in it.
    pub trial: Option<Moment>,
    /// Whether it was disarmed.
    pub disarmed: bool,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Its name in the plan.
    pub id: Slug,
    /// Where it stands.
    #[serde(flatten)]
    pub state: StageState,
    /// Its guard, once it was armed.
    pub guard: Option<ArmedGuard>,
    /// When all its steps were done and verified.
    pub verified: Option<Moment>,
    /// Its steps, in order.
    pub steps: Vec<StepStatus>,
}

impl StageStatus {
    /// Returns whether a guard is armed and nobody has confirmed: connectivity wins over what others changed.
    #[must_use]
    pub fn is_under_guard(&self) -> bool {
        let open =
            matches!(self.state, StageState::Running | StageState::AwaitingConfirm | StageState::Undoing);
        open && self.guard.as_ref().is_some_and(|guard| !guard.disarmed)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its id; `None` where the journal has no record yet.
    pub run: Option<RunId>,
    /// When it began, by the wall clock.
    pub begun_unix_seconds: i64,
    /// The boot in which it began.
    pub boot_id: String,
    /// Its stages, in order.
    pub stages: Vec<StageStatus>,
    /// Why the last rollback was begun.
    pub undone_because: Option<Cause>,
    /// How it ended; `None` while it has not.
    pub end: Option<End>,
}

impl Status {
    /// Returns what the records of a run of `plan` add up to.
    #[must_use]
    pub fn fold(records: &[Record], plan: &Plan) -> Self {
        let mut status = Self {
            run: None,
            begun_unix_seconds: 0,
            boot_id: String::new(),
            stages: plan.stages.iter().map(pending).collect(),
            undone_because: None,
            end: None,
        };
        for record in records {
            status.take(record);
        }
        status
    }

    /// Returns whether there is something left to do: a stage to begin, to confirm, or to undo.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.run.is_some() && self.end.is_none()
    }

    /// Returns the stage that awaits a confirm.
    #[must_use]
    pub fn awaiting(&self) -> Option<&StageStatus> {
        self.stages.iter().find(|stage| stage.state == StageState::AwaitingConfirm)
    }

    /// Returns the stage of that name.
    #[must_use]
    pub fn stage(&self, id: &Slug) -> Option<&StageStatus> {
        self.stages.iter().find(|stage| &stage.id == id)
    }

    /// Returns the step of that name.
    #[must_use]
    pub fn step(&self, id: &Slug) -> Option<&StepStatus> {
        self.stages.iter().flat_map(|stage| &stage.steps).find(|step| &step.id == id)
    }

    /// Takes one more record into account.
    pub(crate) fn take(&mut self, record: &Record) {
        match record {
            Record::RunBegun { run, boot_id, unix_seconds, .. } => {
                self.run = Some(run.clone());
                self.boot_id.clone_from(boot_id);
                self.begun_unix_seconds = *unix_seconds;
            }
            Record::RunFinished { end, .. } => self.end = Some(end.clone()),
            Record::RollbackBegun { stages, why, .. } => {
                self.end = None;
                self.undone_because = Some(why.clone());
                for stage in self.stages.iter_mut().filter(|stage| stages.contains(&stage.id)) {
                    stage.state = StageState::Undoing;
                }
            }
            Record::StepStarted { step, .. }
            | Record::StepDone { step, .. }
            | Record::StepFailed { step, .. }
            | Record::StepUndone { step, .. }
            | Record::UndoFailed { step, .. } => {
                let mut steps = self.stages.iter_mut().flat_map(|stage| &mut stage.steps);
                if let Some(found) = steps.find(|found| &found.id == step) {
                    found.take(record);
                }
            }
            Record::StageBegun { stage }
            | Record::GuardArmed { stage, .. }
            | Record::StageVerified { stage, .. }
            | Record::TrialBegun { stage, .. }
            | Record::Confirmed { stage, .. }
            | Record::GuardDisarmed { stage }
            | Record::StageUndone { stage, .. } => {
                if let Some(found) = self.stages.iter_mut().find(|found| &found.id == stage) {
                    found.take(record);
                }
            }
        }
    }
}

impl StageStatus {
    fn take(&mut self, record: &Record) {
        match record {
            Record::StageBegun { .. } => self.state = StageState::Running,
            Record::GuardArmed { watch, boot_id, deadline_ns, .. } => {
                self.guard = Some(ArmedGuard {
                    watch: *watch,
                    boot_id: boot_id.clone(),
                    deadline_ns: *deadline_ns,
                    trial: None,
                    disarmed: false,
                });
            }
            Record::StageVerified { at, .. } => {
                self.verified = Some(at.clone());
                let guarded = self.guard.is_some();
                self.state = if guarded { StageState::AwaitingConfirm } else { StageState::Kept };
            }
            Record::TrialBegun { boot_id, deadline_ns, .. } => {
                if let Some(guard) = &mut self.guard {
                    guard.trial = Some(Moment { boot_id: boot_id.clone(), boottime_ns: *deadline_ns });
                }
            }
            Record::Confirmed { .. } => self.state = StageState::Kept,
            Record::GuardDisarmed { .. } => {
                if let Some(guard) = &mut self.guard {
                    guard.disarmed = true;
                }
            }
            Record::StageUndone { clean, .. } => {
                self.state = if *clean { StageState::Undone } else { StageState::Stuck };
            }
            _ => {}
        }
    }
}

impl StepStatus {
    fn take(&mut self, record: &Record) {
        match record {
            Record::StepStarted { boot_id, before, .. } => {
                self.state = StepState::Started;
                self.boot_id.clone_from(boot_id);
                self.before = Some(before.clone());
                self.after = None;
                self.notes.clear();
            }
            Record::StepDone { after, .. } => {
                self.state = StepState::Done;
                self.after = Some(after.clone());
            }
            Record::StepFailed { why, .. } => self.state = StepState::Failed { why: why.clone() },
            Record::StepUndone { notes, .. } => {
                self.state = StepState::Undone;
                self.notes.clone_from(notes);
            }
            Record::UndoFailed { why, .. } => self.state = StepState::UndoFailed { why: why.clone() },
            _ => {}
        }
    }
}

fn pending(stage: &Stage) -> StageStatus {
    let steps = stage.steps.iter().map(|step| StepStatus {
        id: step.id.clone(),
        state: StepState::Pending,
        boot_id: String::new(),
        before: None,
        after: None,
        notes: Vec::new(),
    });
    StageStatus {
        id: stage.id.clone(),
        state: StageState::Pending,
        guard: None,
        verified: None,
        steps: steps.collect(),
    }
}
