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
mod history;
mod init;
mod inspect;
mod kernel;
mod kernel_config;
mod kernel_explain;
mod kernel_hardware;
mod kernel_source;
mod lasting;
mod machine;
mod network;
mod plan;
mod rehearse;
mod rollback;
mod status;
mod tls;
mod upgrade;
mod work;

use serde_json::Value;

use crate::args::{Args, Verb};
use crate::error::{Exit, Outcome};
use crate::guard as keeping;
use crate::ui::Ui;

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
        Verb::GuestDiskRead => guest_disk::serve(),
        Verb::Audit(args) => audit::run(ui, &args),
        Verb::GuestAuditRead => audit_disks::serve(),
        Verb::Rehearse(args) => rehearse::run(ui, &args),
        Verb::Kernel(args) => kernel::run(ui, &args.verb),
        Verb::Tls(args) => tls::run(ui, &args),
        Verb::Network(args) => network::run(ui, &args),
        Verb::Upgrade(args) => upgrade::run(ui, &args),
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
