//! What a host has that a new guest would collide with, and the bridge that it goes to.
//!
//! Decides: whether a name is free, which bridge is meant where none is named, whether a guest runs. Facts: xl(1)
//! `domid`, which ends with another status than 0 for a domain that is not there; /sys/hypervisor/type. Never: writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xenup_machine::network::Mac;
use xenup_machine::process::Query;
use xenup_machine::{MachineError, Probe, Reason};

use super::{Name, NewGuest, Record, config_path};
use crate::guest::Here;
use crate::guest::list;
use crate::host::Host;

const LIMIT: u64 = 1 << 20;

/// Why a guest cannot have its name, or its files their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Another guest file has the name.
    Name {
        /// The file.
        file: PathBuf,
    },
    /// Something stands where one of its files is to be.
    Place(PathBuf),
    /// A record of this name is there: a guest that was made, or whose making was cut off.
    Record(PathBuf),
    /// A domain of this name runs.
    Runs,
}

/// Returns what is in the way of a new guest.
///
/// # Errors
/// A directory that is there and cannot be read.
pub fn taken(probe: &dyn Probe, name: &Name, guest: &NewGuest) -> Result<Option<Taken>, MachineError> {
    let (files, _) = list::find(probe)?;
    let named =
        files.iter().filter_map(|one| one.file.as_ref().ok()).find(|file| file.guest_name() == name.as_str());
    if let Some(file) = named {
        return Ok(Some(Taken::Name { file: file.path().to_owned() }));
    }
    let record = Record::path(name);
    if stands(probe, &record)? {
        return Ok(Some(Taken::Record(record)));
    }
    let config = config_path(name);
    for place in [Some(&config), Some(&guest.disk), guest.auto.as_ref()].into_iter().flatten() {
        if stands(probe, place)? {
            return Ok(Some(Taken::Place(place.clone())));
        }
    }
    Ok((running(probe, name)? == Running::Yes).then_some(Taken::Runs))
}

fn stands(probe: &dyn Probe, path: &Path) -> Result<bool, MachineError> {
    match probe.entry(path) {
        Ok(entry) => Ok(entry.is_some()),
        Err(error) if error.reason == Reason::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a domain runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Running {
    /// It does, or is paused.
    Yes,
    /// It does not, or this is no Xen host.
    No,
    /// The host is one, and xl did not say.
    Unknown(String),
}

/// Returns whether a guest runs: xl is asked where this machine runs under Xen.
///
/// # Errors
/// /sys cannot be read.
pub fn running(probe: &dyn Probe, name: &Name) -> Result<Running, MachineError> {
    match probe.read(Path::new("/sys/hypervisor/type"), 64) {
        Ok(kind) if kind.starts_with(b"xen") => {}
        Ok(_) => return Ok(Running::No),
        Err(error) if error.reason == Reason::NotFound => return Ok(Running::No),
        Err(error) => return Err(error),
    }
    let said = match probe.query(&Query::new("xl", ["list"])) {
        Ok(said) if said.success() => said,
        Ok(said) => return Ok(Running::Unknown(said.complaint())),
        Err(error) => return Ok(Running::Unknown(error.to_string())),
    };
    // `Name ID Mem VCPUs State Time(s)`; a name has no blanks.
    let text = said.text();
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let is = names.into_iter().any(|one| one == name.as_str());
    Ok(if is { Running::Yes } else { Running::No })
}

/// Returns the addresses of all guests that have a file.
///
/// # Errors
/// A directory that is there and cannot be read.
pub fn macs(probe: &dyn Probe) -> Result<BTreeSet<Mac>, MachineError> {
    let (files, _) = list::find(probe)?;
    let vifs = files.iter().filter_map(|one| one.file.as_ref().ok()).flat_map(|file| file.vifs());
    Ok(vifs.filter_map(|(_, vif)| vif.mac).collect())
}

/// Why there is no bridge to take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BridgeFault {
    /// The one that was named is not there.
    #[error("this machine has no bridge {0}")]
    Absent(String, Vec<String>),
    /// There is none.
    #[error("this machine has no bridge, and host.toml names none")]
    Nothing,
    /// There are several.
    #[error("several bridges: {}", .0.join(", "))]
    Several(Vec<String>),
}

impl BridgeFault {
    /// Returns one command or decision that helps.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Absent(_, others) if !others.is_empty() => format!("--bridge {}", others.join(" or ")),
            Self::Absent(..) | Self::Nothing => "xenup init, then xenup apply makes one".to_owned(),
            Self::Several(names) => format!("say which: --bridge {}", names.join(" or ")),
        }
    }
}

/// Returns the bridge of a new guest: the one that is named, else host.toml's first, else the only one that runs, else
/// the one that xl would take.
///
/// # Errors
/// None to take, or a named one that is not there.
pub fn bridge(probe: &dyn Probe, here: &Here<'_>, named: Option<&str>) -> Result<String, BridgeFault> {
    let running: Option<Vec<String>> = here.bridges().map(|names| names.iter().cloned().collect());
    let is_there = |name: &str| running.as_ref().is_none_or(|names| names.iter().any(|one| one == name));
    if let Some(name) = named {
        return match is_there(name) {
            true => Ok(name.to_owned()),
            false => Err(BridgeFault::Absent(name.to_owned(), running.unwrap_or_default())),
        };
    }
    let path = Path::new(crate::host::PATH);
    let host = probe.read(path, LIMIT).ok().and_then(|bytes| Host::parse(path, &bytes).ok());
    if let Some(host) = host {
        let bridges = host.bridges.iter().map(|bridge| bridge.name.to_string());
        let names = bridges.chain(host.nats.iter().map(|nat| nat.name.to_string()));
        if let Some(name) = names.into_iter().find(|name| is_there(name)) {
            return Ok(name);
        }
    }
    match running {
        Some(names) if names.iter().any(|name| name == here.default_bridge()) => {
            Ok(here.default_bridge().to_owned())
        }
        Some(mut names) if names.len() == 1 => names.pop().ok_or(BridgeFault::Nothing),
        Some(names) if !names.is_empty() => Err(BridgeFault::Several(names)),
        Some(_) => Err(BridgeFault::Nothing),
        None => Ok(here.default_bridge().to_owned()),
    }
}
