//! Guests' disks for `audit`, read in a confined child: what is on one, and the kernels in it. Decides which path on this
//! machine a path of the audited one is; never reads a byte of a guest's disk in this process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_core::audit::{DiskRead, GuestDisks, OwnKernel};
use xenup_core::guest::disk::{self, Reading};
use xenup_core::guest::followed;
use xenup_core::kernel::{self, Image};
use xenup_engine::digest::Digest;
use xenup_machine::Probe;
use xenup_system::files;
use xenup_system::guest_reader::{self, GuestReader, MOST_KNOWN};

use crate::error::{CommandError, Exit, Outcome};

/// The hidden verb that the child is called with.
const CHILD: &str = "guest-audit-read";
/// Boot loaders' files of one disk whose kernels are read.
const ENTRIES: usize = 4;

/// The disks of a machine.
pub struct Disks<'a> {
    root: Option<PathBuf>,
    probe: &'a dyn Probe,
    /// Kernels by the digests of their files: the same one is on many disks.
    seen: RefCell<BTreeMap<String, Image>>,
}

impl<'a> Disks<'a> {
    /// The disks of the running machine, or of the one whose root is mounted at `root`.
    pub fn below(root: Option<&Path>, probe: &'a dyn Probe) -> Self {
        Self { root: root.map(super::machine::absolute), probe, seen: RefCell::default() }
    }

    /// Where a path of the audited machine is on this one. Links are followed within the root alone.
    fn place(&self, path: &Path) -> Result<PathBuf, String> {
        let Some(root) = &self.root else { return Ok(path.to_owned()) };
        if path.starts_with("/dev") {
            return Err("a mounted tree has no devices".to_owned());
        }
        let mut inside = PathBuf::from("/");
        for part in path.components().skip(1) {
            let next = followed(self.probe, &inside.join(part)).map_err(|error| error.words)?;
            inside = next.ok_or("it is not there")?;
        }
        let below = inside.strip_prefix("/").map_err(|error| error.to_string())?;
        Ok(root.join(below))
    }
}

impl GuestDisks for Disks<'_> {
    fn disk(&self, path: &Path, format: &str) -> Result<DiskRead, String> {
        let place = self.place(path)?;
        let known: Vec<String> = self.seen.borrow().keys().cloned().collect();
        let reader = GuestReader::own(CHILD).format(Some(format)).known(known);
        let mut read = reader.read::<DiskRead>(&place).map_err(|error| chain(&error))?.found;
        let mut seen = self.seen.borrow_mut();
        for kernel in read.kernels.iter_mut().filter(|kernel| kernel.error.is_none()) {
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
        let kernels = (0..entries).filter_map(|boot| own_kernel(&mut reading, boot, &handed.known)).collect();
        Ok((DiskRead { disk: reading.disk, kernels }, Vec::new()))
    });
    served.map_err(CommandError::failed)?;
    Ok(Exit::Done)
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
    let bytes = match reading.kernel(boot) {
        Ok(bytes) => bytes,
        Err(error) => return Some(failed(error.to_string())),
    };
    let digest = Digest::of(&bytes).as_str().to_owned();
    let name = path.rsplit('/').next().unwrap_or_default();
    // Without a version in its name, its configuration is found by the release that stands in it.
    let image = if known.contains(&digest) && kernel::beside::version(name).is_some() {
        None
    } else {
        match kernel::read(&bytes.as_slice()) {
            Ok(image) => Some(image),
            Err(error) => return Some(failed(error.to_string())),
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
