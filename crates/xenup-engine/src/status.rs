//! Where a run stands: a fold over its journal, and the only state there is.
//!
//! Decides: what the records add up to, for each stage and step. Never: reads or writes anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::journal::{Cause, End, Moment, Record, UndoNote};
use crate::plan::{Plan, Slug, Stage, Watch};
use crate::snapshot::Snapshot;
use crate::store::RunId;

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Undone as far as possible, or brought back as far as possible; some steps were not.
    Stuck,
    /// Being undone under a guard; whether anybody is at work on it is for the lock to say.
    TakingBack,
    /// Undone, and brought back by its guard unless somebody confirms.
    TakenBack,
    /// Being brought back; a return that was interrupted is taken up again.
    Returning,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Its undo failed, or its return.
    UndoFailed {
        /// In words.
        why: String,
    },
    /// Its undo under a guard was begun: it may be undone not at all, in part or whole.
    TakingBack,
    /// Undone under a guard, and read again.
    TakenBack,
}

/// What comes back unless the undo of a step is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The boot in which it was seen.
    pub boot_id: String,
    /// What was there.
    #[schemars(with = "serde_json::Value")]
    pub now: Snapshot,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepStatus {
    /// Its name in the plan.
    pub id: Slug,
    /// Where it stands.
    #[serde(flatten)]
    pub state: StepState,
    /// The boot in which it was begun.
    pub boot_id: String,
    /// What was there before it, once it was begun.
    #[schemars(with = "Option<serde_json::Value>")]
    pub before: Option<Snapshot>,
    /// What was there after it, once it was done.
    #[schemars(with = "Option<serde_json::Value>")]
    pub after: Option<Snapshot>,
    /// What was there before it was undone under a guard, until that undo is confirmed or gone back on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// What its undo had to say.
    pub notes: Vec<UndoNote>,
}

/// An armed guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        let open = match self.state {
            StageState::Running | StageState::AwaitingConfirm | StageState::Undoing => true,
            StageState::Stuck => !self.is_return_stuck(),
            _ => false,
        };
        open && self.is_armed()
    }

    /// Returns whether a guard is armed, whatever has become of the stage.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| !guard.disarmed)
    }

    /// Returns whether it is what a rollback had undone that could not be brought back completely.
    #[must_use]
    pub fn is_return_stuck(&self) -> bool {
        self.state == StageState::Stuck && self.steps.iter().any(|step| step.kept.is_some())
    }

    /// Returns whether its undo is under a guard, and neither confirmed nor gone back on.
    #[must_use]
    pub fn is_being_taken_back(&self) -> bool {
        matches!(self.state, StageState::TakingBack | StageState::TakenBack | StageState::Returning)
    }

    /// Returns whether it waits for a confirm, be it of what was done or of its undo.
    #[must_use]
    pub fn is_awaiting(&self) -> bool {
        matches!(self.state, StageState::AwaitingConfirm | StageState::TakenBack)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Whether all of it is being undone, and a part of that was or is under a guard; no longer, once that part is
    /// brought back.
    #[serde(default)]
    pub rolling_back: bool,
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
            rolling_back: false,
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
        self.stages.iter().find(|stage| stage.is_awaiting())
    }

    /// Returns the stage whose undo is under a guard, and neither confirmed nor gone back on.
    #[must_use]
    pub fn being_taken_back(&self) -> Option<&StageStatus> {
        self.stages.iter().find(|stage| stage.is_being_taken_back())
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

    /// Returns the digests of all files that steps of the run have generated; `None` where a command that generates
    /// was cut short, forwards or backwards, and may have left more behind than those files.
    pub(crate) fn made(&self) -> Option<Vec<Digest>> {
        let cut_short = |step: &&StepStatus| {
            let generates =
                matches!(&step.before, Some(Snapshot::Run { generates }) if !generates.is_empty());
            let whole = matches!(step.state, StepState::Pending | StepState::Done | StepState::Undone);
            generates && !whole
        };
        let undoing = self.stages.iter().any(|stage| stage.state == StageState::Undoing);
        let steps = || self.stages.iter().flat_map(|stage| &stage.steps);
        if undoing || steps().any(|step| cut_short(&step)) {
            return None;
        }
        let left = steps().filter_map(|step| match &step.after {
            Some(Snapshot::Run { generates }) => Some(generates),
            _ => None,
        });
        Some(left.flatten().filter_map(|file| file.digest.clone()).collect())
    }

    /// Takes one more record into account.
    pub(crate) fn take(&mut self, record: &Record) {
        match record {
            Record::RunBegun { run, boot_id, unix_seconds, .. } => {
                self.run = Some(run.clone());
                self.boot_id.clone_from(boot_id);
                self.begun_unix_seconds = *unix_seconds;
            }
            Record::RunFinished { end, .. } => {
                self.end = Some(end.clone());
                self.rolling_back = false;
            }
            Record::TakeBackBegun { stage, .. } => {
                self.end = None;
                self.undone_because = Some(Cause::Asked);
                self.rolling_back = true;
                self.take_for_stage(stage, record);
            }
            Record::ReturnBegun { stage, why, .. } => {
                self.end = None;
                self.undone_because = Some(why.clone());
                self.rolling_back = false;
                self.take_for_stage(stage, record);
            }
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
            | Record::UndoFailed { step, .. }
            | Record::StepTakingBack { step, .. }
            | Record::StepTakenBack { step, .. }
            | Record::StepReturned { step, .. }
            | Record::ReturnFailed { step, .. } => {
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
            | Record::StageUndone { stage, .. }
            | Record::StageTakenBack { stage, .. }
            | Record::StageReturned { stage, .. } => self.take_for_stage(stage, record),
        }
    }

    fn take_for_stage(&mut self, stage: &Slug, record: &Record) {
        if let Some(found) = self.stages.iter_mut().find(|found| &found.id == stage) {
            found.take(record);
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
            Record::Confirmed { .. } if self.state == StageState::TakenBack => {
                self.state = StageState::Undone;
                self.steps.iter_mut().filter(|step| step.kept.is_some()).for_each(StepStatus::let_go);
            }
            Record::Confirmed { .. } => self.state = StageState::Kept,
            Record::TakeBackBegun { boot_id, deadline_ns, .. } => {
                self.state = StageState::TakingBack;
                self.guard = Some(ArmedGuard {
                    watch: Watch::Network,
                    boot_id: boot_id.clone(),
                    deadline_ns: Some(*deadline_ns),
                    trial: None,
                    disarmed: false,
                });
                // A return may have been begun in between: what was undone is looked at again.
                for step in self.steps.iter_mut().filter(|step| step.kept.is_some()) {
                    step.state = StepState::TakingBack;
                }
            }
            Record::StageTakenBack { at, deadline_ns, .. } => {
                self.verified = Some(at.clone());
                self.state = StageState::TakenBack;
                if let Some(guard) = &mut self.guard {
                    guard.deadline_ns = Some(*deadline_ns);
                }
            }
            Record::ReturnBegun { .. } => self.state = StageState::Returning,
            Record::StageReturned { clean, .. } => {
                self.state = if *clean { StageState::Kept } else { StageState::Stuck };
            }
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
                self.let_go();
                self.notes.clone_from(notes);
            }
            Record::UndoFailed { why, .. } | Record::ReturnFailed { why, .. } => {
                self.state = StepState::UndoFailed { why: why.clone() };
            }
            Record::StepTakingBack { boot_id, now, .. } => {
                self.state = StepState::TakingBack;
                self.kept = Some(Kept { boot_id: boot_id.clone(), now: now.clone() });
                self.notes.clear();
            }
            Record::StepTakenBack { notes, .. } => {
                self.state = StepState::TakenBack;
                self.notes.clone_from(notes);
            }
            Record::StepReturned { notes, .. } => {
                self.state = StepState::Done;
                self.kept = None;
                self.notes.clone_from(notes);
            }
            _ => {}
        }
    }

    /// Its undo was confirmed.
    fn let_go(&mut self) {
        self.state = StepState::Undone;
        self.kept = None;
    }
}

fn pending(stage: &Stage) -> StageStatus {
    let steps = stage.steps.iter().map(|step| StepStatus {
        id: step.id.clone(),
        state: StepState::Pending,
        boot_id: String::new(),
        before: None,
        after: None,
        kept: None,
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
