//! One file per verb. Each turns arguments into calls and the answer into words.

mod apply;
mod apply_here;
mod audit;
mod audit_disks;
mod confirm;
mod docgen;
mod events;
mod guard;
mod guest;
mod guest_create;
mod guest_delete;
mod guest_disk;
mod guest_hooks;
mod guest_inputs;
mod guest_kernel;
mod guest_made;
mod guest_place;
mod guest_resize;
mod history;
mod image;
mod init;
mod inspect;
mod install;
mod install_talk;
mod kernel;
mod kernel_build;
mod kernel_config;
mod kernel_dom0;
mod kernel_explain;
mod kernel_hardware;
mod kernel_install;
mod kernel_make;
mod kernel_needs;
mod kernel_source;
mod known_good;
mod lasting;
mod machine;
mod network;
mod plan;
mod rehearse;
mod rollback;
mod status;
mod tls;
mod upgrade;
mod upgrade_apply;
mod work;

use std::ffi::OsString;

use serde_json::Value;

use crate::args::{Args, Verb};
use crate::error::{Exit, Outcome};
use crate::guard as keeping;
use crate::ui::Ui;

/// Reads the guest's disk that is handed over on standard input, where that is what this process was started for, by
/// `guest disk` or `audit`; `None` for every other command line.
///
/// One is started for each disk, so that the arguments of all other verbs are not laid out for it.
pub fn read_for_parent(mut arguments: impl Iterator<Item = OsString>) -> Option<Outcome> {
    let verb = arguments.next()?;
    match (verb.to_str()?, arguments.next()) {
        (guest_disk::CHILD, None) => Some(guest_disk::serve()),
        (audit_disks::CHILD, None) => Some(audit_disks::serve()),
        _ => None,
    }
}

/// Runs the verb.
pub fn run(ui: &mut Ui, args: Args) -> Outcome {
    match args.verb {
        Verb::Inspect(args) => inspect::run(ui, &args),
        Verb::Init(args) => init::run(ui, &args),
        Verb::Plan(args) => plan::run(ui, &args),
        Verb::Apply(args) => apply::run(ui, &args),
        Verb::Rollback(args) => rollback::run(ui, &args),
        Verb::Status(args) => status::run(ui, &args),
        Verb::History(args) => history::run(ui, &args),
        Verb::Confirm(args) => confirm::run(ui, &args),
        Verb::Guard(args) => guard::run(ui, &args),
        Verb::Guest(args) => guest::run(ui, &args),
        Verb::Image(args) => image::run(ui, &args),
        Verb::Install(args) => install::run(ui, &args),
        Verb::Audit(args) => audit::run(ui, &args),
        Verb::Rehearse(args) => rehearse::run(ui, &args),
        Verb::Kernel(args) => kernel::run(ui, &args.verb),
        Verb::Tls(args) => tls::run(ui, &args),
        Verb::Network(args) => network::run(ui, &args),
        Verb::Upgrade(args) => upgrade::run(ui, &args),
        Verb::KnownGood(verb) => known_good::run(ui, &verb),
        Verb::GuardNote { aside } => guard::run_note(&aside),
        Verb::GuardSweep { aside } => guard::run_sweep(ui, &aside),
        Verb::GuardWait(args) => keeping::run_wait(ui, &args),
        Verb::GuardBoot => keeping::run_boot(ui),
        Verb::GuardTrial => keeping::run_trial(ui),
        Verb::RollbackHere(args) => rollback::run_here(ui, &args),
        Verb::ApplyHere(args) => apply_here::run(ui, &args),
        Verb::Docgen(args) => docgen::run(&args),
    }
}

/// Prints a result as JSON.
fn print_json(ui: &mut Ui, value: &Value) -> Outcome {
    ui.result(format!("{value:#}"));
    Ok(Exit::Done)
}
