//! What a medium says of the disk that it carries. Decides the form of it, and which one makes sense; never reads a chunk.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
/// Where the partition table begins and GRUB's first sector lies: written last.
pub const HEAD: u64 = MIB;
/// The table's second copy, at the end of the disk.
pub const TAIL: u64 = MIB;
/// Bytes of a chunk but for the first ones.
pub const CHUNK: u64 = 4 * MIB;
/// This form of a manifest.
pub const FORMAT: u32 = 1;

/// A disk as its medium carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// The form.
    pub format: u32,
    /// What this medium is known by: 16 hexadecimal digits.
    pub id: String,
    /// The release as people call it.
    pub system: String,
    /// The day of the archive that its packages came from.
    pub archive: String,
    /// Bytes of the disk.
    pub disk: u64,
    /// Where its root file system begins, in bytes.
    pub root: u64,
    /// From what its files were made.
    pub made: Made,
    /// The parts of the disk that are not all zeros, in order.
    pub chunks: Vec<Chunk>,
}

/// What the files of the disk were made from; see [`crate::image::Wanted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Made {
    /// host.toml's text.
    pub host: String,
    /// The machine's name.
    pub hostname: String,
    /// The release's code name.
    pub codename: String,
    /// The root file system's UUID.
    pub root: String,
    /// Linux's command line.
    pub cmdline: String,
    /// Whether what lies behind the root becomes a volume group.
    pub volumes: bool,
    /// Lines of root's authorized_keys that are in it.
    pub keys: Vec<String>,
    /// Whether root has a password in it.
    pub password: bool,
}

/// A part of the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chunk {
    /// Where it belongs, in bytes.
    pub at: u64,
    /// Its bytes.
    pub length: u64,
    /// Where it lies in the medium's file, compressed by zstd.
    pub packed_at: u64,
    /// How many bytes it takes there.
    pub packed: u64,
    /// The SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestFault {
    /// It is no manifest.
    #[error("it is not what a medium of xenup says of its disk")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("its form is {0}, and this program reads {FORMAT}")]
    Format(u32),
    /// It contradicts itself.
    #[error("{0}")]
    Senseless(String),
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, of another form, or its chunks do not lie within the disk, one behind the other.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestFault> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.format != FORMAT {
            return Err(ManifestFault::Format(manifest.format));
        }
        manifest.sense().map_err(ManifestFault::Senseless)?;
        Ok(manifest)
    }

    fn sense(&self) -> Result<(), String> {
        let end = self.body_end();
        if end <= HEAD || self.root < HEAD || self.root >= end {
            return Err(format!("a disk of {} bytes with its root at {}", self.disk, self.root));
        }
        let mut behind = 0;
        for chunk in &self.chunks {
            let ends = chunk.at.checked_add(chunk.length).filter(|ends| *ends <= end);
            let crosses = chunk.at < HEAD && chunk.at.saturating_add(chunk.length) > HEAD;
            let sized =
                chunk.length > 0 && chunk.length <= CHUNK && chunk.packed > 0 && chunk.packed <= 2 * CHUNK;
            match ends {
                Some(ends) if chunk.at >= behind && sized && !crosses => behind = ends,
                _ => return Err(format!("a chunk of {} bytes at {}", chunk.length, chunk.at)),
            }
        }
        match self.chunks.first() {
            Some(first) if first.at == 0 && first.length == HEAD => Ok(()),
            _ => Err("the beginning of the disk is missing".to_owned()),
        }
    }

    /// Where the part ends that is written before the table: what lies behind is the table's second copy.
    #[must_use]
    pub fn body_end(&self) -> u64 {
        self.disk.saturating_sub(TAIL)
    }

    /// The chunk that is written last.
    #[must_use]
    pub fn head(&self) -> Option<&Chunk> {
        self.chunks.first()
    }

    /// The chunks that are written before it.
    pub fn body(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().skip(1)
    }

    /// The parts between [`HEAD`] and [`Manifest::body_end`] that no chunk has: they are to read as zeros. Offset and
    /// length, in order.
    #[must_use]
    pub fn holes(&self) -> Vec<(u64, u64)> {
        let mut holes = Vec::new();
        let mut at = HEAD;
        for chunk in self.body() {
            if chunk.at > at {
                holes.push((at, chunk.at - at));
            }
            at = chunk.at.saturating_add(chunk.length);
        }
        if at < self.body_end() {
            holes.push((at, self.body_end() - at));
        }
        holes
    }

    /// Bytes of all chunks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.length).sum()
    }
}

/// Where the chunks of a disk of so many bytes begin and how long they are: the head by itself, then [`CHUNK`] each on
/// multiples of it, up to the table's second copy.
#[must_use]
pub fn cut(disk: u64) -> Vec<(u64, u64)> {
    let end = disk.saturating_sub(TAIL);
    let mut parts = vec![(0, HEAD)];
    let mut at = HEAD;
    while at < end {
        let next = (at / CHUNK).saturating_add(1).saturating_mul(CHUNK).min(end);
        parts.push((at, next - at));
        at = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(chunks: Vec<Chunk>) -> Manifest {
        Manifest {
            format: FORMAT,
            id: "0".repeat(16),
            system: "Debian 12 (bookworm)".to_owned(),
            archive: "some day".to_owned(),
            disk: 16 * MIB,
            root: 2 * MIB,
            made: Made {
                host: String::new(),
                hostname: "xen".to_owned(),
                codename: "bookworm".to_owned(),
                root: String::new(),
                cmdline: String::new(),
                volumes: false,
                keys: Vec::new(),
                password: false,
            },
            chunks,
        }
    }

    fn chunk(at: u64, length: u64) -> Chunk {
        Chunk { at, length, packed_at: 0, packed: 10, sha256: String::new() }
    }

    fn read(manifest: &Manifest) -> Result<Manifest, String> {
        Manifest::parse(&serde_json::to_vec(manifest).unwrap()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_disk_is_cut_without_a_gap_and_its_holes_are_what_is_left_out() {
        let parts = cut(16 * MIB);
        assert_eq!(
            parts,
            [(0, MIB), (MIB, 3 * MIB), (4 * MIB, 4 * MIB), (8 * MIB, 4 * MIB), (12 * MIB, 3 * MIB)]
        );
        let some = manifest(vec![chunk(0, MIB), chunk(4 * MIB, 4 * MIB)]);
        assert_eq!(read(&some).unwrap(), some);
        assert_eq!(some.holes(), [(MIB, 3 * MIB), (8 * MIB, 7 * MIB)]);
        let whole = manifest(parts.iter().map(|(at, length)| chunk(*at, *length)).collect());
        assert_eq!((read(&whole).is_ok(), whole.holes().len()), (true, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for chunks in [
            vec![],
            vec![chunk(MIB, MIB)],
            vec![chunk(0, 2 * MIB)],
            vec![chunk(0, MIB), chunk(14 * MIB, 2 * MIB)],
            vec![chunk(0, MIB), chunk(4 * MIB, MIB), chunk(4 * MIB, MIB)],
            vec![chunk(0, MIB), chunk(u64::MAX, MIB)],
            vec![chunk(0, MIB), chunk(4 * MIB, 0)],
            vec![chunk(0, MIB), chunk(4 * MIB, 5 * MIB)],
        ] {
            assert!(read(&manifest(chunks.clone())).is_err(), "{chunks:?}");
        }
        let newer = Manifest { format: 2, ..manifest(vec![chunk(0, MIB)]) };
        assert_eq!(read(&newer).unwrap_err(), "its form is 2, and this program reads 1");
        assert!(Manifest::parse(b"{}").is_err());
    }
}
