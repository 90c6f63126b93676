//! `image build`: a disk of a Xen host. Decides what is asked for, and in which order it is looked at; what a host comes
//! to is xenup-core's, and how its disk is made xenup-image's.
//!
//! Never: writes to a disk of this machine, or replaces a file unasked.

use std::path::{Path, PathBuf};

use xenup_core::guest::create::Addresses;
use xenup_core::host::Host;
use xenup_core::image::{self, HostImage, NewFile, Wanted};
use xenup_core::inspect::{Finding, Weight};
use xenup_core::install::{self, Answers, personal};
use xenup_image::host::{self, Deb, HostSpec};
use xenup_image::medium::MediumSpec;
use xenup_image::{ExtraFile, FileSystem, Format, ImageError, ImageSpec, Progress, Serial, StepTime};
use xenup_machine::Probe;
use xenup_machine::file::Kind;
use xenup_system::{files, namespace};

use crate::args::{Image, ImageBuild, ImageKind};
use crate::commands::{guest_create, machine, plan};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Answers are a page.
const ANSWERS_LIMIT: u64 = 1 << 20;
/// A password's hash is a line.
const HASH_LIMIT: u64 = 4096;
/// The tree, its archive and the raw disk lie beside each other for a while: 1.5 GiB each.
const WORK_ROOM: u64 = 5 << 30;
/// With btrfs a file of the root alone besides.
const BTRFS_ROOM: u64 = 3 << 29;
/// The finished file.
const OUT_ROOM: u64 = 2 << 30;

/// Builds an image, or shows it.
pub fn run(ui: &mut Ui, args: &Image) -> Outcome {
    let Image::Build(args) = args;
    let (format, is_medium) = format(args)?;
    refuse_file_system(args, is_medium)?;
    let probe = machine::running()?;
    refuse_place(&probe, args)?;
    let mut host = plan::read_host(&args.host)?;
    let mut host_text = files::read_text(&args.host).map_err(CommandError::usage)?;
    let answers = answers(args, is_medium)?;
    if is_medium {
        host_text = personal::for_medium(&host_text).map_err(CommandError::usage)?;
        host = Host::parse(&args.host, host_text.as_bytes()).map_err(CommandError::usage)?;
    }
    let mut made = Made::of(args, format, is_medium, &host, &host_text)?;
    if is_medium {
        made.spec.medium = Some(medium(args, &made, &host_text, answers));
    }
    if args.dry_run {
        say_findings(ui, &made.image.findings);
        return show(ui, &made);
    }
    let cache = files::cache_dir();
    let more = if made.spec.disk.filesystem == FileSystem::Btrfs { BTRFS_ROOM } else { 0 };
    refuse_room(&probe, &cache, WORK_ROOM + more, "the build")?;
    refuse_room(&probe, &machine::absolute(&args.out), OUT_ROOM, "the disk's file")?;
    if !args.in_namespace {
        return again(&cache);
    }
    say_findings(ui, &made.image.findings);
    if made.spec.package.is_none() && !is_medium {
        ui.status("xenup itself is not in the image: --package xenup_VERSION_amd64.deb puts it there");
    }
    build(ui, args, &made, &cache)
}

/// Runs this verb again where it may mount, and is root over the image's files.
fn again(cache: &Path) -> Outcome {
    if let Some(obstacle) = namespace::obstacle() {
        let hint = obstacle.hint();
        return Err(CommandError::refused(obstacle).hinted(hint));
    }
    let arguments = std::env::args_os().skip(1).chain(["--in-namespace".into()]);
    match namespace::again(arguments, cache.parent()) {
        Ok(Some(code)) => Ok(Exit::from_code(code)),
        Ok(None) => {
            Err(CommandError::failed("the build was ended by a signal; the next one sweeps up after it"))
        }
        Err(error) => Err(CommandError::failed(format!("unshare cannot be run: {error}"))
            .hinted("apt-get install util-linux")),
    }
}

/// What a medium answers by itself, read so that a mistake is told now and not on a machine.
fn answers(args: &ImageBuild, is_medium: bool) -> Result<Option<Vec<u8>>, CommandError> {
    if !is_medium {
        return match &args.answers {
            None => Ok(None),
            Some(_) => Err(CommandError::usage("a disk asks nothing: --answers is for a medium")
                .hinted("call the file FILE.iso, or leave --answers out")),
        };
    }
    if !args.address.is_empty() || !args.gateway.is_empty() || !args.dns.is_empty() {
        return Err(CommandError::usage("a medium asks each machine for its address")
            .hinted("write address = \"…\" in a file for --answers, see answers.toml(5)"));
    }
    if args.package.is_none() {
        return Err(CommandError::usage("a medium needs xenup's own package: its program runs on it")
            .hinted("--package xenup_VERSION_amd64.deb"));
    }
    let Some(path) = &args.answers else { return Ok(None) };
    let bytes = files::read_regular(path, ANSWERS_LIMIT).map_err(CommandError::usage)?;
    Answers::parse(path, &bytes).map_err(CommandError::usage)?;
    Ok(Some(bytes))
}

fn medium(args: &ImageBuild, made: &Made, host_text: &str, answers: Option<Vec<u8>>) -> MediumSpec {
    let disk = &made.spec.disk;
    let about = install::Made {
        host: host_text.to_owned(),
        hostname: disk.hostname.clone(),
        codename: args.suite.name().to_owned(),
        root: made.spec.identity.root.clone(),
        cmdline: disk.full_cmdline(),
        volumes: args.lvm,
        keys: disk.ssh_authorized_keys.clone(),
        password: disk.root_password_hash.is_some(),
    };
    MediumSpec { made: about, answers }
}

/// The format of the disk, and whether it goes onto a medium.
fn format(args: &ImageBuild) -> Result<(Format, bool), CommandError> {
    let kind = args.format.or_else(|| match args.out.extension()?.to_str()? {
        "raw" | "img" => Some(ImageKind::Raw),
        "qcow2" => Some(ImageKind::Qcow2),
        "zst" => Some(ImageKind::RawZst),
        "iso" => Some(ImageKind::Iso),
        _ => None,
    });
    match kind {
        Some(ImageKind::Raw) => Ok((Format::Raw, false)),
        Some(ImageKind::Qcow2) => Ok((Format::Qcow2, false)),
        Some(ImageKind::RawZst) => Ok((Format::RawZst, false)),
        Some(ImageKind::Iso) => Ok((Format::Raw, true)),
        None => Err(CommandError::usage(format!("{}: its ending tells no format", args.out.display()))
            .hinted("call it FILE.raw, FILE.qcow2, FILE.raw.zst or FILE.iso, or say --format")),
    }
}

/// btrfs where there is room for it, and where nothing is written into a file system that is not mounted.
fn refuse_file_system(args: &ImageBuild, is_medium: bool) -> Result<(), CommandError> {
    if args.filesystem == FileSystem::Ext4 {
        return Ok(());
    }
    if is_medium {
        return Err(CommandError::usage(
            "a medium installs ext4 alone: its installer writes keys and addresses into a root that is not mounted",
        )
        .hinted("leave --filesystem out, or build a disk with btrfs: FILE.raw"));
    }
    let least = FileSystem::Btrfs.smallest();
    if args.size < least {
        return Err(CommandError::usage(format!(
            "a host's disk with btrfs has {}G at least: /boot has 1G for itself",
            least >> 30
        ))
        .hinted("--size 4G, or more"));
    }
    Ok(())
}

/// The file's place: nothing is there, or a file that may be replaced.
fn refuse_place(probe: &dyn Probe, args: &ImageBuild) -> Result<(), CommandError> {
    let place = machine::absolute(&args.out);
    let shown = args.out.display();
    let entry = probe.entry(&place).map_err(machine::machine_error)?;
    match entry.map(|entry| entry.kind) {
        None => {}
        Some(Kind::File { .. }) if args.force => {}
        Some(Kind::File { .. }) => {
            return Err(CommandError::refused(format!("{shown} is there already, and is not replaced"))
                .hinted("name another file, or say --force"));
        }
        Some(Kind::Special) => {
            let words = format!("{shown} is a device, and nothing is written to one here");
            let hint = "build FILE.raw, look which disk it is to go to, then: dd if=FILE.raw of=DISK bs=4M conv=fsync";
            return Err(CommandError::refused(words).hinted(hint));
        }
        Some(Kind::Dir | Kind::Symlink { .. }) => {
            return Err(CommandError::refused(format!("{shown} is a folder or a link, and is not replaced"))
                .hinted("name the file itself"));
        }
    }
    let folder = place.parent().unwrap_or(Path::new("/"));
    let there = probe.entry(folder).map_err(machine::machine_error)?;
    if there.is_some_and(|entry| matches!(entry.kind, Kind::Dir | Kind::Symlink { .. })) {
        return Ok(());
    }
    let folder = args.out.parent().unwrap_or(Path::new("/")).display();
    Err(CommandError::usage(format!("there is no folder {folder}")).hinted(format!("mkdir -p {folder}")))
}

fn refuse_room(probe: &dyn Probe, place: &Path, needed: u64, what: &str) -> Result<(), CommandError> {
    let room = place.ancestors().find_map(|dir| Some((dir, probe.space(dir).ok()?)));
    match room {
        Some((dir, space)) if space.free < needed => {
            let (needed, free, dir) = (needed >> 20, space.free >> 20, dir.display());
            Err(CommandError::refused(format!("{what} takes {needed} MiB, and {dir} has {free} MiB free"))
                .hinted(format!("make room: df -h {dir}; the build's place is XDG_CACHE_HOME")))
        }
        _ => Ok(()),
    }
}

/// What is to be built: as the core thinks it, and as the disk is made.
struct Made {
    image: HostImage,
    spec: HostSpec,
}

impl Made {
    fn of(
        args: &ImageBuild,
        format: Format,
        is_medium: bool,
        host: &Host,
        host_text: &str,
    ) -> Result<Self, CommandError> {
        let addresses = Addresses::of(&args.address, &args.gateway, &args.dns).map_err(|fault| {
            let hint = fault.hint();
            CommandError::usage(fault).hinted(hint)
        })?;
        let mut disk = disk(args, format, is_medium, host)?;
        let package = args.package.as_deref().map(machine::absolute);
        let package = package.as_deref().map(Deb::read).transpose().map_err(guest_create::image_failed)?;
        let given = [
            host_text,
            args.locale.as_deref().unwrap_or_default(),
            args.timezone.as_deref().unwrap_or_default(),
            package.as_ref().map_or("", |package| &package.digest),
            if args.lvm { "lvm" } else { "" },
            &serde_json::to_string(&addresses).map_err(CommandError::failed)?,
        ];
        let identity = host::identity(&disk, &given).map_err(guest_create::image_failed)?;
        let cmdline = disk.full_cmdline();
        let wanted = Wanted {
            host,
            host_text,
            hostname: &args.name,
            codename: args.suite.name(),
            addresses: &addresses,
            root: &identity.root,
            cmdline: &cmdline,
            volumes: args.lvm,
        };
        let image = image::of(&wanted).map_err(refused)?;
        disk.extra_files.extend(image.files.iter().map(extra_file));
        let edits = image.edits.iter().map(|edit| (edit.path.clone(), edit.lines.clone()));
        let spec = HostSpec {
            edits: edits.collect(),
            links: image.wants.clone(),
            menu: image.menu.clone(),
            locale: args.locale.clone(),
            time_zone: args.timezone.clone(),
            disk,
            identity,
            package,
            medium: None,
        };
        host::validate(&spec).map_err(guest_create::image_failed)?;
        Ok(Self { image, spec })
    }
}

fn extra_file(file: &NewFile) -> ExtraFile {
    ExtraFile { path: file.path.clone(), mode: file.mode, bytes: file.text.clone().into_bytes() }
}

/// The disk before the files that name its identifiers.
fn disk(args: &ImageBuild, format: Format, is_medium: bool, host: &Host) -> Result<ImageSpec, CommandError> {
    let mut disk = ImageSpec::plain(args.suite).on(args.filesystem);
    disk.packages.extend(image::packages(host, args.lvm));
    disk.hostname = args.name.clone();
    disk.size = args.size;
    disk.format = format;
    disk.first_boot = true;
    disk.masked_units = Vec::new();
    disk.nameservers = args.dns.iter().map(ToString::to_string).collect();
    let serial = host.xen.console.and_then(|console| console.serial);
    disk.serial = serial.map(|serial| Serial { unit: serial.port.saturating_sub(1), speed: serial.speed });
    for path in &args.ssh_key {
        disk.ssh_authorized_keys.extend(guest_create::read_keys(path, "")?);
    }
    if let Some(path) = &args.root_password_hash {
        let bytes = files::read_regular(path, HASH_LIMIT).map_err(CommandError::usage)?;
        disk.root_password_hash = Some(String::from_utf8_lossy(&bytes).trim().to_owned());
    }
    // An installer asks who may.
    if !is_medium && disk.ssh_authorized_keys.is_empty() && disk.root_password_hash.is_none() {
        return Err(CommandError::usage("nobody could log in: no key and no password was named")
            .hinted("name your public key: --ssh-key ~/.ssh/id_ed25519.pub"));
    }
    disk.validate().map_err(|error| guest_create::image_failed(ImageError::Spec(error)))?;
    Ok(disk)
}

fn refused(found: Vec<Finding>) -> CommandError {
    let blocking: Vec<Finding> =
        found.into_iter().filter(|finding| finding.weight == Weight::Blocks).collect();
    let words: Vec<String> = blocking.iter().map(|finding| placed(finding) + &finding.why).collect();
    let error = CommandError::refused(words.join("\n"));
    blocking.into_iter().fold(error, |error, finding| error.hinted(finding.fix))
}

/// `host.toml:7: what; `
fn placed(finding: &Finding) -> String {
    let at = match finding.at.first() {
        Some(at) if at.line > 0 => format!("{}:{}: ", at.path.display(), at.line),
        Some(at) => format!("{}: ", at.path.display()),
        None => String::new(),
    };
    format!("{at}{}; ", finding.what)
}

/// Notes of a plan are about a running machine that changes.
fn say_findings(ui: &mut Ui, found: &[Finding]) {
    for finding in found.iter().filter(|finding| finding.weight == Weight::Warning) {
        ui.warning(format!("{}{}", placed(finding), finding.why));
        ui.hint(&finding.fix);
    }
}

fn show(ui: &mut Ui, made: &Made) -> Outcome {
    let (disk, identity) = (&made.spec.disk, &made.spec.identity);
    ui.heading(format!("{}: nothing of this is written", disk.hostname));
    ui.result(format!("release   {}", disk.suite.title()));
    let (size, filesystem) = (disk.size >> 20, disk.filesystem.name());
    ui.result(format!("disk      {size} MiB; the root is {filesystem}, its UUID is {}", identity.root));
    if disk.filesystem == FileSystem::Btrfs {
        ui.result("          /boot is on an ext4 of its own, where GRUB can write what a trial boot needs");
    }
    ui.result(format!("packages  {}", disk.packages.join(" ")));
    if let Some(package) = &made.spec.package {
        ui.result(format!("          xenup {}", package.version));
    }
    for key in &disk.ssh_authorized_keys {
        ui.result(format!("key       {key}"));
    }
    for file in &made.image.files {
        ui.heading(format!("\n{} (mode {:04o})", file.path.display(), file.mode));
        ui.result(file.text.trim_end());
    }
    for edit in &made.image.edits {
        ui.heading(format!("\n{}, as its package has it, but for", edit.path.display()));
        for line in &edit.lines {
            ui.result(format!("-{}\n+{}", line.from, line.to));
        }
    }
    for (link, target) in &made.image.wants {
        ui.heading(format!("\n{} -> {}", link.display(), target.display()));
    }
    ui.heading("\n/boot/grub/grub.cfg, by the release's own update-grub, has to say");
    for words in &made.image.menu {
        ui.result(words);
    }
    Ok(Exit::Done)
}

fn build(ui: &mut Ui, args: &ImageBuild, made: &Made, cache: &Path) -> Outcome {
    let cache: PathBuf = cache.join("images");
    let out = machine::absolute(&args.out);
    let mut tell = |progress: Progress| told(ui, &progress);
    let built = host::build_in(&cache, &made.spec, &out, &mut tell).map_err(guest_create::image_failed)?;
    let seconds: f64 = built.steps.iter().map(|time| time.elapsed.as_secs_f64()).sum();
    ui.status(format!("built in {seconds:.1} s"));
    let size = built.size >> 20;
    let what = if made.spec.medium.is_some() {
        format!("installs a disk of {size} MiB, starts by BIOS and by UEFI from a CD or a USB stick")
    } else {
        format!("{size} MiB, boots by BIOS and by UEFI")
    };
    ui.result(format!("{}: {what}", args.out.display()));
    ui.result(format!("sha256  {}", built.digest));
    ui.result(format!("xen     {}", built.hypervisors.join(", ")));
    ui.result(format!("linux   {}", built.kernels.join(", ")));
    ui.result(format!("archive {}", built.archive));
    if made.spec.medium.is_some() {
        ui.status(format!("onto a stick: dd if={} of=DISK bs=4M conv=fsync", args.out.display()));
    }
    if made.spec.disk.filesystem == FileSystem::Btrfs {
        ui.status("mkfs.btrfs draws UUIDs by chance: another build of the same has other bytes");
    }
    ui.status("its first boot says on the console whether it is a Xen host");
    Ok(Exit::Done)
}

fn told(ui: &mut Ui, progress: &Progress) {
    match progress {
        Progress::Started { step } => ui.status(format!("{step} …")),
        Progress::Line { .. } => {}
        Progress::Finished(StepTime { step, elapsed, cached }) => {
            let from = if *cached { " (kept from an earlier build)" } else { "" };
            ui.status(format!("{step} done in {:.1} s{from}", elapsed.as_secs_f64()));
        }
    }
}
