//! `cargo xtask bench`: ours and its peers, measured in turns in one run, on the machine at hand.
//!
//! Decides: which benches there are, and how figures are printed. Never: passes or fails one: a target that is missed
//! is a line to read, not an error.

mod audit;
mod cable;
mod figures;
mod guest;
mod guests;
mod host;
mod image;
mod kernel_build;
mod kernels;
mod network;
mod switch;
mod xen_tools;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::Outcome;
use figures::Table;
pub use switch::{SwitchHere, run as switch_here};

/// Measure ours and its peers side by side in one run
#[derive(Debug, Args)]
pub struct Bench {
    /// Run only the benches whose name contains this: inspect, plan, network, connections, kernel-check, kernel-config,
    /// kernel-build (two builds of a kernel), audit, guest, image (both take half an hour)
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 15)]
    runs: usize,
    /// Xen's network-bridge with the scripts that it reads (Xen 4.4 or older), a peer of `network`
    #[arg(long, value_name = "FOLDER")]
    old_scripts: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a bench is told.
#[derive(Debug, Clone)]
struct Settings {
    /// How often each is measured.
    runs: usize,
    /// Where Xen's old scripts are.
    old_scripts: Option<PathBuf>,
}

type Measured = Result<Table, Box<dyn std::error::Error>>;

type Body = fn(&Settings) -> Measured;

/// The benches.
const BENCHES: &[(&str, Body)] = &[
    ("inspect", |settings| host::inspect(settings.runs)),
    ("plan", |settings| host::plan(settings.runs)),
    ("network", network::switch),
    ("connections", network::connections),
    ("kernel-check-xz", |settings| kernels::xz(settings.runs)),
    ("kernel-check-lz4", |settings| kernels::lz4(settings.runs)),
    ("kernel-check-6.12", |settings| kernels::newer(settings.runs)),
    ("kernel-config", |settings| kernel_build::config(settings.runs)),
    ("kernel-build", |_| kernel_build::build()),
    ("audit-lint", |settings| audit::lint(settings.runs)),
    ("audit", |settings| audit::guests(settings.runs)),
    ("guest", |settings| guest::create(settings.runs)),
    ("image", |settings| image::build(settings.runs)),
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
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        return Err(format!("no bench has that in its name: {}", names.join(", ")).into());
    }
    // The switch is made by this program itself, and make takes the time of a build.
    if chosen.iter().any(|(name, _)| !matches!(*name, "network" | "connections" | "kernel-build")) {
        host::build()?;
    }
    let mut told = Told { benches: Vec::new(), skipped: Vec::new() };
    let settings = Settings { runs: bench.runs.max(1), old_scripts: bench.old_scripts.clone() };
    for (name, body) in chosen {
        match body(&settings) {
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
