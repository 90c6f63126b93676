//! Where new stanzas are written.
//! It decides the file that ifupdown and ifupdown2 both read. It never writes.

use std::path::Path;

use super::error::Place;
use super::file::ItemKind;
use super::glob;
use super::request::Request;
use super::tree::{InterfacesTree, is_source_directory_name};

/// The file for new stanzas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// xenup's own file, which was read: index in the tree.
    Own(usize),
    /// xenup's own file, to be created: a `source` line covers it.
    New,
    /// The end of the main file: no `source` line covers the own one. The place is that of a `source-directory` line
    /// which does; ifupdown2 does not know it.
    Main(Option<Place>),
}

impl Target {
    /// Returns the file for the stanzas of `request`.
    pub fn of(tree: &InterfacesTree, request: &Request) -> Self {
        let own = request.file.as_path();
        if let Some(file) = tree.files().iter().position(|file| file.path() == own) {
            return Self::Own(file);
        }
        let source = |kind: &ItemKind| match kind {
            ItemKind::Source(pattern) => Some(pattern.clone()),
            _ => None,
        };
        if covering(tree, source, own).is_some() {
            return Self::New;
        }
        let directory = |kind: &ItemKind| match kind {
            ItemKind::SourceDirectory(pattern) => Some(pattern.clone()),
            _ => None,
        };
        let named = own.file_name().and_then(|name| name.to_str()).is_some_and(is_source_directory_name);
        let parent = own.parent().filter(|_| named);
        Self::Main(parent.and_then(|parent| covering(tree, directory, parent)))
    }

    /// Returns its path.
    pub fn path<'a>(&self, tree: &'a InterfacesTree, request: &'a Request) -> &'a Path {
        match self {
            Self::Own(_) | Self::New => &request.file,
            Self::Main(_) => tree.files().first().map_or(Path::new(""), |file| file.path()),
        }
    }
}

/// The first line whose pattern covers `path`.
fn covering(
    tree: &InterfacesTree,
    pattern: impl Fn(&ItemKind) -> Option<String>,
    path: &Path,
) -> Option<Place> {
    tree.items().find_map(|(file, item)| {
        let pattern = pattern(&item.kind)?;
        let file = &tree.files()[file];
        let base = file.path().parent().unwrap_or(Path::new("/"));
        let patterns = glob::path_patterns(&pattern).ok()?;
        patterns.iter().any(|pattern| pattern.covers(base, path)).then(|| file.at(item.line()))
    })
}
