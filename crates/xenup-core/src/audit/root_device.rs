//! `root=` by a device's name, against the disks that the guest is given.
//!
//! Decides: which name Linux gives a disk. Facts: xen-vbd-interface(7) and xen-blkfront.c: since Linux 3 every disk is
//! xvd, and hda and sda both become xvda; Xen's own trees before kept hd and sd. Never: judges a root by UUID or label.

use crate::guest::disk::facts::Volume;
use crate::guest::{Value, vdev_number};
use crate::kernel::{Content, Image, NoteType, NotesIn};

use super::boot::{Boots, By};
use super::fix::Change;
use super::judge::Case;
use super::report::{Effect, Evidence, Reason};
use super::world::system_disks;

/// A disk's name, cut in three.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    prefix: String,
    letters: String,
    partition: String,
}

/// Reads `xvda1`; `None` for names of another form.
fn name(text: &str) -> Option<Name> {
    let prefix = ["xvd", "hd", "sd", "vd"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let rest = text.get(prefix.len()..)?;
    let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let partition = rest.get(letters.len()..)?;
    let good = !letters.is_empty() && letters.len() <= 3 && letters.bytes().all(|c| c.is_ascii_lowercase());
    good.then(|| Name {
        prefix: prefix.to_owned(),
        letters: letters.to_owned(),
        partition: partition.to_owned(),
    })
}

impl Name {
    /// Whether a disk given as `self` has what `root` names, prefixes aside.
    fn holds(&self, root: &Self) -> bool {
        self.letters == root.letters && (self.partition.is_empty() || self.partition == root.partition)
    }
}

/// Whether Linux names disks as it has since 3.0: by the release that a bzImage says, or by an entry for PVH.
fn names_all_xvd(image: &Image) -> Option<bool> {
    if let Content::Kernel(kernel) = &image.content {
        if kernel.note(NoteType::Phys32Entry).is_some() {
            return Some(true);
        }
        if kernel.notes_in == NotesIn::GuestSection {
            return Some(false);
        }
    }
    let release = image.release.as_deref()?;
    let major: u32 = release.split('.').next()?.parse().ok()?;
    Some(major >= 3)
}

impl Case<'_> {
    /// Judges `root=` of the command line that the kernel gets.
    pub(super) fn root_device(&mut self, boots: &Boots<'_>) {
        self.notes_on_disks();
        let ramdisk = self.has_ramdisk(boots);
        let Some((root, key, evidence)) = self.root(boots) else {
            if !ramdisk {
                self.no_root(boots);
            }
            return;
        };
        if let Some(reason) = self.by_tag(boots, &root, ramdisk) {
            return self.push(reason.seen(evidence));
        }
        let Some(wanted) = root.strip_prefix("/dev/").and_then(name) else { return };
        let given: Vec<Option<Name>> = system_disks(&self.guest).map(|spec| name(&spec.vdev)).collect();
        let all_known = system_disks(&self.guest)
            .all(|spec| name(&spec.vdev).is_some() || vdev_number(&spec.vdev).is_none());
        let given: Vec<Name> = given.into_iter().flatten().collect();
        let holds = given.iter().find(|disk| disk.holds(&wanted));
        let all_xvd = names_all_xvd(&boots.image);
        let reason = match (wanted.prefix.as_str(), holds) {
            ("xvd", Some(disk)) => match self.partition(disk, &wanted, &root) {
                Some(reason) => reason,
                None => return,
            },
            ("xvd", None) if !all_known => return,
            ("xvd", None) => {
                let what = format!("root={root}, and no disk of the guest has that name");
                Reason::new("audit-root-absent", Effect::Stops, what)
                    .advice("name the disk that the system is on, by UUID best")
            }
            // The kernel keeps the name that the file gives: nothing is to be said.
            (prefix, Some(disk)) if disk.prefix == prefix && all_xvd == Some(false) => return,
            (prefix, Some(disk)) if disk.prefix == prefix && all_xvd.is_none() => {
                let what =
                    format!("root={root}: whether this kernel calls the disk so, or xvd, is not known");
                Reason::new("audit-root-name", Effect::NotKnown, what).advice("name it by UUID")
            }
            (_, Some(_)) => {
                let now = format!("/dev/xvd{}{}", wanted.letters, wanted.partition);
                let what = format!("root={root}, which this kernel calls {now}");
                let edit = key.map(|key| Change::Replace {
                    key,
                    from: format!("root={root}"),
                    to: format!("root={now}"),
                });
                let inside = if boots.by == By::Direct {
                    ""
                } else {
                    " in the guest's boot loader, or the root by UUID"
                };
                Reason::new("audit-root-name", Effect::Stops, what)
                    .settled_by(format!("write root={now}{inside}"))
                    .edits(edit.into_iter().collect(), true)
            }
            (_, None) => {
                let what = format!("root={root}, and no disk of the guest has that name");
                Reason::new("audit-root-absent", Effect::Stops, what)
                    .advice("name the disk that the system is on, by UUID best")
            }
        };
        self.push(reason.seen(evidence));
    }

    /// Whether the kernel is given a ramdisk.
    fn has_ramdisk(&self, boots: &Boots<'_>) -> bool {
        match boots.entry {
            Some(entry) => !entry.initrd.is_empty(),
            None => self.guest.filled("ramdisk").is_some(),
        }
    }

    /// Linux without a ramdisk and without `root=`.
    fn no_root(&mut self, boots: &Boots<'_>) {
        let inside = |key: &str| {
            let has = |line: &str| line.starts_with(key) && !line.ends_with("=\"\"");
            boots.config.is_some_and(|config| config.lines().any(has))
        };
        if !is_linux(&boots.image) || inside("CONFIG_CMDLINE=") || inside("CONFIG_INITRAMFS_SOURCE=") {
            return;
        }
        let what = format!("{} gets neither a ramdisk nor root=: it has no root to mount", boots.name);
        let reason = Reason::new("audit-root-absent", Effect::Stops, what)
            .seen(self.line("kernel"))
            .advice("give it the ramdisk that belongs to it, and root=");
        self.push(reason);
    }

    /// Judges a root that is named by what lies on it: Linux alone knows PARTUUID and PARTLABEL, and a ramdisk the rest.
    fn by_tag(&self, boots: &Boots<'_>, root: &str, ramdisk: bool) -> Option<Reason> {
        let absent = |what: String| Reason::new("audit-root-absent", Effect::Stops, what);
        if !ramdisk && is_linux(&boots.image) && (root.starts_with("UUID=") || root.starts_with("LABEL=")) {
            let what =
                format!("root={root} without a ramdisk: Linux alone finds a root by its device or PARTUUID");
            return Some(
                absent(what)
                    .advice("give it the ramdisk that belongs to it, or name the device: root=/dev/xvda…"),
            );
        }
        let (tag, value) = root.split_once('=')?;
        let value = value.trim_matches('"');
        let mut volumes = Vec::new();
        for spec in system_disks(&self.guest) {
            volumes.extend(&self.world.disk(spec)?.as_ref().ok()?.disk.volumes);
        }
        let named = |volume: &&Volume| {
            let held = match tag {
                "UUID" => &volume.uuid,
                "LABEL" => &volume.label,
                "PARTUUID" => &volume.partuuid,
                _ => return true,
            };
            held.as_ref()
                .is_some_and(|held| held == value || tag != "LABEL" && held.eq_ignore_ascii_case(value))
        };
        // What is inside a container, or is not known, may have that name.
        let told = |volume: &&Volume| {
            matches!(
                volume.kind.as_deref(),
                Some("ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "swap" | "vfat")
            )
        };
        if volumes.is_empty() || !volumes.iter().all(told) || volumes.iter().any(named) {
            return None;
        }
        let what = format!("root={root}, and nothing on the disks of the guest has that name");
        Some(absent(what).advice("name the root by the UUID that it has: xenup guest disk says it"))
    }

    /// Judges the partition that `root=` names on a disk that was read.
    fn partition(&self, disk: &Name, wanted: &Name, root: &str) -> Option<Reason> {
        if !disk.partition.is_empty() {
            return None;
        }
        let spec = system_disks(&self.guest).find(|spec| name(&spec.vdev).as_ref() == Some(disk))?;
        let read = &self.world.disk(spec)?.as_ref().ok()?.disk;
        if read.volumes.is_empty() {
            return None;
        }
        let number = |volume: &Volume| volume.number.map(|number| number.to_string()).unwrap_or_default();
        let path = spec.path().unwrap_or_default();
        let meant = read.volumes.iter().find(|volume| number(volume) == wanted.partition);
        let system = read.volumes.iter().find(|volume| volume.mounted.as_deref() == Some("/"));
        let Some(meant) = meant.or_else(|| read.volumes.first().filter(|_| wanted.partition.is_empty()))
        else {
            let has = if read.table.is_none() { "has no partitions" } else { "has no such partition" };
            let what = format!("root={root}, and {path} {has}");
            return Some(
                Reason::new("audit-root-absent", Effect::Stops, what)
                    .advice("name the disk that the system is on, by UUID best"),
            );
        };
        let elsewhere = system.filter(|system| *system != meant || number(meant) != wanted.partition)?;
        let what = format!(
            "root={root}, and the system that was found on {path} is on partition {}",
            number(elsewhere)
        );
        Some(Reason::new("audit-root-elsewhere", Effect::NotKnown, what).advice("name the root by its UUID"))
    }

    /// The root of the kernel's command line, the key that says it, and where it stands.
    fn root(&self, boots: &Boots<'_>) -> Option<(String, Option<String>, Evidence)> {
        let of = |line: &str| {
            let word = line.split_ascii_whitespace().rev().find_map(|word| word.strip_prefix("root="));
            word.map(str::to_owned)
        };
        if let Some(entry) = boots.entry {
            let place = Evidence::words(format!("{} on {}", entry.file, boots.place.display()));
            return Some((of(&entry.cmdline)?, None, place));
        }
        if self.guest.settings.contains_key("cmdline") {
            return Some((
                of(self.guest.text("cmdline")?)?,
                Some("cmdline".to_owned()),
                self.line("cmdline"),
            ));
        }
        if let Some(root) = self.guest.text("extra").and_then(of) {
            return Some((root, Some("extra".to_owned()), self.line("extra")));
        }
        let Value::Text(root) = &self.guest.settings.get("root")?.value else { return None };
        // xl writes `root=` before it; what follows the device, such as `ro`, stays.
        let device = root.split_ascii_whitespace().next()?.to_owned();
        Some((device, Some("root".to_owned()), self.line("root")))
    }
}

/// Whether the kernel says that it is Linux.
fn is_linux(image: &Image) -> bool {
    matches!(&image.content, Content::Kernel(kernel) if kernel.text(NoteType::GuestOs) == Some("linux"))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_cut_in_three() {
        let cut = |text: &str| name(text).map(|name| (name.prefix, name.letters, name.partition));
        let of = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(cut("xvda1"), of("xvd", "a", "1"));
        assert_eq!(cut("sdaa"), of("sd", "aa", ""));
        assert_eq!(cut("hdc10"), of("hd", "c", "10"));
        for other in ["", "xvd", "xvd1", "mapper/vg-root", "nvme0n1p1", "sda1p", "vda\u{e9}"] {
            assert_eq!(cut(other), None, "{other}");
        }
    }
}
