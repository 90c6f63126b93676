//! What is on a guest's disk: its root, what it runs, the kernel it would boot, and what in it depends on how the disk
//! and the network are attached.
//!
//! Decides: all of that from bytes, without mounting anything. What cannot be read is noted with its reason, and the
//! rest is still found. Never: trusts the guest; every text, size and number here may be made up by it, so that reads,
//! steps and memory are bounded ([`READS`], [`BYTES`]).
//!
//! Reading order: [`facts`] (what comes out) → `volumes` (which part is the root) → `files` (how files are asked for)
//! → `release`, `fstab`, `network`, `console` → `boot` (the kernel that would boot).

mod boot;
mod console;
pub mod facts;
mod files;
mod fstab;
mod network;
mod pygrub;
mod release;
mod volumes;

use std::rc::Rc;

use xenup_disk::filesystem::{FsError, Tree};
use xenup_disk::image::{BackingFiles, Format, Image, ImageError};
use xenup_disk::{Budget, ReadAt};

pub(crate) use boot::grub::LOOPS;
pub use facts::{Found, GuestDisk, Note};
pub use files::GuestFiles;
pub(crate) use files::hides;
pub use pygrub::{Pygrub, entry as pygrub_entry};
pub(crate) use volumes::{CUT, about};

use facts::{Boot, FORMAT, Volume};
use files::Files;

/// The most reads that one disk may cost.
pub const READS: u64 = 1 << 20;
/// The most bytes that one disk may cost.
pub const BYTES: u64 = 2 << 30;
/// The longest kernel that is handed out.
pub const LONGEST_KERNEL: u64 = 128 << 20;

/// A guest's disk that was read, and can be read further.
pub struct Reading {
    /// What was found.
    pub disk: GuestDisk,
    tree: Option<Tree>,
    parts: Vec<pygrub::Part>,
}

/// Where the kernel that pygrub boots is read.
pub enum Booted {
    /// It is the one that this entry of the same reading names.
    Entry(usize),
    /// It is that of the one entry of this reading.
    Alone(Box<Reading>),
}

impl Reading {
    /// The whole kernel that the entry number `boot` of [`Found::boot`] names.
    ///
    /// # Errors
    /// It names none that is there, the kernel is longer than [`LONGEST_KERNEL`], or it cannot be read.
    pub fn kernel(&mut self, boot: usize) -> Result<Vec<u8>, FsError> {
        let path = self.kernel_path(boot)?;
        self.tree()?.read(&path, LONGEST_KERNEL)
    }

    /// Bytes of that kernel from `offset` on, at most `length`.
    ///
    /// # Errors
    /// As [`Reading::kernel`].
    pub fn kernel_range(&mut self, boot: usize, offset: u64, length: u64) -> Result<Vec<u8>, FsError> {
        let path = self.kernel_path(boot)?;
        self.tree()?.read_range(&path, offset, length)
    }

    /// The text of a file in the kernel's own folder, at most a MiB of it.
    ///
    /// # Errors
    /// As [`Reading::kernel`]; the file is longer than that.
    pub fn beside_kernel(&mut self, boot: usize, name: &str) -> Result<String, FsError> {
        let kernel = self.kernel_path(boot)?;
        let folder = kernel.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let bytes = self.tree()?.read(&format!("{folder}/{name}"), 1 << 20)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What pygrub comes to on this disk, and where its kernel is read.
    #[must_use]
    pub fn pygrub(&self) -> (Pygrub, Option<Booted>) {
        let (comes_to, opened) = pygrub::look(&self.parts, self.disk.table.as_deref() == Some("mbr"));
        let booted = match (&comes_to, opened) {
            (Pygrub::Boots(boot), Some((part, tree))) => Some(match self.entry_with(boot, part) {
                Some(entry) => Booted::Entry(entry),
                None => {
                    let found = Found { boot: vec![(**boot).clone()], ..Found::default() };
                    let disk = GuestDisk { found, ..GuestDisk::default() };
                    Booted::Alone(Box::new(Self { disk, tree: Some(tree), parts: Vec::new() }))
                }
            }),
            _ => None,
        };
        (comes_to, booted)
    }

    /// The entry that names the very kernel that pygrub takes from a part: where nothing else is mounted, paths are the same.
    fn entry_with(&self, boot: &Boot, part: usize) -> Option<usize> {
        let mounted = |volume: &Volume| volume.mounted.is_some();
        let here = self.disk.volumes.get(part).is_some_and(mounted);
        let alone = here && self.disk.volumes.iter().filter(|volume| mounted(volume)).count() == 1;
        let same = |found: &Boot| found.kernel_path.is_some() && found.kernel_path == boot.kernel_path;
        self.disk.found.boot.iter().position(same).filter(|_| alone)
    }

    fn kernel_path(&self, boot: usize) -> Result<String, FsError> {
        let found = self.disk.found.boot.get(boot).and_then(|boot| boot.kernel_path.clone());
        found.ok_or_else(|| FsError::NotFound { path: "the kernel".to_owned() })
    }

    fn tree(&mut self) -> Result<&mut Tree, FsError> {
        self.tree.as_mut().ok_or_else(|| FsError::NotFound { path: "/".to_owned() })
    }
}

/// Reads a guest's disk from its image.
///
/// # Errors
/// The image itself cannot be read: its format, or a read that failed. Whatever lies within is found or noted.
pub fn read(
    bytes: Rc<dyn ReadAt>,
    format: Option<Format>,
    backing: &dyn BackingFiles,
) -> Result<Reading, ImageError> {
    let budget = Budget::new(READS, BYTES);
    let image = Image::open(bytes, format, backing, Rc::clone(&budget))?;
    let disk = image.disk();
    let mut found = GuestDisk {
        format: FORMAT,
        image: image.format.name().to_owned(),
        backing: image.backing.iter().map(|name| files::clean(name)).collect(),
        size: disk.size(),
        ..GuestDisk::default()
    };
    found.notes.extend(image.notes.iter().map(|note| Note::new("image", note)));
    let (mut tree, parts) = volumes::gather(&disk, &mut found)?;
    if let Some(tree) = &mut tree {
        let (result, notes) = find(tree, &found.volumes);
        (found.found, found.notes) = (result, [std::mem::take(&mut found.notes), notes].concat());
    }
    if budget.is_spent() {
        let text = "reading stopped: the disk asks for more reads than one disk is allowed";
        found.notes.push(Note::new("disk", text));
    }
    Ok(Reading { disk: found, tree, parts })
}

/// Finds what there is in a guest's files, and what has to be noted.
pub fn find(tree: &mut dyn GuestFiles, volumes: &[Volume]) -> (Found, Vec<Note>) {
    let mut files = Files::new(tree);
    let boot = boot::choices(&mut files, volumes);
    let fstab = files.text("/etc/fstab").map(|text| fstab::read(&text, volumes)).unwrap_or_default();
    let found = Found {
        release: release::release(&mut files),
        architecture: release::architecture(&mut files),
        kernels: boot::kernels(&mut files),
        network: network::interfaces(&mut files),
        console: console::console(&mut files, &boot),
        tls: console::tls(&mut files),
        boot,
        fstab,
    };
    say_names(&mut files, &found, volumes);
    (found, files.notes)
}

/// Notes on disks that are named as Xen does not name them.
fn say_names(files: &mut Files<'_>, found: &Found, volumes: &[Volume]) {
    for mount in &found.fstab {
        if let Some(text) = fstab::warning("", &mount.source, mount.target == "/", volumes) {
            files.note(&format!("/etc/fstab:{}", mount.line), text);
        }
    }
    for boot in &found.boot {
        let root = boot.cmdline.split_ascii_whitespace().rev().find_map(|word| word.strip_prefix("root="));
        if let Some(text) = root.and_then(|root| fstab::warning("root=", root, true, volumes)) {
            files.note(&boot.file, text);
        }
    }
}
