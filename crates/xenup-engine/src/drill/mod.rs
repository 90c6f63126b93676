//! Drills: a plan carried out on a fake machine with a fault at each of its writes, then rolled back.
//!
//! Decides: which faults are tried, and whether the machine before is there again.
//! Never: part of a run on a real machine; tests and `cargo xtask faults` call it.
//!
//! For each write of a plan and each of its moments: the write fails, the disk is full from there on, the
//! process is killed, the power fails. Then a rollback, and the tree must be the tree before; and since a
//! restored state that is not durable is none, the power is cut after it and the tree is compared again. After
//! a kill or a power cut the run is also resumed first, and the rollback itself is killed at some write of its
//! own and begun again. A plan that has begun a stage without a way back is led to its end instead, which must be that of
//! a run without a fault ([`onward`]). [`back`] does the same to the rollback of what was confirmed, which has a guard of its own.

mod back;
mod case;
mod onward;
mod picture;

use serde::Serialize;
use xenup_machine::fake::{FakeMachine, Fault, Injection, Moment, Sync};
use xenup_machine::file::Attributes;
use xenup_machine::{Machine, MachineError};

pub use case::{BadCase, Case};
pub use picture::{Extent, Picture};

use onward::Ends;

use crate::boot::{self, Decision};
use crate::confirm::confirm;
use crate::durable;
use crate::error::EngineError;
use crate::executor::{self, Options, Outcome};
use crate::guard::{GuardKeeper, Session};
use crate::journal::{Cause, Proof, Record, UndoNote};
use crate::plan::{Guard, Slug, Watch};
use crate::rollback::{Grip, Report, Scope, rollback};
use crate::status::{ArmedGuard, StepState};
use crate::store::{RunId, Store};

/// Small, since every drill writes it; large beside what the cases have to restore.
const RESERVE: u64 = 16 << 10;

/// A file whose presence tells a trial boot from another on the fake.
pub const TRIAL_MARK: &str = "/run/trial";

/// Something taken out of the engine, to see that the drills notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing is.
    #[default]
    None,
    /// Every sync of one kind.
    NoSync(Sync),
    /// The undo of the first step is left out.
    NoUndo,
    /// Every sync of one kind, in rollbacks under a guard alone.
    NoSyncBack(Sync),
    /// What comes back of the first step where such a rollback is not confirmed is left out.
    NoReturn,
}

/// What a drill counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Plans.
    pub plans: usize,
    /// Faults that were tried.
    pub faults: usize,
    /// Of those, after how many the machine before was there again.
    pub restored: usize,
    /// Paths that were compared, over all faults.
    pub compared: usize,
    /// Paths that were left out.
    pub left_out: usize,
    /// The first few that were not restored.
    pub failures: Vec<String>,
}

impl Count {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.plans += other.plans;
        self.faults += other.faults;
        self.restored += other.restored;
        self.compared += other.compared;
        self.left_out += other.left_out;
        self.failures.extend(other.failures);
        self.failures.truncate(20);
    }
}

/// A keeper that keeps its guard as a file among systemd's units, so that one that is never disarmed is found.
struct FileKeeper;

fn guard_file(run: &RunId, stage: &Slug) -> std::path::PathBuf {
    std::path::PathBuf::from(format!("/etc/systemd/system/guard-{run}-{stage}.service"))
}

impl GuardKeeper for FileKeeper {
    fn arm(
        &mut self,
        machine: &mut dyn Machine,
        run: &RunId,
        stage: &Slug,
        _guard: &ArmedGuard,
    ) -> Result<(), MachineError> {
        let path = guard_file(run, stage);
        let temporary = path.with_extension("new");
        durable::put_file(machine, &path, b"[Service]\n", &Attributes::root(0o644), &temporary)
    }

    fn disarm(&mut self, machine: &mut dyn Machine, run: &RunId, stage: &Slug) -> Result<(), MachineError> {
        let path = guard_file(run, stage);
        durable::clear(machine, &path.with_extension("new"))?;
        durable::clear(machine, &path)
    }
}

/// A machine, its store, and the plan they are drilled with.
struct Drill<'a> {
    case: &'a Case,
    store: Store,
    before: Picture,
    /// Where a plan with a stage without a way back leads.
    ends: Option<Ends>,
    mutant: Mutant,
}

/// Which writes of each plan are struck.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The first.
    pub first: usize,
    /// How far it is to the next; 1 leaves none out.
    pub stride: usize,
}

/// Carries out all cases with every fault at every `stride`-th write, spread over as many threads.
///
/// # Errors
/// The first case that does not work without a fault, in words.
pub fn drill_all(cases: &[Case], stride: usize, threads: usize, mutant: Mutant) -> Result<Count, String> {
    let (stride, threads) = (stride.max(1), threads.max(1));
    let work = |thread: usize| {
        let sample = Sample { first: thread * stride, stride: stride * threads };
        let mut total = Count::default();
        for case in cases {
            total.add(drill(case, sample, mutant)?);
        }
        Ok(total)
    };
    let counts: Vec<Result<Count, String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        let ended = running.into_iter().map(|one| one.join());
        ended.map(|count| count.unwrap_or_else(|_| Err("a drill panicked".to_owned()))).collect()
    });
    let mut total = Count::default();
    for count in counts {
        total.add(count?);
    }
    total.plans = cases.len();
    Ok(total)
}

/// Carries out a case with every fault at the sampled writes.
///
/// # Errors
/// The case does not work without a fault, in words.
pub fn drill(case: &Case, sample: Sample, mutant: Mutant) -> Result<Count, String> {
    let mut drill = Drill {
        case,
        store: Store::new("/var/lib/xenup").with_reserve(RESERVE),
        before: Picture::of(&case.machine, &case.plan),
        ends: None,
        mutant,
    };
    drill.ends = drill.ends_without_fault()?;
    let writes = drill.check_without_fault()?;
    let mut count = Count { plans: 1, ..Count::default() };
    for (at, has_middle) in writes.into_iter().enumerate().skip(sample.first).step_by(sample.stride.max(1)) {
        for moment in [Moment::Before, Moment::Middle, Moment::After] {
            if moment == Moment::Middle && !has_middle {
                continue;
            }
            let seed = (at as u64) << 8 | moment as u64;
            for fault in [Fault::Fails, Fault::DiskFull, Fault::Kill, Fault::PowerCut { seed }] {
                // A disk that is full after a write is full before the next.
                if fault != Fault::DiskFull || moment != Moment::After {
                    drill.strike(Injection { at, moment, fault }, &mut count);
                }
            }
        }
    }
    count.add(drill.way_back(sample)?);
    Ok(count)
}

/// What is done after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aftermath {
    /// A rollback.
    Rollback,
    /// The run is resumed to its end, then rolled back.
    Resume,
    /// A rollback that is killed at one of its own writes, and another.
    Twice(Injection),
}

impl Drill<'_> {
    /// Carries the plan out, confirming each guarded stage, booting each trial, until it is done or something
    /// stops it. `faulty` is consumed by the first write that meets it.
    fn carry_out(&self, machine: &mut FakeMachine) -> Result<Outcome, EngineError> {
        let mut outcome =
            self.session(machine, |session| executor::apply(session, &self.case.plan, &Options::default()))?;
        while let Outcome::AwaitingConfirm { run, stage, .. } = &outcome {
            let (run, stage) = (run.clone(), stage.clone());
            self.confirm(machine, &run, &stage)?;
            outcome =
                self.session(machine, |session| executor::resume(session, &run, &Options::default()))?;
        }
        Ok(outcome)
    }

    fn confirm(&self, machine: &mut FakeMachine, run: &RunId, stage: &Slug) -> Result<(), EngineError> {
        if self.guard_of(stage).is_some_and(|guard| guard.watch == Watch::TrialBoot) {
            self.boot_trial(machine, run)?;
        }
        self.session(machine, |session| confirm(session, run, Proof::Console)).map(drop)
    }

    fn guard_of(&self, stage: &Slug) -> Option<&Guard> {
        self.case.plan.stages.iter().find(|found| &found.id == stage)?.guard.as_ref()
    }

    /// Boots into the trial as a boot-time unit would find it.
    fn boot_trial(&self, machine: &mut FakeMachine, run: &RunId) -> Result<(), EngineError> {
        let loaded = self.store.load(machine, run)?;
        machine.shut_down();
        machine.put(TRIAL_MARK, b"", &Attributes::root(0o644));
        let clock = xenup_machine::Probe::clock(machine);
        match boot::decide(&loaded.status, &self.case.plan, &clock, Some(true)) {
            Decision::StartTrial { stage, .. } => {
                self.session(machine, |session| boot::start_trial(session, run, &stage)).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn session<T>(&self, machine: &mut FakeMachine, work: impl FnOnce(&mut Session<'_>) -> T) -> T {
        let mut session =
            Session { machine, keeper: &mut FileKeeper, store: &self.store, events: &mut |_| {} };
        work(&mut session)
    }

    fn fresh(&self) -> FakeMachine {
        let mut machine = self.case.machine.clone();
        if let Mutant::NoSync(kind) = self.mutant {
            machine.lose_syncs(kind);
        }
        machine
    }

    /// Carries the plan out without a fault, and back; returns its writes.
    fn check_without_fault(&self) -> Result<Vec<bool>, String> {
        let mut machine = self.fresh();
        machine.trace();
        let outcome = self.carry_out(&mut machine);
        let writes = machine.traced();
        match outcome {
            Ok(Outcome::Done { .. }) => {}
            other => return Err(format!("{}: without a fault: {other:?}", self.case.name)),
        }
        if self.mutant == Mutant::None && self.ends.is_none() {
            machine.inject(None);
            self.roll_back(&mut machine, Extent::SameBoot, &mut Count::default())
                .map_err(|why| format!("{}: without a fault: {why}", self.case.name))?;
        }
        Ok(writes)
    }

    /// Tries one fault with each of its aftermaths.
    fn strike(&self, injection: Injection, count: &mut Count) {
        let mut struck = self.fresh();
        struck.inject(Some(injection));
        let _ = self.carry_out(&mut struck);
        let fatal = !struck.is_running();
        struck.inject(None);
        struck.revive();
        let rebooted = matches!(injection.fault, Fault::PowerCut { .. }) || self.has_trial();
        let extent = if rebooted { Extent::OtherBoot } else { Extent::SameBoot };
        let mut aftermaths = vec![Aftermath::Rollback];
        if fatal {
            aftermaths.push(Aftermath::Resume);
            aftermaths.extend(self.second_kills(&struck, injection.at));
        }
        for aftermath in aftermaths {
            count.faults += 1;
            match self.recover(struck.clone(), aftermath, extent, count) {
                Ok(()) => count.restored += 1,
                Err(why) if count.failures.len() < 20 => {
                    let name = &self.case.name;
                    count.failures.push(format!("{name}: {injection:?}, then {aftermath:?}: {why}"));
                }
                Err(_) => {}
            }
        }
    }

    /// Returns a kill and a power cut at a write of the rollback: another one for each write of the plan, so that
    /// over a plan all of them are met.
    fn second_kills(&self, struck: &FakeMachine, at: usize) -> Vec<Aftermath> {
        let mut rehearsal = struck.clone();
        rehearsal.trace();
        if self.is_past_return(&rehearsal) {
            let _ = self.resume(&mut rehearsal);
        } else {
            let _ = self.back(&mut rehearsal);
        }
        let writes = rehearsal.traced().len();
        let moments = [Moment::Before, Moment::Middle, Moment::After];
        let kill = |fault, at: usize| {
            let moment = moments.get(at % 3).copied().unwrap_or(Moment::Before);
            Aftermath::Twice(Injection { at: at % writes.max(1), moment, fault })
        };
        let seed = at as u64 ^ 0x5EED;
        vec![kill(Fault::Kill, at.wrapping_mul(7)), kill(Fault::PowerCut { seed }, at.wrapping_mul(11) + 3)]
    }

    fn has_trial(&self) -> bool {
        let mut guards = self.case.plan.stages.iter().filter_map(|stage| stage.guard.as_ref());
        guards.any(|guard| guard.watch == Watch::TrialBoot)
    }

    fn recover(
        &self,
        mut machine: FakeMachine,
        aftermath: Aftermath,
        mut extent: Extent,
        count: &mut Count,
    ) -> Result<(), String> {
        if self.is_past_return(&machine) {
            return self.go_onward(machine, aftermath, extent, count);
        }
        match aftermath {
            Aftermath::Rollback => {}
            Aftermath::Resume => {
                self.resume(&mut machine)?;
                if self.is_past_return(&machine) {
                    return self.check_end(&mut machine, extent, count);
                }
            }
            Aftermath::Twice(injection) => {
                machine.inject(Some(injection));
                let _ = self.back(&mut machine);
                machine.inject(None);
                machine.revive();
                if matches!(injection.fault, Fault::PowerCut { .. }) {
                    extent = Extent::OtherBoot;
                }
            }
        }
        self.roll_back(&mut machine, extent, count)
    }

    /// Goes on with an open run, as the next `apply` would.
    fn resume(&self, machine: &mut FakeMachine) -> Result<(), String> {
        loop {
            let words = |error: EngineError| format!("resume: {error:?}");
            let Some(run) = self.store.newest_unfinished(machine).map_err(words)? else { return Ok(()) };
            let resumed =
                self.session(machine, |session| executor::resume(session, &run.id, &Options::default()));
            match resumed {
                Ok(Outcome::AwaitingConfirm { run, stage, .. }) => {
                    // A guard of an earlier boot is not confirmed any more; it is undone.
                    if self.confirm(machine, &run, &stage).is_err() {
                        return Ok(());
                    }
                }
                Ok(
                    Outcome::Done { .. }
                    | Outcome::Restored { .. }
                    | Outcome::BroughtBack { .. }
                    | Outcome::NothingToDo,
                ) => return Ok(()),
                // What a boot made anew is not what the plan was made from.
                Err(EngineError::Drift { .. }) => return Ok(()),
                Ok(Outcome::Halted { cause, .. }) => return Err(format!("resume is halted: {cause:?}")),
                Ok(Outcome::Stuck { report, .. }) => return Err(format!("resume is stuck: {report:?}")),
                Err(error) => return Err(words(error)),
            }
        }
    }

    /// Rolls the newest run back, and says what is not as it was.
    fn roll_back(&self, machine: &mut FakeMachine, extent: Extent, count: &mut Count) -> Result<(), String> {
        let report = self.back(machine).map_err(|error| format!("rollback: {error:?}"))?;
        let noteworthy = report.notes.iter().find(|(_, note)| *note != UndoNote::EndedWithBoot);
        if let Some(found) = noteworthy {
            return Err(format!("rollback noted {found:?}"));
        }
        if let (Some(first), _) | (None, Some(first)) =
            (report.failed.first().map(|failed| format!("{failed:?}")), report.unrecorded)
        {
            return Err(format!("rollback failed: {first}"));
        }
        self.compare(machine, extent, count)?;
        if let Some(open) = self.store.newest_unfinished(machine).map_err(|error| error.to_string())? {
            return Err(format!("run {} is not finished: {:?}", open.id, open.status));
        }
        machine.power_cycle(0xD15C);
        self.compare(machine, Extent::OtherBoot, count).map_err(|why| format!("after a power cut: {why}"))
    }

    fn compare(&self, machine: &FakeMachine, extent: Extent, count: &mut Count) -> Result<(), String> {
        self.compare_with(&self.before, machine, extent, count)
    }

    fn compare_with(
        &self,
        picture: &Picture,
        machine: &FakeMachine,
        extent: Extent,
        count: &mut Count,
    ) -> Result<(), String> {
        let now = Picture::of(machine, &self.case.plan);
        count.compared += now.paths();
        count.left_out += now.left_out;
        match picture.differences(&now, extent).first() {
            None => Ok(()),
            Some(first) => Err(first.clone()),
        }
    }

    fn back(&self, machine: &mut FakeMachine) -> Result<Report, EngineError> {
        let Some(run) = self.store.newest(machine)? else { return Ok(Report::default()) };
        if self.mutant == Mutant::NoUndo {
            self.forget_first_step(machine, &run.id)?;
        }
        self.session(machine, |session| rollback(session, &run.id, &Scope::Run, Cause::Asked, Grip::Lock))
    }

    /// Makes the journal say that the first step is undone, which it is not.
    fn forget_first_step(&self, machine: &mut FakeMachine, run: &RunId) -> Result<(), EngineError> {
        let (loaded, mut journal) = self.store.open(machine, run)?;
        let mut steps = loaded.status.stages.iter().flat_map(|stage| &stage.steps);
        if let Some(step) = steps.next().filter(|step| step.state == StepState::Done) {
            journal.append(machine, Record::StepUndone { step: step.id.clone(), notes: Vec::new() })?;
        }
        Ok(())
    }
}
