//! BIOS or UEFI, and whether Secure Boot is on.
//!
//! Decides: what the EFI variables say. Never: writes one.

use super::facts::Firmware;
use super::reader::Reader;

/// Where the kernel shows EFI variables; each file is 4 bytes of attributes and the value (efivarfs).
pub(super) const EFIVARS: &str = "/sys/firmware/efi/efivars";
/// The name space of the UEFI specification's own variables.
pub(super) const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Gathers the firmware.
pub(super) fn gather(reader: &Reader<'_>) -> Firmware {
    let uefi = reader.exists("/sys/firmware/efi");
    let state = if uefi { variable(reader, "SecureBoot", GLOBAL) } else { None };
    Firmware { uefi, secure_boot: state.and_then(|bytes| bytes.first().map(|byte| *byte == 1)) }
}

/// Returns an EFI variable's value without its attributes.
pub(super) fn variable(reader: &Reader<'_>, name: &str, space: &str) -> Option<Vec<u8>> {
    let bytes = reader.bytes(format!("{EFIVARS}/{name}-{space}"))?;
    bytes.get(4..).map(<[u8]>::to_vec)
}
