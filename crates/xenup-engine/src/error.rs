//! What can go wrong in the engine beyond a step's own failure. Never decides what to do about it.

use std::path::PathBuf;

use xenup_machine::{MachineError, Reason};

use crate::journal::JournalError;
use crate::plan::Slug;
use crate::snapshot::FileSnapshot;
use crate::store::RunId;
use crate::validate::InvalidPlan;

/// Why the engine did not do what it was asked. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Somebody else changes this machine now.
    #[error("another xenup is at work on this machine: {holder}")]
    Locked {
        /// The holder's own words.
        holder: String,
    },
    /// An earlier run is not finished.
    #[error("run {run} is not finished")]
    Unfinished {
        /// That run.
        run: RunId,
    },
    /// There is no such run.
    #[error("there is no run {run}")]
    NoSuchRun {
        /// Its name.
        run: RunId,
    },
    /// The run has no such stage.
    #[error("run {run} has no stage `{stage}`")]
    NoSuchStage {
        /// The run.
        run: RunId,
        /// The stage.
        stage: Slug,
    },
    /// The plan was made for another machine.
    #[error("the plan was made for machine {planned}, this is machine {found}")]
    OtherMachine {
        /// Whose plan it is.
        planned: String,
        /// Which this is.
        found: String,
    },
    /// The plan cannot be carried out by any machine.
    #[error(transparent)]
    InvalidPlan(#[from] InvalidPlan),
    /// The machine is not as it was when the plan was made.
    #[error("step `{step}`: {what}")]
    Drift {
        /// The step that is refused.
        step: Slug,
        /// What differs.
        what: String,
    },
    /// What a confirmed stage of the network had written was changed since: undone but for that, its files would be a
    /// mixture that nobody has tried.
    #[error("stage `{stage}` is not undone: after it somebody changed {}", paths(files))]
    ChangedSince {
        /// The stage.
        stage: Slug,
        /// Where, and what stood there before the run.
        files: Vec<FileSnapshot>,
    },
    /// There is no way back from a stage that has begun.
    #[error("run {run} is past stage `{stage}`, from which there is no way back: {why}")]
    NoReturn {
        /// The run.
        run: RunId,
        /// The stage.
        stage: Slug,
        /// The plan's reason.
        why: String,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be used.
    #[error("{} cannot be {doing}", path.display())]
    Store {
        /// The store's directory.
        path: PathBuf,
        /// `made`, `locked`, `read` or `written`.
        doing: &'static str,
        /// The machine's words.
        #[source]
        source: MachineError,
    },
    /// A plan in the store is not the one its journal names.
    #[error("{} is not the plan that its journal names", path.display())]
    PlanChanged {
        /// The plan.
        path: PathBuf,
    },
    /// A plan in the store cannot be read.
    #[error("{} is no plan this version knows", path.display())]
    BadPlan {
        /// The plan.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The machine cannot be read.
    #[error("this machine cannot be read")]
    Probe(#[source] MachineError),
    /// A confirm was refused.
    #[error(transparent)]
    Confirm(#[from] crate::confirm::ConfirmError),
}

fn paths(files: &[FileSnapshot]) -> String {
    files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl EngineError {
    /// Returns the machine's own error at the bottom, where there is one.
    #[must_use]
    pub fn machine_error(&self) -> Option<&MachineError> {
        match self {
            Self::Journal(JournalError::Machine { source, .. })
            | Self::Store { source, .. }
            | Self::Probe(source) => Some(source),
            _ => None,
        }
    }

    /// Returns whether the disk was full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        self.machine_error().is_some_and(|error| error.reason == Reason::NoSpace)
    }
}

impl JournalError {
    /// Returns whether there is no journal at all.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Machine { source, .. } if source.is_not_found())
    }
}
