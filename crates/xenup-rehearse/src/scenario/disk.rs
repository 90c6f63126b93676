//! Reads the file system of a machine that is off, from its disk image, without asking that machine.
//!
//! The image is copied to a raw file in the run's directory and mounted read-only in a mount namespace of its own,
//! which goes, mount and loop device with it, when the listing is done or its process dies.

use std::path::Path;

use serde_json::Value;
use xenup_system::files;
use xenup_system::process::Tool;

use super::failure::Failure;
use super::listing::{LIMIT, LIST_HERE, Listing};
use crate::error::during;

/// Mounts the first argument (offset: the second) and lists it into the directory that is the third.
/// The journal is not replayed: the machine has been switched off in good order.
const MOUNT: &str = r#"set -eu
mount -t ext4 -o "loop,ro,noload,offset=$2" "$1" "$3/mounted"
cd "$3/mounted"
"#;

/// Lists the root file system of a disk image; `work` is a directory of the run's, and `name` tells images apart.
///
/// # Errors
/// No partition with an ext4 file system, no loop devices on this machine, or a listing that cannot be read.
pub fn list(image: &Path, work: &Path, name: &str) -> Result<Listing, Failure> {
    let here = work.join(name);
    files::create_dir_all(&here.join("mounted"))?;
    let raw = here.join("disk.raw");
    Tool::new("qemu-img")
        .args(["convert", "-O", "raw"])
        .arg(image)
        .arg(&raw)
        .timeout(LIMIT)
        .run()
        .map_err(during("copy the machine's disk"))?;
    let offset = root_offset(&raw)?;
    Tool::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(format!("{MOUNT}{LIST_HERE}"))
        .arg("list")
        .arg(&raw)
        .arg(offset.to_string())
        .arg(&here)
        .timeout(LIMIT)
        .run()
        .map_err(during("read the machine's disk"))?;
    let listing = Listing::read(&here)?;
    files::remove_dir_all(&here)?;
    Ok(listing)
}

/// Where the last partition begins, in bytes: the root file system's on the disks that xenup-image makes.
fn root_offset(raw: &Path) -> Result<u64, Failure> {
    let output = Tool::new("sfdisk").arg("--json").arg(raw).run().map_err(during("read the partitions"))?;
    last_start(&output.text())
        .and_then(|sectors| sectors.checked_mul(512))
        .ok_or_else(|| Failure::unexpected("the disk's partitions", "one or more", output.text()))
}

/// The first sector of the partition that lies last.
fn last_start(json: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(json).ok()?;
    let partitions = value.get("partitiontable")?.get("partitions")?.as_array()?;
    partitions.iter().filter_map(|partition| partition.get("start")?.as_u64()).max()
}

#[cfg(test)]
mod tests {
    use super::last_start;

    #[test]
    fn the_last_partition_is_the_root() {
        let json = r#"{"partitiontable": {"label": "gpt", "unit": "sectors", "partitions": [
            {"node": "a1", "start": 2048, "size": 2048}, {"node": "a3", "start": 135168, "size": 9},
            {"node": "a2", "start": 4096, "size": 131072}]}}"#;
        assert_eq!(last_start(json), Some(135_168));
        assert_eq!(last_start("{}"), None);
    }
}
