//! Where a salvage stands, in words.

use std::fmt::Write as _;

use jiff::civil::Date;

use super::rules::{self, Next};
use super::state::{Says, State, Step, What};

/// Says where it stands.
pub fn tell(state: &State, today: Date, out: &mut String) {
    let _ = writeln!(out, "{} {}, maintained by {}", state.package, state.version, state.maintainer);
    for event in &state.events {
        let words = match &event.what {
            What::Sent { step: Step::Upload, days: Some(days) } => {
                format!("uploaded to the delayed queue for {days} days")
            }
            What::Sent { step, .. } => format!("done: {}", step.words()),
            What::Bug { number } => format!("the Intent to Salvage is #{number}"),
            What::Answer { from, says, until, note } => {
                let until = until.map(|day| format!(" until {day}")).unwrap_or_default();
                let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                let says = match says {
                    Says::Agrees => "agrees",
                    Says::Objects => "objects",
                    Says::Time => "asks for time",
                    Says::Other => "answered",
                };
                format!("{from} {says}{until}{note}")
            }
            What::Stopped { why } => format!("given up: {why}"),
        };
        let _ = writeln!(out, "  {}  {words}", event.on);
    }
    let _ = writeln!(out, "next: {}", words(&rules::next(state, today)));
}

/// What comes next, in words that name the day.
pub fn words(next: &Next) -> String {
    match next {
        Next::Allowed(step) => {
            format!("{} (allowed now: next, or next --dry-run to read it first)", step.words())
        }
        Next::NotBefore(step, date, why) => format!("to {} is allowed from {date} on: {why}", step.words()),
        Next::Lacking(step, what) => format!("to {}: {what}", step.words()),
        Next::Waiting(date) => {
            format!("nothing but to read mail; the upload leaves the delayed queue by {date}")
        }
        Next::Done => "nothing: it is yours to maintain".to_owned(),
        Next::Over(why) => format!("nothing, it is over: {why}"),
    }
}
