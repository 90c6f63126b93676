//! `xenup tls`: what keeps /lib/tls out of the way, or would. Decides how the answer reads; changes nothing.

use xenup_core::tls::{Decision, Means, Report, Under};
use xenup_machine::Probe as _;
use xenup_machine::process::Query;
use xenup_system::System;

use crate::args::Tls;
use crate::commands::{machine, print_json};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Looks at the running system, or at a tree.
pub fn run(ui: &mut Ui, args: &Tls) -> Outcome {
    let report = match &args.root {
        None => {
            let system = machine::running()?;
            let said = system.query(&Query::new("uname", ["-m"])).map_err(machine::machine_error)?;
            Report::running(&system, said.text().trim())
        }
        Some(root) => {
            let tree = System::tree(&machine::absolute(root)).map_err(machine::machine_error)?;
            Report::of_tree(&tree)
        }
    };
    if args.json {
        return print_json(ui, &serde_json::to_value(&report).map_err(CommandError::failed)?);
    }
    match report.judged.as_slice() {
        // What has no 32-bit loader is the same under every kernel.
        [first, second] if first.decision == second.decision => print(ui, None, &first.decision),
        all => all.iter().for_each(|judged| print(ui, Some(judged.under), &judged.decision)),
    }
    Ok(Exit::Done)
}

fn print(ui: &mut Ui, under: Option<Under>, decision: &Decision) {
    let kernel = match under {
        None | Some(Under::This) => "",
        Some(Under::Pv32) => "under a 32-bit PV kernel: ",
        Some(Under::Other) => "under any other kernel: ",
    };
    let what = match (decision.means, decision.steps.is_empty()) {
        (Means::None, true) => "nothing to do",
        (Means::None, false) => "back as they were",
        (Means::Nosegneg, _) => "a libc for this kernel",
        (Means::Nohwcap, _) => "left out by the loader",
        (Means::Move, _) => "moved aside",
        (Means::Leave, _) => "left in the way",
        (Means::Helpless, _) => "in the way, and nothing here helps",
        (Means::Untouched, _) => "not touched",
    };
    ui.result(format!("{kernel}{what}: {}", decision.why));
    for step in &decision.steps {
        ui.result(format!("  to do at the next boot or shutdown: {step}"));
    }
}
