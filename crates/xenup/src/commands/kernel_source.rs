//! A kernel's source tree for the verbs below `kernel`: found, unpacked as far as a configuration needs it.
//!
//! Decides where a source is looked for. Never: changes a tree; what is unpacked goes below xenup's cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::kernel::kconfig::{self, Tree};
use xenup_core::kernel::linux::{self, KNOWN, Linux};
use xenup_machine::Probe;
use xenup_system::System;
use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::process::Tool;

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
}

impl KernelSource {
    /// Finds a source and reads its Kconfig files.
    pub fn open(ui: &mut Ui, named: Option<&Path>) -> Result<Self, CommandError> {
        let folder = folder(ui, named)?;
        let no_tree = |error: Box<dyn std::error::Error>| {
            CommandError::usage(InTree { folder: folder.clone(), source: error })
                .hinted("name an unpacked kernel source, the folder that holds its Makefile: --source DIR")
        };
        let files = System::tree(&folder).map_err(|error| no_tree(error.into()))?;
        let linux = linux::release(&files).map_err(|error| no_tree(error.into()))?;
        let tree = kconfig::read(&files).map_err(|error| no_tree(error.into()))?;
        if linux < KNOWN.0 || linux > KNOWN.1 {
            let (from, to) = KNOWN;
            ui.warning(format!("this is Linux {linux}; the profiles were made for {from} to {to}"));
        }
        Ok(Self { folder, linux, tree, files: Box::new(files) })
    }

    /// The folder for make's own files, below xenup's cache: one for each tree.
    pub fn objects(&self) -> PathBuf {
        files::cache_dir().join("kernel").join(format!("{}-{}", self.linux, key(&self.folder)))
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

fn folder(ui: &mut Ui, named: Option<&Path>) -> Result<PathBuf, CommandError> {
    let found = match named {
        Some(named) => candidates(named).into_iter().find(|path| files::exists(path)),
        None => newest(),
    };
    let Some(found) = found else {
        let what = match named {
            Some(named) => format!("{}: no kernel source is there", named.display()),
            None => format!("no kernel source is named, and {USR_SRC} has no linux-source-*"),
        };
        let name = named.and_then(Path::to_str).filter(|name| name.starts_with("linux-source"));
        let hint =
            format!("apt-get install {}, or name a folder: --source DIR", name.unwrap_or("linux-source"));
        return Err(CommandError::usage(what).hinted(hint));
    };
    let found = machine::absolute(&found);
    match found.extension().is_some_and(|end| end == "xz") {
        true => unpacked(ui, &found),
        false => Ok(found),
    }
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

/// Unpacks of an archive what a configuration needs, once.
fn unpacked(ui: &mut Ui, archive: &Path) -> Result<PathBuf, CommandError> {
    let parent = files::cache_dir().join("kernel");
    let done = parent.join(format!("source-{}", contents(archive).map_err(CommandError::failed)?));
    let failed = |error: files::FileError| cannot_write(error, &parent);
    files::create_dir_all(&parent).map_err(failed)?;
    let _lock = FileLock::wait(&parent.join("lock")).map_err(failed)?;
    if files::exists(&done) {
        return Ok(done);
    }
    ui.status(format!("unpacking what a configuration needs of {}", archive.display()));
    let work = WorkDir::new_in(&parent, "unpack-").map_err(failed)?;
    let output = Tool::new("tar")
        .args(["--extract", "--strip-components=1", "--no-same-owner", "--wildcards", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(work.path())
        .args(NEEDED)
        .timeout(Duration::from_secs(900))
        .die_with_parent()
        .output()
        .map_err(CommandError::failed)?;
    let said = output.stderr_text();
    // An older tree lacks one or another of the names, and tar says so; anything else is a fault.
    let harmless = |line: &str| line.contains("Not found in archive") || line.contains("previous errors");
    if !(said.lines().all(harmless) && files::exists(&work.join("Kconfig"))) {
        return Err(unpack_error(
            archive,
            said.lines().find(|line| !harmless(line)).unwrap_or("it has no Kconfig file"),
        ));
    }
    files::rename(work.path(), &done).map_err(failed)?;
    Ok(done)
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
