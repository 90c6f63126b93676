//! Files that a command makes from others: GRUB's menu, an initramfs.
//!
//! Decides: whether an undo puts the bytes back that were kept, or has their owner make them again.
//! Never: writes over what anybody else has made since, or trusts bytes that it has not compared.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xenup_machine::file::{Attributes, Kind};
use xenup_machine::process::Command;
use xenup_machine::{MachineError, Probe};

use crate::digest::Digest;
use crate::durable;
use crate::guard::Session;
use crate::journal::UndoNote;
use crate::perform::{self, StepError, settle, temporary};
use crate::snapshot::LARGEST_FILE;
use crate::status::Status;
use crate::undo::Undoing;

/// The largest generated file that is digested (an initrd with all firmware stays below).
const LARGEST_GENERATED: u64 = 2 << 30;

/// Where the bytes are kept, or will be, and how much stays free there: an old initramfs is not worth a disk that fills.
const KEPT_BELOW: &str = "/var";
const LEFT_FREE: u64 = 256 << 20;

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The file.
    pub path: PathBuf,
    /// Digest of its bytes; `None` where it is absent.
    pub digest: Option<Digest>,
    /// Owner, mode and time, where its bytes are in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Attributes>,
}

/// Takes pictures of generated files; the bytes of those that are to be kept come along, as far as there is room.
///
/// # Errors
/// One is there and cannot be read.
pub fn capture(
    probe: &dyn Probe,
    paths: &[PathBuf],
    keep: bool,
) -> Result<(Vec<Generated>, Vec<Vec<u8>>), MachineError> {
    let (mut files, mut contents) = (Vec::new(), Vec::new());
    let mut room = match keep {
        true => probe.space(Path::new(KEPT_BELOW))?.free.saturating_sub(LEFT_FREE),
        false => 0,
    };
    for path in paths {
        let Some(bytes) = bytes(probe, path)? else {
            files.push(Generated { path: path.clone(), digest: None, kept: None });
            continue;
        };
        let entry = probe.entry(path)?.filter(|entry| {
            // A link is its owner's way to say where the file is: what it points to is not put back through it.
            keep && matches!(entry.kind, Kind::File { size } if size <= LARGEST_FILE.min(room))
        });
        let digest = Some(Digest::of(&bytes));
        let kept = entry.map(|entry| entry.attributes);
        if kept.is_some() {
            room = room.saturating_sub(bytes.len() as u64);
            contents.push(bytes);
        }
        files.push(Generated { path: path.clone(), digest, kept });
    }
    Ok((files, contents))
}

fn bytes(probe: &dyn Probe, path: &Path) -> Result<Option<Vec<u8>>, MachineError> {
    match probe.read(path, LARGEST_GENERATED) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn digest(probe: &dyn Probe, path: &Path) -> Result<Option<Digest>, MachineError> {
    Ok(bytes(probe, path)?.map(|bytes| Digest::of(&bytes)))
}

/// Brings generated files to what they were: each by the bytes that were kept, where it is what this run made of it
/// (as `undoing.status` knows), or all of them by their owner's command.
///
/// # Errors
/// The command fails, or a file cannot be read.
pub(crate) fn undo(
    session: &mut Session<'_>,
    undoing: &Undoing<'_>,
    (backward, put_back): (Option<&Command>, bool),
    before: &[Generated],
) -> Result<Vec<UndoNote>, StepError> {
    let Some(command) = backward else { return Ok(Vec::new()) };
    let step = &undoing.step.id;
    for file in before.iter().filter(|_| put_back) {
        durable::clear(session.machine, &temporary(&file.path, undoing.run))?;
    }
    let made = undoing.status.filter(|_| put_back).and_then(Status::made);
    if let Some(made) = made
        && is_put_back(session, undoing, &made, before)?
    {
        settle(session, step)?;
        return Ok(Vec::new());
    }
    perform::run(session, step, command)?;
    settle(session, step)?;
    let mut notes = Vec::new();
    for file in before {
        if digest(session.machine, &file.path)? != file.digest {
            notes.push(UndoNote::RegeneratedDifferently { path: file.path.clone() });
        }
    }
    Ok(notes)
}

/// Puts the kept bytes back. Returns whether every file is what it was; where not, their owner makes them again.
fn is_put_back(
    session: &mut Session<'_>,
    undoing: &Undoing<'_>,
    made: &[Digest],
    before: &[Generated],
) -> Result<bool, StepError> {
    let mut differing = Vec::new();
    for file in before {
        let now = digest(session.machine, &file.path)?;
        if now == file.digest {
            continue;
        }
        match (&file.digest, &file.kept, now) {
            (Some(kept), Some(attributes), Some(now)) if made.contains(&now) => {
                differing.push((&file.path, kept, attributes));
            }
            _ => return Ok(false),
        }
    }
    for (path, kept, attributes) in differing {
        let Ok(bytes) = session.store.object(session.machine, kept) else { return Ok(false) };
        let temporary = temporary(path, undoing.run);
        if durable::put_file(session.machine, path, &bytes, attributes, &temporary).is_err() {
            // No room for a second one beside it, or a file system without owners: the command knows its ways.
            let _ = durable::clear(session.machine, &temporary);
            return Ok(false);
        }
    }
    let are_back = before.iter().map(|file| Ok(digest(session.machine, &file.path)? == file.digest));
    are_back.collect::<Result<Vec<bool>, StepError>>().map(|all| all.into_iter().all(|back| back))
}
