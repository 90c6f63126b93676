//! What a build leaves beside its files: of a build under way, and of a finished kernel.
//!
//! Decides: the form, and which names a result may have. Never: trusts a record: the files are compared with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xenup_engine::digest::Digest;

use crate::kernel::role::Role;

/// The format of both.
pub const FORMAT: u32 = 1;
/// The name of a result's record.
pub const RESULT: &str = "kernel.json";

/// A build, in its own folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`FORMAT`].
    pub format: u32,
    /// The source's files: names, sizes, times.
    pub tree: Digest,
    /// The configuration.
    pub config: Digest,
    /// Whether image and packages are finished.
    pub done: bool,
}

/// A kernel that was built, in a folder with its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// [`FORMAT`].
    pub format: u32,
    /// The role: `domU-minimal`.
    pub role: String,
    /// The additions.
    pub with: Vec<String>,
    /// What `uname -r` will say.
    pub release: String,
    /// The packages' version.
    pub version: String,
    /// What it was built to be, and can be.
    pub plays: Vec<Role>,
    /// The image's name.
    pub image: String,
    /// Its configuration's name.
    pub config: String,
    /// The packages' names.
    pub packages: Vec<String>,
    /// The digest of each file.
    pub files: BTreeMap<String, Digest>,
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoRecord {
    /// It is damaged.
    #[error("is no record of a build: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("has format {0}, and this version reads format {FORMAT}")]
    Format(u32),
    /// It names something outside its folder.
    #[error("names `{}`, which is no file of its folder", .0.escape_debug())]
    Name(String),
    /// It has no digest of a file.
    #[error("has no digest of {0}")]
    Digest(String),
}

impl Built {
    /// Reads a record.
    ///
    /// # Errors
    /// It is damaged, of another format, or names what is not in its own folder.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoRecord> {
        let built: Self = serde_json::from_slice(bytes)?;
        if built.format != FORMAT {
            return Err(NoRecord::Format(built.format));
        }
        let named = [&built.image, &built.config].into_iter().chain(&built.packages);
        for name in named.clone().chain([&built.release]).chain(built.files.keys()) {
            if !is_name(name) {
                return Err(NoRecord::Name(name.clone()));
            }
        }
        let without = named.into_iter().find(|name| !built.files.contains_key(*name)).cloned();
        match without {
            Some(name) => Err(NoRecord::Digest(name)),
            None => Ok(built),
        }
    }
}

/// Returns whether a text is the name of a file or folder that needs no quoting in a shell or in a guest's file.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte);
    text.len() <= 200 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::{Built, is_name};

    const GOOD: &str = r#"{"format":1,"role":"domU-minimal","with":[],"release":"6.1.192-domu-minimal",
        "version":"6.1.192+c0-1","plays":["pv","pvh"],"image":"vmlinuz","config":"config","packages":[],
        "files":{"vmlinuz":"DIGEST","config":"DIGEST"}}"#;

    fn read(from: &str, to: &str) -> Result<Built, String> {
        let digest = xenup_engine::digest::Digest::of(b"x");
        let text = GOOD.replace(from, to).replace("DIGEST", digest.as_str());
        Built::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_record_stays_within_its_folder() {
        assert_eq!(read("", "").unwrap().release, "6.1.192-domu-minimal");
        assert_eq!(
            read("\"format\":1", "\"format\":2").unwrap_err(),
            "has format 2, and this version reads format 1"
        );
        let outside = read("\"image\":\"vmlinuz\"", "\"image\":\"../vmlinuz\"").unwrap_err();
        assert_eq!(outside, "names `../vmlinuz`, which is no file of its folder");
        assert_eq!(
            read("\"image\":\"vmlinuz\"", "\"image\":\"other\"").unwrap_err(),
            "has no digest of other"
        );
        assert!(read("\"format\"", "\"shape\"").is_err());
    }

    #[test]
    fn names_need_no_quotes() {
        for name in ["6.1.192-domu-minimal", "linux-image-6.1_6.1+c0-1_amd64.deb", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "-rf", "\u{e4}"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
