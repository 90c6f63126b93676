//! GRUB's entries for plain Linux and for Xen. Decides which they are, by id; never chooses a default.

use crate::inspect::Finding;
use crate::inspect::facts::{At, Boot, GrubEntry};

/// How 10_linux begins the id of its first entry; the rest names the root file system.
pub(super) const SIMPLE_LINUX: &str = "gnulinux-simple-";

/// Ids of GRUB's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Plain Linux, the newest kernel.
    pub linux: String,
    /// Its place at the top of the menu, from 0, submenus counted. 20_linux_xen comes after 10_linux, so Xen's entries
    /// do not change it.
    pub linux_place: usize,
    /// Xen with the newest hypervisor and the newest kernel. Not there before Xen is installed; 20_linux_xen forms
    /// its id as 10_linux does that of plain Linux.
    pub xen: String,
}

/// Returns the entries.
///
/// # Errors
/// A finding, where the menu has no plain Linux entry at its top: then 20_linux_xen makes none for Xen either, and no
/// id leads to it.
pub fn entries(boot: &Boot) -> Result<Entries, Box<Finding>> {
    let mut top = boot.entries.iter().filter(|entry| entry.within.is_empty()).enumerate();
    let simple = |entry: &GrubEntry| !entry.submenu && !entry.xen && entry.id.starts_with(SIMPLE_LINUX);
    if let Some((place, entry)) = top.find(|(_, entry)| simple(entry)) {
        return Ok(Entries { linux: entry.id.clone(), linux_place: place, xen: format!("xen-{}", entry.id) });
    }
    let disabled = boot
        .grub
        .get("GRUB_DISABLE_SUBMENU")
        .is_some_and(|value| matches!(value.as_str(), "y" | "yes" | "true"));
    let fix = if disabled {
        "remove GRUB_DISABLE_SUBMENU from GRUB's configuration, then update-grub"
    } else {
        "update-grub, and look whether `grep gnulinux-simple /boot/grub/grub.cfg` finds an entry"
    };
    let at: Vec<At> = boot.grub_set_at.get("GRUB_DISABLE_SUBMENU").into_iter().cloned().collect();
    let finding = Finding::blocking(
        "no-simple-entry",
        "GRUB's menu has no entry for plain Linux at its top",
        "the trial boot needs an entry for Linux and one for Xen that keep their ids",
        fix,
    );
    Err(Box::new(Finding { at: if disabled { at } else { Vec::new() }, ..finding }))
}
