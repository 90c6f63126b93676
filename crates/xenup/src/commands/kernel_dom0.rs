//! `xenup kernel install` of a kernel for dom0: its package, by a plan, on a host that tries what is newer.
//!
//! Decides: what is refused beforehand, and how the next step reads. Never: installs a kernel where the restart after it
//! would not be a trial.

use std::path::Path;

use xenup_core::boot::known_good::Entry;
use xenup_core::inspect::Facts;
use xenup_core::kernel::build::dom0;
use xenup_core::plan::render;
use xenup_engine::validate::validate;
use xenup_machine::Probe as _;
use xenup_machine::process::Query;
use xenup_system::files;

use crate::args::{KernelInstall, Source};
use crate::commands::{apply, known_good, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Returns the facts of a host on which a kernel for dom0 can be tried.
pub fn host(release: &str) -> Result<Facts, CommandError> {
    let facts = machine::facts(&Source::default())?;
    if !facts.boot.known_good || !facts.boot.newer_is_tried {
        return Err(CommandError::refused(format!(
            "{release} can be dom0, and this machine keeps no Xen and Linux that are known to boot, to which a trial could go back"
        ))
        .hinted("xenup apply makes it such a host; for guests: --guest; by hand: docs/kernels.md, \"A kernel for dom0\""));
    }
    Ok(facts)
}

/// Installs the package of `release` from a file.
pub fn install(ui: &mut Ui, host: &Facts, release: &str, deb: &Path, args: &KernelInstall) -> Outcome {
    if !args.plan {
        machine::need_root(&format!("kernel install {}", args.from.display()))?;
    }
    // The plan is carried out in another folder than this process's.
    let deb = files::canonical(deb).map_err(CommandError::usage)?;
    named_as(&machine::running()?, &deb, release)?;
    let apt = machine::simulated(&[deb.display().to_string()])?;
    let plan = dom0::plan(&host.machine_id, release, &deb, &apt).map_err(|beside| {
        CommandError::refused(format!("{beside}, to install {}", deb.display()))
            .hinted(format!("apt-get -s install {} shows it", deb.display()))
    })?;
    validate(&plan).map_err(CommandError::failed)?;
    if args.plan {
        ui.result(render::text(&plan, &render::Before::default(), false).trim_end());
        return Ok(Exit::Done);
    }
    let from = args.from.display();
    let otherwise = format!(
        "xenup kernel install {from} --plan shows the plan; with --yes in its place it is carried out"
    );
    apply::agree(ui, &plan, args.yes, &otherwise)?;
    let exit = apply::carry_out(ui, &plan)?;
    if exit == Exit::Done {
        tell(ui, release)?;
    }
    Ok(exit)
}

fn named_as(system: &xenup_system::System, deb: &Path, release: &str) -> Result<(), CommandError> {
    let path = deb.display().to_string();
    let query = Query::new("dpkg-deb", ["--field", &path, "Package"]);
    let said = system.query(&query).map_err(machine::machine_error)?;
    let name = said.text().trim().to_owned();
    if said.success() && name == format!("linux-image-{release}") {
        return Ok(());
    }
    let words = format!("{path} is the package `{}`, and its kernel is {release}", name.escape_debug());
    Err(CommandError::usage(words)
        .hinted("name the folder that xenup kernel build made, or a linux-image-*.deb"))
}

/// GRUB takes the newest by version, which need not be the last that was installed.
fn tell(ui: &mut Ui, release: &str) -> Result<(), CommandError> {
    let menu = known_good::menu(&machine::running()?).map_err(machine::machine_error)?;
    let newest = Entry::newest(&menu).map_err(CommandError::failed)?;
    let newest = newest.tried(&[]).linux;
    if newest == release {
        ui.status(format!("the next restart is a trial of Linux {release}: systemctl reboot"));
        ui.status("it is kept where it holds what the first trial of Xen had to hold; xenup status says so");
    } else {
        ui.warning(format!(
            "GRUB takes Linux {newest} for newer: {release} is in its menu, and is not tried"
        ));
    }
    Ok(())
}
