//! `cargo xtask matrix`: every rehearsal that `xenup rehearse` can play, one after another, as rows of a table.
//!
//! Decides: which rows there are, and why one is left out. Never: what a rehearsal does.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use xenup_rehearse::report::Report;
use xenup_rehearse::scenario::LOST;
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use crate::{Outcome, project};

/// Play the rehearsal on every kind of machine, one after another
#[derive(Debug, Args)]
pub struct Matrix {
    /// Take only the rows whose name contains this, such as uefi or sabotage
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Print the rows and play none
    #[arg(long)]
    list: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is combined. The security archive's hypervisor is no row: `xenup rehearse` takes the main archive's alone.
const SCENARIOS: [&str; 3] = ["plain", "conversion", "sabotage"];
const FIRMWARE: [&str; 2] = ["bios", "uefi"];
const ADDRESSING: [&str; 2] = ["static", "dhcp"];

/// A rehearsal, and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    scenario: &'static str,
    firmware: &'static str,
    addressing: &'static str,
    /// Why it is not played; `None` for a row that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'static str>,
    /// `passed`, `failed`, or nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    /// Packets lost by the switch of the machine's only NIC, where one was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<f64>,
    /// Where the report lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

impl Row {
    fn name(&self) -> String {
        format!("{}-{}-{}", self.scenario, self.firmware, self.addressing)
    }

    fn args(&self) -> Vec<&'static str> {
        let mut args = vec!["--scenario", self.scenario];
        args.extend((self.firmware == "uefi").then_some("--uefi"));
        args.extend((self.addressing == "dhcp").then_some("--dhcp"));
        args
    }
}

/// Returns the rows in the order they are played, those that add nothing marked with the reason.
fn rows(filter: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in SCENARIOS {
        for firmware in FIRMWARE {
            for addressing in ADDRESSING {
                let skipped = (scenario == "plain" && addressing == "dhcp").then_some(
                    "a plain machine's network is not changed: its row with a static address says it all",
                );
                rows.push(Row {
                    scenario,
                    firmware,
                    addressing,
                    skipped,
                    verdict: None,
                    seconds: None,
                    lost: None,
                    report: None,
                });
            }
        }
    }
    rows.retain(|row| row.name().contains(filter));
    rows
}

/// Plays the rows, every one even after a failure.
///
/// # Errors
/// No row of that name, or a package that cannot be built. A rehearsal that fails is a verdict.
pub fn run(matrix: &Matrix) -> Outcome {
    let mut rows = rows(matrix.filter.as_deref().unwrap_or_default());
    if rows.is_empty() {
        return Err("no row has that in its name; cargo xtask matrix --list shows them".into());
    }
    if !matrix.list {
        let package = crate::package::build()?;
        for row in rows.iter_mut().filter(|row| row.skipped.is_none()) {
            play(row, &package)?;
            eprintln!("{}: {}", row.name(), row.verdict.as_deref().unwrap_or("-"));
        }
    }
    if matrix.json {
        println!("{}", serde_json::to_string(&rows)?);
    } else {
        print!("{}", table(&rows));
        println!("left out: the security archive's hypervisor, of which `xenup rehearse` has no choice");
        println!("left out: roles, which is about kernels and not about the machine: ./test --long roles");
    }
    Ok(rows.iter().all(|row| row.verdict.as_deref().is_none_or(|verdict| verdict == "passed")))
}

fn play(row: &mut Row, package: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let report = project().join("target/matrix").join(row.name());
    files::create_dir_all(&report)?;
    let watch = Stopwatch::start();
    let output = Tool::new(project().join("target/release/xenup"))
        .args(["rehearse", "--package"])
        .arg(package)
        .arg("--report")
        .arg(&report)
        .args(row.args())
        .timeout(Duration::from_secs(4 * 3600))
        .output()?;
    row.seconds = Some(watch.elapsed().as_secs_f64());
    row.verdict = Some(if output.status.success() { "passed" } else { "failed" }.to_owned());
    files::write(&report.join("said.txt"), output.stderr_text().as_bytes())?;
    let written = report.join("report.json");
    if files::exists(&written) {
        row.lost = lost(&serde_json::from_slice(&files::read(&written)?)?);
    }
    row.report = Some(report.display().to_string());
    Ok(())
}

/// Returns the packets that the worst switch lost beyond an equal stretch without one.
fn lost(report: &Report) -> Option<f64> {
    let lost = report.measurements.iter().filter(|measured| measured.name == LOST);
    lost.map(|measured| measured.value).reduce(f64::max)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12}{:<10}{:<12}{:<10}{:>9}  {:>6}\n",
        "scenario", "firmware", "address", "verdict", "seconds", "lost"
    );
    for row in rows {
        let verdict = row.verdict.as_deref().unwrap_or(if row.skipped.is_some() { "skipped" } else { "-" });
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let (seconds, lost) = (number(row.seconds), number(row.lost));
        let Row { scenario, firmware, addressing, .. } = row;
        let _ =
            write!(text, "{scenario:<12}{firmware:<10}{addressing:<12}{verdict:<10}{seconds:>9}  {lost:>6}");
        let _ = writeln!(text, "{}", row.skipped.map_or_else(String::new, |why| format!("  ({why})")));
    }
    text
}

#[cfg(test)]
mod tests {
    use xenup_rehearse::report::{Measurement, Report, Verdict};

    use super::{lost, rows, table};

    #[test]
    fn a_filter_takes_rows_by_name_and_reasons_are_shown() {
        assert_eq!(rows("").len(), 12);
        let taken = rows("plain-uefi");
        let text = table(&taken);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("skipped") && text.contains("says it all"), "{text}");
        assert_eq!(rows("sabotage-uefi-dhcp")[0].args(), ["--scenario", "sabotage", "--uefi", "--dhcp"]);
    }

    #[test]
    fn the_worst_switch_of_a_report_counts() {
        let measured = |name: &str, value: f64| Measurement {
            step: "a step".to_owned(),
            name: name.to_owned(),
            value,
            unit: String::new(),
        };
        let measurements =
            vec![measured(super::LOST, 1.0), measured("rollback", 9.0), measured(super::LOST, 2.0)];
        let report = Report {
            format: 1,
            title: String::new(),
            verdict: Verdict::Passed,
            seconds: 1.0,
            facts: Vec::new(),
            steps: Vec::new(),
            measurements,
            console_excerpts: Vec::new(),
        };
        assert_eq!(lost(&report), Some(2.0));
        assert_eq!(lost(&Report { measurements: Vec::new(), ..report }), None);
    }
}
