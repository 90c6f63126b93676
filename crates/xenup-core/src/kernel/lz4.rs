//! lz4 in its legacy frame: a magic number, then blocks of at most 8 MiB unpacked, each after its packed size.
//!
//! Decides: where a frame ends, as Linux does (lib/decompress_unlz4.c). Never: holds more than one block.

use std::io::{self, Read};

const MAGIC: u32 = 0x184c_2102;
/// What a block unpacks to at most (lz4's doc/lz4_Frame_format.md, legacy frame).
const BLOCK: usize = 8 << 20;
/// What such a block is packed to at most: lz4's bound for data that cannot be packed.
const PACKED: usize = BLOCK + BLOCK / 255 + 16;

/// Unpacks block by block.
pub(super) struct LegacyReader<R> {
    packed: R,
    input: Vec<u8>,
    block: Vec<u8>,
    taken: usize,
    length: usize,
}

impl<R: Read> LegacyReader<R> {
    /// Returns the stream behind the magic number.
    ///
    /// # Errors
    /// Another magic number, or none.
    pub fn new(mut packed: R) -> io::Result<Self> {
        let mut magic = [0; 4];
        packed.read_exact(&mut magic)?;
        if u32::from_le_bytes(magic) != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no legacy lz4 frame"));
        }
        Ok(Self { packed, input: Vec::new(), block: Vec::new(), taken: 0, length: 0 })
    }

    /// Unpacks the next block; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(mut size) = self.next_size()? else { return Ok(false) };
        // Frames that were put one behind the other keep their magic numbers.
        while size == MAGIC {
            match self.next_size()? {
                Some(next) => size = next,
                None => return Ok(false),
            }
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 || size > PACKED {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a block's size cannot be right"));
        }
        self.input.clear();
        let wanted = size as u64;
        if (&mut self.packed).take(wanted).read_to_end(&mut self.input)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.block.resize(BLOCK, 0);
        self.length = lz4_flex::block::decompress_into(&self.input, &mut self.block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.taken = 0;
        Ok(true)
    }

    /// The next four bytes; `None` where fewer are left: the end of the frame, as lz4 writes none of its own.
    fn next_size(&mut self) -> io::Result<Option<u32>> {
        let mut bytes = Vec::with_capacity(4);
        (&mut self.packed).take(4).read_to_end(&mut bytes)?;
        Ok(bytes.try_into().ok().map(u32::from_le_bytes))
    }
}

impl<R: Read> Read for LegacyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken >= self.length {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let ready = self.block.get(self.taken..self.length).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken = self.taken.saturating_add(count);
        Ok(count)
    }
}
