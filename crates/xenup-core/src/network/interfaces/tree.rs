//! The main file and all it includes, in the order in which ifupdown reads them.
//! It decides which file is read when, what a stanza inherits, and who brings an interface up.
//! It never reads a file itself: it asks a [`Files`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component as PathComponent, Path, PathBuf};

use super::error::{InterfacesError, Place, Syntax};
use super::file::{Family, InterfacesFile, Item, ItemKind, Mapping, Selector, Stanza, is_hook};
use super::glob::{self, Component, PathPattern, Pattern};

/// Deeper nesting than anybody writes; ifupdown has no limit but the path length.
const DEPTH_MAX: usize = 16;

/// Where the bytes come from: a live machine, a mounted tree, a fake.
pub trait Files {
    /// Returns the content of the file at `path`.
    ///
    /// # Errors
    /// What the system says. `NotFound` of an included file is not an error to the tree.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Returns the names in the directory `path`, in any order, without `.` and `..`.
    ///
    /// # Errors
    /// What the system says. `NotFound` and `NotADirectory` mean that nothing matches there.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
}

/// Two closures are a [`Files`].
impl<R, L> Files for (R, L)
where
    R: Fn(&Path) -> io::Result<Vec<u8>>,
    L: Fn(&Path) -> io::Result<Vec<OsString>>,
{
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        (self.0)(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        (self.1)(path)
    }
}

/// A captured tree is a [`Files`]: absolute path to content.
impl Files for BTreeMap<PathBuf, Vec<u8>> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.get(path) {
            return Ok(bytes.clone());
        }
        let directory = self.keys().any(|file| file.starts_with(path));
        Err(if directory { io::ErrorKind::IsADirectory } else { io::ErrorKind::NotFound }.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names: Vec<OsString> = self
            .keys()
            .filter_map(|file| file.strip_prefix(path).ok())
            .filter_map(|below| below.iter().next().map(OsString::from))
            .collect();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }
}

/// An include that ifupdown passes over without reading anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The `source` line.
    pub at: Place,
    /// The path it names.
    pub path: PathBuf,
    /// Why nothing was read.
    pub why: SkipReason,
}

/// Why an include was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It was read before under the same name.
    ReadBefore,
    /// It is a directory, which `source` cannot read.
    Directory,
    /// It does not exist.
    Missing,
}

/// Names a stanza of a tree: index of its file, index in that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StanzaId {
    /// Index in [`InterfacesTree::files`].
    pub file: usize,
    /// Index in that file's stanzas.
    pub stanza: usize,
}

/// A stanza with its file and what it inherits.
#[derive(Debug, Clone, Copy)]
pub struct StanzaView<'a> {
    /// Its name in the tree.
    pub id: StanzaId,
    /// The file.
    pub file: &'a InterfacesFile,
    /// As written.
    pub stanza: &'a Stanza,
    /// The family, inherited where it is not written.
    pub family: Family,
    /// The method, inherited where it is not written.
    pub method: &'a str,
    /// The stanza it inherits from.
    pub parent: Option<StanzaId>,
}

impl StanzaView<'_> {
    /// Returns where the stanza begins.
    pub fn place(&self) -> Place {
        self.file.at(self.stanza.line)
    }
}

/// An option that holds for a stanza, its own or inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The name.
    pub name: String,
    /// The value as written.
    pub value: String,
    /// Where it is written.
    pub at: Place,
}

/// A mention of an interface on an `auto`, `allow-*`, `no-auto-down`, `no-scripts` or `rename` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Index of the file in [`InterfacesTree::files`].
    pub file: usize,
    /// Index of the line in that file's items.
    pub item: usize,
    /// What the line says.
    pub selector: &'a Selector,
    /// The name or pattern as written.
    pub name: &'a str,
    /// The stanza around it, for a bare line.
    pub stanza: Option<usize>,
    /// Where.
    pub at: Place,
}

#[derive(Debug, Clone)]
struct Resolved {
    family: Family,
    method: String,
    parent: Option<StanzaId>,
}

/// All interfaces files of a machine.
#[derive(Debug, Clone)]
pub struct InterfacesTree {
    files: Vec<InterfacesFile>,
    /// Every line in reading order: file, item.
    order: Vec<(usize, usize)>,
    resolved: BTreeMap<StanzaId, Resolved>,
    /// Stanzas by logical interface, in reading order: a file can hold thousands.
    by_name: BTreeMap<String, Vec<StanzaId>>,
    skipped: Vec<Skipped>,
}

/// Reads `root` and everything it includes, in ifupdown's order.
///
/// # Errors
/// A file that cannot be read or parsed, a loop, nesting deeper than 16, one file under two names, a pattern that
/// needs a shell, or a stanza that inherits from one not read before.
pub fn load(files: &dyn Files, root: &Path) -> Result<InterfacesTree, InterfacesError> {
    let tree = InterfacesTree {
        files: Vec::new(),
        order: Vec::new(),
        resolved: BTreeMap::new(),
        by_name: BTreeMap::new(),
        skipped: Vec::new(),
    };
    let mut loader = Loader { files, tree, stack: Vec::new(), seen: BTreeMap::new() };
    loader.read(root, None)?;
    Ok(loader.tree)
}

struct Loader<'a> {
    files: &'a dyn Files,
    tree: InterfacesTree,
    /// The files being read, outermost first: plain path, and the line that included it.
    stack: Vec<(PathBuf, Option<Place>)>,
    /// Every file read: plain path to path as named and the line.
    seen: BTreeMap<PathBuf, (PathBuf, Option<Place>)>,
}

impl Loader<'_> {
    fn read(&mut self, path: &Path, from: Option<&Place>) -> Result<(), InterfacesError> {
        let plain = plain(path);
        if let Some(at) = from
            && !self.admit(path, &plain, at)?
        {
            return Ok(());
        }
        let bytes = match (self.files.read(path), from) {
            (Ok(bytes), _) => bytes,
            (Err(error), Some(at)) if skips(&error).is_some() => {
                if let Some(why) = skips(&error) {
                    self.tree.skipped.push(Skipped { at: at.clone(), path: path.to_owned(), why });
                }
                return Ok(());
            }
            (Err(source), _) => {
                let path = path.display().to_string();
                return Err(InterfacesError::Unreadable { path, from: from.cloned(), source });
            }
        };
        self.seen.insert(plain.clone(), (path.to_owned(), from.cloned()));
        self.stack.push((plain, from.cloned()));
        let file = InterfacesFile::parse(path, bytes)?;
        let items = file.items.clone();
        let index = self.tree.files.len();
        self.tree.files.push(file);
        for (number, item) in items.iter().enumerate() {
            self.item(index, number, item)?;
        }
        self.stack.pop();
        Ok(())
    }

    /// Returns whether an included file is to be read at all.
    fn admit(&mut self, path: &Path, plain: &Path, at: &Place) -> Result<bool, InterfacesError> {
        let shown = path.display().to_string();
        if let Some((_, first)) = self.stack.iter().find(|(open, _)| open == plain) {
            return Err(InterfacesError::Loop { at: at.clone(), path: shown, first: first.clone() });
        }
        if self.stack.len() >= DEPTH_MAX {
            return Err(InterfacesError::TooDeep { at: at.clone(), path: shown, depth: self.stack.len() });
        }
        match self.seen.get(plain) {
            Some((name, _)) if name.as_os_str() == path.as_os_str() => {
                let why = SkipReason::ReadBefore;
                self.tree.skipped.push(Skipped { at: at.clone(), path: path.to_owned(), why });
                Ok(false)
            }
            Some((_, first)) => {
                Err(InterfacesError::ReadTwice { at: at.clone(), path: shown, first: first.clone() })
            }
            None => Ok(true),
        }
    }

    fn item(&mut self, file: usize, number: usize, item: &Item) -> Result<(), InterfacesError> {
        self.tree.order.push((file, number));
        let at = self.tree.files[file].at(item.line());
        match &item.kind {
            ItemKind::Source(pattern) => {
                for path in self.expand(pattern, &at)? {
                    self.read(&path, Some(&at))?;
                }
            }
            ItemKind::SourceDirectory(pattern) => {
                for directory in self.expand(pattern, &at)? {
                    self.directory(&directory, &at)?;
                }
            }
            ItemKind::Iface(stanza) => {
                let id = StanzaId { file, stanza: *stanza };
                let resolved = self.tree.resolve(id).map_err(|kind| InterfacesError::Syntax { at, kind })?;
                self.tree.resolved.insert(id, resolved);
                let name = self.tree.files[file].stanzas[*stanza].name.clone();
                self.tree.by_name.entry(name).or_default().push(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn directory(&mut self, directory: &Path, at: &Place) -> Result<(), InterfacesError> {
        let mut names = self.list(directory, at)?;
        names.retain(|name| name.to_str().is_some_and(is_source_directory_name));
        names.sort();
        for name in names {
            self.read(&directory.join(name), Some(at))?;
        }
        Ok(())
    }

    fn expand(&self, text: &str, at: &Place) -> Result<Vec<PathBuf>, InterfacesError> {
        let refuse = |why| InterfacesError::Pattern { at: at.clone(), pattern: text.to_owned(), why };
        let mut paths = Vec::new();
        for (index, pattern) in glob::path_patterns(text).map_err(refuse)?.into_iter().enumerate() {
            if index > 0 && !pattern.absolute {
                return Err(refuse(
                    "a second relative path is taken from where ifup is called, not from here",
                ));
            }
            let base = if pattern.absolute { Path::new("/") } else { directory_of(&at.path) };
            paths.extend(self.expand_one(&pattern, base, at)?);
        }
        Ok(paths)
    }

    fn expand_one(
        &self,
        pattern: &PathPattern,
        base: &Path,
        at: &Place,
    ) -> Result<Vec<PathBuf>, InterfacesError> {
        let mut found = vec![base.to_owned()];
        for component in &pattern.components {
            let mut next = Vec::new();
            for directory in found {
                match component {
                    Component::Name(name) => next.push(directory.join(name)),
                    Component::Pattern(pattern) => {
                        let mut names = self.list(&directory, at)?;
                        names.retain(|name| pattern.matches_file(&name.to_string_lossy()));
                        names.sort();
                        next.extend(names.into_iter().map(|name| directory.join(name)));
                    }
                }
            }
            found = next;
        }
        Ok(found)
    }

    fn list(&self, directory: &Path, at: &Place) -> Result<Vec<OsString>, InterfacesError> {
        match self.files.list(directory) {
            Ok(names) => Ok(names),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            Err(source) => {
                let path = directory.display().to_string();
                Err(InterfacesError::Unlistable { path, from: at.clone(), source })
            }
        }
    }
}

fn skips(error: &io::Error) -> Option<SkipReason> {
    match error.kind() {
        io::ErrorKind::NotFound => Some(SkipReason::Missing),
        io::ErrorKind::IsADirectory => Some(SkipReason::Directory),
        _ => None,
    }
}

/// Whether `source-directory` reads a file of this name.
pub(super) fn is_source_directory_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path without `.` and `..`, by its words alone.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            PathComponent::CurDir => {}
            PathComponent::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

impl InterfacesTree {
    /// Returns the files, the main one first, in the order in which they were opened.
    pub fn files(&self) -> &[InterfacesFile] {
        &self.files
    }

    /// Returns the includes that ifupdown passes over.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns every line in reading order: index of its file, and the line.
    pub fn items(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.order.iter().map(|(file, item)| (*file, &self.files[*file].items[*item]))
    }

    /// Returns the stanzas in reading order.
    pub fn stanzas(&self) -> impl Iterator<Item = StanzaView<'_>> {
        self.items().filter_map(|(file, item)| match item.kind {
            ItemKind::Iface(stanza) => self.view(StanzaId { file, stanza }),
            _ => None,
        })
    }

    /// Returns the stanzas of logical interface `name`, in reading order.
    pub fn stanzas_of(&self, name: &str) -> impl Iterator<Item = StanzaView<'_>> {
        let ids = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.view(*id))
    }

    /// Returns one stanza; `None` for an id of another tree.
    pub fn view(&self, id: StanzaId) -> Option<StanzaView<'_>> {
        let file = self.files.get(id.file)?;
        let stanza = file.stanzas.get(id.stanza)?;
        let resolved = self.resolved.get(&id)?;
        let (family, method, parent) = (resolved.family, resolved.method.as_str(), resolved.parent);
        Some(StanzaView { id, file, stanza, family, method, parent })
    }

    /// Returns the mappings in reading order, each with its place.
    pub fn mappings(&self) -> impl Iterator<Item = (Place, &Mapping)> {
        self.items().filter_map(|(file, item)| match item.kind {
            ItemKind::Mapping(index) => {
                let file = &self.files[file];
                Some((file.at(item.line()), &file.mappings[index]))
            }
            _ => None,
        })
    }

    /// Returns every name on an `auto`, `allow-*`, `no-auto-down`, `no-scripts` or `rename` line, in reading order.
    pub fn selections(&self) -> impl Iterator<Item = Selection<'_>> {
        self.order.iter().flat_map(|&(file, item)| {
            let source = &self.files[file];
            let line = &source.items[item];
            let (selector, names, stanza) = match &line.kind {
                ItemKind::Select { selector, names, stanza } => (Some(selector), names.as_slice(), *stanza),
                _ => (None, &[][..], None),
            };
            let at = source.at(line.line());
            names.iter().zip(std::iter::repeat(selector)).filter_map(move |(name, selector)| {
                Some(Selection { file, item, selector: selector?, name, stanza, at: at.clone() })
            })
        })
    }

    /// Returns the names of class `class` ("auto", "hotplug") once each, in ifupdown's order.
    ///
    /// ifupdown brings up `lo` by itself: it heads the class "auto" whether or not a file names it.
    pub fn class(&self, class: &str) -> Vec<&str> {
        let mut names: Vec<&str> = if class == "auto" { vec!["lo"] } else { Vec::new() };
        for selection in self.selections() {
            let in_class = matches!(selection.selector, Selector::Allow(own) if own == class);
            if in_class && !names.contains(&selection.name) {
                names.push(selection.name);
            }
        }
        names
    }

    /// Returns the classes that bring `interface` up by its literal name, each with where it says so.
    pub fn classes_of(&self, interface: &str) -> Vec<(&str, Place)> {
        self.selections()
            .filter(|selection| selection.name == interface)
            .filter_map(|selection| match selection.selector {
                Selector::Allow(class) => Some((class.as_str(), selection.at)),
                _ => None,
            })
            .collect()
    }

    /// Returns the mapping that would choose the stanzas of `interface` when it is brought up.
    pub fn mapping_of(&self, interface: &str) -> Option<(Place, &Mapping)> {
        self.mappings().find(|(_, mapping)| {
            mapping.patterns.iter().any(|pattern| Pattern::new(pattern).matches(interface))
        })
    }

    /// Returns the options that hold for a stanza: first the inherited ones, then its own, as written.
    pub fn options(&self, id: StanzaId) -> Vec<Effective> {
        let mut chain = Vec::new();
        let mut next = Some(id);
        while let Some(view) = next.and_then(|id| self.view(id)) {
            next = view.parent;
            chain.push(view);
        }
        let own = |view: &StanzaView<'_>| {
            let file = view.file;
            let effective = |option: &super::file::StanzaOption| Effective {
                name: option.name.clone(),
                value: option.value.clone(),
                at: file.at(option.line),
            };
            view.stanza.options.iter().map(effective).collect::<Vec<_>>()
        };
        chain.iter().rev().flat_map(own).collect()
    }

    /// Returns the options as ifupdown hands them to scripts and as `ifquery` prints them before its own additions:
    /// repeated commands apart, every other repeated option joined by a newline at its first place.
    pub fn variables(&self, id: StanzaId) -> Vec<(String, String)> {
        let mut out: Vec<(String, String)> = Vec::new();
        for option in self.options(id) {
            match out.iter_mut().find(|(name, _)| *name == option.name && !is_hook(name)) {
                Some((_, value)) => {
                    value.push('\n');
                    value.push_str(&option.value);
                }
                None => out.push((option.name, option.value)),
            }
        }
        out
    }

    fn resolve(&self, id: StanzaId) -> Result<Resolved, Syntax> {
        let stanza = &self.files[id.file].stanzas[id.stanza];
        let parent = match &stanza.inherits {
            None => None,
            Some(name) => {
                // ifupdown takes the first stanza of that name read so far, of the same family where one is written.
                let fits = |view: &StanzaView<'_>| stanza.family.is_none_or(|family| family == view.family);
                let found = self.stanzas_of(name).find(fits);
                Some(found.ok_or_else(|| Syntax::InheritsUnknown(name.clone()))?)
            }
        };
        let inherited = parent.map(|view| (view.family, view.method));
        let family = stanza.family.or(inherited.map(|(family, _)| family)).ok_or(Syntax::IfaceName)?;
        let method = stanza.method.as_deref().or(inherited.map(|(_, method)| method));
        let method = method.ok_or(Syntax::IfaceName)?.to_owned();
        Ok(Resolved { family, method, parent: parent.map(|view| view.id) })
    }
}
