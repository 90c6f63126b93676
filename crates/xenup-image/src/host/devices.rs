//! The few devices that programs in a tree cannot do without, lent by this machine while they run. An ordinary user can
//! make no device, but mount one that is there. Decides which; never leaves one in the tree.

use std::path::Path;
use std::time::Duration;

use xenup_system::process::Tool;

use crate::error::{ImageError, during};

const LIMIT: Duration = Duration::from_secs(60);

const LEND: &str = r#"mount -t tmpfs -o mode=0755,size=1m tmpfs "$1/dev"
for name in null zero full random urandom; do
  : > "$1/dev/$name"
  mount --bind "/dev/$name" "$1/dev/$name"
done"#;

pub(super) fn lend(tree: &Path) -> Result<(), ImageError> {
    shell(LEND, tree).map_err(during("lending the tree this machine's devices (mount)"))
}

pub(super) fn take_back(tree: &Path) -> Result<(), ImageError> {
    shell(r#"umount --recursive "$1/dev""#, tree).map_err(during("taking the devices back (umount)"))
}

fn shell(script: &str, tree: &Path) -> Result<(), xenup_system::process::ProcessError> {
    Tool::new("sh").args(["-ec", script, "sh"]).arg(tree).timeout(LIMIT).run().map(drop)
}
