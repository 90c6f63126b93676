//! Room for an upgrade. Decides by apt's own figures for what is fetched and installed, and by the files in /boot for a
//! kernel with its initrd; what lies on one file system is added up.

use std::path::Path;

use xenup_machine::Probe;
use xenup_machine::file::Kind as FileKind;

use super::report::{Fortune, Kind, Part, Room};
use super::simulation::Sizes;

const MIB: u64 = 1 << 20;
/// vmlinuz, System.map and config of Debian's kernels, with some to spare.
const KERNEL: u64 = 24 * MIB;
/// xen-VERSION.gz, .efi and .config.
const HYPERVISOR: u64 = 8 * MIB;
/// An initrd of Debian 12 with MODULES=most, where none is there to measure.
const INITRD: u64 = 64 * MIB;

/// Returns the room on each file system, and what the upgrade takes there.
pub(super) fn room(probe: &dyn Probe, sizes: Option<Sizes>, parts: &[Part]) -> Vec<Room> {
    let fetched = sizes.map_or(0, |sizes| sizes.download);
    let installed = sizes.map_or(0, |sizes| u64::try_from(sizes.disk).unwrap_or(0));
    let wanted = [("/boot", boot(probe, parts)), ("/usr", installed), ("/var/cache/apt/archives", fetched)];
    let mut systems: Vec<(u64, Room)> = Vec::new();
    for (path, needed) in wanted {
        // A folder that is not there yet is made on the file system of the one above it.
        let mut above = Path::new(path).ancestors();
        let Some((device, free)) =
            above.find_map(|dir| Some((device(probe, dir)?, probe.space(dir).ok()?.free)))
        else {
            continue;
        };
        match systems.iter_mut().find(|(known, _)| *known == device) {
            Some((_, room)) => {
                room.paths.push(path.to_owned());
                room.needed = room.needed.saturating_add(needed);
            }
            None => systems.push((device, Room { paths: vec![path.to_owned()], needed, free })),
        }
    }
    systems.into_iter().map(|(_, room)| room).collect()
}

fn device(probe: &dyn Probe, path: &Path) -> Option<u64> {
    let entry = probe.entry(path).ok()??;
    match entry.kind {
        // /var/cache/apt/archives may be a link to where there is room; what lies behind it is measured.
        FileKind::Symlink { target } if target.is_absolute() => {
            probe.entry(&target).ok()?.map(|entry| entry.device)
        }
        _ => Some(entry.device),
    }
}

/// What /boot takes: each new kernel with an initrd, and once more an initrd, since one is written anew beside the old.
fn boot(probe: &dyn Probe, parts: &[Part]) -> u64 {
    let coming =
        |kind| parts.iter().filter(|part| part.kind == kind && part.fortune == Fortune::Comes).count() as u64;
    let initrd = largest_initrd(probe).unwrap_or(INITRD);
    // The next release's modules and firmware are more: half as much again.
    let initrd = initrd.saturating_add(initrd / 2);
    let kernels = coming(Kind::Kernel).saturating_mul(KERNEL.saturating_add(initrd));
    let rewritten = if after_any(parts) { initrd } else { 0 };
    kernels.saturating_add(rewritten).saturating_add(coming(Kind::Hypervisor).saturating_mul(HYPERVISOR))
}

fn after_any(parts: &[Part]) -> bool {
    super::parts::after(parts, Kind::Kernel).next().is_some()
}

fn largest_initrd(probe: &dyn Probe) -> Option<u64> {
    let names = probe.list(Path::new("/boot")).ok()?;
    let initrds = names.iter().filter(|name| name.to_string_lossy().starts_with("initrd.img-"));
    let sizes = initrds.filter_map(|name| match probe.entry(&Path::new("/boot").join(name)).ok()??.kind {
        FileKind::File { size } => Some(size),
        _ => None,
    });
    sizes.max()
}
