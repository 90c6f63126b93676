//! `guest delete`: what `guest create` made for a guest, removed. Decides what is in the way, and what is left alone.
//!
//! Never: removes anything that the guest's record does not name, or that has become something else since.

use std::path::Path;

use xenup_core::guest::create::{self, Made, Record, Running};
use xenup_core::guest::list;
use xenup_engine::make::remove;
use xenup_image::guest::disk;
use xenup_machine::file::Kind;
use xenup_machine::{Probe, Reason};
use xenup_system::System;

use crate::args::GuestDelete;
use crate::commands::{guest_create, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

const RECORD_LIMIT: u64 = 1 << 20;

/// Removes a guest.
pub fn run(ui: &mut Ui, args: &GuestDelete) -> Outcome {
    let name = &args.name;
    machine::need_root(&format!("guest delete {name}"))?;
    let mut machine = machine::running()?;
    let _alone = guest_create::alone()?;
    let record = record(&machine, args)?;
    refuse_running(&machine, args)?;
    let mut going = Vec::new();
    for made in &record.made {
        match standing(&machine, &record, made)? {
            Standing::Gone => {}
            Standing::Ours => going.push(made),
            Standing::Other(why) => ui.warning(format!("{} is left: {why}", made.path().display())),
        }
    }
    refuse_shared(&machine, args, &record)?;
    for made in &going {
        ui.status(format!("{} {}", word(made), made.path().display()));
    }
    agree(ui, args, going.len())?;
    // The disk last but for the record: where something fails before it, the guest can still be started.
    for made in going.iter().rev() {
        remove(&mut machine, made.path()).map_err(machine::machine_error)?;
    }
    if let Some(disk) = record.made.iter().find(|made| matches!(made, Made::Disk(_))) {
        disk::sweep(disk.path()).map_err(CommandError::failed)?;
    }
    remove(&mut machine, &Record::path(name)).map_err(machine::machine_error)?;
    ui.status(format!("{name} is gone."));
    Ok(Exit::Done)
}

fn word(made: &Made) -> &'static str {
    match made {
        Made::Disk(_) => "disk",
        Made::Config(_) => "file",
        Made::Auto(_) => "link",
    }
}

fn record(probe: &dyn Probe, args: &GuestDelete) -> Result<Record, CommandError> {
    let name = &args.name;
    let path = Record::path(name);
    let bytes = match probe.read(&path, RECORD_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.reason == Reason::NotFound => {
            let words =
                format!("xenup guest create made no guest {name}: what it did not make it does not remove");
            return Err(CommandError::refused(words)
                .hinted("xenup guest list names each guest's file and disks: remove them by hand"));
        }
        Err(error) => return Err(machine::machine_error(error)),
    };
    Record::parse(name, &bytes).map_err(|fault| {
        CommandError::refused(format!("{}: {fault}", path.display()))
            .hinted(format!("remove the guest's files by hand, then: rm {}", path.display()))
    })
}

fn refuse_running(probe: &dyn Probe, args: &GuestDelete) -> Result<(), CommandError> {
    let name = &args.name;
    match create::running(probe, name).map_err(machine::machine_error)? {
        Running::No => Ok(()),
        Running::Yes => Err(CommandError::refused(format!("{name} runs"))
            .hinted(format!("xl shutdown -w {name}, then: xenup guest delete {name}"))),
        Running::Unknown(why) => {
            Err(CommandError::refused(format!("xl does not say whether {name} runs: {why}"))
                .hinted("systemctl status xen-init-dom0.service xenstored.service"))
        }
    }
}

/// What stands where something was made.
enum Standing {
    Gone,
    Ours,
    Other(String),
}

fn standing(probe: &dyn Probe, record: &Record, made: &Made) -> Result<Standing, CommandError> {
    let path = made.path();
    let entry = match probe.entry(path) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Standing::Gone),
        Err(error) if error.reason == Reason::NotFound => return Ok(Standing::Gone),
        Err(error) => return Err(machine::machine_error(error)),
    };
    let other = |why: &str| Ok(Standing::Other(why.to_owned()));
    match (made, entry.kind) {
        (Made::Disk(_), Kind::File { .. }) => Ok(Standing::Ours),
        (Made::Disk(_), _) => other("it is no file any more"),
        (Made::Config(_), Kind::File { .. }) => is_its_file(probe, record, path),
        (Made::Config(_), _) => other("it is no file any more"),
        (Made::Auto(_), Kind::Symlink { target }) => {
            let leads = record.made.iter().any(|made| matches!(made, Made::Config(path) if *path == target));
            if leads { Ok(Standing::Ours) } else { other("it leads elsewhere") }
        }
        (Made::Auto(_), _) => other("it is no link any more"),
    }
}

/// A file that half was written is ours too: it has no name to differ by.
fn is_its_file(probe: &dyn Probe, record: &Record, path: &Path) -> Result<Standing, CommandError> {
    let (files, _) = list::find(probe).map_err(machine::machine_error)?;
    let read = files.iter().filter_map(|one| one.file.as_ref().ok()).find(|file| file.path() == path);
    Ok(match read.map(|file| file.guest_name()) {
        Some(name) if name != record.name => Standing::Other(format!("it is the guest {name}'s now")),
        _ => Standing::Ours,
    })
}

/// A disk that another guest's file names stays, and so does everything else.
fn refuse_shared(probe: &System, args: &GuestDelete, record: &Record) -> Result<(), CommandError> {
    let listed = list::list(probe, &xenup_core::guest::Here::look(probe)).map_err(machine::machine_error)?;
    let others = listed.guests.iter().filter(|guest| guest.name != args.name.as_str());
    for guest in others {
        for made in &record.made {
            let shared = guest.disks.iter().any(|disk| {
                matches!(made, Made::Disk(path) if disk.target.as_deref().map(Path::new) == Some(path))
            });
            if shared {
                let words = format!("{} is a disk of {} too", made.path().display(), guest.path.display());
                return Err(CommandError::refused(words)
                    .hinted(format!("take it out of {} first", guest.path.display())));
            }
        }
    }
    Ok(())
}

fn agree(ui: &mut Ui, args: &GuestDelete, count: usize) -> Result<(), CommandError> {
    if args.yes || count == 0 {
        return Ok(());
    }
    if !ui.can_prompt() {
        return Err(CommandError::usage("nobody is there to be asked")
            .hinted(format!("xenup guest delete --yes {} removes it", args.name)));
    }
    match ui.confirm(&format!("Remove {} and all that is on its disk?", args.name)) {
        true => Ok(()),
        false => Err(CommandError::refused("not removed: nothing was changed")),
    }
}
