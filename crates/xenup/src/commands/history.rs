//! `xenup history`: the runs, oldest first. Reads the journals.

use schemars::JsonSchema;
use serde::Serialize;
use xenup_engine::journal::End;
use xenup_engine::status::Status;
use xenup_engine::store::RunId;

use crate::args;
use crate::commands::status::because;
use crate::commands::{machine, print_json};
use crate::error::{Exit, Outcome};
use crate::ui::Ui;

/// What `--json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    /// The form of this object.
    format: u32,
    /// Every run, oldest first.
    runs: Vec<RunTold>,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
struct RunTold {
    /// Its name.
    id: RunId,
    /// What it is for.
    purpose: String,
    /// When it began, in seconds since 1970.
    begun: i64,
    /// How it ended; `None` while it has not.
    end: Option<End>,
}

/// Prints one line a run.
pub fn run(ui: &mut Ui, args: &args::History) -> Outcome {
    let machine = machine::running()?;
    let store = machine::store();
    let mut rows = Vec::new();
    for id in store.runs(&machine).map_err(machine::engine_error)? {
        let run = store.load(&machine, &id).map_err(machine::engine_error)?;
        rows.push((id, run.plan.purpose, run.status));
    }
    if args.json {
        let told = |(id, purpose, status): (RunId, String, Status)| RunTold {
            id,
            purpose,
            begun: status.begun_unix_seconds,
            end: status.end,
        };
        let told = Told { format: 1, runs: rows.into_iter().map(told).collect() };
        return print_json(ui, &serde_json::json!(told));
    }
    for (id, purpose, status) in &rows {
        ui.result(format!("{id}  {:<40} {purpose}", ended(status)));
    }
    if rows.is_empty() {
        ui.result("No run yet.");
    }
    Ok(Exit::Done)
}

fn ended(status: &Status) -> String {
    match &status.end {
        None => "not finished".to_owned(),
        Some(End::Done) => "done".to_owned(),
        Some(End::RolledBack) => "rolled back".to_owned(),
        Some(End::BroughtBack { stage, cause }) => format!("{stage} came back: {}", because(cause)),
        Some(End::Restored { stage, cause }) => format!("{stage} undone: {}", because(cause)),
    }
}
