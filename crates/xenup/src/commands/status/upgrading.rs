//! What `xenup status` says of an upgrade from a release to the next.
//!
//! Decides: the words from its point of no return on, and its verb in all others. Never: the words of a stage that could not be
//! undone, which are the same for every run.

use xenup_core::upgrade::apply;
use xenup_engine::journal::End;
use xenup_engine::plan::Plan;
use xenup_engine::status::{StageState, Status};

use super::{Advice, because};

/// Guests that an upgrade has shut down, and that nobody has started again by it.
pub(super) fn guests_down(plan: &Plan, status: &Status) -> Option<String> {
    let guests = apply::guests(plan);
    let up = status.stages.iter().find(|stage| stage.id.as_str() == apply::GUESTS)?;
    let waiting = apply::is_under_way(plan, status) && up.state != StageState::Kept;
    (waiting && !guests.is_empty()).then(|| {
        let each: Vec<String> = guests.iter().map(|(name, file)| format!("{name} ({file})")).collect();
        format!("  guests that were shut down for it: {}", each.join(", "))
    })
}

/// Returns what an upgrade past its point of no return has to say; `None` before it, while it waits for a confirm, and
/// where a stage is being undone or could not be. `is_dom0` says whether this boot is Xen's.
pub(super) fn advise(plan: &Plan, status: &Status, is_dom0: bool) -> Option<Advice> {
    let is_waiting = status.awaiting().is_some();
    let is_undoing = |state: &StageState| matches!(state, StageState::Undoing | StageState::Stuck);
    if !apply::is_upgrade(plan)
        || !apply::is_under_way(plan, status)
        || is_waiting
        || status.stages.iter().any(|stage| is_undoing(&stage.state))
    {
        return None;
    }
    match &status.end {
        None if !is_dom0 && waits_for_xen(status) => Some(Advice {
            headline:
                "The upgrade is confirmed, and this boot is plain Linux: its guests wait for the new Xen."
                    .to_owned(),
            safe: "the new Xen is the default; everything but the guests is done".to_owned(),
            next: "systemctl reboot   (into the new Xen; then xenup upgrade apply starts the guests)"
                .to_owned(),
        }),
        None => Some(at_work(plan, status)),
        Some(End::Done) => Some(Advice {
            headline: "Done: the host is upgraded, and every stage is kept.".to_owned(),
            safe: "the machine is as host.toml asks".to_owned(),
            next: "nothing; apt autoremove takes what the old release has left, when it suits".to_owned(),
        }),
        Some(End::Restored { stage, cause }) => Some(Advice {
            headline: format!("The packages are upgraded; stage {stage} was undone: {}.", because(cause)),
            safe: "plain Linux is the default, and boots".to_owned(),
            next: "xenup apply   (boots the new Xen on trial again; then start the guests: xl create FILE)"
                .to_owned(),
        }),
        Some(_) => None,
    }
}

/// Everything before the guests is kept, and they are not up yet.
fn waits_for_xen(status: &Status) -> bool {
    let mut stages = status.stages.iter();
    let next = stages.find(|stage| stage.state != StageState::Kept);
    next.is_some_and(|stage| stage.id.as_str() == apply::GUESTS)
}

/// At work past the point of no return, or stopped there.
fn at_work(plan: &Plan, status: &Status) -> Advice {
    let mut stages = plan.stages.iter().zip(&status.stages);
    let running = stages.find(|(_, found)| found.state == StageState::Running);
    let go_on = "xenup upgrade apply   (goes on)";
    let (headline, safe, next) = match running {
        Some((planned, _)) if planned.id.as_str() == apply::GUESTS => (
            "The upgrade is confirmed, and its guests are being started, or that was stopped.".to_owned(),
            "the new Xen is the default; a guest that cannot start is passed over once its file is taken away",
            go_on,
        ),
        Some((planned, _)) if planned.no_return.is_some() => (
            "The upgrade of the packages is at work, or was stopped: it goes forward, since apt has no way back.".to_owned(),
            "every archive is fetched, and plain Linux is the default; better not restarted before it is finished",
            "xenup upgrade apply   (goes on; finishes what dpkg had begun)",
        ),
        Some((planned, _)) => (
            format!("The packages are upgraded; stage {} is at work, or was interrupted.", planned.id),
            "every step is in the journal with what was there before it",
            go_on,
        ),
        None => (
            "The packages are upgraded; the next stage has not begun.".to_owned(),
            "what was done so far is verified",
            go_on,
        ),
    };
    Advice { headline, safe: safe.to_owned(), next: next.to_owned() }
}

/// An upgrade goes on, and begins anew, by its own verb; its trial is called off without what lies before.
pub(super) fn in_words_of_its_verb(plan: &Plan, status: &Status, advice: Advice) -> Advice {
    if !apply::is_upgrade(plan) {
        return advice;
    }
    let next = match &status.end {
        Some(End::Restored { .. }) => {
            "xenup upgrade apply   (tries again; it begins with the check)".to_owned()
        }
        Some(_) => advice.next,
        None if apply::is_under_way(plan, status) => advice.next.replace(
            "calls the trial off, and undoes the whole run",
            "calls the trial off; the packages stay",
        ),
        None => advice.next.replacen("xenup apply", "xenup upgrade apply", 1),
    };
    Advice { next, ..advice }
}

#[cfg(test)]
mod tests {
    use xenup_engine::journal::Record;
    use xenup_engine::plan::{Plan, Slug};
    use xenup_engine::status::Status;

    use super::advise;

    /// The stages of an upgrade after `prepare`, each with one step that has its name.
    fn plan() -> Plan {
        let stage = |id: &str, no_return: Option<&str>| {
            serde_json::json!({
                "id": id, "title": "", "no_return": no_return,
                "steps": [{
                    "id": format!("{id}-step"), "title": "", "why": "", "undo": "restore", "lasts": "on-disk",
                    "action": { "action": "packages", "changes": [] },
                }],
            })
        };
        serde_json::from_value(serde_json::json!({
            "schema": 1, "machine_id": "m", "purpose": "test",
            "stages": [
                stage("upgrade", Some("apt has no way back")),
                stage("guests-up", Some("guests that run are left running")),
                stage("release", None),
            ],
            "not_restored": [],
        }))
        .unwrap()
    }

    /// What a step that changes no package finds, and leaves.
    fn nothing() -> serde_json::Value {
        serde_json::json!({ "of": "packages", "packages": [] })
    }

    fn begun(id: &str) -> [Record; 2] {
        let (stage, step) = (Slug::of(id), format!("{id}-step"));
        let started = serde_json::json!({
            "record": "step-started", "step": step, "boot_id": "b", "before": nothing(),
        });
        [Record::StageBegun { stage }, serde_json::from_value(started).unwrap()]
    }

    fn told(records: &[Record], is_dom0: bool) -> Option<String> {
        let plan = plan();
        advise(&plan, &Status::fold(records, &plan), is_dom0).map(|advice| advice.headline)
    }

    fn headline(records: &[Record]) -> Option<String> {
        told(records, true)
    }

    fn kept(id: &str) -> [Record; 2] {
        let done =
            serde_json::json!({ "record": "step-done", "step": format!("{id}-step"), "after": nothing() });
        let at = serde_json::json!({ "boot_id": "b", "boottime_ns": 1 });
        let verified = serde_json::json!({ "record": "stage-verified", "stage": id, "at": at });
        [done, verified].map(|record| serde_json::from_value(record).unwrap())
    }

    #[test]
    fn a_stage_after_the_packages_is_named_while_it_is_at_work() {
        let mut records: Vec<Record> = begun("upgrade").into();
        assert_eq!(
            headline(&records).unwrap(),
            "The upgrade of the packages is at work, or was stopped: it goes forward, since apt has no way back."
        );
        records.extend(kept("upgrade"));
        assert_eq!(headline(&records).unwrap(), "The packages are upgraded; the next stage has not begun.");
        for records in [records.clone(), [records.clone(), begun("guests-up").into()].concat()] {
            let headline = told(&records, false).unwrap();
            assert!(headline.ends_with("its guests wait for the new Xen."), "{headline}");
        }
        records.extend(begun("guests-up"));
        records.extend(kept("guests-up"));
        records.extend(begun("release"));
        assert_eq!(
            headline(&records).unwrap(),
            "The packages are upgraded; stage release is at work, or was interrupted."
        );
        records.push(Record::StageUndone { stage: Slug::of("release"), clean: false });
        assert_eq!(headline(&records), None, "what could not be undone comes first");
    }
}
