//! Work that must outlive the terminal it was asked for on: started away from the session, and only looked at.
//!
//! Decides how a process is cut loose from its session: a transient service where systemd runs, a process of a
//! session of its own elsewhere. Never decides what the work is. Losing the looker, by a hang-up, a SIGSTOP or a
//! terminal that nobody reads, does not reach the work: between them are only a log file and a state file.

mod detached;
mod follow;
mod state;
mod systemd;

use std::io;
use std::path::{Path, PathBuf};

pub use follow::{Following, ended_within};
pub use state::{Ended, enter, leave};
pub use systemd::{UnitKind, is_systemd_running};

use crate::process::ProcessError;

/// How a piece of work could not be started or looked at.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A file between the work and its looker.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The service manager refused it, or it ended before it was ready.
    #[error("cannot start {unit}")]
    Start {
        /// Its name.
        unit: String,
        /// What the manager said.
        #[source]
        source: ProcessError,
    },
    /// It did not say that it was ready.
    #[error("{unit} {what}; its log is {}", log.display())]
    NotReady {
        /// Its name.
        unit: String,
        /// What it did instead.
        what: &'static str,
        /// Its log.
        log: PathBuf,
    },
}

fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ServiceError + use<'a> {
    move |source| ServiceError::File { doing, path: path.to_owned(), source }
}

/// A piece of work for a process of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name without `.service`: letters, digits, hyphens.
    pub unit: String,
    /// What it is, in a line.
    pub description: String,
    /// What kind of service it is.
    pub kind: UnitKind,
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// The file its output is appended to; its directory must be there.
    pub log: PathBuf,
    /// The directory of state files, on a file system that a reboot empties; it is made where it is missing.
    pub state_dir: PathBuf,
}

/// The directory of state files on a running machine.
#[must_use]
pub fn state_dir() -> PathBuf {
    PathBuf::from("/run/xenup")
}

impl Task {
    fn state(&self) -> PathBuf {
        state::path(&self.state_dir, &self.unit)
    }
}

/// Starts the work and returns when its process has said that it is ready (it called [`enter`] or
/// [`crate::notify::ready`]); the looker then follows it from where its log stood.
///
/// # Errors
/// The log cannot be written, the service manager refuses, or the process ends or stays silent for 60 s.
pub fn start(task: &Task) -> Result<Following, ServiceError> {
    let offset = prepare(task)?;
    if is_systemd_running() {
        systemd::start(task)?
    } else {
        detached::start(task)?
    }
    Following::of(&task.state(), &task.log, offset)
}

/// Starts the work as a process of a session of its own, whether or not systemd runs.
///
/// # Errors
/// As [`start`].
pub fn start_detached(task: &Task) -> Result<Following, ServiceError> {
    let offset = prepare(task)?;
    detached::start(task)?;
    Following::of(&task.state(), &task.log, offset)
}

/// Looks again at work started earlier in this boot, from the start of its log at `offset` bytes.
///
/// # Errors
/// No such work in this boot, or its log is gone.
pub fn attach(state_dir: &Path, unit: &str, log: &Path, offset: u64) -> Result<Following, ServiceError> {
    Following::of(&state::path(state_dir, unit), log, offset)
}

/// Makes the files between the work and its looker; returns the length of the log so far.
fn prepare(task: &Task) -> Result<u64, ServiceError> {
    std::fs::create_dir_all(&task.state_dir).map_err(at("create directory", &task.state_dir))?;
    let state = task.state();
    match std::fs::remove_file(&state) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("remove", &state)(error)),
        _ => {}
    }
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&task.log);
    let log = log.map_err(at("open", &task.log))?;
    Ok(log.metadata().map_err(at("read the size of", &task.log))?.len())
}
