//! `cargo xtask faults`: every plan of tests/cases/engine on the fake machine, with a fault at each of its writes.
//!
//! With `--real`: kills at random moments against real dpkg and real files.
//!
//! Decides: where the cases lie and how the counts are printed. Never: which faults there are (the drill does).

pub(crate) mod debian;
mod plan;
mod real;

use std::path::Path;

use clap::Args;
use serde::Serialize;
use xenup_engine::drill::{Case, Count, Mutant, drill_all};
use xenup_system::files;

use crate::{Outcome, project};

/// Strike every plan of tests/cases/engine at each of its writes, and roll back
#[derive(Debug, Args)]
pub struct Faults {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Take only the plans whose name contains this
    #[arg(value_name = "PLAN")]
    filter: Option<String>,
    /// Strike every Nth write only
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Instead: kill xenup with SIGKILL at random moments in a real Debian, in a chroot, and roll back; needs root
    #[arg(long, conflicts_with_all = ["filter", "every"])]
    real: bool,
    /// How many kills
    #[arg(long, value_name = "N", default_value_t = 20, requires = "real")]
    kills: u64,
    /// The seed of the random moments; the clock where none is given
    #[arg(long, value_name = "N", requires = "real")]
    seed: Option<u64>,
}

impl Faults {
    /// Kills in a real Debian, so many, at moments that follow from the seed; from the clock where none is given.
    pub fn real(kills: u64, seed: Option<u64>) -> Self {
        Self { json: false, filter: None, every: 1, real: true, kills, seed }
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Counts<'a> {
    #[serde(flatten)]
    count: &'a Count,
    /// Every how manieth write was struck; 1 leaves none out.
    every: usize,
}

/// Drills the plans, and returns whether the machine before was there again after every fault.
///
/// # Errors
/// A case that cannot be read, or a drill that cannot begin.
pub fn run(faults: &Faults) -> Outcome {
    if faults.real {
        return run_real(faults);
    }
    let wanted = faults.filter.as_deref().unwrap_or_default();
    let mut cases = Vec::new();
    for dir in files::list(&project().join("tests/cases/engine"))? {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains(wanted) {
            cases.push(read(&name, &dir)?);
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = drill_all(&cases, faults.every, threads, Mutant::None)?;
    print(faults, &count)?;
    Ok(count.faults > 0 && count.restored == count.faults)
}

fn run_real(faults: &Faults) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = real::drill(faults.kills, faults.seed, threads).map_err(|error| error.to_string())?;
    if faults.json {
        println!("{}", serde_json::to_string(&count)?);
    } else {
        print_real(&count);
    }
    if !count.failures.is_empty() {
        return Err(format!("not restored:\n{}", count.failures.join("\n")).into());
    }
    if count.kills < faults.kills {
        let real::Count { kills, rounds, .. } = count;
        return Err(format!("{kills} of {} kills met xenup at work, in {rounds} rounds", faults.kills).into());
    }
    Ok(true)
}

fn print_real(count: &real::Count) {
    let real::Count { seed, rounds, kills, rollbacks_killed, too_late, restored, .. } = count;
    println!("{kills} kills ({rollbacks_killed} of a rollback), {rounds} rounds, {restored} restored");
    println!("{} paths and {} packages compared", count.compared, count.packages);
    println!("seed {seed}; an undisturbed apply takes {:.1} s", count.apply_seconds);
    if *too_late > 0 {
        println!("{too_late} rounds were done before their moment came");
    }
    for (why, paths) in &count.left_out {
        println!("left out in each round: {paths} ({why})");
    }
}

fn read(name: &str, dir: &Path) -> Result<Case, Box<dyn std::error::Error>> {
    let before = files::read_text(&dir.join("before.json"))?;
    let plan = files::read_text(&dir.join("plan.json"))?;
    Ok(Case::read(name, &before, &plan)?)
}

fn print(faults: &Faults, count: &Count) -> Result<(), serde_json::Error> {
    if faults.json {
        println!("{}", serde_json::to_string(&Counts { count, every: faults.every })?);
        return Ok(());
    }
    let Count { plans, faults: struck, restored, compared, left_out, failures } = count;
    println!("{plans} plans, {struck} faults, {restored} restored");
    println!("{compared} paths compared, {left_out} left out");
    if faults.every > 1 {
        println!("every {}th write was struck, the others were left out", faults.every);
    }
    for failure in failures {
        println!("not restored: {failure}");
    }
    Ok(())
}
