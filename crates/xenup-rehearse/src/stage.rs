//! Kept stages: the machine's disk (and memory) after a costly beginning, so that a second run starts there.
//!
//! It decides by a digest of everything that went into a stage; what has another digest is another stage. Nothing in
//! here is needed: a stage that is missing, torn or of another QEMU is made again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xenup_system::files::{self, FileLock};
use xenup_system::process::Tool;

use crate::error::{LabError, during};
use crate::qemu::{Disk, Vm, VmSpec, version};
use crate::report::Report;

/// The name of a stage's own snapshot inside its image.
const SNAPSHOT: &str = "xenup-stage";
const FORMAT: u32 = 2;

/// A directory of kept stages.
#[derive(Debug, Clone)]
pub struct Stages {
    directory: PathBuf,
}

/// What a stage is made of: a name for people, and a digest.
#[derive(Debug, Clone)]
pub struct StageKey {
    name: String,
    digest: Sha256,
}

/// How much of a machine is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its disk; the machine is off, and a run boots it.
    Disk,
    /// Its memory too; the machine runs, and a run goes on from there in a second or two.
    Running,
}

/// A kept stage.
#[derive(Debug, Clone)]
pub struct Stage {
    disk: PathBuf,
    variables: Option<PathBuf>,
    /// The snapshot to go on from, where memory was kept.
    pub(crate) snapshot: Option<String>,
    /// Whether the shell was logged in on the console.
    pub(crate) shell: bool,
    /// How it came to be, as the run that kept it told it.
    pub story: Report,
}

/// What lies beside a stage's image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    format: u32,
    name: String,
    /// The image below the overlay.
    base: PathBuf,
    base_size: u64,
    disk_size: u64,
    variables: bool,
    snapshot: Option<String>,
    shell: bool,
    story: Report,
}

impl StageKey {
    /// A key with this name (letters, digits and hyphens are kept of it) and this version of xenup in it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let key = Self { name: name.chars().filter(kept).collect(), digest: Sha256::new() };
        key.with("xenup", env!("CARGO_PKG_VERSION"))
    }

    /// Adds something that went in.
    #[must_use]
    pub fn with(mut self, what: &str, value: &str) -> Self {
        // Lengths first, so that no two different lists read the same.
        for text in [what, value] {
            self.digest.update((text.len() as u64).to_be_bytes());
            self.digest.update(text);
        }
        self
    }

    /// Adds the content of a file that went in.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn with_file(self, what: &str, path: &Path) -> Result<Self, LabError> {
        let content = Sha256::digest(files::read(path)?);
        Ok(self.with(what, &hex(&content)))
    }

    /// The file name without its ending: what it is, on which hardware, by which QEMU.
    fn file_name(&self, spec: &VmSpec) -> String {
        let taps = ["machine".to_owned(), "gateway".to_owned()];
        let hardware = spec.arguments("machine", &taps).join(" ");
        let digest = self
            .clone()
            .with("hardware", &hardware)
            .with("qemu", &version().unwrap_or_default())
            .digest
            .finalize();
        format!("{}-{}", self.name, hex(digest.get(..12).unwrap_or_default()))
    }
}

impl Stages {
    /// The stages below this directory, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn at(directory: &Path) -> Result<Self, LabError> {
        files::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The stage with this key for a machine of this hardware; `None` where none is kept or what is kept is torn.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn find(&self, key: &StageKey, spec: &VmSpec) -> Result<Option<Stage>, LabError> {
        let name = key.file_name(spec);
        let written = self.path(&name, "json");
        let Some(note) = read_note(&written) else { return Ok(None) };
        let disk = self.path(&name, "qcow2");
        let same = |path: &Path, size| files::size(path).is_ok_and(|now| now == size);
        if note.format != FORMAT || !same(&disk, note.disk_size) || !same(&note.base, note.base_size) {
            return Ok(None);
        }
        if !is_older(&note.base, &written) {
            return Ok(None);
        }
        let variables = note.variables.then(|| self.path(&name, "efi.qcow2"));
        Ok(Some(Stage { disk, variables, snapshot: note.snapshot, shell: note.shell, story: note.story }))
    }

    /// Keeps the machine as it is now under this key, with the story of how it came to be. With [`Depth::Running`] it stands still meanwhile and goes on.
    ///
    /// # Errors
    /// The machine is on (or off) and the depth needs the other; the copy fails or does not hold together.
    pub fn keep(&self, key: &StageKey, vm: &mut Vm, depth: Depth, story: Report) -> Result<Stage, LabError> {
        if vm.is_running() != (depth == Depth::Running) {
            return Err(LabError::Power { off: depth == Depth::Running });
        }
        let _one_writer = FileLock::wait(&self.directory.join(".lock"))?;
        let name = key.file_name(vm.spec());
        let shell = vm.console().has_shell();
        if depth == Depth::Disk {
            return self.copy(&name, vm, None, (false, story));
        }
        vm.pause()?;
        let kept = vm.save(SNAPSHOT).and_then(|()| {
            // A second stop has QEMU write out what it still holds of the images.
            vm.pause()?;
            self.copy(&name, vm, Some(SNAPSHOT.to_owned()), (shell, story))
        });
        vm.forget(SNAPSHOT)?;
        vm.resume()?;
        kept
    }

    fn copy(
        &self,
        name: &str,
        vm: &Vm,
        snapshot: Option<String>,
        (shell, story): (bool, Report),
    ) -> Result<Stage, LabError> {
        let base = backing(&vm.disk())?;
        let disk = self.path(name, "qcow2");
        let disk_size = self.put(&vm.disk(), &disk)?;
        let variables = vm.variables().map(|_| self.path(name, "efi.qcow2"));
        if let (Some(from), Some(to)) = (vm.variables(), &variables) {
            self.put(&from, to)?;
        }
        let base_size = files::size(&base)?;
        let note = Note {
            format: FORMAT,
            name: name.to_owned(),
            base,
            base_size,
            disk_size,
            variables: variables.is_some(),
            snapshot: snapshot.clone(),
            shell,
            story: story.clone(),
        };
        // The note comes last: without it the rest is nothing.
        let text = serde_json::to_vec_pretty(&note)
            .map_err(|e| LabError::Stage { path: disk.clone(), why: e.to_string() })?;
        files::write_atomic(&self.path(name, "json"), &text, 0o644)?;
        self.prune(name)?;
        Ok(Stage { disk, variables, snapshot, shell, story })
    }

    /// Removes older stages of the same kind: a stage is about a gigabyte.
    fn prune(&self, name: &str) -> Result<(), LabError> {
        let mut kept = Vec::new();
        for path in files::list(&self.directory)? {
            let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else {
                continue;
            };
            let base = read_note(&path).map(|note| note.base).unwrap_or_default();
            let below = base.file_stem().filter(|_| base.parent() == Some(&self.directory));
            let below = below.map(|stem| stem.to_string_lossy().into_owned());
            kept.push(Kept { name: stem.to_owned(), below, age: files::age(&path)? });
        }
        for surplus in surplus(name, kept) {
            for ending in ["json", "qcow2", "efi.qcow2"] {
                files::remove_file(&self.path(&surplus, ending))?;
            }
        }
        Ok(())
    }

    /// Copies an image to its final name, checked before it gets it.
    fn put(&self, from: &Path, to: &Path) -> Result<u64, LabError> {
        let part = to.with_extension("part");
        let size = files::copy_sparse(from, &part)?;
        let check = Tool::new("qemu-img").args(["check", "-q", "-f", "qcow2"]).arg(&part).output();
        let check = check.map_err(during("check the kept image"))?;
        // 3 is leaked clusters: room lost, nothing wrong (qemu-img(1)).
        if !matches!(check.status, xenup_system::process::Status::Code(0 | 3)) {
            files::remove_file(&part)?;
            return Err(LabError::Stage { path: to.to_owned(), why: check.stderr_text().trim().to_owned() });
        }
        files::rename(&part, to)?;
        Ok(size)
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.directory.join(format!("{name}.{ending}"))
    }
}

impl Stage {
    /// Puts a machine's own disks in place; the kept ones are not written to.
    pub(crate) fn check_out(&self, disk: &Path, variables: &Path) -> Result<(), LabError> {
        // A snapshot is only in the image itself and not seen through an overlay.
        match self.snapshot {
            Some(_) => {
                files::copy_sparse(&self.disk, disk)?;
            }
            None => crate::qemu::overlay(&self.disk, disk)?,
        }
        if let Some(kept) = &self.variables {
            files::copy_sparse(kept, variables)?;
        }
        Ok(())
    }

    /// A machine's disk that starts from here.
    #[must_use]
    pub fn disk(&self) -> Disk {
        Disk::Stage(self.clone())
    }

    /// The kept image, an overlay: for reading alone.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.disk
    }

    /// Whether a machine goes on running from here, without a boot.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.snapshot.is_some()
    }
}

/// Whether an image is still the one that a stage was kept over: one that was made again has the same name, mostly the
/// same size, and other bytes.
fn is_older(base: &Path, note: &Path) -> bool {
    let Ok(note) = files::age(note) else { return false };
    files::age(base).is_ok_and(|base| base >= note)
}

/// A kept stage, as far as keeping it matters.
#[derive(Debug, Clone)]
struct Kept {
    name: String,
    /// The stage that its image lies over.
    below: Option<String>,
    age: Duration,
}

/// The stages of the kind of `newest` to remove: all but that one, the youngest other, and what another lies over.
fn surplus(newest: &str, kept: Vec<Kept>) -> Vec<String> {
    let kind = |name: &str| name.rsplit_once('-').map(|(kind, _)| kind.to_owned());
    let below: Vec<String> = kept.iter().filter_map(|stage| stage.below.clone()).collect();
    let mut others: Vec<Kept> = kept
        .into_iter()
        .filter(|stage| {
            stage.name != newest && kind(&stage.name) == kind(newest) && !below.contains(&stage.name)
        })
        .collect();
    others.sort_by_key(|stage| stage.age);
    others.into_iter().skip(1).map(|stage| stage.name).collect()
}

/// A stage's note; `None` where it is missing, torn, or of another format.
fn read_note(path: &Path) -> Option<Note> {
    serde_json::from_str(&files::read_text(path).ok()?).ok()
}

/// The image below an overlay.
fn backing(disk: &Path) -> Result<PathBuf, LabError> {
    let output = Tool::new("qemu-img").args(["info", "-U", "--output=json"]).arg(disk).run();
    let text = output.map_err(during("read what the disk is made of"))?.text();
    let info: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let base = info["full-backing-filename"].as_str().map(PathBuf::from);
    base.ok_or_else(|| LabError::Stage { path: disk.to_owned(), why: "it lies over no base image".into() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{FORMAT, Kept, Note, StageKey, Stages, surplus};
    use crate::qemu::{Accelerator, Firmware, VmSpec};
    use crate::report::Report;
    use xenup_system::files;
    use xenup_system::process::Tool;

    #[test]
    fn every_part_counts_and_so_does_where_it_ends() {
        let spec = VmSpec::over(Path::new("/base.qcow2"), Firmware::Bios, Accelerator::Emulate);
        let name = |key: StageKey| key.file_name(&spec);
        let key = || StageKey::new("up to date");
        assert_eq!(name(key().with("a", "b")), name(key().with("a", "b")));
        assert!(name(key()).starts_with("uptodate-"));
        let mut all = vec![
            name(key()),
            name(key().with("a", "b")),
            name(key().with("ab", "")),
            name(key().with("a", "bc")),
            key().file_name(&VmSpec { memory_mib: 1024, ..spec.clone() }),
            key().file_name(&VmSpec { firmware: Firmware::Uefi, ..spec.clone() }),
        ];
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn of_one_kind_two_are_kept_and_what_they_lie_over() {
        let kept = [
            ("a-1", None, 50),
            ("a-2", None, 40),
            ("a-3", None, 20),
            ("a-4", None, 30),
            ("b-1", Some("a-1"), 10),
            ("a-5", None, 0),
        ];
        let kept = kept.map(|(name, below, age)| Kept {
            name: name.to_owned(),
            below: below.map(str::to_owned),
            age: Duration::from_secs(age),
        });
        assert_eq!(surplus("a-5", kept.to_vec()), ["a-4", "a-2"]);
        assert!(surplus("b-1", kept.to_vec()).is_empty());
    }

    #[test]
    fn a_torn_stage_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let stages = Stages::at(directory.path()).unwrap();
        let base = directory.path().join("base.qcow2");
        files::write(&base, b"base").unwrap();
        let spec = VmSpec::over(&base, Firmware::Bios, Accelerator::Emulate);
        let key = StageKey::new("plain");
        assert!(stages.find(&key, &spec).unwrap().is_none());
        let name = key.file_name(&spec);
        let note = Note {
            format: FORMAT,
            name: name.clone(),
            base: base.clone(),
            base_size: 4,
            disk_size: 7,
            variables: false,
            snapshot: None,
            shell: false,
            story: Report::empty("a run"),
        };
        let text = serde_json::to_vec(&note).unwrap();
        files::write(&stages.path(&name, "json"), &text).unwrap();
        files::write(&stages.path(&name, "qcow2"), b"too long").unwrap();
        assert!(stages.find(&key, &spec).unwrap().is_none());
        files::write(&stages.path(&name, "qcow2"), b"content").unwrap();
        assert!(stages.find(&key, &spec).unwrap().is_some());
        // The image below was made again since, as large as before.
        let touched = |time: &str| Tool::new("touch").args(["-d", time]).arg(&base).run().unwrap();
        touched("+1 hour");
        assert!(stages.find(&key, &spec).unwrap().is_none());
        touched("-1 hour");
        assert!(stages.find(&key, &spec).unwrap().is_some());
        files::write(&stages.path(&name, "json"), text.get(..20).unwrap()).unwrap();
        assert!(stages.find(&key, &spec).unwrap().is_none());
    }
}
