//! The files of symbols that xenup has, and those that were read beside them.
//!
//! Decides: which there are, under which names. Never: reads one from a disk.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Part, PartKind, ProfileError};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// xenup's own files: name and text.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("data/", $name, ".toml")))),*];
    };
}

built_in![
    "apparmor",
    "bpf",
    "btrfs",
    "cifs",
    "crypt",
    "docker",
    "dom0-full",
    "dom0-minimal",
    "domU-full",
    "domU-minimal",
    "fuse",
    "hvm",
    "ia32",
    "ikconfig",
    "initrd",
    "io-uring",
    "iptables",
    "iscsi",
    "kexec",
    "lvm",
    "machine-x86",
    "media",
    "modules",
    "nfs-server",
    "nfs",
    "nftables",
    "pci-passthrough",
    "quota",
    "raid",
    "tun",
    "usb",
    "userland",
    "vlan",
    "wireguard",
    "x86-64",
    "xen-dom0",
    "xen-guest",
    "xfs",
    "zram"
];

/// All files, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    parts: BTreeMap<String, Part>,
}

/// A role or an addition, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Role or addition.
    pub kind: PartKind,
    /// What it is for.
    pub about: String,
}

impl Shelf {
    /// Returns xenup's own files.
    ///
    /// # Errors
    /// One of them is wrong, which a test rules out.
    pub fn built_in() -> Result<Self, ProfileError> {
        let mut parts = BTreeMap::new();
        for (name, text) in BUILT_IN {
            parts.insert((*name).to_owned(), Part::parse(name, &format!("{name}.toml"), text)?);
        }
        Ok(Self { parts })
    }

    /// Puts a file beside xenup's own; it takes the place of one with its name.
    pub fn add(&mut self, part: Part) {
        self.parts.insert(part.name.clone(), part);
    }

    /// Returns a file by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Part> {
        self.parts.get(name)
    }

    /// Returns all files.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.values()
    }

    /// Returns the roles and the additions, by name.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed> {
        let shown = self.parts.values().filter(|part| part.kind != PartKind::Part);
        shown
            .map(|part| Listed { name: part.name.clone(), kind: part.kind, about: part.about.clone() })
            .collect()
    }

    /// Returns the roles that a file is of: those that include it, and the file itself where it is one.
    #[must_use]
    pub fn roles_with(&self, name: &str) -> Vec<String> {
        let roles = self.parts.values().filter(|part| part.kind == PartKind::Role);
        roles.filter(|role| self.reaches(role, name)).map(|role| role.name.clone()).collect()
    }

    fn reaches(&self, from: &Part, name: &str) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.name.as_str()]);
        while let Some(next) = open.pop() {
            if next == name {
                return true;
            }
            if seen.insert(next) {
                let part = self.parts.get(next);
                open.extend(part.into_iter().flat_map(|part| &part.include).map(|(name, _)| name.as_str()));
            }
        }
        false
    }

    /// Returns the names of one kind.
    #[must_use]
    pub fn names(&self, kind: PartKind) -> Vec<&str> {
        self.parts.values().filter(|part| part.kind == kind).map(|part| part.name.as_str()).collect()
    }
}
