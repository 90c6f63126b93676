//! The mails of a salvage: what is asked, of whom, and in which form the bug tracker takes it.
//!
//! Decides: addresses, subjects and bodies. Never sends one. Addresses are Debian's own role addresses, as the
//! Developer's Reference prints them.

use std::fmt::Write as _;

use super::rules::{ANSWER_DAYS, OBJECTION_DAYS};
use super::state::{Evidence, State, Step};

/// Where bugs are filed.
const SUBMIT: &str = "submit@bugs.debian.org";
/// Who looks for maintainers that are missing.
const MISSING: &str = "mia@qa.debian.org";
/// The longest line of a mail's text, in characters.
const WIDTH: usize = 72;

/// Returns whether a word can stand in an address field: one line, `Name <local@host>` or `local@host`.
pub fn is_address(text: &str) -> bool {
    let plain = text.chars().all(|c| !c.is_control() && !",;\"\\".contains(c));
    let spec = address_alone(text);
    let parts = spec.split_once('@');
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"<>@()[]:".contains(c))
    };
    plain && parts.is_some_and(|(local, host)| word(local) && word(host))
}

/// Returns the mail of a step; `None` for the upload, which is none.
pub fn letter(state: &State, step: Step, difference: &str) -> Option<String> {
    let package = &state.package;
    let (to, copy, subject, body) = match step {
        Step::AskMaintainer => (
            fields(std::iter::once(state.maintainer.as_str())),
            String::new(),
            format!("{package}: may I help, or take it over?"),
            ask_maintainer(state),
        ),
        Step::AskList => (
            fields(state.maintainers()),
            fields(std::iter::once(state.list.as_str())),
            format!("{package}: is anybody at work on it?"),
            ask_list(state),
        ),
        Step::Intent => (SUBMIT.to_owned(), String::new(), format!("ITS: {package}"), intent(state)),
        // What debdiff said follows it as it is.
        Step::Difference => (
            format!("{}@bugs.debian.org", state.bug().unwrap_or_default()),
            fields(state.maintainers()),
            format!("{package}: the upload that salvages it waits in the delayed queue"),
            sent_difference(state),
        ),
        Step::Upload => return None,
    };
    let copy = if copy.is_empty() { copy } else { format!("Cc: {copy}\n") };
    Some(format!(
        "From: {}\nTo: {to}\n{copy}Subject: {subject}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n{}{}",
        fields(std::iter::once(state.salvager.as_str())),
        filled(&body),
        if step == Step::Difference { difference } else { "" }
    ))
}

/// Breaks lines that are longer than mail readers show. A field of the bug tracker stays on its line.
fn filled(body: &str) -> String {
    let mut out = String::new();
    for line in body.lines() {
        let mut width = 0;
        for (index, word) in line.split(' ').enumerate() {
            let long = word.chars().count();
            if index > 0 && width + 1 + long > WIDTH && !line.starts_with("X-Debbugs-CC:") {
                // The rest of an item in a list stands below its text.
                let indent = if line.starts_with(" * ") { "   " } else { "" };
                let _ = write!(out, "\n{indent}");
                width = indent.len();
            } else if index > 0 {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += long;
        }
        out.push('\n');
    }
    out
}

fn ask_maintainer(state: &State) -> String {
    format!(
        "Hello,\n\nI use {package} and would like to see it well kept in Debian. {reason}\n\n\
         Are you still at work on it, and would help be welcome? I can send patches, maintain it beside you, or take it \
         over, whichever you prefer. A word is enough; \"no\" is an answer too, and I will then leave it.\n\n\
         If I hear nothing I will ask again in about {ANSWER_DAYS} days, with a copy to {list}.\n\n{me}\n",
        package = state.package,
        reason = state.reason,
        list = state.list,
        me = name(&state.salvager)
    )
}

fn ask_list(state: &State) -> String {
    let asked = state.sent(Step::AskMaintainer).map(|day| day.to_string()).unwrap_or_default();
    format!(
        "Hello,\n\non {asked} I asked the maintainer of {package} whether help with it is welcome, and I have had no answer \
         that settles it. {reason}\n\n\
         Does anybody know of work on it, or object to help? If nobody does, I will consider an Intent to Salvage \
         (Developer's Reference 5.12) in about {ANSWER_DAYS} days. I would maintain the package for a longer time.\n\n{me}\n",
        package = state.package,
        reason = state.reason,
        me = name(&state.salvager)
    )
}

fn intent(state: &State) -> String {
    let mut told: Vec<&str> = state.maintainers().collect();
    if state.evidence.missing {
        told.push(MISSING);
    }
    let day = |step| state.sent(step).map(|day| day.to_string()).unwrap_or_default();
    format!(
        "Source: {package}\nVersion: {version}\nSeverity: important\nX-Debbugs-CC: {told}\n\n\
         I intend to salvage {package} and to maintain it from then on (Developer's Reference 5.12). {reason}\n\n\
         Why I think that it is neglected:\n{shown}\n\
         I wrote to the maintainer on {first}, and to the maintainer and {list} on {second}, \
         and have no answer that settles it.\n\n\
         The maintainer, the uploaders and the team may object here within {OBJECTION_DAYS} days, which ends this. You may \
         also agree, or ask me to maintain it beside you. Without an answer I will upload to the delayed queue after \
         that, with the difference sent here.\n\n{me}\n",
        package = state.package,
        version = state.version,
        told = fields(told.into_iter()),
        reason = state.reason,
        shown = shown(&state.evidence),
        first = day(Step::AskMaintainer),
        list = state.list,
        second = day(Step::AskList),
        me = name(&state.salvager)
    )
}

/// The evidence, a line each.
fn shown(evidence: &Evidence) -> String {
    let mut out = String::new();
    if evidence.nmus_in_a_row > 0 {
        let _ = writeln!(out, " * uploads by others since the maintainer's last: {}", evidence.nmus_in_a_row);
    }
    if !evidence.unanswered_bugs.is_empty() {
        let bugs: Vec<String> = evidence.unanswered_bugs.iter().map(|bug| format!("#{bug}")).collect();
        let _ = writeln!(out, " * bugs without an answer: {}", bugs.join(", "));
    }
    if let Some(bug) = evidence.upstream_bug {
        let _ = writeln!(out, " * a newer upstream version was asked for in #{bug} and is not packaged");
    }
    for sentence in &evidence.quality {
        let _ = writeln!(out, " * {sentence}");
    }
    if let Some(day) = evidence.last_activity {
        let _ = writeln!(out, " * last sign of the maintainer on this package: {day}");
    }
    out
}

fn sent_difference(state: &State) -> String {
    let uploaded = state.sent(Step::Upload).map(|day| day.to_string()).unwrap_or_default();
    format!(
        "Control: tags -1 + patch pending\n\n\
         On {uploaded} I uploaded {package} to the delayed queue. The difference to the archive's version is below. Until \
         it leaves the queue you can accept it, upload yourself, or have me cancel it: please say so here.\n\n{me}\n\n",
        package = state.package,
        me = name(&state.salvager)
    )
}

/// Addresses for a header. A name that is not ASCII would need an encoding of its own, and is left out.
fn fields<'a>(people: impl Iterator<Item = &'a str>) -> String {
    let field = |person: &'a str| if person.is_ascii() { person } else { address_alone(person) };
    people.map(field).collect::<Vec<_>>().join(", ")
}

fn address_alone(person: &str) -> &str {
    match person.split_once('<').and_then(|(_, rest)| rest.strip_suffix('>')) {
        Some(address) => address,
        None => person,
    }
}

fn name(person: &str) -> &str {
    person.split_once('<').map_or(person, |(name, _)| name.trim())
}
