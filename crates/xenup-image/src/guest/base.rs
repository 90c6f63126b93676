//! The base: a Debian with kernel, GRUB and ssh that belongs to no guest yet. Made with root's rights, without a mount
//! of the disk; kept in the cache for a week.
//!
//! It decides what is in a base: Debian's cloud kernel with its initramfs, grub-xen (whose kernel hooks keep grub.cfg
//! fresh), who sets the network up, openssh without host keys, a getty on hvc0, and no password for anybody.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use xenup_core::guest::create::{CLOUD_INIT, SEED};
use xenup_system::files::{self, DiskFile, FileLock, WorkDir};
use xenup_system::process::Tool;
use xenup_system::tree::TreeFiles;

use super::kept::{self, About};
use crate::boot_loader::{self, Probed};
use crate::bootstrap::{Bootstrap, with_kernel};
use crate::configure::{apt, language, plain_grub, with_values};
use crate::error::{ImageError, during};
use crate::mirror::Mirror;
use crate::progress::{Progress, Steps};
use crate::spec::{SpecError, Suite, is_package};
use crate::system_tree::unpack;
use crate::tools;

/// A base's size in bytes: a guest's disk of this size needs no resizing, which is half of the time.
pub const SIZE: u64 = 10 << 30;
/// The least that a guest's disk can have: its packages need room to be upgraded.
pub const SMALLEST: u64 = 2 << 30;
/// A bootstrap takes one to two minutes here; this is for slow disks and links.
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(600);
/// How the names of work directories begin.
const WORK: &str = "guest-base-work-";
const OWNER: &str = "owner";
/// Where the archive's state stands in the tree until it was read.
const ARCHIVE: &str = "/.archive-state";

/// What the kernel is told: the console that Xen has for guests, and a NIC that is `eth0` in every release.
const CMDLINE: &str = "console=hvc0 net.ifnames=0";

const HOST_KEYS: &str = "\
[Unit]
Description=Make this machine's SSH host keys
Before=ssh.service ssh.socket
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
";

/// Who sets a guest's NIC up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// ifupdown.
    Ifupdown,
    /// systemd-networkd with systemd-resolved.
    Networkd,
    /// netplan on systemd-networkd with systemd-resolved.
    Netplan,
}

/// What a base is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseSpec {
    /// The release.
    pub suite: Suite,
    /// Who sets the NIC up.
    pub manager: Manager,
    /// Packages beside those that every base has.
    pub packages: Vec<String>,
}

impl BaseSpec {
    /// Checks what ends up on a command line.
    ///
    /// # Errors
    /// A text that is no package's name.
    pub fn validate(&self) -> Result<(), SpecError> {
        match self.packages.iter().find(|package| !is_package(package)) {
            None => Ok(()),
            Some(bad) => {
                Err(SpecError::Value { field: "package", value: bad.clone(), why: "is no package name" })
            }
        }
    }

    /// The packages that are named to mmdebstrap, sorted.
    #[must_use]
    pub fn all_packages(&self, mirror: &Mirror) -> Vec<String> {
        let network: &[&str] = match self.manager {
            Manager::Ifupdown => &["ifupdown", self.suite.dhcp_client()],
            Manager::Networkd => &["systemd-resolved"],
            Manager::Netplan => &["netplan.io", "systemd-resolved"],
        };
        let every = [
            "linux-image-cloud-amd64",
            "grub-xen",
            "systemd-sysv",
            "libpam-systemd",
            "dbus",
            "udev",
            "kmod",
            "e2fsprogs",
            "iproute2",
            "iputils-ping",
            "netbase",
            "openssh-server",
            "less",
            "procps",
        ];
        let certificates = mirror.over_https().then_some("ca-certificates");
        let named = every.iter().chain(network).copied().chain(certificates);
        let mut all: Vec<String> = named.map(str::to_owned).chain(self.packages.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// A base that is ready to be copied.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its file.
    pub image: PathBuf,
    /// What is known of it.
    pub about: About,
    /// Whether it was in the cache.
    pub kept: bool,
}

/// Where bases are kept.
#[must_use]
pub fn cache() -> PathBuf {
    files::cache_dir().join("guests")
}

/// Returns the base for `spec` out of `cache`, made where none is kept, it is older than a week, or `anew` is set. Two
/// at once wait for each other.
///
/// # Errors
/// Needs root. A kept base that somebody wrote to, no mirror, packages that cannot be had; then nothing new is kept.
pub fn ready(
    cache: &Path,
    spec: &BaseSpec,
    anew: bool,
    report: &mut dyn FnMut(Progress),
) -> Result<Base, ImageError> {
    spec.validate()?;
    let mirror = Mirror::of_this_machine()?;
    let packages = spec.all_packages(&mirror);
    let name = kept::file_name(spec.suite, &packages, &mirror)?;
    files::create_dir_all(cache)?;
    let _alone = FileLock::wait(&cache.join("lock"))?;
    kept::forget_old(cache)?;
    if !anew && let Some(base) = kept::find(cache, &name)? {
        return Ok(base);
    }
    if !files::is_root() {
        return Err(ImageError::NotRoot);
    }
    check_tools()?;
    sweep(cache)?;
    let work = WorkDir::new_in(cache, WORK)?;
    let _owner = FileLock::wait(&work.join(OWNER))?;
    make(cache, spec, &mirror, &packages, &name, &work, &mut Steps::new(report))
}

/// Returns the kept base for `spec`, where there is one that may be taken; nothing is made.
///
/// # Errors
/// As [`ready`].
pub fn kept(cache: &Path, spec: &BaseSpec) -> Result<Option<Base>, ImageError> {
    spec.validate()?;
    let mirror = Mirror::of_this_machine()?;
    let name = kept::file_name(spec.suite, &spec.all_packages(&mirror), &mirror)?;
    kept::find(cache, &name)
}

fn check_tools() -> Result<(), ImageError> {
    crate::tools::check_for(&[
        ("mmdebstrap", "mmdebstrap"),
        ("unshare", "util-linux"),
        ("mount", "mount"),
        ("tar", "tar"),
        ("chroot", "coreutils"),
        ("mke2fs", "e2fsprogs"),
    ])
}

/// Removes what killed runs left: work directories whose lock nobody holds.
fn sweep(cache: &Path) -> Result<(), ImageError> {
    let is_work =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WORK));
    for left in files::list(cache)?.into_iter().filter(is_work) {
        if FileLock::attempt(&left.join(OWNER))?.is_some() {
            files::remove_dir_all(&left)?;
        }
    }
    Ok(())
}

fn make(
    cache: &Path,
    spec: &BaseSpec,
    mirror: &Mirror,
    packages: &[String],
    name: &str,
    work: &WorkDir,
    steps: &mut Steps<'_>,
) -> Result<Base, ImageError> {
    let root = work.join("tree");
    steps.run("packages", |line| {
        let tar = work.join("tree.tar");
        let bootstrap = Bootstrap {
            suite: spec.suite,
            packages,
            mirror,
            work: &work.join("bootstrap"),
            limit: BOOTSTRAP_LIMIT,
        };
        // What the archive said of itself when the packages came from it.
        let state = format!("cat \"$1\"/var/lib/apt/lists/*Release | sha256sum > \"$1\"{ARCHIVE}");
        let own = |tool: Tool| with_kernel(tool).arg(format!("--customize-hook={state}"));
        bootstrap.to_tar(&tar, own, line)?;
        unpack(&tar, &root)?;
        files::remove_file(&tar).map_err(ImageError::from)
    })?;
    let tree = TreeFiles::open(&root)?;
    let file_system = uuid()?;
    let archive = steps.run("configuration", |_| configure(spec, mirror, &tree))?;
    let grub_config = steps.run("boot loader", |_| {
        let probed = Probed {
            device: "/dev/xvda",
            drive: "(hostdisk//dev/xvda)",
            partition_map: "",
            partition: "",
            module: "ext2",
            uuid: &file_system,
        };
        boot_loader::make_config(&probed, None, &tree)?;
        tree.read_text(Path::new("/boot/grub/grub.cfg")).map_err(ImageError::from)
    })?;
    let kernels = kernels(&tree)?;
    let image = work.join("base.img");
    steps.run("file system", |_| write_image(&root, &file_system, &image))?;
    let about = About::new(spec.suite, packages, file_system, grub_config, kernels, archive);
    steps.run("digest", |_| kept::keep(cache, name, &image, about))
}

/// Makes the tree what every guest is; returns the archive's state.
fn configure(spec: &BaseSpec, mirror: &Mirror, tree: &TreeFiles) -> Result<String, ImageError> {
    let write = |path: &str, text: &str| tree.write(Path::new(path), 0o644, text.as_bytes());
    let said = tree.read_text(Path::new(ARCHIVE))?;
    let archive = said.split_whitespace().next().unwrap_or_default().to_owned();
    tree.remove_file(Path::new(ARCHIVE))?;
    // Empty: systemd makes one at the first boot (machine-id(5)).
    write("/etc/machine-id", "")?;
    language(tree, "C.UTF-8")?;
    apt(spec.suite, mirror, tree)?;
    let ssh = Path::new("/etc/ssh");
    for name in tree.names(ssh)?.iter().filter(|name| name.starts_with("ssh_host_")) {
        tree.remove_file(&ssh.join(name))?;
    }
    write("/etc/systemd/system/ssh-host-keys.service", HOST_KEYS)?;
    let units = Path::new("/etc/systemd/system");
    tree.symlink(
        Path::new("/etc/systemd/system/ssh-host-keys.service"),
        &units.join("multi-user.target.wants/ssh-host-keys.service"),
    )?;
    tree.symlink(
        Path::new("/lib/systemd/system/serial-getty@.service"),
        &units.join("getty.target.wants/serial-getty@hvc0.service"),
    )?;
    if spec.manager != Manager::Ifupdown {
        tools::inside(tree.path(), "systemctl")
            .args(["enable", "systemd-networkd.service", "systemd-resolved.service"])
            .timeout(LIMIT)
            .run()
            .map_err(during("enabling systemd-networkd (systemctl)"))?;
    }
    // What is written into a copy has its folder here: debugfs makes none.
    tree.directory(Path::new("/root/.ssh"), 0o700)?;
    if spec.manager == Manager::Netplan {
        tree.directory(Path::new("/etc/netplan"), 0o755)?;
    }
    if spec.packages.iter().any(|package| package == CLOUD_INIT) {
        tree.directory(Path::new(SEED), 0o755)?;
    }
    grub_defaults(tree)?;
    Ok(archive)
}

/// /etc/default/grub, from what Debian's GRUB ships where its package has not put one there.
fn grub_defaults(tree: &TreeFiles) -> Result<(), ImageError> {
    let (place, shipped) = (Path::new("/etc/default/grub"), Path::new("/usr/share/grub/default/grub"));
    let from = if tree.exists(place)? { place } else { shipped };
    let mut values = plain_grub(2, CMDLINE);
    values.push(("GRUB_TERMINAL", "console".to_owned()));
    let text = with_values(&tree.read_text(from)?, values);
    Ok(tree.write(place, 0o644, text.as_bytes())?)
}

fn kernels(tree: &TreeFiles) -> Result<Vec<String>, ImageError> {
    let names = tree.names(Path::new("/boot"))?;
    let kernels: Vec<String> =
        names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).map(str::to_owned).collect();
    let has_initramfs = |kernel: &String| names.contains(&format!("initrd.img-{kernel}"));
    if kernels.is_empty() || !kernels.iter().all(has_initramfs) {
        return Err(ImageError::Incomplete { what: "kernel with an initramfs", path: "/boot".into() });
    }
    Ok(kernels)
}

fn write_image(tree: &Path, uuid: &str, image: &Path) -> Result<(), ImageError> {
    drop(DiskFile::create(image, SIZE)?);
    Tool::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1"])
        // GRUB 2.06, Debian 12's, reads neither of the two.
        .args(["-O", "^metadata_csum_seed,^orphan_file"])
        .args(["-U", uuid, "-E", "root_owner=0:0,assume_storage_prezeroed=1,nodiscard", "-d"])
        .arg(tree)
        .arg(image)
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("writing the base's file system (mke2fs)"))?;
    Ok(())
}

/// A random UUID, as the kernel makes them.
fn uuid() -> Result<String, ImageError> {
    Ok(files::read_text(Path::new("/proc/sys/kernel/random/uuid"))?.trim().to_owned())
}
