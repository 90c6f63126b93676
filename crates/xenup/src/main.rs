//! The binary: arguments in, a verb called, words and an exit code out.
//!
//! Decides: how verbs are spelt, how errors read, which exit code they end in.
//! Never: knows Debian or Xen (xenup-core does), or has an effect of its own (xenup-system does).

mod args;
mod commands;
mod error;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(refused) => return args::refuse(&refused),
    };
    let mut ui = ui::Ui::new(args.color, args.quiet);
    let outcome = commands::run(&mut ui, args);
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.print(&mut ui);
            error.exit.into()
        }
    }
}
