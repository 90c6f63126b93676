//! A disk as chunks, each compressed by itself. Decides nothing about where they are cut: that is the manifest's.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use xenup_core::install::manifest::cut;
use xenup_core::install::{Chunk, Manifest};
use xenup_system::files::{self, DiskFile};
use xenup_system::parallel;
use xenup_system::process::Tool;

use crate::error::{ImageError, during};
use crate::identity::hex;
use crate::install::MediumFile;

const LIMIT: Duration = Duration::from_secs(600);
/// zstd's level: above it the time doubles for a hundredth of the size.
const LEVEL: &str = "-12";

/// Writes the chunks of a disk that are not all zeros one behind the other to `out`, and returns them.
pub(super) fn pack(disk: &Path, size: u64, out: &Path, work: &Path) -> Result<Vec<Chunk>, ImageError> {
    let parts = cut(size);
    let scratch = work.join("chunks");
    files::create_dir_all(&scratch)?;
    let packed = parallel::map(&parts, |part| pack_one(disk, *part, &scratch));
    let mut chunks = Vec::new();
    let mut behind = 0;
    files::write(out, b"")?;
    for one in packed.into_iter().map(|one| one.unwrap_or(Err(lost(out)))) {
        let Some(mut chunk) = one? else { continue };
        let file = scratch.join(chunk.at.to_string());
        files::append(out, &files::read(&file)?)?;
        files::remove_file(&file)?;
        chunk.packed_at = behind;
        behind += chunk.packed;
        chunks.push(chunk);
    }
    files::remove_dir_all(&scratch)?;
    Ok(chunks)
}

/// A thread of the work fell, which has said why.
fn lost(out: &Path) -> ImageError {
    ImageError::Incomplete { what: "chunk that was packed", path: out.to_owned() }
}

fn pack_one(disk: &Path, (at, length): (u64, u64), scratch: &Path) -> Result<Option<Chunk>, ImageError> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    DiskFile::open(disk)?.read_at(at, &mut bytes)?;
    if at > 0 && bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let sha256 = hex(Sha256::digest(&bytes).as_ref());
    let said = Tool::new("zstd")
        .args(["--quiet", LEVEL, "--stdout", "-"])
        .stdin(bytes)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("compressing the disk (zstd)"))?;
    files::write(&scratch.join(at.to_string()), &said.stdout)?;
    Ok(Some(Chunk { at, length, packed_at: 0, packed: said.stdout.len() as u64, sha256 }))
}

/// Unpacks every chunk as the installer will, and compares digests.
pub(super) fn check(file: &Path, manifest: &Manifest) -> Result<(), ImageError> {
    let damaged = |what: String| ImageError::NotWritten { path: file.to_owned(), what };
    let medium = MediumFile::open(file)?;
    let all = parallel::map(&manifest.chunks, |chunk| medium.read(chunk).map(drop));
    for one in all {
        one.unwrap_or(Ok(())).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(())
}
