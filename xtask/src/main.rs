//! Chores of those who work on xenup: checks, documents, packages, faults, benches, the VM matrix.
//!
//! Decides: which checks make up `./test`, and how their counts are printed.
//! Never: ships. Nothing here is part of the package.

mod ask;
mod bench;
mod by_hand;
mod carried;
#[cfg(test)]
mod cases;
mod check;
mod claims;
mod copyright;
mod digest;
mod docs;
mod emulated;
mod faults;
mod fuzz;
mod image;
mod installer;
mod kernel_build;
mod kernel_config;
mod kernel_configs;
mod kernels;
mod maintainership;
mod matrix;
mod medium;
mod of_words;
mod package;
mod release;
mod salvage;
mod shown;
mod tls;
mod today;
mod upgrade;
mod upgrade_apply;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Work on xenup
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", help_expected = true, max_term_width = 80)]
struct Args {
    /// The chore
    #[command(subcommand)]
    chore: Chore,
}

/// The chores.
#[derive(Debug, Subcommand)]
enum Chore {
    /// Measure ours and its peers side by side in one run
    Bench(bench::Bench),
    /// Run everything that must hold before a change lands
    Check(check::Check),
    /// Write man pages, completions and schemas, or check that they are current
    Docs(docs::Docs),
    /// Strike every plan with a fault at each of its writes, and roll back
    Faults(faults::Faults),
    /// Strike every parser of what we did not write with libFuzzer
    Fuzz(fuzz::Fuzz),
    /// Write the configurations of the package xenup-kernel-configs, or check that they are current
    KernelConfigs(kernel_configs::KernelConfigs),
    /// Play the rehearsal on every kind of machine, one after another
    Matrix(matrix::Matrix),
    /// Make a NIC the port of a bridge in this network namespace (run by the bench)
    #[command(hide = true)]
    SwitchHere(bench::SwitchHere),
    /// Build the Debian package
    Package(package::Package),
    /// Make a release, and bring it into the archive's queue or out of it
    Release(release::Release),
    /// Ask for a package that nobody keeps, and take it over by the rules
    Salvage(salvage::Salvage),
}

fn main() -> ExitCode {
    let result = match Args::parse().chore {
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Check(check) => check::run(&check),
        Chore::Docs(docs) => docs::run(&docs),
        Chore::Faults(faults) => faults::run(&faults),
        Chore::Fuzz(fuzz) => fuzz::run(&fuzz),
        Chore::KernelConfigs(configs) => kernel_configs::run(&configs),
        Chore::Matrix(matrix) => matrix::run(&matrix),
        Chore::SwitchHere(here) => bench::switch_here(&here),
        Chore::Package(package) => package::run(&package),
        Chore::Release(release) => release::run(&release),
        Chore::Salvage(salvage) => salvage::run(&salvage),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(deeper) = cause {
                eprintln!("  caused by: {deeper}");
                cause = deeper.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Where the project lies.
fn project() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// What a chore ends with: whether all was well, or why it could not be told.
type Outcome = Result<bool, Box<dyn std::error::Error>>;
