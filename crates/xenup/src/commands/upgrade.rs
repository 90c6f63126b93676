//! `xenup upgrade check`: what stands between this machine and another release of Debian.
//!
//! Decides: in which order the machine, apt and guests are asked, how the page is set out and which exit code it has.
//! Never: changes anything; apt works in a folder that is removed again.

use std::path::Path;

use xenup_core::audit::Goal;
use xenup_core::audit::target::Suite;
use xenup_core::audit::text::Line;
use xenup_core::guest::list;
use xenup_core::inspect::facts::Facts;
use xenup_core::inspect::{Surroundings, findings, gather};
use xenup_core::upgrade::simulation::{Simulation, Sizes};
use xenup_core::upgrade::sources::{self, Derived, SourceFile};
use xenup_core::upgrade::{
    Answer, Asked, Check, Known, NotAWay, Told, apt, check, html, lists_not_fetched, named_beside, next,
    no_solution, old, suite, text, way,
};
use xenup_machine::Probe;
use xenup_machine::process::{Output, Query};
use xenup_system::apt_state::AptState;
use xenup_system::{Environment, files};

use super::{audit, guest, machine, print_json, upgrade_apply};
use crate::args::{Upgrade, UpgradeCheck};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Runs the verb.
pub fn run(ui: &mut Ui, args: &Upgrade) -> Outcome {
    match args {
        Upgrade::Check(args) => run_check(ui, args),
        Upgrade::Apply(args) => upgrade_apply::run(ui, args),
    }
}

fn run_check(ui: &mut Ui, args: &UpgradeCheck) -> Outcome {
    let checked = find_out(ui, args.root.as_deref(), Some(args.to), By::AptAlone)?.check;
    if let Some(path) = &args.html {
        files::write_atomic(path, html::page(&checked).as_bytes(), 0o644).map_err(CommandError::failed)?;
        ui.status(format!("wrote {}", path.display()));
    }
    if args.json {
        print_json(ui, &serde_json::to_value(&checked).map_err(CommandError::failed)?)?;
    } else {
        for line in text::lines(&checked) {
            match line {
                Line::Heading(line) => ui.heading(line),
                Line::Plain(line) => ui.result(line),
            }
        }
    }
    Ok(if checked.ready { Exit::Done } else { Exit::Refused })
}

/// Who would upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// apt's full-upgrade, and nothing else.
    AptAlone,
    /// A plan, which asks for the new Xen by name where nothing else would bring it.
    Plan,
}

/// What there is to know before an upgrade.
pub(super) struct FoundOut {
    pub facts: Facts,
    /// apt's sources as they are, and as they will be.
    pub files: Vec<SourceFile>,
    pub derived: Derived,
    /// What apt would do, where it told.
    pub simulation: Option<Simulation>,
    /// What it was asked for by name beside.
    pub named: &'static [&'static str],
    pub check: Check,
}

/// Asks the machine, apt and guests. Without a goal the next release is meant.
pub(super) fn find_out(
    ui: &mut Ui,
    root: Option<&Path>,
    to: Option<Goal>,
    by: By,
) -> Result<FoundOut, CommandError> {
    let named = to.map(|to| suite(to).map_err(|release| no_suite(to, release))).transpose()?;
    let probe = guest::opened(root)?;
    let facts = gather(&*probe, &Surroundings::default());
    let from = old::release(&*probe, &facts);
    let to = named.or_else(|| next(from)).ok_or_else(|| {
        CommandError::usage("no release of Debian that is known here comes after this machine's")
            .hinted("name the release to upgrade to: --to SUITE")
    })?;
    let asked = way(from, &facts, to, root.is_some()).map_err(no_way)?;
    let files = sources::read(&*probe).map_err(|why| {
        CommandError::usage(why).hinted("make apt's sources files that can be read: sources.list(5)")
    })?;
    let from = asked.from.unwrap_or(to);
    let derived = sources::derive(&files, &facts.packages.sources, from, to);
    let (answer, named) = match root {
        Some(_) => (
            Answer::NotAsked("this is a tree of files: what apt would do was not asked".to_owned()),
            Default::default(),
        ),
        None => ask(ui, &*probe, &derived, &facts, &asked, by)?,
    };
    let simulation = match &answer {
        Answer::Told(told) => Some(told.simulation.clone()),
        Answer::NotAsked(_) | Answer::Failed(_) => None,
    };
    let audit = audit::whole_host(&*probe, root, Some(Goal::Suite(to)))?;
    let carried = match asked.anew {
        true => {
            let (found, _) = list::find(&*probe).map_err(machine::machine_error)?;
            Some(old::carried(&*probe, &found, &audit))
        }
        false => None,
    };
    let known = Known {
        facts: &facts,
        inspected: &findings(&facts, None),
        derived: &derived,
        answer,
        audit,
        old: carried,
    };
    let check = check(&*probe, asked, known);
    Ok(FoundOut { facts, files, derived, simulation, named, check })
}

/// Asks apt, in a state of its own.
fn ask(
    ui: &mut Ui,
    probe: &dyn Probe,
    derived: &Derived,
    facts: &Facts,
    asked: &Asked<'_>,
    by: By,
) -> Result<(Answer, &'static [&'static str]), CommandError> {
    let to = asked.to;
    let folder = Environment::read().temporary();
    let made = AptState::new_in(&folder, &apt::FOLDERS);
    let made = made.map_err(|error| {
        CommandError::failed(error)
            .hinted("name a folder that can be written to and has 200 MB of room: TMPDIR=DIR")
    })?;
    let state = apt::State::at(made.path());
    made.write(&state.files(&derived.files)).map_err(CommandError::failed)?;
    ui.status(format!(
        "apt fetches the lists of {} into {}, which goes again",
        to.name,
        made.path().display()
    ));
    let fetched = asked_of(probe, &state.update())?;
    let complaints = complaints_of(&fetched);
    if !fetched.success() || complaints.iter().any(|words| words.starts_with("Failed to fetch")) {
        return Ok((Answer::Failed(lists_not_fetched(&complaints, to)), &[]));
    }
    ui.status("apt works out what an upgrade would do");
    let mut named: &[&str] = &[];
    let mut simulated = asked_of(probe, &state.simulate(named))?;
    if simulated.success() && by == By::Plan {
        named = named_beside(facts, &Simulation::parse(&simulated.text()));
        if !named.is_empty() {
            simulated = asked_of(probe, &state.simulate(named))?;
        }
    }
    if !simulated.success() {
        return Ok((Answer::Failed(no_solution(&complaints_of(&simulated), &simulated.complaint())), named));
    }
    let sizes = asked_of(probe, &state.sizes(named))?;
    // Without lists of the release that is there, every package would be foreign.
    let known = facts.packages.sources.iter().any(|source| source.origin.is_some());
    let foreign = if known { Some(asked_of(probe, &state.foreign())?) } else { None };
    let held = asked_of(probe, &state.held())?;
    let told = Told {
        simulation: Simulation::parse(&simulated.text()),
        sizes: Sizes::parse(&sizes.text()),
        foreign: foreign.filter(Output::success).map(|output| apt::foreign(&output.text())),
        held: apt::held(&held.text()),
    };
    Ok((Answer::Told(Box::new(told)), named))
}

fn asked_of(probe: &dyn Probe, query: &Query) -> Result<Output, CommandError> {
    probe.query(query).map_err(machine::machine_error)
}

fn complaints_of(output: &Output) -> Vec<String> {
    apt::complaints(&String::from_utf8_lossy(&output.stderr))
}

fn no_suite(goal: Goal, release: Option<&Suite>) -> CommandError {
    let word = match goal {
        Goal::Release(release) => release.to_string(),
        Goal::Suite(suite) => suite.name.to_owned(),
    };
    let error =
        CommandError::usage(format!("{word} is a release of Xen, and a host is upgraded to one of Debian"));
    match release {
        Some(suite) => error.hinted(format!("xenup upgrade check --to {}", suite.name)),
        None => error.hinted("xenup upgrade check --to trixie"),
    }
}

fn no_way(error: NotAWay) -> CommandError {
    let hint = match &error {
        NotAWay::From(_) => "only Debian's own releases are upgraded; guests alone are judged by: xenup audit --to trixie".to_owned(),
        NotAWay::Over { over, .. } => format!("xenup upgrade check --to {over}"),
        NotAWay::Back { .. } => "install the older release anew, or restore a backup; guests are judged by: xenup audit --to SUITE".to_owned(),
    };
    CommandError::usage(error).hinted(hint)
}
