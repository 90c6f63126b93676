//! What a tree of files is, so that it can be told whether it is still that: names, sizes, modes and times; contents are
//! not read.
//!
//! Decides: what counts. Folders' own times do not, nor what Python leaves beside its programs when it runs them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::files::{FileError, on};

/// What Python writes.
const COMPILED: &str = "__pycache__";

/// Returns a line for every file and link below `root`: its name, size, mode and modification time, in the order of names.
///
/// # Errors
/// A folder cannot be listed, or an entry goes away meanwhile.
pub fn tree_listing(root: &Path) -> Result<Vec<u8>, FileError> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(on("list", &folder))? {
            let path = entry.map_err(on("list", &folder))?.path();
            let meta = fs::symlink_metadata(&path).map_err(on("look at", &path))?;
            if meta.is_dir() {
                if path.file_name().is_none_or(|name| name != COMPILED) {
                    folders.push(path);
                }
                continue;
            }
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let mut line = inside.as_os_str().as_encoded_bytes().to_vec();
            let mut rest = String::new();
            let time = (meta.mtime(), meta.mtime_nsec());
            let _ = writeln!(rest, "\0{} {:o} {}.{:09}", meta.len(), meta.mode(), time.0, time.1);
            line.extend_from_slice(rest.as_bytes());
            lines.push(line);
        }
    }
    lines.sort();
    Ok(lines.concat())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::tree_listing;

    #[test]
    fn what_changes_in_a_tree_shows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("kernel")).unwrap();
        fs::write(at("kernel/fork.c"), "int fork;\n").unwrap();
        let first = tree_listing(folder.path()).unwrap();
        fs::create_dir(at("kernel/__pycache__")).unwrap();
        fs::write(at("kernel/__pycache__/x.pyc"), "x").unwrap();
        assert_eq!(tree_listing(folder.path()).unwrap(), first);
        fs::write(at("kernel/fork.c"), "int forks;\n").unwrap();
        let second = tree_listing(folder.path()).unwrap();
        assert_ne!(second, first);
        fs::rename(at("kernel/fork.c"), at("kernel/spoon.c")).unwrap();
        assert_ne!(tree_listing(folder.path()).unwrap(), second);
    }
}
