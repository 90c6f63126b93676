//! mmdebstrap as every tree of ours is made by it: as root, in a mount namespace of its own, from this machine's mirror.
//!
//! It decides what is the same for all of them. What a tree has of its own comes with the caller's hooks.

use std::path::Path;
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;

use crate::error::{ImageError, during};
use crate::mirror::{KEYRING, Mirror};
use crate::spec::Suite;

/// A tree takes about 1 GiB while it is made; half of what is available is used, and as much again is left.
const MEMORY_NEEDED: u64 = 4 << 30;

/// Runs mmdebstrap with its work directory in memory where a size is given: dpkg syncs its database for every package,
/// which costs more than all the rest on a busy disk.
const IN_MEMORY: &str = r#"size=$1; shift
[ -z "$size" ] || mount -t tmpfs -o "mode=0755,size=$size" tmpfs "$TMPDIR"
exec mmdebstrap "$@""#;

/// Makes the initramfs of every kernel, once, and then the link /initrd.img, which the kernel's postinst left out.
const INITRAMFS_HOOK: &str = r#"chroot "$1" env -u INITRD sh -ec 'for modules in /lib/modules/*; do
  version=${modules##*/}
  update-initramfs -c -k "$version"
  linux-update-symlinks install "$version" "/boot/vmlinuz-$version"
done'"#;

/// A tree that is to be made.
pub(crate) struct Bootstrap<'a> {
    pub suite: Suite,
    pub packages: &'a [String],
    pub mirror: &'a Mirror,
    /// Where mmdebstrap works; made where it is missing.
    pub work: &'a Path,
    pub limit: Duration,
}

impl Bootstrap<'_> {
    /// Makes it as a tar archive; `with` adds the hooks and variables that this tree alone has.
    ///
    /// # Errors
    /// Packages that cannot be had or installed, or a hook that fails.
    pub fn to_tar(
        &self,
        tar: &Path,
        with: impl FnOnce(Tool) -> Tool,
        line: &mut dyn FnMut(&str),
    ) -> Result<(), ImageError> {
        files::create_dir_all(self.work)?;
        let memory = memory_for_tree();
        // Its mounts (/proc, /sys, /dev in the tree) stay in a mount namespace of its own and end with it, however it ends.
        let tool = Tool::new("unshare")
            .args(["--mount", "sh", "-ec", IN_MEMORY, "mmdebstrap", memory.as_str()])
            .args(["--mode=root", "--variant=minbase", "--format=tar"])
            .arg(format!("--keyring={KEYRING}"))
            .arg(format!("--include={}", self.packages.join(",")))
            .arg("--aptopt=Acquire::Languages \"none\"")
            .args(self.mirror.apt_options.iter().map(|option| format!("--aptopt={option}")))
            // The tree is thrown away when the machine goes down in between, so nothing is gained by syncing each file.
            .arg("--dpkgopt=force-unsafe-io")
            .env("TMPDIR", self.work)
            .timeout(self.limit)
            .die_with_parent();
        with(tool)
            .arg(self.suite.name())
            .arg(tar)
            // From standard input the lines become /etc/apt/sources.list itself.
            .arg("-")
            .stdin(self.mirror.sources_list(self.suite))
            .run_lines(line)
            .map_err(during("installing the packages (mmdebstrap)"))?;
        Ok(())
    }
}

/// The options of a tree with a kernel: the kernel's postinst would make an initramfs which the hook makes again, and that
/// is half of the time.
pub(crate) fn with_kernel(tool: Tool) -> Tool {
    tool.arg("--verbose").arg(format!("--customize-hook={INITRAMFS_HOOK}")).env("INITRD", "No")
}

/// The bytes of memory that the tree may take while packages are installed; empty where it is to lie on disk.
fn memory_for_tree() -> String {
    match files::available_memory() {
        enough if enough >= MEMORY_NEEDED => (enough / 2).to_string(),
        _ => String::new(),
    }
}
