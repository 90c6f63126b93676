//! The version in Cargo.toml and in the lock files.
//!
//! Decides: which entries are the workspace's own. Never rewrites anything else: the files keep their layout.

use toml_edit::{DocumentMut, value};

/// A file in which no version can be set.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// Not three numbers.
    #[error("`{version}` is no version\nhint: three numbers, for instance 0.2.0")]
    Form {
        /// What was given.
        version: String,
    },
    /// Not TOML.
    #[error("{file} cannot be read")]
    Toml {
        /// The file's name.
        file: &'static str,
        /// Where and why.
        #[source]
        source: toml_edit::TomlError,
    },
    /// The workspace has no version.
    #[error("Cargo.toml has no version in [workspace.package]")]
    NoVersion,
}

/// Returns the version, if it is three numbers: what Semantic Versioning and Debian order alike.
///
/// # Errors
/// It is not.
pub fn checked(version: &str) -> Result<&str, VersionError> {
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    if version.split('.').count() == 3 && version.split('.').all(number) {
        Ok(version)
    } else {
        Err(VersionError::Form { version: version.to_owned() })
    }
}

/// Returns Cargo.toml with the workspace's version set, and the version that it had.
///
/// # Errors
/// It is not TOML, or has no version.
pub fn in_manifest(text: &str, version: &str) -> Result<(String, String), VersionError> {
    let mut document = parsed("Cargo.toml", text)?;
    let own = document
        .get_mut("workspace")
        .and_then(|workspace| workspace.get_mut("package"))
        .and_then(|package| package.get_mut("version"))
        .ok_or(VersionError::NoVersion)?;
    let old = own.as_str().unwrap_or_default().to_owned();
    *own = value(version);
    Ok((document.to_string(), old))
}

/// Returns a Cargo.lock in which the crates of this project (they have no source) go from the old version to the new.
///
/// # Errors
/// It is not TOML.
pub fn in_lock(text: &str, old: &str, version: &str) -> Result<String, VersionError> {
    let mut document = parsed("Cargo.lock", text)?;
    let packages = document.get_mut("package").and_then(|packages| packages.as_array_of_tables_mut());
    for package in packages.into_iter().flat_map(|packages| packages.iter_mut()) {
        let ours = !package.contains_key("source");
        if ours && package.get("version").and_then(|item| item.as_str()) == Some(old) {
            package.insert("version", value(version));
        }
    }
    Ok(document.to_string())
}

fn parsed(file: &'static str, text: &str) -> Result<DocumentMut, VersionError> {
    text.parse().map_err(|source| VersionError::Toml { file, source })
}

#[cfg(test)]
mod tests {
    use super::{checked, in_lock, in_manifest};
    use xenup_system::files;

    #[test]
    fn a_version_is_three_numbers() {
        for good in ["0.1.0", "10.20.30"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.02.3", "1.2.3-1", "1..3", "v1.2.3"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    /// The project's own files: nothing but versions differs, line by line.
    #[test]
    fn only_the_versions_of_our_crates_change() {
        let read = |name: &str| files::read_text(&crate::project().join(name)).unwrap();
        let (manifest, old) = in_manifest(&read("Cargo.toml"), "99.88.77").unwrap();
        let changed = |before: &str, after: &str| {
            assert_eq!(before.lines().count(), after.lines().count());
            let pairs: Vec<_> =
                before.lines().zip(after.lines()).filter(|(one, other)| one != other).collect();
            assert!(pairs.iter().all(|(_, after)| *after == "version = \"99.88.77\""), "{pairs:?}");
            pairs.len()
        };
        assert_eq!(changed(&read("Cargo.toml"), &manifest), 1);
        let members = files::list(&crate::project().join("crates")).unwrap().len() + 1;
        let lock = read("Cargo.lock");
        assert_eq!(changed(&lock, &in_lock(&lock, &old, "99.88.77").unwrap()), members);
    }
}
