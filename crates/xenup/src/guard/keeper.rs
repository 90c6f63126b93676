//! What the engine arms and disarms: a copy of the binary, the boot-time units, the card, and the waiting process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_engine::action::Condition;
use xenup_engine::digest::Digest;
use xenup_engine::durable;
use xenup_engine::guard::GuardKeeper;
use xenup_engine::plan::{Slug, Watch};
use xenup_engine::status::ArmedGuard;
use xenup_engine::store::{RunId, Store};
use xenup_machine::{Machine, MachineError, Reason};
use xenup_system::guard::{
    BootGuard, GuardFile, TrialTest, allows_programs, boot_files, disable_script, enable_script, own_binary,
};
use xenup_system::service::{self, Task, UnitKind, ended_within, is_systemd_running};

use super::{card, files, words};

/// How long a guard that has nothing left to do may take to end before its files are left to the next boot.
const END_WAIT: Duration = Duration::from_secs(10);

/// Keeps guards alive on the running machine.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    inside_guard: bool,
}

impl Keeper {
    /// Returns the keeper of a store's guards.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), inside_guard: false }
    }

    /// Returns the same for use in a guard's own process, which does not wait for its own end.
    pub(super) fn inside_guard(store: &Store) -> Self {
        Self { store: store.clone(), inside_guard: true }
    }

    fn dir(&self) -> PathBuf {
        self.store.root().join("guard")
    }

    /// Copies the running binary, named by its digest, to where no upgrade and no purge reaches it.
    fn copy_binary(&self, machine: &mut dyn Machine) -> Result<PathBuf, MachineError> {
        let bytes = read_own_binary()?;
        let dir = self.dir();
        durable::make_dirs(machine, &dir, 0o700)?;
        let path = copy_path(&dir, &bytes);
        if allows_programs(&dir).map_err(|e| MachineError::from_io("look at", &dir, &e))? {
            files::put(machine, &dir, &[GuardFile::bytes(&path, 0o700, bytes)])?;
            return Ok(path);
        }
        let words = "its file system is mounted noexec, so the guard could not start from it";
        Err(MachineError::at("arm a guard in", &dir, Reason::Denied, words))
    }

    fn start(&self, machine: &mut dyn Machine, task: &Task) -> Result<(), MachineError> {
        let fail = |error: service::ServiceError| {
            MachineError::new("start", task.unit.clone(), Reason::Other, words(&error))
        };
        if !ended_within(&task.state_dir, &task.unit, Duration::ZERO).map_err(fail)? {
            // It reads the journal, so a moved deadline reaches it without us.
            return Ok(());
        }
        durable::make_dirs(machine, durable::parent(&task.log), 0o700)?;
        service::start(task).map_err(fail)?;
        // Started is not alive: it is asked again, by its own process id.
        if ended_within(&task.state_dir, &task.unit, Duration::ZERO).map_err(fail)? {
            let words = format!("it ended at once; its log is {}", task.log.display());
            return Err(MachineError::new("start", task.unit.clone(), Reason::NotRunning, words));
        }
        Ok(())
    }

    /// Starts the waiting process again, of a guard whose files are there: after a boot, a soft one included.
    pub(super) fn start_again(
        &self,
        machine: &mut dyn Machine,
        run: &RunId,
        stage: &Slug,
    ) -> Result<(), MachineError> {
        self.start(machine, &self.task(run, stage, &program_copy()?))
    }

    fn task(&self, run: &RunId, stage: &Slug, program: &Path) -> Task {
        let unit = format!("xenup-guard-{run}-{stage}");
        Task {
            description: format!("xenup: undo stage {stage} of run {run} unless it is confirmed"),
            kind: UnitKind::Guard,
            program: program.to_owned(),
            args: ["guard-wait", "--run", run.as_str(), "--stage", stage.as_str()].map(String::from).to_vec(),
            log: self.store.root().join("log").join(format!("{unit}.log")),
            state_dir: service::state_dir(),
            unit,
        }
    }
}

/// Returns where the running binary is copied to while a guard is armed.
///
/// # Errors
/// The binary cannot be read.
pub(crate) fn program_copy() -> Result<PathBuf, MachineError> {
    let bytes = read_own_binary()?;
    Ok(copy_path(&super::store().root().join("guard"), &bytes))
}

fn read_own_binary() -> Result<Vec<u8>, MachineError> {
    own_binary().map_err(|error| MachineError::from_io("read", Path::new("/proc/self/exe"), &error))
}

fn copy_path(dir: &Path, bytes: &[u8]) -> PathBuf {
    dir.join(format!("xenup-{}", Digest::of(bytes).short()))
}

impl GuardKeeper for Keeper {
    fn arm(
        &mut self,
        machine: &mut dyn Machine,
        run: &RunId,
        stage: &Slug,
        guard: &ArmedGuard,
    ) -> Result<(), MachineError> {
        let loaded = self
            .store
            .load(machine, run)
            .map_err(|error| MachineError::new("arm", "a guard", Reason::Other, words(&error)))?;
        let binary = self.copy_binary(machine)?;
        let systemd = is_systemd_running();
        let trial = match guard.watch {
            Watch::Network => None,
            Watch::TrialBoot => Some(trial_test(&loaded.plan, stage)?),
        };
        let boot = BootGuard { binary: binary.clone(), trial, systemd };
        files::put(machine, &self.dir(), &boot_files(&boot))?;
        if !systemd {
            enable_script(machine)?;
        }
        let card = card::files(machine, &self.store, &loaded, stage, guard)?;
        files::put(machine, &self.dir(), &card)?;
        match guard.watch {
            Watch::Network => self.start(machine, &self.task(run, stage, &binary)),
            Watch::TrialBoot => Ok(()),
        }
    }

    fn disarm(&mut self, machine: &mut dyn Machine, run: &RunId, stage: &Slug) -> Result<(), MachineError> {
        let task = self.task(run, stage, Path::new(""));
        if !self.inside_guard {
            // It reads in the journal that it is not needed; its program stays until it has ended.
            let ended = ended_within(&task.state_dir, &task.unit, END_WAIT);
            let ended =
                ended.map_err(|e| MachineError::new("end", task.unit.clone(), Reason::Other, words(&e)))?;
            if !ended {
                let words = "it still runs; the next boot takes its files away";
                return Err(MachineError::new("end", task.unit, Reason::TimedOut, words));
            }
        }
        // Every file that any kind of guard writes, whichever was armed.
        let trial = Some(TrialTest { path: PathBuf::new(), text: None });
        let sysv = boot_files(&BootGuard { binary: PathBuf::new(), trial: trial.clone(), systemd: false });
        let scripted = sysv
            .iter()
            .try_fold(false, |found, file| machine.entry(&file.path).map(|entry| found || entry.is_some()))?;
        if scripted {
            disable_script(machine)?;
        }
        let mut all = boot_files(&BootGuard { binary: PathBuf::new(), trial, systemd: true });
        all.extend(sysv);
        all.extend(card::places());
        files::take_away(machine, &self.dir(), &all)
    }
}

/// A condition that a shell can test early in a boot, without this binary.
fn trial_test(plan: &xenup_engine::plan::Plan, stage: &Slug) -> Result<TrialTest, MachineError> {
    let planned = plan.stages.iter().find(|planned| &planned.id == stage);
    match planned.and_then(|planned| planned.guard.as_ref()).and_then(|guard| guard.trial.as_ref()) {
        Some(Condition::FileSays { path, text }) => {
            Ok(TrialTest { path: path.clone(), text: Some(text.clone()) })
        }
        Some(Condition::Exists { path }) => Ok(TrialTest { path: path.clone(), text: None }),
        _ => {
            let words = "what tells its trial boot cannot be tested by a shell: a file and its text can";
            Err(MachineError::new("arm", format!("stage {stage}"), Reason::Other, words))
        }
    }
}
