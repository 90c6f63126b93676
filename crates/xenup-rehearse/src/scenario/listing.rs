//! Reads a file system as a list of its paths, with the programs that every Debian has.
//!
//! Decides how each path is asked for. Never: what of it counts (`tree` does), or crosses into another file system.

use std::path::Path;
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;

use super::failure::Failure;
use super::tree::{self, Tree};
use crate::error::during;

/// Reading and digesting a gigabyte, on a slow disk, three times over.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Lists the working directory into the three files of the directory that is the third argument.
pub(super) const LIST_HERE: &str = r#"
find . -xdev -mindepth 1 -printf '%y %m %U:%G %T@ %P\0%l\0' > "$3/entries"
find . -xdev -type f -print0 | xargs -0 sha256sum -z > "$3/digests"
getfattr -R -P -h -d -m - . > "$3/xattrs" 2> /dev/null || echo '# getfattr is not installed' > "$3/unread"
"#;

/// A file system as it lies on a disk.
#[derive(Debug)]
pub struct Listing {
    /// Its paths.
    pub tree: Tree,
    /// Whether extended attributes were read (getfattr(1) may be missing).
    pub xattrs: bool,
}

impl Listing {
    /// Lists what is below `root`, with scratch files in the new directory `work`.
    ///
    /// # Errors
    /// A tree that cannot be read, or scratch files that cannot be written.
    pub fn of(root: &Path, work: &Path) -> Result<Self, Failure> {
        files::create_dir_all(work)?;
        Tool::new("sh")
            .arg("-euc")
            .arg(LIST_HERE)
            .args(["list", "", ""])
            .arg(work)
            .current_dir(root)
            .timeout(LIMIT)
            .run()
            .map_err(during("list the tree"))?;
        let listing = Self::read(work)?;
        files::remove_dir_all(work)?;
        Ok(listing)
    }

    /// Reads the files that [`LIST_HERE`] wrote.
    pub(super) fn read(here: &Path) -> Result<Self, Failure> {
        let read = |file: &str| files::read(&here.join(file));
        let tree = tree::parse(&read("entries")?, &read("digests")?, &read("xattrs")?)?;
        Ok(Self { tree, xattrs: !files::exists(&here.join("unread")) })
    }
}
