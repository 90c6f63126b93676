//! The digest of a disk file as sha256sum(1) gives it, without reading the holes of it. Decides nothing.

use std::path::Path;

use sha2::{Digest, Sha256};
use xenup_system::disk_copy;
use xenup_system::files::{self, FileError};

use crate::identity::hex;

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Returns 64 hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn of_file(path: &Path) -> Result<String, FileError> {
    let mut sum = Sha256::new();
    let mut at = 0;
    disk_copy::each_data_block(path, &mut |place, block| {
        zeros(&mut sum, place - at);
        sum.update(block);
        at = place + block.len() as u64;
    })?;
    zeros(&mut sum, files::size(path)?.saturating_sub(at));
    Ok(hex(sum.finalize().as_ref()))
}

fn zeros(sum: &mut Sha256, mut count: u64) {
    while count > 0 {
        let part = count.min(ZEROS.len() as u64);
        sum.update(ZEROS.get(..part as usize).unwrap_or(&ZEROS));
        count -= part;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes a file with holes")]
mod tests {
    use super::*;
    use crate::identity::sha256_hex;

    #[test]
    fn holes_and_blocks_of_zeros_are_read_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        for (size, data) in [(0, 0), (1, 0), (5000, 0), (1 << 20, 300_000), (3 << 20, 4096), (70_001, 69_999)]
        {
            let mut bytes = vec![0; size];
            std::fs::File::create(&path).unwrap().set_len(size as u64).unwrap();
            if let Some(byte) = bytes.get_mut(data) {
                *byte = 7;
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                std::os::unix::fs::FileExt::write_at(&file, &[7], data as u64).unwrap();
            }
            assert_eq!(of_file(&path).unwrap(), sha256_hex(&bytes), "{size} {data}");
        }
    }
}
