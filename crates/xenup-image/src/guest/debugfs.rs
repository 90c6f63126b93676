//! Files written into an ext4 image that is not mounted: one run of debugfs(8) for all of them, without root.
//!
//! It decides the commands and their order, and makes no directory: `mkdir` of one that is there damages the file system
//! (1.47.0). debugfs ends with status 0 whatever it could not do: what came of it is read back by [`super::check`].

use std::path::Path;
use std::time::Duration;

use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

use super::disk::Entry;
use crate::error::{ImageError, during};

/// Bytes of a page of amd64, and of a block of the base.
pub(super) const PAGE: u64 = 4096;
/// The group shadow, by Debian's own number (base-passwd).
const SHADOW_GROUP: u32 = 42;
const LIMIT: Duration = Duration::from_secs(300);

/// Writes the entries into the file system of `image`, as root's; a name may say where in a disk it begins.
pub(crate) fn write(image: &Path, entries: &[Entry], work: &WorkDir) -> Result<(), ImageError> {
    let mut script = String::new();
    for (number, entry) in entries.iter().enumerate() {
        let (directory, name) = split(entry.path())?;
        // debugfs makes a name in its working directory only.
        script.push_str(&format!("cd {directory}\n"));
        match entry {
            Entry::File { mode, bytes, .. } => {
                files::write(&work.join(&number.to_string()), bytes)?;
                let group = if entry.path() == Path::new("/etc/shadow") { SHADOW_GROUP } else { 0 };
                script.push_str(&format!(
                    "rm {name}\nwrite {number} {name}\n{}",
                    dressed(name, 0o100_000 | mode, group)
                ));
            }
            Entry::Swap { size, .. } => {
                files::write(&work.join(&number.to_string()), &swap_header(*size))?;
                // Blocks that are allocated and not written are none that swapon(2) calls a hole.
                script.push_str(&format!(
                    "write {number} {name}\nfallocate {name} 1 {last}\nsif {name} size {size}\n{dressed}",
                    last = (size / PAGE).saturating_sub(1),
                    dressed = dressed(name, 0o100_600, 0)
                ));
            }
            Entry::Link { target, .. } => {
                let target = target.to_str().filter(|text| is_plain(text));
                let target = target.ok_or_else(|| unfit(entry.path()))?;
                script.push_str(&format!("rm {name}\nsymlink {name} {target}\n"));
            }
            Entry::Gone { .. } => script.push_str(&format!("rm {name}\n")),
        }
    }
    files::write(&work.join("script"), script.as_bytes())?;
    Tool::new("debugfs")
        .args(["-w", "-f", "script"])
        .arg(image)
        .current_dir(work.path())
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("writing files into the file system (debugfs)"))?;
    Ok(())
}

/// The first page of a swap area of so many bytes (mkswap(8), version 1: union swap_header of linux/swap.h).
pub(super) fn swap_header(size: u64) -> Vec<u8> {
    let mut page = vec![0; PAGE as usize];
    let last = u32::try_from((size / PAGE).saturating_sub(1)).unwrap_or(u32::MAX);
    for (place, bytes) in
        [(1024, &1_u32.to_le_bytes()[..]), (1028, &last.to_le_bytes()), (4086, b"SWAPSPACE2")]
    {
        if let Some(field) = page.get_mut(place..place + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
    page
}

fn dressed(name: &str, mode: u32, group: u32) -> String {
    format!("sif {name} mode 0{mode:o}\nsif {name} uid 0\nsif {name} gid {group}\n")
}

fn split(path: &Path) -> Result<(&str, &str), ImageError> {
    let text = path.to_str().filter(|text| text.starts_with('/') && is_plain(text));
    match text.and_then(|text| text.rsplit_once('/')) {
        Some(("", name)) if !name.is_empty() => Ok(("/", name)),
        Some((directory, name)) if !name.is_empty() => Ok((directory, name)),
        _ => Err(unfit(path)),
    }
}

/// What debugfs takes for one word, without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-@+".contains(&b))
}

fn unfit(path: &Path) -> ImageError {
    ImageError::Unfit { path: path.to_owned() }
}
