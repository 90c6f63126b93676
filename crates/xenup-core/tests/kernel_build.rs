//! A build's progress: tests/cases/kernel-build/<case>/{dry-run, output} → expected/: `lines` without a terminal, and the
//! `meter` of one at every twentieth step, each step taking two seconds.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cases_of::{every_case, text};
use xenup_core::kernel::build::progress::{Progress, planned};

fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let total: u64 = text(case, "dry-run").lines().map(planned).sum();
    let mut progress = Progress::new((total > 0).then_some(total));
    let (mut lines, mut meter) = (format!("{total} steps announced\n"), String::new());
    for line in text(case, "output").lines() {
        if !progress.take(line) {
            continue;
        }
        let elapsed = Duration::from_secs(progress.done() * 2);
        if let Some(line) = progress.line(elapsed) {
            lines.push_str(&format!("{line}\n"));
        }
        if progress.done() < 6 || progress.done().is_multiple_of(20) {
            meter.push_str(&format!("{}\n", progress.meter(elapsed, 72)));
        }
    }
    [("lines", lines), ("meter", meter)].into()
}

#[test]
fn every_case_comes_to_what_is_written() {
    every_case("kernel-build", 3, outcome);
}
