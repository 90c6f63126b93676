//! qcow2, versions 2 and 3 (docs/interop/qcow2.rst of QEMU). The tables are read in small pieces as they are needed, so
//! that neither a table's size nor the disk's costs memory. Internal snapshots, refcounts and bitmaps are never looked
//! at: reading the active disk needs none of them.

use std::io::Read as _;
use std::rc::Rc;

use super::ImageError;
use super::cache::Cache;
use crate::budget::Budget;
use crate::field;
use crate::read_at::{ReadAt, ReadError, in_bounds};

/// The first bytes.
pub(super) const MAGIC: &[u8] = b"QFI\xfb";
/// The bytes of a header that are looked at, extensions left out.
const HEADER: usize = 112;
/// The longest name of a backing file (the specification).
const LONGEST_NAME: u32 = 1023;
/// How many header extensions are looked at, and how long one can be that is.
const MOST_EXTENSIONS: usize = 32;
/// The extension that names the backing file's format.
const BACKING_FORMAT: u32 = 0xe279_2aca;
/// A piece of an L1 or L2 table that is read at once.
const PIECE: u64 = 4096;
const PIECES_HELD: usize = 256;
/// Unpacked clusters that are held: up to 16 MiB with the largest clusters.
const CLUSTERS_HELD: usize = 8;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// How compressed clusters are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Deflate without a header.
    Deflate,
    /// Zstandard.
    Zstd,
}

/// The file that stands behind an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingFile {
    /// Its name as the image has it.
    pub name: String,
    /// Its format, where the image says it.
    pub format: Option<String>,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// The disk's size in bytes.
    pub size: u64,
    /// A cluster's size is two to the power of this.
    pub cluster_bits: u32,
    /// Entries of the L1 table.
    pub l1_entries: u32,
    /// Where the L1 table lies.
    pub l1_offset: u64,
    /// How compressed clusters are packed.
    pub compression: Compression,
    /// Refcounts may be out of date, which reading does not need.
    pub dirty: bool,
    /// QEMU found it damaged.
    pub corrupt: bool,
    /// The file behind it.
    pub backing: Option<BackingFile>,
}

fn damaged<T>(what: impl Into<String>) -> Result<T, ImageError> {
    Err(ImageError::Damaged { what: what.into() })
}

fn unsupported<T>(what: impl Into<String>) -> Result<T, ImageError> {
    Err(ImageError::Unsupported { what: what.into() })
}

impl Header {
    /// Reads the header at the start of an image.
    ///
    /// # Errors
    /// It cannot be read, makes no sense, or asks for what is not supported: version 1, encryption, an external data
    /// file, extended L2 entries, or a feature without a name.
    pub fn read(disk: &dyn ReadAt) -> Result<Self, ImageError> {
        let mut raw = [0; HEADER];
        let there = usize::try_from(disk.size()).map_or(HEADER, |size| size.min(HEADER));
        disk.read_at(0, raw.get_mut(..there).unwrap_or_default())?;
        let version = field::u32_be(&raw, 4);
        match version {
            _ if !field::has(&raw, 0, MAGIC) => return damaged("it does not begin with QFI"),
            1 => return unsupported("it is a qcow image of version 1 (qemu-img convert -O qcow2)"),
            2 | 3 => {}
            other => return unsupported(format!("it is a qcow image of version {other}")),
        }
        let features = if version == 3 { field::u64_be(&raw, 72) } else { 0 };
        let compression = refuse_features(&raw, features)?;
        let header = Self {
            version,
            size: field::u64_be(&raw, 24),
            cluster_bits: field::u32_be(&raw, 20),
            l1_entries: field::u32_be(&raw, 36),
            l1_offset: field::u64_be(&raw, 40),
            compression,
            dirty: features & DIRTY != 0,
            corrupt: features & CORRUPT != 0,
            backing: backing(disk, &raw, version)?,
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), ImageError> {
        if !(9..=21).contains(&self.cluster_bits) {
            return damaged(format!("clusters of 2^{} bytes", self.cluster_bits));
        }
        if i64::try_from(self.size).is_err() {
            return damaged(format!("a disk of {} bytes", self.size));
        }
        // One L2 table is one cluster of 8-byte entries.
        let covered = self.cluster_bits.saturating_mul(2).saturating_sub(3);
        let needed = self.size.checked_shr(covered).unwrap_or_default();
        let rest = self.size & (1_u64.checked_shl(covered).unwrap_or_default()).wrapping_sub(1);
        let needed = needed.saturating_add(u64::from(rest != 0));
        if u64::from(self.l1_entries) < needed {
            return damaged(format!("its L1 table has {} entries of {needed}", self.l1_entries));
        }
        if !self.l1_offset.is_multiple_of(512) {
            return damaged("its L1 table lies between sectors");
        }
        Ok(())
    }
}

fn refuse_features(raw: &[u8], features: u64) -> Result<Compression, ImageError> {
    match field::u32_be(raw, 32) {
        0 => {}
        2 => return unsupported("it is encrypted (LUKS)"),
        other => return unsupported(format!("it is encrypted (method {other})")),
    }
    if features & EXTERNAL_DATA != 0 {
        return unsupported("its data lies in an external file");
    }
    if features & EXTENDED_L2 != 0 {
        return unsupported("it has extended L2 entries");
    }
    let known = DIRTY | CORRUPT | COMPRESSION_TYPE;
    if features & !known != 0 {
        return unsupported(format!("it has unknown features ({:#x})", features & !known));
    }
    match field::u8(raw, 104) {
        1 if features & COMPRESSION_TYPE != 0 => Ok(Compression::Zstd),
        other if features & COMPRESSION_TYPE != 0 && other != 0 => {
            unsupported(format!("its clusters are compressed by an unknown method ({other})"))
        }
        _ => Ok(Compression::Deflate),
    }
}

fn backing(disk: &dyn ReadAt, raw: &[u8], version: u32) -> Result<Option<BackingFile>, ImageError> {
    let (at, length) = (field::u64_be(raw, 8), field::u32_be(raw, 16));
    if at == 0 || length == 0 {
        return Ok(None);
    }
    if length > LONGEST_NAME {
        return damaged(format!("a backing file's name of {length} bytes"));
    }
    let mut name = vec![0; usize::try_from(length).unwrap_or_default()];
    disk.read_at(at, &mut name)?;
    let Ok(name) = String::from_utf8(name) else { return damaged("a backing file's name that is not UTF-8") };
    let first = if version == 3 { u64::from(field::u32_be(raw, 100)) } else { 72 };
    Ok(Some(BackingFile { name, format: backing_format(disk, first, at)? }))
}

/// The format that a header extension names, in the bytes from `at` to `end`.
fn backing_format(disk: &dyn ReadAt, mut at: u64, end: u64) -> Result<Option<String>, ImageError> {
    for _ in 0..MOST_EXTENSIONS {
        let mut head = [0; 8];
        if at.saturating_add(8) > end || disk.read_at(at, &mut head).is_err() {
            break;
        }
        let (kind, length) = (field::u32_be(&head, 0), field::u32_be(&head, 4));
        match kind {
            0 => break,
            BACKING_FORMAT => {
                let mut name = vec![0; usize::try_from(length.min(32)).unwrap_or_default()];
                disk.read_at(at.saturating_add(8), &mut name)?;
                return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
            }
            _ => at = at.saturating_add(8).saturating_add(u64::from(length).next_multiple_of(8)),
        }
    }
    Ok(None)
}

/// Where a cluster's bytes are.
enum Cluster {
    /// In the backing file, or nowhere: zeros.
    Behind,
    Zero,
    Plain(u64),
    Compressed {
        offset: u64,
        length: u64,
    },
}

/// A qcow2 image that reads as the disk it stands for.
pub(super) struct Qcow2 {
    bytes: Rc<dyn ReadAt>,
    header: Header,
    behind: Option<Rc<dyn ReadAt>>,
    budget: Rc<Budget>,
    tables: Cache,
    clusters: Cache,
}

impl Qcow2 {
    pub(super) fn new(
        bytes: Rc<dyn ReadAt>,
        header: Header,
        behind: Option<Rc<dyn ReadAt>>,
        budget: Rc<Budget>,
    ) -> Self {
        let (tables, clusters) = (Cache::new(PIECES_HELD), Cache::new(CLUSTERS_HELD));
        Self { bytes, header, behind, budget, tables, clusters }
    }

    fn cluster_size(&self) -> u64 {
        1_u64.checked_shl(self.header.cluster_bits).unwrap_or(u64::MAX)
    }

    /// Entry number `index` of the table at `table`.
    fn entry(&self, table: u64, index: u64) -> Result<u64, ReadError> {
        let at = table.saturating_add(index.saturating_mul(8));
        let start = at & !(PIECE - 1);
        let piece = self.tables.get(start, || {
            let length = PIECE.min(self.bytes.size().saturating_sub(start));
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            self.bytes.read_at(start, &mut piece)?;
            Ok(piece)
        })?;
        let within = usize::try_from(at & (PIECE - 1)).unwrap_or_default();
        if within.saturating_add(8) > piece.len() {
            return Err(ReadError::PastEnd { offset: at, length: 8, size: self.bytes.size() });
        }
        Ok(field::u64_be(&piece, within))
    }

    fn cluster(&self, number: u64) -> Result<Cluster, ReadError> {
        let l2_bits = self.header.cluster_bits.saturating_sub(3);
        let l1_index = number.checked_shr(l2_bits).unwrap_or_default();
        let l2_index = number & (1_u64.checked_shl(l2_bits).unwrap_or(1)).wrapping_sub(1);
        if l1_index >= u64::from(self.header.l1_entries) {
            return Ok(Cluster::Behind);
        }
        let l2 = self.entry(self.header.l1_offset, l1_index)? & OFFSET_MASK;
        if l2 == 0 {
            return Ok(Cluster::Behind);
        }
        let entry = self.entry(l2, l2_index)?;
        if entry & COMPRESSED != 0 {
            return Ok(self.compressed(entry));
        }
        if entry & ZERO != 0 && self.header.version >= 3 {
            return Ok(Cluster::Zero);
        }
        match entry & OFFSET_MASK {
            0 => Ok(Cluster::Behind),
            offset => Ok(Cluster::Plain(offset)),
        }
    }

    /// A compressed cluster's place: the low bits are its offset, the bits above how many more sectors it reaches into.
    fn compressed(&self, entry: u64) -> Cluster {
        let bits = self.header.cluster_bits.saturating_sub(8);
        let offset_bits = 62_u32.saturating_sub(bits);
        let offset = entry & (1_u64 << offset_bits.min(61)).wrapping_sub(1);
        let more = (entry >> offset_bits.min(61)) & (1_u64 << bits.min(61)).wrapping_sub(1);
        let length = more.saturating_add(1).saturating_mul(512).saturating_sub(offset & 511);
        Cluster::Compressed { offset, length: length.min(self.bytes.size().saturating_sub(offset)) }
    }

    fn unpacked(&self, number: u64, offset: u64, length: u64) -> Result<Rc<[u8]>, ReadError> {
        self.clusters.get(number, || {
            // To unpack costs by what comes out, however little goes in.
            if !self.budget.take(self.cluster_size()) {
                return Err(ReadError::Budget);
            }
            let mut packed = vec![0; usize::try_from(length).unwrap_or_default()];
            self.bytes.read_at(offset, &mut packed)?;
            let size = usize::try_from(self.cluster_size()).unwrap_or_default();
            unpack(self.header.compression, &packed, size).ok_or_else(|| ReadError::Damaged {
                offset,
                length,
                why: "a compressed cluster does not unpack".to_owned(),
            })
        })
    }

    /// Bytes of the backing file, zeros where it ends before.
    fn read_behind(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        buffer.fill(0);
        let Some(behind) = &self.behind else { return Ok(()) };
        let there = behind.size().saturating_sub(offset);
        let there = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        match buffer.get_mut(..there) {
            Some(part) if !part.is_empty() => behind.read_at(offset, part),
            _ => Ok(()),
        }
    }

    /// Bytes that lie within one cluster.
    fn read_within(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let number = offset.checked_shr(self.header.cluster_bits).unwrap_or_default();
        let within = offset & self.cluster_size().wrapping_sub(1);
        match self.cluster(number)? {
            Cluster::Behind => self.read_behind(offset, buffer),
            Cluster::Zero => {
                buffer.fill(0);
                Ok(())
            }
            Cluster::Plain(at) => self.bytes.read_at(at.saturating_add(within), buffer),
            Cluster::Compressed { offset, length } => {
                let cluster = self.unpacked(number, offset, length)?;
                let from = usize::try_from(within).unwrap_or_default();
                let part = cluster.get(from..from.saturating_add(buffer.len())).unwrap_or_default();
                // Never shorter: what unpacked has the size of a cluster.
                for (to, byte) in buffer.iter_mut().zip(part) {
                    *to = *byte;
                }
                Ok(())
            }
        }
    }
}

impl ReadAt for Qcow2 {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        in_bounds(offset, buffer.len(), self.header.size)?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let left = self.cluster_size().saturating_sub(at & self.cluster_size().wrapping_sub(1));
            let length = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            let Some((now, later)) = rest.split_at_mut_checked(length) else { break };
            self.read_within(at, now)?;
            at = at.saturating_add(length as u64);
            rest = later;
        }
        Ok(())
    }
}

/// A compressed cluster of `size` bytes; `None` where it does not unpack to that many. What follows the stream in its
/// last sector belongs to others.
fn unpack(method: Compression, packed: &[u8], size: usize) -> Option<Vec<u8>> {
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    let mut out = vec![0; size];
    match method {
        Compression::Deflate => {
            let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
            let mut state = DecompressorOxide::new();
            let (_, _, written) = decompress(&mut state, packed, &mut out, 0, flags);
            (written == size).then_some(out)
        }
        Compression::Zstd => {
            let mut source = packed;
            let mut stream = ruzstd::decoding::StreamingDecoder::new(&mut source).ok()?;
            stream.read_exact(&mut out).ok()?;
            Some(out)
        }
    }
}
