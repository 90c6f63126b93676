//! How a kernel is started, and what tells that it is Linux. Decides nothing else.

use super::image::Kernel;
use super::note::NoteType;

/// Who loads the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The hypervisor itself, at boot.
    Dom0,
    /// The domain builder, for a guest.
    Guest,
}

/// Returns whether the notes say that the kernel is Linux.
pub(super) fn linux_says(kernel: &Kernel) -> bool {
    kernel.text(NoteType::GuestOs).is_some_and(|name| name.starts_with("linux"))
}
