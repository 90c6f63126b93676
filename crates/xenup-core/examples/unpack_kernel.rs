//! Unpacks a bzImage's payload from beginning to end and counts what comes out: the decoders that `xenup kernel check`
//! has, alone, for `cargo xtask bench kernel-check`. Never: looks at what comes out.
#![allow(clippy::disallowed_methods, reason = "a peer of a bench reads its file by itself")]

use std::error::Error;
use std::io::{self, Read};

/// Bytes of a block that lz4 packs at once in its old frame.
const LZ4_BLOCK: usize = 8 << 20;
/// zstd's window, as Linux packs.
const ZSTD_WINDOW: u64 = 128 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a bzImage")?;
    let file = std::fs::read(path)?;
    let payload = payload(&file).ok_or("it is no bzImage")?;
    let unpacked = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => count(lzma_rust2::XzReader::new(payload, false))?,
        [0x1f, 0x8b, ..] => count(flate2::bufread::GzDecoder::new(payload))?,
        [0x02, 0x21, 0x4c, 0x18, blocks @ ..] => lz4(blocks)?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd(payload)?,
        _ => return Err("xz, gzip, lz4 and zstd are measured".into()),
    };
    println!("{unpacked}");
    Ok(())
}

/// The packed part, without the size that Linux puts behind it (Documentation/arch/x86/boot.rst).
fn payload(file: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let four: [u8; 4] = file.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let sectors = usize::from(*file.get(0x1f1)?).max(1);
    let start = sectors.checked_add(1)?.checked_mul(512)?.checked_add(number(0x248)?)?;
    file.get(start..start.checked_add(number(0x24c)?)?)
}

fn count(mut stream: impl Read) -> io::Result<u64> {
    let mut piece = vec![0; 64 << 10];
    let mut total = 0_u64;
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(total),
            more => total = total.saturating_add(more as u64),
        }
    }
}

fn lz4(mut blocks: &[u8]) -> Result<u64, Box<dyn Error>> {
    let mut out = vec![0; LZ4_BLOCK];
    let mut total = 0_u64;
    while let Some((size, rest)) = blocks.split_first_chunk::<4>() {
        let size = usize::try_from(u32::from_le_bytes(*size))?;
        let Some((block, rest)) = rest.split_at_checked(size).filter(|_| size > 0) else { break };
        total = total.saturating_add(lz4_flex::block::decompress_into(block, &mut out)? as u64);
        blocks = rest;
    }
    Ok(total)
}

fn zstd(mut frame: &[u8]) -> Result<u64, Box<dyn Error>> {
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    let mut stream = ruzstd::decoding::StreamingDecoder::new_with_decoder(&mut frame, decoder)?;
    Ok(count(&mut stream)?)
}
