//! A Debian tree in a directory, for programs that are started in it (chroot, systemd-nspawn).
//!
//! It decides that packages come from this machine's own mirror. A tree has no kernel, no boot loader and no disk, and
//! nothing of it belongs to a machine.

use std::path::Path;
use std::time::Duration;

use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

use crate::bootstrap::Bootstrap;
use crate::error::ImageError;
use crate::mirror::Mirror;
use crate::spec::Suite;
use crate::system_tree::unpack;

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
    let certificates = mirror.over_https().then_some("ca-certificates");
    let packages: Vec<String> =
        spec.packages.iter().copied().chain(certificates).map(str::to_owned).collect();
    let bootstrap = Bootstrap {
        suite: spec.suite,
        packages: &packages,
        mirror: &mirror,
        work: &work.join("work"),
        limit: BOOTSTRAP_LIMIT,
    };
    let own = |tool: Tool| {
        tool.args(["--skip=cleanup/apt/lists", "--skip=cleanup/apt/cache"])
            .arg("--customize-hook=chroot \"$1\" sh -euc \"$XENUP_SCRIPT\"")
            // An option for the bootstrap alone: whoever works in the tree is to see dpkg sync what it writes.
            .arg("--customize-hook=rm -f \"$1\"/etc/dpkg/dpkg.cfg.d/99mmdebstrap")
            .env("XENUP_SCRIPT", spec.script)
    };
    bootstrap.to_tar(&tar, own, line)?;
    let partial = work.join("tree");
    unpack(&tar, &partial)?;
    files::rename_unsynced(&partial, dir)?;
    Ok(())
}
