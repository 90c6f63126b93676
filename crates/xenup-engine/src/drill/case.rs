//! Cases: a machine before, as a file, and the plan for it.
//!
//! Decides: the form of `before.json`. Never: reads a file; whoever has the text hands it in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use xenup_machine::MachineError;
use xenup_machine::fake::{FakeMachine, Package};
use xenup_machine::file::{Attributes, Timestamp};
use xenup_machine::network::Network;

use crate::plan::Plan;

/// A machine before a plan.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Before {
    /// Files, by path.
    files: BTreeMap<PathBuf, File>,
    /// Directories beyond those that files need, with their modes in octal.
    dirs: BTreeMap<PathBuf, String>,
    /// Symbolic links and what they point to.
    links: BTreeMap<PathBuf, PathBuf>,
    /// What apt can install.
    archive: BTreeMap<String, Archived>,
    /// What apt can install once its sources are other ones, in place of what `archive` has under the same name.
    newer: BTreeMap<String, Archived>,
    /// What is installed, and whether it is marked automatic, in this order.
    installed: Vec<(String, bool)>,
    /// What of it was removed again, so that its configuration files are left.
    removed: Vec<String>,
    /// Units that are active.
    active: BTreeSet<String>,
    /// The kernel's network.
    network: Network,
    /// Whether GRUB has generated its grub.cfg.
    grub: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    text: String,
    /// In place of `text`, where it is none.
    #[serde(default)]
    bytes: Vec<u8>,
    #[serde(default = "common_mode")]
    mode: String,
    #[serde(default)]
    owner: u32,
    #[serde(default)]
    group: u32,
    #[serde(default)]
    xattrs: BTreeMap<String, String>,
}

fn common_mode() -> String {
    "644".to_owned()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Archived {
    version: String,
    depends: Vec<String>,
    conflicts: Vec<String>,
    dirs: Vec<PathBuf>,
    files: BTreeMap<PathBuf, String>,
    conffiles: BTreeMap<PathBuf, String>,
    configures: BTreeMap<PathBuf, String>,
    updates_grub: bool,
}

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The machine before.
    pub machine: FakeMachine,
    /// The plan.
    pub plan: Plan,
}

/// What is wrong with a case.
#[derive(Debug, thiserror::Error)]
pub enum BadCase {
    /// `before.json` or `plan.json` is none.
    #[error("{name}/{file}")]
    Json {
        /// The case.
        name: String,
        /// The file.
        file: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A mode is not octal.
    #[error("{name}/before.json: `{mode}` is not a mode in octal")]
    Mode {
        /// The case.
        name: String,
        /// What it says.
        mode: String,
    },
    /// The machine cannot be made.
    #[error("{name}/before.json: the machine cannot be made")]
    Machine {
        /// The case.
        name: String,
        /// Why.
        #[source]
        source: MachineError,
    },
}

impl Case {
    /// Reads a case from the text of its two files.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(name: &str, before: &str, plan: &str) -> Result<Self, BadCase> {
        let json = |file| move |source| BadCase::Json { name: name.to_owned(), file, source };
        let before: Before = serde_json::from_str(before).map_err(json("before.json"))?;
        let plan: Plan = serde_json::from_str(plan).map_err(json("plan.json"))?;
        let machine = before.machine(name)?;
        Ok(Self { name: name.to_owned(), machine, plan })
    }
}

impl Before {
    fn machine(&self, name: &str) -> Result<FakeMachine, BadCase> {
        let octal = |mode: &str| {
            u32::from_str_radix(mode, 8)
                .map_err(|_| BadCase::Mode { name: name.to_owned(), mode: mode.to_owned() })
        };
        let mut machine = FakeMachine::new();
        for (path, mode) in &self.dirs {
            machine.put_dir(path, &Attributes::root(octal(mode)?));
        }
        for (at, (path, file)) in self.files.iter().enumerate() {
            let bytes = if file.bytes.is_empty() { file.text.as_bytes() } else { &file.bytes };
            machine.put(path, bytes, &file.attributes(octal(&file.mode)?, at));
        }
        for (path, target) in &self.links {
            machine.put_link(path, target);
        }
        for (package, archived) in &self.archive {
            machine.publish(package, archived.package());
        }
        let failed = |source| BadCase::Machine { name: name.to_owned(), source };
        for (package, auto) in &self.installed {
            machine.preinstall(package, *auto).map_err(failed)?;
        }
        for package in &self.removed {
            machine.unpreinstall(package).map_err(failed)?;
        }
        for (package, archived) in &self.newer {
            machine.publish(package, archived.package());
        }
        for unit in &self.active {
            machine.activate(unit);
        }
        machine.connect(self.network.clone());
        if self.grub {
            machine.generate_grub().map_err(failed)?;
        }
        Ok(machine)
    }
}

impl File {
    /// Each file has a time of its own, long ago, so that one that was written again is told from it.
    fn attributes(&self, mode: u32, at: usize) -> Attributes {
        let seconds = 1_600_000_000 + i64::try_from(at).unwrap_or(0);
        let xattrs = self.xattrs.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Attributes {
            mode,
            uid: self.owner,
            gid: self.group,
            mtime: Some(Timestamp { seconds, nanoseconds: 123_456_789 }),
            xattrs: xattrs.collect(),
        }
    }
}

impl Archived {
    fn package(&self) -> Package {
        Package {
            version: self.version.clone(),
            depends: self.depends.clone(),
            conflicts: self.conflicts.clone(),
            dirs: self.dirs.clone(),
            files: self.files.clone(),
            conffiles: self.conffiles.clone(),
            configures: self.configures.clone(),
            updates_grub: self.updates_grub,
        }
    }
}
