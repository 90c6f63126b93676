//! Files, drop-ins, masks and their precedence. Decides which of them count and in which order; never what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::matching::{Device, Host, Matched};
use crate::inspect::facts::{At, ConfigFile};
use crate::network::units::{Setting, boolean, parse};

/// In order of precedence: a name found in one hides the same name in the later ones.
pub const DIRECTORIES: [&str; 4] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
];

/// A file with its drop-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name without directory, by which the files are ordered.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    settings: Vec<Line>,
}

/// An assignment and the file that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The file and its line.
    pub at: At,
    /// What is assigned; groups are counted over the file and all its drop-ins.
    pub setting: Setting,
}

impl Unit {
    /// Returns the assignments of all sections, those of drop-ins after the file's own.
    pub(super) fn lines(&self) -> &[Line] {
        &self.settings
    }

    /// Returns the assignments of the sections of that name.
    pub(super) fn section<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.settings.iter().filter(move |line| line.setting.section == name)
    }

    /// Returns the assignment that counts where a key takes one value: the last.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&Line> {
        self.settings.iter().rfind(|line| line.setting.section == section && line.setting.key == key)
    }

    /// Whether networkd leaves the links alone that get this file.
    #[must_use]
    pub fn is_unmanaged(&self) -> bool {
        self.last("Link", "Unmanaged").and_then(|line| boolean(&line.setting.value)).unwrap_or(false)
    }

    /// Returns the name that a .link file gives a link; `None` where it leaves the name to others.
    #[must_use]
    pub fn gives_name(&self) -> Option<&str> {
        self.last("Link", "Name").map(|line| line.setting.value.as_str()).filter(|name| !name.is_empty())
    }

    /// Returns the line by which a .netdev file gives a link the MTU that this file gives; empty where it gives none.
    pub(super) fn mtu(&self) -> String {
        let mtu = self.last("Link", "MTUBytes").filter(|line| !line.setting.value.is_empty());
        mtu.map(|line| format!("MTUBytes={}\n", line.setting.value)).unwrap_or_default()
    }

    /// Returns where the file says which links it is for.
    #[must_use]
    pub fn matched_at(&self) -> At {
        let first = self.section("Match").next().map(|line| line.at.clone());
        first.unwrap_or_else(|| At { path: self.path.clone(), line: 0 })
    }
}

/// The name of the drop-ins of ours that last for a switch ([`super::holds`]): they declare nothing of a link.
pub(super) const HOLD: &str = "xenup-switch.conf";

/// All files of one kind that count, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    units: Vec<Unit>,
}

/// Which file a link gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken<'a> {
    /// The first file that matches for certain.
    pub unit: Option<&'a Unit>,
    /// Conditions before it that cannot be told: were one of them met, that file would be the one.
    pub uncertain: Vec<At>,
}

impl Tree {
    /// Puts the files of one kind (`.network`, `.netdev`, `.link`) in order. An empty file masks its name, whatever
    /// other directory has it; a link to /dev/null is to be given as an empty file.
    #[must_use]
    pub fn new(files: &[ConfigFile], kind: &str) -> Self {
        let mut mains: BTreeMap<String, &ConfigFile> = BTreeMap::new();
        let mut drop_ins: BTreeMap<String, BTreeMap<String, &ConfigFile>> = BTreeMap::new();
        for directory in DIRECTORIES.map(Path::new) {
            for file in files {
                let Some(inner) = file.path.strip_prefix(directory).ok().and_then(Path::to_str) else {
                    continue;
                };
                match inner.split_once('/') {
                    None if inner.ends_with(kind) && !inner.starts_with('.') => {
                        mains.entry(inner.to_owned()).or_insert(file);
                    }
                    Some((_, HOLD)) => {}
                    Some((of, name)) if name.ends_with(".conf") && !name.contains('/') => {
                        if let Some(of) = of.strip_suffix(".d").filter(|of| of.ends_with(kind)) {
                            drop_ins.entry(of.to_owned()).or_default().entry(name.to_owned()).or_insert(file);
                        }
                    }
                    _ => {}
                }
            }
        }
        let counts = mains.into_iter().filter(|(_, file)| !file.text.is_empty());
        let units = counts.map(|(name, file)| {
            let more = drop_ins.get(&name).into_iter().flat_map(BTreeMap::values).copied();
            unit(name, file, more.filter(|file| !file.text.is_empty()))
        });
        Self { units: units.collect() }
    }

    /// Returns the files in order.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Returns the tree without the files that `drops` picks.
    #[must_use]
    pub fn without(mut self, drops: impl Fn(&Unit) -> bool) -> Self {
        self.units.retain(|unit| !drops(unit));
        self
    }

    /// Returns which file a link gets.
    #[must_use]
    pub fn taken(&self, device: &Device, host: &Host) -> Taken<'_> {
        let mut uncertain = Vec::new();
        for unit in &self.units {
            match device.matched(unit, host) {
                Matched::Yes => return Taken { unit: Some(unit), uncertain },
                Matched::CannotTell(at) => uncertain.push(at),
                Matched::No => {}
            }
        }
        Taken { unit: None, uncertain }
    }
}

fn unit<'a>(name: String, main: &'a ConfigFile, drop_ins: impl Iterator<Item = &'a ConfigFile>) -> Unit {
    let mut settings: Vec<Line> = Vec::new();
    let mut groups = 0_usize;
    for file in std::iter::once(main).chain(drop_ins) {
        let read = parse(&file.text);
        let last = read.iter().map(|setting| setting.group).max().unwrap_or(0);
        settings.extend(read.into_iter().map(|setting| Line {
            at: At { path: file.path.clone(), line: setting.line },
            setting: Setting { group: setting.group.saturating_add(groups), ..setting },
        }));
        groups = groups.saturating_add(last);
    }
    Unit { name, path: main.path.clone(), settings }
}
