//! A kernel's source tree for the verbs below `kernel`: found, unpacked as far as a configuration needs it.
//!
//! Decides where a source is looked for. Never: changes a tree; what is unpacked goes below xenup's cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::kernel::build::TREE_ROOM;
use xenup_core::kernel::kconfig::{self, Tree};
use xenup_core::kernel::linux::{self, KNOWN, Linux};
use xenup_engine::digest::Digest;
use xenup_machine::Probe;
use xenup_system::System;
use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::process::Tool;
use xenup_system::tree_listing::tree_listing;

use crate::commands::machine;
use crate::error::CommandError;
use crate::ui::Ui;

/// Where Debian's linux-source and linux-config packages put their files.
pub const USR_SRC: &str = "/usr/src";

/// As much of an archive's end as holds xz's index of 1.5 GB in blocks.
const INDEX: u64 = 64 << 10;
/// What of a source archive Kconfig and make need for a configuration.
const NEEDED: [&str; 6] =
    ["*/Kconfig*", "*/Makefile*", "*/Kbuild*", "*/scripts/*", "*/kernel/configs/*", "*/rust/*"];

/// How much of an archive is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What a configuration needs.
    Configuration,
    /// All of it.
    Whole,
}

/// A tree, read.
pub struct KernelSource {
    /// Its folder.
    pub folder: PathBuf,
    /// Which Linux it is.
    pub linux: Linux,
    /// Its Kconfig files.
    pub tree: Tree,
    /// Its files, its own folder being the root.
    pub files: Box<dyn Probe>,
    /// The digest that the tree had when xenup unpacked all of it.
    sealed: Option<Digest>,
}

impl KernelSource {
    /// Finds a source and reads its Kconfig files.
    pub fn open(ui: &mut Ui, named: Option<&Path>, extent: Extent) -> Result<Self, CommandError> {
        let (folder, sealed) = folder(ui, named, extent)?;
        let no_tree = |error| no_tree(&folder, error);
        let files = System::tree(&folder).map_err(|error| no_tree(error.into()))?;
        let linux = linux::release(&files).map_err(|error| no_tree(error.into()))?;
        let tree = kconfig::read(&files).map_err(|error| no_tree(error.into()))?;
        if linux < KNOWN.0 || linux > KNOWN.1 {
            let (from, to) = KNOWN;
            ui.warning(format!("this is Linux {linux}; the profiles were made for {from} to {to}"));
        }
        Ok(Self { folder, linux, tree, files: Box::new(files), sealed })
    }

    /// The folder for make's own files, below xenup's cache: one for each tree.
    pub fn objects(&self) -> PathBuf {
        files::cache_dir().join("kernel").join(format!("{}-{}", self.linux, key(&self.folder)))
    }

    /// The digest of the tree's files, by names, sizes and times. A tree of xenup's own that is not as it was unpacked is
    /// refused: the result would be called Debian's source.
    pub fn digest(&self) -> Result<Digest, CommandError> {
        let digest = listed(&self.folder).map_err(CommandError::failed)?;
        match &self.sealed {
            Some(sealed) if *sealed != digest => {
                let folder = self.folder.display();
                Err(CommandError::refused(format!("{folder} was changed since it was unpacked")).hinted(format!(
                    "rm -r {folder} has it unpacked anew; for changes of your own copy it, and name the copy: --source DIR"
                )))
            }
            _ => Ok(digest),
        }
    }
}

/// The package that would bring a source which is not here; `None` where one is here, or where no package has that name.
pub fn package(named: Option<&Path>) -> Option<String> {
    let Some(named) = named else {
        return newest().is_none().then(|| "linux-source".to_owned());
    };
    let name = named.to_str()?.strip_prefix("linux-source-")?;
    let _: Linux = name.parse().ok()?;
    let is_here = candidates(named).into_iter().any(|path| files::exists(&path));
    (!is_here).then(|| format!("linux-source-{name}"))
}

/// The release that a source's name says.
pub fn named_release(named: Option<&Path>) -> Option<Linux> {
    let name = named.map(Path::to_owned).or_else(newest)?;
    let name = name.file_name()?.to_str()?.strip_prefix("linux-source-")?.to_owned();
    name.strip_suffix(".tar.xz").unwrap_or(&name).parse().ok()
}

/// Refuses where a folder's file system has less room than is needed.
pub fn need_room(folder: &Path, bytes: u64, what: &str) -> Result<(), CommandError> {
    let there = folder.ancestors().find(|folder| files::exists(folder)).unwrap_or(folder);
    let free = machine::running()?.space(there).map_err(machine::machine_error)?.free;
    if free >= bytes {
        return Ok(());
    }
    let words = format!(
        "{what} needs about {} MiB below {}, and {} MiB are free",
        bytes >> 20,
        folder.display(),
        free >> 20
    );
    Err(CommandError::refused(words)
        .hinted(format!("make room: df -h {}; or XDG_CACHE_HOME names another place", there.display())))
}

fn listed(folder: &Path) -> Result<Digest, files::FileError> {
    Ok(Digest::of(&tree_listing(folder)?))
}

fn no_tree(folder: &Path, source: Box<dyn std::error::Error>) -> CommandError {
    CommandError::usage(InTree { folder: folder.to_owned(), source })
        .hinted("name an unpacked kernel source, the folder that holds its Makefile: --source DIR")
}

/// Looks whether a source that is named can be one, before anything is made ready for it; one that a package would bring
/// can.
pub fn look(named: &Path) -> Result<(), CommandError> {
    let found = candidates(named).into_iter().find(|path| files::exists(path));
    match found {
        None if package(Some(named)).is_none() => Err(absent(Some(named))),
        Some(folder) if files::list(&folder).is_ok() => {
            let folder = machine::absolute(&folder);
            let tree = System::tree(&folder).map_err(|error| no_tree(&folder, error.into()))?;
            linux::release(&tree).map(drop).map_err(|error| no_tree(&folder, error.into()))
        }
        _ => Ok(()),
    }
}

/// What went wrong in which tree.
#[derive(Debug)]
struct InTree {
    folder: PathBuf,
    source: Box<dyn std::error::Error>,
}

impl std::fmt::Display for InTree {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: its configuration cannot be read", self.folder.display())
    }
}

impl std::error::Error for InTree {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// A path as one name: two folders never share one.
fn key(path: &Path) -> String {
    short(path.as_os_str().as_encoded_bytes())
}

fn short(bytes: &[u8]) -> String {
    xenup_engine::digest::Digest::of(bytes).as_str().chars().take(16).collect()
}

fn folder(
    ui: &mut Ui,
    named: Option<&Path>,
    extent: Extent,
) -> Result<(PathBuf, Option<Digest>), CommandError> {
    let found = match named {
        Some(named) => candidates(named).into_iter().find(|path| files::exists(path)),
        None => newest(),
    };
    let found = found.ok_or_else(|| absent(named))?;
    let found = machine::absolute(&found);
    match found.extension().is_some_and(|end| end == "xz") {
        true => unpacked(ui, &found, extent),
        false => Ok((found, None)),
    }
}

fn absent(named: Option<&Path>) -> CommandError {
    let what = match named {
        Some(named) => format!("{}: no kernel source is there", named.display()),
        None => format!("no kernel source is named, and {USR_SRC} has no linux-source-*"),
    };
    let name = named.and_then(Path::to_str).filter(|name| name.starts_with("linux-source"));
    let hint = format!("apt-get install {}, or name a folder: --source DIR", name.unwrap_or("linux-source"));
    CommandError::usage(what).hinted(hint)
}

/// What a name can stand for: itself, or what a package of that name puts into /usr/src.
fn candidates(named: &Path) -> Vec<PathBuf> {
    let mut all = vec![named.to_owned()];
    if let Some(name) = named.to_str().filter(|name| !name.contains('/')) {
        all.push(Path::new(USR_SRC).join(name));
        all.push(Path::new(USR_SRC).join(format!("{name}.tar.xz")));
    }
    all
}

/// The newest linux-source-* in /usr/src; an unpacked one comes before its archive.
fn newest() -> Option<PathBuf> {
    let all = files::list(Path::new(USR_SRC)).unwrap_or_default();
    let release = |path: &PathBuf| -> Option<Linux> {
        let name = path.file_name()?.to_str()?.strip_prefix("linux-source-")?;
        name.strip_suffix(".tar.xz").unwrap_or(name).parse().ok()
    };
    let sources = all
        .into_iter()
        .filter_map(|path| Some((release(&path)?, path.extension().is_none_or(|end| end != "xz"), path)));
    sources.max_by_key(|(release, unpacked, _)| (*release, *unpacked)).map(|(_, _, path)| path)
}

/// Unpacks an archive, once; a whole tree with the digest of its files.
fn unpacked(ui: &mut Ui, archive: &Path, extent: Extent) -> Result<(PathBuf, Option<Digest>), CommandError> {
    let parent = files::cache_dir().join("kernel");
    let contents = contents(archive).map_err(CommandError::failed)?;
    let (name, what) = match extent {
        Extent::Configuration => ("source", "what a configuration needs of "),
        Extent::Whole => ("tree", ""),
    };
    let done = parent.join(format!("{name}-{contents}"));
    let seal = parent.join(format!("{name}-{contents}.digest"));
    let failed = |error: files::FileError| cannot_write(error, &parent);
    files::create_dir_all(&parent).map_err(failed)?;
    let _lock = FileLock::wait(&parent.join("lock")).map_err(failed)?;
    if !files::exists(&done) {
        if extent == Extent::Whole {
            need_room(&parent, TREE_ROOM, "the unpacked source")?;
        }
        ui.status(format!("unpacking {what}{}", archive.display()));
        let work = WorkDir::new_in(&parent, "unpack-").map_err(failed)?;
        unpack(archive, &work, extent)?;
        if extent == Extent::Whole {
            let digest = listed(work.path()).map_err(failed)?;
            files::write_atomic(&seal, digest.as_str().as_bytes(), 0o644).map_err(failed)?;
        }
        files::rename(work.path(), &done).map_err(failed)?;
    }
    if extent == Extent::Configuration {
        return Ok((done, None));
    }
    let text = files::read_text(&seal).map_err(CommandError::failed)?;
    let digest = text.parse().map_err(|error| {
        CommandError::failed(format!("{}: {error}", seal.display()))
            .hinted(format!("rm -r {} has it unpacked anew", done.display()))
    })?;
    Ok((done, Some(digest)))
}

fn unpack(archive: &Path, work: &WorkDir, extent: Extent) -> Result<(), CommandError> {
    let mut tool = Tool::new("tar")
        .args(["--extract", "--strip-components=1", "--no-same-owner", "--wildcards", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(work.path());
    if extent == Extent::Configuration {
        tool = tool.args(NEEDED);
    }
    let output =
        tool.timeout(Duration::from_secs(1800)).die_with_parent().output().map_err(CommandError::failed)?;
    let said = output.stderr_text();
    // An older tree lacks one or another of the names, and tar says so; anything else is a fault.
    let harmless = |line: &str| line.contains("Not found in archive") || line.contains("previous errors");
    let whole = extent == Extent::Configuration || output.status.success();
    if !(whole && said.lines().all(harmless) && files::exists(&work.join("Kconfig"))) {
        return Err(unpack_error(
            archive,
            said.lines().find(|line| !harmless(line)).unwrap_or("it has no Kconfig file"),
        ));
    }
    Ok(())
}

/// An archive's contents as a name: its size, and the index at its end, which lists the size of every block.
fn contents(archive: &Path) -> Result<String, files::FileError> {
    let file = files::DiskFile::open(archive)?;
    let size = file.size()?;
    let mut end = vec![0; usize::try_from(size.min(INDEX)).unwrap_or_default()];
    file.read_at(size.saturating_sub(end.len() as u64), &mut end)?;
    Ok(format!("{size}-{}", short(&end)))
}

fn unpack_error(archive: &Path, said: &str) -> CommandError {
    let error =
        CommandError::failed(format!("{}: no kernel source comes out of it: {said}", archive.display()));
    match machine::hint_for_words(said) {
        Some(hint) => error.hinted(hint),
        None => error.hinted("unpack it yourself and name the folder: --source DIR"),
    }
}

/// A folder of xenup's cache that cannot be written.
pub fn cannot_write(error: files::FileError, folder: &Path) -> CommandError {
    let words = error.source.to_string();
    let hint = machine::hint_for_words(&words).unwrap_or_else(|| {
        format!("make's own files go below {}; XDG_CACHE_HOME names another place", folder.display())
    });
    CommandError::failed(error).hinted(hint)
}
