//! What guests are judged by: hypervisors, kernels, disks, the processor, what runs. Read once, for any number of
//! guests and for any change of their files that is tried.
//!
//! Decides: which kernels and disks are looked at, and what is said where something cannot be. Never: judges, or opens a
//! disk itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xenup_machine::process::Query;
use xenup_machine::{Probe, Reason};

use crate::guest::disk::{GuestDisk, Pygrub};
use crate::guest::list::Found;
use crate::guest::{DiskSpec, Format, Guest, GuestFile, GuestType, Here, resolved};
use crate::kernel::{Hypervisor, Image, beside, read};

use super::running::{Running, parse};
use super::saved::{self, SaveFile};
use super::target::{Goal, Target};

/// The longest kernel that is read.
const KERNEL_LIMIT: u64 = 128 << 20;
/// The longest file of words that is read.
const TEXT_LIMIT: u64 = 1 << 20;
/// Guests with more disks exist; the system is on one of the first.
const DISKS_LOOKED_AT: usize = 4;

/// xl answers at once, or waits for a xenstored that is not there.
const XL_TIMEOUT: Duration = Duration::from_secs(10);

/// GRUB for Xen, as package grub-xen-host has it.
pub(super) const GRUB_XEN: &str = "/usr/lib/grub-xen";
/// Its images, which a change of a guest's file may name.
pub(super) const LOADERS: [&str; 3] = ["grub-i386-xen_pvh.bin", "grub-x86_64-xen.bin", "grub-i386-xen.bin"];

/// Keys that name a file in dom0 which may be of one release's tools.
pub(super) const FILES: [&str; 12] = [
    "kernel",
    "ramdisk",
    "bootloader",
    "firmware",
    "firmware_override",
    "bios_path_override",
    "smbios_firmware",
    "acpi_firmware",
    "device_model_override",
    "stubdomain_kernel",
    "stubdomain_ramdisk",
    "pvshim_path",
];

/// A guest's disk, and the kernels that its boot loaders' files name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRead {
    /// What is on it.
    pub disk: GuestDisk,
    /// The kernel of each entry of [`crate::guest::disk::Found::boot`] that names one which is there.
    pub kernels: Vec<OwnKernel>,
    /// What pygrub comes to on it, with the kernel that it boots; absent where it was not asked.
    #[serde(default)]
    pub pygrub: Option<(Pygrub, Option<OwnKernel>)>,
}

/// A kernel on a guest's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnKernel {
    /// The entry's number.
    pub boot: usize,
    /// The digest of the file's bytes: names and times on a guest's disk are the guest's to forge.
    pub digest: String,
    /// What it is.
    pub image: Option<Image>,
    /// Why it could not be read, where it could not.
    pub error: Option<String>,
    /// The lines of its configuration that are about Xen and PVH, where it lies beside it.
    pub config: Option<String>,
}

/// Reads what a [`Probe`] does not: guests' disks, and the first bytes of large files.
pub trait GuestDisks {
    /// Reads a disk, confined. `format` is the image's, as the guest's file says it.
    ///
    /// # Errors
    /// Why it could not be read, in words.
    fn disk(&self, path: &Path, format: &str) -> Result<DiskRead, String>;

    /// Says which disks will be asked for, path and format, so that several can be read at once.
    fn ahead(&self, _wanted: &[(PathBuf, &'static str)]) {}

    /// Returns at most `length` bytes from a file's start.
    ///
    /// # Errors
    /// Why it could not be read, in words.
    fn start(&self, path: &Path, length: u64) -> Result<Vec<u8>, String>;
}

/// A kernel that a guest's file names.
#[derive(Debug, Clone)]
pub(super) enum KernelSeen {
    /// There is none.
    Absent,
    /// It cannot be read, and why.
    Unreadable(String),
    /// It was read.
    Read(Box<Image>, Option<String>),
}

/// Everything that guests are judged by.
pub struct World<'a> {
    pub(super) here: Here<'a>,
    /// The hypervisor now.
    pub(super) now: Option<Hypervisor>,
    /// The hypervisor after.
    pub(super) target: Target,
    pub(super) kernels: BTreeMap<PathBuf, KernelSeen>,
    /// Where paths lead that have a link on their way.
    leads: BTreeMap<PathBuf, PathBuf>,
    disks: BTreeMap<(PathBuf, Format), Result<DiskRead, String>>,
    /// Whether the processor has hardware virtualization, and nested page tables (EPT, NPT).
    pub(super) hvm: Option<bool>,
    pub(super) hap: Option<bool>,
    /// The guests that run; `None` where nobody could be asked.
    pub(super) running: Option<Vec<Running>>,
    /// Saved guests.
    pub(super) saves: Vec<SaveFile>,
    /// What could not be known.
    pub(super) notes: Vec<String>,
}

impl<'a> World<'a> {
    /// Reads what the guests in `found` are judged by.
    #[must_use]
    pub fn look(probe: &'a dyn Probe, disks: &dyn GuestDisks, goal: Option<Goal>, found: &[Found]) -> Self {
        let installed = installed(probe);
        let mut world = Self {
            here: Here::look(probe),
            now: now(probe, &installed),
            target: Target::of(goal, &installed, &codename(probe)),
            kernels: BTreeMap::new(),
            leads: BTreeMap::new(),
            disks: BTreeMap::new(),
            hvm: None,
            hap: None,
            running: None,
            saves: saved::find(probe, disks),
            notes: Vec::new(),
        };
        world.ask(probe);
        let files = || found.iter().filter_map(|one| one.file.as_ref().ok());
        disks.ahead(&world.first_disks(files()));
        for file in files() {
            world.read(probe, disks, file);
        }
        for loader in LOADERS {
            world.kernel(probe, &Path::new(GRUB_XEN).join(loader));
        }
        world
    }

    /// Asks the toolstack and the processor.
    fn ask(&mut self, probe: &dyn Probe) {
        match probe.query(&Query::new("xl", ["list", "-l"]).within(XL_TIMEOUT)) {
            Ok(output) if output.status == 0 => match parse(&output.text()) {
                Some(guests) => self.running = Some(guests),
                None => self.notes.push("xl list -l said what is no list of guests".to_owned()),
            },
            Err(error) if error.reason == Reason::NotRunning => {
                self.notes.push("this is a tree of files: what runs was not asked".to_owned());
            }
            _ => self.notes.push("no toolstack runs here: guests that run were not asked for".to_owned()),
        }
        let info = probe
            .query(&Query::new("xl", ["info"]).within(XL_TIMEOUT))
            .ok()
            .filter(|output| output.status == 0);
        let caps = info.and_then(|output| virt_caps(&output.text()));
        let text = |path: &str| {
            probe.read(Path::new(path), TEXT_LIMIT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        (self.hvm, self.hap) = match caps {
            Some(caps) => caps,
            // A dom0 does not see what Xen sees.
            None if text("/sys/hypervisor/type").is_ok() => (None, None),
            None => text("/proc/cpuinfo").map_or((None, None), |text| processor(&text)),
        };
    }

    /// The disk of each guest that is looked at first, where it is one that is read.
    fn first_disks<'f>(&self, files: impl Iterator<Item = &'f GuestFile>) -> Vec<(PathBuf, &'static str)> {
        let mut wanted = BTreeSet::new();
        for file in files {
            let guest = Guest::of(file);
            if guest.kind == GuestType::Hvm {
                continue;
            }
            let Some(spec) = boot_disks(&guest, is_pygrub(&guest)).first().copied() else { continue };
            let readable = spec.script.is_none() && matches!(spec.format, Format::Raw | Format::Qcow2);
            let path = spec.path().map(PathBuf::from).filter(|_| readable);
            if let Some(path) = path.filter(|path| self.here.exists(path) != Some(false)) {
                wanted.insert((path, spec.format.word()));
            }
        }
        wanted.into_iter().collect()
    }

    fn read(&mut self, probe: &dyn Probe, disks: &dyn GuestDisks, file: &GuestFile) {
        let guest = Guest::of(file);
        for path in FILES.iter().filter_map(|key| guest.filled(key)).filter(|path| path.starts_with('/')) {
            let path = Path::new(path);
            if !self.leads.contains_key(path) {
                let end = resolved(probe, path).ok().flatten().unwrap_or_else(|| path.to_owned());
                self.leads.insert(path.to_owned(), end);
            }
        }
        if guest.kind == GuestType::Hvm {
            return;
        }
        if let Some(path) = guest.filled("kernel").filter(|path| path.starts_with('/')) {
            self.kernel(probe, Path::new(path));
        }
        let pygrub = is_pygrub(&guest);
        for spec in boot_disks(&guest, pygrub) {
            let Some(path) = spec.path().map(PathBuf::from) else { continue };
            let there = self.here.exists(&path);
            let read =
                self.disks.entry((path, spec.format)).or_insert_with_key(|(path, _)| match &spec.script {
                    Some(script) => Err(format!("the block script {script} makes it when the guest starts")),
                    None if there == Some(false) => Err("it is not there".to_owned()),
                    None => match spec.format {
                        Format::Raw | Format::Qcow2 => disks.disk(path, spec.format.word()),
                        other => Err(format!("xenup does not read {} images", other.word())),
                    },
                });
            if read.as_ref().is_ok_and(|read| !read.disk.found.boot.is_empty()) {
                break;
            }
        }
    }

    /// Returns the file that a path of a guest's file leads to; the path itself where no link is on its way, or where it
    /// leads nowhere.
    pub(super) fn end_of<'p>(&'p self, path: &'p str) -> &'p str {
        self.leads.get(Path::new(path)).and_then(|end| end.to_str()).unwrap_or(path)
    }

    /// What was read of a disk, as the guest's file says its format.
    pub(super) fn disk(&self, spec: &DiskSpec) -> Option<&Result<DiskRead, String>> {
        self.disks.get(&(PathBuf::from(spec.path()?), spec.format))
    }

    fn kernel(&mut self, probe: &dyn Probe, path: &Path) {
        if self.kernels.contains_key(path) {
            return;
        }
        let seen = match resolved(probe, path) {
            Ok(None) => KernelSeen::Absent,
            Ok(Some(target)) => kernel_at(probe, &target),
            Err(error) => KernelSeen::Unreadable(error.words),
        };
        self.kernels.insert(path.to_owned(), seen);
    }
}

/// The disks that a guest's system may be on, in the order of the file.
pub(super) fn system_disks<'a>(guest: &'a Guest<'_>) -> impl Iterator<Item = &'a DiskSpec> {
    let specs = guest.disks.iter().filter_map(|disk| disk.spec.as_ref().ok());
    specs.filter(|spec| !spec.cdrom && spec.format != Format::Empty).take(DISKS_LOOKED_AT)
}

/// Whether the guest boots by pygrub, whatever folder it is in.
pub(super) fn is_pygrub(guest: &Guest<'_>) -> bool {
    let loader = guest.filled("bootloader");
    loader.is_some_and(|loader| loader.rsplit('/').next() == Some("pygrub"))
}

/// The disks that a boot loader looks at: libxl hands pygrub the file's first one, a CD too, and no other.
pub(super) fn boot_disks<'a>(guest: &'a Guest<'_>, pygrub: bool) -> Vec<&'a DiskSpec> {
    if !pygrub {
        return system_disks(guest).collect();
    }
    let first = guest.disks.first().and_then(|disk| disk.spec.as_ref().ok());
    first.into_iter().filter(|spec| spec.format != Format::Empty).collect()
}

fn kernel_at(probe: &dyn Probe, path: &Path) -> KernelSeen {
    let bytes = match probe.read(path, KERNEL_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => return KernelSeen::Unreadable(error.words),
    };
    let image = match read(&bytes.as_slice()) {
        Ok(image) => image,
        Err(error) => return KernelSeen::Unreadable(error.to_string()),
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let config = beside::configurations(name, image.release.as_deref()).into_iter().find_map(|name| {
        let bytes = probe.read(&path.with_file_name(name), TEXT_LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    });
    KernelSeen::Read(Box::new(image), config)
}

/// The hypervisors that are installed, by their configurations.
fn installed(probe: &dyn Probe) -> Vec<Hypervisor> {
    let names = probe.list(Path::new("/boot")).unwrap_or_default();
    let found = names.iter().filter_map(|name| {
        let name = name.to_str()?;
        let config = probe.read(&Path::new("/boot").join(name), TEXT_LIMIT).ok();
        let config = config.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Hypervisor::installed(beside::hypervisor(name)?, config).ok()
    });
    found.collect()
}

/// The hypervisor that runs, or the newest that is installed.
fn now(probe: &dyn Probe, installed: &[Hypervisor]) -> Option<Hypervisor> {
    let part = |name: &str| {
        let path = Path::new("/sys/hypervisor/version").join(name);
        let bytes = probe.read(&path, 64).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let newest = || installed.iter().max_by_key(|xen| xen.release).cloned();
    let Some(release) = part("major").zip(part("minor")) else { return newest() };
    let release = format!("{}.{}", release.0, release.1).parse().ok()?;
    let here = installed.iter().find(|xen| xen.release == release).cloned();
    Some(here.unwrap_or_else(|| Hypervisor::of(release)))
}

fn codename(probe: &dyn Probe) -> String {
    let bytes = probe.read(Path::new("/etc/os-release"), TEXT_LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

/// Reads `virt_caps` of `xl info`: whether there is HVM, and whether there are nested page tables. Before Xen 4.12 the
/// line does not speak of them.
fn virt_caps(info: &str) -> Option<(Option<bool>, Option<bool>)> {
    let line = info.lines().find_map(|line| line.strip_prefix("virt_caps"))?;
    let words: Vec<&str> = line.trim_start_matches([' ', ':']).split_ascii_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let speaks = has("hap") || has("shadow") || has("pv");
    Some((Some(has("hvm")), speaks.then(|| has("hap"))))
}

/// What Linux says of the processor when it runs on it itself. Without `vmx` or `svm` nothing is known: a virtual machine
/// hides them, and so does firmware that switches them off.
fn processor(cpuinfo: &str) -> (Option<bool>, Option<bool>) {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let flags: Vec<&str> = line.unwrap_or_default().split_ascii_whitespace().collect();
    let has = |flag: &str| flags.contains(&flag);
    if !has("vmx") && !has("svm") {
        return (None, None);
    }
    (Some(true), Some(has("ept") || has("npt")))
}

#[cfg(test)]
mod tests {
    use super::{processor, virt_caps};

    #[test]
    fn what_the_processor_has_is_told_and_not_guessed() {
        let of = |line: &str| virt_caps(&format!("release : 6.1\nvirt_caps              : {line}\n"));
        assert_eq!(of("pv hvm hvm_directio pv_directio hap shadow"), Some((Some(true), Some(true))));
        assert_eq!(of("pv hvm shadow"), Some((Some(true), Some(false))));
        assert_eq!(of("hvm hvm_directio"), Some((Some(true), None)));
        assert_eq!(of(""), Some((Some(false), None)));
        assert_eq!(virt_caps("release : 6.1"), None);
        assert_eq!(processor("flags\t\t: fpu vmx ept\n"), (Some(true), Some(true)));
        assert_eq!(processor("flags\t\t: fpu svm\n"), (Some(true), Some(false)));
        assert_eq!(processor("flags\t\t: fpu hypervisor\n"), (None, None));
    }
}
