//! The symbols that a machine's own devices ask for.
//!
//! Decides: from a device's modalias through depmod's list to a module, and from the module through the tree's
//! Makefiles to a symbol; what that symbol depends on is asked for as well. Never: leaves out in silence what the root,
//! a disk or a network card hangs on: that is an error.

mod alias;
mod bring;
mod makefile;

use std::collections::{BTreeMap, BTreeSet};

use xenup_machine::Probe;

use super::kconfig::Tree;
use super::kconfig::expr::Tristate;
use super::profile::{At, Request, Wanted, Wish};
use crate::inspect::devices::{Device, Devices, Layer};

pub use alias::Aliases;

/// What stands for a file where a wish is a device's.
pub const DEVICES: &str = "the machine's devices";

/// What a machine's devices add to a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many symbols they ask for.
    pub symbols: usize,
    /// Those of them that the root, a disk or a network card hangs on.
    pub essential: BTreeSet<String>,
    /// Devices for which no module, or no symbol of this tree, is known; no disk and no card hangs on them.
    pub unknown: Vec<String>,
}

/// Devices that must not be missing, and for which no symbol was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no driver of this tree is known for {}", .0.join("; "))]
pub struct NoDriver(pub Vec<String>);

/// Returns the additions that the layers between disks and file systems are.
#[must_use]
pub fn additions(devices: &Devices) -> Vec<String> {
    let name = |layer: &Layer| match layer {
        Layer::Lvm => "lvm",
        Layer::Crypt => "crypt",
        Layer::Raid => "raid",
    };
    devices.layers.iter().map(|layer| name(layer).to_owned()).collect()
}

/// Adds to a request what a machine's devices ask for. `files` is the tree's own folder.
///
/// # Errors
/// The root's file system, or a device with a disk or a network card, for which this tree has no driver that is known.
pub fn add(
    request: &mut Request,
    devices: &Devices,
    aliases: &Aliases,
    tree: &Tree,
    files: &dyn Probe,
) -> Result<Found, NoDriver> {
    let symbols = makefile::symbols(files);
    let mut wishes: BTreeMap<String, (Tristate, String)> = BTreeMap::new();
    let (mut found, mut missing) = (Found::default(), Vec::new());
    for kind in devices.file_systems.iter().chain(&devices.root) {
        let is_root = devices.root.as_ref() == Some(kind);
        let value = if is_root { Tristate::Y } else { Tristate::M };
        let what =
            if is_root { format!("the root's file system, {kind}") } else { format!("mounted: {kind}") };
        match symbol_of(kind, &symbols, tree) {
            Some(symbol) => {
                found.essential.extend(is_root.then(|| symbol.to_owned()));
                wish(&mut wishes, symbol, value, &what);
            }
            None => missing.push(what),
        }
    }
    let drivers: Vec<Drivers<'_>> =
        devices.found.iter().map(|device| Drivers::of(device, aliases, &symbols, tree)).collect();
    for one in &drivers {
        let Drivers { device, named, bound } = one;
        let value = if device.disks.is_empty() { Tristate::M } else { Tristate::Y };
        for symbol in named {
            wish(&mut wishes, symbol, value, &words(device));
        }
        let hang = !(device.nics.is_empty() && device.disks.is_empty());
        // A bridge between buses needs no driver of its own: what hangs on it must have one nearer by.
        let must = hang && !has_nearer(one, &drivers);
        let known = if device.module.is_some() { bound.is_some() } else { !named.is_empty() };
        match (known, must) {
            (true, false) => {}
            (true, true) => match bound {
                Some(symbol) => found.essential.extend([(*symbol).to_owned()]),
                None => found.essential.extend(named.iter().map(|name| (*name).to_owned())),
            },
            (false, false) => found.unknown.push(format!("{} ({})", device.at, device.modalias)),
            (false, true) => missing.push(format!("{} ({})", words(device), device.modalias)),
        }
    }
    if !missing.is_empty() {
        return Err(NoDriver(missing));
    }
    found.symbols = wishes.len();
    for (symbol, (value, why)) in wishes {
        let at = At { file: DEVICES.to_owned(), line: 0 };
        bring::along(request, tree, Wanted { symbol, wish: Wish::Switch(value), why, at });
    }
    Ok(found)
}

/// The symbol that builds a module, where this tree has it.
fn symbol_of<'s>(module: &str, symbols: &'s BTreeMap<String, Vec<String>>, tree: &Tree) -> Option<&'s str> {
    let names = symbols.get(&module.replace('-', "_"))?;
    names.iter().map(String::as_str).find(|name| tree.symbol(name).is_some())
}

fn wish(wishes: &mut BTreeMap<String, (Tristate, String)>, symbol: &str, value: Tristate, why: &str) {
    match wishes.get_mut(symbol) {
        Some(there) if there.0 >= value => {}
        _ => {
            wishes.insert(symbol.to_owned(), (value, why.to_owned()));
        }
    }
}

/// A device with the symbols of its drivers.
struct Drivers<'a> {
    device: &'a Device,
    /// Of all modules that know it.
    named: Vec<&'a str>,
    /// Of the module that serves it now.
    bound: Option<&'a str>,
}

impl<'a> Drivers<'a> {
    fn of(
        device: &'a Device,
        aliases: &Aliases,
        symbols: &'a BTreeMap<String, Vec<String>>,
        tree: &Tree,
    ) -> Self {
        let of = |module: &str| symbol_of(module, symbols, tree);
        let bound = device.module.as_deref().and_then(of);
        let known = aliases.modules(&device.modalias).into_iter().filter_map(of);
        let mut named: Vec<&str> = known.chain(bound).collect::<BTreeSet<_>>().into_iter().collect();
        // What has no question is brought by a driver that has one, where there is such a driver.
        let asks = |name: &&str| tree.symbol(name).is_some_and(|symbol| symbol.prompt().is_some());
        if named.iter().any(asks) {
            named.retain(asks);
        }
        Self { device, named, bound }
    }
}

/// Whether a device that no driver serves is a mere way to others: all that hangs on it hangs on served ones, too. Where
/// drivers are built in, no device says which module serves it; then those count for which one is known.
fn has_nearer(one: &Drivers<'_>, drivers: &[Drivers<'_>]) -> bool {
    let Drivers { device, named, .. } = one;
    let served = |other: &&Drivers<'_>| {
        let known = other.bound.is_some() || (named.is_empty() && !other.named.is_empty());
        known && other.device.at != device.at
    };
    let others: Vec<&Device> = drivers.iter().filter(served).map(|other| other.device).collect();
    device.module.is_none()
        && device.nics.iter().all(|nic| others.iter().any(|other| other.nics.contains(nic)))
        && device.disks.iter().all(|disk| others.iter().any(|other| other.disks.contains(disk)))
}

fn words(device: &Device) -> String {
    let mut words = Vec::new();
    if !device.nics.is_empty() {
        words.push(format!("network card {}", device.nics.join(", ")));
    }
    if !device.disks.is_empty() {
        words.push(format!("disk {}", device.disks.join(", ")));
    }
    words.push(device.at.clone());
    words.join(", ")
}
