//! Two configurations side by side: what each kernel can be, and which symbols differ, by what they are for.
//!
//! Decides: the order: first what a role asks for, with its reason. Never: which of the two is the better.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kconfig::Values;
use super::kconfig::expr::Tristate;
use super::profile::Shelf;

/// The format number.
pub const FORMAT: u32 = 1;

/// Two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// [`FORMAT`].
    pub format: u32,
    /// What the kernels can be.
    pub abilities: Vec<Ability>,
    /// Symbols built in and as modules, in the first and in the second.
    pub counts: [Count; 2],
    /// Symbols that differ and that a file of xenup's asks for, by file.
    pub groups: Vec<Group>,
    /// Those that no file asks for.
    pub others: Vec<Differs>,
}

/// How much is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Built in.
    pub built_in: usize,
    /// Modules.
    pub modules: usize,
}

/// Something that a kernel can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ability {
    /// In words.
    pub what: String,
    /// The symbols that make it.
    pub symbols: Vec<String>,
    /// Whether the first has them.
    pub before: bool,
    /// Whether the second has them.
    pub after: bool,
}

/// Symbols that differ, of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The file.
    pub part: String,
    /// What it is for.
    pub about: String,
    /// The symbols.
    pub symbols: Vec<Differs>,
}

/// A symbol that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Differs {
    /// The symbol.
    pub symbol: String,
    /// Its value in the first; `n` where it is not there.
    pub before: String,
    /// Its value in the second.
    pub after: String,
    /// Why a role asks for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What makes a kernel what it is: all of the symbols are built in.
const ABILITIES: [(&str, &[&str]); 6] = [
    ("dom0", &["XEN", "XEN_PV", "XEN_DOM0"]),
    ("PV guest", &["XEN", "XEN_PV"]),
    ("PVH guest", &["XEN", "XEN_PVH"]),
    ("HVM guest with PV drivers", &["XEN", "XEN_PVHVM", "PCI"]),
    ("guest without an initrd", &["XEN_BLKDEV_FRONTEND", "EXT4_FS", "DEVTMPFS_MOUNT"]),
    ("loads modules", &["MODULES"]),
];

/// Returns how two configurations differ.
#[must_use]
pub fn compare(before: &Values, after: &Values, shelf: &Shelf) -> Compared {
    let on =
        |values: &Values, symbols: &[&str]| symbols.iter().all(|name| values.switch(name) == Tristate::Y);
    let abilities = ABILITIES.iter().map(|(what, symbols)| Ability {
        what: (*what).to_owned(),
        symbols: symbols.iter().map(|name| (*name).to_owned()).collect(),
        before: on(before, symbols),
        after: on(after, symbols),
    });
    let mut differ = differing(before, after);
    let mut groups = Vec::new();
    for part in shelf.parts() {
        let mut symbols = Vec::new();
        for asked in &part.symbols {
            for name in std::iter::once(&asked.symbol).chain(&asked.was) {
                if let Some((before, after)) = differ.remove(name.as_str()) {
                    symbols.push(Differs { symbol: name.clone(), before, after, why: asked.why.clone() });
                }
            }
        }
        if !symbols.is_empty() {
            groups.push(Group { part: part.name.clone(), about: part.about.clone(), symbols });
        }
    }
    let others = differ.into_iter().map(|(symbol, (before, after))| Differs {
        symbol: symbol.to_owned(),
        before,
        after,
        why: String::new(),
    });
    Compared {
        format: FORMAT,
        abilities: abilities.collect(),
        counts: [count(before), count(after)],
        others: others.collect(),
        groups,
    }
}

fn count(values: &Values) -> Count {
    let of = |letter| values.iter().filter(|(_, value)| *value == letter).count();
    Count { built_in: of("y"), modules: of("m") }
}

/// What differs; `# … is not set` and a line that is not there are the same.
fn differing<'v>(before: &'v Values, after: &'v Values) -> BTreeMap<&'v str, (String, String)> {
    let names: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(name, _)| name).collect();
    let value = |values: &Values, name| values.get(name).unwrap_or("n").to_owned();
    let pairs = names.into_iter().map(|name| (name, (value(before, name), value(after, name))));
    pairs.filter(|(_, (before, after))| before != after).collect()
}
