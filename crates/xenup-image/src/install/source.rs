//! The chunks of a medium's disk. Decides that each is what the medium says of it, before any of it is written.

use std::io::Read as _;
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;
use sha2::{Digest as _, Sha256};
use xenup_core::install::Chunk;
use xenup_system::files::{DiskFile, FileError};

use super::write::Source;
use crate::identity::hex;

/// A chunk that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The medium cannot be read.
    #[error("the medium cannot be read")]
    File(#[from] FileError),
    /// It was read, and is damaged.
    #[error("the medium is damaged: the {length} bytes that belong at {at} {why}")]
    Damaged {
        /// Where it belongs.
        at: u64,
        /// How many bytes it should be.
        length: u64,
        /// What is wrong.
        why: String,
    },
}

/// The file of a medium that holds the chunks.
#[derive(Debug)]
pub struct MediumFile {
    file: DiskFile,
}

impl MediumFile {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self { file: DiskFile::open(path)? })
    }
}

impl Source for MediumFile {
    fn chunk(&mut self, chunk: &Chunk) -> Result<Vec<u8>, SourceError> {
        self.read(chunk)
    }
}

impl MediumFile {
    /// As [`Source::chunk`], for many at once.
    ///
    /// # Errors
    /// As that.
    pub fn read(&self, chunk: &Chunk) -> Result<Vec<u8>, SourceError> {
        let damaged = |why: String| SourceError::Damaged { at: chunk.at, length: chunk.length, why };
        let mut packed = vec![0; usize::try_from(chunk.packed).unwrap_or_default()];
        self.file.read_at(chunk.packed_at, &mut packed)?;
        let stream = StreamingDecoder::new(packed.as_slice());
        let stream = stream.map_err(|error| damaged(format!("do not unpack: {error}")))?;
        let mut bytes = Vec::with_capacity(usize::try_from(chunk.length).unwrap_or_default());
        // One more than there should be tells what is too long.
        let read = stream.take(chunk.length.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| damaged(format!("do not unpack: {error}")))?;
        if bytes.len() as u64 != chunk.length {
            return Err(damaged("are not so many".to_owned()));
        }
        if hex(Sha256::digest(&bytes).as_ref()) != chunk.sha256 {
            return Err(damaged("have another digest".to_owned()));
        }
        Ok(bytes)
    }
}
