//! Files that a plan edits or compares, outside the network owner's tree. Decides which are kept; never edits one.

use std::path::{Path, PathBuf};

use super::facts::ConfigFile;
use super::reader::Reader;
use crate::network::dhcpcd::CONF;
use crate::network::guest_vlans::HOOK;
use crate::network::networkd::WAITS_FOR;
use crate::network::routed::SYSCTL;

/// Single files.
pub const FILES: [&str; 16] = [
    "/boot/grub/custom.cfg",
    "/etc/default/grub.d/00-xenup.cfg",
    "/etc/default/grub.d/zz-xenup.cfg",
    "/etc/default/xendomains",
    CONF,
    "/etc/sysctl.d/60-xenup-nat.conf",
    SYSCTL,
    "/etc/systemd/system/nftables.service.d/xenup.conf",
    WAITS_FOR,
    "/etc/systemd/system/xendomains.service.d/xenup.conf",
    "/etc/systemd/system/xenup-nat.service",
    HOOK,
    "/etc/xen/xl.conf",
    "/etc/xenup/host.toml",
    "/etc/xenup/nat.nft",
    "/run/network/ifstate",
];

/// Directories, with the beginning and the end of the names that matter in them.
pub const FOLDERS: [(&str, &str, &str); 5] = [
    ("/etc/systemd/system", "xenup-dhcp-", ".service"),
    ("/etc/xenup", "dhcp-", ".conf"),
    ("/etc/systemd/network", "", ".link"),
    ("/run/systemd/network", "", ".link"),
    ("/run/network", "ifstate.", ""),
];

/// Gathers the files that are there.
pub(super) fn gather(reader: &Reader<'_>) -> Vec<ConfigFile> {
    let mut paths: Vec<PathBuf> = FILES.iter().map(PathBuf::from).collect();
    for (folder, start, end) in FOLDERS {
        let names = reader.list(folder).into_iter();
        let fitting = names.filter(|name| name.starts_with(start) && name.ends_with(end));
        paths.extend(fitting.map(|name| Path::new(folder).join(name)));
    }
    let read = |path: PathBuf| {
        let bytes = reader.bytes(&path)?;
        match String::from_utf8(bytes) {
            Ok(text) => Some(ConfigFile { path, text }),
            Err(_) => {
                reader.missed(path.display().to_string(), "it is not UTF-8");
                None
            }
        }
    };
    paths.into_iter().filter_map(read).collect()
}
