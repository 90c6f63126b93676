//! The card as it is read at 3 a.m.: tests/cases/recovery/<case>/{case.json, card, banner}.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read their own cases")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use xenup_core::recovery::{Card, Deadline, Pending, card};
use xenup_engine::plan::{Plan, SCHEMA, Slug, Stage};
use xenup_engine::snapshot::Snapshot;
use xenup_engine::store::RunId;

fn made(case: &Value) -> Card {
    let stage: Stage = serde_json::from_value(case["stage"].clone()).unwrap();
    let before: BTreeMap<Slug, Snapshot> = serde_json::from_value(case["before"].clone()).unwrap();
    let kept: Option<BTreeMap<Slug, Snapshot>> =
        case.get("kept").map(|kept| serde_json::from_value(kept.clone()).unwrap());
    let run: RunId = case["run"].as_str().unwrap().parse().unwrap();
    let plan = Plan {
        schema: SCHEMA,
        machine_id: "0".repeat(32),
        purpose: "turn this machine into a Xen host".to_owned(),
        stages: vec![stage.clone()],
        not_restored: Vec::new(),
    };
    let seconds = case["deadline"]["seconds"].as_u64().unwrap();
    let deadline = match case["deadline"]["unix_seconds"].as_i64() {
        Some(unix_seconds) => Deadline::After {
            seconds,
            unix_seconds,
            uptime_seconds: case["deadline"]["uptime_seconds"].as_u64().unwrap(),
        },
        None => Deadline::AfterTrialBoot { seconds },
    };
    card(&Pending {
        run: &run,
        plan: &plan,
        stage: &stage,
        before: &before,
        kept: kept.as_ref(),
        store: Path::new("/var/lib/xenup"),
        deadline,
        grub_entry: case["grub_entry"].as_str(),
    })
}

#[test]
fn the_cards_are_as_expected() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/recovery");
    let mut seen = 0;
    for case in std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()) {
        let card = made(&serde_json::from_slice(&std::fs::read(case.join("case.json")).unwrap()).unwrap());
        for (name, text) in [("card", &card.text), ("banner", &card.banner)] {
            let path = case.join(name);
            if std::env::var_os("XENUP_BLESS").is_some() {
                std::fs::write(&path, text).unwrap();
            }
            assert_eq!(*text, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} cases found");
}
