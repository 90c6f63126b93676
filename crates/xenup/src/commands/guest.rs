//! `xenup guest list`, `check`, `convert`: guest files, read and judged. Decides how the answers read.
//!
//! Never: judges a file (xenup-core does). `convert --in-place` is a run like any other, and can be rolled back.

use std::path::{Path, PathBuf};

use xenup_core::guest::convert::{self, Converted};
use xenup_core::guest::lint::{self, Checked, CheckedFile};
use xenup_core::guest::list::{self, ListedGuest, Unread};
use xenup_core::guest::{GuestError, GuestFile, Here, SIZE_LIMIT};
use xenup_core::inspect::Weight;
use xenup_machine::{Probe, Reason};
use xenup_system::files;

use crate::args::{Guest, GuestCheck, GuestConvert, GuestFiles};
use crate::commands::{
    apply, guest_create, guest_delete, guest_disk, guest_resize, inspect, machine, print_json,
};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Lists, checks or converts.
pub fn run(ui: &mut Ui, args: &Guest) -> Outcome {
    match args {
        Guest::List(args) => list(ui, args),
        Guest::Check(args) => check(ui, args),
        Guest::Convert(args) => convert(ui, args),
        Guest::Create(args) => guest_create::run(ui, args),
        Guest::Resize(args) => guest_resize::run(ui, args),
        Guest::Delete(args) => guest_delete::run(ui, args),
        Guest::Disk(args) => guest_disk::run(ui, args),
    }
}

/// Opens the running machine, or the one whose root is mounted at `root`.
pub fn opened(root: Option<&Path>) -> Result<Box<dyn Probe>, CommandError> {
    Ok(match root {
        None => Box::new(machine::running()?),
        Some(root) => Box::new(machine::tree(root)?),
    })
}

fn list(ui: &mut Ui, args: &GuestFiles) -> Outcome {
    let probe = opened(args.root.as_deref())?;
    let list = list::list(&*probe, &Here::look(&*probe)).map_err(machine::machine_error)?;
    if args.json {
        return print_json(ui, &serde_json::json!(list));
    }
    if list.guests.is_empty() && list.unread.is_empty() {
        ui.result(format!("No guest has a file in {}.", list::DIR));
    }
    for guest in &list.guests {
        print_guest(ui, guest);
    }
    for Unread { path, why } in &list.unread {
        ui.warning(format!("{}: {why}", path.display()));
    }
    Ok(Exit::Done)
}

fn print_guest(ui: &mut Ui, guest: &ListedGuest) {
    ui.heading(&guest.name);
    let memory = guest.memory.map_or("no memory given".to_owned(), |mib| format!("{mib} MiB"));
    let auto = if guest.auto.is_empty() { "" } else { ", starts with the host" };
    let vcpus = if guest.vcpus == 1 { "1 vcpu".to_owned() } else { format!("{} vcpus", guest.vcpus) };
    ui.result(format!("  {:<7} {}, {memory}, {vcpus}{auto}", "type", guest.kind.word()));
    ui.result(format!("  {:<7} {}", "file", guest.path.display()));
    for disk in &guest.disks {
        let target = disk.target.as_deref().unwrap_or("empty");
        let access = if disk.writable { "" } else { ", read only" };
        ui.result(format!("  {:<7} {target} ({}{access})", disk.vdev, disk.format));
    }
    if !guest.bridges.is_empty() {
        ui.result(format!("  {:<7} {}", "bridge", guest.bridges.join(", ")));
    }
}

fn check(ui: &mut Ui, args: &GuestCheck) -> Outcome {
    let probe = opened(args.root.as_deref())?;
    let here = Here::look(&*probe);
    let mut found: Vec<Result<GuestFile, GuestError>> = Vec::new();
    if args.files.is_empty() {
        let (files, unread) = list::find(&*probe).map_err(machine::machine_error)?;
        for Unread { path, why } in unread {
            ui.warning(format!("{}: {why}", path.display()));
        }
        found.extend(files.into_iter().map(|one| one.file));
    }
    for path in &args.files {
        found.push(read(path)?);
    }
    let checked = lint::check(&found, &here);
    let exit = if checked.blocks() { Exit::Refused } else { Exit::Done };
    if args.json {
        print_json(ui, &serde_json::json!(checked))?;
        return Ok(exit);
    }
    if checked.files.is_empty() {
        ui.result(format!("No guest has a file in {}.", list::DIR));
    }
    print_checked(ui, &checked);
    Ok(exit)
}

fn print_checked(ui: &mut Ui, checked: &Checked) {
    for CheckedFile { path, name, findings, .. } in &checked.files {
        let name = name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        let blocking = findings.iter().filter(|finding| finding.weight == Weight::Blocks).count();
        let count = match (blocking, findings.len() - blocking) {
            (0, 0) => "nothing to say".to_owned(),
            (blocking, others) => format!("{blocking} in the way, {others} to know"),
        };
        ui.heading(format!("{name}{}: {count}", path.display()));
        for finding in findings {
            inspect::print_finding(ui, finding);
        }
    }
    if !checked.across.is_empty() {
        ui.heading("Between guests");
    }
    for finding in &checked.across {
        inspect::print_finding(ui, finding);
    }
}

/// Reads a file that was named by the caller, wherever it is.
fn read(path: &Path) -> Result<Result<GuestFile, GuestError>, CommandError> {
    // Standard input and what a shell puts in the place of a file have a writer; any other pipe may have none.
    let given = path == Path::new("-") || path == Path::new("/dev/stdin") || path.starts_with("/dev/fd");
    let bytes = match given {
        true if path == Path::new("-") => files::read_start(Path::new("/dev/stdin"), SIZE_LIMIT + 1),
        true => files::read_start(path, SIZE_LIMIT + 1),
        false => files::read_regular(path, SIZE_LIMIT + 1),
    };
    let bytes =
        bytes.map_err(|error| CommandError::usage(error).hinted("xenup guest list names the guest files"))?;
    Ok(GuestFile::parse(path, bytes))
}

fn convert(ui: &mut Ui, args: &GuestConvert) -> Outcome {
    let refused = |error: GuestError| {
        let hint = error.hint();
        CommandError::refused(error).hinted(hint)
    };
    let file = read(&args.file)?.map_err(refused)?;
    let converted = convert::convert(&file).map_err(refused)?;
    match &args.out {
        Some(out) if out.as_os_str() == "-" => {
            ui.data(&converted.after);
            return Ok(Exit::Done);
        }
        _ => {}
    }
    if converted.changes() {
        ui.result(converted.diff(&args.file).trim_end());
    } else {
        ui.status(format!("{} is in today's form", args.file.display()));
    }
    if let Some(out) = &args.out {
        return write_out(ui, out, &converted);
    }
    if !converted.changes() {
        return Ok(Exit::Done);
    }
    if args.in_place {
        return in_place(ui, args, &converted);
    }
    ui.status(format!("next: xenup guest convert --in-place {}", args.file.display()));
    Ok(Exit::Done)
}

fn write_out(ui: &mut Ui, out: &Path, converted: &Converted) -> Outcome {
    if files::exists(out) {
        return Err(CommandError::refused(format!("{} is there already", out.display()))
            .hinted("name another file, or write over the guest's own with --in-place"));
    }
    files::write_atomic(out, converted.after.as_bytes(), 0o644).map_err(CommandError::failed)?;
    ui.status(format!("wrote {}", out.display()));
    Ok(Exit::Done)
}

/// Writes through the engine: what was there is kept, and `xenup rollback` brings it back.
fn in_place(ui: &mut Ui, args: &GuestConvert, converted: &Converted) -> Outcome {
    machine::need_root("guest convert --in-place")?;
    let running = machine::running()?;
    if let Some(run) = machine::store().newest_unfinished(&running).map_err(machine::engine_error)? {
        return Err(CommandError::refused(format!("run {} is not finished", run.id))
            .hinted("xenup status says what it waits for"));
    }
    let path = followed(&running, &args.file)?;
    let machine_id = running.read(Path::new("/etc/machine-id"), 1024).map_err(machine::machine_error)?;
    let plan = converted.plan(String::from_utf8_lossy(&machine_id).trim(), &path);
    apply::agree(ui, &plan, args.yes, apply::OTHERWISE)?;
    apply::carry_out(ui, &plan)
}

/// Returns the file itself, where the caller named a link such as those in /etc/xen/auto.
fn followed(probe: &dyn Probe, path: &Path) -> Result<PathBuf, CommandError> {
    let absolute = machine::absolute(path);
    match xenup_core::guest::followed(probe, &absolute) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(CommandError::usage(format!("{} leads to nothing", path.display()))),
        Err(error) if error.reason == Reason::NotFound => Err(CommandError::usage(error)),
        Err(error) => Err(machine::machine_error(error)),
    }
}
