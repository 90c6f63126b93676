//! What of a run that was undone runs on until the machine is started anew.
//!
//! Decides: whether a reboot is left to do. Never: reboots.

use xenup_engine::action::Action;
use xenup_engine::conditions;
use xenup_engine::journal::UndoNote;
use xenup_engine::snapshot::Snapshot;
use xenup_engine::status::StageState;
use xenup_engine::store::Run;
use xenup_machine::Probe;

/// Returns whether the machine still runs in the trial of a stage that is undone, or has links of one that a boot had
/// made anew from files that are gone by now.
pub fn ends_with_this_boot(probe: &dyn Probe, run: &Run) -> bool {
    run.plan.stages.iter().zip(&run.status.stages).any(|(planned, found)| {
        let trial = planned.guard.as_ref().and_then(|guard| guard.trial.as_ref());
        let in_trial = trial.is_some_and(|trial| conditions::check(probe, trial).is_ok());
        found.state == StageState::Undone && (in_trial || has_links_of(probe, run, found))
    })
}

fn has_links_of(probe: &dyn Probe, run: &Run, stage: &xenup_engine::status::StageStatus) -> bool {
    let ended = stage.steps.iter().filter(|step| step.notes.contains(&UndoNote::EndedWithBoot));
    let mut made = ended.filter_map(|step| {
        let planned = run.plan.steps().find(|(_, planned)| planned.id == step.id)?.1;
        match (&planned.action, &step.before) {
            (Action::Links { touches, .. }, Some(Snapshot::Links { network, .. })) => {
                Some((touches, network))
            }
            _ => None,
        }
    });
    let now = probe.network().ok();
    made.any(|(touches, before)| {
        let new = |link: &&String| before.link(link).is_none();
        let is_there = |link: &String| now.as_ref().is_some_and(|now| now.link(link).is_some());
        touches.iter().filter(new).any(is_there)
    })
}
