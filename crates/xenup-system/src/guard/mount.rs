//! What a guard may stand on: a file system that is there before the network is.
//!
//! Never mounts anything, and decides nothing about what follows.

use std::io;
use std::path::Path;

/// File systems that need the network (mount(8), `_netdev`); those of FUSE by their subtype.
const NETWORK: [&str; 11] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "afs",
    "lustre",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.s3fs",
];

/// Returns the type of the file system that holds a path, where that one needs the network.
///
/// # Errors
/// /proc is not there.
pub fn network_file_system(path: &Path) -> io::Result<Option<String>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(kind_of(&mounts, path).filter(|kind| NETWORK.contains(kind)).map(str::to_owned))
}

/// Returns the type of the file system at a path: of the longest mount point above it the last that was mounted
/// (proc_pid_mountinfo(5): field 5 is the mount point, the type is the first field after a lone `-`).
fn kind_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        if path.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::kind_of;

    #[test]
    fn the_longest_mount_point_and_of_one_the_last_counts() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /var/lib rw,relatime shared:7 - nfs4 host:/srv rw\n\
                      31 22 0:41 / /var rw - nfs host:/var rw\n\
                      32 22 8:2 / /var rw - xfs /dev/sda2 rw\n\
                      garbage\n";
        let kind = |path: &str| kind_of(mounts, Path::new(path));
        assert_eq!(kind("/var/lib/xenup"), Some("nfs4"));
        assert_eq!(kind("/var/log"), Some("xfs"));
        assert_eq!((kind("/etc"), kind("/various")), (Some("ext4"), Some("ext4")));
        assert_eq!(kind_of("", Path::new("/etc")), None);
    }
}
