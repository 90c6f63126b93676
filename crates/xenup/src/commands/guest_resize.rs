//! `guest resize`: the disk of a guest made larger, and its file system with it. Decides what is in the way.
//!
//! Never: makes a disk smaller, or touches one whose guest runs or was saved: its memory knows the file system as it was.

use xenup_core::audit::save_of;
use xenup_image::guest::grow;
use xenup_system::files::DiskFile;

use crate::args::GuestResize;
use crate::commands::{guest_create, guest_made, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

const MIB: u64 = 1 << 20;

/// Makes a guest's disk larger.
pub fn run(ui: &mut Ui, args: &GuestResize) -> Outcome {
    let name = &args.name;
    machine::need_root(&format!("guest resize {name} {}M", args.size / MIB))?;
    let machine = machine::running()?;
    let _alone = guest_create::alone()?;
    let record = guest_made::record(&machine, name)?;
    guest_made::refuse_running(&machine, name, &format!("xenup guest resize {name} {}M", args.size / MIB))?;
    guest_made::refuse_shared(&machine, name, &record)?;
    if let Some(save) = save_of(&machine, name.as_str()) {
        let words = format!(
            "{name} was saved while it ran, to {}: it would go on with the disk as it was",
            save.display()
        );
        return Err(CommandError::refused(words)
            .hinted(format!("xl restore {}, then shut it down from inside", save.display())));
    }
    let disk = record.disk().ok_or_else(|| {
        CommandError::refused(format!("the record of {name} names no disk"))
            .hinted(format!("xenup guest delete {name}"))
    })?;
    let present = DiskFile::open(disk).and_then(|file| file.size()).map_err(CommandError::failed)?;
    if args.size < present {
        let words = format!("{} has {} MiB, and a disk is not made smaller", disk.display(), present / MIB);
        return Err(CommandError::usage(words)
            .hinted("make a smaller guest with xenup guest create, and copy what is to stay"));
    }
    let volume = record.volume();
    grow(disk, volume, &record.file_system, args.size).map_err(guest_create::image_failed)?;
    let size = DiskFile::open(disk).and_then(|file| file.size()).map_err(CommandError::failed)?;
    ui.status(format!(
        "{}: {} MiB, and the file system with it; it had {} MiB.",
        disk.display(),
        size / MIB,
        present / MIB
    ));
    Ok(Exit::Done)
}
