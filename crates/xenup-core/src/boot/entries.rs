//! GRUB's entries for plain Linux and for Xen. Decides which they are, by id; never chooses a default.

use crate::inspect::facts::{At, Boot};
use crate::inspect::{Finding, Weight};

/// How 10_linux begins the id of its first entry; the rest names the root file system.
const SIMPLE_LINUX: &str = "gnulinux-simple-";

/// Ids of GRUB's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Plain Linux, the newest kernel.
    pub linux: String,
    /// Xen with the newest hypervisor and the newest kernel. Not there before Xen is installed; 20_linux_xen forms
    /// its id as 10_linux does that of plain Linux.
    pub xen: String,
}

/// Returns the entries.
///
/// # Errors
/// A finding, where the menu has no plain Linux entry at its top: then 20_linux_xen makes none for Xen either, and no
/// id leads to it.
pub fn entries(boot: &Boot) -> Result<Entries, Finding> {
    let top = boot.entries.iter().filter(|entry| entry.within.is_empty() && !entry.submenu && !entry.xen);
    if let Some(entry) = top.into_iter().find(|entry| entry.id.starts_with(SIMPLE_LINUX)) {
        return Ok(Entries { linux: entry.id.clone(), xen: format!("xen-{}", entry.id) });
    }
    let disabled = boot.grub.get("GRUB_DISABLE_SUBMENU").is_some_and(|value| matches!(value.as_str(), "y" | "yes" | "true"));
    let at: Vec<At> = boot.grub_set_at.get("GRUB_DISABLE_SUBMENU").into_iter().cloned().collect();
    Err(Finding {
        id: "no-simple-entry".to_owned(),
        weight: Weight::Blocks,
        what: "GRUB's menu has no entry for plain Linux at its top".to_owned(),
        why: "the trial boot needs an entry for Linux and one for Xen that keep their ids".to_owned(),
        fix: match disabled {
            true => "remove GRUB_DISABLE_SUBMENU from GRUB's configuration, then update-grub",
            false => "update-grub, and look whether `grep gnulinux-simple /boot/grub/grub.cfg` finds an entry",
        }
        .to_owned(),
        at: if disabled { at } else { Vec::new() },
    })
}
