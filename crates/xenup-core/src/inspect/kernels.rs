//! Linux kernels in /boot, and which of them can be dom0.
//!
//! Decides: by the same lines that 20_linux_xen greps for, so that it agrees with the menu GRUB will get.
//! Never: opens a kernel image.

use super::facts::Kernel;
use super::reader::Reader;
use crate::kernel::{beside, config};

/// Gathers the kernels; the running one is listed only where its image is there.
pub(super) fn gather(reader: &Reader<'_>) -> Vec<Kernel> {
    let running = reader.word("/proc/sys/kernel/osrelease").unwrap_or_default();
    let images = reader.list("/boot").into_iter();
    let versions = images.filter_map(|name| beside::version(&name).map(str::to_owned));
    versions
        .map(|version| Kernel { dom0: can_be_dom0(reader, &version), running: version == running, version })
        .collect()
}

fn can_be_dom0(reader: &Reader<'_>, version: &str) -> Option<bool> {
    let base = version.strip_suffix(".old").unwrap_or(version);
    let text = [version, base].iter().find_map(|name| reader.text(format!("/boot/config-{name}")))?;
    Some(config::can_be_dom0(&text))
}
