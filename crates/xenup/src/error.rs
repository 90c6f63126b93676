//! What a verb ends with. Decides exit codes and the form of an error; never prints by itself.

use std::error::Error;
use std::process::ExitCode;

use crate::ui::Ui;

/// The exit codes, documented in xenup(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed; everything is as it was before.
    FailedAndRestored = 1,
    /// Called wrongly.
    Usage = 2,
    /// Failed, and not everything could be restored.
    NotRestored = 3,
    /// Refused by a finding.
    Refused = 4,
    /// Changes are pending (`plan --check`).
    Pending = 5,
    /// Applied, waiting for `confirm`.
    AwaitingConfirm = 6,
}

impl Exit {
    /// Returns the exit that a program of ours ended with.
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::FailedAndRestored,
            2 => Self::Usage,
            4 => Self::Refused,
            5 => Self::Pending,
            6 => Self::AwaitingConfirm,
            // An exit of no meaning promises nothing.
            _ => Self::NotRestored,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error as its reader needs it: what, why, and what to do.
#[derive(Debug)]
pub struct CommandError {
    /// How the program ends.
    pub exit: Exit,
    /// What happened, with its causes behind `source()`.
    error: Box<dyn Error>,
    /// One runnable command or one decision each.
    hints: Vec<String>,
}

/// A verb's result.
pub type Outcome = Result<Exit, CommandError>;

impl CommandError {
    /// Returns an error that ends with `exit`.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error>>) -> Self {
        Self { exit, error: error.into(), hints: Vec::new() }
    }

    /// Returns an error after which everything is as it was.
    pub fn failed(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Exit::FailedAndRestored, error)
    }

    /// Returns a mistake of the caller.
    pub fn usage(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// Returns a refusal.
    pub fn refused(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Exit::Refused, error)
    }

    /// Adds what the reader can run or decide.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns it and its causes as one line, without the hints.
    #[must_use]
    pub fn words(&self) -> String {
        crate::guard::words(self.error.as_ref())
    }

    /// Says it line by line, as [`CommandError::print`] does, where there is no standard error.
    pub fn tell(&self, say: &mut dyn FnMut(&str)) {
        say(&format!("error: {}", self.error));
        let mut cause = self.error.source();
        while let Some(error) = cause {
            say(&format!("  caused by: {error}"));
            cause = error.source();
        }
        self.hints.iter().for_each(|hint| say(&format!("hint: {hint}")));
    }

    /// Writes it to standard error: `error:`, `caused by:` for each cause, `hint:`.
    pub fn print(&self, ui: &mut Ui) {
        ui.error(&self.error);
        let mut cause = self.error.source();
        while let Some(error) = cause {
            ui.caused_by(error);
            cause = error.source();
        }
        for hint in &self.hints {
            ui.hint(hint);
        }
    }
}
