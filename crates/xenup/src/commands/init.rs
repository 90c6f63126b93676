//! `xenup init`: host.toml from what was found. Writes that one file.

use xenup_system::files;

use crate::args::Init;
use crate::commands::machine;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Writes or prints host.toml.
pub fn run(ui: &mut Ui, args: &Init) -> Outcome {
    if !args.print {
        if files::exists(&args.to) && !args.force {
            return Err(CommandError::refused(format!("{} is there already", args.to.display())).hinted(
                "look at what would be written: xenup init --print; replace it: xenup init --force",
            ));
        }
        if args.to.starts_with("/etc") {
            machine::need_root("init")?;
        }
    }
    let facts = machine::facts(&args.source)?;
    let text = xenup_core::host::from_facts(&facts);
    if args.print {
        ui.result(text.trim_end());
        return Ok(Exit::Done);
    }
    machine::write_host(&args.to, &text)?;
    ui.result(format!("wrote {}; nothing else was changed", args.to.display()));
    ui.status("next: read it, then xenup plan");
    Ok(Exit::Done)
}
