//! One file per verb. Each turns arguments into calls and the answer into words.

use crate::args::{Args, Verb};
use crate::error::Outcome;
use crate::ui::Ui;

/// Runs the verb.
pub fn run(_ui: &mut Ui, args: Args) -> Outcome {
    match args.verb {
        _ => Ok(crate::error::Exit::Done),
    }
}
