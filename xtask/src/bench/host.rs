//! Benches that only look at this machine: `xenup inspect` beside dpkg-query(1), `xenup plan` beside apt-get(8).
//!
//! Decides: the command lines. Never: changes the machine.

use std::path::PathBuf;
use std::time::Duration;

use xenup_core::packages::{BRIDGE_UTILS, XEN_SYSTEM, simulate};
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::figures::{Row, Table};
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// What `xenup inspect` is held to.
const PACKAGES: usize = 600;

/// Builds what is measured, optimised.
pub fn build() -> Result<(), Failure> {
    Tool::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "xenup"])
        .current_dir(project())
        .timeout(Duration::from_secs(3600))
        .run()?;
    Ok(())
}

pub(super) fn program() -> PathBuf {
    project().join("target/release/xenup")
}

/// Measures each command in turns, the first round discarded: it fills the page cache.
pub(super) fn in_turns(runs: usize, commands: &[(&str, Tool)]) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = commands.iter().map(|(name, _)| Row::new(name)).collect();
    for run in 0..=runs {
        for (row, (_, tool)) in rows.iter_mut().zip(commands) {
            let watch = Stopwatch::start();
            tool.output()?;
            if run > 0 {
                row.samples_ms.push(watch.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    Ok(rows)
}

/// `xenup inspect --json` beside `dpkg-query -W`, which reads the largest of the files that inspect reads.
///
/// # Errors
/// A program that cannot be run.
pub fn inspect(runs: usize) -> Result<Table, Failure> {
    let packages = Tool::new("dpkg-query").arg("-W").run()?.text().lines().count();
    let commands = [
        ("xenup inspect --json", Tool::new(program()).args(["inspect", "--json"])),
        ("dpkg-query -W", Tool::new("dpkg-query").arg("-W")),
        ("control: true", Tool::new("true")),
    ];
    let rows = in_turns(runs, &commands)?;
    let mut notes = vec![
        format!("{packages} packages; target: under 100 ms, and at most 5 times dpkg-query"),
        "a machine has hundreds of processes to look at, dpkg-query looks at none".to_owned(),
    ];
    if packages < PACKAGES {
        notes.push(format!("this machine has fewer than the {PACKAGES} packages that the target speaks of"));
    }
    Ok(Table { name: "inspect", rows, notes, skipped: Vec::new() })
}

/// `xenup plan` beside the `apt-get -s install` that it asks.
///
/// # Errors
/// A program that cannot be run, or a machine for which no host.toml can be written.
pub fn plan(runs: usize) -> Result<Table, Failure> {
    let folder = WorkDir::new_in(&project().join("target"), "bench-")?;
    let host = folder.join("host.toml");
    let printed = Tool::new(program()).args(["init", "--print"]).run()?;
    files::write(&host, &printed.stdout)?;
    let question = simulate(&[XEN_SYSTEM.to_owned(), BRIDGE_UTILS.to_owned()]);
    let ours = Tool::new(program()).args(["plan", "--json", "--host"]).arg(&host);
    let refused = !ours.output()?.status.success();
    let rows = in_turns(
        runs,
        &[
            ("xenup plan --json", ours),
            ("apt-get -s install, as it asks", Tool::new(&question.program).args(&question.args)),
            ("control: true", Tool::new("true")),
        ],
    )?;
    let more = rows.first().map_or(0.0, Row::median) - rows.get(1).map_or(0.0, Row::median);
    let mut notes = vec![format!("{more:.0} ms more than apt; target: at most 100 ms more")];
    if refused {
        notes.push(
            "the plan is refused on this machine, after apt was asked and everything was judged".to_owned(),
        );
    }
    Ok(Table { name: "plan", rows, notes, skipped: Vec::new() })
}
