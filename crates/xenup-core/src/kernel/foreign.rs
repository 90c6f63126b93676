//! Files that lie beside kernels and are none that Xen starts: Xen itself, programs for UEFI, kernels for Arm.
//!
//! Decides: what each of them is, by its own format's marks. Never: reads on in one.

use super::body::Body;
use super::error::KernelError;
use super::field;

/// The words every Xen since 2.0 has for its first line on the console (xen/common/kernel.c, xen/drivers/char/console.c).
const BANNER: &[u8] = b"Xen version %d.%d%s";
/// An unpacked hypervisor has 3 MiB.
const HYPERVISOR_LIMIT: u64 = 16 << 20;
/// The Multiboot header lies in the first 8 KiB, on 4 bytes (Multiboot 0.6.96, 3.1); Xen 2 and 3 have no other.
const MULTIBOOT: [u8; 4] = 0x1bad_b002_u32.to_le_bytes();
const MULTIBOOT_LIMIT: usize = 8 << 10;

/// Returns whether the body is Xen: a Multiboot kernel with Xen's banner in it.
///
/// # Errors
/// It cannot be unpacked.
pub(super) fn is_hypervisor(body: &mut Body<'_>) -> Result<bool, KernelError> {
    let start = body.start(MULTIBOOT_LIMIT)?;
    let has_header = start.chunks_exact(4).any(|word| word == MULTIBOOT);
    Ok(has_header && body.contains(BANNER, HYPERVISOR_LIMIT)?)
}

/// Returns what a file is that is no ELF file and no bzImage, by its first bytes; `None` where they say nothing.
pub(super) fn arm(start: &[u8]) -> Option<&'static str> {
    if field::has(start, 0x38, b"ARM\x64") {
        return Some("a 64-bit Arm kernel");
    }
    if field::has(start, 0x38, b"RSC\x05") {
        return Some("a RISC-V kernel");
    }
    if field::u32(start, 0x24) == Some(0x016f_2818) {
        return Some("a 32-bit Arm kernel");
    }
    None
}

/// A PE file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pe {
    /// The COFF machine number.
    pub machine: u16,
    /// The names of its sections.
    pub sections: Vec<String>,
}

/// Returns the PE file that these first bytes begin; `None` where they begin none.
pub(super) fn pe(start: &[u8]) -> Option<Pe> {
    if !field::has(start, 0, b"MZ") {
        return None;
    }
    let at = usize::try_from(field::u32(start, 0x3c)?).ok()?;
    if !field::has(start, at, b"PE\0\0") {
        return None;
    }
    let machine = field::u16(start, at.checked_add(4)?)?;
    let count = usize::from(field::u16(start, at.checked_add(6)?)?);
    let optional = usize::from(field::u16(start, at.checked_add(20)?)?);
    let table = start.get(at.checked_add(24)?.checked_add(optional)?..).unwrap_or_default();
    let sections = table.chunks_exact(40).take(count.min(96));
    let name = |section: &[u8]| field::text(section.get(..8).unwrap_or_default());
    Some(Pe { machine, sections: sections.map(name).collect() })
}

impl Pe {
    /// Returns what the program is, Xen itself left out.
    pub fn what(&self, start: &[u8]) -> String {
        let has = |name: &str| self.sections.iter().any(|section| section == name);
        if has(".linux") {
            return "a unified kernel image (kernel, initrd and command line in one program for UEFI)"
                .to_owned();
        }
        if field::has(start, 4, b"zimg") {
            return format!("a packed kernel that unpacks itself under UEFI, for {}", self.machine());
        }
        format!("a program for UEFI, for {}", self.machine())
    }

    fn machine(&self) -> &'static str {
        match self.machine {
            0x014c => "32-bit x86",
            0x8664 => "64-bit x86",
            0x01c0 | 0x01c2 | 0x01c4 => "32-bit Arm",
            0xaa64 => "64-bit Arm",
            0x5064 => "64-bit RISC-V",
            _ => "another machine",
        }
    }
}
