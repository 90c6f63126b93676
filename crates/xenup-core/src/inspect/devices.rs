//! The devices of a machine, as its kernel names them: those that no driver serves too.
//!
//! Decides: which devices count, and which of them disks and network cards hang on. Never: looks for a driver.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reader::Reader;

/// A server has a few hundred.
const MOST_DEVICES: usize = 8192;
/// The longest modalias of a device has some 200 bytes; a processor's is longer, and names no device.
const LONGEST: usize = 1024;
/// Processors name their features so, which call for ciphers and counters, not for drivers.
const NO_DEVICES: [&str; 1] = ["cpu"];

/// Devices, and what stands between them and the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Devices {
    /// Those that have a modalias, by bus and name.
    pub found: Vec<Device>,
    /// The root's file system: `ext4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The file systems of all disks that are mounted, the root's included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_systems: Vec<String>,
    /// What lies between disks and file systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Its bus and name: `pci/0000:00:1f.2`.
    pub at: String,
    /// How drivers know it.
    pub modalias: String,
    /// The module of the driver that serves it, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The network cards that hang on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<String>,
    /// The disks that hang on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
}

/// Something between disks and file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Logical volumes.
    Lvm,
    /// Encryption.
    Crypt,
    /// Linux's own RAID.
    Raid,
}

impl Devices {
    /// Returns whether nothing is known: a tree of files, or facts of an older version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Gathers what /sys and /proc say of a running machine; nothing of a tree without them.
pub(super) fn gather(reader: &Reader<'_>) -> Devices {
    let mut found = Vec::new();
    for bus in reader.list("/sys/bus") {
        if NO_DEVICES.contains(&bus.as_str()) {
            continue;
        }
        let folder = Path::new("/sys/bus").join(&bus).join("devices");
        for name in reader.list(&folder) {
            let device = folder.join(&name);
            let modalias = reader.word(device.join("modalias")).filter(|text| is_modalias(text));
            let Some(modalias) = modalias.filter(|_| found.len() < MOST_DEVICES) else { continue };
            let module = reader.link(device.join("driver/module"));
            let module = module.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
            let (nics, disks) = (Vec::new(), Vec::new());
            found.push(Device { at: format!("{bus}/{name}"), modalias, module, nics, disks });
        }
    }
    hang(reader, &mut found, "/sys/class/net", |device| &mut device.nics);
    hang(reader, &mut found, "/sys/block", |device| &mut device.disks);
    let (root, file_systems) = mounted(&reader.quiet("/proc/self/mountinfo").unwrap_or_default());
    if found.is_empty() {
        return Devices::default();
    }
    Devices { found, root, file_systems, layers: layers(reader) }
}

fn is_modalias(text: &str) -> bool {
    text.contains(':') && text.len() <= LONGEST && !text.contains(char::is_whitespace)
}

/// Notes which links and disks hang on which devices: their places in /sys go through them.
fn hang(reader: &Reader<'_>, found: &mut [Device], class: &str, of: fn(&mut Device) -> &mut Vec<String>) {
    for name in reader.list(class) {
        let Some(place) = reader.link(Path::new(class).join(&name)) else { continue };
        let through: BTreeSet<&str> = place.iter().filter_map(|part| part.to_str()).collect();
        for device in found.iter_mut() {
            let on = device.at.split_once('/').is_some_and(|(_, device)| through.contains(device));
            if on {
                of(device).push(name.clone());
            }
        }
    }
}

/// The root's file system, and those of all mounted disks (proc(5), mountinfo).
fn mounted(mountinfo: &str) -> (Option<String>, Vec<String>) {
    let (mut root, mut all) = (None, BTreeSet::new());
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let mut words = after.split(' ');
        let (Some(kind), Some(source)) = (words.next(), words.next()) else { continue };
        if source.starts_with("/dev/") && !kind.starts_with("fuse") {
            all.insert(kind.to_owned());
        }
        if before.split(' ').nth(4) == Some("/") {
            root = Some(kind.to_owned());
        }
    }
    (root, all.into_iter().collect())
}

fn layers(reader: &Reader<'_>) -> Vec<Layer> {
    let mut layers = BTreeSet::new();
    for disk in reader.list("/sys/block") {
        let place = Path::new("/sys/block").join(&disk);
        let uuid = reader.word(place.join("dm/uuid")).unwrap_or_default();
        if uuid.starts_with("LVM-") {
            layers.insert(Layer::Lvm);
        }
        if uuid.starts_with("CRYPT-") {
            layers.insert(Layer::Crypt);
        }
        if reader.exists(place.join("md")) {
            layers.insert(Layer::Raid);
        }
    }
    layers.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::mounted;

    #[test]
    fn file_systems_of_disks_are_told_from_others() {
        let text = "26 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw\n\
                    30 26 0:26 / /run rw - tmpfs tmpfs rw\n40 26 8:1 / /boot/efi rw - vfat /dev/sda1 rw\nno words\n";
        let (root, all) = mounted(text);
        assert_eq!(root.as_deref(), Some("ext4"));
        assert_eq!(all, ["ext4", "vfat"]);
    }
}
