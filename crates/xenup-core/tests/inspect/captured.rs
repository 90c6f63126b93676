//! A captured machine as a `Probe`: a tree of files, and what the kernel and programs said.
//!
//! A case is a folder. `root/` holds files as they were, /proc and /sys included; `base` names another case below it;
//! `absent` lists paths of the base that are not there; `network.json` is the kernel's network (without it the case
//! is a mere tree); `queries.json` maps command lines to what they print; `space.json` maps paths to free bytes.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use xenup_machine::file::{Attributes, Entry, Kind, Space};
use xenup_machine::network::{Address, Network};
use xenup_machine::process::{Output, Query};
use xenup_machine::{Clock, MachineError, Probe, Reason};

/// More links in a row than any path has.
const LINKS_MAX: usize = 16;

pub struct Captured {
    /// Directories that hold the tree, the uppermost first, each with what it takes away from those below.
    layers: Vec<(PathBuf, BTreeSet<PathBuf>)>,
    network: Option<Network>,
    queries: BTreeMap<String, String>,
    space: BTreeMap<PathBuf, u64>,
}

impl Captured {
    pub fn open(case: &Path) -> Self {
        let mut captured =
            Self { layers: Vec::new(), network: None, queries: BTreeMap::new(), space: BTreeMap::new() };
        let mut next = Some(case.to_owned());
        while let Some(case) = next {
            captured.add(&case);
            let base = std::fs::read_to_string(case.join("base")).ok();
            next = base.map(|name| case.parent().unwrap().join(name.trim()));
        }
        captured
    }

    fn add(&mut self, case: &Path) {
        let text = |name: &str| std::fs::read_to_string(case.join(name)).ok();
        let absent = text("absent").unwrap_or_default();
        let absent = absent.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect();
        self.layers.push((case.join("root"), absent));
        if self.network.is_none() {
            self.network = text("network.json").map(|json| serde_json::from_str(&json).unwrap());
        }
        let queries: BTreeMap<String, String> =
            text("queries.json").map(|json| serde_json::from_str(&json).unwrap()).unwrap_or_default();
        for (query, said) in queries {
            self.queries.entry(query).or_insert(said);
        }
        let space: BTreeMap<PathBuf, u64> =
            text("space.json").map(|json| serde_json::from_str(&json).unwrap()).unwrap_or_default();
        for (path, free) in space {
            self.space.entry(path).or_insert(free);
        }
    }

    /// The file of the uppermost layer that has it; `path` has no links in it but perhaps its last part.
    fn real(&self, path: &Path) -> Option<PathBuf> {
        let inner = path.strip_prefix("/").unwrap_or(path);
        for (root, absent) in &self.layers {
            let here = root.join(inner);
            if here.symlink_metadata().is_ok() {
                return Some(here);
            }
            if absent.iter().any(|gone| path.starts_with(gone)) {
                return None;
            }
        }
        None
    }

    /// Follows links within the tree; the last part too, where `last` says so.
    fn resolve(&self, path: &Path, last: bool) -> Option<PathBuf> {
        let mut waiting: Vec<OsString> = parts(path);
        let mut done = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = waiting.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let real = self.real(&done)?;
            if real.is_symlink() && (last || !waiting.is_empty()) {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                let target = std::fs::read_link(&real).unwrap();
                done.pop();
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                waiting.extend(parts(&target));
            }
        }
        Some(done)
    }

    fn found(&self, doing: &'static str, path: &Path) -> Result<PathBuf, MachineError> {
        let gone = || MachineError::at(doing, path, Reason::NotFound, "No such file or directory");
        self.resolve(path, true).ok_or_else(gone)
    }
}

/// The parts of a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut parts: Vec<OsString> = parts.collect();
    parts.reverse();
    parts
}

impl Probe for Captured {
    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>, MachineError> {
        let real = self.real(&self.found("read", path)?).unwrap();
        std::fs::read(&real).map_err(|error| MachineError::from_io("read", path, &error))
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        let Some(real) = self.resolve(path, false).and_then(|path| self.real(&path)) else { return Ok(None) };
        let metadata = real.symlink_metadata().unwrap();
        let kind = if metadata.is_symlink() {
            Kind::Symlink { target: std::fs::read_link(&real).unwrap() }
        } else if metadata.is_dir() {
            Kind::Dir
        } else {
            Kind::File { size: metadata.len() }
        };
        Ok(Some(Entry { kind, attributes: Attributes::root(0o644), device: 1 }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        let dir = self.found("list", dir)?;
        let inner = dir.strip_prefix("/").unwrap_or(&dir);
        let mut names = BTreeSet::new();
        for (root, _) in &self.layers {
            let Ok(entries) = std::fs::read_dir(root.join(inner)) else { continue };
            names.extend(entries.map(|entry| entry.unwrap().file_name()));
        }
        names.retain(|name| self.real(&dir.join(name)).is_some());
        Ok(names.into_iter().collect())
    }

    fn space(&self, path: &Path) -> Result<Space, MachineError> {
        let free = self.space.get(path).copied().unwrap_or(4 << 30);
        Ok(Space { free, total: 8 << 30, read_only: false })
    }

    fn query(&self, query: &Query) -> Result<Output, MachineError> {
        match self.queries.get(&query.line()) {
            Some(said) => Ok(Output { status: 0, stdout: said.clone().into_bytes(), stderr: Vec::new() }),
            None => {
                Err(MachineError::new("run", query.line(), Reason::NotFound, "No such file or directory"))
            }
        }
    }

    fn network(&self) -> Result<Network, MachineError> {
        let tree = || MachineError::new("read", "the network", Reason::NotRunning, "nothing runs there");
        self.network.clone().ok_or_else(tree)
    }

    fn neighbour_answers(&self, _: &str, _: &Address, _: Duration) -> Result<bool, MachineError> {
        Ok(false)
    }

    fn clock(&self) -> Clock {
        Clock { unix_seconds: 0, boottime_ns: 0, boot_id: String::new() }
    }
}
