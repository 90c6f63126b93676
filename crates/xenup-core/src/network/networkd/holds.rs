//! Drop-ins by which systemd-networkd starts without taking addresses away; they are for this boot alone.
//!
//! Decides: for which links, and which of their addresses. Measured with systemd 252, Debian 12's: at each start it deletes
//! what its own files declare and sets it again, and a lent address it asks for again. The switch needs it started anew, and so
//! does its undo, whatever other NICs it has.
//! Never: outlasts a boot.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::files::{OwnFile, RUNTIME};
use super::matching::{Device, Host};
use super::refuse;
use super::tree::{HOLD, Tree};
use crate::inspect::facts::{Facts, OwnerKind};

/// What a link has that would be taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// An IPv4 address that was lent.
    lent: bool,
    /// One that nobody lent and no router advertised.
    lasting: bool,
}

impl Kept {
    /// Returns what any of the links has.
    pub(super) fn on(facts: &Facts, links: &[&str]) -> Self {
        let lasts = |link: &&str| !lasting(facts, link).is_empty();
        Self { lent: is_lent(facts, links), lasting: links.iter().any(lasts) }
    }

    /// The value of `KeepConfiguration=` (systemd.network(5)); `None` where nothing is to be kept.
    const fn word(self) -> Option<&'static str> {
        match (self.lent, self.lasting) {
            (true, true) => Some("yes"),
            (true, false) => Some("dhcp"),
            (false, true) => Some("static"),
            (false, false) => None,
        }
    }
}

/// The addresses of a link that nobody lent and no router advertised.
pub(super) fn lasting(facts: &Facts, link: &str) -> Vec<IpAddr> {
    let own = facts.network.kernel.addresses_on(link).filter(|address| address.valid.is_none());
    own.filter(|address| !address.is_link_local()).map(|address| address.ip).collect()
}

/// Whether one of the links has an IPv4 address that was lent.
pub(super) fn is_lent(facts: &Facts, links: &[&str]) -> bool {
    let mut addresses = links.iter().flat_map(|link| facts.network.kernel.addresses_on(link));
    addresses.any(|address| address.ip.is_ipv4() && address.valid.is_some())
}

/// Returns the drop-in of a .network file of this name; `None` where the link has nothing to keep.
pub(super) fn drop_in(unit: &str, kept: Kept) -> Option<OwnFile> {
    let word = kept.word()?;
    Some(OwnFile {
        path: format!("{RUNTIME}/{unit}.d/{HOLD}").into(),
        text: format!(
            "# Written by xenup for the switch: systemd-networkd starts without taking addresses away.\n\
             [Network]\nKeepConfiguration={word}\n"
        ),
        why: "systemd-networkd would take addresses away at its start and set them again; a reboot ends this",
    })
}

/// Returns those of the files that NICs get as they are: for the other NICs while this one is switched, and for this one when
/// that is undone.
pub(super) fn of_nics(facts: &Facts, host: &Host) -> Vec<OwnFile> {
    let units = Tree::new(&facts.network.files, ".network");
    let is_networkds = |kind: OwnerKind| matches!(kind, OwnerKind::Networkd | OwnerKind::Netplan);
    let mut kept: BTreeMap<&str, Kept> = BTreeMap::new();
    for nic in &facts.network.nics {
        if !nic.owners.iter().any(|owner| is_networkds(owner.kind)) {
            continue;
        }
        let device = Device::nic(nic, facts.network.kernel.link(&nic.name));
        let has = Kept::on(facts, &[&nic.name]);
        let Ok(unit) = refuse::source(&units, &device, host) else { continue };
        let of_all = kept.entry(&unit.name).or_default();
        of_all.lent |= has.lent;
        of_all.lasting |= has.lasting;
    }
    kept.into_iter().filter_map(|(unit, kept)| drop_in(unit, kept)).collect()
}
