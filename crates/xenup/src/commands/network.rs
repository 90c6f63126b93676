//! `xenup network import` and `show`: an old host's network as a host.toml, and the network as a picture. Decides how
//! the answers read and when they are written.
//!
//! Never: changes anything but the file of `--out` or `--svg`; the old scripts are left to a plan.

use std::path::Path;

use xenup_core::inspect::Weight;
use xenup_core::inspect::facts::Facts;
use xenup_core::network::import::{Import, import as read};
use xenup_core::network::plan::plan;
use xenup_core::network::show::Picture;
use xenup_engine::action::Action;
use xenup_engine::store;
use xenup_machine::Probe;
use xenup_system::{System, files};

use crate::args::{Network, NetworkImport, NetworkShow};
use crate::commands::{self, inspect, machine, print_json};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Imports or draws.
pub fn run(ui: &mut Ui, args: &Network) -> Outcome {
    match args {
        Network::Import(args) => import(ui, args),
        Network::Show(args) => show(ui, args),
    }
}

fn import(ui: &mut Ui, args: &NetworkImport) -> Outcome {
    if let Some(out) = args.out.as_deref().filter(|out| files::exists(out)) {
        return Err(CommandError::refused(format!("{} is there already", out.display()))
            .hinted("name another file, or print it: xenup network import without --out"));
    }
    let probe: Box<dyn Probe> = match &args.root {
        None => Box::new(machine::running()?),
        Some(root) => Box::new(System::tree(&machine::absolute(root)).map_err(machine::machine_error)?),
    };
    let import = read(&*probe).map_err(|error| {
        let hint = error.hint();
        CommandError::refused(error).hinted(hint)
    })?;
    let blocked = import.findings.iter().any(|finding| finding.weight == Weight::Blocks);
    let exit = if blocked { Exit::Refused } else { Exit::Done };
    if !blocked && let Some(out) = &args.out {
        machine::write_host(out, &import.host_toml)?;
        ui.status(format!("wrote {}; nothing else was changed", out.display()));
    }
    if args.json {
        print_json(ui, &serde_json::json!(import))?;
        return Ok(exit);
    }
    if blocked || args.out.is_some() {
        inspect::print_findings(ui, &import.findings);
    } else {
        ui.result(import.host_toml.trim_end());
    }
    if blocked {
        return Err(CommandError::new(exit, "no host.toml comes of this; nothing was written")
            .hinted("do what stands after `fix`, then import again"));
    }
    next(ui, &import, args.out.as_deref());
    Ok(exit)
}

fn next(ui: &mut Ui, import: &Import, out: Option<&Path>) {
    let by_hand = import.findings.iter().filter(|finding| finding.weight == Weight::Warning).count();
    if by_hand > 0 {
        let things = if by_hand == 1 { "1 thing is" } else { &format!("{by_hand} things are") };
        ui.status(format!("{things} not in host.toml and to be done by hand: the comments at its end"));
    }
    ui.status("the old scripts are as they were; xend runs them as long as it starts");
    match out {
        Some(out) => ui.status(format!("next: read it, then xenup plan --host {}", out.display())),
        None => ui.status("next: xenup network import --out FILE, then xenup plan --host FILE"),
    }
}

fn show(ui: &mut Ui, args: &NetworkShow) -> Outcome {
    let facts = machine::facts(&args.source)?;
    let picture = match (&args.plan, &args.host) {
        (Some(path), _) => with(&facts, &of_plan(path, &facts)?)?,
        (None, Some(path)) => with(&facts, &of_host(ui, path, &facts)?)?,
        (None, None) => Picture::of(&facts),
    };
    if args.json {
        return print_json(ui, &serde_json::json!(picture));
    }
    match &args.svg {
        Some(path) if path.as_os_str() == "-" => ui.result(picture.svg().trim_end()),
        Some(path) => {
            files::write_atomic(path, picture.svg().as_bytes(), 0o644).map_err(CommandError::failed)?;
            ui.status(format!("wrote {}", path.display()));
        }
        None => ui.result(picture.text().trim_end()),
    }
    Ok(Exit::Done)
}

fn with(facts: &Facts, actions: &[Action]) -> Result<Picture, CommandError> {
    Picture::with(facts, actions).map_err(|error| {
        CommandError::refused(error).hinted("make a plan of what this machine is now: xenup plan")
    })
}

fn of_plan(path: &Path, facts: &Facts) -> Result<Vec<Action>, CommandError> {
    let bytes = files::read(path).map_err(CommandError::usage)?;
    let plan = store::parse_plan(&bytes).map_err(|error| {
        CommandError::usage(machine::at_line(path, &error)).hinted("write it with: xenup plan --out FILE")
    })?;
    if plan.machine_id != facts.machine_id {
        return Err(CommandError::refused(format!("{}: a plan for another machine", path.display()))
            .hinted("name the facts it was made from: xenup network show --facts FILE --plan PLAN"));
    }
    Ok(plan.stages.into_iter().flat_map(|stage| stage.steps).map(|step| step.action).collect())
}

/// The network's part alone: nothing else of a plan is drawn, and apt need not be asked.
fn of_host(ui: &mut Ui, path: &Path, facts: &Facts) -> Result<Vec<Action>, CommandError> {
    let host = commands::plan::read_host(path)?;
    let planned = plan(facts, &host).map_err(|found| commands::plan::refuse(ui, &found))?;
    Ok(planned.steps.into_iter().map(|step| step.action).collect())
}
