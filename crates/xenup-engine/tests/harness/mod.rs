//! What tests of the engine begin with: a case, a store, a session without a guard's keeper.

use std::path::Path;

use xenup_engine::drill::Case;
use xenup_engine::event::Event;
use xenup_engine::guard::{GuardKeeper, Session};
use xenup_engine::plan::Slug;
use xenup_engine::status::ArmedGuard;
use xenup_engine::store::{RunId, Store};
use xenup_machine::fake::FakeMachine;
use xenup_machine::{Machine, MachineError};

pub struct Forgetful;

impl GuardKeeper for Forgetful {
    fn arm(&mut self, _: &mut dyn Machine, _: &RunId, _: &Slug, _: &ArmedGuard) -> Result<(), MachineError> {
        Ok(())
    }

    fn disarm(&mut self, _: &mut dyn Machine, _: &RunId, _: &Slug) -> Result<(), MachineError> {
        Ok(())
    }
}

/// A case of tests/cases/engine.
pub fn case(name: &str) -> Case {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/engine").join(name);
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    Case::read(name, &text("before.json"), &text("plan.json")).unwrap()
}

pub fn store() -> Store {
    Store::new("/var/lib/xenup").with_reserve(4096)
}

pub fn with<T>(machine: &mut FakeMachine, work: impl FnOnce(&mut Session<'_>) -> T) -> T {
    let (store, mut events) = (store(), |_: Event| {});
    work(&mut Session { machine, keeper: &mut Forgetful, store: &store, events: &mut events })
}
