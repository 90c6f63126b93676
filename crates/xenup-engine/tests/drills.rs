//! Every plan of tests/cases/engine under fire, and the proof that the drills notice a broken engine.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its cases")]

use std::path::Path;

use xenup_engine::drill::{Case, Count, Mutant, drill};

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

#[test]
fn every_plan_is_rolled_back_whole_after_a_fault_anywhere() {
    let mut total = Count::default();
    let stride = std::env::var("STRIDE").map_or(1, |s| s.parse().unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    for case in cases() {
        if !case.name.contains(&only) {
            continue;
        }
        let start = std::time::Instant::now();
        let count = match drill(&case, stride, Mutant::None) {
            Ok(c) => c,
            Err(e) => {
                println!("!!! {e}");
                continue;
            }
        };
        println!(
            "{}: {} faults, {} restored, {:?}",
            case.name,
            count.faults,
            count.restored,
            start.elapsed()
        );
        for failure in count.failures.iter().take(4) {
            println!("   {:.700}", failure);
        }
        total.add(count);
    }
    println!("{} plans, {} faults, {} restored", total.plans, total.faults, total.restored);
    assert_eq!(total.restored, total.faults, "{:#?}", total.failures);
}
