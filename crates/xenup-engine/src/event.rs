//! What happens, as it happens: for a terminal, a log, a report.
//!
//! Decides: nothing. Never: is read back; the journal is the truth, events are its voice.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::journal::Cause;
use crate::plan::Slug;
use crate::store::RunId;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began, or goes on.
    Run {
        /// Its name.
        run: RunId,
    },
    /// A stage began.
    StageStarted {
        /// The stage.
        stage: Slug,
        /// What it achieves.
        title: String,
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// A guard is armed.
    GuardArmed {
        /// The stage.
        stage: Slug,
        /// Seconds until it undoes the stage; counted from the trial boot where it watches over one.
        seconds: u64,
    },
    /// A step began.
    StepStarted {
        /// The step.
        step: Slug,
        /// What it does.
        title: String,
        /// Its number within the stage, from 1.
        number: usize,
        /// How many the stage has.
        of: usize,
    },
    /// A program that a step or an undo runs printed a line.
    Line {
        /// The step.
        step: Slug,
        /// The line, without its end.
        text: String,
    },
    /// A step is done, and what it left was read again.
    StepDone {
        /// The step.
        step: Slug,
    },
    /// A step failed or was refused.
    StepFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// A stage is done and verified.
    StageVerified {
        /// The stage.
        stage: Slug,
    },
    /// A stage is undone unless somebody confirms.
    AwaitingConfirm {
        /// The stage.
        stage: Slug,
        /// Seconds that are left; counted from the trial boot where it watches over one.
        seconds: u64,
    },
    /// A stage was confirmed.
    Confirmed {
        /// The stage.
        stage: Slug,
    },
    /// Stages are about to be undone.
    UndoStarted {
        /// Which, in the order of the plan.
        stages: Vec<Slug>,
        /// Why.
        why: Cause,
        /// How many steps there are to undo.
        steps: usize,
    },
    /// A step was undone, and what it restored was read again.
    StepUndone {
        /// The step.
        step: Slug,
    },
    /// A confirmed stage is about to be undone under a guard of its own.
    TakeBackStarted {
        /// The stage.
        stage: Slug,
        /// How many steps there are to undo.
        steps: usize,
        /// Seconds until it comes back unless somebody confirms.
        seconds: u64,
    },
    /// What was undone under that guard is about to come back.
    ReturnStarted {
        /// The stage.
        stage: Slug,
        /// Why.
        why: Cause,
    },
    /// What a step had done is there again, and was read again.
    StepReturned {
        /// The step.
        step: Slug,
    },
    /// It could not be brought back; the others go on.
    ReturnFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// An undo failed; the others go on.
    UndoFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// Somebody else's change was left as it is.
    LeftAsChanged {
        /// The step whose undo met it.
        step: Slug,
        /// What was changed.
        what: String,
    },
    /// Somebody else's change gave way to the way in, and lies beside.
    KeptBeside {
        /// The step whose undo met it.
        step: Slug,
        /// Where it stood.
        path: PathBuf,
        /// Where it lies now.
        kept: PathBuf,
    },
    /// Something a person should know that stops nothing.
    Warning {
        /// In words.
        text: String,
    },
}
