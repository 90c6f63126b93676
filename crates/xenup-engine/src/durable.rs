//! The one way the engine writes: whole and durable, or not at all.
//!
//! Decides: the order of create, sync, rename and sync. Never: what is written, or where.

use std::path::{Path, PathBuf};

use xenup_machine::file::Attributes;
use xenup_machine::{Machine, MachineError};

/// Returns the directory a path lies in.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Puts a file at `path`, replacing a file or link there. `temporary` is a name in the same directory that
/// belongs to the caller: what an earlier attempt left there is removed first.
///
/// # Errors
/// The first primitive that failed; `path` then is what it was, or the new file whose name may not be durable.
pub fn put_file(
    machine: &mut dyn Machine,
    path: &Path,
    bytes: &[u8],
    attributes: &Attributes,
    temporary: &Path,
) -> Result<(), MachineError> {
    clear(machine, temporary)?;
    machine.create_file(temporary, bytes, attributes)?;
    machine.sync_file(temporary)?;
    machine.rename(temporary, path)?;
    machine.sync_dir(parent(path))
}

/// Puts a symbolic link at `path`, as [`put_file`] does a file.
///
/// # Errors
/// As [`put_file`].
pub fn put_link(
    machine: &mut dyn Machine,
    path: &Path,
    target: &Path,
    attributes: &Attributes,
    temporary: &Path,
) -> Result<(), MachineError> {
    clear(machine, temporary)?;
    machine.create_symlink(temporary, target, attributes)?;
    machine.rename(temporary, path)?;
    machine.sync_dir(parent(path))
}

/// Removes a file or link, if it is there. Its absence is made durable even where it is gone already: whoever
/// removed it may have been killed before that.
///
/// # Errors
/// It cannot be removed, or its absence cannot be made durable.
pub fn clear(machine: &mut dyn Machine, path: &Path) -> Result<(), MachineError> {
    if machine.entry(path)?.is_some() {
        machine.remove_file(path)?;
    }
    sync_parent(machine, path)
}

/// Makes the names beside a path durable, its own included. No directory, no names: that is no error.
///
/// # Errors
/// As [`Machine::sync_dir`].
pub fn sync_parent(machine: &mut dyn Machine, path: &Path) -> Result<(), MachineError> {
    match machine.sync_dir(parent(path)) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

/// Makes one directory whose parent is there. One that is there already is left as it is.
///
/// # Errors
/// It cannot be made, or its name cannot be made durable.
pub fn make_dir(machine: &mut dyn Machine, dir: &Path, attributes: &Attributes) -> Result<(), MachineError> {
    if machine.entry(dir)?.is_none() {
        machine.create_dir(dir, attributes)?;
        machine.sync_dir(dir)?;
    }
    machine.sync_dir(parent(dir))
}

/// Makes a directory and those above it that are missing, outermost first.
///
/// # Errors
/// As [`make_dir`].
pub fn make_dirs(machine: &mut dyn Machine, dir: &Path, mode: u32) -> Result<(), MachineError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for above in dir.ancestors() {
        if machine.entry(above)?.is_some() {
            break;
        }
        missing.push(above.to_owned());
    }
    missing.iter().rev().try_for_each(|dir| make_dir(machine, dir, &Attributes::root(mode)))
}

/// Removes a directory where it is there and empty; one that others use stays.
///
/// # Errors
/// It cannot be removed for another reason than being in use.
pub fn remove_dir_if_empty(machine: &mut dyn Machine, dir: &Path) -> Result<(), MachineError> {
    match machine.list(dir) {
        Ok(names) if names.is_empty() => machine.remove_dir(dir)?,
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    sync_parent(machine, dir)
}
