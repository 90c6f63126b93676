//! Every plan of tests/cases/engine under fire, and the proof that the drills notice a broken engine.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its cases, and fails where it cannot"
)]

use std::path::Path;

use xenup_engine::drill::{Case, Mutant, drill_all};
use xenup_machine::fake::Sync;

/// Both cores of a small machine.
const THREADS: usize = 2;

fn cases() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/engine");
    let mut dirs: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    let read = |dir: &Path| {
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let name = dir.file_name().unwrap().to_str().unwrap();
        Case::read(name, &text("before.json"), &text("plan.json")).unwrap()
    };
    dirs.iter().map(|dir| read(dir)).collect()
}

fn chosen(names: &[&str]) -> Vec<Case> {
    cases().into_iter().filter(|case| names.contains(&case.name.as_str())).collect()
}

// Every seventh write here, so that `cargo test` stays quick; `cargo xtask faults` leaves none out.
#[test]
fn every_plan_is_rolled_back_whole_after_a_fault() {
    let count = drill_all(&cases(), 7, THREADS, Mutant::None).unwrap();
    println!("{} plans, {} faults, {} restored", count.plans, count.faults, count.restored);
    assert!(count.plans >= 12, "{} plans", count.plans);
    assert_eq!(count.restored, count.faults, "{:#?}", count.failures);
}

fn is_noticed(case: &str, stride: usize, mutant: Mutant) {
    let count = drill_all(&chosen(&[case]), stride, THREADS, mutant).unwrap();
    assert!(
        count.faults > 0 && count.restored < count.faults,
        "{mutant:?}: {} faults, all restored",
        count.faults
    );
}

#[test]
fn an_engine_that_leaves_a_sync_out_is_noticed() {
    is_noticed("file-changed", 1, Mutant::NoSync(Sync::Files));
    is_noticed("file-changed", 1, Mutant::NoSync(Sync::Names));
    is_noticed("units", 1, Mutant::NoSync(Sync::Everything));
}

#[test]
fn an_engine_that_leaves_a_sync_of_a_guarded_rollback_out_is_noticed() {
    is_noticed("network-guarded", 3, Mutant::NoSyncBack(Sync::Files));
    is_noticed("network-guarded", 3, Mutant::NoSyncBack(Sync::Names));
}

#[test]
fn an_engine_that_leaves_a_return_out_is_noticed() {
    is_noticed("network-guarded", 3, Mutant::NoReturn);
}

#[test]
fn an_engine_that_leaves_an_undo_out_is_noticed() {
    is_noticed("file-changed", 1, Mutant::NoUndo);
}
