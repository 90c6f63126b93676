//! Where a new guest's disk goes: a file, a logical volume, a snapshot in a thin pool. Decides which of the three is made,
//! and says what a volume group lacks; never makes one that was not judged.

use xenup_core::guest::create::{BASES, Groups, Volume, VolumeFault, volume_tag};
use xenup_image::guest::volume::{self, BaseVolume};
use xenup_image::guest::{Base, GuestDisk, disk};
use xenup_image::{ImageError, StepTime};
use xenup_machine::Probe;

use crate::args::GuestCreate;
use crate::error::CommandError;
use crate::ui::Ui;

/// A disk's place, which has room for it.
pub struct Place {
    /// Bytes: what was asked for, in whole extents of a volume group.
    pub size: u64,
    /// What has to be known of it beforehand.
    pub warning: Option<String>,
    volume: Option<(Volume, Groups)>,
}

/// Returns the place that was asked for.
///
/// # Errors
/// LVM does not answer, or its group or pool cannot have the disk.
pub fn of(probe: &dyn Probe, args: &GuestCreate) -> Result<Place, CommandError> {
    let Some(room) = &args.volume else {
        return Ok(Place { size: args.size, warning: None, volume: None });
    };
    let refused = |fault: VolumeFault| {
        let hint = fault.hint();
        CommandError::refused(fault).hinted(hint)
    };
    let groups = Groups::look(probe).map_err(refused)?;
    let volume = Volume::of_guest(room, &args.name);
    let size = groups.rounded(&room.group, args.size);
    let warning = groups.fit(&volume, size).map_err(refused)?;
    Ok(Place { size, warning, volume: Some((volume, groups)) })
}

impl Place {
    /// Returns what kind of a disk it will be, for people.
    pub fn kind(&self) -> &'static str {
        match self.volume.as_ref().map(|(volume, _)| volume.room.pool.is_some()) {
            None => "sparse, mode 0600",
            Some(false) => "a logical volume",
            Some(true) => "a snapshot of the base in a thin pool",
        }
    }

    /// Says what a volume costs beside itself.
    pub fn say(&self, ui: &mut Ui, base: &Base) {
        let Some((volume, groups)) = &self.volume else { return };
        match &volume.room.pool {
            None => ui
                .status("the whole volume is written with zeros first: a file system takes them for granted"),
            Some(_) if self.of_base(base, volume, groups).kept == Some(true) => {}
            Some(_) => {
                let name = BaseVolume::of(base, BASES).name;
                ui.status(format!(
                    "the base goes to {}/{name} first, which later guests share",
                    volume.room.group
                ));
            }
        }
    }

    /// Makes the disk; `wanted` is at its path and has its size.
    ///
    /// # Errors
    /// As xenup-image has them.
    pub fn make(&self, base: &Base, wanted: &GuestDisk<'_>) -> Result<Vec<StepTime>, ImageError> {
        let Some((volume, groups)) = &self.volume else { return disk::make(base, wanted, &mut |_| {}) };
        let tag = volume_tag(wanted.file_system);
        let place = volume::Volume {
            group: &volume.room.group,
            pool: volume.room.pool.as_deref(),
            name: &volume.name,
            tag: &tag,
        };
        volume::make(base, wanted, &place, &self.of_base(base, volume, groups), &mut |_| {})
    }

    /// Removes the volume again, where one of this guest's is there.
    ///
    /// # Errors
    /// LVM does not do it.
    pub fn remove(&self, probe: &dyn Probe, file_system: &str) -> Result<(), Box<dyn std::error::Error>> {
        let Some((Volume { room, name }, _)) = &self.volume else { return Ok(()) };
        let tag = volume_tag(file_system);
        if Groups::look(probe)?.volume(&room.group, name).is_some_and(|there| there.has_tag(&tag)) {
            volume::remove(&room.group, name)?;
        }
        Ok(())
    }

    fn of_base(&self, base: &Base, volume: &Volume, groups: &Groups) -> BaseVolume {
        let mut of = BaseVolume::of(base, BASES);
        of.kept = groups.volume(&volume.room.group, &of.name).map(|there| there.has_tag(&of.tag));
        of
    }
}
