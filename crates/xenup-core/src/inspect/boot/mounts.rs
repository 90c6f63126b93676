//! What lies under a path: mount, file system, block device, and what that is made of.
//!
//! Decides: whether GRUB could write a file there, and whether the network is needed to reach it.
//! Never: opens a device.

use std::path::{Path, PathBuf};

use super::super::reader::Reader;

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Device number as `major:minor`.
    pub device: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// File system type.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Options of the mount and of the file system, comma-separated.
    pub options: String,
}

/// Reads /proc/self/mountinfo; a line that is none is passed over.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ');
            let device = left.nth(2)?.to_owned();
            let point = PathBuf::from(unescaped(left.nth(1)?));
            let mount_options = left.next()?;
            let mut right = right.split(' ');
            let (kind, source) = (right.next()?.to_owned(), unescaped(right.next()?));
            let options = format!("{mount_options},{}", right.next().unwrap_or_default());
            Some(Mount { device, point, kind, source, options })
        })
        .collect()
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) if byte == b'\\' => {
                out.push(value);
                at += 4;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the mount that a path lies on: the longest mount point, the last mounted of equals.
pub(super) fn under<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let mut best: Option<&Mount> = None;
    for mount in mounts.iter().filter(|mount| path.starts_with(&mount.point)) {
        let longer =
            best.is_none_or(|best| mount.point.components().count() >= best.point.components().count());
        if longer {
            best = Some(mount);
        }
    }
    best
}

/// File systems that GRUB only reads (its own list in 00_header's check_writable).
const READ_ONLY: [&str; 6] = ["btrfs", "zfs", "squashfs", "romfs", "cpiofs", "tarfs"];
/// File systems that are no disk at all.
const NO_DISK: [&str; 6] = ["overlay", "tmpfs", "ramfs", "nfs", "nfs4", "9p"];

/// Returns why GRUB could not write a file on this mount at boot; empty where it can.
pub(super) fn obstacle(reader: &Reader<'_>, mount: &Mount) -> String {
    let kind = mount.kind.as_str();
    if READ_ONLY.contains(&kind) {
        return format!("it is on {kind}, where GRUB only reads");
    }
    if NO_DISK.contains(&kind) {
        return format!("{} is on {kind}, which GRUB does not read", mount.point.display());
    }
    let mut reason = String::new();
    walk(reader, &mount.device, &mut |layer| {
        if reason.is_empty() {
            reason = match layer.kind {
                LayerKind::Lvm => "it is on LVM, where GRUB only reads".to_owned(),
                LayerKind::Raid => "it is on a RAID array, where GRUB only reads".to_owned(),
                _ => String::new(),
            };
        }
    });
    reason
}

/// A block device of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its directory in /sys/devices, as the link in /sys/dev/block says.
    pub path: PathBuf,
    /// What it is.
    pub kind: LayerKind,
}

/// What a block device is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerKind {
    /// A logical volume.
    Lvm,
    /// Software RAID, or firmware RAID through device-mapper.
    Raid,
    /// dm-crypt.
    Encrypted,
    /// Another device-mapper target.
    Mapper,
    /// A disk or a partition.
    Disk,
}

/// More devices than any stack has.
const LAYERS_MAX: usize = 256;

/// Visits the device `major:minor` and all devices below it.
pub(super) fn walk(reader: &Reader<'_>, device: &str, visit: &mut dyn FnMut(&Layer)) {
    let mut waiting = vec![device.to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(device) = waiting.pop() {
        if seen.contains(&device) || seen.len() >= LAYERS_MAX {
            continue;
        }
        let directory = format!("/sys/dev/block/{device}");
        if let Some(path) = reader.link(&directory) {
            visit(&Layer { path, kind: kind(reader, &directory) });
        }
        for name in reader.probe.list(Path::new(&format!("{directory}/slaves"))).unwrap_or_default() {
            let below = format!("{directory}/slaves/{}/dev", name.to_string_lossy());
            waiting.extend(reader.word(below));
        }
        seen.push(device);
    }
}

fn kind(reader: &Reader<'_>, directory: &str) -> LayerKind {
    if let Some(uuid) = reader.word(format!("{directory}/dm/uuid")) {
        // The prefixes are those of libdevmapper's users.
        return match uuid.split('-').next().unwrap_or_default() {
            "LVM" => LayerKind::Lvm,
            "DMRAID" => LayerKind::Raid,
            "CRYPT" => LayerKind::Encrypted,
            _ => LayerKind::Mapper,
        };
    }
    if reader.exists(format!("{directory}/md")) || reader.exists(format!("{directory}/../md")) {
        return LayerKind::Raid;
    }
    LayerKind::Disk
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{parse, under};

    #[test]
    fn the_longest_and_last_mount_wins() {
        let mounts = parse(
            "26 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw,errors=remount-ro\n\
             30 26 254:1 / /boot rw,relatime shared:9 - ext4 /dev/vda1 rw\n\
             31 26 0:50 /@a /mnt/a\\040b rw - btrfs /dev/vdb rw\ntorn line\n",
        );
        let device = |path: &str| under(&mounts, Path::new(path)).map(|mount| mount.device.clone());
        assert_eq!(device("/boot/grub").as_deref(), Some("254:1"));
        assert_eq!(device("/bootx").as_deref(), Some("254:2"));
        assert_eq!(device("/mnt/a b/c").as_deref(), Some("0:50"));
        assert_eq!(mounts.len(), 3);
    }
}
