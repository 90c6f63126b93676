//! Pictures of a whole machine, and how two of them differ.
//!
//! Decides: what a rollback is held to, and the short list of what is left out. Never: changes the machine.
//!
//! Left out: xenup's own store; apt's archives, which it fetches again; dpkg's and apt's databases, whose content is compared in their place; the times
//! of directories and links, which every name made beside them moves; the times of generated files, whose
//! owner makes them again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xenup_machine::fake::{FakeMachine, Installed, Seen};
use xenup_machine::file::Kind;
use xenup_machine::network::Network;

use crate::action::Action;
use crate::plan::Plan;
use crate::{grubenv, links};

/// Trees that are not compared file by file.
const LEFT_OUT: [&str; 5] = ["/var/lib/xenup", "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/run"];

/// What is compared.
#[derive(Debug, Clone)]
pub struct Picture {
    files: BTreeMap<PathBuf, Seen>,
    packages: BTreeMap<String, Installed>,
    automatic: BTreeSet<String>,
    active: BTreeSet<String>,
    network: Network,
    /// How many paths were left out.
    pub left_out: usize,
}

/// How much of two pictures is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    SameBoot,
    /// What a boot does not make anew: not links, not what runs.
    OtherBoot,
}

impl Picture {
    /// Takes a picture of a machine on which `plan` is or was carried out.
    #[must_use]
    pub fn of(machine: &FakeMachine, plan: &Plan) -> Self {
        let generated = generated(plan);
        let mut left_out = 0;
        let mut files = BTreeMap::new();
        for (path, mut seen) in machine.tree() {
            if LEFT_OUT.iter().any(|tree| path.starts_with(tree)) {
                left_out += 1;
                continue;
            }
            let timed = matches!(seen.entry.kind, Kind::File { .. }) && !generated.contains(&path);
            if !timed {
                seen.entry.attributes.mtime = None;
            }
            files.insert(path, seen);
        }
        Self {
            files,
            packages: machine.packages(),
            automatic: machine.automatic(),
            active: machine.active_units().clone(),
            network: machine.links().clone(),
            left_out,
        }
    }

    /// Returns the same picture without the times of files, for two runs that wrote the same at different times.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        self.files.values_mut().for_each(|seen| seen.entry.attributes.mtime = None);
        self
    }

    /// Returns how many paths are compared.
    #[must_use]
    pub fn paths(&self) -> usize {
        self.files.len()
    }

    /// Returns how `now` differs, in words; empty where it does not.
    #[must_use]
    pub fn differences(&self, now: &Self, extent: Extent) -> Vec<String> {
        let mut found = Vec::new();
        let paths: BTreeSet<&PathBuf> = self.files.keys().chain(now.files.keys()).collect();
        for path in paths {
            match (self.files.get(path), now.files.get(path)) {
                (Some(before), Some(now)) if before == now => {}
                (Some(before), Some(now)) => found.push(changed(path, before, now)),
                (Some(_), None) => found.push(format!("{} is gone", path.display())),
                _ => found.push(format!("{} is there", path.display())),
            }
        }
        if self.packages != now.packages {
            found.push(format!("packages were {:?} and are {:?}", self.packages, now.packages));
        }
        if self.automatic != now.automatic {
            found.push(format!("automatic were {:?} and are {:?}", self.automatic, now.automatic));
        }
        if extent == Extent::SameBoot {
            if self.active != now.active {
                found.push(format!("active were {:?} and are {:?}", self.active, now.active));
            }
            let mut names: Vec<String> = self.network.links.iter().map(|link| link.name.clone()).collect();
            names.extend(now.network.links.iter().map(|link| link.name.clone()));
            found.extend(links::differences(&self.network, &now.network, &names));
        }
        found
    }
}

fn changed(path: &Path, before: &Seen, now: &Seen) -> String {
    let what = if before.bytes != now.bytes { "other bytes" } else { "other attributes" };
    format!("{} has {what}: {:?} and now {:?}", path.display(), before.entry, now.entry)
}

/// Files whose owner makes them again.
fn generated(plan: &Plan) -> BTreeSet<PathBuf> {
    let mut generated = BTreeSet::from([PathBuf::from(grubenv::PATH)]);
    // A package's scripts generate it whether or not a step of the plan does.
    generated.insert(PathBuf::from("/boot/grub/grub.cfg"));
    for (_, step) in plan.steps() {
        if let Action::Run { generates, .. } = &step.action {
            generated.extend(generates.iter().cloned());
        }
    }
    generated
}
