//! systemd-networkd's files as Debian 12 and 13 have them (systemd.network(5), systemd.netdev(5), systemd.link(5)).
//!
//! Decides: which file a link gets, what that file declares, and which files of ours turn a NIC into the port of a
//! bridge. The owner's own files stay as they are: the first file that matches a link wins, and ours come first.
//! Never: reads or writes a file, or asks networkd. Where only networkd could tell whether a file matches, it refuses
//! with path and line.
//!
//! Reading order: `tree` (files, drop-ins, masks, precedence) → `matching` ([Match]) → `declared` (what a file says) →
//! `files` (the bridge's files) → `tagged` (a VLAN with its bridge) → `netplan` (a NIC that is netplan's) → `steps` (the owner's state). Sources: the manual pages named above and systemd's
//! `net-condition.c` and `networkd-dhcp-common.c`.

mod declared;
mod files;
mod holds;
mod matching;
mod netplan;
mod portless;
mod refuse;
mod steps;
mod tagged;
mod tree;

pub use declared::Declared;
pub(crate) use files::is_ours;
pub use files::{Change, Lease, OwnFile, RUNTIME, Wanted, change};
pub use matching::{Device, Host, Matched};
pub use netplan::{WAITS_FOR, configures};
pub use steps::edit;
pub use tagged::{Carrier, below, over};
pub use tree::{DIRECTORIES, Taken, Tree, Unit};
