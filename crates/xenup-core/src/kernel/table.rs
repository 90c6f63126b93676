//! The table of hypervisors: from which release on what holds, and where that is known from.
//!
//! Decides nothing: a row without a source does not belong here. Debian's builds follow upstream's defaults except
//! where an installed configuration says otherwise. `docs/kernels.md` prints the table.

use super::hypervisor::{Capability, Release, State};

/// Something holds from a release on, until a later step for the same says otherwise.
pub(super) struct Step {
    /// What.
    pub what: Capability,
    /// The first release.
    pub since: Release,
    /// Whether it is so.
    pub state: State,
    /// Where that is known from.
    pub source: &'static str,
}

const fn step(what: Capability, major: u8, minor: u8, state: State, source: &'static str) -> Step {
    Step { what, since: Release { major, minor }, state, source }
}

const LOADER_2: &str =
    "Xen 2.0 common/elf.c, libxc xc_linux_build.c: `XEN_VER=2.0` must stand in __xen_guest";
const ANY_PAE_2: &str = "Xen 2.0 libxc xc_linux_build.c: it does not look at PAE";
const LOADER_3: &str = "Xen 3.0 libxc xc_load_elf.c: `XEN_VER=xen-3.0` must stand in __xen_guest";
const LIBELF: &str = "libelf-dominfo.c: XEN_VERSION must begin with `xen-3.0`";
const NOTES_2006: &str = "elfnote.h is of 2006, and libxc's xc_load_elf.c of that year reads notes";
const BZIMAGE_WIKI: &str = "Xen's release feature list: \"PV kernels in bzImage format\" from 4.0 on";
const BZIMAGE_MAIL: &str = "xen-devel, December 2008: guests' bzImages are loaded, dom0's not yet";
const LOADERS_4_15: &str = "4.15 tools/libs/guest/xg_dom_bzimageloader.c";
const BEFORE_4_15: &str = "it was added between 4.0 and 4.15; in which release, no source was found for";
const ZSTD: &str = "CHANGELOG.md of 4.15: zstd-compressed dom0 and domU kernels";
const CAPS_3_4: &str = "xen_caps of 3.4.2 and 4.4.3: xen-3.0-x86_64 xen-3.0-x86_32p, no xen-3.0-x86_32";
const PAGING_LEVELS: &str =
    "arch/x86/domain_build.c: a 32-bit hypervisor is built for kernels with PAE or for those without";
const ONLY_64: &str = "Xen's release feature list: IA-32 hypervisor removed in 4.3";
const PV32_4_16: &str =
    "CHANGELOG.md of 4.16: 32bit PV guests only supported in shim mode; Kconfig: PV32 default PV_SHIM";
const PV32_4_14: &str = "arch/x86/Kconfig of 4.14: PV32 default y";
const PVH_1: &str = "Xen's release feature list: 4.4 to 4.7 have a preview of PVH with another entry point";
const PVH_2: &str = "4.8 and 4.9 start it only by device_model_version=\"none\" (xen-devel, May 2017)";
const PVH: &str = "SUPPORT.md of 4.11 (PVH domU: Supported); it came with 4.10";
const PVH_DOM0: &str = "SUPPORT.md of 4.11: PVH dom0 Experimental, needs an IOMMU";
const SHIM: &str = "Announcement of 4.11: unmodified PV guests in a PVH container";
const SHADOW: &str =
    "arch/x86/Kconfig: SHADOW_PAGING default y; security updates of July 2026 took it out (XSA-495)";
const HVM: &str = "xen-users, September 2006: HVM guests on 3.0.2; xen_caps of 3.4.2: hvm-3.0-x86_64";
const PV_ON_HVM: &str = "Xen's release feature list: PV-on-HVM guests from 4.0 on";

/// The steps; of one capability the older come first.
pub(super) const STEPS: &[Step] = &[
    step(Capability::Interface2, 2, 0, State::Yes, LOADER_2),
    step(Capability::Interface2, 3, 0, State::No, LOADER_3),
    step(Capability::Interface2, 3, 1, State::No, LIBELF),
    step(Capability::Interface3, 2, 0, State::No, LOADER_2),
    step(Capability::Interface3, 3, 0, State::Yes, LOADER_3),
    step(Capability::Interface3, 3, 1, State::Yes, LIBELF),
    step(Capability::ElfNotes, 2, 0, State::No, LOADER_2),
    step(Capability::ElfNotes, 3, 0, State::Depends, NOTES_2006),
    step(Capability::ElfNotes, 3, 1, State::Yes, NOTES_2006),
    step(Capability::BzImage, 3, 4, State::Yes, BZIMAGE_MAIL),
    step(Capability::BzImage, 4, 0, State::Yes, BZIMAGE_WIKI),
    step(Capability::BzImageDom0, 4, 0, State::Yes, BZIMAGE_WIKI),
    step(Capability::Bzip2, 4, 0, State::Unknown, BEFORE_4_15),
    step(Capability::Bzip2, 4, 15, State::Yes, LOADERS_4_15),
    step(Capability::Lzma, 4, 0, State::Unknown, BEFORE_4_15),
    step(Capability::Lzma, 4, 15, State::Yes, LOADERS_4_15),
    step(Capability::Xz, 4, 0, State::Unknown, BEFORE_4_15),
    step(Capability::Xz, 4, 15, State::Yes, LOADERS_4_15),
    step(Capability::Lz4, 4, 0, State::Unknown, BEFORE_4_15),
    step(Capability::Lz4, 4, 15, State::Yes, LOADERS_4_15),
    step(Capability::Zstd, 2, 0, State::No, ZSTD),
    step(Capability::Zstd, 4, 15, State::Yes, ZSTD),
    step(Capability::Pv64, 3, 0, State::Yes, "xen_caps name the interface xen-3.0-x86_64"),
    step(Capability::Pv32, 2, 0, State::Unknown, "PAE came with 3.0; no source was found for 2.0"),
    step(Capability::Pv32, 3, 0, State::Depends, PAGING_LEVELS),
    step(Capability::Pv32, 3, 4, State::Yes, CAPS_3_4),
    step(Capability::Pv32, 4, 14, State::Yes, PV32_4_14),
    step(Capability::Pv32, 4, 16, State::No, PV32_4_16),
    step(Capability::Pv32WithoutPae, 2, 0, State::Yes, ANY_PAE_2),
    step(Capability::Pv32WithoutPae, 3, 0, State::Depends, PAGING_LEVELS),
    step(Capability::Pv32WithoutPae, 3, 1, State::Unknown, PAGING_LEVELS),
    step(Capability::Pv32WithoutPae, 4, 3, State::No, ONLY_64),
    step(Capability::Hvm, 3, 0, State::Yes, HVM),
    step(Capability::PvDriversInHvm, 4, 0, State::Yes, PV_ON_HVM),
    step(Capability::Pvh, 2, 0, State::No, PVH),
    step(Capability::Pvh, 4, 4, State::No, PVH_1),
    step(Capability::Pvh, 4, 8, State::Unknown, PVH_2),
    step(Capability::Pvh, 4, 10, State::Yes, PVH),
    step(Capability::PvhDom0, 2, 0, State::No, PVH_DOM0),
    step(Capability::PvhDom0, 4, 4, State::Unknown, PVH_1),
    step(Capability::PvhDom0, 4, 11, State::Yes, PVH_DOM0),
    step(Capability::Shim, 2, 0, State::No, SHIM),
    step(Capability::Shim, 4, 10, State::Unknown, SHIM),
    step(Capability::Shim, 4, 11, State::Yes, SHIM),
    step(Capability::Shadow, 4, 11, State::Depends, SHADOW),
];
