//! The bytes of a kernel by offset, whether they lie in the file or come out of a decoder.
//!
//! Decides: how much is unpacked (no more than is asked for) and how much is kept (a window behind the front).
//! Never: holds a whole vmlinux. Asked for something behind the window, it unpacks again from the beginning.

use std::io::Read;

use xenup_disk::{ReadAt, ReadError, View};

use super::error::KernelError;
use super::unpack::{Compression, Part};

/// What comes out of a decoder at most. A vmlinux as distributions ship it has 50 to 80 MiB; one with all its
/// symbols unstripped has 400.
pub const UNPACKED_LIMIT: u64 = 512 << 20;
/// What a byte unpacks to at most. Kernels come to 12 at most; more is a bomb, and known to be one early.
const RATIO: u64 = 64;
/// Small kernels may have zeros to any amount up to here.
const SLACK: u64 = 1 << 20;
/// What is asked for at once at most: the section headers of an ELF file with as many as it can have.
pub(super) const ASK_LIMIT: usize = 4 << 20;
/// Kept behind the front, so that section names, which lie before the section headers, are still there.
const WINDOW: usize = 256 << 10;
/// Behind this a stream is not ended early: what comes before would be kept in memory.
const EARLY_END_LIMIT: u64 = 128 << 20;
/// Unpacked at once.
const PIECE: usize = 64 << 10;
/// How often it is unpacked: for the headers, for the notes, for section headers, for sections that lie before those.
const PASSES: u32 = 5;

/// A kernel's bytes.
pub(super) enum Body<'a> {
    /// As they lie in the file.
    Plain(&'a dyn ReadAt),
    /// As they lie in a part of the file.
    Within(View<&'a dyn ReadAt>),
    /// Out of a decoder.
    Packed(Unpacked<'a>),
}

/// A decoder's output, with a window of it kept.
pub(super) struct Unpacked<'a> {
    file: &'a dyn ReadAt,
    start: u64,
    end: u64,
    compression: Compression,
    stream: Option<Box<dyn Read + 'a>>,
    /// The stream may end behind so many bytes; all of it where there is none.
    enough: Option<u64>,
    window: Vec<u8>,
    /// What is read over goes here.
    passed: Vec<u8>,
    /// Offset of the window's first byte.
    at: u64,
    passes: u32,
}

impl<'a> Body<'a> {
    /// The data in `file` from `start` to `end` as it lies there.
    pub fn within(file: &'a dyn ReadAt, start: u64, end: u64) -> Self {
        Self::Within(View::new(file, start, end.saturating_sub(start)))
    }

    /// The data in `file` from `start` to `end`, packed with `compression`.
    pub fn packed(file: &'a dyn ReadAt, start: u64, end: u64, compression: Compression) -> Self {
        Self::Packed(Unpacked {
            file,
            start,
            end,
            compression,
            stream: None,
            enough: None,
            window: Vec::new(),
            passed: Vec::new(),
            at: 0,
            passes: 0,
        })
    }

    /// Returns `length` bytes from `offset` on.
    ///
    /// # Errors
    /// They lie behind the end, are more than [`ASK_LIMIT`], or cannot be unpacked.
    pub fn bytes(&mut self, what: &'static str, offset: u64, length: usize) -> Result<Vec<u8>, KernelError> {
        if length > ASK_LIMIT {
            return Err(KernelError::Malformed { what, offset });
        }
        let found = self.up_to(offset, length)?;
        if found.len() == length { Ok(found) } else { Err(KernelError::CutOff { what, offset }) }
    }

    /// Returns the first `length` bytes, fewer where they end before.
    ///
    /// # Errors
    /// They cannot be read or unpacked.
    pub fn start(&mut self, length: usize) -> Result<Vec<u8>, KernelError> {
        self.up_to(0, length)
    }

    /// The bytes, fewer where they end before.
    fn up_to(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, KernelError> {
        match self {
            Self::Plain(file) => plain(*file, offset, length),
            Self::Within(view) => plain(view, offset, length),
            Self::Packed(unpacked) => unpacked.bytes(offset, length),
        }
    }

    /// Returns whether `words` stands anywhere in the first `limit` bytes.
    ///
    /// # Errors
    /// As [`Body::start`].
    pub fn contains(&mut self, words: &[u8], limit: u64) -> Result<bool, KernelError> {
        if let Self::Packed(unpacked) = self {
            unpacked.want_all()?;
        }
        let step = PIECE.saturating_sub(words.len()).max(1) as u64;
        let mut offset = 0;
        while offset < limit {
            let piece = self.up_to(offset, PIECE)?;
            if piece.windows(words.len().max(1)).any(|found| found == words) {
                return Ok(true);
            }
            if piece.len() < PIECE {
                return Ok(false);
            }
            offset = offset.saturating_add(step);
        }
        Ok(false)
    }
}

/// The bytes of a file, fewer where it ends before.
fn plain(file: &dyn ReadAt, offset: u64, length: usize) -> Result<Vec<u8>, KernelError> {
    let left = usize::try_from(file.size().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(left)];
    match file.read_at(offset, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(ReadError::PastEnd { .. }) => Ok(Vec::new()),
        Err(error) => Err(KernelError::Read(error)),
    }
}

impl Unpacked<'_> {
    /// The bytes, fewer where the stream ends before.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, KernelError> {
        let end = offset.saturating_add(length as u64);
        if self.stream.is_none() || offset < self.at || self.enough.is_some_and(|enough| enough < end) {
            self.restart(Some(end))?;
        }
        while self.front() < end && self.advance(offset)? {}
        let skip = usize::try_from(offset.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let kept = self.window.get(skip..).unwrap_or_default();
        Ok(kept.get(..length).unwrap_or(kept).to_vec())
    }

    /// Begins again where the stream may end early.
    fn want_all(&mut self) -> Result<(), KernelError> {
        if self.enough.is_some() { self.restart(None) } else { Ok(()) }
    }

    fn front(&self) -> u64 {
        self.at.saturating_add(self.window.len() as u64)
    }

    fn limit(&self) -> u64 {
        let packed = self.end.min(self.file.size()).saturating_sub(self.start);
        packed.saturating_mul(RATIO).saturating_add(SLACK).min(UNPACKED_LIMIT)
    }

    fn restart(&mut self, enough: Option<u64>) -> Result<(), KernelError> {
        self.passes = self.passes.saturating_add(1);
        if self.passes > PASSES {
            return Err(KernelError::Malformed {
                what: "the order of the ELF file's parts",
                offset: self.start,
            });
        }
        // Only zstd makes use of it, keeping all that it wants; the others give out what they have as they go.
        let bounded = |bytes: &u64| *bytes <= self.limit().min(EARLY_END_LIMIT);
        let enough = enough.filter(|bytes| self.compression == Compression::Zstd && bounded(bytes));
        let packed = Part::new(self.file, self.start, self.end);
        self.stream = Some(self.compression.unpack(packed, enough).map_err(|source| self.error(source))?);
        self.enough = enough;
        self.window.clear();
        self.at = 0;
        Ok(())
    }

    /// Unpacks a piece more, forgetting what lies well before `wanted`; `false` at the end.
    fn advance(&mut self, wanted: u64) -> Result<bool, KernelError> {
        if self.front() >= self.limit() {
            return Err(KernelError::TooLarge { compression: self.compression, limit: self.limit() });
        }
        if wanted > self.front().saturating_add((WINDOW + PIECE) as u64) {
            return self.pass_over();
        }
        // Forgetting in halves of the window keeps the copying below one byte for each byte unpacked.
        if self.window.len() > WINDOW && wanted >= self.at.saturating_add(WINDOW as u64 / 2) {
            self.window.drain(..WINDOW / 2);
            self.at = self.at.saturating_add(WINDOW as u64 / 2);
        }
        let old = self.window.len();
        self.window.resize(old.saturating_add(PIECE), 0);
        let read = match (self.stream.as_mut(), self.window.get_mut(old..)) {
            (Some(stream), Some(piece)) => read_once(stream, piece),
            _ => Ok(0),
        };
        let count = *read.as_ref().unwrap_or(&0);
        self.window.truncate(old.saturating_add(count));
        read.map(|count| count > 0).map_err(|source| self.error(source))
    }

    /// Unpacks a piece of which nothing is kept; `false` at the end.
    fn pass_over(&mut self) -> Result<bool, KernelError> {
        self.at = self.front();
        self.window.clear();
        self.passed.resize(PIECE, 0);
        let read = match self.stream.as_mut() {
            Some(stream) => read_once(stream, &mut self.passed),
            None => Ok(0),
        };
        let count = read.map_err(|source| self.error(source))?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count > 0)
    }

    fn error(&self, source: std::io::Error) -> KernelError {
        KernelError::Unpack { compression: self.compression, offset: self.start, source }
    }
}

fn read_once(stream: &mut dyn Read, piece: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
