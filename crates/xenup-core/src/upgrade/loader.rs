//! GRUB's package, which writes the loader onto disks while it is upgraded, and fails where it does not know which.
//!
//! Decides: whether the disks that debconf has for it are there. With nobody to be asked, its script ends with an error
//! otherwise (grub-pc's postinst), in the middle of an upgrade. Never: chooses a disk.

use std::path::Path;

use xenup_machine::Probe;

use crate::inspect::{Facts, Finding};

/// What debconf knows, by the driver that Debian has by default (debconf.conf(5)).
const ANSWERS: &str = "/var/cache/debconf/config.dat";
/// A desktop's has 5 MiB.
const ANSWERS_LIMIT: u64 = 32 << 20;
/// GRUB was installed once: without them its package leaves the disks alone.
const INSTALLED_ONCE: [&str; 2] = ["/boot/grub/core.img", "/boot/grub/i386-pc/core.img"];

/// Returns what keeps GRUB's package from being upgraded.
pub(super) fn disks(probe: &dyn Probe, facts: &Facts) -> Option<Finding> {
    facts.packages.version("grub-pc")?;
    let there = |path: &str| probe.entry(Path::new(path)).is_ok_and(|entry| entry.is_some());
    if !INSTALLED_ONCE.iter().any(|path| there(path)) {
        return None;
    }
    let bytes = probe.read(Path::new(ANSWERS), ANSWERS_LIMIT).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let listed = answer(&text, "grub-pc/install_devices");
    let disks: Vec<&str> = listed.split([',', ' ']).filter(|disk| !disk.is_empty()).collect();
    let gone: Vec<&str> = disks.iter().copied().filter(|disk| !there(disk)).collect();
    let what = if !gone.is_empty() {
        format!("the disks that GRUB's package writes to are not there: {}", gone.join(", "))
    } else if disks.is_empty() && answer(&text, "grub-pc/install_devices_empty") != "true" {
        "GRUB's package does not know which disk it writes to".to_owned()
    } else {
        return None;
    };
    Some(Finding::blocking(
        "upgrade-grub-disks",
        what,
        "its script asks while it is upgraded, and fails where nobody is there to answer: in the middle of the upgrade",
        "dpkg-reconfigure grub-pc, and choose the disk that this machine starts from",
    ))
}

/// Returns the value of a question; empty where it has none.
fn answer<'a>(text: &'a str, question: &str) -> &'a str {
    let stanza = text.split("\n\n").find(|stanza| {
        stanza.lines().any(|line| line.strip_prefix("Name: ").is_some_and(|name| name == question))
    });
    let value = stanza.and_then(|stanza| stanza.lines().find_map(|line| line.strip_prefix("Value: ")));
    value.unwrap_or_default().trim()
}
