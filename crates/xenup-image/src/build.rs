//! The order of a build, and what is left when it fails: nothing at the image's path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::process::Tool;
use xenup_system::tree::TreeFiles;

use crate::check::Built;
use crate::error::{ImageError, during};
use crate::identity::Identity;
use crate::mirror::Mirror;
use crate::progress::{Progress, StepTime, Steps};
use crate::spec::{Format, ImageSpec};
use crate::{boot_loader, check, configure, disk, system_tree, tools};

/// How the names of work directories begin.
pub(crate) const WORK: &str = "build-";
/// The lock file in a work directory, held while it is in use.
pub(crate) const OWNER: &str = "owner";
const CONVERT_LIMIT: Duration = Duration::from_secs(1800);

/// A finished disk.
#[derive(Debug, Clone, Serialize)]
pub struct Image {
    /// The disk file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// The disk's size in bytes, as a machine sees it.
    pub size: u64,
    /// The identifiers of its file systems and partitions.
    pub identity: Identity,
    /// The kernels in /boot, by version, oldest first as sorted by name.
    pub kernels: Vec<String>,
    /// The steps in order with their times.
    pub steps: Vec<StepTime>,
}

/// Builds the disk that `spec` describes at `out`, replacing what was there, with the cache in
/// [`files::cache_dir`]`/images`.
///
/// Needs root. On an error nothing is left at `out` but what was there before.
pub fn build(spec: &ImageSpec, out: &Path, report: &mut dyn FnMut(Progress)) -> Result<Image, ImageError> {
    build_in(&files::cache_dir().join("images"), spec, out, report)
}

/// As [`build`], with the cache in a directory of the caller's choice; work in progress lies there too.
pub fn build_in(
    cache: &Path,
    spec: &ImageSpec,
    out: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<Image, ImageError> {
    spec.validate()?;
    if !files::is_root() {
        return Err(ImageError::NotRoot);
    }
    tools::check(spec)?;
    let identity = Identity::of(spec)?;
    sweep(cache)?;
    let work = WorkDir::new_in(cache, WORK)?;
    let _owner = FileLock::wait(&work.join(OWNER))?;
    let mut steps = Steps::new(report);
    let mirror = steps.run("mirror", |_| Mirror::of_this_machine())?;
    let root = work.join("tree");
    steps.run_cached("packages", |line| {
        system_tree::make(spec, &mirror, cache, &root, line).map(|cached| ((), cached))
    })?;
    let tree = TreeFiles::open(&root)?;
    steps.run("configuration", |_| configure::configure(spec, &identity, &mirror, &tree))?;
    let images = steps.run("boot loader", |_| boot_loader::install(spec, &identity, &tree))?;
    let raw = work.join("disk.raw");
    let layout = steps.run("root file system", |_| disk::write_root(spec, &identity, &root, &raw))?;
    steps.run("boot partitions", |_| disk::write_boot(&layout, &identity, &images, work.path(), &raw))?;
    steps.run("check", |_| {
        let grub_config = tree.read(Path::new("/boot/grub/grub.cfg"))?;
        let built =
            Built { layout: &layout, identity: &identity, images: &images, grub_config: &grub_config };
        check::check(&raw, &built).map_err(|source| ImageError::Check { path: raw.clone(), source })
    })?;
    steps.run("disk file", |_| finish(spec.format, &raw, out))?;
    let kernels = kernels(&tree)?;
    steps.run("cleaning up", |_| files::remove_dir_all(work.path()))?;
    Ok(Image {
        path: out.to_owned(),
        format: spec.format,
        size: layout.disk,
        identity,
        kernels,
        steps: steps.times,
    })
}

pub(crate) fn kernels(tree: &TreeFiles) -> Result<Vec<String>, ImageError> {
    let names = tree.names(Path::new("/boot"))?;
    Ok(names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).map(str::to_owned).collect())
}

/// Removes what killed builds left: work directories whose lock nobody holds. One without a lock file is just being
/// made, or was left in that moment: then it is empty.
pub(crate) fn sweep(cache: &Path) -> Result<(), ImageError> {
    files::create_dir_all(cache)?;
    let is_work =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WORK));
    for left in files::list(cache)?.into_iter().filter(is_work) {
        let owner = left.join(OWNER);
        if files::exists(&owner) && FileLock::attempt(&owner)?.is_some() {
            files::remove_dir_all(&left)?;
        }
    }
    Ok(())
}

/// Brings the raw disk to its final name in its format, in one step.
pub(crate) fn finish(format: Format, raw: &Path, out: &Path) -> Result<(), ImageError> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let done = convert(format, raw, &partial).and_then(|()| Ok(files::rename_unsynced(&partial, out)?));
    if done.is_err() {
        // The first error is the one to tell; what is left of the file would only fill the disk.
        let _ = files::remove_file(&partial);
    }
    done
}

fn convert(format: Format, raw: &Path, to: &Path) -> Result<(), ImageError> {
    match format {
        Format::Raw => {
            files::copy_sparse(raw, to)?;
        }
        Format::Qcow2 => {
            Tool::new("qemu-img")
                .args(["convert", "-f", "raw", "-O", "qcow2"])
                .arg(raw)
                .arg(to)
                .timeout(CONVERT_LIMIT)
                .die_with_parent()
                .run()
                .map_err(during("converting the disk (qemu-img)"))?;
        }
        Format::RawZst => {
            // The number of threads does not change what comes out, as long as there are some.
            Tool::new("zstd")
                .args(["--quiet", "--force", "--threads=2", "-o"])
                .arg(to)
                .arg(raw)
                .timeout(CONVERT_LIMIT)
                .die_with_parent()
                .run()
                .map_err(during("compressing the disk (zstd)"))?;
        }
    }
    Ok(())
}
