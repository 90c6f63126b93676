//! A few pieces of bytes that were read or unpacked before, the newest first. Never more than its capacity.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Pieces by key.
#[derive(Debug)]
pub(super) struct Cache {
    pieces: RefCell<VecDeque<(u64, Rc<[u8]>)>>,
    capacity: usize,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { pieces: RefCell::default(), capacity }
    }

    /// The piece of that key, made by `make` where it is not held.
    pub(super) fn get<E>(&self, key: u64, make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Rc<[u8]>, E> {
        let held = {
            let mut pieces = self.pieces.borrow_mut();
            let at = pieces.iter().position(|(held, _)| *held == key);
            at.and_then(|at| pieces.remove(at))
        };
        let piece = match held {
            Some(piece) => piece,
            None => (key, make()?.into()),
        };
        let mut pieces = self.pieces.borrow_mut();
        pieces.push_front(piece.clone());
        pieces.truncate(self.capacity);
        Ok(piece.1)
    }
}
