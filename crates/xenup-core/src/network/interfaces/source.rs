//! Where the interfaces files come from: a machine, or the facts that `inspect` kept of it.
//!
//! Decides: how much of a file is read, and what an error of the machine means to the tree. Never: judges what a file
//! says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use xenup_machine::{MachineError, Probe, Reason};

use super::error::{InterfacesError, Place};
use super::tree::{Files, InterfacesTree, load};
use crate::inspect::facts::{At, ConfigFile};

/// ifupdown's first file.
pub const MAIN: &str = "/etc/network/interfaces";
/// Larger than any interfaces file; a device named by mistake must not be read for ever.
const LONGEST: u64 = 1 << 20;

struct Machine<'a>(&'a dyn Probe);

impl Files for Machine<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path, LONGEST).map_err(as_io)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.0.list(path).map_err(as_io)
    }
}

fn as_io(error: MachineError) -> io::Error {
    let kind = match error.reason {
        Reason::NotFound => io::ErrorKind::NotFound,
        Reason::Denied => io::ErrorKind::PermissionDenied,
        Reason::TooLarge => io::ErrorKind::FileTooLarge,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.words)
}

/// Reads a machine's interfaces files.
///
/// # Errors
/// As [`load`].
pub fn load_of(probe: &dyn Probe) -> Result<InterfacesTree, InterfacesError> {
    load(&Machine(probe), Path::new(MAIN))
}

/// Returns the files that were kept, by path, as [`load`] takes them.
#[must_use]
pub fn by_path(files: &[ConfigFile]) -> BTreeMap<PathBuf, Vec<u8>> {
    files.iter().map(|file| (file.path.clone(), file.text.clone().into_bytes())).collect()
}

impl From<&Place> for At {
    fn from(place: &Place) -> Self {
        // A file of a MiB has fewer lines.
        Self { path: place.path.clone(), line: u32::try_from(place.line).unwrap_or(0) }
    }
}
