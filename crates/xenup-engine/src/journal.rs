//! The journal of a run: what was about to be done, and what was done, written ahead and made durable.
//!
//! Decides: the records, their form on disk, and which damage can be survived.
//! Never: says what a run's state is (`status` folds it from the records), or performs a step.
//!
//! One record is one line: 16 hexadecimal digits of the SHA-256 of the rest, a space, JSON. A power cut
//! can tear the last line only, because each is durable before the next is begun. A bad line before the
//! last is damage by something else, and an error that names the line.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::file::Attributes;
use xenup_machine::{Machine, MachineError, Probe};

use crate::digest::Digest;
use crate::durable;
use crate::plan::{Slug, Watch};
use crate::snapshot::Snapshot;
use crate::store::RunId;

/// The largest journal that is read: a run of a thousand steps stays below a hundredth of it.
const LARGEST: u64 = 256 << 20;

/// Digits of the digest in front of each record.
const CHECK: usize = 16;

/// A moment within one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// CLOCK_BOOTTIME in nanoseconds.
    pub boottime_ns: u64,
}

/// Why something is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// A person asked for it.
    Asked,
    /// A step failed, or was refused when others of its stage were done.
    StepFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// The steps were done, but what must hold afterwards does not.
    ChecksFailed {
        /// In words.
        why: String,
    },
    /// The guard could not be armed, so nothing under it was begun.
    GuardFailed {
        /// In words.
        why: String,
    },
    /// Nobody confirmed before the deadline.
    NotConfirmed,
    /// The machine was started anew while a guard was pending.
    Rebooted,
    /// The trial was armed, and something else was booted.
    TrialNotReached,
    /// The process that applied it ended in the middle.
    Interrupted,
}

/// Who confirmed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "kebab-case")]
pub enum Proof {
    /// A connection from outside that was made after the change.
    NewConnection {
        /// When it was accepted, CLOCK_BOOTTIME in nanoseconds.
        started_boottime_ns: u64,
        /// The other end, for people.
        from: String,
    },
    /// Somebody at the machine itself.
    Console,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum End {
    /// Every stage is kept.
    Done,
    /// A stage was undone; those before it are kept.
    Restored {
        /// The stage.
        stage: Slug,
        /// Why.
        cause: Cause,
    },
    /// Everything was undone.
    RolledBack,
    /// A rollback was not confirmed, or failed, and the stage that it had undone is there again.
    BroughtBack {
        /// The stage.
        stage: Slug,
        /// Why.
        cause: Cause,
    },
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// A run began.
    RunBegun {
        /// Its id.
        run: RunId,
        /// Digest of `plan.json` beside the journal.
        plan: Digest,
        /// `/etc/machine-id`.
        machine_id: String,
        /// Which boot.
        boot_id: String,
        /// Wall clock, for people.
        unix_seconds: i64,
    },
    /// A stage began.
    StageBegun {
        /// The stage.
        stage: Slug,
    },
    /// A stage's guard is about to be armed; a later record for the same stage moves the deadline.
    GuardArmed {
        /// The stage.
        stage: Slug,
        /// What it watches over.
        watch: Watch,
        /// In which boot it was armed.
        boot_id: String,
        /// CLOCK_BOOTTIME in nanoseconds; `None` for a trial boot, whose deadline counts from that boot.
        deadline_ns: Option<u64>,
    },
    /// A step is about to be done.
    StepStarted {
        /// The step.
        step: Slug,
        /// In which boot.
        boot_id: String,
        /// What its undo restores; the bytes are in the store.
        before: Snapshot,
    },
    /// A step was done, and what it left was read again.
    StepDone {
        /// The step.
        step: Slug,
        /// What is there now.
        after: Snapshot,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// All steps of a stage are done and what must hold was seen to hold.
    StageVerified {
        /// The stage.
        stage: Slug,
        /// When: a connection that proves anything began later.
        at: Moment,
    },
    /// The armed trial was booted.
    TrialBegun {
        /// The stage.
        stage: Slug,
        /// In which boot.
        boot_id: String,
        /// CLOCK_BOOTTIME in nanoseconds.
        deadline_ns: u64,
    },
    /// A stage was confirmed.
    Confirmed {
        /// The stage.
        stage: Slug,
        /// By whom.
        by: Proof,
        /// Wall clock, for people.
        unix_seconds: i64,
    },
    /// A stage's guard is no longer armed.
    GuardDisarmed {
        /// The stage.
        stage: Slug,
    },
    /// Stages are about to be undone.
    RollbackBegun {
        /// Which, in the order of the plan.
        stages: Vec<Slug>,
        /// Why.
        why: Cause,
        /// Wall clock, for people.
        unix_seconds: i64,
    },
    /// A step was undone, and what it restored was read again.
    StepUndone {
        /// The step.
        step: Slug,
        /// What is noteworthy about it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<UndoNote>,
    },
    /// An undo failed.
    UndoFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// A confirmed stage is about to be undone under a guard of its own; a later record for the same stage goes on
    /// with it, and moves the deadline.
    TakeBackBegun {
        /// The stage.
        stage: Slug,
        /// In which boot.
        boot_id: String,
        /// CLOCK_BOOTTIME in nanoseconds.
        deadline_ns: u64,
        /// Wall clock, for people.
        unix_seconds: i64,
    },
    /// A step is about to be undone under that guard.
    StepTakingBack {
        /// The step.
        step: Slug,
        /// In which boot.
        boot_id: String,
        /// What comes back unless somebody confirms; the bytes are in the store.
        now: Snapshot,
    },
    /// A step was undone under that guard, and what it restored was read again.
    StepTakenBack {
        /// The step.
        step: Slug,
        /// What is noteworthy about it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<UndoNote>,
    },
    /// All steps of the stage are undone, and it comes back unless somebody confirms.
    StageTakenBack {
        /// The stage.
        stage: Slug,
        /// When: a connection that proves anything began later.
        at: Moment,
        /// CLOCK_BOOTTIME in nanoseconds.
        deadline_ns: u64,
    },
    /// What was undone under that guard is about to come back.
    ReturnBegun {
        /// The stage.
        stage: Slug,
        /// Why.
        why: Cause,
        /// Wall clock, for people.
        unix_seconds: i64,
    },
    /// What a step had done until it was taken back is there again, and was read again.
    StepReturned {
        /// The step.
        step: Slug,
        /// What is noteworthy about it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<UndoNote>,
    },
    /// It could not be brought back.
    ReturnFailed {
        /// The step.
        step: Slug,
        /// In words.
        why: String,
    },
    /// All steps of the stage were gone through.
    StageReturned {
        /// The stage.
        stage: Slug,
        /// Whether all of it is there again.
        clean: bool,
    },
    /// All steps of a stage were gone through.
    StageUndone {
        /// The stage.
        stage: Slug,
        /// Whether every undo succeeded.
        clean: bool,
    },
    /// The run ended.
    RunFinished {
        /// How.
        end: End,
        /// Wall clock, for people.
        unix_seconds: i64,
    },
}

/// Something about an undo that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum UndoNote {
    /// Somebody changed it since; it was left as they made it.
    LeftAsChanged {
        /// What.
        what: String,
    },
    /// Somebody changed it since; theirs lies beside, ours was restored, because the way in depends on it.
    KeptBeside {
        /// Where it stood.
        path: PathBuf,
        /// Where it lies now.
        kept: PathBuf,
    },
    /// It ended with the boot it was made in.
    EndedWithBoot,
    /// It cannot be undone; the plan said so.
    Irreversible {
        /// Why.
        why: String,
    },
    /// dpkg was killed while it unpacked this package, and there is no archive to do it again: files of it may be left.
    UnpackedInPart {
        /// The package.
        package: String,
    },
    /// Its owner made it again, and it differs from what was there before.
    RegeneratedDifferently {
        /// The file.
        path: PathBuf,
    },
}

impl UndoNote {
    /// What may be left of a package that was unpacked in part, in words.
    #[must_use]
    pub fn unpacked_in_part(package: &str) -> String {
        format!(
            "dpkg was killed while it unpacked {package}, whose archive is gone: files named *.dpkg-new may be left"
        )
    }

    /// Returns what was left since somebody else had changed it, where the note says that.
    #[must_use]
    pub fn left_as_changed(&self) -> Option<&str> {
        match self {
            Self::LeftAsChanged { what } => Some(what),
            _ => None,
        }
    }
}

/// What is wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A record before the last cannot be trusted.
    #[error("{}: line {line}: {why}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read or written.
    #[error("the journal {} cannot be {doing}", path.display())]
    Machine {
        /// The journal.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// The machine's words.
        #[source]
        source: MachineError,
    },
}

/// What the bytes of a journal say.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The records that can be trusted, in order.
    pub records: Vec<Record>,
    /// Whether a torn last record follows them.
    pub torn: bool,
}

/// Reads the bytes of a journal.
///
/// # Errors
/// The number of the first bad line before the last, counted from 1, and what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Parsed, (usize, String)> {
    let mut records = Vec::new();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (at, line) in lines.iter().enumerate() {
        match parse_line(line) {
            Ok(record) => records.push(record),
            Err(_) if at + 1 == lines.len() => return Ok(Parsed { records, torn: true }),
            Err(why) => return Err((at + 1, why)),
        }
    }
    Ok(Parsed { records, torn: false })
}

fn parse_line(line: &[u8]) -> Result<Record, String> {
    let line = line.strip_suffix(b"\n").ok_or("it has no end")?;
    let (check, rest) = line.split_at_checked(CHECK).ok_or("it is too short")?;
    let json = rest.strip_prefix(b" ").ok_or("no space after its check digits")?;
    if Digest::of(json).as_str().as_bytes().get(..CHECK) != Some(check) {
        return Err("its check digits do not match".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("no record this version knows: {error}"))
}

/// Returns the line of a record, its line end included.
fn line(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(record)?;
    let mut line = Digest::of(&json).as_str().as_bytes().get(..CHECK).unwrap_or_default().to_vec();
    line.push(b' ');
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

/// A journal open for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    records: Vec<Record>,
    /// Whether the file may end in something that is no whole record: a torn one, or one whose writing failed.
    doubtful: bool,
}

impl Journal {
    /// Returns whether the journal at `path` has more than a torn first record.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_begun(probe: &dyn Probe, path: &Path) -> Result<bool, JournalError> {
        let bytes = read(probe, path)?;
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().is_some_and(|line| parse_line(line).is_ok());
        Ok(first || lines.next().is_some())
    }

    /// Creates an empty journal; durable with its first record.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn create(machine: &mut dyn Machine, path: &Path) -> Result<Self, JournalError> {
        machine.create_file(path, b"", &Attributes::root(0o600)).map_err(|source| JournalError::Machine {
            path: path.to_owned(),
            doing: "written",
            source,
        })?;
        Ok(Self { path: path.to_owned(), records: Vec::new(), doubtful: false })
    }

    /// Opens a journal to go on with it. A torn last record is dropped when the next one is written.
    ///
    /// # Errors
    /// Absent or damaged journal.
    pub fn open(probe: &dyn Probe, path: &Path) -> Result<Self, JournalError> {
        let bytes = read(probe, path)?;
        let parsed = parse(&bytes).map_err(|(line, why)| JournalError::Damaged {
            path: path.to_owned(),
            line,
            why,
        })?;
        Ok(Self { path: path.to_owned(), records: parsed.records, doubtful: parsed.torn })
    }

    /// Returns its records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Writes one record and returns when it is durable.
    ///
    /// # Errors
    /// It cannot be written; then it does not count, and the next record takes its place.
    pub fn append(&mut self, machine: &mut dyn Machine, record: Record) -> Result<(), JournalError> {
        self.write(machine, &record).map_err(|source| JournalError::Machine {
            path: self.path.clone(),
            doing: "written",
            source,
        })?;
        self.records.push(record);
        Ok(())
    }

    fn write(&mut self, machine: &mut dyn Machine, record: &Record) -> Result<(), MachineError> {
        let bytes = line(record).map_err(|error| not_json(&self.path, &error))?;
        if self.doubtful {
            self.write_anew(machine, &bytes)?;
        } else {
            self.doubtful = true;
            machine.append(&self.path, &bytes)?;
            machine.sync_file(&self.path)?;
            machine.sync_dir(durable::parent(&self.path))?;
        }
        self.doubtful = false;
        Ok(())
    }

    /// Replaces the whole file, so that nothing follows a line that cannot be trusted.
    fn write_anew(&self, machine: &mut dyn Machine, last: &[u8]) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        for record in &self.records {
            bytes.extend(line(record).map_err(|error| not_json(&self.path, &error))?);
        }
        bytes.extend(last);
        let temporary = self.path.with_extension("new");
        durable::put_file(machine, &self.path, &bytes, &Attributes::root(0o600), &temporary)
    }
}

fn read(probe: &dyn Probe, path: &Path) -> Result<Vec<u8>, JournalError> {
    probe.read(path, LARGEST).map_err(|source| JournalError::Machine {
        path: path.to_owned(),
        doing: "read",
        source,
    })
}

fn not_json(path: &Path, error: &serde_json::Error) -> MachineError {
    MachineError::at("encode a record of", path, xenup_machine::Reason::Other, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Parsed, Record, line, parse};

    fn journal() -> (Vec<Record>, Vec<u8>) {
        let records: Vec<Record> = ["prepare", "network"]
            .into_iter()
            .map(|stage| Record::StageBegun { stage: stage.parse().unwrap() })
            .collect();
        let bytes = records.iter().flat_map(|record| line(record).unwrap()).collect();
        (records, bytes)
    }

    #[test]
    fn a_journal_torn_at_any_byte_of_its_last_record_keeps_the_others() {
        let (records, bytes) = journal();
        let second = line(&records[1]).unwrap().len();
        for cut in 1..second {
            let torn = Parsed { records: records[..1].to_vec(), torn: true };
            assert_eq!(parse(&bytes[..bytes.len() - cut]), Ok(torn), "{cut} bytes lost");
            let mut zeroed = bytes.clone();
            let from = zeroed.len() - cut;
            zeroed[from..].fill(0);
            assert_eq!(parse(&zeroed).unwrap().records, records[..1], "{cut} bytes zeroed");
        }
        assert_eq!(parse(&bytes), Ok(Parsed { records, torn: false }));
        assert_eq!(parse(b""), Ok(Parsed { records: vec![], torn: false }));
    }

    #[test]
    fn damage_before_the_last_record_is_an_error_that_names_the_line() {
        let (_, mut bytes) = journal();
        bytes[20] ^= 1;
        assert_eq!(parse(&bytes).unwrap_err().0, 1);
    }
}
