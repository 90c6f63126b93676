//! Guests' disks for `audit`, read in a confined child: what is on one, and the kernels in it. Decides which path on this
//! machine a path of the audited one is; never reads a byte of a guest's disk in this process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};
use xenup_core::audit::{DiskRead, GuestDisks, OwnKernel};
use xenup_core::guest::disk::{self, Booted, Reading};
use xenup_core::guest::resolved;
use xenup_core::kernel::{self, Image};
use xenup_machine::Probe;
use xenup_system::files;
use xenup_system::guest_reader::{self, GuestReader, MOST_KNOWN};
use xenup_system::parallel;

use crate::error::{CommandError, Exit, Outcome};

/// What the child is called with, alone.
pub(super) const CHILD: &str = "guest-audit-read";
/// What of a kernel is read at once for its digest.
const PIECE: u64 = 128 << 10;
/// Boot loaders' files of one disk whose kernels are read.
const ENTRIES: usize = 4;

/// The disks of a machine.
pub struct Disks<'a> {
    root: Option<PathBuf>,
    probe: &'a dyn Probe,
    readers: Readers,
    /// What was read before it was asked for.
    ahead: RefCell<BTreeMap<(PathBuf, String), Result<DiskRead, String>>>,
}

/// Children that read disks, and what they found that the next ones need not look into again.
#[derive(Default)]
struct Readers {
    /// Kernels by the digests of their files: the same one is on many disks.
    seen: Mutex<BTreeMap<String, Image>>,
}

impl Readers {
    fn read(&self, place: &Path, format: &str) -> Result<DiskRead, String> {
        let lost = |_| "another reader fell".to_owned();
        let known: Vec<String> = self.seen.lock().map_err(lost)?.keys().cloned().collect();
        let reader = GuestReader::own(CHILD).format(Some(format)).known(known);
        let mut read = reader.read::<DiskRead>(place).map_err(|error| chain(&error))?.found;
        let mut seen = self.seen.lock().map_err(|_| "another reader fell".to_owned())?;
        let of_pygrub = read.pygrub.iter_mut().filter_map(|(_, kernel)| kernel.as_mut());
        let kernels = read.kernels.iter_mut().chain(of_pygrub);
        for kernel in kernels.filter(|kernel| kernel.error.is_none()) {
            match &kernel.image {
                Some(image) if seen.len() < MOST_KNOWN => {
                    drop(seen.insert(kernel.digest.clone(), image.clone()))
                }
                Some(_) => {}
                None => kernel.image = seen.get(&kernel.digest).cloned(),
            }
        }
        Ok(read)
    }
}

impl<'a> Disks<'a> {
    /// The disks of the running machine, or of the one whose root is mounted at `root`.
    pub fn below(root: Option<&Path>, probe: &'a dyn Probe) -> Self {
        let root = root.map(super::machine::absolute);
        Self { root, probe, readers: Readers::default(), ahead: RefCell::default() }
    }

    /// Where a path of the audited machine is on this one. Links are followed within the root alone.
    fn place(&self, path: &Path) -> Result<PathBuf, String> {
        let Some(root) = &self.root else { return Ok(path.to_owned()) };
        if path.starts_with("/dev") {
            return Err("a mounted tree has no devices".to_owned());
        }
        let inside = resolved(self.probe, path).map_err(|error| error.words)?.ok_or("it is not there")?;
        let below = inside.strip_prefix("/").map_err(|error| error.to_string())?;
        Ok(root.join(below))
    }
}

impl GuestDisks for Disks<'_> {
    fn disk(&self, path: &Path, format: &str) -> Result<DiskRead, String> {
        let ahead = self.ahead.borrow_mut().remove(&(path.to_owned(), format.to_owned()));
        ahead.unwrap_or_else(|| self.readers.read(&self.place(path)?, format))
    }

    fn ahead(&self, wanted: &[(PathBuf, &'static str)]) {
        let placed = wanted.iter().filter_map(|(path, format)| Some((self.place(path).ok()?, path, *format)));
        let placed: Vec<(PathBuf, &PathBuf, &str)> = placed.collect();
        let readers = &self.readers;
        let read = parallel::map(&placed, |(place, _, format)| readers.read(place, format));
        let named = placed.iter().map(|(_, path, format)| ((*path).clone(), (*format).to_owned()));
        let found = named.zip(read).filter_map(|(key, read)| Some((key, read?)));
        self.ahead.borrow_mut().extend(found);
    }

    fn start(&self, path: &Path, length: u64) -> Result<Vec<u8>, String> {
        files::read_start(&self.place(path)?, length).map_err(|error| chain(&error))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(deeper) = cause {
        words.push(deeper.to_string());
        cause = deeper.source();
    }
    words.dedup();
    words.join(": ")
}

/// The child: reads what it is handed, the kernels in it too, and answers.
pub fn serve() -> Outcome {
    let served = guest_reader::serve(|handed| {
        let image = std::rc::Rc::clone(&handed.image);
        let mut reading = disk::read(image, handed.format, handed).map_err(|error| error.to_string())?;
        let entries = reading.disk.found.boot.len().min(ENTRIES);
        let kernels: Vec<OwnKernel> =
            (0..entries).filter_map(|boot| own_kernel(&mut reading, boot, &handed.known)).collect();
        let (comes_to, booted) = reading.pygrub();
        let kernel = match booted {
            Some(Booted::Entry(entry)) => kernels
                .iter()
                .find(|kernel| kernel.boot == entry)
                .cloned()
                .or_else(|| own_kernel(&mut reading, entry, &handed.known)),
            Some(Booted::Alone(mut alone)) => own_kernel(&mut alone, 0, &handed.known),
            None => None,
        };
        let pygrub = Some((comes_to, kernel));
        Ok((DiskRead { disk: reading.disk, kernels, pygrub }, Vec::new()))
    });
    served.map_err(CommandError::failed)?;
    Ok(Exit::Done)
}

/// The digest of the kernel that an entry names, read in pieces: most kernels were seen before, and none is held for it.
fn digest(reading: &mut Reading, boot: usize) -> Result<String, String> {
    let mut hasher = Sha256::new();
    let mut offset = 0;
    loop {
        let piece = reading.kernel_range(boot, offset, PIECE).map_err(|error| error.to_string())?;
        offset = offset.saturating_add(piece.len() as u64);
        if offset > guest_reader::LONGEST_FILE as u64 {
            return Err("it is longer than any kernel".to_owned());
        }
        hasher.update(&piece);
        if (piece.len() as u64) < PIECE {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

/// The kernel that an entry names, with what its configuration says of Xen. One whose digest is known is not unpacked.
fn own_kernel(reading: &mut Reading, boot: usize, known: &[String]) -> Option<OwnKernel> {
    let path = reading.disk.found.boot.get(boot)?.kernel_path.clone()?;
    let failed = |error: String| OwnKernel {
        boot,
        digest: String::new(),
        image: None,
        error: Some(error),
        config: None,
    };
    let digest = match digest(reading, boot) {
        Ok(digest) => digest,
        Err(error) => return Some(failed(error)),
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    // Without a version in its name, its configuration is found by the release that stands in it.
    let image = if known.contains(&digest) && kernel::beside::version(name).is_some() {
        None
    } else {
        let bytes = reading.kernel(boot).map_err(|error| error.to_string());
        match bytes.and_then(|bytes| kernel::read(&bytes.as_slice()).map_err(|error| error.to_string())) {
            Ok(image) => Some(image),
            Err(error) => return Some(failed(error)),
        }
    };
    let release = image.as_ref().and_then(|image| image.release.clone());
    let config = kernel::beside::configurations(name, release.as_deref()).into_iter().find_map(|name| {
        let text = reading.beside_kernel(boot, &name).ok()?;
        let about = |line: &&str| line.contains("CONFIG_XEN") || line.contains("CONFIG_PVH");
        Some(text.lines().filter(about).map(|line| format!("{line}\n")).collect::<String>())
    });
    Some(OwnKernel { boot, digest, image, error: None, config })
}
