//! `cargo xtask faults --real`: SIGKILL at random moments against real dpkg and real files, in a chroot.
//!
//! Decides: when is struck, and what counts as restored: every path, package and link as before.
//! Never: knows what the engine does in between, or repairs anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use xenup_core::packages::{AptSimulation, simulate};
use xenup_machine::Probe as _;
use xenup_machine::fake::Chance;
use xenup_rehearse::scenario::listing::Listing;
use xenup_rehearse::scenario::tree;
use xenup_system::System;
use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::lab::seconds_since_epoch;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::debian::{self, Debian, WANTED};
use super::plan::plan;
use crate::project;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The tmpfs that every Debian has.
const MEMORY: &str = "/dev/shm";

/// How the names of what a drill makes outside the project begin: directories in memory, and network namespaces.
const PREFIX: &str = "xenup-drill-";

/// Held by the one drill that goes on here.
const LOCK: &str = "/run/lock/xenup-drill";

/// What a round takes of it in bytes, with room to spare.
const ROUND_BYTES: u64 = 1 << 30;

/// Every how manieth rollback is killed too, and run again.
const ROLLBACKS_KILLED: u64 = 4;

/// What the rounds came to.
#[derive(Debug, Default, Serialize)]
pub struct Count {
    /// The seed of every moment: the same seed on the same machine strikes about the same places.
    pub seed: u64,
    /// Seconds that an undisturbed `xenup apply` takes here.
    pub apply_seconds: f64,
    /// Rounds, the undisturbed one not among them.
    pub rounds: u64,
    /// Kills that met xenup at work.
    pub kills: u64,
    /// Of those, kills of a rollback.
    pub rollbacks_killed: u64,
    /// Rounds whose moment came when all was done: nothing was killed.
    pub too_late: u64,
    /// Rounds after which everything was as before, the undisturbed one not among them.
    pub restored: u64,
    /// Paths that were compared, in all rounds together.
    pub compared: usize,
    /// Packages whose name, version, state and mark were compared, in all rounds together.
    pub packages: usize,
    /// Paths that were left out, wholly or in part, in one round, by reason.
    pub left_out: BTreeMap<String, usize>,
    /// What was not restored.
    pub failures: Vec<String>,
}

/// What every round needs.
struct Drill {
    base: PathBuf,
    /// Where rounds lie: in memory where there is room. A killed process loses no write that it has made, so the disk
    /// has no part in what is tried, and dpkg, which syncs every file, is ten times faster without one.
    rounds: WorkDir,
    /// No other drill sweeps away what this one makes.
    _alone: FileLock,
    program: PathBuf,
    plan: Vec<u8>,
    before: Listing,
    state: (Vec<String>, String),
}

/// Kills xenup `kills` times at random moments, each time in a fresh Debian, and returns the counts.
///
/// # Errors
/// No root, no mirror, or a plan that fails when nobody disturbs it.
pub fn drill(kills: u64, seed: Option<u64>, threads: usize) -> Result<Count, Failure> {
    let seed = seed.unwrap_or_else(seconds_since_epoch);
    let (drill, apply) = Drill::prepare(threads)?;
    eprintln!("an undisturbed apply takes {:.1} s; seed {seed}", apply.as_secs_f64());
    let count = Count { seed, apply_seconds: apply.as_secs_f64(), ..Count::default() };
    let (count, next) = (Mutex::new(count), AtomicU64::new(0));
    // Measured once, beside whatever else went on: a round that is done before its moment corrects it.
    let takes = AtomicU64::new(micros(apply));
    let worker = || -> Result<(), Failure> {
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            // A moment that comes too late is made up for, but not without end.
            if locked(&count).kills >= kills || round >= 3 * kills {
                return Ok(());
            }
            drill.round(round, seed, &takes, &count)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a round panicked".into())))
    })?;
    Ok(count.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The moment of a round, and that of its rollback where that is struck too: below the time each takes undisturbed.
fn moments(seed: u64, round: u64, apply: Duration) -> (Duration, Option<Duration>) {
    let mut chance = Chance::new(seed.wrapping_add(round));
    let below = usize::try_from(apply.as_micros()).unwrap_or(usize::MAX);
    let mut moment = || Duration::from_micros(u64::try_from(chance.below(below)).unwrap_or_default());
    let (first, second) = (moment(), moment());
    (first, (round % ROLLBACKS_KILLED == ROLLBACKS_KILLED - 1).then_some(second))
}

impl Drill {
    /// Makes the tree, builds the program and carries the plan out once undisturbed; returns how long that takes.
    fn prepare(threads: usize) -> Result<(Self, Duration), Failure> {
        let folder = project().join("target/faults-real");
        let words = |error: Box<dyn std::error::Error>| Failure::from(error.to_string());
        let alone = FileLock::wait(Path::new(LOCK))?;
        sweep()?;
        let base = debian::base(&folder, &mut |line| eprintln!("{line}")).map_err(words)?;
        let program = crate::package::debug_program()?;
        let before = Listing::of(&base, &folder.join("listing-base"))?;
        let rounds = WorkDir::new_in(&rounds_folder(&folder, threads)?, PREFIX)?;
        let state = (Vec::new(), String::new());
        let mut drill = Self { base, rounds, _alone: alone, program, plan: Vec::new(), before, state };
        let debian = drill.fresh("undisturbed")?;
        drill.state = debian.state().map_err(words)?;
        let wanted: Vec<String> = WANTED.iter().map(|&name| name.to_owned()).collect();
        let question = simulate(&wanted);
        let question: Vec<&str> = std::iter::once(question.program.as_str())
            .chain(question.args.iter().map(String::as_str))
            .collect();
        let simulation = AptSimulation::parse(&debian.run(&question).map_err(words)?);
        drill.plan = serde_json::to_vec(&plan(debian.root(), &wanted, &simulation).map_err(words)?)?;
        files::write(&debian.root().join("plan.json"), &drill.plan)?;
        let watch = Stopwatch::start();
        let (code, said) = debian.attempt(&["xenup", "apply", "--yes", "/plan.json"]).map_err(words)?;
        let apply = watch.elapsed();
        if code != 0 {
            return Err(format!("nobody disturbed `xenup apply`, and it ended with {code}:\n{said}").into());
        }
        let mut count = Count::default();
        drill.roll_back(&debian, "undisturbed", &mut count)?;
        if count.failures.is_empty() { Ok((drill, apply)) } else { Err(count.failures.join("\n").into()) }
    }

    fn fresh(&self, name: &str) -> Result<Debian, Failure> {
        let namespace = format!("{PREFIX}{}-{name}", std::process::id());
        Debian::copy(&self.base, &self.rounds.join(name), &self.program, &namespace)
            .map_err(|error| error.to_string().into())
    }

    fn round(&self, round: u64, seed: u64, takes: &AtomicU64, count: &Mutex<Count>) -> Result<(), Failure> {
        let words = |error: Box<dyn std::error::Error>| Failure::from(error.to_string());
        let debian = self.fresh(&round.to_string())?;
        files::write(&debian.root().join("plan.json"), &self.plan)?;
        let apply = Duration::from_micros(takes.load(Ordering::Relaxed));
        let (moment, second) = moments(seed, round, apply);
        let watch = Stopwatch::start();
        let struck = debian.kill_after(&["xenup", "apply", "--yes", "/plan.json"], moment).map_err(words)?;
        if !struck {
            takes.fetch_min(micros(watch.elapsed()), Ordering::Relaxed);
        }
        let second = match second {
            Some(second) => {
                debian.kill_after(&["xenup", "rollback", "--yes"], second).map_err(words)?.then_some(second)
            }
            None => None,
        };
        let what = if struck { "killed" } else { "done" };
        let mut name = format!("round {round}, apply {what} after {:.3} s", moment.as_secs_f64());
        if let Some(second) = second {
            name += &format!(", rollback killed after {:.3} s", second.as_secs_f64());
        }
        let mut own = Count::default();
        self.roll_back(&debian, &name, &mut own)?;
        let restored = own.failures.is_empty();
        eprintln!("{name}: {}", if restored { "restored" } else { "NOT RESTORED" });
        let mut count = locked(count);
        count.rounds += 1;
        count.kills += u64::from(struck) + u64::from(second.is_some());
        count.rollbacks_killed += u64::from(second.is_some());
        count.too_late += u64::from(!struck);
        count.restored += u64::from(restored);
        count.compared += own.compared;
        count.packages += own.packages;
        count.left_out = own.left_out;
        count.failures.extend(own.failures);
        Ok(())
    }

    /// Rolls back to the end and compares with what was before; what differs is a failure of `count`.
    fn roll_back(&self, debian: &Debian, name: &str, count: &mut Count) -> Result<(), Failure> {
        let words = |error: Box<dyn std::error::Error>| Failure::from(error.to_string());
        let (code, said) = debian.attempt(&["xenup", "rollback", "--yes"]).map_err(words)?;
        if code != 0 {
            count.failures.push(format!("{name}: `xenup rollback` ended with {code}:\n{said}"));
        }
        let (packages, links) = debian.state().map_err(words)?;
        count.packages = packages.len();
        let same_links = links == self.state.1;
        if packages != self.state.0 || !same_links {
            let new = packages.iter().filter(|line| !self.state.0.contains(line));
            let gone = self.state.0.iter().filter(|line| !packages.contains(line));
            let lines: Vec<String> =
                new.map(|line| format!("+ {line}")).chain(gone.map(|line| format!("- {line}"))).collect();
            let links = if same_links { String::new() } else { format!("links now:\n{links}") };
            count.failures.push(format!("{name}: packages or links differ:\n{}\n{links}", lines.join("\n")));
        }
        forget_xenup(debian.root())?;
        let after = Listing::of(debian.root(), &debian.root().with_extension("listing"))?;
        let compared = tree::compare(&self.before.tree, &after.tree);
        count.compared = compared.compared;
        count.left_out = compared.left_out;
        if !after.xattrs {
            count
                .left_out
                .insert("extended attributes: getfattr is not installed".to_owned(), compared.compared);
        }
        let differences = compared.differences.iter().map(|line| format!("{name}: {line}"));
        count.failures.extend(differences);
        Ok(())
    }
}

/// Takes away what a drill left that was killed itself. Called under the lock: nobody needs it.
fn sweep() -> Result<(), Failure> {
    let ours = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    for left in files::list(Path::new(MEMORY))?.iter().filter(|path| ours(path)) {
        files::remove_dir_all(left)?;
    }
    let namespaces = Path::new("/run/netns");
    if files::exists(namespaces) {
        for left in files::list(namespaces)?.iter().filter(|path| ours(path)) {
            Tool::new("ip").args(["netns", "delete"]).arg(left.file_name().unwrap_or_default()).run()?;
        }
    }
    Ok(())
}

fn rounds_folder(disk: &Path, threads: usize) -> Result<PathBuf, Failure> {
    let memory = Path::new(MEMORY);
    let needed = ROUND_BYTES.saturating_mul(threads as u64);
    let room = System::running()?.space(memory).map_or(0, |space| space.free);
    let enough = room.min(files::available_memory()) >= needed;
    eprintln!("rounds lie {}", if enough { "in memory" } else { "on disk: there is no room in memory" });
    Ok(if enough { memory.to_owned() } else { disk.to_owned() })
}

/// Takes away what xenup's own package would take along when it is purged.
fn forget_xenup(root: &Path) -> Result<(), Failure> {
    files::remove_dir_all(&root.join("var/lib/xenup"))?;
    files::remove_file(&root.join("usr/sbin/xenup"))?;
    files::remove_file(&root.join("plan.json"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Duration, moments};

    #[test]
    fn moments_follow_from_the_seed_and_lie_within_the_time() {
        let apply = Duration::from_secs(7);
        let all: Vec<_> = (0..40).map(|round| moments(5, round, apply)).collect();
        assert!(all.iter().all(|(first, second)| *first < apply && second.is_none_or(|time| time < apply)));
        assert_eq!(all.iter().filter(|(_, second)| second.is_some()).count(), 10);
        assert_eq!(all, (0..40).map(|round| moments(5, round, apply)).collect::<Vec<_>>());
        assert!(all.windows(2).all(|pair| pair[0].0 != pair[1].0), "every round has a moment of its own");
    }
}
