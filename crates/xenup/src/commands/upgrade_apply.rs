//! `xenup upgrade apply`: the upgrade to the next release, carried out like any plan, or gone on with.
//!
//! Decides: which run goes on, what is asked first. Never: begins what the check has to fix, or what no plan was made for.

use xenup_core::inspect::{Finding, Weight};
use xenup_core::plan::render;
use xenup_core::upgrade::apply::{self, Known};
use xenup_engine::plan::Plan;
use xenup_engine::validate::validate;
use xenup_system::files;

use super::upgrade::{By, FoundOut, find_out};
use super::{apply as carrying, inspect, machine, plan};
use crate::args::UpgradeApply;
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::refuse_over_network;
use crate::ui::Ui;

/// Upgrades, or goes on with the upgrade that is not finished.
pub fn run(ui: &mut Ui, args: &UpgradeApply) -> Outcome {
    machine::need_root("upgrade apply")?;
    let system = machine::running()?;
    if let Some(run) = machine::store().newest_unfinished(&system).map_err(machine::engine_error)? {
        if !apply::is_upgrade(&run.plan) {
            return Err(CommandError::refused(format!(
                "run {} is not finished, and is another plan: {}",
                run.id, run.plan.purpose
            ))
            .hinted("xenup apply goes on with it, xenup rollback undoes it"));
        }
        drop(system);
        return carrying::go_on(ui, &run, false);
    }
    drop(system);
    let host = plan::read_host(&args.host)?;
    let found = find_out(ui, None, args.to, By::Plan)?;
    let to = found.check.to.name.clone();
    if found.check.from.as_ref().is_some_and(|from| from.name == to) {
        return Err(CommandError::usage(format!("this machine runs {to} already"))
            .hinted(format!("xenup upgrade check --to {to} shows what an update within it would do; apt-get full-upgrade does it")));
    }
    let planned = planned(&found, &host);
    let plan = match planned {
        Ok(plan) => plan,
        Err(findings) => return Err(refuse(ui, &findings, &to)),
    };
    validate(&plan).map_err(CommandError::failed)?;
    if plan.is_empty() {
        ui.result(format!("Nothing to do: every package is that of {to}."));
        return Ok(Exit::Done);
    }
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&plan).map_err(CommandError::failed)?;
        files::write_atomic(path, format!("{text}\n").as_bytes(), 0o600).map_err(CommandError::failed)?;
        ui.status(format!("wrote {0}; carry it out with: xenup apply {0}", path.display()));
        return Ok(Exit::Done);
    }
    if args.plan {
        ui.result(shown(&plan, &found).trim_end());
        return Ok(Exit::Done);
    }
    refuse_over_network()?;
    let otherwise = format!(
        "xenup upgrade apply --to {to} --plan shows the plan; with --yes in its place it is carried out"
    );
    carrying::agree(ui, &plan, args.yes, &otherwise)?;
    carrying::carry_out(ui, &plan)
}

fn planned(found: &FoundOut, host: &xenup_core::host::Host) -> Result<Plan, Vec<Finding>> {
    let nothing = xenup_core::upgrade::simulation::Simulation::default();
    apply::plan(&Known {
        facts: &found.facts,
        host,
        check: &found.check,
        // Where apt could not tell, the check has something to fix.
        simulation: found.simulation.as_ref().unwrap_or(&nothing),
        named: found.named,
        files: &found.files,
        derived: &found.derived,
    })
}

fn shown(plan: &Plan, found: &FoundOut) -> String {
    let mut before = render::before(plan, &found.facts);
    before.extend(found.files.iter().map(|file| (file.path.clone(), file.text.clone())));
    render::text(plan, &before, false)
}

fn refuse(ui: &mut Ui, found: &[Finding], to: &str) -> CommandError {
    for finding in found.iter().filter(|finding| finding.weight == Weight::Blocks) {
        inspect::print_finding(ui, finding);
    }
    let first = found.first().map_or("", |finding| finding.what.as_str());
    CommandError::refused(format!("not upgraded, nothing was changed: {first}"))
        .hinted(format!("fix what stands above in this order; the whole page: xenup upgrade check --to {to}"))
}
