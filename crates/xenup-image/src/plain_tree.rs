//! A Debian tree in a directory, for programs that are started in it (chroot, systemd-nspawn).
//!
//! It decides that packages come from this machine's own mirror. A tree has no kernel, no boot loader and no disk, and
//! nothing of it belongs to a machine.

use std::path::Path;
use std::time::Duration;

use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

use crate::error::{ImageError, during};
use crate::mirror::{KEYRING, Mirror};
use crate::spec::Suite;
use crate::system_tree::{IN_MEMORY, memory_for_tree, unpack};

/// A bootstrap takes half a minute here; this is for slow disks and links.
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(1800);

/// What a tree is to hold.
#[derive(Debug, Clone, Copy)]
pub struct PlainTree<'a> {
    /// The release.
    pub suite: Suite,
    /// Packages beside the essential ones and apt; what they depend on comes along.
    pub packages: &'a [&'a str],
    /// A shell script that is run in the tree at the end; apt's lists and fetched packages stay as it leaves them.
    pub script: &'a str,
}

/// Makes the tree at `dir`; one that is there is left as it is. apt knows the mirror in it, and the mirror's packages.
///
/// # Errors
/// No root, no mirror in this machine's apt sources, packages that cannot be installed, or a script that fails; then
/// nothing is at `dir`.
pub fn make(spec: &PlainTree<'_>, dir: &Path, line: &mut dyn FnMut(&str)) -> Result<(), ImageError> {
    if files::exists(dir) {
        return Ok(());
    }
    if !files::is_root() {
        return Err(ImageError::NotRoot);
    }
    let mirror = Mirror::of_this_machine()?;
    let work = WorkDir::new_in(dir.parent().unwrap_or(dir), "bootstrap-")?;
    let tar = work.join("tree.tar");
    bootstrap(spec, &mirror, &work.join("work"), &tar, line)?;
    let partial = work.join("tree");
    unpack(&tar, &partial)?;
    files::rename_unsynced(&partial, dir)?;
    Ok(())
}

fn bootstrap(
    spec: &PlainTree<'_>,
    mirror: &Mirror,
    work: &Path,
    tar: &Path,
    line: &mut dyn FnMut(&str),
) -> Result<(), ImageError> {
    files::create_dir_all(work)?;
    let certificates = mirror.over_https().then_some("ca-certificates");
    let packages: Vec<&str> = spec.packages.iter().copied().chain(certificates).collect();
    let memory = memory_for_tree();
    // Its mounts (/proc, /sys, /dev in the tree) stay in a mount namespace of its own and end with it, however it ends.
    Tool::new("unshare")
        .args(["--mount", "sh", "-ec", IN_MEMORY, "mmdebstrap", memory.as_str()])
        .args(["--mode=root", "--variant=minbase", "--format=tar"])
        .arg(format!("--keyring={KEYRING}"))
        .arg(format!("--include={}", packages.join(",")))
        .arg("--aptopt=Acquire::Languages \"none\"")
        .args(mirror.apt_options.iter().map(|option| format!("--aptopt={option}")))
        .arg("--dpkgopt=force-unsafe-io")
        .args(["--skip=cleanup/apt/lists", "--skip=cleanup/apt/cache"])
        .arg("--customize-hook=chroot \"$1\" sh -euc \"$XENUP_SCRIPT\"")
        // An option for the bootstrap alone: whoever works in the tree is to see dpkg sync what it writes.
        .arg("--customize-hook=rm -f \"$1\"/etc/dpkg/dpkg.cfg.d/99mmdebstrap")
        .env("XENUP_SCRIPT", spec.script)
        .env("TMPDIR", work)
        .timeout(BOOTSTRAP_LIMIT)
        .die_with_parent()
        .arg(spec.suite.name())
        .arg(tar)
        // From standard input the lines become /etc/apt/sources.list itself.
        .arg("-")
        .stdin(mirror.sources_list(spec.suite))
        .run_lines(line)
        .map_err(during("installing the packages (mmdebstrap)"))?;
    Ok(())
}
