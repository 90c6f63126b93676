//! Paths in JSON: bytes that are no UTF-8 become U+FFFD, as in the text that is printed, and no report fails for a name.
//!
//! Decides: how a path of a report is written. Never: used for a path that something is to be done with, as a plan's are.

use std::path::{Path, PathBuf};

use serde::Serializer;

pub(crate) fn one<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

pub(crate) fn perhaps<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.serialize_some(&path.to_string_lossy()),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn many<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
