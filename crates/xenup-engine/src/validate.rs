//! Whether a plan can be carried out at all, by its own text.
//!
//! Decides: the rules every plan keeps, whichever machine it is for. Never: looks at a machine.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use xenup_machine::network::LinkOp;

use crate::action::{Action, Undo};
use crate::plan::{Plan, SCHEMA, Slug, Stage, Step, Watch};

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Written by another version.
    #[error("the plan has schema {found}, this version carries out {SCHEMA}")]
    Schema {
        /// Its schema.
        found: u32,
    },
    /// Two stages or two steps have one name.
    #[error("two stages or steps are called `{id}`")]
    Twice {
        /// The name.
        id: Slug,
    },
    /// A guard would undo what it watches over at once, or never knows when to.
    #[error("stage `{stage}`: {why}")]
    Guard {
        /// The stage.
        stage: Slug,
        /// What is wrong with its guard.
        why: &'static str,
    },
    /// A stage without a way back that something would have to lead back from.
    #[error("stage `{stage}` has no way back: {why}")]
    NoReturn {
        /// The stage.
        stage: Slug,
        /// What contradicts that.
        why: &'static str,
    },
    /// A path that does not say where it leads.
    #[error("step `{step}`: {} is not an absolute path without `..`", path.display())]
    Path {
        /// The step.
        step: Slug,
        /// The path.
        path: PathBuf,
    },
    /// A step that could not be undone as it says.
    #[error("step `{step}`: {why}")]
    Undo {
        /// The step.
        step: Slug,
        /// What is wrong.
        why: &'static str,
    },
    /// A link is changed whose state would not be recorded.
    #[error("step `{step}` changes link `{link}`, but does not list it in `touches`")]
    Untouched {
        /// The step.
        step: Slug,
        /// The link.
        link: String,
    },
}

/// Checks a plan.
///
/// # Errors
/// The first rule it breaks.
pub fn validate(plan: &Plan) -> Result<(), InvalidPlan> {
    if plan.schema != SCHEMA {
        return Err(InvalidPlan::Schema { found: plan.schema });
    }
    let (mut stages, mut steps) = (BTreeSet::new(), BTreeSet::new());
    for stage in &plan.stages {
        if !stages.insert(&stage.id) {
            return Err(InvalidPlan::Twice { id: stage.id.clone() });
        }
        check_guard(stage)?;
        check_no_return(plan, stage)?;
        for step in &stage.steps {
            if !steps.insert(&step.id) {
                return Err(InvalidPlan::Twice { id: step.id.clone() });
            }
            check_paths(step)?;
            check_links(step)?;
            check_undo(stage, step)?;
        }
    }
    Ok(())
}

fn check_guard(stage: &Stage) -> Result<(), InvalidPlan> {
    let Some(guard) = &stage.guard else { return Ok(()) };
    let why = match (guard.watch, &guard.trial) {
        _ if guard.deadline_seconds == 0 => "its guard has no time to wait",
        (Watch::TrialBoot, None) => "its guard does not say how a trial boot is told from another",
        (Watch::Network, Some(_)) => "its guard watches over the network, which has no trial boot",
        _ => return Ok(()),
    };
    Err(InvalidPlan::Guard { stage: stage.id.clone(), why })
}

/// From a stage without a way back nothing leads back, and each of its steps can be done again. What stands before it is
/// undone where it cannot begin, so that needs no guard.
fn check_no_return(plan: &Plan, stage: &Stage) -> Result<(), InvalidPlan> {
    if stage.no_return.is_none() {
        return Ok(());
    }
    let before = plan.stages.iter().take_while(|other| other.id != stage.id);
    // Where the way back ended before, nothing is undone any more.
    let mut before: Vec<&Stage> = before.collect();
    if before.iter().any(|other| other.no_return.is_some()) {
        before.clear();
    }
    let again = |step: &Step| match &step.action {
        Action::Run { once, backward, .. } => !once && backward.is_none(),
        Action::Upgrade { .. } => true,
        _ => false,
    };
    let why = if stage.guard.is_some() {
        "no guard can undo it"
    } else if before.iter().any(|other| other.guard.is_some()) {
        "a stage before it has a guard"
    } else if !stage.steps.iter().all(|step| matches!(step.undo, Undo::Irreversible { .. })) {
        "one of its steps says that it can be undone"
    } else if !stage.steps.iter().all(again) {
        "one of its steps cannot simply be done again"
    } else {
        return Ok(());
    };
    Err(InvalidPlan::NoReturn { stage: stage.id.clone(), why })
}

fn check_paths(step: &Step) -> Result<(), InvalidPlan> {
    let paths: Vec<&Path> = match &step.action {
        Action::File { path, .. } => vec![path],
        Action::Run { generates, .. } => generates.iter().map(PathBuf::as_path).collect(),
        _ => Vec::new(),
    };
    let bad = |path: &&Path| {
        let odd = path.components().any(|part| !matches!(part, Component::RootDir | Component::Normal(_)));
        !path.is_absolute() || odd || path.parent().is_none()
    };
    match paths.into_iter().find(bad) {
        Some(path) => Err(InvalidPlan::Path { step: step.id.clone(), path: path.to_owned() }),
        None => Ok(()),
    }
}

fn check_links(step: &Step) -> Result<(), InvalidPlan> {
    let Action::Links { ops, touches } = &step.action else { return Ok(()) };
    let untouched = ops.iter().flat_map(changed_links).find(|link| !touches.iter().any(|t| t == link));
    if let Some(link) = untouched {
        return Err(InvalidPlan::Untouched { step: step.id.clone(), link: link.to_owned() });
    }
    // What the kernel says of a link does not tell its settings, so an undo could not bring them back.
    let made =
        |name: &str| ops.iter().any(|op| matches!(op, LinkOp::CreateBridge { link, .. } if link == name));
    let set = ops.iter().any(|op| match op {
        LinkOp::SetIpv6 { link, .. } | LinkOp::CopySettings { to: link, .. } => !made(link),
        _ => false,
    });
    if set {
        let why = "IPv6 and other settings can be set on a link that the same step makes, and on no other";
        return Err(InvalidPlan::Undo { step: step.id.clone(), why });
    }
    Ok(())
}

/// Returns the links whose state an operation changes.
fn changed_links(op: &LinkOp) -> Vec<&str> {
    match op {
        LinkOp::CreateVeth { link, peer } => vec![link, peer],
        LinkOp::CreateBridge { link, .. }
        | LinkOp::CreateVlan { link, .. }
        | LinkOp::Delete { link }
        | LinkOp::SetUp { link, .. }
        | LinkOp::SetMaster { link, .. }
        | LinkOp::AddVlans { link, .. }
        | LinkOp::SetMtu { link, .. }
        | LinkOp::SetIpv6Generation { link, .. }
        | LinkOp::SetIpv6 { link, .. }
        | LinkOp::CopySettings { to: link, .. }
        | LinkOp::AddAddress { link, .. }
        | LinkOp::DeleteAddress { link, .. } => vec![link],
        LinkOp::ReplaceRoute { route } | LinkOp::DeleteRoute { route } => {
            route.link.as_deref().into_iter().collect()
        }
        LinkOp::WaitUp { .. } | LinkOp::Announce { .. } => Vec::new(),
    }
}

fn check_undo(stage: &Stage, step: &Step) -> Result<(), InvalidPlan> {
    let upgrades = |action: &Action| match action {
        Action::Packages { changes } => changes.iter().any(|change| change.from.is_some()),
        _ => false,
    };
    let why = match (&step.action, &step.undo) {
        (_, Undo::Irreversible { .. }) if stage.guard.is_some() => {
            "it cannot be undone, and a guard may have to"
        }
        (_, Undo::Irreversible { .. }) => return Ok(()),
        (Action::Run { .. }, Undo::Restore) => "what a command did is undone by a command",
        (Action::Run { .. }, Undo::Command) => return Ok(()),
        (_, Undo::Command) => "only a step that runs a command is undone by one",
        (action, Undo::Restore) if upgrades(action) => "an upgrade of a package cannot be undone",
        (Action::Upgrade { only_fetch: false, .. }, Undo::Restore) => "an upgrade cannot be undone",
        (_, Undo::Restore) => return Ok(()),
    };
    Err(InvalidPlan::Undo { step: step.id.clone(), why })
}
