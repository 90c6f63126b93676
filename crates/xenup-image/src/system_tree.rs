//! The installed system before it belongs to any machine: mmdebstrap's tree, kept as a tar in the cache.
//!
//! It decides what a tree is the same for (suite, packages, mirror, recipe) and when a kept one is too old. Nothing in
//! the tree is a secret or an identity: those are made per image, in [`crate::configure`].

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use xenup_system::files::{self, FileError, FileLock};
use xenup_system::process::Tool;

use crate::bootstrap::{Bootstrap, with_kernel};
use crate::error::{ImageError, during};
use crate::host::Deb;
use crate::identity::sha256_hex;
use crate::mirror::Mirror;
use crate::spec::{ImageSpec, SpecError, Suite};

/// Counts up with every change of how a tree is made, so that older kept trees are not taken.
const RECIPE: u32 = 4;
/// A kept tree older than this is made anew: it lacks the security updates of a week.
const FRESH_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// A bootstrap takes one to two minutes here; this is for slow disks and links.
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(3600);

/// Answers for GRUB's package: it must neither look for a disk to write to nor ask.
const GRUB_ANSWERS: &str = "grub-pc grub-pc/install_devices multiselect\\n\
                            grub-pc grub-pc/install_devices_empty boolean true\\n";

/// Installs a package that is in no archive, with what it depends on.
const PACKAGE_HOOK: &str = r#"install -m 0644 "$XENUP_PACKAGE" "$1/package.deb"
chroot "$1" apt-get install --yes --no-install-recommends /package.deb
rm "$1/package.deb""#;

/// What a tree depends on; two equal ones may share a kept tree.
#[derive(Debug, Serialize)]
struct Key<'a> {
    recipe: u32,
    suite: Suite,
    packages: &'a [String],
    mirror: &'a Mirror,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
}

/// A tree that is to be made or taken.
pub(crate) struct Recipe<'a> {
    pub suite: Suite,
    pub packages: Vec<String>,
    pub mirror: &'a Mirror,
    /// Seconds since 1970: no file is younger, so that the same packages are the same bytes.
    pub epoch: Option<u64>,
    /// A package that is in no archive.
    pub package: Option<&'a Deb>,
}

/// Puts the installed system into the new directory `tree`; `true` where it came from the cache.
///
/// Kept trees lie in `cache` as `tree-<digest>.tar` for a week. Two builds at once wait for each other here.
pub fn make(
    spec: &ImageSpec,
    mirror: &Mirror,
    cache: &Path,
    tree: &Path,
    line: &mut dyn FnMut(&str),
) -> Result<bool, ImageError> {
    let packages = packages(spec, mirror);
    let recipe = Recipe { suite: spec.suite, packages, mirror, epoch: None, package: None };
    make_by(&recipe, cache, tree, Devices::InTheTree, line)
}

/// As [`make`], by a recipe.
pub(crate) fn make_by(
    recipe: &Recipe<'_>,
    cache: &Path,
    tree: &Path,
    devices: Devices,
    line: &mut dyn FnMut(&str),
) -> Result<bool, ImageError> {
    let Recipe { suite, packages, mirror, epoch, package } = recipe;
    let key = Key {
        recipe: RECIPE,
        suite: *suite,
        packages,
        mirror,
        epoch: *epoch,
        package: package.map(|package| package.digest.as_str()),
    };
    let digest = sha256_hex(&serde_json::to_vec(&key).map_err(SpecError::Digest)?);
    let kept = cache.join(format!("tree-{}.tar", digest.get(..16).unwrap_or(&digest)));
    let _alone = alone(&cache.join("lock"), line)?;
    forget_old(cache)?;
    if files::exists(&kept) {
        match unpack_with(&kept, tree, devices) {
            Ok(()) => return Ok(true),
            Err(error) => line(&format!("the kept system is damaged and made anew: {error}")),
        }
        files::remove_file(&kept)?;
        files::remove_dir_all(tree)?;
    }
    let partial = kept.with_extension("partial");
    let work = tree.with_extension("bootstrap");
    let bootstrap = Bootstrap { suite: *suite, packages, mirror, work: &work, limit: BOOTSTRAP_LIMIT };
    // A Debian that was just installed knows its packages.
    let own = |tool: Tool| {
        let answered = tool
            .arg("--skip=cleanup/apt/lists")
            .arg(format!("--essential-hook=printf '{GRUB_ANSWERS}' | chroot \"$1\" debconf-set-selections"));
        let tool = match package {
            None => with_kernel(answered),
            Some(package) => with_kernel(
                answered
                    .arg(format!("--customize-hook={PACKAGE_HOOK}"))
                    .env("XENUP_PACKAGE", &package.path)
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            ),
        };
        match epoch {
            None => tool,
            Some(epoch) => tool.env("SOURCE_DATE_EPOCH", epoch.to_string()),
        }
    };
    bootstrap.to_tar(&partial, own, line)?;
    files::rename_unsynced(&partial, &kept)?;
    unpack_with(&kept, tree, devices)?;
    Ok(false)
}

/// The right to make or take kept trees; others that build now are waited for.
fn alone(lock: &Path, line: &mut dyn FnMut(&str)) -> Result<FileLock, FileError> {
    if let Some(lock) = FileLock::attempt(lock)? {
        return Ok(lock);
    }
    line("another build is installing packages: waiting for it");
    FileLock::wait(lock)
}

/// Removes kept trees that are too old, and what a killed build left of one.
fn forget_old(cache: &Path) -> Result<(), FileError> {
    for path in files::list(cache)? {
        let is = |suffix| path.extension().is_some_and(|extension| extension == suffix);
        if is("partial") || (is("tar") && files::age(&path)? >= FRESH_FOR) {
            files::remove_file(&path)?;
        }
    }
    Ok(())
}

pub(crate) fn packages(spec: &ImageSpec, mirror: &Mirror) -> Vec<String> {
    let mut packages = spec.packages.clone();
    if mirror.over_https() {
        packages.push("ca-certificates".into());
    }
    packages.sort();
    packages.dedup();
    packages
}

pub(crate) fn unpack(kept: &Path, tree: &Path) -> Result<(), ImageError> {
    unpack_with(kept, tree, Devices::InTheTree)
}

/// Whether the nodes in /dev come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    /// They do; real root alone can make them.
    InTheTree,
    /// They do not: the kernel makes its own before anything of the tree runs.
    LeftOut,
}

fn unpack_with(kept: &Path, tree: &Path, devices: Devices) -> Result<(), ImageError> {
    files::create_dir_all(tree)?;
    let left_out: &[&str] = if devices == Devices::LeftOut { &["--exclude=./dev/*"] } else { &[] };
    Tool::new("tar")
        .args(left_out)
        .args([
            "--extract",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "--same-permissions",
            "--file",
        ])
        .arg(kept)
        .arg("--directory")
        .arg(tree)
        .die_with_parent()
        .run()
        .map_err(during("unpacking the kept system (tar)"))?;
    Ok(())
}
