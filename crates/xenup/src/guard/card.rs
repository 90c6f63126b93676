//! The card for 3 a.m. and the banner, as files, for a stage that is about to wait.

use std::collections::BTreeMap;
use std::path::Path;

use xenup_core::recovery::{BANNER, CARD, Deadline, Pending, card, linux_entry};
use xenup_engine::plan::{Slug, Stage};
use xenup_engine::snapshot::{Snapshot, capture};
use xenup_engine::status::{ArmedGuard, StageStatus};
use xenup_engine::store::{Run, Store};
use xenup_machine::{Clock, Machine, MachineError, Probe, Reason};
use xenup_system::guard::GuardFile;

/// The longest GRUB menu that is read: os-prober's finds on a machine of many disks stay far below.
const LONGEST_MENU: u64 = 8 << 20;

/// Returns the files of a stage's card, what they need included.
///
/// # Errors
/// No such stage, or what one of its steps reaches cannot be read.
pub(super) fn files(
    machine: &dyn Machine,
    store: &Store,
    run: &Run,
    stage: &Slug,
    guard: &ArmedGuard,
) -> Result<Vec<GuardFile>, MachineError> {
    let planned = run.plan.stages.iter().find(|planned| &planned.id == stage);
    let planned = planned.ok_or_else(|| {
        MachineError::new("write", CARD, Reason::Other, format!("run {} has no stage {stage}", run.id))
    })?;
    let before = before(machine, run, planned)?;
    let rollback = run.status.stage(stage).is_some_and(StageStatus::is_being_taken_back);
    let kept = rollback.then(|| kept(machine, run, planned)).transpose()?;
    let menu = machine.read(Path::new("/boot/grub/grub.cfg"), LONGEST_MENU).unwrap_or_default();
    let entry = linux_entry(&String::from_utf8_lossy(&menu));
    let pending = Pending {
        run: &run.id,
        plan: &run.plan,
        stage: planned,
        before: &before,
        kept: kept.as_ref(),
        store: store.root(),
        deadline: deadline(guard, planned, &machine.clock()),
        grub_entry: entry.as_deref(),
    };
    let card = card(&pending);
    Ok(vec![
        GuardFile::text(Path::new(CARD), 0o600, card.text),
        GuardFile::dir(Path::new(BANNER).parent().unwrap_or(Path::new("/etc"))),
        GuardFile::text(Path::new(BANNER), 0o644, card.banner),
    ])
}

/// Returns the same files without contents, to be taken away.
pub(super) fn places() -> Vec<GuardFile> {
    [CARD, BANNER].map(|path| GuardFile::text(Path::new(path), 0, String::new())).to_vec()
}

/// What the journal recorded of each step; of those not begun, what stands there now.
fn before(machine: &dyn Machine, run: &Run, stage: &Stage) -> Result<BTreeMap<Slug, Snapshot>, MachineError> {
    let mut all = BTreeMap::new();
    for step in &stage.steps {
        let recorded = run.status.step(&step.id).and_then(|status| status.before.clone());
        let snapshot = match recorded {
            Some(snapshot) => snapshot,
            None => capture(probe(machine), &step.action)?.snapshot,
        };
        all.insert(step.id.clone(), snapshot);
    }
    Ok(all)
}

/// What was there before a rollback; of steps that it has not come to, what stands there now.
fn kept(machine: &dyn Machine, run: &Run, stage: &Stage) -> Result<BTreeMap<Slug, Snapshot>, MachineError> {
    let mut all = BTreeMap::new();
    for step in &stage.steps {
        let Some(found) = run.status.step(&step.id).filter(|found| found.before.is_some()) else { continue };
        let snapshot = match &found.kept {
            Some(kept) => kept.now.clone(),
            None => capture(probe(machine), &step.action)?.snapshot,
        };
        all.insert(step.id.clone(), snapshot);
    }
    Ok(all)
}

fn probe(machine: &dyn Machine) -> &dyn Probe {
    machine
}

/// A deadline on the boot clock, for people: counted from now, as the wall clock may be set; a trial's from its boot.
fn deadline(guard: &ArmedGuard, stage: &Stage, now: &Clock) -> Deadline {
    let at = guard.trial.as_ref().map(|trial| trial.boottime_ns).or(guard.deadline_ns);
    match at {
        Some(at) => Deadline::After {
            seconds: at.saturating_sub(now.boottime_ns) / 1_000_000_000,
            unix_seconds: now.unix_seconds,
            uptime_seconds: now.boottime_ns / 1_000_000_000,
        },
        None => Deadline::AfterTrialBoot {
            seconds: stage.guard.as_ref().map_or(0, |guard| guard.deadline_seconds),
        },
    }
}
