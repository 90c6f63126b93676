//! A guest that boots a kernel of dom0 instead of its own disk's.
//!
//! Decides: which installed kernel a word names, what the guest's file says of one, and what a kernel without a ramdisk must
//! have built in. Facts: xl.cfg(5); the disk is one file system without a partition table. Never: reads a kernel.

use std::path::PathBuf;

use crate::kernel::config;

/// A kernel of dom0 for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKernel {
    /// Its image on the host, absolute.
    pub image: PathBuf,
    /// Its ramdisk on the host, absolute.
    pub ramdisk: Option<PathBuf>,
}

/// What the kernel is told. The root is the whole disk, by a name that a kernel without a ramdisk knows too; the rest is what
/// a base's own grub.cfg says.
pub const CMDLINE: &str = "root=/dev/xvda ro console=hvc0 net.ifnames=0";

/// Why a word names no kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchKernel {
    /// None of that name.
    #[error("no kernel `{}` is installed for guests", .0.escape_debug())]
    Absent(String, Vec<String>),
    /// Several of one role.
    #[error("several kernels are {0}: {list}", list = .1.join(", "))]
    Several(String, Vec<String>),
}

impl NoSuchKernel {
    /// Returns one decision that helps.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Absent(_, there) if !there.is_empty() => {
                format!("--kernel {}; a path has a `/` in it", there.join(" or "))
            }
            Self::Absent(..) => {
                "xenup kernel build makes one, and xenup kernel install puts it there; a path has a `/` in it"
                    .to_owned()
            }
            Self::Several(_, names) => format!("say which: --kernel {}", names.join(" or ")),
        }
    }
}

/// Returns the folder that `word` means among those of installed kernels: the one of that name, else the only one whose
/// release ends with that role, as `kernel build` names them: `domU-minimal` is 6.1.192-domu-minimal.
///
/// # Errors
/// None, or several of one role.
pub fn installed<'a>(word: &str, folders: &'a [String]) -> Result<&'a str, NoSuchKernel> {
    if let Some(folder) = folders.iter().find(|folder| *folder == word) {
        return Ok(folder);
    }
    let ending = format!("-{}", word.to_ascii_lowercase());
    let of_role: Vec<&String> = folders.iter().filter(|folder| folder.ends_with(&ending)).collect();
    match of_role.as_slice() {
        [one] => Ok(one),
        [] => Err(NoSuchKernel::Absent(word.to_owned(), folders.to_vec())),
        several => {
            Err(NoSuchKernel::Several(word.to_owned(), several.iter().map(|one| (*one).clone()).collect()))
        }
    }
}

/// Returns what a kernel without a ramdisk lacks to mount the guest's disk: options that its configuration does not set to
/// `y`.
#[must_use]
pub fn not_built_in(config: &str) -> Vec<&'static str> {
    ["CONFIG_XEN_BLKDEV_FRONTEND", "CONFIG_EXT4_FS"]
        .into_iter()
        .filter(|symbol| !config::is_set(config, symbol))
        .collect()
}
