//! `xenup kernel install`: a guest's kernel, put where guests find it; one for dom0 is left to `kernel_dom0`.
//!
//! Decides: what is looked for in a folder or a package, what is refused, and the lines of a guest's file. Never: touches
//! /boot, where a kernel would become dom0's, or replaces a kernel that guests may be started with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::kernel::beside;
use xenup_core::kernel::build::record::{self, Built};
use xenup_core::kernel::report::Checked;
use xenup_core::kernel::role::{Answer, Role};
use xenup_engine::digest::Digest;
use xenup_engine::make::{self, Part};
use xenup_machine::{Probe, Reason};
use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::process::Tool;
use xenup_system::{Environment, System};

use crate::args::KernelInstall;
use crate::commands::{apply_here, kernel, kernel_dom0, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Where guests' kernels are; each has a folder of its own.
pub const KERNELS: &str = "/var/lib/xenup/kernels";
/// An image has 15 MB.
const IMAGE_LIMIT: u64 = 512 << 20;
const RECORD_LIMIT: u64 = 1 << 20;

/// A kernel that is to be put in place.
struct Kernel {
    release: String,
    image: Vec<u8>,
    config: Vec<u8>,
    /// Its packages, for modules.
    packages: Vec<String>,
    checked: Checked,
    is_dom0: bool,
}

/// Puts a kernel in place.
pub fn install(ui: &mut Ui, args: &KernelInstall) -> Outcome {
    let from = &args.from;
    if let Some(name) = args.name.as_deref().filter(|name| !record::is_name(name)) {
        return Err(CommandError::usage(format!("`{}` is no name of a kernel", name.escape_debug()))
            .hinted("letters, digits, and . _ + ~ - behind the first"));
    }
    if !files::exists(from) {
        return Err(CommandError::usage(format!("{}: nothing is there", from.display()))
            .hinted("name the folder that xenup kernel build made, or a linux-image-*.deb"));
    }
    let unpacked;
    let kernel = match files::list(from) {
        Ok(_) => of_folder(from, args)?,
        Err(_) => {
            unpacked = unpack(from)?;
            of_package(unpacked.path(), from, args)?
        }
    };
    if kernel.is_dom0 && !args.guest {
        return for_dom0(ui, &kernel, args);
    }
    let line = guest_type(&kernel.checked).ok_or_else(|| cannot(&kernel, from))?;
    machine::need_root(&format!("kernel install {}", from.display()))?;
    let name = args.name.as_deref().unwrap_or(&kernel.release);
    let folder = Path::new(KERNELS).join(name);
    let mut machine = machine::running()?;
    let _alone = FileLock::wait(Path::new("/run/lock/xenup-kernels")).map_err(CommandError::failed)?;
    if is_there(&machine, &folder, &kernel)? {
        ui.status(format!("{} is there already", folder.display()));
    } else {
        put(&mut machine, &folder, &kernel)?;
        ui.status(format!("{}: installed", folder.display()));
    }
    ui.result(format!("kernel = \"{}\"", folder.join("vmlinuz").display()));
    ui.result(format!("type = \"{line}\""));
    ui.status("these lines go into the guest's file, with what its disk needs: cmdline = \"root=/dev/xvda1 ro console=hvc0\"");
    let config = String::from_utf8_lossy(&kernel.config);
    if config.lines().any(|line| line == "CONFIG_MODULES=y") {
        let packages: Vec<String> = kernel.packages.iter().map(|name| format!("./{name}")).collect();
        let packages = packages.join(" ");
        ui.status(format!("its modules go onto the guest's disk: in the guest, apt-get install {packages}"));
    }
    Ok(Exit::Done)
}

/// The best way in which a guest can be started with it.
fn guest_type(checked: &Checked) -> Option<&'static str> {
    let can = |role| {
        let verdict = checked.verdicts.iter().find(|verdict| verdict.role == role);
        verdict.is_some_and(|verdict| matches!(verdict.answer, Answer::Yes { .. }))
    };
    let types = [(Role::Pvh, "pvh"), (Role::Pv, "pv"), (Role::Hvm, "hvm")];
    types.into_iter().find(|(role, _)| can(*role)).map(|(_, word)| word)
}

fn cannot(kernel: &Kernel, from: &Path) -> CommandError {
    let pvh = kernel.checked.verdicts.iter().find(|verdict| verdict.role == Role::Pvh);
    let why = match pvh.map(|verdict| &verdict.answer) {
        Some(Answer::No { reason, .. }) => reason.clone(),
        Some(Answer::Unknown { why }) => why.clone(),
        _ => "nothing says that it can".to_owned(),
    };
    CommandError::refused(format!("{}: no guest can be started with this kernel: {why}", from.display()))
        .hinted("xenup kernel check says of each role what stops it; xenup kernel build makes one that can")
}

/// dom0's kernels come by their package, with their modules.
fn for_dom0(ui: &mut Ui, kernel: &Kernel, args: &KernelInstall) -> Outcome {
    let host = kernel_dom0::host(&kernel.release)?;
    let image = format!("linux-image-{}_", kernel.release);
    let package = kernel.packages.iter().find(|name| name.starts_with(&image));
    let deb = match (files::list(&args.from), package) {
        (Ok(_), Some(package)) => args.from.join(package),
        (Err(_), _) => args.from.clone(),
        (Ok(_), None) => {
            return Err(CommandError::usage(format!("{}: no package {image}*.deb", args.from.display()))
                .hinted("xenup kernel build makes it anew, into another folder"));
        }
    };
    kernel_dom0::install(ui, &host, &kernel.release, &deb, args)
}

/// Reads what `kernel build` made.
fn of_folder(folder: &Path, args: &KernelInstall) -> Result<Kernel, CommandError> {
    let path = folder.join(record::RESULT);
    let no_record = |error: Box<dyn std::error::Error>| {
        CommandError::usage(error)
            .hinted("name the folder that xenup kernel build made, or a linux-image-*.deb")
    };
    let bytes = files::read_regular(&path, RECORD_LIMIT).map_err(|error| no_record(error.into()))?;
    let built =
        Built::parse(&bytes).map_err(|error| no_record(format!("{} {error}", path.display()).into()))?;
    let read = |name: &String| -> Result<Vec<u8>, CommandError> {
        let path = folder.join(name);
        let bytes = files::read_regular(&path, IMAGE_LIMIT).map_err(CommandError::failed)?;
        match built.files.get(name).is_some_and(|digest| *digest == Digest::of(&bytes)) {
            true => Ok(bytes),
            false => Err(CommandError::refused(format!("{} is not as it was built", path.display()))
                .hinted("xenup kernel build makes it anew, into another folder")),
        }
    };
    let (image, config) = (read(&built.image)?, read(&built.config)?);
    let checked = checked(&folder.join(&built.image), &config, args)?;
    let is_dom0 = built.plays.contains(&Role::Dom0);
    Ok(Kernel { release: built.release, image, config, packages: built.packages, checked, is_dom0 })
}

fn unpack(package: &Path) -> Result<WorkDir, CommandError> {
    let work =
        WorkDir::new_in(&Environment::read().temporary(), "xenup-kernel-").map_err(CommandError::failed)?;
    let tool = Tool::new("dpkg-deb").arg("--extract").arg(package).arg(work.path());
    let output = tool.timeout(Duration::from_secs(900)).die_with_parent().output();
    let output = output.map_err(CommandError::failed)?;
    if !output.status.success() {
        let said = output.stderr_text();
        let said = said.lines().next_back().unwrap_or_default();
        return Err(CommandError::usage(format!("{} is not unpacked: {said}", package.display()))
            .hinted("name a linux-image-*.deb, or the folder that xenup kernel build made"));
    }
    Ok(work)
}

/// Finds the kernel of a package that was unpacked.
fn of_package(unpacked: &Path, package: &Path, args: &KernelInstall) -> Result<Kernel, CommandError> {
    let images: Vec<PathBuf> = files::list(&unpacked.join("boot"))
        .unwrap_or_default()
        .into_iter()
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| beside::version(name).is_some())
        })
        .collect();
    let [image] = images.as_slice() else {
        let words = format!("{}: {} kernels are in its /boot", package.display(), images.len());
        return Err(CommandError::usage(words).hinted("name a linux-image-*.deb, which has one"));
    };
    let name = image.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let release = beside::version(name).filter(|release| record::is_name(release)).ok_or_else(|| {
        CommandError::usage(format!("{}: `{}` is no kernel's name", package.display(), name.escape_debug()))
            .hinted("name a linux-image-*.deb")
    })?;
    let config_path = image.with_file_name(format!("config-{release}"));
    let config = files::read_regular(&config_path, IMAGE_LIMIT).unwrap_or_default();
    let bytes = files::read_regular(image, IMAGE_LIMIT).map_err(CommandError::failed)?;
    let checked = checked(image, &config, args)?;
    let dom0 = checked.verdicts.iter().find(|verdict| verdict.role == Role::Dom0);
    let is_dom0 = dom0.is_some_and(|verdict| matches!(verdict.answer, Answer::Yes { .. }));
    let packages =
        vec![package.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()];
    Ok(Kernel { release: release.to_owned(), image: bytes, config, packages, checked, is_dom0 })
}

fn checked(image: &Path, config: &[u8], args: &KernelInstall) -> Result<Checked, CommandError> {
    let xen = kernel::xen(args.xen, Path::new("/boot"));
    let read = kernel::open(image).map_err(CommandError::failed)?;
    let text = String::from_utf8_lossy(config).into_owned();
    let config = (!text.is_empty()).then(|| (image.to_owned(), text));
    Ok(Checked::read(image.to_owned(), read, config, &xen))
}

/// Whether this very kernel is there; another one is never replaced.
fn is_there(probe: &dyn Probe, folder: &Path, kernel: &Kernel) -> Result<bool, CommandError> {
    if probe.entry(folder).map_err(machine::machine_error)?.is_none() {
        return Ok(false);
    }
    let same = |name: &str, bytes: &[u8]| match probe.read(&folder.join(name), IMAGE_LIMIT) {
        Ok(there) => Ok(there == bytes),
        Err(error) if error.reason == Reason::NotFound => Ok(false),
        Err(error) => Err(machine::machine_error(error)),
    };
    if same("vmlinuz", &kernel.image)? && same("config", &kernel.config)? {
        return Ok(true);
    }
    let words = format!("{} has another kernel, which guests may be started with", folder.display());
    Err(CommandError::refused(words).hinted(format!(
        "give this one a name of its own: --name NAME; or, where no guest names it: rm -r {}",
        folder.display()
    )))
}

fn put(machine: &mut System, folder: &Path, kernel: &Kernel) -> Result<(), CommandError> {
    let stopped = apply_here::stop_signals().map_err(CommandError::failed)?;
    let stop = || stopped.load(std::sync::atomic::Ordering::Relaxed);
    let mut above: Vec<&Path> = folder.ancestors().filter(|path| path.parent().is_some()).collect();
    above.reverse();
    let mut parts: Vec<Part<'_>> = above.into_iter().map(|path| Part::Directory(path.to_owned())).collect();
    let file = |name: &str, bytes: &Vec<u8>| Part::File {
        path: folder.join(name),
        bytes: bytes.clone(),
        mode: 0o644,
    };
    parts.push(file("config", &kernel.config));
    parts.push(file("vmlinuz", &kernel.image));
    make::make(machine, parts, &stop).map_err(|error| {
        let exit = if error.left.is_empty() { Exit::FailedAndRestored } else { Exit::NotRestored };
        let cause = error.cause.as_ref().and_then(|cause| machine::hint_for_words(&cause.to_string()));
        let left = error.left.iter().map(|(path, why)| format!("rm {}: {why}", path.display()));
        let hints: Vec<String> = cause.into_iter().chain(left).collect();
        hints.into_iter().fold(CommandError::new(exit, error), CommandError::hinted)
    })
}
