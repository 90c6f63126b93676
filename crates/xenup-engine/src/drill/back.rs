//! Drills of the rollback of what was confirmed: a fault at each of its writes, then what would happen on a machine.
//!
//! Decides: what is tried after a fault (nobody comes, and the guard wakes; a person types `rollback` or `apply`; the
//! guard itself is killed while it brings back), and that the machine then is what it was before the rollback or, once
//! its network was confirmed, what it was before the run. Never: takes anything between the two for good.

use std::time::Duration;

use xenup_machine::Probe;
use xenup_machine::fake::{FakeMachine, Fault, Injection, Moment};

use super::{Count, Drill, Extent, Mutant, Picture, Sample};
use crate::boot::{self, Decision};
use crate::confirm::confirm;
use crate::error::EngineError;
use crate::executor::{self, Options};
use crate::journal::{Proof, Record, UndoNote};
use crate::rollback::{Grip, Report};
use crate::status::StageState;
use crate::store::{Run, RunId};
use crate::takeback::{self, Outcome, Protection};

/// Longer than the steps, shorter than [`LATER`].
const DEADLINE: u64 = 100;

/// Until every deadline has passed.
const LATER: Duration = Duration::from_secs(1000);

/// What is done after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nobody comes, and the guard wakes at its deadline; then somebody asks again.
    Guard,
    /// `rollback` at once.
    Rollback,
    /// `apply` at once.
    Apply,
    /// The guard is killed while it brings back, and wakes again.
    Twice(Injection),
}

/// The machine that is rolled back: what it was, and whether it was started anew since.
struct Ground<'a> {
    applied: &'a Picture,
    run: &'a RunId,
    rebooted: bool,
}

impl Drill<'_> {
    /// Strikes every sampled write of the rollback under a guard, where the plan has one.
    pub(super) fn way_back(&self, sample: Sample) -> Result<Count, String> {
        let mut count = Count::default();
        let mut machine = self.case.machine.clone();
        let words = |error: EngineError| format!("{}: {error:?}", self.case.name);
        self.carry_out(&mut machine).map_err(words)?;
        let Some(run) = self.store.newest(&machine).map_err(words)? else { return Ok(count) };
        if !matches!(takeback::protection(&run.plan, &run.status), Protection::Guarded { .. }) {
            return Ok(count);
        }
        let applied = Picture::of(&machine, &self.case.plan);
        // Taken before syncs are lost: what was applied is on the disk.
        machine.settle();
        if let Mutant::NoSyncBack(kind) = self.mutant {
            machine.lose_syncs(kind);
        }
        let mut rehearsal = machine.clone();
        rehearsal.trace();
        self.whole_way(&mut rehearsal, &run.id).map_err(|why| format!("{}: {why}", self.case.name))?;
        let writes = rehearsal.traced();
        for (at, has_middle) in writes.iter().enumerate().skip(sample.first).step_by(sample.stride.max(1)) {
            for moment in [Moment::Before, Moment::Middle, Moment::After] {
                if moment == Moment::Middle && !has_middle {
                    continue;
                }
                let seed = (at as u64) << 8 | moment as u64;
                for fault in [Fault::Fails, Fault::DiskFull, Fault::Kill, Fault::PowerCut { seed }] {
                    if fault != Fault::DiskFull || moment != Moment::After {
                        let injection = Injection { at, moment, fault };
                        self.strike_back(&machine, &run.id, &applied, injection, &mut count);
                    }
                }
            }
        }
        Ok(count)
    }

    /// The guarded rollback from its beginning to its end, confirmed wherever it waits.
    fn whole_way(&self, machine: &mut FakeMachine, run: &RunId) -> Result<Report, String> {
        let mut why = None;
        for _ in 0..8 {
            let outcome = self.session(machine, |session| takeback::roll_back(session, run, DEADLINE));
            match outcome.map_err(|error| format!("rollback: {error:?}"))? {
                Outcome::RolledBack(report) => return Ok(report),
                Outcome::AwaitingConfirm { .. } => {
                    self.session(machine, |session| confirm(session, run, Proof::Console))
                        .map_err(|error| format!("confirm: {error:?}"))?;
                }
                // A return that was interrupted was finished; the next call begins anew.
                Outcome::BroughtBack { report, cause, .. } if report.is_clean() => why = Some(cause),
                Outcome::BroughtBack { report, .. } => return Err(format!("not brought back: {report:?}")),
            }
        }
        Err(format!("the rollback never comes to its end: {why:?}"))
    }

    fn strike_back(
        &self,
        machine: &FakeMachine,
        run: &RunId,
        applied: &Picture,
        injection: Injection,
        count: &mut Count,
    ) {
        let mut struck = machine.clone();
        struck.inject(Some(injection));
        let _ = self.whole_way(&mut struck, run);
        let fatal = !struck.is_running();
        struck.inject(None);
        struck.revive();
        let rebooted = matches!(injection.fault, Fault::PowerCut { .. });
        let mut all = vec![Next::Guard];
        if fatal {
            all.extend([Next::Rollback, Next::Apply]);
            let moments = [Moment::Before, Moment::Middle, Moment::After];
            for (fault, at) in
                [(Fault::Kill, injection.at * 7), (Fault::PowerCut { seed: 5 }, injection.at * 11)]
            {
                let moment = moments.get(at % 3).copied().unwrap_or(Moment::Before);
                all.push(Next::Twice(Injection {
                    at: at % self.writes_of_return(&struck, run),
                    moment,
                    fault,
                }));
            }
        }
        for next in all {
            count.faults += 1;
            let ground = Ground { applied, run, rebooted };
            match self.recover_back(struck.clone(), next, ground, count) {
                Ok(()) => count.restored += 1,
                Err(why) if count.failures.len() < 20 => {
                    let name = &self.case.name;
                    count.failures.push(format!("{name}, rolled back: {injection:?}, then {next:?}: {why}"));
                }
                Err(_) => {}
            }
        }
    }

    fn writes_of_return(&self, struck: &FakeMachine, run: &RunId) -> usize {
        let mut rehearsal = struck.clone();
        rehearsal.wait(LATER);
        rehearsal.trace();
        let _ = self.wake(&mut rehearsal, run);
        rehearsal.traced().len().max(1)
    }

    fn recover_back(
        &self,
        mut machine: FakeMachine,
        next: Next,
        mut ground: Ground<'_>,
        count: &mut Count,
    ) -> Result<(), String> {
        match next {
            Next::Guard => {}
            Next::Rollback | Next::Apply => {
                machine.make_room();
                if next == Next::Apply {
                    self.go_on(&mut machine, ground.run)?;
                }
                return self.to_the_end(&mut machine, &ground, count);
            }
            Next::Twice(injection) => {
                machine.wait(LATER);
                machine.inject(Some(injection));
                let _ = self.wake(&mut machine, ground.run);
                machine.inject(None);
                machine.revive();
                ground.rebooted |= matches!(injection.fault, Fault::PowerCut { .. });
            }
        }
        machine.wait(LATER);
        self.wake(&mut machine, ground.run)?;
        self.check_pending(&machine, &ground, count)?;
        // Somebody frees some space before the next attempt; what nobody asked for worked without.
        machine.make_room();
        self.to_the_end(&mut machine, &ground, count)
    }

    /// What the guard's service or boot-time unit does when it wakes.
    fn wake(&self, machine: &mut FakeMachine, run: &RunId) -> Result<(), String> {
        let loaded = self.store.load(machine, run).map_err(|error| format!("load: {error:?}"))?;
        match boot::decide(&loaded.status, &loaded.plan, &machine.clock(), Some(false)) {
            Decision::BringBack { stage, why } => {
                if self.mutant == Mutant::NoReturn {
                    self.forget_a_return(machine, &loaded)?;
                }
                let report = self
                    .session(machine, |session| takeback::bring_back(session, run, &stage, why, Grip::Seize))
                    .map_err(|error| format!("bring back: {error:?}"))?;
                if let Some(failed) = report.failed.first() {
                    return Err(format!("not brought back: {failed:?}"));
                }
                let odd = report.notes.iter().find(|(_, note)| *note != UndoNote::EndedWithBoot);
                odd.map_or(Ok(()), |found| Err(format!("the return noted {found:?}")))
            }
            Decision::Disarm { stage } => self
                .session(machine, |session| executor::disarm(session, run, &stage))
                .map_err(|error| format!("disarm: {error:?}")),
            Decision::UndoStage { .. } | Decision::StartTrial { .. } => Err("the guard undoes".to_owned()),
            _ => Ok(()),
        }
    }

    /// After the guard has had its say: the network is confirmed as it was before the run, or all of it is as it was
    /// before the rollback, the files of guards included.
    fn check_pending(
        &self,
        machine: &FakeMachine,
        ground: &Ground<'_>,
        count: &mut Count,
    ) -> Result<(), String> {
        let loaded = self.store.load(machine, ground.run).map_err(|error| format!("load: {error:?}"))?;
        if let Some(stage) = loaded.status.being_taken_back() {
            return Err(format!("stage {} is still {:?}", stage.id, stage.state));
        }
        if loaded.status.stages.iter().any(|stage| stage.state != StageState::Kept) {
            return Ok(());
        }
        let extent = if ground.rebooted { Extent::OtherBoot } else { Extent::SameBoot };
        let mut machine = machine.clone();
        self.compare_with(ground.applied, &machine, extent, count)
            .map_err(|why| format!("brought back, but {why}"))?;
        machine.power_cycle(0xD15C);
        self.compare_with(ground.applied, &machine, Extent::OtherBoot, count)
            .map_err(|why| format!("brought back, but after a power cut {why}"))
    }

    /// Goes on as the next `apply` would.
    fn go_on(&self, machine: &mut FakeMachine, run: &RunId) -> Result<(), String> {
        let resumed = self.session(machine, |session| executor::resume(session, run, &Options::default()));
        match resumed {
            Ok(executor::Outcome::Halted { cause, .. }) => Err(format!("resume is halted: {cause:?}")),
            Ok(executor::Outcome::Stuck { report, .. }) => Err(format!("resume is stuck: {report:?}")),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("resume: {error:?}")),
        }
    }

    /// A whole rollback, after which the machine before the run is there again.
    fn to_the_end(
        &self,
        machine: &mut FakeMachine,
        ground: &Ground<'_>,
        count: &mut Count,
    ) -> Result<(), String> {
        let report = self.whole_way(machine, ground.run)?;
        if let Some(first) = report.failed.first() {
            return Err(format!("rollback failed: {first:?}"));
        }
        if let Some(why) = report.unrecorded {
            return Err(format!("rollback is not recorded: {why}"));
        }
        let rebooted = ground.rebooted || self.has_trial();
        let extent = if rebooted { Extent::OtherBoot } else { Extent::SameBoot };
        self.compare(machine, extent, count)?;
        if let Some(open) = self.store.newest_unfinished(machine).map_err(|error| error.to_string())? {
            return Err(format!("run {} is not finished: {:?}", open.id, open.status));
        }
        machine.power_cycle(0xD15C);
        self.compare(machine, Extent::OtherBoot, count).map_err(|why| format!("after a power cut: {why}"))
    }

    /// Makes the journal say that the first step that was kept has come back, which it has not.
    fn forget_a_return(&self, machine: &mut FakeMachine, loaded: &Run) -> Result<(), String> {
        let mut steps = loaded.status.stages.iter().flat_map(|stage| &stage.steps);
        let Some(step) = steps.find(|step| step.kept.is_some()) else { return Ok(()) };
        let (_, mut journal) = self.store.open(machine, &loaded.id).map_err(|error| error.to_string())?;
        let returned = Record::StepReturned { step: step.id.clone(), notes: Vec::new() };
        journal.append(machine, returned).map_err(|error| error.to_string())
    }
}
