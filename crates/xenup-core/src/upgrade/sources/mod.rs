//! apt's sources for another release, made of the machine's own (sources.list(5), both styles).
//!
//! Decides: which entries are Debian's, what each suite is called in the other release, and what is left out. Every byte
//! that does not have to change stays: mirrors, options, keys, comments. Never: writes a file, asks an archive, or
//! thinks a mirror up.
//!
//! Reading order: [`suite`] (names) → `line` and `stanza` (the two styles) → [`derive`].

mod line;
mod stanza;
pub mod suite;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::{Probe, Reason};

use crate::audit::target;
use crate::inspect::facts::{AptSource, At};

use suite::Renamed;

/// apt's own files.
const MAIN: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";
/// More than any list of sources has.
const LIMIT: u64 = 1 << 20;

/// A file of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where apt reads it.
    pub path: PathBuf,
    /// What stands in it. A byte that is no UTF-8 has no place in apt's files.
    pub text: String,
}

impl SourceFile {
    fn is_deb822(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "sources")
    }
}

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// It names the other release.
    Switched {
        /// The suite's name there.
        to: String,
    },
    /// It names the other release already.
    Kept,
    /// It is switched off.
    LeftOut {
        /// Why.
        why: String,
    },
}

/// An entry: one address and one suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Where it stands.
    pub at: At,
    /// The address.
    pub uri: String,
    /// The suite as it stands there.
    pub suite: String,
    /// Who publishes it, by its Release file; absent where apt never fetched one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether binary packages come from it; otherwise sources alone.
    pub binary: bool,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Entry {
    /// Returns whether packages of the other release come from it.
    #[must_use]
    pub fn brings_packages(&self) -> bool {
        self.binary && !matches!(self.fate, Fate::LeftOut { .. })
    }
}

/// The sources of the other release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// Every file, changed or not.
    pub files: Vec<SourceFile>,
    /// Every entry that was in use, in the order in which apt reads them.
    pub entries: Vec<Entry>,
}

/// From which release to which, and what is known of the entries.
pub(super) struct Switch<'a> {
    from: &'a target::Suite,
    to: &'a target::Suite,
    known: &'a [AptSource],
}

/// Reads the machine's files of sources, in apt's order.
///
/// # Errors
/// A file that cannot be read, or has bytes that are no UTF-8: what it says would be missing. Names it.
pub fn read(probe: &dyn Probe) -> Result<Vec<SourceFile>, String> {
    let mut paths = vec![PathBuf::from(MAIN)];
    match probe.list(Path::new(PARTS)) {
        Ok(names) => paths
            .extend(names.into_iter().filter(|name| is_read(name)).map(|name| Path::new(PARTS).join(name))),
        Err(error) if error.reason == Reason::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    let mut files = Vec::new();
    for path in paths {
        match probe.read(&path, LIMIT) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes)
                    .map_err(|error| format!("{}: {}", path.display(), error.utf8_error()))?;
                files.push(SourceFile { path, text });
            }
            Err(error) if error.reason == Reason::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(files)
}

/// Names that apt reads in sources.list.d: `.list` and `.sources`, of letters, digits, `_`, `-` and `.`.
fn is_read(name: &std::ffi::OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.starts_with('.')
        && name.chars().all(plain)
        && (name.ends_with(".list") || name.ends_with(".sources"))
}

/// Returns the sources of the release `to`, made of those of `from`; `known` says who publishes an entry.
#[must_use]
pub fn derive(
    files: &[SourceFile],
    known: &[AptSource],
    from: &target::Suite,
    to: &target::Suite,
) -> Derived {
    let switch = Switch { from, to, known };
    let mut derived = Derived::default();
    for file in files {
        let (text, entries) = if file.is_deb822() {
            stanza::switched(&file.path, &file.text, &switch)
        } else {
            line::switched(&file.path, &file.text, &switch)
        };
        derived.files.push(SourceFile { path: file.path.clone(), text });
        derived.entries.extend(entries);
    }
    derived
}

impl Switch<'_> {
    /// Returns who publishes an entry and what becomes of it; `signed_by` is what the entry says of its keys.
    fn judge(&self, uri: &str, suite: &str, signed_by: &str) -> (Option<String>, Fate) {
        let known = self.known.iter().find(|source| source.uri == uri && source.suite == suite);
        let origin = known.and_then(|source| source.origin.clone());
        let fate = match self.foreign(uri, suite, signed_by, origin.as_deref()) {
            Some(why) => Fate::LeftOut { why },
            None => match suite::renamed(suite, self.from, self.to) {
                Renamed::Same => Fate::Kept,
                Renamed::To(to) => Fate::Switched { to },
                Renamed::No(why) => Fate::LeftOut { why: why.to_owned() },
            },
        };
        (origin, fate)
    }

    /// Returns why an entry is not Debian's own archive; `None` where it is.
    fn foreign(&self, uri: &str, suite: &str, signed_by: &str, origin: Option<&str>) -> Option<String> {
        if uri.starts_with("cdrom:") {
            return Some("it is a disc, and the other release is not on it".to_owned());
        }
        if let Some(origin) = origin {
            // "Debian", "Debian Backports", "Debian debug".
            let debian = origin == "Debian" || origin.starts_with("Debian ");
            return (!debian).then(|| format!("{origin} publishes it, not Debian"));
        }
        let base = uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let by_key = signed_by.contains("debian-archive-");
        let by_name = signed_by.is_empty()
            && ["debian", "debian-security", "debian-debug"].contains(&base)
            && !matches!(suite::renamed(suite, self.from, self.to), Renamed::No(_));
        (!by_key && !by_name).then(|| "apt never fetched it, and nothing says that it is Debian's".to_owned())
    }
}
