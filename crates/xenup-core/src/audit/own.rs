//! The kernel on a guest's own disk, as the boot loader that is given to the guest comes to it.
//!
//! Decides: which disk and which file that loader takes, and why there is no kernel at its end. Never: judges the kernel;
//! reads a disk.

use std::path::{Path, PathBuf};

use crate::guest::disk::facts::{Boot, Note};
use crate::guest::disk::{CUT, LOOPS, Pygrub, about};

use super::boot::{Boots, By};
use super::judge::Case;
use super::report::{Effect, Evidence, Reason};
use super::world::{DiskRead, OwnKernel, boot_disks, system_disks};

impl<'a> Case<'a> {
    /// Finds the kernel on the guest's own disk.
    pub(super) fn own(&self, by: By) -> Result<Boots<'a>, Box<Reason>> {
        let unknown = |what: String| {
            Box::new(Reason::new("audit-disk", Effect::NotKnown, what).seen(self.line("disk")))
        };
        let mut seen = None;
        for spec in boot_disks(&self.guest, by == By::Pygrub) {
            let Some(path) = spec.path().map(PathBuf::from) else {
                let why = match (spec.relative(), &spec.script) {
                    (Some(path), _) => format!("xl looks for {path} in the folder that it is started in"),
                    (None, Some(script)) => format!("the script {script} makes it when the guest starts"),
                    (None, None) => "xenup reads files and devices alone".to_owned(),
                };
                seen = seen.or(Some(unknown(format!("what is on disk {}: {why}", spec.vdev))));
                continue;
            };
            match self.world.disk(spec) {
                None => {}
                Some(Err(why)) => {
                    seen = seen
                        .or(Some(unknown(format!("the disk {} could not be read: {why}", path.display()))));
                }
                Some(Ok(read)) => {
                    if let (By::Pygrub, Some((comes_to, kernel))) = (by, &read.pygrub) {
                        return self.by_pygrub(&path, comes_to, kernel.as_ref());
                    }
                    let wanted = |boot: &&Boot| by != By::Grub || for_grub(boot);
                    let Some((number, boot)) =
                        read.disk.found.boot.iter().enumerate().find(|(_, boot)| wanted(boot))
                    else {
                        let notes: Vec<String> = read
                            .disk
                            .notes
                            .iter()
                            .map(|note| format!("{}, {}", note.about, note.text))
                            .collect();
                        let notes =
                            if notes.is_empty() { String::new() } else { format!(": {}", notes.join("; ")) };
                        let passed = read.disk.found.boot.first().filter(|_| by == By::Grub);
                        let what = match passed {
                            Some(boot) => format!(
                                "GRUB for Xen looks for grub.cfg in /boot/grub and /grub alone, and {} has {}",
                                path.display(),
                                boot.file
                            ),
                            None => {
                                format!(
                                    "nothing that was found on {} says what it boots{notes}",
                                    path.display()
                                )
                            }
                        };
                        seen = seen.or(Some(unknown(what)));
                        continue;
                    };
                    let loops = |note: &&Note| note.about == boot.file && note.text == LOOPS;
                    if let Some(note) = read.disk.notes.iter().find(loops) {
                        let what = format!("{} on {}: {}", boot.file, path.display(), note.text);
                        return Err(unknown(what));
                    }
                    let own = read.kernels.iter().find(|kernel| kernel.boot == number);
                    return self.booted(&path, boot, own, by);
                }
            }
        }
        Err(seen.unwrap_or_else(|| unknown("it has no disk that could be looked at for a kernel".to_owned())))
    }

    /// What pygrub comes to.
    fn by_pygrub(
        &self,
        disk: &Path,
        comes_to: &'a Pygrub,
        kernel: Option<&'a OwnKernel>,
    ) -> Result<Boots<'a>, Box<Reason>> {
        let place = self.line("bootloader");
        match comes_to {
            Pygrub::Boots(boot) => self.booted(disk, boot, kernel, By::Pygrub),
            Pygrub::Fails(why) => {
                let what = format!("pygrub boots nothing from {}: {why}", disk.display());
                let reason = Reason::new("audit-pygrub-disk", Effect::Stops, what).seen(place);
                Err(Box::new(match self.own(By::Grub) {
                    Ok(_) => reason.advice(self.grub_in_place_of_pygrub()),
                    Err(_) => reason.advice("give the disk a grub.cfg on a file system that pygrub reads"),
                }))
            }
            Pygrub::Unknown(why) => {
                let what = format!("what pygrub boots from {} cannot be told: {why}", disk.display());
                Err(Box::new(Reason::new("audit-disk", Effect::NotKnown, what).seen(place)))
            }
        }
    }

    fn booted(
        &self,
        disk: &Path,
        boot: &'a Boot,
        own: Option<&'a OwnKernel>,
        by: By,
    ) -> Result<Boots<'a>, Box<Reason>> {
        let place = || Evidence::words(format!("{} on {}", boot.file, disk.display()));
        if let Some(hypervisor) = &boot.hypervisor {
            let what = format!("the entry that boots starts a hypervisor of its own, {hypervisor}");
            return Err(Box::new(Reason::new("audit-own-hypervisor", Effect::NotKnown, what).seen(place())));
        }
        if let Some(device) = &boot.kernel_device {
            let what = format!(
                "the entry that boots takes its kernel from another disk, {device}, which is not followed"
            );
            return Err(Box::new(Reason::new("audit-disk", Effect::NotKnown, what).seen(place())));
        }
        let Some(path) = &boot.kernel_path else {
            let named = boot.kernel.as_deref().unwrap_or("none");
            let what = format!("the kernel that its boot loader's file names is not there: {named}");
            let reason = Reason::new("audit-own-kernel-absent", Effect::Stops, what)
                .seen(place())
                .advice("repair it from inside the guest, or boot it once by a kernel of dom0's");
            return Err(Box::new(reason));
        };
        let name = format!("{path} on {}", disk.display());
        match own {
            Some(OwnKernel { image: Some(image), config, .. }) => {
                let mut image = image.clone();
                let packed = image.compression;
                if by == By::Grub {
                    image.compression = None;
                }
                let (config, place) = (config.as_deref(), disk.to_owned());
                Ok(Boots { image, packed, config, name, place, by, entry: Some(boot) })
            }
            other => {
                let why = other
                    .and_then(|own| own.error.clone())
                    .unwrap_or_else(|| "it was not looked at".to_owned());
                let what = format!("{name} cannot be read as a kernel: {why}");
                Err(Box::new(Reason::new("audit-kernel-unread", Effect::NotKnown, what).seen(place())))
            }
        }
    }

    /// What was noted on the guest's disks: file systems that were cut, lines of fstab that name disks as Xen does not.
    pub(super) fn notes_on_disks(&mut self) {
        let world = self.world;
        let disks = system_disks(&self.guest)
            .filter_map(|spec| Some((spec.path()?, world.disk(spec)?.as_ref().ok()?)));
        let disks: Vec<(PathBuf, &DiskRead)> =
            disks.map(|(path, read)| (PathBuf::from(path), read)).collect();
        for (path, read) in disks {
            for note in read.disk.notes.iter().filter(|note| note.text.starts_with(CUT)) {
                let system = read.disk.volumes.iter().find(|volume| volume.mounted.as_deref() == Some("/"));
                let stops = system.is_none_or(|volume| about(volume) == note.about);
                let effect = if stops { Effect::Stops } else { Effect::NotKnown };
                let place = Evidence::words(format!("{} of {}", note.about, path.display()));
                let reason = Reason::new("audit-disk-cut", effect, note.text.clone()).seen(place);
                self.push(reason.advice("give it the whole image back, or a backup"));
            }
            for note in read.disk.notes.iter().filter(|note| note.about.starts_with("/etc/fstab:")) {
                let place = Evidence::words(format!("{} on {}", note.about, path.display()));
                self.push(Reason::new("audit-fstab", Effect::ToKnow, note.text.clone()).seen(place));
            }
        }
    }
}

/// Whether GRUB for Xen comes to this file: its images look for grub.cfg in two places, and for nothing else.
fn for_grub(boot: &Boot) -> bool {
    const LOOKED_FOR: [&str; 2] = ["/boot/grub/grub.cfg", "/grub/grub.cfg"];
    let names = boot.names.iter().chain([&boot.file]);
    boot.loader == "grub" && names.into_iter().any(|name| LOOKED_FOR.contains(&name.as_str()))
}
