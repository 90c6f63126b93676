//! Bases that are kept: their names, what is known of them, and whether one may still be taken.
//!
//! It decides what two bases are the same for (suite, packages, mirror, recipe), when one is too old, and whether
//! somebody wrote to it. A base is trusted while its file's marks are those it was kept with; where they differ (it was
//! copied, say) its digest decides.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xenup_system::disk_copy::{self, Seal};
use xenup_system::files::{self, FileError};

use super::base::Base;
use crate::error::ImageError;
use crate::identity::{hex, sha256_hex};
use crate::mirror::Mirror;
use crate::spec::{SpecError, Suite};

/// Counts up with every change of how a base is made, so that older kept ones are not taken.
const RECIPE: u32 = 2;
/// A base older than this is made anew: it lacks the security updates of a week.
const FRESH_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of a base; kept beside it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct About {
    /// The release.
    pub suite: Suite,
    /// The packages that were named.
    pub packages: Vec<String>,
    /// The root file system's UUID, which grub.cfg names.
    pub file_system: String,
    /// /boot/grub/grub.cfg.
    pub grub_config: String,
    /// The kernels.
    pub kernels: Vec<String>,
    /// The SHA-256 of the archive's Release files that its packages came from.
    pub archive: String,
    /// The SHA-256 of its blocks that are not zero, each with its place.
    pub digest: String,
    /// The marks of its file when the digest was last right.
    pub seal: Option<Seal>,
}

impl About {
    pub(super) fn new(
        suite: Suite,
        packages: &[String],
        file_system: String,
        grub_config: String,
        kernels: Vec<String>,
        archive: String,
    ) -> Self {
        let (digest, seal) = (String::new(), None);
        let packages = packages.to_vec();
        Self { suite, packages, file_system, grub_config, kernels, archive, digest, seal }
    }
}

/// The name of a base's file without its ending.
pub(super) fn file_name(suite: Suite, packages: &[String], mirror: &Mirror) -> Result<String, ImageError> {
    let key = serde_json::json!({ "recipe": RECIPE, "suite": suite, "packages": packages, "mirror": mirror });
    let digest = sha256_hex(&serde_json::to_vec(&key).map_err(SpecError::Digest)?);
    Ok(format!("base-{}-{}", suite.name(), digest.get(..16).unwrap_or(&digest)))
}

fn paths(cache: &Path, name: &str) -> (PathBuf, PathBuf) {
    (cache.join(format!("{name}.img")), cache.join(format!("{name}.json")))
}

/// Returns the base of that name, where one is kept whole; half of one is removed when another is kept.
pub(super) fn find(cache: &Path, name: &str) -> Result<Option<Base>, ImageError> {
    let (image, beside) = paths(cache, name);
    if !files::exists(&image) || !files::exists(&beside) {
        return Ok(None);
    }
    let damaged = |why: String| ImageError::Base { image: image.clone(), beside: beside.clone(), why };
    let mut about: About =
        serde_json::from_slice(&files::read(&beside)?).map_err(|error| damaged(error.to_string()))?;
    let seal = Seal::of(&image)?;
    if about.seal.as_ref() != Some(&seal) {
        let now = digest(&image)?;
        if now != about.digest {
            return Err(damaged(format!("its digest is {now}, and was {}", about.digest)));
        }
        about.seal = Some(seal);
        // Where the marks cannot be written, by a user who only looks, the digest is computed the next time too.
        let _ = write_about(&beside, &about);
    }
    Ok(Some(Base { image, about, kept: true }))
}

/// Keeps a base that was just made, in the place of one of that name.
pub(super) fn keep(cache: &Path, name: &str, made: &Path, mut about: About) -> Result<Base, ImageError> {
    let (image, beside) = paths(cache, name);
    about.digest = digest(made)?;
    files::remove_file(&beside)?;
    files::rename_unsynced(made, &image)?;
    about.seal = Some(Seal::of(&image)?);
    write_about(&beside, &about)?;
    Ok(Base { image, about, kept: false })
}

fn write_about(beside: &Path, about: &About) -> Result<(), ImageError> {
    let text = serde_json::to_vec_pretty(about).map_err(SpecError::Digest)?;
    Ok(files::write_atomic(beside, &text, 0o644)?)
}

/// Removes bases that are too old.
pub(super) fn forget_old(cache: &Path) -> Result<(), FileError> {
    for path in files::list(cache)? {
        let is_image = path.extension().is_some_and(|ending| ending == "img");
        if is_image && files::age(&path)? >= FRESH_FOR {
            files::remove_file(&path.with_extension("json"))?;
            files::remove_file(&path)?;
        }
    }
    Ok(())
}

fn digest(image: &Path) -> Result<String, FileError> {
    let mut sum = Sha256::new();
    sum.update(files::size(image)?.to_le_bytes());
    disk_copy::each_data_block(image, &mut |place, block| {
        sum.update(place.to_le_bytes());
        sum.update(block);
    })?;
    Ok(hex(sum.finalize().as_ref()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test writes to what is kept")]
mod tests {
    use super::*;

    fn kept(cache: &Path) -> Base {
        let made = cache.join("made");
        std::fs::write(&made, vec![7; 20_000]).unwrap();
        let about =
            About::new(Suite::Trixie, &[], "uuid".into(), "grub".into(), Vec::new(), "archive".into());
        keep(cache, "base", &made, about).unwrap()
    }

    #[test]
    fn a_base_is_found_as_it_was_kept() {
        let cache = tempfile::tempdir().unwrap();
        let made = kept(cache.path());
        let found = find(cache.path(), "base").unwrap().unwrap();
        assert_eq!((found.about, found.kept), (made.about, true));
        assert!(find(cache.path(), "another").unwrap().is_none());
    }

    #[test]
    fn a_base_that_was_copied_is_known_by_its_digest() {
        let cache = tempfile::tempdir().unwrap();
        let made = kept(cache.path());
        std::fs::copy(&made.image, cache.path().join("copy")).unwrap();
        std::fs::rename(cache.path().join("copy"), &made.image).unwrap();
        let found = find(cache.path(), "base").unwrap().unwrap();
        assert_ne!(found.about.seal, made.about.seal);
        assert_eq!(found.about.digest, made.about.digest);
    }

    #[test]
    fn a_base_that_somebody_wrote_to_is_refused_with_what_to_do() {
        let cache = tempfile::tempdir().unwrap();
        let made = kept(cache.path());
        std::fs::write(&made.image, vec![8; 20_000]).unwrap();
        let error = find(cache.path(), "base").unwrap_err();
        assert!(error.to_string().contains("its digest is"), "{error}");
        assert!(error.hint().unwrap().starts_with("rm "));
        std::fs::write(made.image.with_extension("json"), "{").unwrap();
        assert!(find(cache.path(), "base").is_err());
    }

    #[test]
    fn half_of_a_base_is_none() {
        let cache = tempfile::tempdir().unwrap();
        let made = kept(cache.path());
        std::fs::remove_file(made.image.with_extension("json")).unwrap();
        assert!(find(cache.path(), "base").unwrap().is_none());
    }

    #[test]
    fn a_base_of_last_month_is_forgotten() {
        let cache = tempfile::tempdir().unwrap();
        let made = kept(cache.path());
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
        std::fs::File::options().write(true).open(&made.image).unwrap().set_modified(old).unwrap();
        forget_old(cache.path()).unwrap();
        assert!(!files::exists(&made.image) && !files::exists(&made.image.with_extension("json")));
    }
}
