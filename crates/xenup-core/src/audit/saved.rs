//! Saved guests: which Xen wrote a save, and whether another is promised to restore it.
//!
//! Which release restores what: the Xen Project's wiki, "Version Compatibility".
//!
//! Decides: by the file's first bytes, as xl writes them (xl.h: the header of a save; libxl-migration-stream and
//! libxc-migration-stream in Xen's docs/specs: what follows). Never: reads the guest's memory, or judges the guest.

use std::path::{Path, PathBuf};

use xenup_machine::Probe;
use xenup_machine::file::Kind;

use crate::kernel::Release;

use super::report::{Evidence, Restored, Saved};
use super::world::{GuestDisks, World};
use super::xendomains::{Setting, Xendomains};

/// Where xendomains saves guests, unless it is told otherwise.
const DIR: &str = "/var/lib/xen/save";
/// xl's header, a guest's configuration, and the headers behind it.
const START: u64 = 256 << 10;
const MAGIC: &[u8] = b"Xen saved domain, xl format\n \0 \r";
/// The text that xend's saves begin with.
const XEND: &[u8] = b"LinuxGuestRecord";
const JSON_AND_V2: u32 = 0b10;

/// A save that was found.
pub(super) struct SaveFile {
    pub path: PathBuf,
    pub size: u64,
    pub start: Result<Vec<u8>, String>,
}

/// Finds the saves of a host.
pub(super) fn find(probe: &dyn Probe, disks: &dyn GuestDisks) -> Vec<SaveFile> {
    let dir = dir(probe);
    let names = probe.list(&dir).unwrap_or_default();
    let saves = names.iter().filter_map(|name| {
        let path = dir.join(name);
        match probe.entry(&path).ok()??.kind {
            Kind::File { size } => {
                let start = disks.start(&path, START);
                Some(SaveFile { path, size, start })
            }
            _ => None,
        }
    });
    saves.collect()
}

fn dir(probe: &dyn Probe) -> PathBuf {
    match Xendomains::read(probe).map(|xendomains| xendomains.save) {
        Some(Setting::Set(dir, _)) => dir,
        _ => PathBuf::from(DIR),
    }
}

/// Returns where xendomains has saved a guest, if it has.
#[must_use]
pub fn save_of(probe: &dyn Probe, name: &str) -> Option<PathBuf> {
    let path = dir(probe).join(name);
    probe.entry(&path).ok().flatten().map(|_| path)
}

/// What a save says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// By this Xen; the offset of the number.
    By { major: u32, minor: u32, at: u64 },
    /// Before Xen 4.6, in the form without a version.
    Before46,
    /// By xend.
    ByXend,
    /// No save of xl.
    No(String),
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

/// Reads a save's start. Both integers of Xen's version are in the order of the machine that wrote them: x86's.
fn written(start: &[u8]) -> Option<Written> {
    if start.starts_with(XEND) {
        return Some(Written::ByXend);
    }
    if !start.starts_with(MAGIC) {
        return Some(Written::No("it does not begin as xl's saves do".to_owned()));
    }
    if number(start, 32)? != 0x0102_0304 {
        return Some(Written::No("it was written on a machine of another byte order".to_owned()));
    }
    if number(start, 36)? & JSON_AND_V2 == 0 {
        return Some(Written::Before46);
    }
    let optional = usize::try_from(number(start, 44)?).ok()?;
    let at = optional.checked_add(48)?;
    let ident = start.get(at..at.checked_add(8)?)?;
    if ident != b"LibxlFmt" {
        return Some(Written::No("behind its configuration no stream begins".to_owned()));
    }
    // libxl's header has 16 bytes, the record that announces libxc's stream 8, libxc's own header 24.
    let image = at.checked_add(24)?;
    let marker = start.get(image..image.checked_add(12)?)?;
    if !marker.starts_with(&[0xff; 8]) || !marker.ends_with(b"XENF") {
        return Some(Written::No("no memory image begins where it should".to_owned()));
    }
    let domain = image.checked_add(24)?;
    let (major, minor) = (number(start, domain.checked_add(8)?)?, number(start, domain.checked_add(12)?)?);
    Some(Written::By { major, minor, at: domain.checked_add(8)? as u64 })
}

/// Judges the saves of a host.
pub(super) fn judged(world: &World<'_>) -> Vec<Saved> {
    world.saves.iter().map(|save| judge(save, world.target.xen.release, &world.target.xen.name)).collect()
}

fn judge(save: &SaveFile, target: Release, name: &str) -> Saved {
    let saved = |restored, why: String, evidence: Evidence| Saved {
        path: save.path.clone(),
        size: save.size,
        xen: None,
        restored,
        why,
        evidence,
    };
    let about = |what: &str| Evidence { path: Some(save.path.clone()), ..Evidence::words(what) };
    let start = match &save.start {
        Ok(start) => start,
        Err(why) => return saved(Restored::NotKnown, "the file cannot be read".to_owned(), about(why)),
    };
    match written(start) {
        None => saved(Restored::No, "the file ends before the guest's memory begins".to_owned(), about("")),
        Some(Written::No(why)) => {
            saved(Restored::NotKnown, "this is no save that xenup knows".to_owned(), about(&why))
        }
        Some(Written::ByXend) => saved(
            Restored::No,
            "xend wrote it, and xl does not read it".to_owned(),
            about("LinuxGuestRecord"),
        ),
        Some(Written::Before46) => saved(
            Restored::NotPromised,
            "a Xen before 4.6 wrote it, in a form that later ones have to convert".to_owned(),
            about("the header's flag for streams of version 2 is not set"),
        ),
        Some(Written::By { major, minor, at }) => {
            let evidence =
                Evidence { offset: Some(at), ..about(&format!("saved under Xen {major}.{minor}")) };
            let to = (u32::from(target.major), u32::from(target.minor));
            let steps = ordinal(to.0, to.1).zip(ordinal(major, minor)).map(|(to, from)| to - from);
            let (restored, why) = match steps {
                Some(0) => (Restored::Promised, format!("Xen {name} is the release that wrote it")),
                Some(1) => {
                    (Restored::Promised, format!("Xen {name} is the release after the one that wrote it"))
                }
                Some(steps) if steps < 0 => {
                    (Restored::NotPromised, format!("it comes from a newer Xen than {name}"))
                }
                _ => (
                    Restored::NotPromised,
                    format!(
                        "saves are promised from a release to the next one, and {major}.{minor} to {name} is further"
                    ),
                ),
            };
            Saved { xen: Some(format!("{major}.{minor}")), ..saved(restored, why, evidence) }
        }
    }
}

/// A release's place in the row: what followed 3.4 was called 4.0.
pub(super) fn ordinal(major: u32, minor: u32) -> Option<i64> {
    match major {
        3 => Some(i64::from(minor)),
        4 => Some(i64::from(minor).saturating_add(5)),
        _ => None,
    }
}

/// Whether any of them is lost with the new Xen.
pub(super) fn lost(saved: &[Saved]) -> impl Iterator<Item = &Path> {
    let lost = saved.iter().filter(|save| matches!(save.restored, Restored::No | Restored::NotPromised));
    lost.map(|save| save.path.as_path())
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, Written, written};

    /// A save as xl writes it, up to the guest's memory.
    fn save(flags: u32, config: &[u8], version: (u32, u32)) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let length = u32::try_from(config.len()).unwrap();
        for number in [0x0102_0304, flags, 0, length] {
            bytes.extend(u32::to_le_bytes(number));
        }
        bytes.extend(config);
        bytes.extend(b"LibxlFmt\0\0\0\x02\0\0\0\0\x01\0\0\0\0\0\0\0");
        bytes.extend([0xff; 8]);
        bytes.extend(b"XENF\0\0\0\x03\0\0\0\0\0\0\0\0");
        for number in [1, 12, version.0, version.1] {
            bytes.extend(u32::to_le_bytes(number));
        }
        bytes
    }

    #[test]
    fn the_xen_that_wrote_a_save_is_read() {
        let good = save(3, b"{\"c_info\": {}}", (4, 17));
        assert_eq!(written(&good), Some(Written::By { major: 4, minor: 17, at: 48 + 14 + 24 + 24 + 8 }));
        assert_eq!(written(&save(0, b"", (4, 4))), Some(Written::Before46));
        assert_eq!(written(b"LinuxGuestRecord\0"), Some(Written::ByXend));
        assert!(matches!(written(b"#!/bin/sh"), Some(Written::No(_))));
        for end in 0..good.len() {
            let cut = written(&good[..end]);
            assert!(!matches!(cut, Some(Written::By { .. })), "cut at {end}");
        }
    }
}
