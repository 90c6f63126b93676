//! What `kernel build` needs from Debian: looked for, named, and installed by a plan where root asks.
//!
//! Never: installs anything for an ordinary user, or what a rollback could not take away again.

use xenup_core::kernel::build::needs::{self, Need, Shown};
use xenup_core::kernel::build::prepare;
use xenup_core::plan::render;
use xenup_engine::plan::Plan;
use xenup_engine::validate::validate;
use xenup_system::files;
use xenup_system::process::find_program;

use crate::args::{KernelBuild, Source};
use crate::commands::{apply, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// The packages of what is not there, by name.
pub fn missing(needs: &[Need]) -> Vec<String> {
    needs::missing(needs, |shown| match shown {
        Shown::Program(name) => find_program(name).is_some(),
        Shown::File(path) => files::exists(std::path::Path::new(path)),
    })
}

/// Packages are missing, and an ordinary user asks.
pub fn refuse(packages: &[String], role: &str) -> CommandError {
    let names = packages.join(" ");
    CommandError::failed(format!("building a kernel needs packages that are not here: {names}"))
        .hinted(format!("as root: apt-get install --no-install-recommends {names}"))
        .hinted(format!("or, as a plan that can be rolled back: sudo xenup kernel build {role}"))
}

/// Installs packages by a plan, or shows it.
pub fn install(ui: &mut Ui, packages: &[String], args: &KernelBuild) -> Outcome {
    let plan = planned(packages)?;
    validate(&plan).map_err(CommandError::failed)?;
    if args.plan {
        ui.result(render::text(&plan, &render::Before::default(), false).trim_end());
        return Ok(Exit::Done);
    }
    let role = &args.wish.role;
    let otherwise =
        format!("xenup kernel build {role} --plan shows the plan; with --yes in its place it is carried out");
    apply::agree(ui, &plan, args.yes, &otherwise)?;
    apply::carry_out(ui, &plan)
}

fn planned(wanted: &[String]) -> Result<Plan, CommandError> {
    let apt = machine::simulated(wanted)?;
    let facts = machine::facts(&Source::default())?;
    prepare::plan(&facts.machine_id, wanted, &apt).map_err(|beside| {
        CommandError::refused(format!(
            "{beside}, to install {}; a rollback could not bring that back",
            wanted.join(", ")
        ))
        .hinted("bring the machine up to date first: apt-get update, then apt-get upgrade")
    })
}
