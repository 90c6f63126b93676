//! An installer medium: one ISO that BIOS and UEFI start, from a CD or a USB stick, with the disk of a host as chunks.
//!
//! It decides how the disk is cut and packed, what the medium's initramfs holds beside Debian's own, and how the ISO is put
//! together; the same input gives the same bytes. What the program on it asks and does is not decided here
//! ([`crate::install`]).

mod initramfs;
mod iso;
mod pack;

use std::path::{Path, PathBuf};

use xenup_core::install::manifest::FORMAT;
use xenup_core::install::{Made, Manifest};
use xenup_system::files;
use xenup_system::tree::TreeFiles;

use crate::disk::Layout;
use crate::error::ImageError;
use crate::identity::sha256_hex;
use crate::progress::Steps;
use crate::spec::{Serial, Suite};

/// Programs beside those of an image, and the Debian packages that have them.
pub(crate) const ALSO_REQUIRED: &[(&str, &str)] =
    &[("xorriso", "xorriso"), ("zstd", "zstd"), ("mkfs.vfat", "dosfstools"), ("mcopy", "mtools")];

/// Where things lie on the medium.
pub const FOLDER: &str = "xenup";
/// The chunks.
pub const CHUNKS: &str = "xenup/disk";
/// What they are.
pub const MANIFEST: &str = "xenup/manifest.json";
/// Answers that come with the medium.
pub const ANSWERS: &str = "xenup/answers.toml";

/// What a medium is to be, beside the host's disk.
#[derive(Debug, Clone)]
pub struct MediumSpec {
    /// From what the disk's files are made.
    pub made: Made,
    /// answers.toml's bytes, where the medium answers for itself.
    pub answers: Option<Vec<u8>>,
}

/// The finished disk and the tree that it was made of.
pub(crate) struct Parts<'a> {
    pub suite: Suite,
    pub serial: Option<Serial>,
    pub work: &'a Path,
    pub root: &'a Path,
    pub tree: &'a TreeFiles,
    pub raw: &'a Path,
    pub layout: &'a Layout,
    pub epoch: u64,
    pub archive: &'a str,
}

/// Makes the ISO as a file of the work directory and returns its path.
pub(crate) fn make(
    spec: &MediumSpec,
    parts: &Parts<'_>,
    steps: &mut Steps<'_>,
) -> Result<PathBuf, ImageError> {
    let folder = parts.work.join("medium");
    files::create_dir_all(&folder.join(FOLDER))?;
    let chunks = steps
        .run("chunks", |_| pack::pack(parts.raw, parts.layout.disk, &folder.join(CHUNKS), parts.work))?;
    let mut manifest = Manifest {
        format: FORMAT,
        id: String::new(),
        system: parts.suite.title().to_owned(),
        archive: parts.archive.to_owned(),
        disk: parts.layout.disk,
        root: parts.layout.root.offset,
        made: spec.made.clone(),
        chunks,
    };
    // Of all that it carries: two media with one id are the same.
    let all = serde_json::to_vec(&manifest).map_err(crate::spec::SpecError::Digest)?;
    manifest.id = sha256_hex(&all).get(..16).unwrap_or_default().to_owned();
    let text = serde_json::to_vec(&manifest).map_err(crate::spec::SpecError::Digest)?;
    files::write(&folder.join(MANIFEST), &text)?;
    files::write(&folder.join(FOLDER).join(&manifest.id), b"")?;
    if let Some(answers) = &spec.answers {
        files::write(&folder.join(ANSWERS), answers)?;
    }
    steps.run("packed disk read back", |_| pack::check(&folder.join(CHUNKS), &manifest))?;
    steps.run("installer's initramfs", |_| initramfs::make(parts, &manifest, &text, &folder))?;
    steps.run("medium", |_| iso::make(parts, &manifest, &folder))
}
