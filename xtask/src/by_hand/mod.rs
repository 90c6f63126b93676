//! What the handbook has people do as root to a disk and to what boots from it, without us: on disks of files, from this
//! machine's own mirror.
//!
//! Decides: which names of the page stand for this check's. Never: restarts this machine, or changes a file of it.

mod boot;
mod guest;
mod image;
mod started;

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::Suite;
use xenup_image::mirror::Mirror;
use xenup_rehearse::tools;
use xenup_system::files;
use xenup_system::process::Tool;

use crate::emulated::KEY;

type Failure = Box<dyn std::error::Error>;

const LIMIT: Duration = Duration::from_secs(3600);
/// mmdebstrap takes the archive's own mirror where none is named; this has it take the lines of a file.
const MIRROR: (&str, &str) = (" bookworm tree\n", " bookworm tree - < ../sources.list\n");

/// Makes a guest's disk and a host's, and changes what boots from the host's; returns whether all of it held.
///
/// # Errors
/// No mirror, or a command of a page that fails.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: mmdebstrap and chroot(2) need root");
        return Ok(true);
    }
    tools::ensure_tools_and(&[("mkfs.btrfs", "btrfs-progs")], &mut |line| println!("{line}"))?;
    let place = Place::new(&crate::project().join("target/by-hand"))?;
    let mut good = guest::made(&place)?;
    good &= image::made(&place)? & image::installed(&place)?;
    good &= boot::changed(&place)? & image::with_btrfs(&place)?;
    if good {
        files::remove_dir_all(&place.folder)?;
    }
    Ok(good)
}

/// Makes a host's disk as the page has it, and starts it; returns whether it came to a login prompt under Xen.
///
/// # Errors
/// No mirror, no emulator, or a command of the page that fails.
pub fn start() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: the emulated machine's network needs root");
        return Ok(true);
    }
    let place = Place::new(&crate::project().join("target/by-hand-start"))?;
    let good = image::made(&place)? && started::by_both(&place)?;
    if good {
        files::remove_dir_all(&place.folder)?;
    }
    Ok(good)
}

/// Where the pages are followed.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(folder: &Path) -> Result<Self, Failure> {
        crate::package::debug_program()?;
        files::remove_dir_all(folder)?;
        files::create_dir_all(&folder.join("home/.ssh"))?;
        files::write(&folder.join("home/.ssh/id_ed25519.pub"), format!("{KEY}\n").as_bytes())?;
        let lines = Mirror::of_this_machine()?.sources_list(Suite::Bookworm);
        files::write(&folder.join("sources.list"), lines.as_bytes())?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Follows a script of a page in a folder of this place, in mounts of its own.
    fn follow(&self, folder: &str, script: &str) -> Result<String, Failure> {
        let work = self.folder.join(folder);
        files::create_dir_all(&work)?;
        if !script.contains(MIRROR.0) {
            return Err("the page makes its tree in another way".into());
        }
        let programs = crate::project().join("target/debug");
        let path = format!("PATH={}:$PATH\n", programs.display());
        let tool = Tool::new("unshare")
            .args(["--mount", "sh", "-euc"])
            .arg(path + &script.replace(MIRROR.0, MIRROR.1))
            .current_dir(&work)
            .env("HOME", self.folder.join("home"));
        Ok(tool.timeout(LIMIT).run()?.text())
    }
}
