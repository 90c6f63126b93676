//! A guest that `guest create` made, before it is changed: its record, and what is in the way. Never changes anything.

use std::path::Path;

use xenup_core::guest::Here;
use xenup_core::guest::create::{self, Name, Record, Running};
use xenup_core::guest::list;
use xenup_machine::{Probe, Reason};

use crate::commands::machine;
use crate::error::CommandError;

const RECORD_LIMIT: u64 = 1 << 20;

/// Returns the guest's record.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn record(probe: &dyn Probe, name: &Name) -> Result<Record, CommandError> {
    let path = Record::path(name);
    let bytes = match probe.read(&path, RECORD_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.reason == Reason::NotFound => {
            let words =
                format!("xenup guest create made no guest {name}: what it did not make it leaves alone");
            return Err(CommandError::refused(words)
                .hinted("xenup guest list names each guest's file and disks: change them by hand"));
        }
        Err(error) => return Err(machine::machine_error(error)),
    };
    Record::parse(name, &bytes).map_err(|fault| {
        CommandError::refused(format!("{}: {fault}", path.display()))
            .hinted(format!("change the guest's files by hand, then: rm {}", path.display()))
    })
}

/// Refuses a guest that runs, or of which nobody can say; `again` is the command to type afterwards.
///
/// # Errors
/// It runs, or xl does not answer.
pub fn refuse_running(probe: &dyn Probe, name: &Name, again: &str) -> Result<(), CommandError> {
    match create::running(probe, name).map_err(machine::machine_error)? {
        Running::No => Ok(()),
        Running::Yes => Err(CommandError::refused(format!("{name} runs"))
            .hinted(format!("xl shutdown -w {name}, then: {again}"))),
        Running::Unknown(why) => {
            Err(CommandError::refused(format!("xl does not say whether {name} runs: {why}"))
                .hinted("systemctl status xen-init-dom0.service xenstored.service"))
        }
    }
}

/// Refuses where another guest's file names a disk of this one.
///
/// # Errors
/// One does, or the files cannot be listed.
pub fn refuse_shared(probe: &dyn Probe, name: &Name, record: &Record) -> Result<(), CommandError> {
    let listed = list::list(probe, &Here::look(probe)).map_err(machine::machine_error)?;
    let disk = record.disk();
    for guest in listed.guests.iter().filter(|guest| guest.name != name.as_str()) {
        let named =
            |path: &Path| guest.disks.iter().any(|one| one.target.as_deref().map(Path::new) == Some(path));
        if let Some(path) = disk.filter(|path| named(path)) {
            let words = format!("{} is a disk of {} too", path.display(), guest.path.display());
            return Err(
                CommandError::refused(words).hinted(format!("take it out of {} first", guest.path.display()))
            );
        }
    }
    Ok(())
}
