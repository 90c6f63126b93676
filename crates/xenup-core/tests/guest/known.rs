//! A machine that a case describes. Decides what is there; never what is expected.

#![allow(clippy::expect_used, reason = "a case that cannot be read is a broken test")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_machine::file::{Attributes, Entry, Kind, Space, Timestamp};
use xenup_machine::network::{Address, Link, Network};
use xenup_machine::process::{Output, Query};
use xenup_machine::{Clock, MachineError, Probe, Reason};

/// Files, links and bridges by name.
#[derive(Default)]
pub struct Known {
    everything: bool,
    running: bool,
    files: BTreeMap<PathBuf, Vec<u8>>,
    links: BTreeMap<PathBuf, PathBuf>,
    pipes: BTreeSet<PathBuf>,
    denied: BTreeSet<PathBuf>,
    bridges: Vec<String>,
    free: Option<u64>,
    answers: BTreeMap<String, String>,
    /// When files were written, in seconds since 1970.
    times: BTreeMap<PathBuf, i64>,
}

#[allow(dead_code, reason = "each test binary uses its part")]
impl Known {
    /// A running machine that has every file, and whose network nobody can read.
    pub fn everything() -> Self {
        Self { everything: true, running: true, ..Self::default() }
    }

    /// The machine that the lines describe.
    pub fn of(text: &str) -> Self {
        let mut known = Self { running: true, ..Self::default() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (path, more) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "tree" => known.running = false,
                "there" => drop(known.files.insert(rest.into(), Vec::new())),
                "text" => drop(known.files.insert(path.into(), more.replace("\\n", "\n").into_bytes())),
                "link" => drop(known.links.insert(path.into(), more.into())),
                "pipe" => drop(known.pipes.insert(rest.into())),
                "denied" => {
                    known.files.insert(rest.into(), Vec::new());
                    known.denied.insert(rest.into());
                }
                // A file of tests/cases.
                "bytes" => drop(known.files.insert(path.into(), of_cases(more))),
                "free" => known.free = Some(rest.parse::<u64>().expect("MiB") << 20),
                "answer" => {
                    let text = String::from_utf8(of_cases(path)).expect("words");
                    drop(known.answers.insert(more.to_owned(), text));
                }
                "unpacked" => {
                    let list = PathBuf::from(format!("/var/lib/dpkg/info/{path}.list"));
                    known.files.insert(list.clone(), Vec::new());
                    known.times.insert(list, more.parse().expect("seconds"));
                }
                "bridge" => known.bridges.push(rest.to_owned()),
                other => panic!("machine.txt does not know `{other}`"),
            }
        }
        known
    }

    fn absent<T>(path: &Path) -> Result<T, MachineError> {
        Err(MachineError::at("read", path, Reason::NotFound, "No such file or directory"))
    }

    fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys().chain(self.links.keys()).chain(&self.pipes)
    }
}

#[allow(clippy::disallowed_methods, reason = "a case names files of other cases")]
fn of_cases(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Probe for Known {
    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>, MachineError> {
        let path = self.links.get(path).map_or(path, PathBuf::as_path);
        if self.denied.contains(path) {
            return Err(MachineError::at("read", path, Reason::Denied, "Permission denied"));
        }
        self.files.get(path).cloned().map_or_else(|| Self::absent(path), Ok)
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        let kind = if let Some(target) = self.links.get(path) {
            Kind::Symlink { target: target.clone() }
        } else if self.pipes.contains(path) {
            Kind::Special
        } else if self.files.contains_key(path) || self.everything {
            Kind::File { size: 0 }
        } else if self.names().any(|name| name.starts_with(path)) {
            Kind::Dir
        } else {
            return Ok(None);
        };
        let mtime = self.times.get(path).map(|&seconds| Timestamp { seconds, nanoseconds: 0 });
        let attributes = Attributes { mtime, ..Attributes::root(0o644) };
        Ok(Some(Entry { kind, attributes, device: 1 }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        let below = self.names().filter_map(|name| name.strip_prefix(dir).ok()?.iter().next());
        let names: BTreeSet<OsString> = below.map(ToOwned::to_owned).collect();
        if names.is_empty() { Self::absent(dir) } else { Ok(names.into_iter().collect()) }
    }

    fn space(&self, path: &Path) -> Result<Space, MachineError> {
        let space = self.free.map(|free| Space { free, total: free, read_only: false });
        space.map_or_else(|| Self::absent(path), Ok)
    }

    fn query(&self, query: &Query) -> Result<Output, MachineError> {
        if !self.running {
            return Err(MachineError::at(
                "query",
                Path::new("program"),
                Reason::NotRunning,
                "a tree of files",
            ));
        }
        let stdout = self.answers.get(&query.line()).cloned().map(String::into_bytes);
        let output = stdout.map(|stdout| Output { status: 0, stdout, stderr: Vec::new() });
        output.map_or_else(|| Self::absent(Path::new("program")), Ok)
    }

    fn network(&self) -> Result<Network, MachineError> {
        if self.everything || !self.running {
            return Self::absent(Path::new("rtnetlink"));
        }
        let link = |name: &String| -> Link {
            serde_json::from_value(
                serde_json::json!({ "name": name, "kind": "bridge", "up": true, "mtu": 1500 }),
            )
            .expect("a link")
        };
        Ok(Network { links: self.bridges.iter().map(link).collect(), ..Network::default() })
    }

    fn neighbour_answers(&self, _: &str, _: &Address, _: Duration) -> Result<bool, MachineError> {
        Ok(false)
    }

    fn clock(&self) -> Clock {
        let boot_id = if self.running { "boot" } else { "" }.to_owned();
        Clock { unix_seconds: 0, boottime_ns: 0, boot_id }
    }
}
