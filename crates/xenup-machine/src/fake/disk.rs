//! A file system in memory with two layers: what programs see, and what would survive a power cut.
//!
//! Decides: what is durable (only what was synced), and what a power cut leaves of the rest: for each unsynced
//! name the old or the new one, for each unsynced file the old bytes, the new ones, or a torn mixture.
//! Never: decides when power fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::file::{Attributes, Entry, Kind, Timestamp};
use crate::{MachineError, Reason};

use super::chance::Chance;

type Ino = u64;

const ROOT: Ino = 1;

/// How many links one path may lead through (the kernel's own limit).
const LINKS: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    File(Arc<[u8]>),
    Dir(BTreeMap<OsString, Ino>),
    Link(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    attributes: Attributes,
    body: Body,
}

/// What stands at a path, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Kind and attributes.
    pub entry: Entry,
    /// Bytes of a file; empty for anything else.
    pub bytes: Arc<[u8]>,
}

/// The file system.
#[derive(Debug, Clone)]
pub struct Disk {
    now: BTreeMap<Ino, Node>,
    durable: BTreeMap<Ino, Node>,
    next: Ino,
    /// Nanoseconds since 1970: moves a little with each change, so that no two have one time.
    clock_ns: i64,
    /// Bytes that files may take in all, those on a mount not counted; the rest of the disk is full.
    pub capacity: u64,
    /// Directories that are file systems of their own, and the bytes that files may take there.
    pub mounts: Vec<(PathBuf, u64)>,
    /// Directories whose content lives in memory and ends with the boot.
    volatile: Vec<PathBuf>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let root = Node { attributes: Attributes::root(0o755), body: Body::Dir(BTreeMap::new()) };
        let now = BTreeMap::from([(ROOT, root)]);
        Self {
            durable: now.clone(),
            now,
            next: ROOT + 1,
            clock_ns: 1_790_000_000_000_000_000,
            capacity: u64::MAX,
            mounts: Vec::new(),
            volatile: vec![PathBuf::from("/run")],
        }
    }

    fn tick(&mut self) -> Timestamp {
        self.clock_ns += 1_000_003;
        Timestamp {
            seconds: self.clock_ns / 1_000_000_000,
            nanoseconds: u32::try_from(self.clock_ns % 1_000_000_000).unwrap_or(0),
        }
    }

    pub(super) fn unix_seconds(&self) -> i64 {
        self.clock_ns / 1_000_000_000
    }

    pub(super) fn advance(&mut self, nanoseconds: i64) {
        self.clock_ns += nanoseconds;
    }

    // --- looking ---

    /// Follows a path to what it names; the last link only where `follow` says so.
    fn find(&self, doing: &'static str, path: &Path, follow: bool) -> Result<Ino, MachineError> {
        let not_found =
            || MachineError::at(doing, path, Reason::NotFound, "No such file or directory (os error 2)");
        let mut left: Vec<OsString> = names(path);
        left.reverse();
        let (mut at, mut trail, mut links) = (ROOT, vec![], 0);
        while let Some(name) = left.pop() {
            let Some(Body::Dir(entries)) = self.now.get(&at).map(|node| &node.body) else {
                return Err(not_found());
            };
            if name == ".." {
                at = trail.pop().unwrap_or(ROOT);
                continue;
            }
            let next = *entries.get(&name).ok_or_else(not_found)?;
            match self.now.get(&next).map(|node| &node.body) {
                Some(Body::Link(target)) if follow || !left.is_empty() => {
                    links += 1;
                    if links > LINKS {
                        return Err(MachineError::at(doing, path, Reason::Other, "too many links"));
                    }
                    if target.is_absolute() {
                        (at, trail) = (ROOT, vec![]);
                    }
                    left.extend(names(target).into_iter().rev());
                }
                _ => {
                    trail.push(at);
                    at = next;
                }
            }
        }
        Ok(at)
    }

    fn node(&self, ino: Ino) -> Result<&Node, MachineError> {
        self.now
            .get(&ino)
            .ok_or_else(|| MachineError::new("find", ino.to_string(), Reason::NotFound, "no such inode"))
    }

    pub(super) fn read(&self, path: &Path) -> Result<Arc<[u8]>, MachineError> {
        match &self.node(self.find("read", path, true)?)?.body {
            Body::File(bytes) => Ok(bytes.clone()),
            _ => Err(MachineError::at("read", path, Reason::Other, "Is a directory (os error 21)")),
        }
    }

    pub(super) fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        match self.find("stat", path, false) {
            Ok(ino) => Ok(Some(self.entry_of(path, self.node(ino)?))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entry_of(&self, path: &Path, node: &Node) -> Entry {
        let kind = match &node.body {
            Body::File(bytes) => Kind::File { size: bytes.len() as u64 },
            Body::Dir(_) => Kind::Dir,
            Body::Link(target) => Kind::Symlink { target: target.clone() },
        };
        Entry { kind, attributes: node.attributes.clone(), device: self.device(path) }
    }

    pub(super) fn device(&self, path: &Path) -> u64 {
        if self.volatile.iter().any(|dir| path.starts_with(dir)) {
            return 2;
        }
        let at = self.mounts.iter().position(|(dir, _)| path.starts_with(dir));
        at.map_or(1, |at| 3 + at as u64)
    }

    pub(super) fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        match &self.node(self.find("list", dir, true)?)?.body {
            Body::Dir(entries) => Ok(entries.keys().cloned().collect()),
            _ => Err(MachineError::at("list", dir, Reason::NotFound, "Not a directory (os error 20)")),
        }
    }

    /// Returns the bytes that the file system of a path has, and those that are free there.
    pub(super) fn space(&self, path: &Path) -> (u64, u64) {
        let device = self.device(path);
        let mount = self.mounts.iter().find(|(dir, _)| path.starts_with(dir));
        let total = mount.filter(|_| device > 2).map_or(self.capacity, |(_, bytes)| *bytes);
        if total == u64::MAX {
            return (total, total);
        }
        let used = if self.mounts.is_empty() {
            self.used()
        } else {
            let tree = self.tree();
            let here = tree.values().filter(|seen| seen.entry.device == device);
            here.map(|seen| seen.bytes.len() as u64).sum()
        };
        (total, total.saturating_sub(used))
    }

    /// Returns bytes taken by files that a name leads to.
    pub(super) fn used(&self) -> u64 {
        let mut inodes = BTreeSet::new();
        self.reach(&self.now, ROOT, &mut inodes);
        let sizes = inodes.iter().filter_map(|ino| match &self.now.get(ino)?.body {
            Body::File(bytes) => Some(bytes.len() as u64),
            _ => None,
        });
        sizes.sum()
    }

    fn reach(&self, layer: &BTreeMap<Ino, Node>, ino: Ino, into: &mut BTreeSet<Ino>) {
        if !into.insert(ino) {
            return;
        }
        if let Some(Body::Dir(entries)) = layer.get(&ino).map(|node| &node.body) {
            entries.values().for_each(|below| self.reach(layer, *below, into));
        }
    }

    /// Returns everything there is, by path.
    pub(super) fn tree(&self) -> BTreeMap<PathBuf, Seen> {
        let mut tree = BTreeMap::new();
        self.walk(Path::new("/"), ROOT, &mut tree);
        tree
    }

    fn walk(&self, path: &Path, ino: Ino, tree: &mut BTreeMap<PathBuf, Seen>) {
        let Some(node) = self.now.get(&ino) else { return };
        let bytes = match &node.body {
            Body::File(bytes) => bytes.clone(),
            _ => Arc::from([]),
        };
        tree.insert(path.to_owned(), Seen { entry: self.entry_of(path, node), bytes });
        if let Body::Dir(entries) = &node.body {
            entries.iter().for_each(|(name, below)| self.walk(&path.join(name), *below, tree));
        }
    }

    // --- changing ---

    /// Finds the directory a new name goes into.
    fn place(&self, doing: &'static str, path: &Path) -> Result<(Ino, OsString), MachineError> {
        let parent = path.parent().unwrap_or(path);
        let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
        self.find(doing, parent, true).map(|dir| (dir, name)).map_err(|mut error| {
            error.subject = path.display().to_string();
            error
        })
    }

    fn entries(&mut self, dir: Ino, path: &Path) -> Result<&mut BTreeMap<OsString, Ino>, MachineError> {
        let mtime = self.tick();
        match self.now.get_mut(&dir) {
            Some(Node { body: Body::Dir(entries), attributes }) => {
                attributes.mtime = Some(mtime);
                Ok(entries)
            }
            _ => Err(MachineError::at("search", path, Reason::NotFound, "Not a directory (os error 20)")),
        }
    }

    fn create(&mut self, path: &Path, body: Body, attributes: &Attributes) -> Result<(), MachineError> {
        let (dir, name) = self.place("create", path)?;
        let mtime = attributes.mtime.unwrap_or_else(|| self.tick());
        let ino = self.next;
        let entries = self.entries(dir, path)?;
        if entries.contains_key(&name) {
            return Err(MachineError::at("create", path, Reason::Exists, "File exists (os error 17)"));
        }
        entries.insert(name, ino);
        self.next += 1;
        let attributes = Attributes { mtime: Some(mtime), ..attributes.clone() };
        self.now.insert(ino, Node { attributes, body });
        Ok(())
    }

    /// Returns how many of `wanted` more bytes there is room for.
    fn room(&self, path: &Path, wanted: usize) -> usize {
        let (_, free) = self.space(path);
        usize::try_from(free).unwrap_or(usize::MAX).min(wanted)
    }

    pub(super) fn create_file(
        &mut self,
        path: &Path,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        let fits = self.room(path, bytes.len());
        let part = bytes.get(..fits).unwrap_or_default();
        self.create(path, Body::File(part.into()), attributes)?;
        if fits < bytes.len() { Err(full("create", path)) } else { Ok(()) }
    }

    pub(super) fn create_symlink(
        &mut self,
        path: &Path,
        target: &Path,
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        self.create(path, Body::Link(target.to_owned()), attributes)
    }

    pub(super) fn create_dir(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        self.create(path, Body::Dir(BTreeMap::new()), attributes)
    }

    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
        let fits = self.room(path, bytes.len());
        let part = bytes.get(..fits).unwrap_or_default();
        self.change(path, |old| [old, part].concat())?;
        if fits < bytes.len() { Err(full("append to", path)) } else { Ok(()) }
    }

    /// Replaces the bytes of a file in place, as programs do that know no better; creates it where it is absent.
    pub(super) fn overwrite(&mut self, path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
        if self.entry(path)?.is_none() {
            return self.create_file(path, bytes, &Attributes::root(0o644));
        }
        self.change(path, |_| bytes.to_vec())
    }

    fn change(&mut self, path: &Path, new: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<(), MachineError> {
        let ino = self.find("write", path, true)?;
        let mtime = self.tick();
        match self.now.get_mut(&ino) {
            Some(Node { body: Body::File(bytes), attributes }) => {
                *bytes = new(bytes).into();
                attributes.mtime = Some(mtime);
                Ok(())
            }
            _ => Err(MachineError::at("write", path, Reason::Other, "Is a directory (os error 21)")),
        }
    }

    pub(super) fn set_attributes(&mut self, path: &Path, to: &Attributes) -> Result<(), MachineError> {
        let ino = self.find("set attributes of", path, false)?;
        if let Some(node) = self.now.get_mut(&ino) {
            let mtime = to.mtime.or(node.attributes.mtime);
            node.attributes = Attributes { mtime, ..to.clone() };
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), MachineError> {
        if self.device(from) != self.device(to) {
            let words = "Invalid cross-device link (os error 18)";
            return Err(MachineError::at("rename", from, Reason::Other, words));
        }
        let ino = self.find("rename", from, false)?;
        let (old, new) = (self.place("rename", from)?, self.place("rename", to)?);
        if let Ok(there) = self.find("rename", to, false)
            && matches!(self.node(there)?.body, Body::Dir(_))
        {
            return Err(MachineError::at("rename", to, Reason::Exists, "Is a directory (os error 21)"));
        }
        self.entries(old.0, from)?.remove(&old.1);
        self.entries(new.0, to)?.insert(new.1, ino);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> Result<(), MachineError> {
        let ino = self.find("remove", path, false)?;
        if matches!(self.node(ino)?.body, Body::Dir(_)) {
            return Err(MachineError::at("remove", path, Reason::Other, "Is a directory (os error 21)"));
        }
        let (dir, name) = self.place("remove", path)?;
        self.entries(dir, path)?.remove(&name);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> Result<(), MachineError> {
        if !self.list(path)?.is_empty() {
            let words = "Directory not empty (os error 39)";
            return Err(MachineError::at("remove", path, Reason::NotEmpty, words));
        }
        let (dir, name) = self.place("remove", path)?;
        self.entries(dir, path)?.remove(&name);
        Ok(())
    }

    // --- durability ---

    pub(super) fn sync_file(&mut self, path: &Path) -> Result<(), MachineError> {
        let ino = self.find("sync", path, true)?;
        let node = self.node(ino)?.clone();
        self.durable.insert(ino, node);
        Ok(())
    }

    /// Makes the names in a directory durable. What they name is there then, with its attributes, but a file
    /// that was not synced itself has no bytes yet, and a directory no names.
    pub(super) fn sync_dir(&mut self, dir: &Path) -> Result<(), MachineError> {
        let ino = self.find("sync", dir, true)?;
        match &self.node(ino)?.body {
            Body::Dir(_) => self.sync_entries(ino),
            _ => {
                return Err(MachineError::at("sync", dir, Reason::NotFound, "Not a directory (os error 20)"));
            }
        }
        Ok(())
    }

    fn sync_entries(&mut self, dir: Ino) {
        let Some(node) = self.now.get(&dir).cloned() else { return };
        let Body::Dir(entries) = &node.body else { return };
        for below in entries.values() {
            if !self.durable.contains_key(below)
                && let Some(new) = self.now.get(below)
            {
                self.durable.insert(*below, unsynced(new));
            }
        }
        self.durable.insert(dir, node);
    }

    /// Makes every name durable, as [`Self::sync_dir`] does those of one directory.
    pub(super) fn sync_names(&mut self) {
        let dirs = self.now.iter().filter(|(_, node)| matches!(node.body, Body::Dir(_)));
        let dirs: Vec<Ino> = dirs.map(|(ino, _)| *ino).collect();
        dirs.into_iter().for_each(|dir| self.sync_entries(dir));
    }

    /// Makes everything durable (sync(2)).
    pub(super) fn sync_all(&mut self) {
        self.durable = self.now.clone();
    }

    /// Leaves what a power cut leaves; `chance` decides what becomes of each unsynced write.
    pub(super) fn cut_power(&mut self, chance: &mut Chance) {
        let mut left = BTreeMap::new();
        let inodes: BTreeSet<Ino> = self.now.keys().chain(self.durable.keys()).copied().collect();
        for ino in inodes {
            let node = match (self.durable.get(&ino), self.now.get(&ino)) {
                (Some(old), Some(new)) if old == new => new.clone(),
                (Some(old), Some(new)) => survivor(old, new, chance),
                (None, Some(new)) => survivor(&unsynced(new), new, chance),
                (Some(old), None) => old.clone(),
                (None, None) => continue,
            };
            left.insert(ino, node);
        }
        self.now = left;
        for dir in self.volatile.clone() {
            if let Ok(ino) = self.find("cut", &dir, true)
                && let Some(Node { body: Body::Dir(entries), .. }) = self.now.get_mut(&ino)
            {
                entries.clear();
            }
        }
        // A name may have survived whose inode did not.
        let there: BTreeSet<Ino> = self.now.keys().copied().collect();
        for node in self.now.values_mut() {
            if let Body::Dir(entries) = &mut node.body {
                entries.retain(|_, ino| there.contains(ino));
            }
        }
        let mut reached = BTreeSet::new();
        self.reach(&self.now, ROOT, &mut reached);
        self.now.retain(|ino, _| reached.contains(ino));
        self.durable = self.now.clone();
    }
}

fn unsynced(node: &Node) -> Node {
    let body = match &node.body {
        Body::File(_) => Body::File(Arc::from([])),
        Body::Dir(_) => Body::Dir(BTreeMap::new()),
        Body::Link(target) => Body::Link(target.clone()),
    };
    Node { attributes: node.attributes.clone(), body }
}

fn survivor(old: &Node, new: &Node, chance: &mut Chance) -> Node {
    let attributes = if chance.coin() { &old.attributes } else { &new.attributes }.clone();
    let body = match (&old.body, &new.body) {
        (Body::File(old), Body::File(new)) => Body::File(torn(old, new, chance)),
        (Body::Dir(old), Body::Dir(new)) => Body::Dir(mixed(old, new, chance)),
        (_, new) => new.clone(),
    };
    Node { attributes, body }
}

/// The old bytes, the new ones, the new ones cut short, or the new length with zeroes at the end. What was only
/// appended to keeps its old bytes.
fn torn(old: &Arc<[u8]>, new: &Arc<[u8]>, chance: &mut Chance) -> Arc<[u8]> {
    let kept = if new.starts_with(old) { old.len() } else { 0 };
    let cut = kept + chance.below(new.len() - kept + 1);
    match chance.below(4) {
        0 => old.clone(),
        1 => new.clone(),
        2 => new.get(..cut).unwrap_or_default().into(),
        _ => {
            let mut bytes = new.to_vec();
            bytes.get_mut(cut..).unwrap_or_default().fill(0);
            bytes.into()
        }
    }
}

fn mixed(
    old: &BTreeMap<OsString, Ino>,
    new: &BTreeMap<OsString, Ino>,
    chance: &mut Chance,
) -> BTreeMap<OsString, Ino> {
    let names: BTreeSet<&OsString> = old.keys().chain(new.keys()).collect();
    let chosen = names.into_iter().filter_map(|name| {
        let (old, new) = (old.get(name), new.get(name));
        let ino = if old == new || chance.coin() { new } else { old };
        ino.map(|ino| (name.clone(), *ino))
    });
    chosen.collect()
}

fn names(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    parts.collect()
}

fn full(doing: &'static str, path: &Path) -> MachineError {
    MachineError::at(doing, path, Reason::NoSpace, "No space left on device (os error 28)")
}
