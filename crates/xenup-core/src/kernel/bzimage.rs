//! The setup header of a bzImage: which boot protocol it has, and where its packed ELF file lies.
//!
//! Decides: by the offsets of Documentation/arch/x86/boot.rst, which have not changed since 2.08 (Linux 2.6.26).
//! Never: unpacks.

use xenup_disk::ReadAt;

use super::error::KernelError;
use super::field;
use super::unpack::Compression;

/// The header lies in the first sectors.
const HEADER: usize = 0x270;
/// The first protocol with a payload that is an ELF file.
const PAYLOAD_SINCE: u16 = 0x0208;
const SECTOR: u64 = 512;
/// A version string has its own limit nowhere; distributions need 120.
const VERSION_LIMIT: usize = 256;

/// A bzImage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BzImage {
    /// `0x020f` is 2.15.
    pub protocol: u16,
    /// The first word of the version string: what `uname -r` says.
    pub release: Option<String>,
    /// Whether the version string says PREEMPT_RT.
    pub realtime: bool,
    /// The payload; `None` where the protocol is too old to name it.
    pub payload: Option<Payload>,
}

/// A payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// Offset in the file of its first byte.
    pub start: u64,
    /// Offset behind its last byte, the size that Linux puts behind the stream left out.
    pub end: u64,
    /// What it is packed with; `None` where it is the ELF file itself.
    pub compression: Option<Compression>,
}

/// Returns whether the file begins like a bzImage. One with an EFI stub begins like a PE file too.
pub(super) fn is_bzimage(start: &[u8]) -> bool {
    field::has(start, 0x202, b"HdrS") && field::u16(start, 0x1fe) == Some(0xaa55)
}

/// Returns what the setup header says.
///
/// # Errors
/// A header that ends early or points out of the file, a payload without a known magic number.
pub(super) fn read(file: &dyn ReadAt) -> Result<BzImage, KernelError> {
    let header = part(file, 0, HEADER)?;
    let cut = KernelError::CutOff { what: "the setup header", offset: header.len() as u64 };
    let (Some(sectors), Some(protocol)) = (field::u8(&header, 0x1f1), field::u16(&header, 0x206)) else {
        return Err(cut);
    };
    let version = version(file, &header)?;
    let word = version.split(' ').next().unwrap_or_default();
    let release = (!word.is_empty() && !word.contains('?')).then(|| word.to_owned());
    let realtime = version.split(' ').any(|word| word == "PREEMPT_RT");
    if protocol < PAYLOAD_SINCE {
        return Ok(BzImage { protocol, release, realtime, payload: None });
    }
    let (Some(offset), Some(length)) = (field::u32(&header, 0x248), field::u32(&header, 0x24c)) else {
        return Err(cut);
    };
    // A zero stands for four sectors, which is what boot loaders of the nineties assumed.
    let sectors = if sectors == 0 { 4 } else { u64::from(sectors) };
    let start = sectors.saturating_add(1).saturating_mul(SECTOR).saturating_add(u64::from(offset));
    let payload = payload(file, start, u64::from(length))?;
    Ok(BzImage { protocol, release, realtime, payload: Some(payload) })
}

fn payload(file: &dyn ReadAt, start: u64, length: u64) -> Result<Payload, KernelError> {
    let end = start.saturating_add(length);
    if end > file.size() || length == 0 {
        return Err(KernelError::BehindEnd { what: "the payload's end", offset: end, size: file.size() });
    }
    let magic = part(file, start, 9)?;
    if magic.starts_with(b"\x7fELF") {
        return Ok(Payload { start, end, compression: None });
    }
    match Compression::of(&magic) {
        Some(Compression::Lzo) => Err(KernelError::Lzo { offset: start }),
        Some(compression) => {
            let behind = if compression.has_size_behind() { 4 } else { 0 };
            Ok(Payload { start, end: end.saturating_sub(behind), compression: Some(compression) })
        }
        None => Err(KernelError::UnknownCompression { offset: start, magic: hex(&magic) }),
    }
}

/// The version string, empty where there is none, at 512 bytes behind where the header's kernel_version points.
fn version(file: &dyn ReadAt, header: &[u8]) -> Result<String, KernelError> {
    let Some(at) = field::u16(header, 0x20e).filter(|at| *at != 0) else { return Ok(String::new()) };
    let line = part(file, u64::from(at).saturating_add(SECTOR), VERSION_LIMIT)?;
    Ok(field::text(&line))
}

/// Up to `length` bytes, fewer where the file ends before.
pub(super) fn part(file: &dyn ReadAt, offset: u64, length: usize) -> Result<Vec<u8>, KernelError> {
    let left = usize::try_from(file.size().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(left)];
    file.read_at(offset, &mut bytes).map_err(KernelError::Read)?;
    Ok(bytes)
}

/// Bytes as hexadecimal words.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
