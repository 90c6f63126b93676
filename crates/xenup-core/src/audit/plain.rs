//! Text that cannot pass for another line or another order of words.
//!
//! Decides: which characters of names and texts become U+FFFD, once, when an audit is made; text, HTML and JSON then say
//! the same. Never: touches a path of the data, or the bytes of a guest's file that a plan writes.

use crate::guest::disk::hides;
use crate::inspect::Finding;

use super::report::{Audit, Evidence, Fixed, GuestReport, Reason};

/// Returns a text in one line.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if hides(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns a text whose lines and tabs stay.
fn in_lines(text: &str) -> String {
    let kept = |c: char| matches!(c, '\n' | '\t') || !hides(c);
    text.chars().map(|c| if kept(c) { c } else { '\u{fffd}' }).collect()
}

fn clean(text: &mut String) {
    *text = plain(text);
}

/// Cleans every name and text of an audit.
pub(super) fn audit(mut audit: Audit) -> Audit {
    audit.from.iter_mut().for_each(clean);
    clean(&mut audit.to.xen);
    audit.to.suite.iter_mut().for_each(clean);
    clean(&mut audit.to.source);
    audit.guests.iter_mut().for_each(guest);
    for save in &mut audit.saved {
        save.xen.iter_mut().for_each(clean);
        clean(&mut save.why);
        evidence(&mut save.evidence);
    }
    audit.host.iter_mut().for_each(finding);
    audit.notes.iter_mut().for_each(clean);
    audit
}

fn guest(guest: &mut GuestReport) {
    clean(&mut guest.name);
    guest.boots.iter_mut().for_each(clean);
    guest.reasons.iter_mut().for_each(reason);
    if let Some(Fixed { changes, diff, .. }) = &mut guest.fix {
        changes.iter_mut().for_each(clean);
        *diff = in_lines(diff);
    }
}

fn reason(reason: &mut Reason) {
    clean(&mut reason.what);
    reason.evidence.iter_mut().for_each(evidence);
    reason.change.iter_mut().for_each(clean);
}

fn evidence(evidence: &mut Evidence) {
    clean(&mut evidence.what);
}

fn finding(finding: &mut Finding) {
    clean(&mut finding.what);
    clean(&mut finding.why);
    clean(&mut finding.fix);
}
