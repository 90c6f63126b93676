//! What bridges over the NICs of systemd-networkd and of NetworkManager have in common: each ends while the links change, reads
//! files of ours when it starts, and takes over what it finds.
//!
//! Decides: how a file of ours becomes a step. Never: knows the form of a file.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::process::Command;

use crate::inspect::Finding;
use crate::inspect::facts::Facts;
use crate::plan::step::{Draft, write_as};

/// The steps of all bridges over an owner's NICs, around those that switch the links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// Before the links are switched: the files, then the owner ends.
    pub before: Vec<Step>,
    /// After it: the owner begins again.
    pub after: Vec<Step>,
    /// What holds then, in this boot and in later ones.
    pub checks: Vec<Condition>,
    /// What somebody should know.
    pub findings: Vec<Finding>,
}

/// Where a setting of the NIC's file belongs once the NIC is a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    /// With the addresses.
    ToBridge,
    /// With the cable.
    ToPort,
    /// To both.
    ToBoth,
    /// Nowhere: it says which NIC or which file it is.
    Away,
    /// This version does not know, or a port cannot have it.
    Nowhere,
}

/// Returns what a file says, the owner's or another one.
pub(super) fn text_of<'a>(facts: &'a Facts, path: &Path) -> Option<&'a str> {
    let of_owner = facts.network.files.iter().find(|file| file.path == path);
    of_owner.map(|file| file.text.as_str()).or_else(|| facts.file(path))
}

/// Leaves the first of the files of each path: several bridges may ask for the same one.
pub(super) fn once<F>(files: &mut Vec<F>, path: impl Fn(&F) -> &PathBuf) {
    let mut seen: Vec<PathBuf> = Vec::new();
    files.retain(|file| {
        let first = !seen.contains(path(file));
        seen.push(path(file).clone());
        first
    });
}

/// Returns the step that makes a file hold `text`, with these permission bits where it is new; `None` where it does already.
pub(super) fn file_step(
    path: &Path,
    (text, mode): (&str, u32),
    before: Option<&str>,
    why: &str,
) -> Option<Step> {
    let action = write_as(path, text, mode, before)?;
    let verb = if before.is_some() { "Change" } else { "Write" };
    let title = format!("{verb} {}", path.display());
    Some(Draft::new(&title, title.clone(), why, action).risks(&[Risk::CutsNetwork]).step())
}

/// Returns a step of this boot that runs commands, each way.
pub(super) fn run(
    id: &str,
    title: &str,
    why: &str,
    forward: Option<Command>,
    backward: Option<Command>,
) -> Step {
    let action = Action::run(forward, backward);
    Draft::new(id, title, why, action).risks(&[Risk::CutsNetwork]).this_boot().step()
}
