//! The files outside the network owner's that a plan edits or compares: what `inspect` has to capture into
//! `Facts::files`. Decides the list; never reads one.

use crate::boot::{FIRST, LAST};

/// Files, by path.
pub const FILES: &[&str] = &[
    FIRST,
    LAST,
    "/etc/default/xendomains",
    "/etc/xen/xl.conf",
    "/etc/systemd/system/xendomains.service.d/xenup.conf",
    "/run/network/ifstate",
];

/// Files by folder, how their names begin, and how they end.
pub const FOLDERS: &[(&str, &str, &str)] = &[("/etc/systemd/network", "", ".link"), ("/run/network", "ifstate.", "")];
