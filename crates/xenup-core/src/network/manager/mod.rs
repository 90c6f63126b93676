//! NetworkManager's profiles as Debian 12 and 13 have them (nm-settings-keyfile(5), NetworkManager.conf(5)).
//!
//! Decides: which profile a NIC gets, what it declares, and which profiles of ours turn the NIC into the port of a
//! bridge. The owner's own profile stays as it is: ours have the highest autoconnect-priority. One that is for any NIC
//! gets the NIC's name, or it would go to another one.
//! Never: reads or writes a file, or asks NetworkManager.
//!
//! Reading order: `keyfile` (lines) → `profile` (which NIC) → `change` (our profiles) → `steps` (the owner's state).
//! Sources: the manual pages named above, and what NetworkManager 1.42 and 1.52 were seen to do (docs/design/0027).

mod change;
mod goes;
mod keyfile;
mod profile;
mod refuse;
mod steps;

pub use change::{Change, Wanted, change};
pub use keyfile::{Entry, Keyfile, KeyfileError};
pub use profile::{DIRECTORIES, Port, Profile, chosen, is_ours, profiles};
pub use steps::{configures, edit};
