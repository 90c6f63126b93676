//! The binary: arguments in, a verb called, words and an exit code out.
//!
//! Decides: how verbs are spelt, how errors read, which exit code they end in.
//! Never: knows Debian or Xen (xenup-core does), or has an effect of its own (xenup-system does).

mod args;
mod commands;
mod error;
mod guard;
mod kernel_file;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(read) = commands::read_for_parent(std::env::args_os().skip(1)) {
        return ended(&mut ui::Ui::new(anstream::ColorChoice::Never, true), read).into();
    }
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(refused) => return args::refuse(&refused),
    };
    let mut ui = ui::Ui::new(args.color, args.quiet);
    let outcome = commands::run(&mut ui, args);
    let exit = ended(&mut ui, outcome);
    // Whoever follows this process in a service learns how it ended.
    let left = xenup_system::service::leave(exit as u8);
    if let Err(error) = left {
        ui.warning(format!("how this ended could not be written down: {error}"));
    }
    exit.into()
}

/// Says what went wrong, where something did.
fn ended(ui: &mut ui::Ui, outcome: error::Outcome) -> error::Exit {
    outcome.unwrap_or_else(|error| {
        error.print(ui);
        error.exit
    })
}
