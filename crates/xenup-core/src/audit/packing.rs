//! GRUB for Xen and how a kernel is packed.
//!
//! Decides: what starts a guest whose kernel GRUB's PV images do not unpack. Facts: grub-core/loader/i386/xen_file.c of GRUB 2.06 and 2.12 opens a
//! bzImage's payload through the file filters gzio, xzio and lzopio, and knows no other; as PVH, GRUB hands the bzImage on
//! as it is, and the kernel unpacks itself. dom0's tools unpack by decoders of their own (pygrub, `kernel =`). Never:
//! unpacks.

use crate::guest::GuestType;
use crate::kernel::{Compression, Role};

use super::boot::{Boots, By, can};
use super::judge::Case;
use super::report::{Effect, Evidence, Reason};

impl Case<'_> {
    /// Why GRUB for Xen does not start the guest's kernel as PV, with what does.
    pub(super) fn not_unpacked(&self, boots: &Boots<'_>, packed: Compression) -> Reason {
        let what =
            format!("{} is packed with {packed}, which GRUB for Xen does not unpack for PV", boots.name);
        let reason = Reason::new("audit-grub-packing", Effect::Stops, what).seen(self.line("kernel")).seen(
            Evidence::words("xen_file.c of GRUB reads gzip, xz and lzo alone, and says \"not xen image\""),
        );
        let typed = self.other_type(Role::Pv, boots, reason.clone());
        if typed.settles {
            return typed;
        }
        if self.pygrub_boots() {
            return reason.settled_by(
                "take kernel out and write bootloader = \"pygrub\": dom0 then reads the guest's kernel, and unpacks it",
            );
        }
        reason.advice(format!("give the guest a kernel that is packed with gzip or xz, instead of {packed}"))
    }

    /// Whether pygrub, given to this PV guest, comes to a kernel that the Xen in question takes as it is packed.
    fn pygrub_boots(&self) -> bool {
        let Ok(own) = self.own(By::Pygrub) else { return false };
        self.guest.kind == GuestType::Pv && can(Role::Pv, &own, self.xen)
    }

    /// How the guest's own kernel is packed, where GRUB for Xen does not unpack that.
    pub(super) fn packed_against_grub(&self) -> Option<Compression> {
        let own = self.own(By::Grub).or_else(|_| self.own(By::Pygrub)).ok()?;
        own.packed.filter(|packed| !packed.is_grubs())
    }

    /// What to boot by instead of pygrub, where GRUB for Xen finds the guest's grub.cfg.
    pub(super) fn grub_in_place_of_pygrub(&self) -> String {
        let pvh = "boot by type = \"pvh\" and kernel = \"/usr/lib/grub-xen/grub-i386-xen_pvh.bin\"";
        match self.packed_against_grub() {
            Some(packed) => format!("{pvh}: GRUB for Xen does not unpack {packed} for PV"),
            None if self.guest.kind == GuestType::Pv => {
                "boot by GRUB for Xen: kernel = \"/usr/lib/grub-xen/grub-x86_64-xen.bin\", and no bootloader"
                    .to_owned()
            }
            None => format!("{pvh}, and no bootloader"),
        }
    }

    /// What to boot by instead of a loader of a release: GRUB for Xen, as far as it starts this guest's kernel.
    pub(super) fn instead_of_pv_grub(&self) -> String {
        let own = self.own(By::Grub);
        let file = |boots: Boots<'_>| boots.entry.map(|entry| entry.file.clone());
        if let (Err(_), Some(file)) = (&own, self.own(By::Pygrub).ok().and_then(file)) {
            return format!(
                "write bootloader = \"pygrub\" in its place, which reads {file}: GRUB for Xen reads grub.cfg alone"
            );
        }
        match own.ok().and_then(|own| own.packed).filter(|packed| !packed.is_grubs()) {
            None => {
                "boot by GRUB for Xen in its place: package grub-xen-host, kernel = \"/usr/lib/grub-xen/…\""
                    .to_owned()
            }
            Some(packed) => format!(
                "boot by type = \"pvh\" and kernel = \"/usr/lib/grub-xen/grub-i386-xen_pvh.bin\", or by bootloader = \
                 \"pygrub\": GRUB for Xen does not unpack {packed} for PV"
            ),
        }
    }
}
