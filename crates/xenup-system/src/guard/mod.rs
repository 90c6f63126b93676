//! The system's side of the guard: what sleeps, what is there at the next boot, and how both go away again.
//!
//! Decides: the text of the units and scripts, what a waiting guard wakes for, how a hanging `apply` ends.
//! Never: decides when to undo something, or how (the engine does, from the journal).

mod binary;
mod console;
mod file;
mod initscript;
mod mount;
mod reboot;
mod sweep;
mod units;
mod wait;

pub use binary::{allows_programs, own_binary};
pub use console::announce;
pub use file::{GuardFile, GuardFileKind};
pub use initscript::{disable_script, enable_script};
pub use mount::network_file_system;
pub use reboot::{reboot, reboot_within, settled};
pub use sweep::{Foreground, foreground_of};
pub use units::{BootGuard, TrialTest, boot_files};
pub use wait::{Sleeper, Wake};
