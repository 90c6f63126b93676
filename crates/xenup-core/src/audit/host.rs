//! What concerns the host as a whole: saves, room for them, xendomains' time, dom0 kernels that guests boot.
//!
//! Decides: by dpkg's own files, xendomains' settings and the file system. Never: asks apt.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use xenup_machine::Probe;

use crate::guest::GuestType;
use crate::inspect::facts::At;
use crate::inspect::packages::{auto_marks, status};
use crate::inspect::{Finding, Weight};
use crate::kernel::Release;
use crate::kernel::hypervisor::{Capability, State};

use super::report::{GuestReport, Saved};
use super::saved::{lost, ordinal};
use super::world::World;
use super::xendomains::{Setting, Xendomains};

const DEFAULTS: &str = "/etc/default/xendomains";
const STATUS: &str = "/var/lib/dpkg/status";
const MARKS: &str = "/var/lib/apt/extended_states";
const LIMIT: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

/// Returns what concerns the host.
pub(super) fn findings(
    probe: &dyn Probe,
    world: &World<'_>,
    guests: &[GuestReport],
    saved: &[Saved],
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(saves_lost(world, saved));
    if let Some(xendomains) = Xendomains::read(probe) {
        let stopped: Vec<&GuestReport> = guests.iter().filter(|guest| is_stopped(guest)).collect();
        found.extend(saves_ahead(world, &xendomains, &stopped));
        found.extend(room(probe, &xendomains, &stopped));
        found.extend(time(&xendomains, stopped.len()));
    }
    found.extend(dom0_kernels(probe, guests));
    found.extend(live_migration(world, guests));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    found
}

/// Whether xendomains stops a guest with the host: it runs, or starts with the host where nobody could be asked.
fn is_stopped(guest: &GuestReport) -> bool {
    guest.running.unwrap_or(!guest.auto.is_empty())
}

fn finding(weight: Weight, id: &str, words: [String; 3], at: Vec<At>) -> Finding {
    let [what, why, fix] = words;
    Finding { weight, at, ..Finding::blocking(id, what, why, fix) }
}

fn whole(path: &Path) -> At {
    At { path: path.to_owned(), line: 0 }
}

fn plural(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn saves_lost(world: &World<'_>, saved: &[Saved]) -> Option<Finding> {
    let at: Vec<At> = lost(saved).map(whole).collect();
    if at.is_empty() {
        return None;
    }
    let what = format!(
        "{} no promise to be restored by Xen {}",
        plural(at.len(), "saved guest has", "saved guests have"),
        world.target.xen.name
    );
    let why = "a guest's memory is restored by the release that saved it and by the next one; what is lost is what the \
               guest had not written to its disks";
    let fix = "restore them on the Xen that saved them, and shut them down from inside: xl restore FILE";
    Some(finding(Weight::Blocks, "audit-save-lost", [what, why.to_owned(), fix.to_owned()], at))
}

/// Saves that xendomains would make on the way to another Xen.
fn saves_ahead(world: &World<'_>, xendomains: &Xendomains, stopped: &[&GuestReport]) -> Option<Finding> {
    let line = match xendomains.save {
        Setting::Set(_, line) => line,
        Setting::NotKnown => 0,
        Setting::Empty => return None,
    };
    let now = world.now.as_ref()?;
    let place = |release: Release| ordinal(release.major.into(), release.minor.into());
    let steps = place(world.target.xen.release).zip(place(now.release)).map(|(to, from)| to - from);
    let far = steps.is_none_or(|steps| !(0..=1).contains(&steps));
    if !far || stopped.is_empty() {
        return None;
    }
    let what = "xendomains saves guests when dom0 goes down, and the new Xen restores what the old one saved"
        .to_owned();
    let why = format!("saves of {} are not promised to be restored by {}", now.name, world.target.xen.name);
    let fix = "write XENDOMAINS_SAVE= for this one restart: guests are then shut down".to_owned();
    let at = vec![At { path: DEFAULTS.into(), line }];
    Some(finding(Weight::Warning, "audit-save-ahead", [what, why, fix], at))
}

/// Room for the memory of every guest that is saved.
fn room(probe: &dyn Probe, xendomains: &Xendomains, stopped: &[&GuestReport]) -> Option<Finding> {
    let Setting::Set(dir, line) = &xendomains.save else { return None };
    let at = vec![At { path: DEFAULTS.into(), line: *line }];
    let known: Option<Vec<u64>> = stopped.iter().map(|guest| guest.memory).collect();
    let needed =
        known.unwrap_or_default().iter().fold(0_u64, |sum, mib| sum.saturating_add(mib.saturating_mul(MIB)));
    let above = |dir: &Path| dir.ancestors().map(PathBuf::from).find_map(|dir| probe.space(&dir).ok());
    let fix = "make room, set XENDOMAINS_SAVE to another file system, or to nothing".to_owned();
    if stopped.iter().any(|guest| guest.memory.is_none()) {
        let what = format!("whether {} has room for every guest is not known", dir.display());
        let why = "the file of a guest says no memory that could be read".to_owned();
        return Some(finding(Weight::Note, "audit-save-room", [what, why, fix], at));
    }
    let space = above(dir)?;
    if needed <= space.free {
        return None;
    }
    let what = format!(
        "{} has {} MiB, and the memory of {} takes {} MiB",
        dir.display(),
        space.free / MIB,
        plural(stopped.len(), "guest", "guests"),
        needed / MIB
    );
    let why = "a guest whose save does not fit is not saved, and xendomains then shuts it down or leaves it"
        .to_owned();
    Some(finding(Weight::Warning, "audit-save-room", [what, why, fix], at))
}

/// xendomains takes guests one after another; its unit has one limit for all of them.
fn time(xendomains: &Xendomains, guests: usize) -> Option<Finding> {
    let unit = xendomains.unit?;
    let (each, line) = match xendomains.wait {
        Setting::Set(each, line) => (each, line),
        Setting::Empty | Setting::NotKnown => return None,
    };
    let needed = each.saturating_mul(u64::try_from(guests).unwrap_or(u64::MAX));
    if needed <= unit || guests < 2 {
        return None;
    }
    let what = format!("{guests} guests have {each} seconds each to stop, and {unit} seconds together");
    let why = "systemd ends xendomains when its time is over, and dom0 goes down under guests that still run"
        .to_owned();
    let fix = format!("systemctl edit xendomains: [Service], TimeoutStopSec={needed}");
    let at = vec![At { path: DEFAULTS.into(), line }];
    Some(finding(Weight::Warning, "audit-stop-time", [what, why, fix], at))
}

/// Kernels of dom0's packages that guests boot, against what apt keeps: what was asked for, what runs, what is held, and
/// the newest two.
fn dom0_kernels(probe: &dyn Probe, guests: &[GuestReport]) -> Vec<Finding> {
    let mut used: Vec<(String, Vec<String>)> = Vec::new();
    for guest in guests {
        let named = guest.reasons.iter().filter(|reason| reason.id == "audit-dom0-kernel");
        let versions = named.filter_map(|reason| {
            let path = reason.what.split_once("/boot/vmlinuz-")?.1;
            path.split_once(',').map(|(version, _)| version.to_owned())
        });
        for version in versions {
            match used.iter_mut().find(|(known, _)| *known == version) {
                Some((_, names)) => names.push(guest.name.clone()),
                None => used.push((version, vec![guest.name.clone()])),
            }
        }
    }
    if used.is_empty() {
        return Vec::new();
    }
    let read = |path: &str| {
        probe.read(Path::new(path), LIMIT).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let packages = read(STATUS).map(|text| status(&text).0.relevant).unwrap_or_default();
    let marks = read(MARKS).unwrap_or_default();
    let auto = auto_marks(&marks);
    let runs = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut kernels: Vec<&str> = packages
        .iter()
        .filter(|package| package.status == "installed")
        .filter_map(|package| package.name.strip_prefix("linux-image-"))
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    kernels.sort_by(|a, b| natural(b, a));
    let found = used.into_iter().map(|(version, names)| {
        let package =
            packages.iter().find(|package| package.name.strip_prefix("linux-image-") == Some(&version));
        let place = kernels.iter().position(|kernel| *kernel == version);
        let names = names.join(", ");
        let (weight, why) = match package {
            None => {
                (Weight::Note, format!("dpkg knows no package linux-image-{version}: apt does not touch it"))
            }
            Some(package) if package.held => (Weight::Note, "its package is on hold, and stays".to_owned()),
            Some(package) if !auto.contains(package.name.as_str()) => (
                Weight::Note,
                "its package was asked for by name: apt removes it only when told to".to_owned(),
            ),
            Some(_) if runs.trim() == version => (
                Weight::Warning,
                "dom0 runs it now; with the next kernel apt autoremove may take it".to_owned(),
            ),
            Some(_) if place.is_some_and(|place| place < 2) => (
                Weight::Warning,
                "it is among the newest two; newer ones come, and apt autoremove then takes it".to_owned(),
            ),
            Some(_) => {
                (Weight::Warning, "newer ones are installed: the next apt autoremove takes it".to_owned())
            }
        };
        let what = format!("dom0's kernel {version} is what boots {names}");
        let fix = format!("apt-mark manual linux-image-{version}, or boot each guest's own kernel");
        finding(
            weight,
            "audit-dom0-kernel",
            [what, why, fix],
            vec![whole(Path::new(&format!("/boot/vmlinuz-{version}")))],
        )
    });
    found.collect()
}

/// Compares as people do: runs of digits by their value.
fn natural(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let mut parts: Vec<(bool, String)> = Vec::new();
        for c in text.chars() {
            let digit = c.is_ascii_digit();
            match parts.last_mut().filter(|(kind, _)| *kind == digit) {
                Some((_, part)) => part.push(c),
                None => parts.push((digit, c.to_string())),
            }
        }
        parts
    };
    for ((digits, a), (_, b)) in parts(a).into_iter().zip(parts(b)) {
        let (a_number, b_number) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        let order = match digits {
            true => a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number)),
            false => a.cmp(&b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// PV guests move to another host while they run by shadow paging alone.
fn live_migration(world: &World<'_>, guests: &[GuestReport]) -> Option<Finding> {
    let after = world.target.xen.fact(Capability::Shadow);
    let before = world.now.as_ref().map(|xen| xen.fact(Capability::Shadow).state);
    let pv = guests.iter().any(|guest| guest.kind == Some(GuestType::Pv));
    if after.state != State::No || before == Some(State::No) || !pv {
        return None;
    }
    let what = format!(
        "PV guests cannot be moved while they run: Xen {} has no shadow paging",
        world.target.xen.name
    );
    let fix = "move them stopped, or make them PVH".to_owned();
    Some(finding(Weight::Note, "audit-no-live-migration", [what, after.source, fix], Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let mut versions = ["6.1.0-9-amd64", "6.12.1-amd64", "6.1.0-28-amd64", "5.10.0-8-amd64"];
        versions.sort_by(|a, b| natural(a, b));
        assert_eq!(versions, ["5.10.0-8-amd64", "6.1.0-9-amd64", "6.1.0-28-amd64", "6.12.1-amd64"]);
    }
}
