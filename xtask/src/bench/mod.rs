//! `cargo xtask bench`: ours and its peers, measured in turns in one run, on the machine at hand.
//!
//! Decides: which benches there are, and how figures are printed. Never: passes or fails one: a target that is missed
//! is a line to read, not an error.

mod audit;
mod figures;
mod guest;
mod guests;
mod host;
mod kernels;
mod network;
mod switch;

use clap::Args;
use serde::Serialize;

use crate::Outcome;
use figures::Table;
pub use switch::{SwitchHere, run as switch_here};

/// Measure ours and its peers side by side in one run
#[derive(Debug, Args)]
pub struct Bench {
    /// Run only the benches whose name contains this: inspect, plan, network, kernel-check, audit, guest
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 15)]
    runs: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

type Body = fn(usize) -> Result<Table, Box<dyn std::error::Error>>;

/// The benches.
const BENCHES: &[(&str, Body)] = &[
    ("inspect", host::inspect),
    ("plan", host::plan),
    ("network", network::switch),
    ("kernel-check-xz", kernels::xz),
    ("kernel-check-lz4", kernels::lz4),
    ("kernel-check-6.12", kernels::newer),
    ("audit-lint", audit::lint),
    ("audit", audit::guests),
    ("guest", guest::create),
];

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Told {
    benches: Vec<Table>,
    /// Benches that could not be run, and why.
    skipped: Vec<(String, String)>,
}

/// Runs the benches; one that cannot run is named with its reason.
///
/// # Errors
/// No bench of that name, or no release build.
pub fn run(bench: &Bench) -> Outcome {
    let wanted = bench.filter.as_deref().unwrap_or_default();
    let chosen: Vec<_> = BENCHES.iter().filter(|(name, _)| name.contains(wanted)).collect();
    if chosen.is_empty() {
        return Err(
            "no bench has that in its name: inspect, plan, network, kernel-check, audit, guest".into()
        );
    }
    host::build()?;
    let mut told = Told { benches: Vec::new(), skipped: Vec::new() };
    for (name, body) in chosen {
        match body(bench.runs.max(1)) {
            Ok(table) => {
                if !bench.json {
                    print!("{}", table.text());
                }
                told.benches.push(table);
            }
            Err(error) => {
                if !bench.json {
                    println!("{name}: skipped: {error}");
                }
                told.skipped.push(((*name).to_owned(), error.to_string()));
            }
        }
    }
    if bench.json {
        println!("{}", serde_json::to_string(&told)?);
    }
    Ok(true)
}
