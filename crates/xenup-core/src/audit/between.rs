//! What several guests of one host claim at once: a name, a disk to write to.
//!
//! Decides: whom it is told, and when it decides whether a guest starts. Never: which of them is to have it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::guest::GuestFile;
use crate::guest::lint::across;
use crate::guest::list::Found;
use crate::inspect::Finding;
use crate::inspect::facts::At;

use super::report::{Effect, Evidence, GuestReport, Reason, Verdict, verdict};

/// What keeps the second guest from starting beside the first.
const ONE_AT_A_TIME: [&str; 2] = ["guest-name-shared", "guest-disk-shared"];

/// How many files a guest is shown that claim the same, its own among them.
const SHOWN: usize = 8;

/// Tells each guest what it shares. Where two of them start with the host, which of them does cannot be told.
pub(super) fn judged(found: &[Found], guests: &mut [GuestReport]) {
    let files: Vec<&GuestFile> = found.iter().filter_map(|one| one.file.as_ref().ok()).collect();
    for finding in across(&files) {
        if !ONE_AT_A_TIME.contains(&finding.id.as_str()) {
            continue;
        }
        let places: BTreeSet<&Path> = finding.at.iter().map(|at| at.path.as_path()).collect();
        let shares = |guest: &GuestReport| guest.path.as_deref().is_some_and(|path| places.contains(path));
        let with_the_host = guests.iter().filter(|guest| shares(guest) && !guest.auto.is_empty()).count();
        for guest in guests.iter_mut().filter(|guest| shares(guest)) {
            let mut reason = reason_for(guest, &finding);
            if with_the_host > 1 && !guest.auto.is_empty() {
                reason.effect = Effect::NotKnown;
            }
            told(guest, reason);
        }
    }
}

/// The finding as this guest is told it: forty guests that share a disk are not shown forty files each.
fn reason_for(guest: &GuestReport, finding: &Finding) -> Reason {
    let own = |at: &At| guest.path.as_ref() == Some(&at.path);
    let places = finding.at.iter().filter(|at| own(at)).chain(finding.at.iter().filter(|at| !own(at)));
    let mut shown: Vec<At> = places.take(SHOWN).cloned().collect();
    shown.sort();
    let more = finding.at.len().saturating_sub(shown.len());
    let mut reason = Reason::of_finding(&Finding { at: shown, ..finding.clone() });
    if more > 0 {
        let behind = SHOWN.min(reason.evidence.len());
        reason.evidence.insert(behind, Evidence::words(format!("and in {more} more files")));
    }
    reason
}

fn told(guest: &mut GuestReport, reason: Reason) {
    let open = reason.effect == Effect::NotKnown;
    guest.reasons.push(reason);
    guest.reasons.sort_by_key(|reason| reason.effect);
    if open {
        // The change of its file does not settle it.
        guest.fix = None;
        guest.verdict = verdict(&guest.reasons);
        guest.now = guest.now.map(|now| if now == Verdict::Starts { Verdict::CannotBeTold } else { now });
    }
}
