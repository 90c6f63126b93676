//! The kernel of dom0 that a new guest boots. Decides what is refused: one that is not there, that cannot be what the guest's
//! type asks, or that could not mount the disk.
//!
//! Never: copies a kernel, or makes it the guest's to delete.

use std::path::{Path, PathBuf};

use xenup_core::guest::create::{self, OwnKernel};
use xenup_core::kernel::Image;
use xenup_core::kernel::config::is_set;
use xenup_core::kernel::role::{Answer, Role, answer};
use xenup_system::files;

use crate::args::{GuestCreate, GuestKind};
use crate::commands::kernel_install::KERNELS;
use crate::commands::{kernel, machine};
use crate::error::CommandError;
use crate::ui::Ui;

/// Debian's configurations have 270 KB.
const CONFIG_LIMIT: u64 = 4 << 20;

/// A kernel of dom0 that the guest can boot.
pub struct Chosen {
    /// What the guest's file says of it.
    pub own: OwnKernel,
    /// Its release, where it loads modules.
    modules_of: Option<String>,
}

/// Returns the kernel that was asked for, where one was.
pub fn of(args: &GuestCreate) -> Result<Option<Chosen>, CommandError> {
    let Some(word) = &args.kernel else { return Ok(None) };
    let image = place(word)?;
    let ramdisk = args.ramdisk.as_deref().map(machine::absolute);
    for (option, path) in [("--kernel", Some(&image)), ("--ramdisk", ramdisk.as_ref())] {
        if let Some((path, why)) = path.and_then(|path| Some((path, create::unfit_disk_path(path)?))) {
            let error = CommandError::usage(format!("{option}: the path {} {why}", path.display()));
            return Err(error.hinted("xl reads it from one line of the guest's file: put a copy elsewhere"));
        }
    }
    if let Some(path) = ramdisk.as_deref().filter(|path| !files::size(path).is_ok_and(|size| size > 0)) {
        return Err(CommandError::usage(format!(
            "--ramdisk: {} is no file with anything in it",
            path.display()
        ))
        .hinted("name the initrd of that kernel, or leave --ramdisk out where it needs none"));
    }
    let modules_of = judge(&image, args)?;
    Ok(Some(Chosen { own: OwnKernel { image, ramdisk }, modules_of }))
}

impl Chosen {
    /// Says where the modules of the kernel are not: on a disk whose own kernels are `on_disk`.
    pub fn say_modules(&self, ui: &mut Ui, on_disk: &[String]) {
        if let Some(release) = self.modules_of.as_ref().filter(|release| !on_disk.contains(release)) {
            ui.warning(format!(
                "the modules of {release} are not on the guest's disk: in the guest, install the package that has them"
            ));
        }
    }
}

fn place(word: &str) -> Result<PathBuf, CommandError> {
    if word.contains('/') {
        return Ok(machine::absolute(Path::new(word)));
    }
    let named = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        files::exists(&path.join("vmlinuz")).then(|| name.to_owned())
    };
    let folders: Vec<String> =
        files::list(Path::new(KERNELS)).unwrap_or_default().iter().filter_map(named).collect();
    let folder = create::installed(word, &folders).map_err(|fault| {
        let hint = fault.hint();
        CommandError::usage(format!("--kernel: {fault}")).hinted(hint)
    })?;
    Ok(Path::new(KERNELS).join(folder).join("vmlinuz"))
}

/// The configuration of a kernel, where one lies beside it. `kernel install` gives each kernel a folder with one; elsewhere a
/// file of that name may be anything.
fn config(image: &Path, read: &Image) -> Option<String> {
    if image.starts_with(KERNELS) {
        let bytes = files::read_regular(&image.with_file_name("config"), CONFIG_LIMIT).ok()?;
        return String::from_utf8(bytes).ok();
    }
    kernel::config(image, read).map(|(_, text)| text)
}

/// Refuses what `kernel check` says no to; returns the release of a kernel that loads modules.
fn judge(image: &Path, args: &GuestCreate) -> Result<Option<String>, CommandError> {
    let read = kernel::open(image).map_err(|error| {
        CommandError::usage(error).hinted("name a kernel's own file, or one that kernel install put in place")
    })?;
    let config = config(image, &read);
    let role = if args.kind == GuestKind::Pv { Role::Pv } else { Role::Pvh };
    let xen = kernel::xen(None, Path::new("/boot"));
    let why = match answer(role, &read, config.as_deref(), &xen) {
        Answer::Yes { .. } => None,
        Answer::No { reason, change, .. } => Some((reason, change)),
        Answer::Unknown { why } => Some((why, format!("xenup kernel check {}", image.display()))),
    };
    if let Some((reason, hint)) = why {
        let words = format!("{} starts no {role} guest under Xen {}: {reason}", image.display(), xen.name);
        return Err(CommandError::refused(words).hinted(hint));
    }
    let lacking = config.as_deref().map(create::not_built_in).unwrap_or_default();
    if args.ramdisk.is_none() && !lacking.is_empty() {
        let words = format!(
            "{} cannot mount the guest's disk without a ramdisk: {} is not built in",
            image.display(),
            lacking.join(" and ")
        );
        return Err(CommandError::refused(words).hinted(
            "name its initrd: --ramdisk FILE; or build one that needs none: xenup kernel build domU-minimal",
        ));
    }
    let has_modules = config.is_some_and(|text| is_set(&text, "CONFIG_MODULES"));
    Ok(has_modules.then(|| read.release.unwrap_or_default()))
}
