//! Times that tell nothing: no file is younger than the archive, in the tree and in the file system made of it.
//!
//! mke2fs copies each file's times (a btrfs keeps when it was made). Those of its content are settled in the tree; when an
//! inode was last changed nobody can set there, so that is done in the file system, by debugfs(8).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use xenup_system::process::Tool;

use crate::disk::Extent;
use crate::error::{ImageError, during};

const LIMIT: Duration = Duration::from_secs(600);
/// The inodes before it are the file system's own (ext4's EXT4_GOOD_OLD_FIRST_INO); mke2fs dates them by what it takes for
/// the present.
const FIRST_INODE: u64 = 11;
/// The root directory, which is filled from the tree too.
const ROOT_INODE: u64 = 2;

/// Makes everything in the tree that is younger than `epoch` as old as that.
pub(crate) fn tree(tree: &Path, epoch: u64) -> Result<(), ImageError> {
    let at = format!("@{epoch}");
    Tool::new("find")
        .arg(tree)
        .args(["-newermt", at.as_str(), "-exec", "touch", "--no-dereference", "--date", at.as_str()])
        .args(["{}", "+"])
        .timeout(LIMIT)
        .run()
        .map_err(during("settling the files' times (find)"))?;
    Ok(())
}

/// Gives every inode in use the same time of its last change and last reading.
pub(super) fn file_system(disk: &Path, place: Extent, epoch: u64) -> Result<(), ImageError> {
    let mut name = disk.as_os_str().to_owned();
    name.push(format!("?offset={}", place.offset));
    let said = Tool::new("dumpe2fs").arg("-h").arg(&name).timeout(LIMIT).run();
    let said = said.map_err(during("reading the file system (dumpe2fs)"))?.text();
    let number = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let used = number("Inode count").zip(number("Free inodes")).map(|(all, free)| all.saturating_sub(free));
    let Some(used) = used else {
        return Err(ImageError::Incomplete { what: "count of its inodes", path: disk.to_owned() });
    };
    let mut script = format!("set_current_time @{epoch}\n");
    for inode in [ROOT_INODE].into_iter().chain(FIRST_INODE..=used) {
        for field in ["atime", "ctime"] {
            // A string takes whatever is written to it.
            let _ = writeln!(script, "set_inode_field <{inode}> {field} @{epoch}");
        }
    }
    Tool::new("debugfs")
        .args(["-w", "-f", "-"])
        .arg(&name)
        .stdin(script)
        .timeout(LIMIT)
        .run()
        .map_err(during("settling the file system's times (debugfs)"))?;
    Ok(())
}
