//! Which step of a salvage comes next, and from which day on.
//!
//! Decides: after the Developer's Reference 5.12 what may be done on a day. Where it leaves room, the maintainer has it:
//! whole days are counted, an answer of any kind is activity, and activity within half a year is no neglect (the
//! conservative criteria of Debian's wiki page PackageSalvaging). Never sends anything and never reads a clock.

use jiff::ToSpan;
use jiff::civil::Date;

use super::state::{Says, State, Step, What};

/// Days that a question waits for its answer before the next is put. The Developer's Reference names none for this; it
/// says of non-maintainer uploads that a week or two without an answer is nothing unusual.
pub const ANSWER_DAYS: u8 = 14;
/// Days in which anybody who maintains the package may object to the Intent to Salvage.
pub const OBJECTION_DAYS: u8 = 21;
/// The fewest days of the upload in the delayed queue.
pub const DELAY_DAYS: u8 = 7;
/// Months without a sign of the maintainer after which a package counts as neglected.
const SILENT_MONTHS: i8 = 6;

/// What a day allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This step, now.
    Allowed(Step),
    /// This step, from a day on.
    NotBefore(Step, Date, String),
    /// This step, when something is there.
    Lacking(Step, String),
    /// The upload is on its way; it is in the archive from a day on.
    Waiting(Date),
    /// The package is maintained by who salvaged it.
    Done,
    /// It ends here.
    Over(String),
}

/// Says what comes next on a day.
pub fn next(state: &State, today: Date) -> Next {
    if let Some(over) = over(state) {
        return Next::Over(over);
    }
    if let Some(step) = state.sending {
        return Next::Lacking(
            step,
            format!(
                "it was about to {} when it was ended: look whether it was sent. Where it was, `next --by-hand` writes it \
             down; where it was not, `forget` does",
                step.words()
            ),
        );
    }
    if let Some(uploaded) = state.sent(Step::Upload) {
        return after_upload(state, uploaded, today);
    }
    if answers(state).any(|(_, says, _)| says == Says::Agrees) {
        return Next::Allowed(Step::Upload);
    }
    let (step, since, days, why) =
        match (state.sent(Step::AskMaintainer), state.sent(Step::AskList), state.sent(Step::Intent)) {
            (None, ..) => return Next::Allowed(Step::AskMaintainer),
            (Some(asked), None, _) => (Step::AskList, asked, ANSWER_DAYS, "the maintainer was asked"),
            (_, Some(asked), None) => (Step::Intent, asked, ANSWER_DAYS, "the list was asked"),
            (_, _, Some(filed)) => (Step::Upload, filed, OBJECTION_DAYS, "the Intent to Salvage was filed"),
        };
    let mut from =
        (whole_days_after(since, days), format!("{why} on {since}, and {days} whole days must have passed"));
    for (on, says, until) in answers(state) {
        if step == Step::Upload && on >= since {
            return Next::Lacking(
                step,
                format!(
                    "there is an answer of {on} to the Intent to Salvage: what it means must be settled with who wrote it. \
                 Then: answer agrees, or answer objects"
                ),
            );
        }
        from = from.max(answered(on, says, until));
    }
    if step == Step::Intent {
        if let Some(lacking) = no_neglect(state) {
            return Next::Lacking(step, lacking);
        }
        from = silent(state).into_iter().fold(from, Ord::max);
    }
    if today < from.0 {
        return Next::NotBefore(step, from.0, from.1);
    }
    match step {
        Step::Upload if state.bug().is_none() => {
            Next::Lacking(step, "the number of the bug is not written down: bug NUMBER".to_owned())
        }
        _ => Next::Allowed(step),
    }
}

/// The days that an upload may have in the delayed queue: the fewest, or none needed where there is an agreement.
pub fn least_delay(state: &State) -> Option<u8> {
    let agreed = answers(state).any(|(_, says, _)| says == Says::Agrees);
    if agreed { None } else { Some(DELAY_DAYS) }
}

/// Why it is over: it was given up, or the last word of who maintains the package is no.
fn over(state: &State) -> Option<String> {
    let stopped = state.events.iter().find_map(|event| match &event.what {
        What::Stopped { why } => Some(format!("it was given up on {}: {why}", event.on)),
        _ => None,
    });
    let last = state.events.iter().rev().find_map(|event| match &event.what {
        What::Answer { from, says: says @ (Says::Objects | Says::Agrees), .. } => {
            Some((from, *says, event.on))
        }
        _ => None,
    });
    let waits = if state.sent(Step::Upload).is_some() {
        "; the upload that waits must be cancelled: dcut PROFILE cancel -f NAME.changes"
    } else {
        ""
    };
    stopped.or_else(|| match last {
        Some((from, Says::Objects, on)) => Some(format!(
            "{from} objected on {on}. What is fixed already can be offered as a patch, or after 5.11 of the Developer's \
             Reference as a non-maintainer upload{waits}"
        )),
        _ => None,
    })
}

/// The difference is due at once; then the days of the delayed queue pass.
fn after_upload(state: &State, uploaded: Date, today: Date) -> Next {
    let days = state.events.iter().find_map(|event| match event.what {
        What::Sent { step: Step::Upload, days } => days,
        _ => None,
    });
    let Some(days) = days else { return Next::Done };
    let there = whole_days_after(uploaded, days);
    if state.sent(Step::Difference).is_none() {
        Next::Allowed(Step::Difference)
    } else if today < there {
        Next::Waiting(there)
    } else {
        Next::Done
    }
}

/// Every answer but objections: its day, its meaning, and until when it asks for time.
fn answers(state: &State) -> impl Iterator<Item = (Date, Says, Option<Date>)> {
    state.events.iter().filter_map(|event| match &event.what {
        What::Answer { says, until, .. } => Some((event.on, *says, *until)),
        _ => None,
    })
}

/// An answer starts the waiting anew; who asks for time has it.
fn answered(on: Date, says: Says, until: Option<Date>) -> (Date, String) {
    match (says, until) {
        (Says::Time, Some(until)) => {
            (whole_days_after(until, 0), format!("time was asked for until {until} in the answer of {on}"))
        }
        _ => (
            whole_days_after(on, ANSWER_DAYS),
            format!("there is an answer of {on}, and {ANSWER_DAYS} whole days must have passed since"),
        ),
    }
}

/// What the evidence lacks for a claim of neglect.
fn no_neglect(state: &State) -> Option<String> {
    let evidence = &state.evidence;
    let shown = evidence.nmus_in_a_row > 0
        || !evidence.unanswered_bugs.is_empty()
        || evidence.upstream_bug.is_some()
        || !evidence.quality.is_empty();
    if !shown {
        return Some(
            "nothing shows that the package is neglected: evidence --changelog FILE, --unanswered BUG, --upstream BUG or \
             --quality SENTENCE"
                .to_owned(),
        );
    }
    if evidence.last_activity.is_none() {
        return Some(
            "it is not written down when the maintainer was last seen at work on the package: evidence --last-activity DAY"
                .to_owned(),
        );
    }
    None
}

/// From when on the maintainer has been silent for long enough.
fn silent(state: &State) -> Option<(Date, String)> {
    let seen = answers(state).map(|(on, ..)| on).chain(state.evidence.last_activity).max()?;
    let from = seen.checked_add(SILENT_MONTHS.months()).unwrap_or(Date::MAX);
    Some((
        whole_days_after(from, 0),
        format!(
            "the maintainer was seen on {seen}, and within {SILENT_MONTHS} months of that the package is not neglected"
        ),
    ))
}

/// The first day on which `days` whole days have passed since some moment of `date`.
fn whole_days_after(date: Date, days: u8) -> Date {
    date.checked_add((i32::from(days) + 1).days()).unwrap_or(Date::MAX)
}
