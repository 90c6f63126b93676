//! A guest's disk made larger in its place, while the guest is off.
//!
//! It decides the order: first the file system is known to be the guest's and whole, then the file grows by a hole, then
//! the file system in it. Stopped anywhere, the disk is a sound one of either size, and the same call goes on. Never
//! makes one smaller.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use xenup_disk::superblock::{self, Kind};
use xenup_system::disk_copy;
use xenup_system::files::DiskFile;
use xenup_system::process::{Output, ProcessError, Status, Tool};

use crate::check::OnDisk;
use crate::error::{ImageError, during};

/// A check of some terabytes.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Makes the disk at `path` `size` bytes large, and its file system as large as that. `volume` is group and name of the
/// logical volume that it is; `file_system` is its UUID.
///
/// # Errors
/// It is not that file system, e2fsck(8) finds damage that it does not repair by itself (then the disk is not grown), or
/// there is no room.
pub fn grow(
    path: &Path,
    volume: Option<(&str, &str)>,
    file_system: &str,
    size: u64,
) -> Result<(), ImageError> {
    crate::tools::check_for(&[("e2fsck", "e2fsprogs"), ("resize2fs", "e2fsprogs")])?;
    known(path, file_system)?;
    let checking = during("checking the guest's file system (e2fsck)");
    // The journal is played back as the guest's own boot would; 1 is "repaired".
    e2fsck(path, "-fp", &[0, 1]).map_err(checking)?;
    if DiskFile::open(path)?.size()? < size {
        match volume {
            Some((group, name)) => super::volume::extend(group, name, size)?,
            None => disk_copy::grow(path, size)?,
        }
    }
    Tool::new("resize2fs")
        .arg(path)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("growing the guest's file system (resize2fs)"))?;
    e2fsck(path, "-fn", &[0]).map_err(during("checking the guest's file system (e2fsck)"))
}

/// Whether the disk is what the guest's record says: one ext4 file system of that UUID.
fn known(path: &Path, file_system: &str) -> Result<(), ImageError> {
    let differs = |what: String| ImageError::NotTheDisk { path: path.to_owned(), what };
    let file = DiskFile::open(path)?;
    let bytes = Rc::new(OnDisk { size: file.size()?, file });
    let content = superblock::identify(&bytes).map_err(|error| differs(error.to_string()))?;
    match content {
        Some(content) if content.uuid.as_deref() == Some(file_system) => match content.kind {
            Kind::Ext { .. } => Ok(()),
            other => Err(differs(format!("it holds {}", other.name()))),
        },
        Some(content) => {
            let uuid = content.uuid.unwrap_or_else(|| "none".to_owned());
            Err(differs(format!("its UUID is {uuid}, and that of the guest's file system was {file_system}")))
        }
        None => Err(differs("it holds no file system that is known".to_owned())),
    }
}

fn e2fsck(path: &Path, how: &str, fine: &[i32]) -> Result<(), ProcessError> {
    let tool = Tool::new("e2fsck").arg(how).arg(path).timeout(LIMIT).die_with_parent();
    let Output { status, stdout, stderr, .. } = tool.output()?;
    match status {
        Status::Code(code) if fine.contains(&code) => Ok(()),
        // It says what is wrong on either.
        _ => Err(ProcessError::Failed {
            command: format!("e2fsck {how} {}", path.display()),
            status,
            stderr: String::from_utf8_lossy(&[stdout, stderr].concat()).trim().to_owned(),
        }),
    }
}
