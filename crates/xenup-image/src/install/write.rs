//! In which order a disk is written, and what is left of it when that fails.
//!
//! It decides: everything but the first and the last MiB comes first and is read back; then the second copy of the new
//! table; then the first MiB, its first 4 KiB last. Until then the old table is whole, both copies of it; a failure after
//! that puts both ends back as they were. It never begins before the medium's first chunk has proved good.

use std::io;

use sha2::{Digest as _, Sha256};
use xenup_core::install::Chunk;
use xenup_core::install::Manifest;
use xenup_core::install::gpt::{self, Ends, GptFault};
use xenup_core::install::manifest::HEAD;
use xenup_system::block_device::BlockDevice;

use super::source::SourceError;
use crate::identity::hex;

/// How much is written before it is waited for: what a meter shows is then on the disk, and a fault is near its place.
const SETTLE: u64 = 64 << 20;
/// What is written last of all: the first sector, the table's header, the first of its entries.
const LAST: usize = 4096;

/// A disk to write to.
pub trait Target {
    /// Bytes.
    fn size(&self) -> u64;
    /// Fills the buffer from there on.
    ///
    /// # Errors
    /// The disk's.
    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of it there.
    ///
    /// # Errors
    /// The disk's.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes the disk read as zeros there.
    ///
    /// # Errors
    /// The disk's.
    fn zero(&mut self, at: u64, length: u64) -> io::Result<()>;
    /// Returns when all of it is on the disk.
    ///
    /// # Errors
    /// Something is not.
    fn settle(&mut self) -> io::Result<()>;
}

impl Target for BlockDevice {
    fn size(&self) -> u64 {
        Self::size(self)
    }

    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        Self::read_at(self, at, buffer)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        Self::write_at(self, at, bytes)
    }

    fn zero(&mut self, at: u64, length: u64) -> io::Result<()> {
        Self::zero(self, at, length)
    }

    fn settle(&mut self) -> io::Result<()> {
        Self::settle(self)
    }
}

/// Where the chunks come from.
pub trait Source {
    /// The bytes of a chunk, proved to be those that the manifest means.
    ///
    /// # Errors
    /// They cannot be read, or are not.
    fn chunk(&mut self, chunk: &Chunk) -> Result<Vec<u8>, SourceError>;
}

/// The parts of the work, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The ends of the disk as they are now, and the medium's first chunk, are read.
    Looking,
    /// Everything but the ends is written.
    Writing,
    /// It is read back.
    Reading,
    /// The machine's own files are written into it.
    Own,
    /// The new partition table is written.
    Table,
}

/// How far a phase has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tell {
    /// The phase.
    pub phase: Phase,
    /// Bytes that are done of it.
    pub done: u64,
    /// Bytes that it has.
    pub all: u64,
}

/// What a failure left of the partition table that was on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// It was never touched.
    Untouched,
    /// It is there again, byte for byte.
    Restored,
    /// It could not be put back: which end, and why.
    Lost(String),
}

/// Why a disk was not written.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The disk.
    #[error("the disk fails at or behind byte {at}: {error}")]
    Disk {
        /// Where, as near as is known.
        at: u64,
        /// Its answer.
        error: io::Error,
    },
    /// What was written does not read back.
    #[error("what was written at byte {at} is not what is read there")]
    Differs {
        /// Where.
        at: u64,
    },
    /// The medium.
    #[error(transparent)]
    Medium(#[from] SourceError),
    /// Its partition table.
    #[error(transparent)]
    Gpt(#[from] GptFault),
    /// The machine's own files.
    #[error("the machine's own files could not be written: {0}")]
    Own(String),
}

/// A disk that was not written, and what is left on it.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// In which part of the work.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
    /// The old partition table.
    pub table: Table,
    /// The bytes behind the first MiB up to here may have been overwritten.
    pub written: u64,
}

struct Work<'a> {
    target: &'a mut dyn Target,
    source: &'a mut dyn Source,
    manifest: &'a Manifest,
    tell: &'a mut dyn FnMut(Tell),
    phase: Phase,
    written: u64,
}

/// Writes the disk; `own` is called between the last reading back and the table, and writes the machine's own files.
///
/// # Errors
/// The first thing that failed, and what is left of the old partition table.
pub fn write(
    target: &mut dyn Target,
    source: &mut dyn Source,
    manifest: &Manifest,
    own: &mut dyn FnMut() -> Result<(), String>,
    tell: &mut dyn FnMut(Tell),
) -> Result<(), Failure> {
    let mut work = Work { target, source, manifest, tell, phase: Phase::Looking, written: 0 };
    let (old, new) = match work.up_to_the_table(own) {
        Ok(ends) => ends,
        Err(cause) => return Err(work.failure(cause, Table::Untouched)),
    };
    work.phase = Phase::Table;
    if let Err(cause) = work.table(&new) {
        let table = work.put_back(&old);
        return Err(work.failure(cause, table));
    }
    Ok(())
}

impl Work<'_> {
    fn failure(&self, cause: Cause, table: Table) -> Failure {
        Failure { phase: self.phase, cause, table, written: self.written }
    }

    fn say(&mut self, done: u64, all: u64) {
        (self.tell)(Tell { phase: self.phase, done, all });
    }

    /// Returns the ends of the disk as they are, and as they are to be.
    fn up_to_the_table(
        &mut self,
        own: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(Ends, Ends), Cause> {
        self.say(0, 0);
        let head = self.manifest.head().cloned().ok_or(GptFault::NoTable)?;
        let new = gpt::ends(&self.source.chunk(&head)?, self.target.size())?;
        let old = Ends {
            head: self.read(0, HEAD)?,
            tail: self.read(new.tail_at, new.tail.len() as u64)?,
            tail_at: new.tail_at,
        };
        self.phase = Phase::Writing;
        self.body()?;
        self.phase = Phase::Reading;
        self.read_back()?;
        self.phase = Phase::Own;
        self.say(0, 0);
        own().map_err(Cause::Own)?;
        self.settle(0)?;
        Ok((old, new))
    }

    fn body(&mut self) -> Result<(), Cause> {
        let manifest = self.manifest;
        let mut holes = manifest.holes().into_iter().peekable();
        let all: u64 = manifest.body().map(|chunk| chunk.length).sum();
        let (mut done, mut unsettled, mut from) = (0, 0, HEAD);
        for chunk in manifest.body() {
            while let Some((at, length)) = holes.next_if(|(at, _)| *at < chunk.at) {
                self.zero(at, length)?;
            }
            let bytes = self.source.chunk(chunk)?;
            self.written = chunk.at.saturating_add(chunk.length);
            self.target.write_at(chunk.at, &bytes).map_err(|error| Cause::Disk { at: chunk.at, error })?;
            unsettled += chunk.length;
            if unsettled >= SETTLE {
                self.settle(from)?;
                (unsettled, from) = (0, self.written);
            }
            done += chunk.length;
            self.say(done, all);
        }
        for (at, length) in holes {
            self.zero(at, length)?;
        }
        self.settle(from)
    }

    fn zero(&mut self, at: u64, length: u64) -> Result<(), Cause> {
        let end = at.saturating_add(length);
        let mut at = at;
        while at < end {
            let part = (end - at).min(SETTLE);
            self.written = at.saturating_add(part);
            self.target.zero(at, part).map_err(|error| Cause::Disk { at, error })?;
            at += part;
        }
        Ok(())
    }

    /// Everything that was written since `from` is on the disk.
    fn settle(&mut self, from: u64) -> Result<(), Cause> {
        self.target.settle().map_err(|error| Cause::Disk { at: from, error })
    }

    fn read(&mut self, at: u64, length: u64) -> Result<Vec<u8>, Cause> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.target.read_at(at, &mut bytes).map_err(|error| Cause::Disk { at, error })?;
        Ok(bytes)
    }

    fn read_back(&mut self) -> Result<(), Cause> {
        let manifest = self.manifest;
        let holes = manifest.holes();
        let all = manifest.body_end().saturating_sub(HEAD);
        let mut done = 0;
        for chunk in manifest.body() {
            let bytes = self.read(chunk.at, chunk.length)?;
            if hex(Sha256::digest(&bytes).as_ref()) != chunk.sha256 {
                return Err(Cause::Differs { at: chunk.at });
            }
            done += chunk.length;
            self.say(done, all);
        }
        for (at, length) in holes {
            let end = at.saturating_add(length);
            let mut at = at;
            while at < end {
                let part = (end - at).min(HEAD);
                if self.read(at, part)?.iter().any(|byte| *byte != 0) {
                    return Err(Cause::Differs { at });
                }
                at += part;
                done += part;
                self.say(done, all);
            }
        }
        Ok(())
    }

    /// The second copy first: with it the disk is whole whatever becomes of the first one.
    fn table(&mut self, new: &Ends) -> Result<(), Cause> {
        self.say(0, 0);
        for (at, bytes) in in_order(new) {
            self.target.write_at(at, bytes).map_err(|error| Cause::Disk { at, error })?;
            self.settle(at)?;
        }
        for (at, bytes) in in_order(new) {
            if self.read(at, bytes.len() as u64)? != bytes {
                return Err(Cause::Differs { at });
            }
        }
        Ok(())
    }

    /// Writes every part of the old ends, whatever becomes of the others: whether they are there is read, not believed.
    fn put_back(&mut self, old: &Ends) -> Table {
        let parts = in_order(old);
        for (at, bytes) in parts.iter().rev() {
            let _ = self.target.write_at(*at, bytes);
            let _ = self.target.settle();
        }
        let lost: Vec<String> = parts
            .iter()
            .filter_map(|(at, bytes)| {
                let end = if *at < HEAD { "at the beginning" } else { "at the end" };
                match self.read(*at, bytes.len() as u64) {
                    Ok(read) if read == *bytes => None,
                    Ok(_) => Some(format!("{end}, byte {at}")),
                    Err(cause) => Some(format!("{end}: {cause}")),
                }
            })
            .collect();
        if lost.is_empty() { Table::Restored } else { Table::Lost(lost.join("; ")) }
    }
}

/// The parts of both ends in the order in which new ones are written.
fn in_order(ends: &Ends) -> [(u64, &[u8]); 3] {
    let (first, rest) = ends.head.split_at_checked(LAST).unwrap_or((&ends.head, &[]));
    [(ends.tail_at, ends.tail.as_slice()), (LAST as u64, rest), (0, first)]
}
