//! The guard around a stage: whoever outlives us and undoes it unless somebody confirms.
//!
//! Decides: what the engine asks of such a keeper, and in which order. Never: how it stays alive; with systemd
//! that is a service and a boot-time unit, and the fake's only remembers.
//!
//! Order, so that a crash anywhere is safe: the journal says `guard-armed` and is durable → the keeper is
//! armed → the stage's first step. And back: the journal says `confirmed` and is durable → the keeper is
//! disarmed → the journal says `guard-disarmed`. A keeper that wakes reads the journal and asks
//! [`crate::boot::decide`]; it never acts on what it was told when it was armed.

use xenup_machine::{Machine, MachineError};

use crate::event::Event;
use crate::plan::Slug;
use crate::status::ArmedGuard;
use crate::store::{RunId, Store};

/// Keeps a guard alive outside the process that changes the machine.
pub trait GuardKeeper {
    /// Makes sure that, whatever becomes of this process and of this boot, something reads the run's journal
    /// at the guard's deadline and at every boot. Arming what is armed already moves its deadline.
    ///
    /// # Errors
    /// It cannot be made sure; then nothing of the stage is done.
    fn arm(
        &mut self,
        machine: &mut dyn Machine,
        run: &RunId,
        stage: &Slug,
        guard: &ArmedGuard,
    ) -> Result<(), MachineError>;

    /// Ends what [`Self::arm`] began. Called again after a crash, and where nothing is armed.
    ///
    /// # Errors
    /// It cannot be ended; it is harmless then, since the journal says that nothing is pending.
    fn disarm(&mut self, machine: &mut dyn Machine, run: &RunId, stage: &Slug) -> Result<(), MachineError>;
}

/// What every verb of the engine works with.
pub struct Session<'a> {
    /// The machine that is changed.
    pub machine: &'a mut dyn Machine,
    /// Who keeps guards alive.
    pub keeper: &'a mut dyn GuardKeeper,
    /// Where runs and pre-images lie.
    pub store: &'a Store,
    /// Who is told what happens, as it happens.
    pub events: &'a mut dyn FnMut(Event),
}

impl Session<'_> {
    /// Tells what happens.
    pub(crate) fn tell(&mut self, event: Event) {
        (self.events)(event);
    }
}
