//! What the engine does when something is in the way: others' changes, drift, a held lock, a poor proof, a boot.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its cases, and fails where it cannot"
)]

mod harness;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::{Strategy, any, prop};
use xenup_engine::action::{Action, FileState};
use xenup_engine::boot::{Decision, decide};
use xenup_engine::confirm::{ConfirmError, confirm};
use xenup_engine::drill::{Case, Extent, Picture};
use xenup_engine::error::EngineError;
use xenup_engine::executor::{Options, Outcome, apply, resume};
use xenup_engine::journal::{Cause, End, Proof, UndoNote};
use xenup_engine::links;
use xenup_engine::plan::Plan;
use xenup_engine::rollback::{Grip, Report, Scope, rollback};
use xenup_engine::status::StageState;
use xenup_engine::store::RunId;
use xenup_engine::takeback;
use xenup_engine::validate::validate;
use xenup_machine::Probe;
use xenup_machine::fake::{FakeMachine, FakeNetwork, nic};
use xenup_machine::file::Attributes;
use xenup_machine::network::{Address, Link, LinkAddress, LinkOp, Mac, Network, VlanRange};

use harness::{case, store, with};

fn applied(machine: &mut FakeMachine, plan: &Plan) -> RunId {
    match with(machine, |session| apply(session, plan, &Options::default())).unwrap() {
        Outcome::Done { run } | Outcome::AwaitingConfirm { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

fn back(machine: &mut FakeMachine, run: &RunId, cause: Cause, grip: Grip) -> Report {
    with(machine, |session| rollback(session, run, &Scope::Run, cause, grip)).unwrap()
}

fn decision(machine: &FakeMachine, run: &RunId, in_trial: bool) -> Decision {
    let run = store().load(machine, run).unwrap();
    decide(&run.status, &run.plan, &machine.clock(), Some(in_trial))
}

#[test]
fn what_others_changed_is_left_and_named() {
    let Case { mut machine, plan, .. } = case("file-changed");
    let run = applied(&mut machine, &plan);
    machine.put("/etc/network/interfaces", b"theirs\n", &Attributes::root(0o600));
    let report = back(&mut machine, &run, Cause::Asked, Grip::Lock);
    assert_eq!(machine.text(Path::new("/etc/network/interfaces")), "theirs\n");
    assert!(matches!(&report.notes[..], [(_, UndoNote::LeftAsChanged { .. })]), "{report:?}");
    assert!(report.is_clean() && !report.is_whole());
    assert_eq!(report.left(), ["/etc/network/interfaces was changed"]);
}

#[test]
fn a_link_that_is_as_it_is_to_be_keeps_its_time() {
    let Case { mut machine, mut plan, .. } = case("directories-and-links");
    let link = Path::new("/etc/alias");
    for step in &mut plan.stages[0].steps {
        if let Action::File { path, state: FileState::Link { target }, .. } = &mut step.action
            && path == link
        {
            *target = "target".into();
        }
    }
    let before = machine.entry(link).unwrap();
    let run = applied(&mut machine, &plan);
    assert_eq!(machine.entry(link).unwrap(), before);
    assert!(back(&mut machine, &run, Cause::Asked, Grip::Lock).is_whole());
    assert_eq!(machine.entry(link).unwrap(), before);
}

#[test]
fn under_a_guard_the_way_in_wins_and_theirs_lies_beside_unread() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let before = machine.text(Path::new("/etc/network/interfaces"));
    let run = applied(&mut machine, &plan);
    machine.put("/etc/network/interfaces", b"theirs\n", &Attributes::root(0o600));
    let report = back(&mut machine, &run, Cause::NotConfirmed, Grip::Seize);
    assert_eq!(machine.text(Path::new("/etc/network/interfaces")), before);
    let kept = format!("/etc/network/.interfaces.xenup-kept-{run}");
    assert_eq!(machine.text(Path::new(&kept)), "theirs\n", "{report:?}");
}

const MENU: &str = "/boot/grub/grub.cfg";

/// The menu as somebody's own hand left it, which no command would make.
fn with_a_menu_by_hand() -> (FakeMachine, Plan) {
    let Case { mut machine, plan, .. } = case("generated-put-back");
    machine.put(MENU, b"by hand\n", &Attributes::root(0o444));
    (machine, plan)
}

#[test]
fn what_the_run_alone_has_generated_is_put_back_byte_for_byte() {
    let (mut machine, plan) = with_a_menu_by_hand();
    let before = machine.tree();
    let run = applied(&mut machine, &plan);
    assert!(machine.text(Path::new(MENU)).contains("GRUB_DEFAULT=xen"));
    let report = back(&mut machine, &run, Cause::Asked, Grip::Lock);
    assert_eq!(report.notes, [], "{report:?}");
    assert_eq!(machine.tree().get(Path::new(MENU)), before.get(Path::new(MENU)));
}

#[test]
fn where_the_disk_is_nearly_full_nothing_generated_is_kept_and_its_owner_makes_it_again() {
    let (mut machine, plan) = with_a_menu_by_hand();
    machine.limit_root(100 << 20);
    let run = applied(&mut machine, &plan);
    let report = back(&mut machine, &run, Cause::Asked, Grip::Lock);
    assert!(machine.text(Path::new(MENU)).starts_with("# made by update-grub"), "{report:?}");
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn what_others_have_generated_since_is_made_again_by_its_owner() {
    let (mut machine, plan) = with_a_menu_by_hand();
    let run = applied(&mut machine, &plan);
    machine.put("/boot/vmlinuz-6.1.0-30-amd64", b"newer", &Attributes::root(0o644));
    machine.generate_grub().unwrap();
    let report = back(&mut machine, &run, Cause::Asked, Grip::Lock);
    assert!(machine.text(Path::new(MENU)).contains("vmlinuz-6.1.0-30-amd64"), "{report:?}");
    assert!(!machine.text(Path::new(MENU)).contains("xen"));
    let told = |note: &UndoNote| matches!(note, UndoNote::RegeneratedDifferently { .. });
    assert!(report.is_clean() && report.notes.iter().any(|(_, note)| told(note)), "{report:?}");
}

#[test]
fn beside_a_file_that_stays_as_others_left_it_nothing_is_put_back() {
    let (mut machine, plan) = with_a_menu_by_hand();
    let run = applied(&mut machine, &plan);
    machine.put("/etc/default/grub.d/00-xenup.cfg", b"THEIRS=1\n", &Attributes::root(0o644));
    let report = back(&mut machine, &run, Cause::Asked, Grip::Lock);
    assert_eq!(report.left(), ["/etc/default/grub.d/00-xenup.cfg was changed"]);
    assert!(machine.text(Path::new(MENU)).contains("THEIRS=1"));
}

#[test]
fn drift_is_refused_and_nothing_is_changed() {
    let Case { mut machine, plan, .. } = case("file-changed");
    machine.put("/etc/network/interfaces", b"newer\n", &Attributes::root(0o644));
    let before = Picture::of(&machine, &plan);
    let refused = with(&mut machine, |session| apply(session, &plan, &Options::default()));
    assert!(matches!(refused, Err(EngineError::Drift { .. })), "{refused:?}");
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
    assert!(store().runs(&machine).unwrap().is_empty());
}

#[test]
fn the_second_of_two_runs_is_told_who_holds_the_lock_and_the_guard_takes_it() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = applied(&mut machine, &plan);
    machine.hold_lock("17 4242 applying host.toml");
    let again = with(&mut machine, |session| resume(session, &run, &Options::default()));
    assert!(matches!(again, Err(EngineError::Locked { holder }) if holder.contains("17 4242")));
    let report = back(&mut machine, &run, Cause::NotConfirmed, Grip::Seize);
    assert!(report.is_clean() && !report.undone.is_empty(), "{report:?}");
}

#[test]
fn an_open_run_is_in_the_way_of_another() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = applied(&mut machine, &plan);
    let other = case("file-new").plan;
    let refused = with(&mut machine, |session| apply(session, &other, &Options::default()));
    assert!(matches!(refused, Err(EngineError::Unfinished { run: open }) if open == run));
}

#[test]
fn a_failed_step_undoes_its_stage_and_keeps_those_before() {
    let Case { mut machine, mut plan, .. } = case("file-new");
    let mut later = plan.stages[0].clone();
    later.id = "later".parse().unwrap();
    for step in &mut later.steps {
        step.id = format!("later-{}", step.id).parse().unwrap();
        if let Action::File { path, .. } = &mut step.action {
            *path = Path::new("/srv/later").join(path.file_name().unwrap());
        }
    }
    later.steps[1].leaves = vec![xenup_engine::action::Condition::Exists { path: "/nowhere".into() }];
    plan.stages.push(later);
    let outcome = with(&mut machine, |session| apply(session, &plan, &Options::default())).unwrap();
    let Outcome::Restored { run, stage, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(stage.as_str(), "later");
    assert!(!machine.text(Path::new("/etc/xenup/secret")).is_empty());
    assert!(!machine.tree().contains_key(Path::new("/srv/later")));
    assert_eq!(store().load(&machine, &run).unwrap().status.stages[0].state, StageState::Kept);
}

#[test]
fn only_a_connection_made_after_the_change_proves_anything() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let started = |machine: &FakeMachine| Proof::NewConnection {
        started_boottime_ns: machine.clock().boottime_ns,
        from: "192.0.2.7".to_owned(),
    };
    let old = started(&machine);
    let run = applied(&mut machine, &plan);
    machine.wait(Duration::from_secs(1));
    let new = started(&machine);
    let refused = with(&mut machine, |session| confirm(session, &run, old));
    assert!(matches!(refused, Err(EngineError::Confirm(ConfirmError::OldConnection { .. }))));
    assert_eq!(with(&mut machine, |session| confirm(session, &run, new)).unwrap().as_str(), "network");
    let again = with(&mut machine, |session| confirm(session, &run, Proof::Console));
    assert!(matches!(again, Err(EngineError::Confirm(ConfirmError::NothingToConfirm { .. }))));
    // A guard that wakes after that finds nothing to undo, even if it is told to.
    let report = back(&mut machine, &run, Cause::NotConfirmed, Grip::Seize);
    assert!(report.undone.is_empty() && report.left_alone, "{report:?}");
    assert_eq!(decision(&machine, &run, false), Decision::Nothing);
}

#[test]
fn a_confirm_that_comes_too_late_is_refused() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = applied(&mut machine, &plan);
    machine.wait(Duration::from_secs(121));
    let refused = with(&mut machine, |session| confirm(session, &run, Proof::Console));
    assert!(matches!(refused, Err(EngineError::Confirm(ConfirmError::TooLate { .. }))));
    machine.power_cycle(1);
    let refused = with(&mut machine, |session| confirm(session, &run, Proof::Console));
    assert!(matches!(refused, Err(EngineError::Confirm(ConfirmError::OtherBoot { .. }))));
}

#[test]
fn a_network_guard_waits_then_undoes_and_undoes_after_a_reboot() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = applied(&mut machine, &plan);
    assert!(matches!(decision(&machine, &run, false), Decision::WaitUntil { .. }));
    let undoes = |decision, cause| match decision {
        Decision::UndoStage { why, reboot_after, .. } => assert_eq!((why, reboot_after), (cause, false)),
        other => panic!("{other:?}"),
    };
    let mut late = machine.clone();
    late.wait(Duration::from_secs(121));
    undoes(decision(&late, &run, false), Cause::NotConfirmed);
    machine.power_cycle(1);
    undoes(decision(&machine, &run, false), Cause::Rebooted);
}

#[test]
fn a_guard_that_finds_the_disk_full_stays_and_undoes_once_there_is_room() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    machine.mount("/var");
    let before = Picture::of(&machine, &plan);
    let run = applied(&mut machine, &plan);
    machine.wait(Duration::from_secs(121));
    machine.fill_root();
    let report = back(&mut machine, &run, Cause::NotConfirmed, Grip::Seize);
    assert!(!report.is_clean(), "{report:?}");
    let status = store().load(&machine, &run).unwrap().status;
    assert_eq!(status.stages[0].state, StageState::Stuck);
    assert!(status.stages[0].is_armed());
    let undo = Decision::UndoStage {
        stage: "network".parse().unwrap(),
        why: Cause::NotConfirmed,
        reboot_after: false,
    };
    assert_eq!(decision(&machine, &run, false), undo);
    let mut rebooted = machine.clone();
    rebooted.shut_down();
    assert_eq!(decision(&rebooted, &run, false), undo, "the next boot tries as well");
    machine.hold_lock("17 4242 undoing");
    let busy =
        with(&mut machine, |session| rollback(session, &run, &Scope::Run, Cause::NotConfirmed, Grip::Again));
    assert!(matches!(busy, Err(EngineError::Locked { .. })), "a person who undoes it is not ended");
    machine.revive();
    // Somebody else's change in the meantime gives way, as ever under a guard.
    machine.make_room();
    let report = back(&mut machine, &run, Cause::NotConfirmed, Grip::Again);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
    assert_eq!(decision(&machine, &run, false), Decision::Nothing);
}

#[test]
fn a_return_that_finds_the_disk_full_stays_and_brings_back_once_there_is_room() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    machine.mount("/var");
    let run = confirmed(&mut machine, &plan);
    let ours = machine.text(Path::new("/etc/network/interfaces"));
    roll_back(&mut machine, &run);
    machine.wait(Duration::from_secs(121));
    machine.fill_root();
    for room in [false, true] {
        if room {
            machine.make_room();
        }
        let Decision::BringBack { stage, why } = decision(&machine, &run, false) else {
            panic!("not brought back")
        };
        assert_eq!(why, Cause::NotConfirmed);
        let report = with(&mut machine, |session| {
            takeback::bring_back(session, &run, &stage, why, Grip::Seize).unwrap()
        });
        assert_eq!(report.is_clean(), room, "{report:?}");
    }
    assert_eq!(machine.text(Path::new("/etc/network/interfaces")), ours);
    assert_eq!(decision(&machine, &run, false), Decision::Nothing);
}

#[test]
fn a_trial_is_started_once_and_undone_where_it_was_not_reached_or_not_confirmed() {
    let Case { mut machine, plan, .. } = case("trial");
    let run = applied(&mut machine, &plan);
    assert_eq!(decision(&machine, &run, false), Decision::Nothing);
    machine.power_cycle(1);
    let undone =
        |reboot_after, why| Decision::UndoStage { stage: "boot-trial".parse().unwrap(), why, reboot_after };
    assert_eq!(decision(&machine, &run, false), undone(false, Cause::TrialNotReached));
    assert!(matches!(decision(&machine, &run, true), Decision::StartTrial { deadline_seconds: 300, .. }));
    let stage = "boot-trial".parse().unwrap();
    let deadline =
        with(&mut machine, |session| xenup_engine::boot::start_trial(session, &run, &stage)).unwrap();
    assert_eq!(decision(&machine, &run, true), Decision::WaitUntil { stage, boottime_ns: deadline });
    machine.wait(Duration::from_secs(301));
    assert_eq!(decision(&machine, &run, true), undone(true, Cause::NotConfirmed));
    machine.power_cycle(2);
    assert_eq!(decision(&machine, &run, false), undone(false, Cause::NotConfirmed));
}

fn confirmed(machine: &mut FakeMachine, plan: &Plan) -> RunId {
    let run = applied(machine, plan);
    with(machine, |session| confirm(session, &run, Proof::Console)).unwrap();
    with(machine, |session| resume(session, &run, &Options::default())).unwrap();
    run
}

fn roll_back(machine: &mut FakeMachine, run: &RunId) -> takeback::Outcome {
    with(machine, |session| takeback::roll_back(session, run, 120)).unwrap()
}

#[test]
fn a_confirmed_network_goes_back_under_a_guard_that_a_new_connection_ends() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let before = Picture::of(&machine, &plan);
    let run = confirmed(&mut machine, &plan);
    let connection = |machine: &FakeMachine| Proof::NewConnection {
        started_boottime_ns: machine.clock().boottime_ns,
        from: "192.0.2.7".to_owned(),
    };
    let old = connection(&machine);
    let outcome = roll_back(&mut machine, &run);
    assert!(matches!(outcome, takeback::Outcome::AwaitingConfirm { seconds: 120, .. }), "{outcome:?}");
    assert!(matches!(decision(&machine, &run, false), Decision::WaitUntil { .. }));
    let again = roll_back(&mut machine, &run);
    assert!(matches!(again, takeback::Outcome::AwaitingConfirm { .. }), "{again:?}");
    machine.wait(Duration::from_secs(1));
    let new = connection(&machine);
    let refused = with(&mut machine, |session| confirm(session, &run, old));
    assert!(matches!(refused, Err(EngineError::Confirm(ConfirmError::OldConnection { .. }))));
    with(&mut machine, |session| confirm(session, &run, new)).unwrap();
    assert_eq!(decision(&machine, &run, false), Decision::Nothing);
    let ended = roll_back(&mut machine, &run);
    assert!(matches!(&ended, takeback::Outcome::RolledBack(report) if report.is_clean()), "{ended:?}");
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
    assert_eq!(store().load(&machine, &run).unwrap().status.end, Some(End::RolledBack));
}

#[test]
fn a_rollback_that_nobody_confirms_gives_way_and_keeps_what_others_wrote_meanwhile() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = confirmed(&mut machine, &plan);
    let ours = machine.text(Path::new("/etc/network/interfaces"));
    let network = machine.links().clone();
    roll_back(&mut machine, &run);
    assert_ne!(machine.text(Path::new("/etc/network/interfaces")), ours);
    machine.put("/etc/network/interfaces", b"theirs\n", &Attributes::root(0o600));
    machine.wait(Duration::from_secs(121));
    let Decision::BringBack { stage, why } = decision(&machine, &run, false) else {
        panic!("not brought back")
    };
    assert_eq!(why, Cause::NotConfirmed);
    let late = with(&mut machine, |session| confirm(session, &run, Proof::Console));
    assert!(matches!(late, Err(EngineError::Confirm(ConfirmError::TooLate { .. }))));
    machine.hold_lock("17 4242 undoing");
    let report =
        with(&mut machine, |session| takeback::bring_back(session, &run, &stage, why, Grip::Seize).unwrap());
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(machine.text(Path::new("/etc/network/interfaces")), ours);
    let names: Vec<String> = network.links.iter().map(|link| link.name.clone()).collect();
    assert_eq!(links::differences(&network, machine.links(), &names), Vec::<String>::new());
    let kept = format!("/etc/network/.interfaces.xenup-kept-{run}");
    assert_eq!(machine.text(Path::new(&kept)), "theirs\n", "{report:?}");
    let status = store().load(&machine, &run).unwrap().status;
    assert_eq!(status.stages[0].state, StageState::Kept);
    assert!(matches!(status.end, Some(End::BroughtBack { .. })) && !status.rolling_back);
}

#[test]
fn in_a_later_boot_the_addresses_move_back_too_and_lent_ones_are_those_of_today() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = confirmed(&mut machine, &plan);
    let mut bridged = machine.links().clone();
    let names: Vec<String> = bridged.links.iter().map(|link| link.name.clone()).collect();
    machine.shut_down();
    // What ifupdown makes of the files at the next boot.
    bridged.links.retain(|link| !link.name.starts_with("xenup"));
    machine.connect(bridged.clone());
    assert!(matches!(roll_back(&mut machine, &run), takeback::Outcome::AwaitingConfirm { .. }));
    let now = machine.links();
    assert!(now.link("xenbr0").is_none() && now.addresses_on("eno1").count() >= 3, "{now:?}");
    machine.wait(Duration::from_secs(121));
    let Decision::BringBack { stage, why } = decision(&machine, &run, false) else {
        panic!("not brought back")
    };
    with(&mut machine, |session| takeback::bring_back(session, &run, &stage, why, Grip::Seize)).unwrap();
    assert_eq!(links::differences(&bridged, machine.links(), &names), Vec::<String>::new());

    // A lease of another network than the one before the run.
    let lent = |link: &str, ip: &str| LinkAddress {
        link: link.to_owned(),
        address: Address { valid: Some(600), ..Address::new(ip.parse().unwrap(), 24) },
    };
    let port = |master: Option<&str>| Link {
        master: master.map(str::to_owned),
        ..nic("eno1", Mac([2, 0, 0, 0, 0, 1]))
    };
    let before =
        Network { links: vec![port(None)], addresses: vec![lent("eno1", "192.0.2.7")], ..Network::default() };
    let today = Network {
        links: vec![port(Some("xenbr0")), nic("xenbr0", Mac([2, 0, 0, 0, 0, 1]))],
        addresses: vec![lent("xenbr0", "198.51.100.9")],
        ..Network::default()
    };
    let wanted = links::in_this_boot(&before, &today);
    assert_eq!(wanted.addresses, [lent("eno1", "198.51.100.9")]);
}

#[test]
fn a_confirmed_network_is_not_undone_around_a_file_that_somebody_changed() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = confirmed(&mut machine, &plan);
    machine.put("/etc/network/interfaces", b"theirs\n", &Attributes::root(0o644));
    let before = Picture::of(&machine, &plan);
    let links = machine.links().clone();
    let refused = with(&mut machine, |session| takeback::roll_back(session, &run, 120));
    let Err(EngineError::ChangedSince { stage, files }) = refused else { panic!("{refused:?}") };
    assert_eq!(stage.as_str(), "network");
    let files: Vec<_> = files.iter().map(|file| file.path.as_path()).collect();
    assert_eq!(files, [Path::new("/etc/network/interfaces")]);
    assert_eq!(before.differences(&Picture::of(&machine, &plan), Extent::SameBoot), Vec::<String>::new());
    assert_eq!(links, *machine.links());
    // Once it is what it was before the run, nothing is in the way.
    let was = case("network-guarded").machine.text(Path::new("/etc/network/interfaces"));
    machine.put("/etc/network/interfaces", was.as_bytes(), &Attributes::root(0o644));
    assert!(matches!(roll_back(&mut machine, &run), takeback::Outcome::AwaitingConfirm { .. }));
}

#[test]
fn a_nic_that_trains_its_link_anew_is_waited_for_and_one_that_stays_dark_is_not() {
    for (dark, good) in [(3, true), (60, false)] {
        let Case { mut machine, plan, .. } = case("network-guarded");
        machine.retrain("eno1", Duration::from_secs(dark));
        let outcome = with(&mut machine, |session| apply(session, &plan, &Options::default())).unwrap();
        match outcome {
            Outcome::AwaitingConfirm { .. } if good => {}
            Outcome::Restored { cause: Cause::ChecksFailed { .. }, .. } if !good => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_cannot_come_back_or_stands_below_another_stage_has_no_guard() {
    let Case { mut machine, plan, .. } = case("network-guarded");
    let run = confirmed(&mut machine, &plan);
    let loaded = store().load(&machine, &run).unwrap();
    let guarded = takeback::Protection::Guarded { stage: "network".parse().unwrap() };
    assert_eq!(takeback::protection(&loaded.plan, &loaded.status), guarded);
    let mut harmless = loaded.plan.clone();
    harmless.stages[0].steps.iter_mut().for_each(|step| step.risks.clear());
    assert_eq!(takeback::protection(&harmless, &loaded.status), takeback::Protection::NotNeeded);
    let mut once = loaded.plan.clone();
    let forward = Some(xenup_machine::process::Command::new("true", [""; 0]));
    once.stages[0].steps[0].action =
        Action::Run { forward, backward: None, generates: Vec::new(), put_back: false, once: true };
    let protection = takeback::protection(&once, &loaded.status);
    assert!(matches!(protection, takeback::Protection::Impossible { .. }), "{protection:?}");
}

fn switch() -> (FakeNetwork, Vec<LinkOp>, Vec<String>) {
    let Case { machine, plan, .. } = case("links");
    let Action::Links { ops, touches } = plan.stages[0].steps[0].action.clone() else { panic!("no links") };
    (FakeNetwork::new(machine.links().clone()), ops, touches)
}

/// Applies operations that may fail, then goes back; panics where the state before is not there again.
fn there_and_back(ops: &[LinkOp]) {
    let (mut network, _, touches) = switch();
    let before = network.state.clone();
    for op in ops {
        let _ = network.change(op);
    }
    lead_to(&before, &mut network, &touches);
}

/// Restores a state as an undo does: all at once, and then each by itself, whatever became of those before it; panics
/// where it is not there again.
fn lead_to(wanted: &Network, network: &mut FakeNetwork, touches: &[String]) {
    for attempt in 0..5 {
        for op in links::restore_ops(wanted, &network.state, touches) {
            if network.change(&op).is_err() && attempt == 0 {
                break;
            }
        }
    }
    assert_eq!(links::differences(wanted, &network.state, touches), Vec::<String>::new());
}

#[test]
fn a_port_gets_its_vlans_back_with_its_bridge() {
    let (mut network, ops, touches) = switch();
    let before = network.state.clone();
    ops.iter().for_each(|op| network.change(op).unwrap());
    let port = network.state.links.iter().find(|link| link.master.is_some()).unwrap().name.clone();
    for (first, last) in [(100, 100), (200, 209)] {
        let vlans = VlanRange::new(first, last).unwrap();
        network.change(&LinkOp::AddVlans { link: port.clone(), vlans }).unwrap();
    }
    let made = network.state.clone();
    lead_to(&before, &mut network, &touches);
    assert!(network.state.link(&port).unwrap().vlans.is_empty());
    lead_to(&made, &mut network, &touches);
    assert_eq!(network.state.link(&port).unwrap().vlans, made.link(&port).unwrap().vlans);
}

#[test]
fn settings_are_given_to_a_link_of_the_same_step_alone() {
    let mut plan = case("links").plan;
    let copy = |from: &str, to: &str| LinkOp::CopySettings { from: from.to_owned(), to: to.to_owned() };
    let ops = |plan: &mut Plan, op: LinkOp| match &mut plan.stages[0].steps[0].action {
        Action::Links { ops, .. } => ops.push(op),
        _ => panic!("no links"),
    };
    ops(&mut plan, copy("eno1", "xenbr0"));
    validate(&plan).unwrap();
    ops(&mut plan, copy("xenbr0", "eno1"));
    assert!(validate(&plan).unwrap_err().to_string().contains("that the same step makes"));
}

#[test]
fn links_come_back_from_every_point_of_the_switch() {
    let (_, ops, _) = switch();
    (0..=ops.len()).for_each(|done| there_and_back(&ops[..done]));
}

proptest::proptest! {
    #[test]
    fn links_come_back_from_any_mixture_of_its_operations(
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..30).prop_map(|picks| {
            let (_, ops, _) = switch();
            picks.into_iter().map(|pick| pick.get(&ops).clone()).collect::<Vec<_>>()
        })
    ) {
        there_and_back(&order);
    }
}
