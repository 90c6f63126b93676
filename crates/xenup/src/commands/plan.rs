//! `xenup plan`: the difference between what is and what is wanted, shown. Writes the plan file alone.
//!
//! Decides: how a plan reads, and when findings refuse it. Never: carries anything out.

use std::path::Path;

use xenup_core::host::Host;
use xenup_core::inspect::{Facts, Finding, Weight, findings_for};
use xenup_core::packages::{self, AptSimulation};
use xenup_core::plan::{self, Planned, installer};
use xenup_machine::Probe as _;
use xenup_machine::process::Output;
use xenup_system::files;

use crate::args::{self, Source};
use crate::commands::{inspect, machine, print_json};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Prints or writes the plan.
pub fn run(ui: &mut Ui, args: &args::Plan) -> Outcome {
    let made = make(ui, &args.source, &args.host, args.apt.as_deref())?;
    if args.check {
        return Ok(if made.plan.is_empty() { Exit::Done } else { Exit::Pending });
    }
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&made.plan).map_err(CommandError::failed)?;
        files::write_atomic(path, format!("{text}\n").as_bytes(), 0o600).map_err(CommandError::failed)?;
        ui.status(format!("wrote {}; carry it out with: xenup apply {}", path.display(), path.display()));
        return Ok(Exit::Done);
    }
    if args.json {
        return print_json(
            ui,
            &serde_json::json!({ "format": 1, "plan": made.plan, "findings": made.findings }),
        );
    }
    if made.plan.is_empty() {
        ui.result("Nothing to do: the machine is as host.toml asks.");
        return Ok(Exit::Done);
    }
    ui.result(made.text(args.explain).trim_end());
    if !made.findings.is_empty() {
        inspect::print_findings(ui, &made.findings);
    }
    ui.status("next: xenup apply");
    Ok(Exit::Done)
}

/// Returns the plan for a machine, or refuses with every finding that stands in its way.
pub fn make(ui: &mut Ui, source: &Source, host: &Path, apt: Option<&Path>) -> Result<Planned, CommandError> {
    judged(ui, &machine::facts(source)?, source, &read_host(host)?, apt)
}

/// Returns the plan for a system in whose chroot this runs, as far as an installer can carry it out.
pub fn for_installer(ui: &mut Ui, host: &Path) -> Result<Planned, CommandError> {
    let host = read_host(host)?;
    let planned = judged(ui, &machine::facts_of_installed()?, &Source::default(), &host, None)?;
    installer::only(planned, &host).map_err(|found| refuse(ui, &found))
}

fn judged(
    ui: &mut Ui,
    facts: &Facts,
    source: &Source,
    host: &Host,
    apt: Option<&Path>,
) -> Result<Planned, CommandError> {
    let wanted = packages::wants(host, facts);
    let simulation = simulate(source, &wanted, apt)?;
    let mut found = findings_for(facts, host);
    match plan::plan(facts, host, simulation.as_ref()) {
        Ok(mut planned) if !blocks(&found) || planned.plan.is_empty() => {
            found.append(&mut planned.findings);
            Ok(Planned { findings: found, ..planned })
        }
        Ok(_) => Err(refuse(ui, &found)),
        Err(more) => {
            found.extend(more);
            Err(refuse(ui, &found))
        }
    }
}

fn blocks(found: &[Finding]) -> bool {
    found.iter().any(|finding| finding.weight == Weight::Blocks)
}

/// Prints what blocks, and returns the refusal.
pub fn refuse(ui: &mut Ui, found: &[Finding]) -> CommandError {
    let mut blocking: Vec<Finding> =
        found.iter().filter(|finding| finding.weight == Weight::Blocks).cloned().collect();
    blocking.dedup();
    inspect::print_findings(ui, &blocking);
    let (count, stand) =
        if blocking.len() == 1 { ("one finding", "stands") } else { ("the findings above", "stand") };
    CommandError::refused(format!("{count} {stand} in the way; nothing was changed"))
        .hinted("do what stands after `fix`, then: xenup plan")
}

/// Reads host.toml.
pub fn read_host(path: &Path) -> Result<Host, CommandError> {
    let bytes = files::read(path).map_err(|error| {
        let absent = !files::exists(path);
        let failed = CommandError::usage(error);
        match absent {
            true if path == Path::new(xenup_core::host::PATH) => {
                failed.hinted("write it from what this machine is: xenup init")
            }
            true => failed
                .hinted(format!("write it from what this machine is: xenup init --to {}", path.display())),
            false => failed,
        }
    })?;
    Host::parse(path, &bytes).map_err(CommandError::usage)
}

/// Asks apt what it would do; a machine that does not run cannot be asked.
fn simulate(
    source: &Source,
    wanted: &[String],
    apt: Option<&Path>,
) -> Result<Option<AptSimulation>, CommandError> {
    if let Some(path) = apt {
        let stdout = files::read(path).map_err(CommandError::usage)?;
        return Ok(Some(AptSimulation::parse(&Output { status: 0, stdout, stderr: Vec::new() }.text())));
    }
    if wanted.is_empty() || source.root.is_some() || source.facts.is_some() {
        return Ok(None);
    }
    let output = machine::running()?.query(&packages::simulate(wanted)).map_err(machine::machine_error)?;
    match AptSimulation::of(&output) {
        Ok(simulation) => Ok(Some(simulation)),
        Err(finding) => Err(CommandError::refused(finding.what).hinted(finding.fix)),
    }
}
