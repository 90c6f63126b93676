//! How much reading a disk is worth. Decides when to stop: a hostile disk can be small and still ask for endless work.
//! Counted in reads and bytes and never in seconds, so that a slow machine gets the same answer as a fast one.

use std::cell::Cell;
use std::rc::Rc;

use crate::read_at::{ReadAt, ReadError};

/// What is left of the reads and bytes that one disk may cost.
#[derive(Debug)]
pub struct Budget {
    reads: Cell<u64>,
    bytes: Cell<u64>,
}

impl Budget {
    /// A budget of that many reads and bytes.
    #[must_use]
    pub fn new(reads: u64, bytes: u64) -> Rc<Self> {
        Rc::new(Self { reads: Cell::new(reads), bytes: Cell::new(bytes) })
    }

    /// Whether nothing more can be read.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.reads.get() == 0 || self.bytes.get() == 0
    }

    /// Reads and bytes that are left.
    #[must_use]
    pub fn left(&self) -> (u64, u64) {
        (self.reads.get(), self.bytes.get())
    }

    /// Takes one read of that many bytes off; `false` where it is more than is left, after which nothing is left.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let left = self.reads.get().checked_sub(1).zip(self.bytes.get().checked_sub(bytes));
        let (reads, bytes) = left.unwrap_or((0, 0));
        self.reads.set(reads);
        self.bytes.set(bytes);
        left.is_some()
    }
}

/// A disk whose reads come off a budget.
#[derive(Debug, Clone)]
pub struct Metered<D> {
    disk: D,
    budget: Rc<Budget>,
}

impl<D: ReadAt> Metered<D> {
    /// The disk, read at the budget's cost.
    pub fn new(disk: D, budget: Rc<Budget>) -> Self {
        Self { disk, budget }
    }
}

impl<D: ReadAt> ReadAt for Metered<D> {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        if self.budget.take(buffer.len() as u64) {
            return self.disk.read_at(offset, buffer);
        }
        Err(ReadError::Budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent() {
        let budget = Budget::new(3, 10);
        let disk = Metered::new(&[7_u8; 64][..], Rc::clone(&budget));
        let mut buffer = [0; 8];
        disk.read_at(0, &mut buffer).unwrap();
        assert_eq!((buffer, budget.left()), ([7; 8], (2, 2)));
        assert!(matches!(disk.read_at(0, &mut buffer), Err(ReadError::Budget)));
        assert!(matches!(disk.read_at(0, &mut buffer[..1]), Err(ReadError::Budget)));
        assert!(budget.is_spent());
    }
}
