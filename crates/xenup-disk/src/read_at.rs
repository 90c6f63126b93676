//! Bytes by offset: what every reader of a disk is written against. Never writes.

use std::io;
use std::rc::Rc;

/// Bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes asked for lie, at least in part, behind the end.
    #[error("{length} bytes at {offset} are behind the end: there are {size} bytes")]
    PastEnd {
        /// Where they were to begin.
        offset: u64,
        /// How many they were to be.
        length: u64,
        /// How many bytes there are.
        size: u64,
    },
    /// The system could not read them.
    #[error("cannot read {length} bytes at {offset}")]
    Io {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        length: u64,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The bytes that stand for them cannot be made out: a compressed part that does not unpack, say.
    #[error("{length} bytes at {offset} cannot be made out: {why}")]
    Damaged {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        length: u64,
        /// What is wrong.
        why: String,
    },
    /// More was asked for than the disk is worth ([`crate::Budget`]).
    #[error("the disk asks for more reading than is allowed for one disk")]
    Budget,
}

/// A disk, a partition, or an image of one.
pub trait ReadAt {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// They lie behind the end, or cannot be read. The buffer's content is then unspecified.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError>;

    /// The bytes from `offset` on, as an array.
    ///
    /// # Errors
    /// As [`ReadAt::read_at`].
    fn array_at<const N: usize>(&self, offset: u64) -> Result<[u8; N], ReadError>
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// Refuses bytes behind the end.
pub(crate) fn in_bounds(offset: u64, length: usize, size: u64) -> Result<(), ReadError> {
    let length = length as u64;
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(ReadError::PastEnd { offset, length, size }),
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let past = ReadError::PastEnd { offset, length: buffer.len() as u64, size: self.size() };
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(found.ok_or(past)?);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_at(offset, buffer)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Rc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_at(offset, buffer)
    }
}

/// A part of a disk, read as if it were one of its own: a partition.
#[derive(Debug, Clone, Copy)]
pub struct View<D> {
    disk: D,
    start: u64,
    size: u64,
}

impl<D: ReadAt> View<D> {
    /// The `size` bytes of `disk` from `start` on, cut where the disk ends before.
    pub fn new(disk: D, start: u64, size: u64) -> Self {
        let size = size.min(disk.size().saturating_sub(start));
        Self { disk, start, size }
    }
}

impl<D: ReadAt> ReadAt for View<D> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        in_bounds(offset, buffer.len(), self.size)?;
        // Neither can overflow: the part lies within the disk.
        self.disk.read_at(self.start.saturating_add(offset), buffer)
    }
}
