//! `guest delete`: what `guest create` made for a guest, removed. Decides what is in the way, and what is left alone.
//!
//! Never: removes anything that the guest's record does not name, or that has become something else since.

use std::path::Path;

use xenup_core::guest::create::{Groups, Made, Record, volume_tag};
use xenup_core::guest::list;
use xenup_engine::make::remove;
use xenup_image::guest::{disk, volume};
use xenup_machine::file::Kind;
use xenup_machine::{Probe, Reason};

use crate::args::GuestDelete;
use crate::commands::guest_hooks::Calls;
use crate::commands::{guest_create, guest_made, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Removes a guest.
pub fn run(ui: &mut Ui, args: &GuestDelete) -> Outcome {
    let name = &args.name;
    machine::need_root(&format!("guest delete {name}"))?;
    let mut machine = machine::running()?;
    let _alone = guest_create::alone()?;
    let record = guest_made::record(&machine, name)?;
    guest_made::refuse_running(&machine, name, &format!("xenup guest delete {name}"))?;
    let mut going = Vec::new();
    for made in &record.made {
        match standing(&machine, &record, made)? {
            Standing::Gone => {}
            Standing::Ours => going.push(made),
            Standing::Other(why) => ui.warning(format!("{} is left: {why}", made.path().display())),
        }
    }
    guest_made::refuse_shared(&machine, name, &record)?;
    let calls = Calls::of_made(&machine, &record)?;
    calls.warn(ui);
    for made in &going {
        ui.status(format!("{} {}", word(made), made.path().display()));
    }
    agree(ui, args, going.len())?;
    calls.deleting(ui)?;
    // The disk last but for the record: where something fails before it, the guest can still be started.
    for made in going.iter().rev() {
        match (made, record.volume()) {
            (Made::Volume(_), Some((group, volume))) => {
                volume::remove(group, volume).map_err(guest_create::image_failed)?;
            }
            _ => drop(remove(&mut machine, made.path()).map_err(machine::machine_error)?),
        }
    }
    if let Some(disk) = record.disk().filter(|_| record.volume().is_none()) {
        disk::sweep(disk).map_err(CommandError::failed)?;
    }
    remove(&mut machine, &Record::path(name)).map_err(machine::machine_error)?;
    ui.status(format!("{name} is gone."));
    Ok(Exit::Done)
}

fn word(made: &Made) -> &'static str {
    match made {
        Made::Disk(_) => "disk",
        Made::Volume(_) => "volume",
        Made::Config(_) => "file",
        Made::Auto(_) => "link",
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
    if let Made::Volume(_) = made {
        return volume_standing(probe, record);
    }
    let entry = match probe.entry(path) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Standing::Gone),
        Err(error) if error.reason == Reason::NotFound => return Ok(Standing::Gone),
        Err(error) => return Err(machine::machine_error(error)),
    };
    let other = |why: &str| Ok(Standing::Other(why.to_owned()));
    match (made, entry.kind) {
        (Made::Disk(_), Kind::File { .. }) => Ok(Standing::Ours),
        (Made::Disk(_) | Made::Volume(_), _) => other("it is no file any more"),
        (Made::Config(_), Kind::File { .. }) => is_its_file(probe, record, path),
        (Made::Config(_), _) => other("it is no file any more"),
        (Made::Auto(_), Kind::Symlink { target }) => {
            let leads = record.made.iter().any(|made| matches!(made, Made::Config(path) if *path == target));
            if leads { Ok(Standing::Ours) } else { other("it leads elsewhere") }
        }
        (Made::Auto(_), _) => other("it is no link any more"),
    }
}

/// A volume has its name until somebody gives it to another: the tag says whose it is.
fn volume_standing(probe: &dyn Probe, record: &Record) -> Result<Standing, CommandError> {
    let (group, name) = record.volume().ok_or_else(|| {
        CommandError::refused(format!("the record of {} names no volume of a group", record.name))
            .hinted("lvs names the volumes: remove the guest's by hand")
    })?;
    let groups = Groups::look(probe).map_err(|fault| {
        let hint = fault.hint();
        CommandError::failed(fault).hinted(hint)
    })?;
    Ok(match groups.volume(group, name) {
        None => Standing::Gone,
        Some(there) if there.has_tag(&volume_tag(&record.file_system)) => Standing::Ours,
        Some(_) => Standing::Other("another volume has its name now, without this guest's tag".to_owned()),
    })
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
