//! What several guests of one host claim at once.

use std::collections::BTreeMap;

use super::super::disk_spec::Access;
use super::super::file::GuestFile;
use super::super::model::Guest;
use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};

/// Returns what more than one of the files claims: a name, a UUID, an address, a disk to write to.
#[must_use]
pub fn across(files: &[&GuestFile]) -> Vec<Finding> {
    let mut claims: BTreeMap<(Claim, String), Vec<At>> = BTreeMap::new();
    for file in files {
        let guest = Guest::of(file);
        let at = |at: usize| At { path: file.path().to_owned(), line: file.line(at) };
        let mut claim = |claim: Claim, what: String, start: usize| {
            let places = claims.entry((claim, what)).or_default();
            // One file after the other: only the last can be the same.
            if places.last().is_none_or(|place| place.path != file.path()) {
                places.push(at(start));
            }
        };
        for (kind, key) in [(Claim::Name, "name"), (Claim::Uuid, "uuid")] {
            if let (Some(text), Some(setting)) = (guest.filled(key), guest.settings.get(key)) {
                let start = file.statements().get(setting.statement).map_or(0, |one| one.span.start);
                claim(kind, text.to_ascii_lowercase(), start);
            }
        }
        for (span, vif) in &guest.vifs {
            if let Some(mac) = vif.mac {
                claim(Claim::Mac, mac.to_string(), span.start);
            }
        }
        for disk in &guest.disks {
            let Ok(spec) = &disk.spec else { continue };
            if spec.access == Access::ReadWrite
                && let Some(path) = spec.path()
            {
                claim(Claim::Disk, path, disk.span.start);
            }
        }
    }
    let shared = claims.into_iter().filter(|(_, places)| places.len() > 1);
    shared.map(|((claim, what), at)| Finding { at, ..claim.finding(&what) }).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Name,
    Uuid,
    Mac,
    Disk,
}

impl Claim {
    fn finding(self, what: &str) -> Finding {
        let (id, what, why, fix) = match self {
            Self::Name => (
                "guest-name-shared",
                format!("several files have the name {what}"),
                "xl starts one of them at a time",
                "give each its own name",
            ),
            Self::Uuid => (
                "guest-uuid-shared",
                format!("several files have the UUID {what}"),
                "Xen knows a guest by it, and the toolstack may take one for the other",
                "give each its own, from uuidgen",
            ),
            Self::Mac => (
                "guest-mac-shared",
                format!("several guests have the address {what}"),
                "a bridge sends each packet to one of them, when both run",
                "give each its own address",
            ),
            Self::Disk => (
                "guest-disk-shared",
                format!("several guests write to {what}"),
                "two writers destroy an ordinary file system; the block script refuses the second guest",
                "give each its own disk, or start only one of them",
            ),
        };
        Finding { weight: Weight::Warning, ..Finding::blocking(id, what, why, fix) }
    }
}
