//! Drills of a plan that has begun a stage without a way back: it is led to its end from wherever it was stopped.
//!
//! Decides: that nobody can roll such a run back, that a failure does not end it, and that the end is the one that a run
//! without a fault has; or, where a stage after it was undone or called off, that of a run up to there.
//! Never: takes anything between for good.

use xenup_machine::fake::{FakeMachine, Fault, Injection};

use super::{Aftermath, Count, Drill, Extent, Mutant, Picture};
use crate::error::EngineError;
use crate::journal::End;
use crate::plan::Slug;
use crate::rollback;

/// Where a plan leads.
pub(super) struct Ends {
    /// Carried out, its trial confirmed.
    done: Picture,
    /// Carried out up to each stage that can still be undone, or called off.
    up_to: Vec<(Slug, Picture)>,
}

impl Drill<'_> {
    /// Carries the plan out without a fault: all of it, and up to each stage that has a way back again. `None` where all
    /// of it has.
    pub(super) fn ends_without_fault(&self) -> Result<Option<Ends>, String> {
        let stages = &self.case.plan.stages;
        let Some(first) = stages.iter().position(|stage| stage.no_return.is_some()) else { return Ok(None) };
        let after = stages.iter().enumerate().skip(first.saturating_add(1));
        let up_to = after.filter(|(_, stage)| stage.no_return.is_none());
        let up_to = up_to.map(|(at, stage)| Ok((stage.id.clone(), self.carried_out(at)?)));
        let up_to = up_to.collect::<Result<_, String>>()?;
        Ok(Some(Ends { done: self.carried_out(stages.len())?, up_to }))
    }

    /// The machine after so many stages.
    fn carried_out(&self, stages: usize) -> Result<Picture, String> {
        let mut case = self.case.clone();
        case.plan.stages.truncate(stages);
        let drill = Drill {
            case: &case,
            store: self.store.clone(),
            before: self.before.clone(),
            ends: None,
            mutant: Mutant::None,
        };
        let mut machine = case.machine.clone();
        let done = drill.carry_out(&mut machine);
        done.map_err(|error| format!("{}: {stages} stages without a fault: {error:?}", case.name))?;
        Ok(Picture::of(&machine, &self.case.plan).timeless())
    }

    /// Whether the newest run has begun a stage without a way back.
    pub(super) fn is_past_return(&self, machine: &FakeMachine) -> bool {
        let Ok(Some(run)) = self.store.newest(machine) else { return false };
        let mut stages = run.plan.stages.iter().zip(&run.status.stages);
        stages.any(|(planned, found)| rollback::is_past_return(planned, found))
    }

    /// Leads a run that was stopped past its point of no return to its end.
    pub(super) fn go_onward(
        &self,
        mut machine: FakeMachine,
        aftermath: Aftermath,
        mut extent: Extent,
        count: &mut Count,
    ) -> Result<(), String> {
        match aftermath {
            Aftermath::Rollback => {
                // Whoever asks is refused, or calls off what came after; then somebody frees some space.
                let before = Picture::of(&machine, &self.case.plan);
                match self.back(&mut machine) {
                    Err(EngineError::NoReturn { .. }) => {
                        self.compare_with(&before, &machine, Extent::SameBoot, count)
                            .map_err(|why| format!("a rollback was refused, but {why}"))?;
                    }
                    Err(error) => return Err(format!("rollback: {error:?}")),
                    Ok(report) if report.is_clean() => return self.check_end(&mut machine, extent, count),
                    Ok(report) => return Err(format!("rollback failed: {report:?}")),
                }
            }
            Aftermath::Resume => {}
            Aftermath::Twice(injection) => {
                machine.inject(Some(injection));
                let _ = self.resume(&mut machine);
                machine.inject(None);
                machine.revive();
                if matches!(injection, Injection { fault: Fault::PowerCut { .. }, .. }) {
                    extent = Extent::OtherBoot;
                }
            }
        }
        machine.make_room();
        self.resume(&mut machine)?;
        self.check_end(&mut machine, extent, count)
    }

    /// Checks that the machine is where the plan leads, or where it is with its trial called off, after a power cut too.
    pub(super) fn check_end(
        &self,
        machine: &mut FakeMachine,
        extent: Extent,
        count: &mut Count,
    ) -> Result<(), String> {
        let words = |error: EngineError| error.to_string();
        let Some(ends) = &self.ends else { return Err("there is a way back".to_owned()) };
        let Some(mut run) = self.store.newest(machine).map_err(words)? else {
            return Err("no run".to_owned());
        };
        if run.status.is_unfinished() {
            // A trial whose boot is over, or that nobody reached: its guard undoes it.
            let report =
                self.back(machine).map_err(|error| format!("not done, and not called off: {error:?}"))?;
            if !report.is_clean() {
                return Err(format!("rollback failed: {report:?}"));
            }
            run = self.store.load(machine, &run.id).map_err(words)?;
        }
        let picture = match &run.status.end {
            Some(End::Done) => Some(&ends.done),
            Some(End::Restored { stage, .. }) => {
                ends.up_to.iter().find(|(id, _)| id == stage).map(|(_, picture)| picture)
            }
            _ => None,
        };
        let ended = || format!("the run ended as {:?}: {:?}", run.status.end, run.status);
        let picture = picture.ok_or_else(ended)?;
        self.compare_end(picture, machine, extent, count)?;
        machine.power_cycle(0xD15C);
        self.compare_end(picture, machine, Extent::OtherBoot, count)
            .map_err(|why| format!("after a power cut: {why}"))
    }

    fn compare_end(
        &self,
        end: &Picture,
        machine: &FakeMachine,
        extent: Extent,
        count: &mut Count,
    ) -> Result<(), String> {
        let now = Picture::of(machine, &self.case.plan).timeless();
        count.compared += now.paths();
        count.left_out += now.left_out;
        end.differences(&now, extent).first().map_or(Ok(()), |first| Err(first.clone()))
    }
}
