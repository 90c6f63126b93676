//! An audit as text for a terminal of 80 columns. Decides the words and their order: the summary first, then a block for
//! each guest, those that do not start before the others. Never: uses colour, or trusts a text's control characters.

use crate::inspect::{Finding, Weight};

use super::plain::plain;
use super::report::{Audit, Effect, GuestReport, Reason, Restored, Saved, To, Verdict};

/// Lines are not longer, unless a word is.
const WIDTH: usize = 80;
/// Where what stands behind a label begins.
const INDENT: usize = 10;

/// A line of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A heading.
    Heading(String),
    /// Any other line.
    Plain(String),
}

/// Returns the audit as lines.
#[must_use]
pub fn lines(audit: &Audit) -> Vec<Line> {
    let mut out = Vec::new();
    out.push(Line::Heading(title(audit)));
    for line in summary(audit) {
        wrapped(&mut out, "  ", 2, &line);
    }
    for guest in in_order(&audit.guests) {
        block(&mut out, guest, audit);
    }
    if !audit.saved.is_empty() {
        out.push(Line::Plain(String::new()));
        out.push(Line::Heading("Saved guests".to_owned()));
    }
    for save in &audit.saved {
        labelled(&mut out, restored(save.restored), &saved_words(save));
    }
    if !audit.host.is_empty() {
        out.push(Line::Plain(String::new()));
        out.push(Line::Heading("The host".to_owned()));
    }
    for finding in &audit.host {
        on_host(&mut out, finding);
    }
    if !audit.notes.is_empty() {
        out.push(Line::Plain(String::new()));
        out.push(Line::Heading("Not known".to_owned()));
    }
    for note in &audit.notes {
        wrapped(&mut out, "  ", 2, note);
    }
    out
}

/// Returns what the audit is about.
#[must_use]
pub fn title(audit: &Audit) -> String {
    let To { xen, suite, .. } = &audit.to;
    let suite = suite.as_ref().map(|suite| format!(" ({suite})")).unwrap_or_default();
    match &audit.from {
        Some(from) if from != xen => format!("Guests on Xen {xen}{suite}, in the place of {from}"),
        _ => format!("Guests on Xen {xen}{suite}"),
    }
}

/// Returns the sentences that come first.
#[must_use]
pub fn summary(audit: &Audit) -> Vec<String> {
    let counted = &audit.counted;
    if counted.all == 0 {
        return vec!["There is no guest to judge.".to_owned()];
    }
    let part = |count: usize, one: &str, many: &str| {
        (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
    };
    let parts: Vec<String> = [
        part(counted.start, "starts", "start"),
        part(counted.start_after_change, "starts after a change", "start after a change"),
        part(counted.will_not_start, "will not start", "will not start"),
        part(counted.cannot_be_told, "cannot be told", "cannot be told"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let all = if counted.all == 1 { "1 guest".to_owned() } else { format!("{} guests", counted.all) };
    vec![format!("{all}: {}.", parts.join(", ")), format!("What is known of this Xen: {}.", audit.to.source)]
}

/// Returns guests that do not start before those that do.
#[must_use]
pub fn in_order(guests: &[GuestReport]) -> Vec<&GuestReport> {
    let weight = |verdict: Verdict| match verdict {
        Verdict::WillNotStart => 0,
        Verdict::CannotBeTold => 1,
        Verdict::StartsAfterChange => 2,
        Verdict::Starts => 3,
    };
    let mut guests: Vec<&GuestReport> = guests.iter().collect();
    guests.sort_by_key(|guest| weight(guest.verdict));
    guests
}

/// Returns the words beside a guest's name.
#[must_use]
pub fn verdict(guest: &GuestReport, audit: &Audit) -> String {
    let now = match (guest.now, &audit.from) {
        (Some(now), Some(from)) if now != guest.verdict && *from != audit.to.xen => {
            format!(" (on {from}: {})", now.words())
        }
        _ => String::new(),
    };
    format!("{}{now}", guest.verdict.words())
}

/// Returns what a guest is, in a line.
#[must_use]
pub fn described(guest: &GuestReport) -> String {
    let mut words = Vec::new();
    words.extend(guest.kind.map(|kind| kind.word().to_owned()));
    words.extend(guest.path.as_ref().map(|path| path.display().to_string()));
    words.extend((!guest.auto.is_empty()).then(|| "starts with the host".to_owned()));
    words.extend((guest.running == Some(true)).then(|| "runs now".to_owned()));
    words.join(", ")
}

/// Returns the label of a reason.
#[must_use]
pub fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Stops => "stops",
        Effect::NotKnown => "not known",
        Effect::ToKnow => "to know",
    }
}

/// Returns the label of a save.
#[must_use]
pub fn restored(restored: Restored) -> &'static str {
    match restored {
        Restored::Promised => "kept",
        Restored::NotPromised | Restored::No => "lost",
        Restored::NotKnown => "not known",
    }
}

/// Returns a save in words.
#[must_use]
pub fn saved_words(save: &Saved) -> String {
    let at = save.evidence.offset.map(|at| format!(", at {at:#x}")).unwrap_or_default();
    let shown =
        if save.evidence.what.is_empty() { String::new() } else { format!(" ({}{at})", save.evidence.what) };
    format!("{}: {}{shown}", save.path.display(), save.why)
}

fn block(out: &mut Vec<Line>, guest: &GuestReport, audit: &Audit) {
    out.push(Line::Plain(String::new()));
    out.push(Line::Heading(plain(&format!("{}: {}", guest.name, verdict(guest, audit)))));
    wrapped(out, "  ", 2, &described(guest));
    if let Some(boots) = &guest.boots {
        labelled(out, "boots", boots);
    }
    for reason in &guest.reasons {
        because(out, reason);
    }
    if guest.fix.is_some() {
        labelled(out, "sure", "judged again with the change, it starts; xenup audit --fix plans it");
    }
}

fn because(out: &mut Vec<Line>, reason: &Reason) {
    labelled(out, effect(reason.effect), &format!("{} [{}]", reason.what, reason.id));
    for evidence in &reason.evidence {
        labelled(out, "  seen", &evidence.to_string());
    }
    if let Some(change) = &reason.change {
        labelled(out, "  change", change);
    }
}

fn on_host(out: &mut Vec<Line>, finding: &Finding) {
    let weight = match finding.weight {
        Weight::Blocks => "in the way",
        Weight::Warning => "warning",
        Weight::Note => "to know",
    };
    let wide = weight.len() + 3;
    wrapped(
        out,
        &format!("  {weight} "),
        wide.max(INDENT + 2),
        &format!("{} [{}]", finding.what, finding.id),
    );
    for at in &finding.at {
        let line = if at.line == 0 { String::new() } else { format!(":{}", at.line) };
        labelled(out, "  seen", &format!("{}{line}", at.path.display()));
    }
    labelled(out, "  why", &finding.why);
    labelled(out, "  change", &finding.fix);
}

/// Adds a label, and a text behind it.
pub(crate) fn labelled(out: &mut Vec<Line>, label: &str, text: &str) {
    wrapped(out, &format!("  {label:<9} "), INDENT + 2, text);
}

/// Adds a text behind `first`, broken at blanks; what follows the first line stands `indent` columns in.
pub(crate) fn wrapped(out: &mut Vec<Line>, first: &str, indent: usize, text: &str) {
    let mut line = first.to_owned();
    if line.chars().count() < indent {
        line = format!("{line:<indent$}");
    }
    let mut filled = false;
    for word in plain(text).split_whitespace() {
        let wide = line.chars().count() + usize::from(filled) + word.chars().count();
        if filled && wide > WIDTH {
            out.push(Line::Plain(line));
            line = " ".repeat(indent);
            filled = false;
        }
        if filled {
            line.push(' ');
        }
        line.push_str(word);
        filled = true;
    }
    out.push(Line::Plain(line.trim_end().to_owned()));
}

#[cfg(test)]
mod tests {
    use super::{Line, wrapped};

    #[test]
    fn lines_are_broken_at_blanks_and_long_words_are_kept() {
        let mut out = Vec::new();
        let long = "x".repeat(100);
        wrapped(&mut out, "  seen ", 7, &format!("{} {long} end", "word ".repeat(20)));
        let lines: Vec<String> = out
            .into_iter()
            .map(|line| match line {
                Line::Heading(line) | Line::Plain(line) => line,
            })
            .collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80 || line.contains(&long)), "{lines:#?}");
        assert!(lines.iter().skip(1).all(|line| line.starts_with("       ")));
        assert_eq!(lines.join(" ").matches("word").count(), 20);
    }
}
