//! The programs of /etc/xenup/guest.d, called when a guest was made and before one is deleted. Decides what a failure of one
//! means, and what the others are told of it.
//!
//! Never: calls one that another user than root could have changed.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::guest::create::{self, HookFault, Hooks, Moment, NewGuest, Record};
use xenup_machine::Probe;
use xenup_system::process::{ProcessError, Tool};

use crate::commands::machine;
use crate::error::CommandError;
use crate::ui::Ui;

/// A program that waits for somebody's answer is ended.
const LIMIT: Duration = Duration::from_secs(600);

/// The programs of this host, and the guest that they are told of.
pub struct Calls {
    hooks: Hooks,
    guest: String,
    disk: PathBuf,
    config: PathBuf,
    /// How many were told that the guest was made.
    called: Cell<usize>,
}

/// A program that did not end well.
#[derive(Debug)]
pub struct HookFailed {
    path: PathBuf,
    source: ProcessError,
}

impl fmt::Display for HookFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} failed", self.path.display())
    }
}

impl std::error::Error for HookFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl HookFailed {
    /// Returns what can be done.
    pub fn hint(&self) -> String {
        format!("mend it, or take it out of the way: chmod a-x {}", self.path.display())
    }
}

impl Calls {
    /// Returns the calls for a guest that is to be made.
    pub fn of_new(probe: &dyn Probe, guest: &NewGuest) -> Result<Self, CommandError> {
        Self::of(probe, &guest.name, &guest.disk, &guest.config)
    }

    /// Returns the calls for a guest that was made.
    pub fn of_made(probe: &dyn Probe, record: &Record) -> Result<Self, CommandError> {
        let path = |path: Option<&Path>| path.unwrap_or(Path::new("")).to_owned();
        Self::of(probe, &record.name, &path(record.disk()), &path(record.config()))
    }

    fn of(probe: &dyn Probe, guest: &str, disk: &Path, config: &Path) -> Result<Self, CommandError> {
        let hooks = create::hooks(probe).map_err(|fault| {
            let hint = fault.hint();
            let error = match fault {
                HookFault::Machine(error) => return machine::machine_error(error),
                fault => CommandError::refused(fault),
            };
            hint.into_iter().fold(error, CommandError::hinted)
        })?;
        let (guest, disk, config) = (guest.to_owned(), disk.to_owned(), config.to_owned());
        Ok(Self { hooks, guest, disk, config, called: Cell::new(0) })
    }

    /// Names what lies there and is not called.
    pub fn warn(&self, ui: &mut Ui) {
        for (path, why) in &self.hooks.passed_over {
            ui.warning(format!("{} is not run: {why}", path.display()));
        }
    }

    /// Says what will be called when the guest was made.
    pub fn show(&self, ui: &mut Ui) {
        for path in &self.hooks.run {
            ui.result(format!("program   {} (XENUP_ACTION={})", path.display(), Moment::Created.word()));
        }
    }

    /// Tells all of them that the guest was made; the first that fails ends it.
    pub fn created(&self, ui: &mut Ui) -> Result<(), HookFailed> {
        for path in &self.hooks.run {
            self.called.set(self.called.get().saturating_add(1));
            self.call(ui, path, Moment::Created)?;
        }
        Ok(())
    }

    /// Tells those that were told of the guest, the one that failed too, that it goes again, the last one first.
    pub fn taken_back(&self, ui: &mut Ui) {
        for path in self.hooks.run.iter().take(self.called.take()).rev() {
            if let Err(error) = self.call(ui, path, Moment::Deleting) {
                ui.warning(format!("{error}: {}", error.source));
            }
        }
    }

    /// Tells all of them that the guest is about to be deleted; the first that fails stops that.
    pub fn deleting(&self, ui: &mut Ui) -> Result<(), CommandError> {
        for path in &self.hooks.run {
            self.call(ui, path, Moment::Deleting).map_err(|error| {
                let hint = error.hint();
                CommandError::failed(error).hinted(hint).hinted(format!("{} was not removed", self.guest))
            })?;
        }
        Ok(())
    }

    fn call(&self, ui: &mut Ui, path: &Path, moment: Moment) -> Result<(), HookFailed> {
        let told = create::told(moment, &self.guest, &self.disk, &self.config);
        let tool = Tool::new(path).env_clear().current_dir("/").timeout(LIMIT).die_with_parent();
        let tool = told.iter().fold(tool, |tool, (name, value)| tool.env(name, value));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ui.status(format!("{} ({})", path.display(), moment.word()));
        let ended = tool.run_lines(&mut |line| ui.status(format!("  {name}: {line}")));
        ended.map(drop).map_err(|source| HookFailed { path: path.to_owned(), source })
    }
}
