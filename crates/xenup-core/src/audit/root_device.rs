//! `root=` by a device's name, against the disks that the guest is given.
//!
//! Decides: which name Linux gives a disk. Facts: xen-vbd-interface(7) and xen-blkfront.c: since Linux 3 every disk is
//! xvd, and hda and sda both become xvda; Xen's own trees before kept hd and sd. Never: judges a root by UUID or label.

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
        self.names_in_the_guest();
        let Some((root, key, evidence)) = self.root(boots) else { return };
        let Some(wanted) = root.strip_prefix("/dev/").and_then(name) else { return };
        let given: Vec<Option<Name>> = system_disks(&self.guest).map(|spec| name(&spec.vdev)).collect();
        let all_known = system_disks(&self.guest)
            .all(|spec| name(&spec.vdev).is_some() || vdev_number(&spec.vdev).is_none());
        let given: Vec<Name> = given.into_iter().flatten().collect();
        let holds = given.iter().find(|disk| disk.holds(&wanted));
        let all_xvd = names_all_xvd(&boots.image);
        let reason = match (wanted.prefix.as_str(), holds) {
            ("xvd", Some(_)) => return,
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
