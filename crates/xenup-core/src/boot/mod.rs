//! What boots: GRUB's drop-ins, Xen's command line, the trial entry.
//!
//! Decides: which of GRUB's entries is plain Linux and which is Xen, what stands on their command lines, and the steps
//! that lead from the one to the other by way of a trial boot; and what of later versions is known to boot.
//! Never: writes a file, or boots anything. Works with Debian's GRUB 2.06 and 2.12 and xen-hypervisor-common's xen.cfg.

mod default;
mod entries;
pub mod known_good;
mod plan;
mod text;

pub use entries::{Entries, entries};
pub use plan::{BootPlan, plan, set_default};
pub(crate) use plan::{keep, update_grub};
pub use text::{
    CONFIRMED, Pinned, custom_text, default_id, first_text, last_text, linux_words, mark, say_the_same,
    xen_words,
};

/// Read before Debian's xen.cfg, which would make Xen the default unless told otherwise by then.
pub const FIRST: &str = "/etc/default/grub.d/00-xenup.cfg";
/// Read after every other drop-in.
pub const LAST: &str = "/etc/default/grub.d/zz-xenup.cfg";
/// Read by GRUB itself when it shows the menu (41_custom), so that no menu has to be made anew for it.
pub const CUSTOM: &str = "/boot/grub/custom.cfg";
/// GRUB's menu as update-grub writes it.
pub const MENU: &str = "/boot/grub/grub.cfg";
