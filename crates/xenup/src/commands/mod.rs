//! One file per verb. Each turns arguments into calls and the answer into words.

mod docgen;

use crate::args::{Args, Verb};
use crate::error::{CommandError, Outcome};
use crate::ui::Ui;

/// Runs the verb.
pub fn run(ui: &mut Ui, args: Args) -> Outcome {
    let _ = ui;
    match args.verb {
        Verb::Docgen(args) => docgen::run(&args),
        verb => Err(CommandError::usage(format!("{verb:?}"))),
    }
}
