//! The machine a verb works on: opened, asked, with errors that say what to do.

use std::path::{Path, PathBuf};

use xenup_core::inspect::facts::{FORMAT, Facts};
use xenup_core::inspect::{Installed, Surroundings, gather};
use xenup_core::packages::{self, AptSimulation};
use xenup_engine::error::EngineError;
use xenup_engine::snapshot::{FileSnapshot, Standing};
use xenup_machine::file::Attributes;
use xenup_machine::{MachineError, Probe, Reason};
use xenup_system::{Environment, System, files};

use crate::args::Source;
use crate::error::{CommandError, Exit};
pub use crate::guard::store;

/// Opens the running machine.
pub fn running() -> Result<System, CommandError> {
    System::running().map_err(machine_error)
}

/// Asks apt what installing these packages, or files of packages, would do.
pub fn simulated(wanted: &[String]) -> Result<AptSimulation, CommandError> {
    let said = running()?.query(&packages::simulate(wanted)).map_err(machine_error)?;
    AptSimulation::of(&said).map_err(|finding| CommandError::refused(finding.what).hinted(finding.fix))
}

/// Writes a host.toml that somebody may edit, at once or not at all; its folder is made where it is missing.
pub fn write_host(path: &Path, text: &str) -> Result<(), CommandError> {
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder).map_err(CommandError::failed)?;
    }
    files::write_atomic(path, text.as_bytes(), 0o644).map_err(CommandError::failed)
}

/// Refuses a caller who may not change the machine.
pub fn need_root(verb: &str) -> Result<(), CommandError> {
    if Environment::read().is_root {
        return Ok(());
    }
    Err(CommandError::usage(format!("{verb} changes the machine, and needs root"))
        .hinted(format!("sudo xenup {verb}")))
}

/// Reads the facts of the running machine, of a tree, or from a file of facts.
pub fn facts(source: &Source) -> Result<Facts, CommandError> {
    if let Some(path) = &source.facts {
        return facts_file(path);
    }
    let surroundings = Surroundings { ssh_connection: Environment::read().ssh_connection };
    match &source.root {
        None => Ok(gather(&running()?, &surroundings)),
        Some(root) => {
            let tree = tree(root)?;
            Ok(gather(&tree, &Surroundings::default()))
        }
    }
}

/// Reads the facts of a system that an installer has made, in its chroot.
pub fn facts_of_installed() -> Result<Facts, CommandError> {
    let mut facts = gather(&Installed(&running()?), &Surroundings::default());
    // Nothing of it has booted that could be known to.
    facts.boot.can_try_newer = false;
    Ok(facts)
}

/// What `inspect --json` writes, as far as it is read back.
#[derive(serde::Deserialize)]
struct Inspected {
    facts: Facts,
}

fn facts_file(path: &Path) -> Result<Facts, CommandError> {
    let bytes = files::read(path).map_err(CommandError::usage)?;
    let inspected: Inspected = serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::usage(at_line(path, &error)).hinted("write it with: xenup inspect --json")
    })?;
    if inspected.facts.format == FORMAT {
        return Ok(inspected.facts);
    }
    Err(CommandError::usage(format!(
        "{}: facts of format {}, this version reads format {FORMAT}",
        path.display(),
        inspected.facts.format
    ))
    .hinted("write it anew with this version: xenup inspect --json"))
}

/// Turns a failure of the machine into one with a hint.
pub fn machine_error(error: MachineError) -> CommandError {
    let hint = hint_for(&error);
    let exit = if error.reason == Reason::Denied { Exit::Usage } else { Exit::FailedAndRestored };
    let failed = CommandError::new(exit, error);
    match hint {
        Some(hint) => failed.hinted(hint),
        None => failed,
    }
}

/// Opens the machine whose root is mounted somewhere.
pub fn tree(root: &Path) -> Result<impl Probe + std::fmt::Debug + use<>, CommandError> {
    System::tree(&absolute(root)).map_err(|error| {
        CommandError::usage(error).hinted("name the folder where the machine's root is mounted: --root DIR")
    })
}

/// Turns a failure of the engine into one with a hint.
pub fn engine_error(error: EngineError) -> CommandError {
    let hint = match &error {
        EngineError::Locked { .. } => {
            Some("wait until it is done; xenup status says what it does".to_owned())
        }
        EngineError::Unfinished { .. } => Some("xenup status, then xenup apply or xenup rollback".to_owned()),
        EngineError::NoSuchRun { .. } => Some("xenup history lists the runs".to_owned()),
        EngineError::OtherMachine { .. } => Some("make a plan on this machine: xenup plan".to_owned()),
        EngineError::Drift { .. } => {
            Some("look at what changed, then make a new plan: xenup plan".to_owned())
        }
        EngineError::ChangedSince { files, .. } => files.first().map(as_before),
        EngineError::NoReturn { .. } => {
            Some("xenup status says where it stands, and what to type".to_owned())
        }
        EngineError::Confirm(_) => None,
        other => other.machine_error().and_then(hint_for),
    };
    let exit = match &error {
        EngineError::Locked { .. } | EngineError::Unfinished { .. } | EngineError::Drift { .. } => {
            Exit::Refused
        }
        EngineError::NoSuchRun { .. } | EngineError::NoSuchStage { .. } => Exit::Usage,
        EngineError::OtherMachine { .. }
        | EngineError::ChangedSince { .. }
        | EngineError::NoReturn { .. }
        | EngineError::Confirm(_) => Exit::Refused,
        _ => Exit::FailedAndRestored,
    };
    let failed = CommandError::new(exit, error);
    match hint {
        Some(hint) => failed.hinted(hint),
        None => failed,
    }
}

/// How a file gets what stood there before the run, which is what the rollback would have put there.
fn as_before(file: &FileSnapshot) -> String {
    let path = file.path.display();
    let command = match &file.there {
        None => format!("rm {path}"),
        Some(Standing { entry, digest: Some(digest), .. }) => {
            let Attributes { uid, gid, mode, .. } = &entry.attributes;
            let copy = store().root().join("objects").join(digest.as_str());
            format!("install -o {uid} -g {gid} -m {mode:04o} {} {path}", copy.display())
        }
        Some(_) => format!("put back what stood at {path} before the run"),
    };
    format!("keep a copy of your change, give the file up, and roll back again: {command}")
}

/// What a cause that is known by its words alone asks for: the kernel's numbers, and apt's own advice.
pub fn hint_for_words(why: &str) -> Option<String> {
    let path = why.split([' ', ':', '`']).find(|word| word.starts_with('/'));
    let dir = path.and_then(|path| Path::new(path).parent()).map(|dir| dir.display().to_string());
    if why.contains("(os error 28)") || why.contains("No space left on device") {
        return Some(format!("make room: df -h {}", dir.unwrap_or_default()).trim_end().to_owned());
    }
    if why.contains("(os error 30)") {
        return Some(READ_ONLY.to_owned());
    }
    if why.contains("which the plan does not list") {
        return Some(
            "see it: apt-get -s -f install; if what it takes away may go: apt-get -f install".to_owned(),
        );
    }
    why.contains("E: Failed to fetch").then(|| "apt-get update, then xenup apply".to_owned())
}

const READ_ONLY: &str = "remount the file system for writing: mount -o remount,rw / (its path may differ)";

fn hint_for(error: &MachineError) -> Option<String> {
    match error.reason {
        Reason::Denied => Some("run it as root".to_owned()),
        Reason::NoSpace => Some(match error.path().as_deref().and_then(Path::parent) {
            Some(parent) => format!("make room: df -h {}", parent.display()),
            None => "make room: df -h".to_owned(),
        }),
        Reason::ReadOnly => Some(READ_ONLY.to_owned()),
        _ => None,
    }
}

/// Returns an absolute path, taken from the working directory where it is relative.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns a fault in a JSON file as `path:line:column: what`.
pub fn at_line(path: &Path, error: &serde_json::Error) -> String {
    let words = error.to_string();
    let what = words.split(" at line ").next().unwrap_or(&words);
    format!("{}:{}:{}: {what}", path.display(), error.line(), error.column())
}
