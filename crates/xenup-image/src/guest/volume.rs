//! A guest's disk as a logical volume: a filled one, or a snapshot of a thin volume that holds the base.
//!
//! It decides the order. Nobody else may make or remove guests' volumes meanwhile; whether a name is free was asked before.
//! Never removes a guest's volume by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files::{self, DiskFile, WorkDir};
use xenup_system::process::Tool;

use super::base::{Base, SIZE};
use super::disk::{self, GuestDisk};
use super::{check, debugfs};
use crate::error::{ImageError, during};
use crate::progress::{Progress, StepTime, Steps};

/// How the names of work directories begin.
const WORK: &str = ".volume-";
/// Zeros for a terabyte on a slow disk.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Where a volume is to be.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// The volume group.
    pub group: &'a str,
    /// The thin pool that it is a snapshot in.
    pub pool: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
    /// The tag that it gets.
    pub tag: &'a str,
}

impl Volume<'_> {
    fn full(&self) -> String {
        full(self.group, self.name)
    }
}

/// A thin volume that holds a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseVolume {
    /// Its name: the same for every content of a base.
    pub name: String,
    /// The tag of this content.
    pub tag: String,
    /// Whether one of that name and that tag is there; `None` where there is none of that name.
    pub kept: Option<bool>,
}

impl BaseVolume {
    /// Returns name and tag of a base's volume; what is kept is not known yet.
    #[must_use]
    pub fn of(base: &Base, prefix: &str) -> Self {
        let stem = base.image.file_stem().unwrap_or_default().to_string_lossy();
        let digest = base.about.digest.get(..32).unwrap_or(&base.about.digest);
        Self { name: format!("{prefix}{stem}"), tag: format!("{prefix}base-{digest}"), kept: None }
    }
}

/// Makes the disk as a volume; `wanted.path` is its device. Returns the steps with their times.
///
/// # Errors
/// No room, a tool that failed, a disk that does not read back. Whether a volume of that tag is there then is the caller's
/// to see: a volume of that name may be somebody else's.
pub fn make(
    base: &Base,
    wanted: &GuestDisk<'_>,
    volume: &Volume<'_>,
    of_base: &BaseVolume,
    report: &mut dyn FnMut(Progress),
) -> Result<Vec<StepTime>, ImageError> {
    disk::validate(wanted)?;
    crate::tools::check_for(&[("lvcreate", "lvm2"), ("blkdiscard", "util-linux")])?;
    sweep(base)?;
    let mut steps = Steps::new(report);
    match volume.pool {
        None => filled(base, wanted, volume, &mut steps)?,
        Some(pool) => snapshot(base, wanted, volume, pool, of_base, &mut steps)?,
    }
    Ok(steps.times)
}

/// Removes what a kill left of making a volume.
fn sweep(base: &Base) -> Result<(), ImageError> {
    let is_left =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WORK));
    for left in files::list(folder(base))?.into_iter().filter(is_left) {
        files::remove_dir_all(&left)?;
    }
    Ok(())
}

fn folder(base: &Base) -> &Path {
    base.image.parent().unwrap_or(Path::new("/"))
}

/// Made as a file first, which is judged before anything of the volume group is taken.
fn filled(
    base: &Base,
    wanted: &GuestDisk<'_>,
    volume: &Volume<'_>,
    steps: &mut Steps<'_>,
) -> Result<(), ImageError> {
    let work = WorkDir::new_in(folder(base), WORK)?;
    let file = work.join("disk.img");
    let as_file = GuestDisk { path: &file, ..*wanted };
    steps.times.extend(disk::make(base, &as_file, &mut |_| {})?);
    steps.run("volume", |_| {
        let size = format!("{}b", wanted.size);
        lvm(
            "lvcreate",
            &[
                "--yes",
                "--wipesignatures",
                "y",
                "--size",
                &size,
                "--addtag",
                volume.tag,
                "--name",
                volume.name,
                volume.group,
            ],
        )
    })?;
    // A volume has what was on the disk before, and a file system made on zeros takes them for granted.
    steps.run("zeros", |_| zero(wanted.path))?;
    steps.run("copy to the volume", |_| fill(&file, wanted.path))?;
    steps.run("check of the volume", |_| disk::e2fsck(wanted.path))
}

fn snapshot(
    base: &Base,
    wanted: &GuestDisk<'_>,
    volume: &Volume<'_>,
    pool: &str,
    of_base: &BaseVolume,
    steps: &mut Steps<'_>,
) -> Result<(), ImageError> {
    let Volume { group, tag, name, .. } = *volume;
    if of_base.kept != Some(true) {
        steps.run("the base's volume", |_| keep_base(base, group, pool, of_base))?;
    }
    steps.run("snapshot", |_| {
        let of = full(group, &of_base.name);
        lvm(
            "lvcreate",
            &[
                "--yes",
                "--snapshot",
                "--permission",
                "rw",
                "--setactivationskip",
                "n",
                "--addtag",
                tag,
                "--name",
                name,
                &of,
            ],
        )
    })?;
    let image = wanted.path;
    steps.run("file system", |_| {
        if wanted.size > SIZE {
            extend(group, name, wanted.size)?;
        }
        disk::resize(image, SIZE, wanted.size)?;
        if wanted.size < SIZE {
            let size = format!("{}b", wanted.size);
            lvm("lvreduce", &["--yes", "--force", "--size", &size, &volume.full()])?;
        }
        disk::identify(image, wanted.file_system)
    })?;
    let work = WorkDir::new_in(folder(base), WORK)?;
    let entries = disk::all_entries(base, wanted);
    steps.run("files", |_| debugfs::write(image, &entries, &work))?;
    steps.run("check", |_| {
        disk::e2fsck(image)?;
        check::check(image, wanted, &entries)
    })
}

/// Puts a base on a thin volume that nobody writes to any more; one of another content goes first, which no snapshot of
/// it minds (lvmthin(7)).
fn keep_base(base: &Base, group: &str, pool: &str, of: &BaseVolume) -> Result<(), ImageError> {
    if of.kept.is_some() {
        remove(group, &of.name)?;
    }
    let (size, into) = (format!("{SIZE}b"), full(group, pool));
    lvm("lvcreate", &["--yes", "--thin", "--virtualsize", &size, "--name", &of.name, &into])?;
    let device = device(group, &of.name);
    let filled = fill(&base.image, &device).and_then(|()| {
        let volume = full(group, &of.name);
        lvm("lvchange", &["--activate", "n", &volume])?;
        // The tag comes last: a volume without it was not finished.
        lvm("lvchange", &["--permission", "r", "--setactivationskip", "y", "--addtag", &of.tag, &volume])
    });
    if filled.is_err() {
        let _ = remove(group, &of.name);
    }
    filled
}

/// Makes a volume larger; one that is as large stays.
///
/// # Errors
/// No room.
pub fn extend(group: &str, name: &str, size: u64) -> Result<(), ImageError> {
    let size = format!("{size}b");
    lvm("lvextend", &["--yes", "--size", &size, &full(group, name)])
}

/// Removes a volume with all that is on it.
///
/// # Errors
/// It is in use, or LVM does not do it.
pub fn remove(group: &str, name: &str) -> Result<(), ImageError> {
    lvm("lvremove", &["--yes", &full(group, name)])
}

fn full(group: &str, name: &str) -> String {
    format!("{group}/{name}")
}

fn device(group: &str, name: &str) -> PathBuf {
    Path::new("/dev").join(group).join(name)
}

fn fill(from: &Path, device: &Path) -> Result<(), ImageError> {
    let target = DiskFile::open_write(device)?;
    target.write_file_at(0, from)?;
    Ok(target.sync()?)
}

fn zero(device: &Path) -> Result<(), ImageError> {
    let tool = Tool::new("blkdiscard").arg("--zeroout").arg(device);
    tool.timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("writing zeros to the volume (blkdiscard)"))?;
    Ok(())
}

fn lvm(program: &'static str, words: &[&str]) -> Result<(), ImageError> {
    let step = match program {
        "lvcreate" => "making the volume (lvcreate)",
        "lvremove" => "removing the volume (lvremove)",
        "lvextend" => "making the volume larger (lvextend)",
        "lvreduce" => "making the volume smaller (lvreduce)",
        _ => "changing the volume (lvchange)",
    };
    // Killed in the middle it would leave its locks and the metadata half changed: it is waited for.
    Tool::new(program).args(words).timeout(LIMIT).run().map_err(during(step))?;
    Ok(())
}
