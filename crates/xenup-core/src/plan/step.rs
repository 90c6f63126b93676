//! How a step is put together. Decides the usual values; never what is done.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition, FileState, Lasts, Undo};
use xenup_engine::digest::Digest;
use xenup_engine::plan::{Risk, Slug, Step};
use xenup_machine::process::Command;

/// A step being written: on disk, undone from the journal, without risk, unless it says otherwise.
pub(crate) struct Draft(Step);

impl Draft {
    pub fn new(id: &str, title: impl Into<String>, why: impl Into<String>, action: Action) -> Self {
        let undo = if matches!(action, Action::Run { .. }) { Undo::Command } else { Undo::Restore };
        Self(Step {
            id: Slug::of(id),
            title: title.into(),
            why: why.into(),
            risks: Vec::new(),
            needs: Vec::new(),
            action,
            leaves: Vec::new(),
            undo,
            lasts: Lasts::OnDisk,
        })
    }

    /// Goes on with a step that was written elsewhere.
    pub fn of(step: Step) -> Self {
        Self(step)
    }

    pub fn risks(mut self, risks: &[Risk]) -> Self {
        self.0.risks = risks.to_vec();
        self
    }

    pub fn needs(mut self, needs: Vec<Condition>) -> Self {
        self.0.needs = needs;
        self
    }

    pub fn leaves(mut self, leaves: Vec<Condition>) -> Self {
        self.0.leaves = leaves;
        self
    }

    pub fn this_boot(mut self) -> Self {
        self.0.lasts = Lasts::ThisBoot;
        self
    }

    pub fn step(self) -> Step {
        self.0
    }
}

/// Permission bits of a configuration file.
pub(crate) const PLAIN: u32 = 0o644;

/// Returns the action that makes `path` hold `text`; `None` where it does already.
pub(crate) fn write(path: &Path, text: &str, now: Option<&str>) -> Option<Action> {
    write_as(path, text, PLAIN, now)
}

/// As [`write`], with these permission bits where the file is new.
pub(crate) fn write_as(path: &Path, text: &str, mode: u32, now: Option<&str>) -> Option<Action> {
    (now != Some(text)).then(|| Action::File {
        path: path.to_owned(),
        state: FileState::Text { text: text.to_owned(), mode },
        seen: now.map(|now| Digest::of(now.as_bytes())),
    })
}

/// A command that brings what it generates up to date, split in two: run when everything before it is done, and when
/// everything after it is undone; `put_back` says that the bytes kept of what it generates may do instead.
pub(crate) fn bracket(command: &Command, generates: &[PathBuf], put_back: bool) -> (Action, Action) {
    let half = |forward, backward| Action::Run {
        forward,
        backward,
        generates: generates.to_vec(),
        put_back,
        once: false,
    };
    (half(None, Some(command.clone())), half(Some(command.clone()), None))
}
