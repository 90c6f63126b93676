//! The devices that `kernel config dom0-minimal` builds for: of this machine, of a tree, of a file of facts.
//!
//! Decides where they and depmod's list are looked for. Never: loads a driver.

use std::path::{Path, PathBuf};

use xenup_core::inspect::Facts;
use xenup_core::inspect::devices::Devices;
use xenup_core::kernel::hardware::Aliases;
use xenup_machine::Probe;
use xenup_system::files;

use crate::args::{KernelWish, Source};
use crate::commands::machine;
use crate::error::CommandError;

/// modules.alias of Debian's kernel has 1.5 MB, modules.builtin.modinfo 0.2 MB.
const LIST_LIMIT: u64 = 64 << 20;
const MODULES: &str = "/lib/modules";

/// Devices, and which modules they call for.
pub struct Hardware {
    /// The devices.
    pub devices: Devices,
    /// depmod's list.
    pub aliases: Aliases,
}

/// Reads both.
pub fn read(args: &KernelWish) -> Result<Hardware, CommandError> {
    let source = Source { root: args.root.clone(), facts: args.facts.clone() };
    let Facts { devices, .. } = machine::facts(&source)?;
    if devices.is_empty() {
        let what = match (&args.root, &args.facts) {
            (Some(root), _) => format!("{}: no device is below its /sys", root.display()),
            (_, Some(facts)) => format!("{}: these facts have no devices", facts.display()),
            _ => "no device is below /sys".to_owned(),
        };
        let hint = "on that machine: xenup inspect --json > facts.json, then --facts facts.json here; or --no-hardware";
        return Err(CommandError::usage(what).hinted(hint));
    }
    Ok(Hardware { devices, aliases: aliases(args)? })
}

fn aliases(args: &KernelWish) -> Result<Aliases, CommandError> {
    let read = |dir: &Path| {
        let text = files::read_regular(&dir.join("modules.alias"), LIST_LIMIT).ok()?;
        let modinfo =
            files::read_regular(&dir.join("modules.builtin.modinfo"), LIST_LIMIT).unwrap_or_default();
        Some((text, modinfo))
    };
    let (found, place) = match (&args.modules, &args.root) {
        (Some(dir), _) => (read(dir), dir.clone()),
        (None, Some(root)) => (newest(&machine::tree(root)?), root.join("lib/modules")),
        (None, None) => (newest(&machine::running()?), PathBuf::from(MODULES)),
    };
    let mut aliases = Aliases::default();
    if let Some((text, modinfo)) = found {
        aliases = Aliases::parse(&String::from_utf8_lossy(&text));
        aliases.built_in(&modinfo);
    }
    if aliases.is_empty() {
        let what = format!("{}: no modules.alias, which says what drivers devices call for", place.display());
        return Err(CommandError::usage(what)
            .hinted("name the /lib/modules/VERSION of a Debian kernel: --modules DIR; or --no-hardware"));
    }
    Ok(aliases)
}

/// depmod's lists of the newest kernel that has them.
fn newest(probe: &dyn Probe) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut names = probe.list(Path::new(MODULES)).ok()?;
    let numbers = |name: &std::ffi::OsString| -> Vec<u64> {
        let name = name.to_string_lossy().into_owned();
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    };
    names.sort_by_key(numbers);
    names.iter().rev().find_map(|name| {
        let dir = Path::new(MODULES).join(name);
        let text = probe.read(&dir.join("modules.alias"), LIST_LIMIT).ok()?;
        let modinfo = probe.read(&dir.join("modules.builtin.modinfo"), LIST_LIMIT).unwrap_or_default();
        Some((text, modinfo))
    })
}
