//! One guest's disk out of a base: copied, resized, given its own UUID and files, read back, and only then put in place.
//!
//! It decides the order, and that nothing is left where one of the steps fails. It needs no root but for where the disk
//! is to be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::disk_copy;
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

use super::base::{Base, SMALLEST};
use super::{check, debugfs};
use crate::error::{ImageError, during};
use crate::progress::{Progress, StepTime, Steps};
use crate::spec::SpecError;

const LIMIT: Duration = Duration::from_secs(600);
const MIB: u64 = 1 << 20;
/// The letters behind the prefix of a work directory's name.
const WORK_SUFFIX: usize = 6;

/// Something that is written inside the root file system; root owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file, in the place of one that may be there. Its directory is there.
    File {
        /// Its absolute path.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// A swap file for root alone, all of it allocated. Its directory is there.
    Swap {
        /// Its absolute path.
        path: PathBuf,
        /// Bytes, whole pages of 4096.
        size: u64,
    },
    /// A symbolic link, in the place of what may be there.
    Link {
        /// Its absolute path.
        path: PathBuf,
        /// Where it leads, as written.
        target: PathBuf,
    },
    /// No file, where one may be.
    Gone {
        /// Its absolute path.
        path: PathBuf,
    },
}

impl Entry {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. }
            | Self::Swap { path, .. }
            | Self::Link { path, .. }
            | Self::Gone { path } => path,
        }
    }
}

/// What a guest's disk is to be.
#[derive(Debug, Clone, Copy)]
pub struct GuestDisk<'a> {
    /// Where it is to be, absolute; its directory is there.
    pub path: &'a Path,
    /// Its size in bytes, whole MiB.
    pub size: u64,
    /// Its file system's UUID.
    pub file_system: &'a str,
    /// What is written inside, in this order.
    pub entries: &'a [Entry],
}

/// Makes the disk; returns the steps with their times.
///
/// # Errors
/// A size that is none, no room, a tool that failed, a name that is taken, a disk that does not read back; then nothing
/// is left of it.
pub fn make(
    base: &Base,
    wanted: &GuestDisk<'_>,
    report: &mut dyn FnMut(Progress),
) -> Result<Vec<StepTime>, ImageError> {
    validate(wanted)?;
    let parent = wanted.path.parent().unwrap_or(Path::new("/"));
    // On the disk's own file system, so that the last step is a rename; removed with all it holds however this ends.
    let work = WorkDir::new_in(parent, &work_prefix(wanted.path))?;
    let image = work.join("disk");
    let entries = all_entries(base, wanted);
    let mut steps = Steps::new(report);
    steps.run("copy of the base", |_| disk_copy::copy(&base.image, &image))?;
    steps.run("file system", |_| {
        let present = files::size(&image)?;
        if present < wanted.size {
            disk_copy::grow(&image, wanted.size)?;
        }
        resize(&image, present, wanted.size)?;
        identify(&image, wanted.file_system)
    })?;
    steps.run("files", |_| debugfs::write(&image, &entries, &work))?;
    steps.run("check", |_| {
        e2fsck(&image)?;
        check::check(&image, wanted, &entries)
    })?;
    files::set_mode(&image, 0o600)?;
    disk_copy::place(&image, wanted.path)?;
    Ok(steps.times)
}

/// Whether such a disk can be made here.
pub(super) fn validate(wanted: &GuestDisk<'_>) -> Result<(), ImageError> {
    if wanted.size < SMALLEST || !wanted.size.is_multiple_of(MIB) {
        return Err(SpecError::Value {
            field: "size",
            value: format!("{} bytes", wanted.size),
            why: "is no whole number of MiB, or less than 2 GiB",
        }
        .into());
    }
    crate::tools::check_for(&[
        ("debugfs", "e2fsprogs"),
        ("resize2fs", "e2fsprogs"),
        ("tune2fs", "e2fsprogs"),
        ("e2fsck", "e2fsprogs"),
    ])
}

/// What is written inside: the base's menu for this file system, and what is wanted.
pub(super) fn all_entries(base: &Base, wanted: &GuestDisk<'_>) -> Vec<Entry> {
    let menu = grub_config(base, wanted.file_system);
    std::iter::once(menu).chain(wanted.entries.iter().cloned()).collect()
}

fn work_prefix(disk: &Path) -> String {
    format!(".{}-", disk.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes what a kill left of making the disk at this path. Nobody else may be making it.
///
/// # Errors
/// It cannot be removed.
pub fn sweep(disk: &Path) -> Result<(), ImageError> {
    let parent = disk.parent().unwrap_or(Path::new("/"));
    if !files::exists(parent) {
        return Ok(());
    }
    let prefix = work_prefix(disk);
    let is_left = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            name.to_string_lossy().strip_prefix(&prefix).is_some_and(|rest| rest.len() == WORK_SUFFIX)
        })
    };
    for left in files::list(parent)?.into_iter().filter(is_left) {
        files::remove_dir_all(&left)?;
    }
    Ok(())
}

/// grub.cfg names the root file system by its UUID, which is this guest's alone.
fn grub_config(base: &Base, uuid: &str) -> Entry {
    let text = base.about.grub_config.replace(&base.about.file_system, uuid);
    Entry::File { path: "/boot/grub/grub.cfg".into(), mode: 0o444, bytes: text.into_bytes() }
}

/// Makes the file system as large as that; a larger file or volume is there already.
pub(super) fn resize(image: &Path, present: u64, size: u64) -> Result<(), ImageError> {
    if present == size {
        return Ok(());
    }
    // It cuts the file off itself where the file system becomes smaller.
    Tool::new("resize2fs")
        .arg(image)
        .arg(format!("{}K", size >> 10))
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("resizing the guest's file system (resize2fs)"))?;
    Ok(())
}

/// The file system as a whole, read and not repaired.
pub(super) fn e2fsck(image: &Path) -> Result<(), ImageError> {
    Tool::new("e2fsck")
        .arg("-fn")
        .arg(image)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("checking the guest's file system (e2fsck)"))?;
    Ok(())
}

pub(super) fn identify(image: &Path, uuid: &str) -> Result<(), ImageError> {
    Tool::new("tune2fs")
        .args(["-U", uuid])
        .arg(image)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("giving the guest's file system its UUID (tune2fs)"))?;
    Ok(())
}
