//! What of a plan is done in a system that an installer has made and that does not run yet.
//!
//! Decides: which steps stay. What lasts on disk does: files, packages, GRUB's menu. Links, leases and services belong to
//! a boot, and the first one makes them from those files. There is no trial and nothing to confirm: Xen is the default at
//! once, since such a machine has nothing yet that could be lost, and plain Linux stays in its menu.
//! Never: plans a step of its own.

use std::path::Path;

use xenup_engine::action::{Action, FileState, Lasts};
use xenup_engine::plan::{Plan, Stage, Step, Watch};

use super::Planned;
use crate::boot;
use crate::host::Host;
use crate::inspect::Finding;
use crate::inspect::facts::At;
use crate::network::nat;

/// Returns the plan without what only a machine that runs can do.
///
/// # Errors
/// What host.toml asks for and an installer cannot do: services of `[[nat]]`, the table of `[[routed]]` beside
/// `[[isolated]]`, and the further names of a bridge.
pub fn only(planned: Planned, host: &Host) -> Result<Planned, Vec<Finding>> {
    let found = later(host);
    if !found.is_empty() {
        return Err(found);
    }
    let stages = planned.plan.stages.into_iter().filter_map(in_files).collect();
    let purpose = format!("{}, as its installer leaves it", planned.plan.purpose);
    Ok(Planned { plan: Plan { stages, purpose, ..planned.plan }, ..planned })
}

fn later(host: &Host) -> Vec<Finding> {
    let nats = host.nats.iter().map(|nat| (format!("[[nat]] {}", nat.name), nat.line));
    let forwarding = nat::needs_table(host) && host.nats.is_empty();
    let routed = host.routed.iter().filter(|_| forwarding);
    let routed =
        routed.map(|routed| (format!("[[routed]] {} beside [[isolated]]", routed.name), routed.line));
    let named = host.bridges.iter().filter(|bridge| !bridge.also.is_empty());
    let all = nats.chain(routed).chain(named.map(|bridge| (format!("also of {}", bridge.name), bridge.line)));
    all.map(|(what, line)| Finding {
        at: vec![At { path: host.path.clone(), line }],
        ..Finding::blocking(
            "installer-cannot",
            format!("{what} is made on a machine that runs"),
            "an installer writes files, and starts no service and no link of the new system",
            "leave it out of host.toml, add it once the machine has booted, and then: xenup apply",
        )
    })
    .collect()
}

fn in_files(stage: Stage) -> Option<Stage> {
    let is_trial = stage.guard.as_ref().is_some_and(|guard| guard.watch == Watch::TrialBoot);
    let lasting = stage.steps.into_iter().filter(|step| !is_trial && lasts_in_files(step));
    let steps: Vec<Step> = lasting.map(without_trial).collect();
    (!steps.is_empty()).then_some(Stage { guard: None, checks: Vec::new(), steps, ..stage })
}

/// Nobody has confirmed anything yet, and the default's own comment must not say so.
fn without_trial(mut step: Step) -> Step {
    if let Action::File { path, state: FileState::Text { text, .. }, .. } = &mut step.action
        && path == Path::new(boot::LAST)
        && text.contains(boot::CONFIRMED)
    {
        *text = text.replace(boot::CONFIRMED, "# Xen: the installer of this machine made it the default.");
        "a new machine has nothing yet that could be lost, and plain Linux stays in its menu"
            .clone_into(&mut step.why);
    }
    step
}

fn lasts_in_files(step: &Step) -> bool {
    let of_files = match &step.action {
        Action::File { .. } | Action::Packages { .. } => true,
        // The other commands ask a service, or need what a client of DHCP left in this boot.
        Action::Run { generates, .. } => generates.iter().any(|path| path == Path::new(boot::MENU)),
        _ => false,
    };
    of_files && step.lasts == Lasts::OnDisk
}
