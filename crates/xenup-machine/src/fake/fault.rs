//! Faults: at which write of a machine something goes wrong, and what.
//!
//! Decides: which write that is, by counting. Never: what is left of a write (the disk does).

use crate::{MachineError, Reason};

/// At which moment of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Nothing of it happened.
    Before,
    /// Half of its bytes are there. Only writes of bytes have a middle.
    Middle,
    /// All of it happened, but nobody was told so.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one write fails with an error of the device.
    Fails,
    /// From here on the disk is full, until something is removed.
    DiskFull,
    /// The process is killed; the machine runs on.
    Kill,
    /// The power fails: what was not synced is lost in part or whole, by this seed.
    PowerCut {
        /// The seed.
        seed: u64,
    },
}

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// Which write, counted from 0 since the faults were set.
    pub at: usize,
    /// At which of its moments.
    pub moment: Moment,
    /// What.
    pub fault: Fault,
}

/// The count, and the fault to come.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    count: usize,
    next: Option<Injection>,
    /// For each write so far, whether it has a middle; kept only where somebody asked.
    trace: Option<Vec<bool>>,
}

impl Faults {
    /// Counts from 0 again, with this fault to come.
    pub(super) fn set(&mut self, next: Option<Injection>) {
        *self = Self { count: 0, next, trace: None };
    }

    /// Counts from 0 again and remembers every write.
    pub(super) fn trace(&mut self) {
        *self = Self { count: 0, next: None, trace: Some(Vec::new()) };
    }

    /// Returns the writes since [`Self::trace`]: for each whether it has a middle.
    pub(super) fn traced(&mut self) -> Vec<bool> {
        self.trace.take().unwrap_or_default()
    }

    /// Counts a write, and returns what is to go wrong with it.
    pub(super) fn meet(&mut self, has_middle: bool) -> Option<(Moment, Fault)> {
        let at = self.count;
        self.count += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(has_middle);
        }
        let due = self.next.filter(|next| next.at == at)?;
        self.next = None;
        Some((due.moment, due.fault))
    }
}

pub(super) fn device_error(doing: &'static str, subject: &str) -> MachineError {
    MachineError::new(doing, subject, Reason::Device, "Input/output error (os error 5)")
}

pub(super) fn dead(doing: &'static str, subject: &str) -> MachineError {
    MachineError::new(doing, subject, Reason::NotRunning, "the process that asks for it was killed")
}
