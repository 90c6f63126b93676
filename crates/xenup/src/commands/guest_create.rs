//! `guest create`: a new guest's disk and file. Decides what is asked for, and in which order it is made; what a guest
//! comes to is xenup-core's, and how its disk is made xenup-image's.
//!
//! Never: starts a guest, or replaces a file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use xenup_core::guest::create::{
    self, Addresses, CLOUD_INIT, Identity, KeyFault, Manager, NewGuest, RECORDS, Record, Taken, Volume,
    Wanted,
};
use xenup_core::guest::{GuestFile, GuestType, Here, lint};
use xenup_core::inspect::{Finding, Weight};
use xenup_engine::make::{self, Part};
use xenup_image::guest::{Base, BaseSpec, Entry, GuestDisk, base};
use xenup_image::{ImageError, Progress, StepTime};
use xenup_machine::{Machine, Probe};
use xenup_system::files::FileLock;
use xenup_system::{System, files};

use crate::args::{GuestCreate, GuestKind, GuestNetwork};
use crate::commands::guest_hooks::{Calls, HookFailed};
use crate::commands::guest_kernel::{self, Chosen};
use crate::commands::guest_place::{self, Place};
use crate::commands::{apply_here, guest_inputs, inspect, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// A file of keys is some lines.
const KEYS_LIMIT: u64 = 1 << 20;
/// Where root's own keys are.
const OWN_KEYS: &str = "/root/.ssh/authorized_keys";

/// Makes a guest, or shows it.
pub fn run(ui: &mut Ui, args: &GuestCreate) -> Outcome {
    if !args.dry_run {
        machine::need_root(&format!("guest create {}", args.name))?;
    }
    let mut machine = machine::running()?;
    let spec = base_spec(args);
    spec.validate().map_err(|error| {
        CommandError::usage(error)
            .hinted("name one Debian package with each --package: apt-cache search WORD")
    })?;
    let (guest, kernel) = new_guest(&machine, args)?;
    refuse_taken(&machine, args, &guest)?;
    let place = guest_place::of(&machine, args)?;
    place.warning.iter().for_each(|warning| ui.warning(warning));
    refuse_findings(ui, &machine, &guest)?;
    say_lonely(ui, args);
    let calls = Calls::of_new(&machine, &guest)?;
    calls.warn(ui);
    if args.dry_run {
        return show(ui, args, &spec, &guest, &place, &calls);
    }
    let mut tell = |progress: Progress| told(ui, &progress);
    let base = base::ready(&base::cache(), &spec, args.rebuild, &mut tell).map_err(image_failed)?;
    say_base(ui, &base);
    if let Some(kernel) = &kernel {
        kernel.say_modules(ui, &base.about.kernels);
    }
    if guest.is_volume {
        place.say(ui, &base);
    } else {
        say_room(ui, &machine, args, &guest);
    }
    let times = carry_out(ui, &mut machine, args, &guest, &base, &calls)?;
    say_made(ui, &machine, &guest, &times);
    Ok(Exit::Done)
}

fn base_spec(args: &GuestCreate) -> BaseSpec {
    let manager = match args.network {
        GuestNetwork::Ifupdown => base::Manager::Ifupdown,
        GuestNetwork::Networkd => base::Manager::Networkd,
        GuestNetwork::Netplan => base::Manager::Netplan,
    };
    let cloud_init = args.cloud_init.as_ref().map(|_| CLOUD_INIT.to_owned());
    let packages = args.packages.iter().cloned().chain(cloud_init).collect();
    BaseSpec { suite: args.suite, manager, packages }
}

/// Returns the guest that is asked for, and the kernel of dom0 that it boots, where it does.
fn new_guest(probe: &dyn Probe, args: &GuestCreate) -> Result<(NewGuest, Option<Chosen>), CommandError> {
    let volume = args.volume.as_ref().map(|room| Volume::of_guest(room, &args.name));
    let disk = match &volume {
        Some(volume) => volume.path(),
        None => machine::absolute(&args.dir).join(format!("{}.img", args.name)),
    };
    if let Some(why) = create::unfit_disk_path(&disk) {
        let error = CommandError::usage(format!("--dir: the disk's path {} {why}", disk.display()));
        return Err(error.hinted("xl reads it from one line of the guest's file: name another folder"));
    }
    if let Some(swap) = args.swap
        && swap > args.size / 2
    {
        return Err(CommandError::usage("--swap takes more than half of the disk")
            .hinted("give it less, or the disk more: --size"));
    }
    let addresses = Addresses::of(&args.address, &args.gateway, &args.dns).map_err(|fault| {
        let hint = fault.hint();
        CommandError::usage(fault).hinted(hint)
    })?;
    let here = Here::look(probe);
    let bridge = create::bridge(probe, &here, args.bridge.as_deref()).map_err(|fault| {
        let hint = fault.hint();
        CommandError::refused(fault).hinted(hint)
    })?;
    let keys = keys(args)?;
    let kernel = guest_kernel::of(args)?;
    let wanted = Wanted {
        name: args.name.clone(),
        kind: if args.kind == GuestKind::Pv { GuestType::Pv } else { GuestType::Pvh },
        system: args.suite.title().to_owned(),
        memory: args.memory,
        vcpus: args.vcpus,
        disk,
        volume,
        bridge,
        addresses,
        manager: match args.network {
            GuestNetwork::Ifupdown => Manager::Ifupdown,
            GuestNetwork::Networkd => Manager::Networkd,
            GuestNetwork::Netplan => Manager::Netplan,
        },
        keys,
        swap: args.swap,
        auto: args.auto,
        kernel: kernel.as_ref().map(|kernel| kernel.own.clone()),
        user_data: guest_inputs::user_data(args)?,
        scripts: guest_inputs::scripts(args)?,
    };
    Ok((NewGuest::of(&wanted, identity(probe)?), kernel))
}

fn keys(args: &GuestCreate) -> Result<Vec<String>, CommandError> {
    let own = PathBuf::from(OWN_KEYS);
    let named = !args.ssh_key.is_empty();
    let paths = if named { args.ssh_key.as_slice() } else { std::slice::from_ref(&own) };
    let mut keys = Vec::new();
    for path in paths {
        let before = if named { "" } else { "no key was named, and this machine's root has none: " };
        keys.extend(read_keys(path, before)?);
    }
    Ok(keys)
}

/// Reads a file of public keys; `before` is said before why it cannot be read.
pub fn read_keys(path: &Path, before: &str) -> Result<Vec<String>, CommandError> {
    let bytes = files::read_regular(path, KEYS_LIMIT).map_err(|error| {
        let why = format!("{before}{error}: {}", error.source);
        CommandError::usage(why).hinted("name your public key: --ssh-key ~/.ssh/id_ed25519.pub")
    })?;
    create::authorized_keys(&String::from_utf8_lossy(&bytes)).map_err(|fault| {
        let hint = match fault {
            KeyFault::Private => "name the public one beside it, which ends in .pub",
            _ => "name your public key: --ssh-key ~/.ssh/id_ed25519.pub",
        };
        CommandError::usage(format!("{}: {fault}", path.display())).hinted(hint)
    })
}

/// Draws an identity whose address no guest file has.
fn identity(probe: &dyn Probe) -> Result<Identity, CommandError> {
    let taken = create::macs(probe).map_err(machine::machine_error)?;
    loop {
        let drawn = files::read_start(Path::new("/dev/urandom"), 35).map_err(CommandError::failed)?;
        let bytes: [u8; 35] = drawn
            .try_into()
            .map_err(|_| CommandError::failed("/dev/urandom gave fewer bytes than it was asked for"))?;
        let identity = Identity::from_random(bytes);
        if !taken.contains(&identity.mac) {
            return Ok(identity);
        }
    }
}

fn refuse_taken(probe: &dyn Probe, args: &GuestCreate, guest: &NewGuest) -> Result<(), CommandError> {
    let name = &args.name;
    let another = "take another name, or make it free";
    let (words, hint) = match create::taken(probe, name, guest).map_err(machine::machine_error)? {
        None => return Ok(()),
        Some(Taken::Name { file }) => {
            (format!("there is a guest {name} already: {}", file.display()), another.to_owned())
        }
        Some(Taken::Place(path)) => {
            (format!("{} is there already, and is not replaced", path.display()), another.to_owned())
        }
        Some(Taken::Record(path)) => (
            format!("{name} was made already, or its making was cut off: {}", path.display()),
            format!("xenup guest delete {name} removes what is left of it"),
        ),
        Some(Taken::Runs) => (format!("a guest {name} runs, without a file"), "xl list".to_owned()),
    };
    Err(CommandError::refused(words).hinted(hint))
}

/// Judges the new file as `guest check` does, but for the disk, which is not there yet.
fn refuse_findings(ui: &mut Ui, probe: &dyn Probe, guest: &NewGuest) -> Result<(), CommandError> {
    let found = findings(probe, guest)?;
    let before: Vec<&Finding> = found.iter().filter(|finding| finding.id != "guest-disk-absent").collect();
    for finding in before.iter().filter(|finding| finding.weight != Weight::Blocks) {
        ui.warning(format!("{}: {}; {}", finding.what, finding.why, finding.fix));
    }
    match before.iter().find(|finding| finding.weight == Weight::Blocks) {
        None => Ok(()),
        Some(finding) => {
            let words = format!("{}: {}", finding.what, finding.why);
            Err(CommandError::refused(words).hinted(finding.fix.clone()))
        }
    }
}

fn findings(probe: &dyn Probe, guest: &NewGuest) -> Result<Vec<Finding>, CommandError> {
    let file = GuestFile::parse(&guest.config, guest.config_text.clone().into_bytes())
        .map_err(CommandError::failed)?;
    Ok(lint::lint(&file, &Here::look(probe)))
}

fn show(
    ui: &mut Ui,
    args: &GuestCreate,
    spec: &BaseSpec,
    guest: &NewGuest,
    place: &Place,
    calls: &Calls,
) -> Outcome {
    let kept = base::kept(&base::cache(), spec).map_err(image_failed)?;
    ui.heading(format!("{}: nothing of this is written", guest.name));
    match kept {
        Some(base) => ui.result(format!("base      {}", base.image.display())),
        None => ui.result(format!("base      made first, in {}: none is kept", base::cache().display())),
    }
    let (size, kind) = (place.size >> 20, place.kind());
    ui.result(format!("disk      {} ({size} MiB, {kind})", guest.disk.display()));
    ui.result(format!("file      {}", guest.config.display()));
    if let Some(auto) = &guest.auto {
        ui.result(format!("link      {} -> {}", auto.display(), guest.config.display()));
    }
    ui.result(format!("record    {}", Record::path(&args.name).display()));
    calls.show(ui);
    ui.heading(format!("\n{}", guest.config.display()));
    ui.result(guest.config_text.trim_end());
    for entry in &guest.inside {
        match entry {
            create::Entry::Link { path, target } => {
                ui.heading(format!("\non its disk: {} -> {}", path.display(), target.display()));
            }
            create::Entry::Swap { path, size } => {
                ui.heading(format!("\non its disk: {} (swap, {} MiB)", path.display(), size >> 20));
            }
            create::Entry::File { path, mode, text } => {
                ui.heading(format!("\non its disk: {} (mode {mode:04o})", path.display()));
                ui.result(text.trim_end());
            }
        }
    }
    ui.heading("\non its disk: /boot/grub/grub.cfg (mode 0444)");
    ui.result(format!("the base's, with this guest's UUID {}", guest.identity.file_system));
    Ok(Exit::Done)
}

/// Makes record, disk, file and link, and tells the host's programs, in this order; whatever fails, nothing of them is left.
fn carry_out(
    ui: &mut Ui,
    machine: &mut System,
    args: &GuestCreate,
    guest: &NewGuest,
    base: &Base,
    calls: &Calls,
) -> Result<Vec<StepTime>, CommandError> {
    let _alone = alone()?;
    // Once more, now that nobody else makes a volume.
    let place = guest_place::of(machine, args)?;
    let stopped = apply_here::stop_signals().map_err(CommandError::failed)?;
    let stop = || stopped.load(std::sync::atomic::Ordering::Relaxed);
    let record = Record::of(guest).text().map_err(CommandError::failed)?;
    let entries: Vec<Entry> = guest.inside.iter().map(entry).collect();
    let wanted = GuestDisk {
        path: &guest.disk,
        size: place.size,
        file_system: &guest.identity.file_system,
        entries: &entries,
    };
    let mut times = Vec::new();
    let mut make_disk = |_: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
        times = place.make(base, &wanted)?;
        Ok(())
    };
    let mut remove_volume = |machine: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
        place.remove(machine, &guest.identity.file_system)
    };
    let record_path = Record::path(&args.name);
    let mut parts = directories(Path::new(RECORDS));
    parts.push(Part::File { path: record_path, bytes: record.into_bytes(), mode: 0o600 });
    if !guest.is_volume {
        parts.extend(directories(guest.disk.parent().unwrap_or(Path::new("/"))));
    }
    let unmake: Option<make::Maker<'_>> = if guest.is_volume { Some(&mut remove_volume) } else { None };
    parts.push(Part::Other { path: guest.disk.clone(), make: &mut make_disk, unmake });
    let text = guest.config_text.clone().into_bytes();
    parts.extend(guest.config.parent().map(directories).unwrap_or_default());
    parts.push(Part::File { path: guest.config.clone(), bytes: text, mode: 0o644 });
    if let Some(auto) = &guest.auto {
        parts.extend(auto.parent().map(directories).unwrap_or_default());
        parts.push(Part::Link { path: auto.clone(), target: guest.config.clone() });
    }
    let ui = RefCell::new(ui);
    let mut tell = |_: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
        Ok(calls.created(&mut ui.borrow_mut())?)
    };
    let mut take_back = |_: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
        calls.taken_back(&mut ui.borrow_mut());
        Ok(())
    };
    let what = PathBuf::from(create::HOOKS);
    parts.push(Part::Call { what, make: &mut tell, unmake: &mut take_back });
    make::make(machine, parts, &stop).map_err(not_made)?;
    Ok(times)
}

/// The right to make or remove guests; another that does is waited for.
pub fn alone() -> Result<FileLock, CommandError> {
    FileLock::wait(Path::new("/run/lock/xenup-guests")).map_err(CommandError::failed)
}

/// A directory with those above it, the uppermost first.
fn directories<'a>(path: &Path) -> Vec<Part<'a>> {
    let mut above: Vec<&Path> = path.ancestors().filter(|path| path.parent().is_some()).collect();
    above.reverse();
    above.into_iter().map(|path| Part::Directory(path.to_owned())).collect()
}

fn entry(entry: &create::Entry) -> Entry {
    match entry.clone() {
        create::Entry::Swap { path, size } => Entry::Swap { path, size },
        create::Entry::File { path, mode, text } => Entry::File { path, mode, bytes: text.into_bytes() },
        create::Entry::Link { path, target } => Entry::Link { path, target },
    }
}

fn not_made(error: make::NotMade) -> CommandError {
    let exit = if error.left.is_empty() { Exit::FailedAndRestored } else { Exit::NotRestored };
    let mut hints: Vec<String> = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.cause.as_deref();
    while let Some(error) = cause {
        let image = error.downcast_ref::<ImageError>().and_then(ImageError::hint);
        let hook = error.downcast_ref::<HookFailed>().map(HookFailed::hint);
        hints.extend(image.or(hook).or_else(|| machine::hint_for_words(&error.to_string())));
        cause = error.source();
    }
    hints.truncate(1);
    for (path, why) in &error.left {
        let tool = if path.starts_with("/dev") { "lvremove" } else { "rm" };
        hints.push(format!("{tool} {}: {why}", path.display()));
    }
    hints.into_iter().fold(CommandError::new(exit, error), CommandError::hinted)
}

pub fn image_failed(error: ImageError) -> CommandError {
    let hint = error.hint();
    let usage = matches!(error, ImageError::Spec(_) | ImageError::NotRoot | ImageError::NotThePackage { .. });
    let failed = if usage { CommandError::usage(error) } else { CommandError::failed(error) };
    match hint {
        Some(hint) => failed.hinted(hint),
        None => failed,
    }
}

fn told(ui: &mut Ui, progress: &Progress) {
    match progress {
        Progress::Started { step } => ui.status(format!("base: {step} …")),
        Progress::Line { .. } => {}
        Progress::Finished(StepTime { step, elapsed, .. }) => {
            ui.status(format!("base: {step} done in {:.1} s", elapsed.as_secs_f64()));
        }
    }
}

fn say_base(ui: &mut Ui, base: &Base) {
    let kernels = base.about.kernels.join(", ");
    let from = if base.kept { "kept" } else { "made" };
    ui.status(format!("base: {from}, {}, kernel {kernels}", base.image.display()));
}

/// A static address alone reaches the bridge's own network, by numbers.
fn say_lonely(ui: &mut Ui, args: &GuestCreate) {
    if args.address.is_empty() || args.address.iter().any(|address| address == "dhcp") {
        return;
    }
    if args.gateway.is_empty() {
        ui.warning("without --gateway the guest reaches its own network alone");
    }
    if args.dns.is_empty() {
        ui.warning("without --dns the guest knows no name server");
    }
}

/// A sparse file fills up later: that is said now.
fn say_room(ui: &mut Ui, probe: &dyn Probe, args: &GuestCreate, guest: &NewGuest) {
    let room = guest.disk.ancestors().skip(1).find_map(|dir| Some((dir, probe.space(dir).ok()?)));
    if let Some((dir, space)) = room
        && space.free < args.size
    {
        let (size, free) = (args.size >> 20, space.free >> 20);
        ui.warning(format!("the disk can grow to {size} MiB, and {} has {free} MiB free", dir.display()));
    }
}

fn say_made(ui: &mut Ui, probe: &dyn Probe, guest: &NewGuest, times: &[StepTime]) {
    let seconds: f64 = times.iter().map(|time| time.elapsed.as_secs_f64()).sum();
    let steps: Vec<String> =
        times.iter().map(|time| format!("{} {:.2} s", time.step, time.elapsed.as_secs_f64())).collect();
    ui.status(format!("disk: {seconds:.2} s ({})", steps.join(", ")));
    for finding in findings(probe, guest).unwrap_or_default() {
        inspect::print_finding(ui, &finding);
    }
    ui.result(format!("{}: {}, {}", guest.name, guest.config.display(), guest.disk.display()));
    ui.result(format!("address of its NIC: {}", guest.identity.mac));
    ui.status(format!("next: xl create -c {}", guest.config.display()));
}
