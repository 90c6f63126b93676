//! File systems mounted into one tree, and paths through it with their links followed, as the guest would see them.
//! Never leaves the tree: a link that points up from the root stays at the root.

use super::{FileKind, FileSystem, FsError, Stat, show};

/// Links that are followed on one path, as Linux has it.
const MOST_LINKS: usize = 40;
/// Names that one path may go through.
const MOST_NAMES: usize = 512;

/// A root file system and what is mounted in it.
pub struct Tree {
    /// Mount points without links, and what is mounted there; the first is the root.
    mounts: Vec<(Vec<u8>, FileSystem)>,
}

/// Where a path leads: a path without links, and what stands there.
struct Place {
    path: Vec<u8>,
    stat: Stat,
}

impl Tree {
    /// A tree of one file system.
    #[must_use]
    pub fn new(root: FileSystem) -> Self {
        Self { mounts: vec![(Vec::new(), root)] }
    }

    /// Mounts another file system at a directory of the tree.
    ///
    /// # Errors
    /// There is no such directory, or it cannot be looked at.
    pub fn mount(&mut self, path: &str, filesystem: FileSystem) -> Result<(), FsError> {
        let place = self.resolve(path.as_bytes())?;
        if place.stat.kind != FileKind::Directory {
            return Err(FsError::Not { path: path.to_owned(), wanted: "directory" });
        }
        self.mounts.push((place.path, filesystem));
        Ok(())
    }

    /// What stands at a path, links followed.
    ///
    /// # Errors
    /// There is nothing, the way does not end, or it cannot be read.
    pub fn stat(&mut self, path: &str) -> Result<Stat, FsError> {
        Ok(self.resolve(path.as_bytes())?.stat)
    }

    /// The path without links that a path stands for.
    ///
    /// # Errors
    /// As [`Tree::stat`].
    pub fn real_path(&mut self, path: &str) -> Result<String, FsError> {
        let place = self.resolve(path.as_bytes())?;
        Ok(if place.path.is_empty() { "/".to_owned() } else { show(&place.path) })
    }

    /// A whole regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Tree::stat`]; it is no regular file, or is longer.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        let place = self.resolve(path.as_bytes())?;
        if place.stat.size > limit {
            return Err(FsError::TooLarge { path: path.to_owned(), size: place.stat.size, limit });
        }
        let (filesystem, inner) = self.at(&place.path)?;
        filesystem.read(&inner, 0, place.stat.size)
    }

    /// Bytes of a regular file from `offset` on, at most `length`.
    ///
    /// # Errors
    /// As [`Tree::stat`]; it is no regular file.
    pub fn read_range(&mut self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, FsError> {
        let place = self.resolve(path.as_bytes())?;
        let (filesystem, inner) = self.at(&place.path)?;
        filesystem.read(&inner, offset, length)
    }

    /// At most `limit` names in a directory, sorted, and whether there are more. Names that are not UTF-8 are shown with
    /// U+FFFD and lead nowhere.
    ///
    /// # Errors
    /// As [`Tree::stat`]; it is no directory.
    pub fn list(&mut self, path: &str, limit: usize) -> Result<(Vec<String>, bool), FsError> {
        let place = self.resolve(path.as_bytes())?;
        let (filesystem, inner) = self.at(&place.path)?;
        let (names, more) = filesystem.list(&inner, limit)?;
        Ok((names.iter().map(|name| show(name)).collect(), more))
    }

    /// What was noted of the file systems, each with its mount point.
    pub fn notes(&self) -> impl Iterator<Item = (String, &str)> {
        self.mounts.iter().flat_map(|(at, filesystem)| {
            let at = if at.is_empty() { "/".to_owned() } else { show(at) };
            filesystem.notes.iter().map(move |note| (at.clone(), note.as_str()))
        })
    }

    /// The file system that holds a path without links, and the path within it.
    fn at(&mut self, path: &[u8]) -> Result<(&mut FileSystem, Vec<u8>), FsError> {
        let holds = |point: &[u8]| {
            path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let found = self.mounts.iter_mut().filter(|(point, _)| holds(point));
        let found = found.max_by_key(|(point, _)| point.len());
        let (point, filesystem) = found.ok_or_else(|| FsError::not_found(path))?;
        let inner = path.strip_prefix(point.as_slice()).unwrap_or_default();
        let inner = if inner.is_empty() { b"/".to_vec() } else { inner.to_vec() };
        Ok((filesystem, inner))
    }

    fn look(&mut self, path: &[u8]) -> Result<Stat, FsError> {
        let (filesystem, inner) = self.at(path)?;
        filesystem.stat(&inner)
    }

    fn resolve(&mut self, path: &[u8]) -> Result<Place, FsError> {
        let too_far = |limit| FsError::TooFar { path: show(path), limit };
        // The names that are still to be gone through, the next one last.
        let mut names: Vec<Vec<u8>> = split(path).rev().collect();
        let (mut links, mut steps) = (0_usize, 0_usize);
        let mut here = Place { path: Vec::new(), stat: self.look(b"")? };
        while let Some(name) = names.pop() {
            steps = steps.saturating_add(1);
            if steps > MOST_NAMES || names.len() > MOST_NAMES {
                return Err(too_far(MOST_NAMES));
            }
            if name == b".." {
                here.path.truncate(here.path.iter().rposition(|&byte| byte == b'/').unwrap_or_default());
                here.stat = self.look(&here.path)?;
                continue;
            }
            if here.stat.kind != FileKind::Directory {
                return Err(FsError::not_found(path));
            }
            {
                let stat = here.stat;
                let (filesystem, inner) = self.at(&here.path)?;
                filesystem.allow_directory(&inner, stat)?;
            }
            let mut next = here.path.clone();
            next.push(b'/');
            next.extend_from_slice(&name);
            let stat = self.look(&next)?;
            if stat.kind != FileKind::Link {
                here = Place { path: next, stat };
                continue;
            }
            links = links.saturating_add(1);
            if links > MOST_LINKS {
                return Err(too_far(MOST_LINKS));
            }
            let (filesystem, inner) = self.at(&next)?;
            let target = filesystem.link(&inner)?;
            if target.starts_with(b"/") {
                here = Place { path: Vec::new(), stat: self.look(b"")? };
            }
            names.extend(split(&target).rev());
        }
        Ok(here)
    }
}

fn split(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> + '_ {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}
