//! A stage without a way back: what stops it leaves it there, what stops it before it begins undoes all that led to it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its cases, and fails where it cannot"
)]

mod harness;

use xenup_engine::action::{Action, Condition, Undo};
use xenup_engine::drill::{Case, Extent, Picture};
use xenup_engine::error::EngineError;
use xenup_engine::executor::{Options, Outcome, apply, resume};
use xenup_engine::journal::{Cause, End};
use xenup_engine::plan::{Guard, Plan, Slug, Watch};
use xenup_engine::rollback::{Grip, Report, Scope, rollback};
use xenup_engine::status::StageState;
use xenup_engine::store::RunId;
use xenup_engine::takeback;
use xenup_engine::validate::{InvalidPlan, validate};
use xenup_machine::fake::FakeMachine;
use xenup_machine::file::Attributes;

use harness::{case, store, with};

fn go(machine: &mut FakeMachine, plan: &Plan) -> Outcome {
    with(machine, |session| apply(session, plan, &Options::default())).unwrap()
}

fn back(machine: &mut FakeMachine, run: &RunId) -> Result<Report, EngineError> {
    with(machine, |session| rollback(session, run, &Scope::Run, Cause::Asked, Grip::Lock))
}

/// The plan with a check of its upgrade that does not hold yet.
fn stopped() -> (FakeMachine, Plan, RunId) {
    let Case { mut machine, mut plan, .. } = case("upgrade");
    plan.stages[1].checks.push(Condition::Exists { path: "/srv/by-hand".into() });
    let outcome = go(&mut machine, &plan);
    let Outcome::Halted { run, stage, cause } = outcome else { panic!("{outcome:?}") };
    assert_eq!(stage.as_str(), "upgrade");
    assert!(matches!(cause, Cause::ChecksFailed { .. }), "{cause:?}");
    (machine, plan, run)
}

#[test]
fn what_stops_it_leaves_the_run_open_and_the_next_apply_goes_on() {
    let (mut machine, _, run) = stopped();
    let loaded = store().load(&machine, &run).unwrap();
    assert!(loaded.status.is_unfinished());
    let states: Vec<&StageState> = loaded.status.stages.iter().map(|stage| &stage.state).collect();
    assert_eq!(states, [&StageState::Kept, &StageState::Running, &StageState::Pending]);
    let again = with(&mut machine, |session| resume(session, &run, &Options::default())).unwrap();
    assert!(matches!(again, Outcome::Halted { .. }), "{again:?}");
    machine.put("/srv/by-hand", b"", &Attributes::root(0o644));
    let done = with(&mut machine, |session| resume(session, &run, &Options::default())).unwrap();
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    assert!(machine.active_units().contains("guests.service"));
}

#[test]
fn nobody_rolls_it_back() {
    let (mut machine, plan, run) = stopped();
    let before = Picture::of(&machine, &plan);
    let refused = back(&mut machine, &run);
    assert!(
        matches!(&refused, Err(EngineError::NoReturn { stage, why, .. })
        if stage.as_str() == "upgrade" && why == "apt has no way back"),
        "{refused:?}"
    );
    let refused = with(&mut machine, |session| takeback::roll_back(session, &run, 100));
    assert!(matches!(refused, Err(EngineError::NoReturn { .. })), "{refused:?}");
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
    // Nor once it is done.
    machine.put("/srv/by-hand", b"", &Attributes::root(0o644));
    with(&mut machine, |session| resume(session, &run, &Options::default())).unwrap();
    assert!(matches!(back(&mut machine, &run), Err(EngineError::NoReturn { .. })));
}

#[test]
fn what_stops_it_before_it_begins_undoes_all_that_led_to_it() {
    let Case { mut machine, mut plan, .. } = case("upgrade");
    plan.stages[1].steps[0].needs.push(Condition::Exists { path: "/srv/never".into() });
    let before = Picture::of(&machine, &plan);
    let refused = with(&mut machine, |session| apply(session, &plan, &Options::default()));
    assert!(matches!(refused, Err(EngineError::Drift { .. })), "{refused:?}");
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
    let run = store().newest(&machine).unwrap().unwrap();
    assert_eq!(run.status.end, Some(End::RolledBack));
}

#[test]
fn where_apt_would_do_something_else_everything_is_as_before() {
    let Case { mut machine, mut plan, .. } = case("upgrade");
    for step in plan.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        if let Action::Upgrade { removes, .. } = &mut step.action {
            removes.clear();
        }
    }
    let before = Picture::of(&machine, &plan);
    let outcome = go(&mut machine, &plan);
    let Outcome::Restored { cause: Cause::StepFailed { step, why }, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(step.as_str(), "fetch");
    assert_eq!(why, "apt would remove xen-utils-4.17, which the plan says otherwise");
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
}

#[test]
fn a_trial_that_is_armed_is_called_off_and_the_packages_stay() {
    let Case { mut machine, plan, .. } = case("upgrade-trial");
    let outcome = go(&mut machine, &plan);
    let Outcome::AwaitingConfirm { run, stage, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(stage.as_str(), "boot-trial");
    let packages = machine.packages();
    let report = back(&mut machine, &run).unwrap();
    assert_eq!(report.undone.iter().map(Slug::as_str).collect::<Vec<_>>(), ["arm-trial"]);
    assert_eq!(machine.packages(), packages);
    let end = store().load(&machine, &run).unwrap().status.end;
    assert_eq!(end, Some(End::Restored { stage, cause: Cause::Asked }));
    assert!(matches!(back(&mut machine, &run), Err(EngineError::NoReturn { .. })));
}

#[test]
fn a_stage_without_a_way_back_is_one() {
    let plan = || case("upgrade").plan;
    let why = |plan: &Plan| match validate(plan) {
        Err(InvalidPlan::NoReturn { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(validate(&plan()), Ok(()));
    let guard = || Some(Guard { watch: Watch::Network, deadline_seconds: 9, trial: None });
    let mut guarded = plan();
    guarded.stages[0].guard = guard();
    assert_eq!(why(&guarded), "a stage before it has a guard");
    let mut undone = plan();
    undone.stages[1].steps[1].undo = Undo::Command;
    assert_eq!(why(&undone), "one of its steps says that it can be undone");
    let mut once = plan();
    if let Action::Run { once, .. } = &mut once.stages[1].steps[1].action {
        *once = true;
    }
    assert_eq!(why(&once), "one of its steps cannot simply be done again");
    let mut claimed = plan();
    claimed.stages[1].no_return = None;
    claimed.stages[1].steps[0].undo = Undo::Restore;
    assert!(matches!(validate(&claimed), Err(InvalidPlan::Undo { why: "an upgrade cannot be undone", .. })));
}
