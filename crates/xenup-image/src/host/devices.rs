//! The few devices that programs in a tree cannot do without, lent by this machine while they run. An ordinary user can
//! make no device, but mount one that is there. Decides which; never leaves one in the tree.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::process::Tool;

use crate::error::{ImageError, during};

const LIMIT: Duration = Duration::from_secs(60);

const LEND: &str = r#"mount -t tmpfs -o mode=0755,size=1m tmpfs "$1/dev"
for name in null zero full random urandom; do
  : > "$1/dev/$name"
  mount --bind "/dev/$name" "$1/dev/$name"
done"#;

const TAKE_BACK: &str = r#"umount --recursive "$1/dev""#;

/// The devices in a tree. They are taken back on every way out: what is mounted cannot be removed with the tree.
#[derive(Debug)]
pub(super) struct Lent {
    tree: Option<PathBuf>,
}

pub(super) fn lend(tree: &Path) -> Result<Lent, ImageError> {
    let lent = Lent { tree: Some(tree.to_owned()) };
    shell(LEND, tree).map_err(during("lending the tree this machine's devices (mount)"))?;
    Ok(lent)
}

impl Lent {
    /// Takes them back.
    ///
    /// # Errors
    /// umount's.
    pub(super) fn take_back(mut self) -> Result<(), ImageError> {
        match self.tree.take() {
            Some(tree) => shell(TAKE_BACK, &tree).map_err(during("taking the devices back (umount)")),
            None => Ok(()),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // On the way out of an error, which is the one to tell.
        if let Some(tree) = &self.tree {
            let _ = shell(TAKE_BACK, tree);
        }
    }
}

fn shell(script: &str, tree: &Path) -> Result<(), xenup_system::process::ProcessError> {
    Tool::new("sh").args(["-ec", script, "sh"]).arg(tree).timeout(LIMIT).run().map(drop)
}
