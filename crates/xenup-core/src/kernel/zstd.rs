//! zstd frames that end early: the decoder gives nothing out before its window is full, and Linux packs with a window
//! larger than a kernel. A frame whose last block is said to come earlier is decoded up to there and no further.
//!
//! Decides: which block is the last, by RFC 8878. Never: changes what a block decodes to.

use std::io::{self, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// `zstd -22 --ultra`, which Linux packs with, has a window of 128 MiB (scripts/Makefile.lib).
const WINDOW: u64 = 128 << 20;
/// Magic number, descriptor, window, dictionary and size, at most.
const FRAME_HEADER: usize = 18;
const BLOCK_HEADER: usize = 3;
const RLE: u32 = 1;

/// Unpacks a frame up to the block in which a byte lies.
pub(super) struct ShortReader<R> {
    frame: CutFrame<R>,
    decoder: FrameDecoder,
    /// How much is wanted; nothing where it is there.
    enough: Option<usize>,
}

impl<R: Read> ShortReader<R> {
    /// The frame's first `enough` bytes, and what comes with them; all of it where there is no such number.
    ///
    /// # Errors
    /// No frame of zstd, or one whose window is larger than Linux's.
    pub fn new(frame: R, enough: Option<u64>) -> io::Result<Self> {
        let mut frame = CutFrame::new(frame);
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        decoder.init(&mut frame).map_err(io::Error::other)?;
        let enough = enough.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(Self { frame, decoder, enough })
    }

    fn decode(&mut self, strategy: BlockDecodingStrategy) -> io::Result<()> {
        self.decoder.decode_blocks(&mut self.frame, strategy).map(|_| ()).map_err(io::Error::other)
    }
}

impl<R: Read> Read for ShortReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(bytes) = self.enough.take() {
            self.decode(BlockDecodingStrategy::UptoBytes(bytes))?;
            self.frame.next_is_last = true;
        }
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            self.decode(BlockDecodingStrategy::UptoBlocks(1))?;
        }
        self.decoder.read(buffer)
    }
}

/// A frame, passed on with its end moved forward.
struct CutFrame<R> {
    frame: R,
    /// The next block is to be the last.
    next_is_last: bool,
    /// Bytes of a header that are to be passed on next.
    ready: Vec<u8>,
    /// Bytes of the block that follow them.
    left: u64,
    state: State,
}

#[derive(PartialEq)]
enum State {
    FrameHeader,
    BlockHeader,
    /// Behind the last block: the checksum and what follows.
    Tail,
}

impl<R: Read> CutFrame<R> {
    fn new(frame: R) -> Self {
        Self { frame, next_is_last: false, ready: Vec::new(), left: 0, state: State::FrameHeader }
    }

    /// Reads the header that comes next, and changes it where it is the last block's.
    fn advance(&mut self) -> io::Result<()> {
        match self.state {
            State::FrameHeader => {
                self.ready = self.exactly(5)?;
                let rest = frame_header(self.ready.get(4).copied().unwrap_or_default());
                let rest = self.exactly(rest.min(FRAME_HEADER))?;
                self.ready.extend(rest);
                self.state = State::BlockHeader;
            }
            State::BlockHeader => {
                let mut header = self.exactly(BLOCK_HEADER)?;
                if let (true, Some(first)) = (self.next_is_last, header.first_mut()) {
                    *first |= 1;
                }
                let word = header.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
                self.left = if word >> 1 & 3 == RLE { 1 } else { u64::from(word >> 3) };
                if word & 1 == 1 {
                    self.state = State::Tail;
                }
                self.ready = header;
            }
            State::Tail => {}
        }
        Ok(())
    }

    /// The next bytes, fewer where the frame ends before.
    fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count);
        (&mut self.frame).take(count as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// How long the rest of a frame's header is, by its descriptor.
fn frame_header(descriptor: u8) -> usize {
    let single = descriptor >> 5 & 1 == 1;
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or_default();
    let size = match descriptor >> 6 {
        0 => usize::from(single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    usize::from(!single).saturating_add(dictionary).saturating_add(size)
}

impl<R: Read> Read for CutFrame<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() && self.left == 0 && self.state != State::Tail {
            self.advance()?;
        }
        if !self.ready.is_empty() {
            let count = self.ready.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(self.ready.drain(..count)) {
                *to = from;
            }
            return Ok(count);
        }
        if self.left == 0 {
            return self.frame.read(buffer);
        }
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.frame.read(buffer.get_mut(..count).unwrap_or_default())?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
