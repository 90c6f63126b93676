//! Files of a system in the making (an image's root directory), by whole operations: read, write, replace, list.
//!
//! Every path is resolved inside the tree, as [`Root::confined`] does it. It decides nothing about content, and never
//! syncs or journals: a tree that is not finished is thrown away. The running machine is changed through `Machine`.

use std::path::{Component, Path, PathBuf};

use rustix::fs::AtFlags;
pub use xenup_machine::MachineError as TreeError;
use xenup_machine::Reason;
use xenup_machine::file::Attributes;

use crate::root::Root;

/// The largest file that is read into memory, in bytes; a GRUB image has less than one MiB, grub.cfg much less.
const READ_LIMIT: u64 = 64 << 20;

/// The root directory of a system in the making.
#[derive(Debug)]
pub struct TreeFiles {
    root: Root,
}

impl TreeFiles {
    /// Opens the tree whose root directory is `path`.
    ///
    /// # Errors
    /// As [`Root::confined`].
    pub fn open(path: &Path) -> Result<Self, TreeError> {
        Ok(Self { root: Root::confined(path)? })
    }

    /// Where the tree lies on this machine, for programs that are started in it (chroot).
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.base()
    }

    /// The whole content of a file, at most 64 MiB.
    ///
    /// # Errors
    /// It is not there, no file, larger, or cannot be read.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, TreeError> {
        self.root.read(path, READ_LIMIT)
    }

    /// The whole content of a text file.
    ///
    /// # Errors
    /// As [`TreeFiles::read`]; bytes that are not UTF-8.
    pub fn read_text(&self, path: &Path) -> Result<String, TreeError> {
        String::from_utf8(self.read(path)?)
            .map_err(|error| TreeError::at("read", path, Reason::Other, error.to_string()))
    }

    /// Whether something stands at the path; a link counts, wherever it leads.
    ///
    /// # Errors
    /// The path cannot be looked up.
    pub fn exists(&self, path: &Path) -> Result<bool, TreeError> {
        Ok(self.root.entry(path)?.is_some())
    }

    /// The names in a directory that are UTF-8, sorted.
    ///
    /// # Errors
    /// It is not there, no directory, or cannot be read.
    pub fn names(&self, path: &Path) -> Result<Vec<String>, TreeError> {
        let mut names: Vec<_> =
            self.root.list(path)?.into_iter().filter_map(|n| n.into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// Puts a file of root's with exactly these permission bits at the path; missing directories are made with mode
    /// 0755. A file or link that was there is replaced and not followed.
    ///
    /// # Errors
    /// A directory stands there, or the file system refuses.
    pub fn write(&self, path: &Path, mode: u32, bytes: &[u8]) -> Result<(), TreeError> {
        self.clear(path)?;
        self.root.create_file(path, bytes, &Attributes::root(mode))
    }

    /// Gives a file that is there another content; owner, mode and extended attributes stay.
    ///
    /// # Errors
    /// It is not there, or the file system refuses.
    pub fn rewrite(&self, path: &Path, bytes: &[u8]) -> Result<(), TreeError> {
        let entry = self
            .root
            .entry(path)?
            .ok_or_else(|| TreeError::at("write", path, Reason::NotFound, "it is not there"))?;
        self.clear(path)?;
        self.root.create_file(path, bytes, &Attributes { mtime: None, ..entry.attributes })
    }

    /// Makes a symbolic link, replacing a file or link that was there.
    ///
    /// # Errors
    /// As [`TreeFiles::write`].
    pub fn symlink(&self, target: &Path, path: &Path) -> Result<(), TreeError> {
        self.clear(path)?;
        self.root.create_symlink(path, target, &Attributes::root(0o777))
    }

    /// Makes a directory of root's with exactly these permission bits, and missing ones above it with mode 0755. One
    /// that is there gets the bits and keeps the rest.
    ///
    /// # Errors
    /// Something else stands there, or the file system refuses.
    pub fn directory(&self, path: &Path, mode: u32) -> Result<(), TreeError> {
        self.above(path)?;
        match self.root.entry(path)? {
            None => self.root.create_dir(path, &Attributes::root(mode)),
            Some(entry) => {
                self.root.set_attributes(path, &Attributes { mode, mtime: None, ..entry.attributes })
            }
        }
    }

    /// Removes a file or link; `false` where there was none.
    ///
    /// # Errors
    /// A directory stands there, or the file system refuses.
    pub fn remove_file(&self, path: &Path) -> Result<bool, TreeError> {
        match self.root.entry(path)? {
            None => Ok(false),
            Some(_) => self.root.remove(path, AtFlags::empty()).map(|()| true),
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is not there, not empty, or the file system refuses.
    pub fn remove_directory(&self, path: &Path) -> Result<(), TreeError> {
        self.root.remove(path, AtFlags::REMOVEDIR)
    }

    /// Renames within the tree, replacing a file that was there.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), TreeError> {
        self.root.rename(from, to)
    }

    fn clear(&self, path: &Path) -> Result<(), TreeError> {
        self.above(path)?;
        self.remove_file(path).map(drop)
    }

    /// Makes the directories above a path; a link to a directory counts as one.
    fn above(&self, path: &Path) -> Result<(), TreeError> {
        let mut so_far = PathBuf::from("/");
        for part in path.parent().into_iter().flat_map(Path::components) {
            if let Component::Normal(name) = part {
                so_far.push(name);
                if self.root.entry(&so_far)?.is_none() {
                    self.root.create_dir(&so_far, &Attributes::root(0o755))?;
                }
            }
        }
        Ok(())
    }
}
