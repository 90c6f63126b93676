//! Packed kernels: which compression it is, and the bytes that come out, as a stream.
//!
//! Decides: by the magic number, as the kernel's and Xen's own loaders do (xen/common/decompress.c).
//! Never: keeps what comes out, or allocates what a header asks for beyond the limits below.

use std::fmt;
use std::io::{self, BufReader, Read};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_disk::ReadAt;

use super::{lz4, zstd};

/// Input is read in pieces of this size.
const PIECE: usize = 64 << 10;
/// `xz` and `lzma` may keep a dictionary of this size: Linux packs with 128 MiB at most (scripts/xz_wrap.sh).
const DICTIONARY_KIB: u32 = (192 << 20) >> 10;

/// What a kernel is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// gzip, the oldest.
    Gzip,
    /// bzip2.
    Bzip2,
    /// lzma, the format before xz.
    Lzma,
    /// xz, with its filter for x86 code.
    Xz,
    /// LZO as lzop writes it; recognised, not unpacked.
    Lzo,
    /// lz4 in the frame it had before 2013 (`lz4 -l`).
    Lz4,
    /// zstd.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// Returns the compression that data with these first bytes has (Documentation/arch/x86/boot.rst,
    /// payload_offset; lib/decompress.c).
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Compression); 7] = [
            (b"\x1f\x8b", Compression::Gzip),
            (b"BZh", Compression::Bzip2),
            (b"\x5d\x00\x00", Compression::Lzma),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x89LZO\0\r\n\x1a\n", Compression::Lzo),
            (b"\x02\x21\x4c\x18", Compression::Lz4),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        ];
        MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// Returns whether GRUB for Xen, as a PV guest, opens a kernel that is packed so: through the file filters gzio, xzio and
    /// lzopio, and no other (grub-core/loader/i386/xen_file.c).
    #[must_use]
    pub fn is_grubs(self) -> bool {
        matches!(self, Self::Gzip | Self::Xz | Self::Lzo)
    }

    /// Returns whether Linux puts the unpacked size behind the stream. gzip has it in its own format
    /// (scripts/Makefile.lib, size_append).
    pub(super) fn has_size_behind(self) -> bool {
        self != Self::Gzip
    }

    /// Returns the unpacked bytes of `packed` as a stream. With `enough` the stream may end behind that many bytes.
    ///
    /// # Errors
    /// A header that the decoder does not take, or that asks for more memory than a kernel needs. LZO.
    pub(super) fn unpack<'a>(self, packed: Part<'a>, enough: Option<u64>) -> io::Result<Box<dyn Read + 'a>> {
        let packed = BufReader::with_capacity(PIECE, packed);
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(packed)),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(packed)),
            Self::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(packed, DICTIONARY_KIB, None)?),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, false, DICTIONARY_KIB)),
            Self::Lz4 => Box::new(lz4::LegacyReader::new(packed)?),
            Self::Zstd => Box::new(zstd::ShortReader::new(packed, enough)?),
            Self::Lzo => return Err(io::Error::new(io::ErrorKind::Unsupported, "LZO is not unpacked")),
        })
    }
}

/// A part of a file, read from its beginning to its end.
pub(super) struct Part<'a> {
    file: &'a dyn ReadAt,
    position: u64,
    end: u64,
}

impl<'a> Part<'a> {
    /// The bytes from `start` to `end`, cut where the file ends before.
    pub fn new(file: &'a dyn ReadAt, start: u64, end: u64) -> Self {
        Self { file, position: start, end: end.min(file.size()) }
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let Some(wanted) = buffer.get_mut(..count).filter(|wanted| !wanted.is_empty()) else { return Ok(0) };
        self.file.read_at(self.position, wanted).map_err(io::Error::other)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}
