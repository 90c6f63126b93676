//! Where xenup keeps what it needs to undo: runs, pre-images, the lock, a reserve of space.
//!
//! Decides: names and places below one directory (`/var/lib/xenup`), and that what lies there is durable.
//! Never: says what a run's records mean, or which run is to be continued.
//!
//! ```text
//! lock                      held by whoever changes the machine
//! reserve                   space that a rollback on a full disk gives free first
//! objects/<sha256>          bytes that stood somewhere before; owner, mode and time are in the journal
//! runs/<id>/plan.json       what was asked for
//! runs/<id>/journal         what was done
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::file::Attributes;
use xenup_machine::{Clock, Lock, Machine, MachineError, Probe, Reason};

use crate::digest::Digest;
use crate::durable;
use crate::error::EngineError;
use crate::journal::{Journal, Record};
use crate::plan::Plan;
use crate::status::Status;

/// Space kept for the journal and the temporary copies of a rollback.
const RESERVE: u64 = 4 << 20;

/// The largest plan that is read.
const LARGEST_PLAN: u64 = 64 << 20;

/// The name of a run: the moment it began, in UTC, and four digits, such as `20261122-160301-ab12`.
/// Names sort in the order of their beginning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// A text that is not the name of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a run, such as 20261122-160301-ab12")]
pub struct NotARunId(pub String);

impl RunId {
    /// Returns the name of a run of `plan` that begins now.
    #[must_use]
    pub fn new(clock: &Clock, plan: &Digest) -> Self {
        let salt = format!("{} {} {plan}", clock.boot_id, clock.boottime_ns);
        let salt = Digest::of(salt.as_bytes());
        Self(format!("{}-{}", utc(clock.unix_seconds), &salt.short()[..4]))
    }

    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes a moment as `YYYYMMDD-HHMMSS`. Days to a date by Howard Hinnant's `civil_from_days`.
fn utc(unix_seconds: i64) -> String {
    // Years outside 1970..9999 would not fit the name; a clock that far off is held to the nearest end.
    let seconds = unix_seconds.clamp(0, 253_402_300_799);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let good = text.len() == 20
            && text.bytes().enumerate().all(|(at, c)| match at {
                8 | 15 => c == b'-',
                16.. => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
                _ => c.is_ascii_digit(),
            });
        if good { Ok(Self(text.to_owned())) } else { Err(NotARunId(text.to_owned())) }
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run as it lies in the store.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// What was asked for.
    pub plan: Plan,
    /// What was done.
    pub records: Vec<Record>,
    /// What that adds up to.
    pub status: Status,
}

/// The directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    reserve: u64,
}

impl Store {
    /// Returns the store in `root`, an absolute path; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), reserve: RESERVE }
    }

    /// Returns the same store with a reserve of another size, in bytes.
    #[must_use]
    pub fn with_reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// Returns its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory of a run.
    #[must_use]
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(run.as_str())
    }

    /// Returns the journal of a run.
    #[must_use]
    pub fn journal_path(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("journal")
    }

    /// Returns the plan of a run.
    #[must_use]
    pub fn plan_path(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("plan.json")
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    fn reserve_path(&self) -> PathBuf {
        self.root.join("reserve")
    }

    fn object_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("objects").join(digest.as_str())
    }

    fn error(&self, doing: &'static str) -> impl FnOnce(MachineError) -> EngineError + use<> {
        let path = self.root.clone();
        move |source| EngineError::Store { path, doing, source }
    }

    /// Takes the lock for as long as `machine` lives; `what` says for what, to whoever is told of it.
    ///
    /// # Errors
    /// [`EngineError::Locked`] with the holder's words, or the store cannot be made.
    pub fn lock(&self, machine: &mut dyn Machine, what: &str) -> Result<(), EngineError> {
        durable::make_dirs(machine, &self.root, 0o700).map_err(self.error("made"))?;
        match machine.lock(&self.lock_path(), what).map_err(self.error("locked"))? {
            Lock::Taken => Ok(()),
            Lock::HeldBy(holder) => Err(EngineError::Locked { holder }),
        }
    }

    /// Takes the lock; where somebody has it, that process is ended first. For the guard alone: its deadline
    /// has passed, and whoever has the lock has had its time.
    ///
    /// # Errors
    /// The holder cannot be ended, or the store cannot be made.
    pub fn seize(&self, machine: &mut dyn Machine, what: &str) -> Result<(), EngineError> {
        match self.lock(machine, what) {
            Err(EngineError::Locked { holder }) => {
                machine.seize_lock(&self.lock_path(), &holder, what).map_err(self.error("locked"))
            }
            other => other,
        }
    }

    /// Returns the names of all runs that have begun, oldest first.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn runs(&self, probe: &dyn Probe) -> Result<Vec<RunId>, EngineError> {
        let names = match probe.list(&self.root.join("runs")) {
            Ok(names) => names,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(self.error("read")(error)),
        };
        let ids = names.iter().filter_map(|name| name.to_str()?.parse::<RunId>().ok());
        // A directory whose journal has no record was left by a crash before anything was done.
        let mut begun = Vec::new();
        for id in ids {
            match probe.entry(&self.journal_path(&id)).map_err(self.error("read"))? {
                Some(_) if Journal::is_begun(probe, &self.journal_path(&id))? => begun.push(id),
                _ => {}
            }
        }
        Ok(begun)
    }

    /// Returns a run with its plan, records and status.
    ///
    /// # Errors
    /// No such run, a damaged journal, or a plan that is not the one the journal names.
    pub fn load(&self, probe: &dyn Probe, run: &RunId) -> Result<Run, EngineError> {
        self.open(probe, run).map(|(run, _)| run)
    }

    /// Returns a run, and its journal open for going on with it.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn open(&self, probe: &dyn Probe, run: &RunId) -> Result<(Run, Journal), EngineError> {
        let journal = match Journal::open(probe, &self.journal_path(run)) {
            Err(error) if error.is_not_found() => return Err(EngineError::NoSuchRun { run: run.clone() }),
            other => other?,
        };
        let records = journal.records().to_vec();
        let path = self.plan_path(run);
        let bytes = probe.read(&path, LARGEST_PLAN).map_err(self.error("read"))?;
        if let Some(Record::RunBegun { plan, .. }) = records.first()
            && *plan != Digest::of(&bytes)
        {
            return Err(EngineError::PlanChanged { path });
        }
        let plan = parse_plan(&bytes).map_err(|source| EngineError::BadPlan { path, source })?;
        let status = Status::fold(&records, &plan);
        Ok((Run { id: run.clone(), plan, records, status }, journal))
    }

    /// Returns the newest run.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn newest(&self, probe: &dyn Probe) -> Result<Option<Run>, EngineError> {
        self.runs(probe)?.last().map(|run| self.load(probe, run)).transpose()
    }

    /// Returns the newest run that has not ended: one that awaits a confirm, was interrupted, or is stuck.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn newest_unfinished(&self, probe: &dyn Probe) -> Result<Option<Run>, EngineError> {
        for run in self.runs(probe)?.iter().rev() {
            let run = self.load(probe, run)?;
            if run.status.is_unfinished() {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// Makes a new run of a plan: its directory, plan, reserve and empty journal, all durable.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn begin(&self, machine: &mut dyn Machine, plan: &Plan) -> Result<(RunId, Journal), EngineError> {
        let bytes = serde_json::to_vec_pretty(plan)
            .map_err(|source| EngineError::BadPlan { path: self.root.join("runs"), source })?;
        let digest = Digest::of(&bytes);
        let clock = machine.clock();
        let run = RunId::new(&clock, &digest);
        self.lay_out(machine, &run, &bytes).map_err(self.error("written"))?;
        let mut journal = Journal::create(machine, &self.journal_path(&run))?;
        let begun = Record::RunBegun {
            run: run.clone(),
            plan: digest,
            machine_id: plan.machine_id.clone(),
            boot_id: clock.boot_id,
            unix_seconds: clock.unix_seconds,
        };
        journal.append(machine, begun)?;
        Ok((run, journal))
    }

    fn lay_out(&self, machine: &mut dyn Machine, run: &RunId, plan: &[u8]) -> Result<(), MachineError> {
        durable::make_dirs(machine, &self.root.join("objects"), 0o700)?;
        self.reserve_space(machine)?;
        durable::make_dirs(machine, &self.run_dir(run), 0o700)?;
        let path = self.plan_path(run);
        durable::put_file(machine, &path, plan, &Attributes::root(0o600), &path.with_extension("new"))
    }

    /// Keeps bytes under their digest; durable when this returns.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep(&self, machine: &mut dyn Machine, bytes: &[u8]) -> Result<Digest, EngineError> {
        let digest = Digest::of(bytes);
        let path = self.object_path(&digest);
        let temporary = path.with_extension("new");
        // One that is there already may be torn, or not yet durable: it is written anew.
        durable::put_file(machine, &path, bytes, &Attributes::root(0o600), &temporary)
            .map_err(self.error("written"))?;
        Ok(digest)
    }

    /// Returns kept bytes.
    ///
    /// # Errors
    /// They are not there, or are not what their name says.
    pub fn object(&self, probe: &dyn Probe, digest: &Digest) -> Result<Vec<u8>, MachineError> {
        let path = self.object_path(digest);
        let bytes = probe.read(&path, crate::snapshot::LARGEST_FILE)?;
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        Err(MachineError::at("read", &path, Reason::Device, "its bytes are not those that were kept"))
    }

    /// Keeps room for the next rollback, where it was given free and is there again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn reserve_again(&self, machine: &mut dyn Machine) -> Result<(), MachineError> {
        self.reserve_space(machine)
    }

    fn reserve_space(&self, machine: &mut dyn Machine) -> Result<(), MachineError> {
        let path = self.reserve_path();
        if machine.entry(&path)?.is_some() || self.reserve == 0 {
            return Ok(());
        }
        // Not zeroes: a file system that compresses would reserve nothing for them.
        let bytes: Vec<u8> = (0..self.reserve).map(|at| (at.wrapping_mul(0x9E37_79B9) >> 13) as u8).collect();
        durable::put_file(machine, &path, &bytes, &Attributes::root(0o600), &path.with_extension("new"))
    }

    /// Gives the reserved space free, so that a rollback works on a full disk.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn release_reserve(&self, machine: &mut dyn Machine) -> Result<(), MachineError> {
        let path = self.reserve_path();
        durable::clear(machine, &path.with_extension("new"))?;
        durable::clear(machine, &path)
    }
}

/// Reads a plan.
///
/// # Errors
/// Not JSON of the schema this build knows.
pub fn parse_plan(bytes: &[u8]) -> Result<Plan, serde_json::Error> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::{RunId, utc};

    #[test]
    fn a_moment_is_written_in_utc() {
        // Against `date -u -d @N +%Y%m%d-%H%M%S`.
        assert_eq!(utc(0), "19700101-000000");
        assert_eq!(utc(951_827_696), "20000229-123456");
        assert_eq!(utc(1_795_363_381), "20261122-160301");
        assert_eq!(utc(-5), "19700101-000000");
    }

    #[test]
    fn a_run_id_is_never_a_path() {
        assert!("20261122-160301-ab12".parse::<RunId>().is_ok());
        for bad in ["", "../../etc", "20261122-160301-AB12", "20261122-160301-ab12/x", "2026112216030100ab12"]
        {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
