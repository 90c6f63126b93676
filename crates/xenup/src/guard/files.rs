//! Writing the guard's files by the engine's one way of writing, and taking them away without a trace.
//!
//! A directory that has to be made is first noted in a list in the guard's own directory, so that the taking away
//! removes what was made and nothing else.

use std::path::{Path, PathBuf};

use xenup_engine::durable;
use xenup_machine::file::{Attributes, Kind};
use xenup_machine::{Machine, MachineError};
use xenup_system::guard::{GuardFile, GuardFileKind};

/// The longest list of made directories that is read.
const LONGEST_LIST: u64 = 64 << 10;

/// Writes the files in order; when it returns they are on stable storage under their names.
///
/// # Errors
/// The first that cannot be written; those before it stay, harmless, until [`take_away`].
pub(super) fn put(machine: &mut dyn Machine, guard: &Path, files: &[GuardFile]) -> Result<(), MachineError> {
    durable::make_dirs(machine, guard, 0o700)?;
    for file in files {
        match &file.kind {
            GuardFileKind::Dir => make_noted(machine, guard, &file.path)?,
            GuardFileKind::Bytes { bytes, mode } => {
                let attributes = Attributes::root(*mode);
                durable::put_file(machine, &file.path, bytes, &attributes, &fresh(&file.path))?;
            }
            GuardFileKind::Link { target } => {
                let attributes = Attributes::root(0o777);
                durable::put_link(machine, &file.path, target, &attributes, &fresh(&file.path))?;
            }
        }
    }
    Ok(())
}

fn make_noted(machine: &mut dyn Machine, guard: &Path, dir: &Path) -> Result<(), MachineError> {
    if machine.entry(dir)?.is_some() {
        return Ok(());
    }
    let mut made = noted(machine, guard)?;
    if !made.iter().any(|path| path == dir) {
        made.push(dir.to_owned());
        let text: String = made.iter().map(|path| format!("{}\n", path.display())).collect();
        let list = list(guard);
        durable::put_file(machine, &list, text.as_bytes(), &Attributes::root(0o600), &fresh(&list))?;
    }
    durable::make_dir(machine, dir, &Attributes::root(0o755))
}

fn list(guard: &Path) -> PathBuf {
    guard.join("made-directories")
}

fn noted(machine: &dyn Machine, guard: &Path) -> Result<Vec<PathBuf>, MachineError> {
    match machine.read(&list(guard), LONGEST_LIST) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(PathBuf::from).collect()),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A name beside a path that systemd, insserv and agetty pass over.
fn fresh(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".xenup-new");
    durable::parent(path).join(name)
}

/// Takes the files away, then the directories that were made for them, then the guard's own directory with the copies
/// of the binary; goes on past errors, and what is gone already is no error.
///
/// # Errors
/// The first error met, after everything else was tried. The guard's own directory then stays, and with it the list.
pub(super) fn take_away(
    machine: &mut dyn Machine,
    guard: &Path,
    files: &[GuardFile],
) -> Result<(), MachineError> {
    let mut first = Ok(());
    for file in files.iter().rev().filter(|file| file.kind != GuardFileKind::Dir) {
        for path in [&file.path, &fresh(&file.path)] {
            let cleared = clear_file(machine, path);
            first = first.and(cleared);
        }
    }
    for dir in noted(machine, guard)?.iter().rev() {
        let removed = durable::remove_dir_if_empty(machine, dir);
        first = first.and(removed);
    }
    first?;
    remove_guard_dir(machine, guard)
}

fn clear_file(machine: &mut dyn Machine, path: &Path) -> Result<(), MachineError> {
    match machine.entry(path)? {
        Some(entry) if entry.kind == Kind::Dir => Ok(()),
        _ => durable::clear(machine, path),
    }
}

fn remove_guard_dir(machine: &mut dyn Machine, guard: &Path) -> Result<(), MachineError> {
    let names = match machine.list(guard) {
        Err(error) if error.is_not_found() => return Ok(()),
        names => names?,
    };
    for name in names {
        clear_file(machine, &guard.join(name))?;
    }
    durable::remove_dir_if_empty(machine, guard)
}
