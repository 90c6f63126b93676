//! The report as plain text, for a terminal and for logs.
//!
//! It decides alignment alone.

use std::fmt::Write as _;

use super::{Report, duration, figure};

pub(super) fn text(report: &Report) -> String {
    let mut out = format!("{}\n{}: {}\n", report.title, report.verdict, duration(report.seconds));
    for (name, value) in &report.facts {
        let _ = writeln!(out, "{name}: {value}");
    }
    let width = report.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
    out.push_str("\nSteps\n");
    for step in &report.steps {
        let line = format!("{:>10}  {:width$}  {}", duration(step.seconds), step.name, step.outcome);
        let _ = writeln!(out, "{}", line.trim_end());
        for line in step.details.iter().flat_map(|detail| detail.lines()) {
            let _ = writeln!(out, "              {line}");
        }
    }
    if !report.measurements.is_empty() {
        out.push_str("\nFigures\n");
    }
    for one in &report.measurements {
        let _ = writeln!(out, "  {}, {}: {} {}", one.step, one.name, figure(one.value), one.unit);
    }
    for excerpt in &report.console_excerpts {
        let _ = writeln!(out, "\nConsole: {}, {}", excerpt.step, excerpt.title);
        for line in excerpt.text.lines() {
            let _ = writeln!(out, "  | {line}");
        }
    }
    // What a machine printed must not drive the reader's terminal.
    out.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}")
}
