//! What a new guest's own disk says. Decides files, modes and order; never how they get there.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::Serialize;

use super::{Identity, Wanted, cloud, scripts};

/// Returns the text of a file of somebody's own that goes onto the disk as it is; `None` where it is none: not UTF-8, or with
/// a NUL.
pub(super) fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Where a guest's swap file is.
const SWAP: &str = "/swapfile";

/// Something that is written inside a guest's root file system; root owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Entry {
    /// A file, in the place of one that may be there. Its directory is there in every base.
    File {
        /// Its absolute path.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
        /// All of it.
        text: String,
    },
    /// A swap file: mkswap(8)'s first page, and room that is allocated.
    Swap {
        /// Its absolute path.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// A symbolic link, in the place of what may be there.
    Link {
        /// Its absolute path.
        path: PathBuf,
        /// Where it leads, as written.
        target: PathBuf,
    },
}

impl Entry {
    pub(super) fn file(path: impl Into<PathBuf>, mode: u32, text: impl Into<String>) -> Self {
        Self::File { path: path.into(), mode, text: text.into() }
    }

    pub(super) fn link(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::Link { path: path.into(), target: target.into() }
    }
}

/// Returns what is written for a guest.
pub(super) fn entries(wanted: &Wanted, identity: &Identity) -> Vec<Entry> {
    let mut entries = vec![
        Entry::file("/etc/hostname", 0o644, format!("{}\n", wanted.name.short())),
        Entry::file("/etc/hosts", 0o644, hosts(wanted)),
        Entry::file("/etc/fstab", 0o644, fstab(wanted, identity)),
    ];
    entries.extend(wanted.swap.map(|size| Entry::Swap { path: SWAP.into(), size }));
    entries.extend(wanted.addresses.entries(wanted.manager));
    let keys: String = wanted.keys.iter().map(|key| format!("{key}\n")).collect();
    entries.push(Entry::file("/root/.ssh/authorized_keys", 0o600, keys));
    if let Some(data) = &wanted.user_data {
        entries.extend(cloud::entries(data, &wanted.name, identity));
    }
    entries.extend(scripts::entries(&wanted.scripts));
    entries
}

/// The guest's name stands for its own fixed address, else for 127.0.1.1, as Debian's installer writes it.
fn hosts(wanted: &Wanted) -> String {
    let (name, short) = (wanted.name.as_str(), wanted.name.short());
    let names = if name == short { name.to_owned() } else { format!("{name} {short}") };
    let own = wanted.addresses.first_fixed().unwrap_or(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1)));
    format!(
        "127.0.0.1\tlocalhost\n{own}\t{names}\n\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
}

fn fstab(wanted: &Wanted, identity: &Identity) -> String {
    let mut text = format!(
        "# <file system> <mount point> <type> <options> <dump> <pass>\nUUID={} / ext4 errors=remount-ro 0 1\n",
        identity.file_system
    );
    if wanted.swap.is_some() {
        text.push_str(&format!("{SWAP} none swap sw 0 0\n"));
    }
    text
}
