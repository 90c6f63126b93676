//! Link operations with the time at which each was done, for benches of the switch. Decides nothing.

use std::time::{Duration, Instant};

use xenup_machine::MachineError;
use xenup_machine::network::LinkOp;

use crate::netlink::change_links_telling;

/// Carries out operations as a plan does; returns how long after the beginning each was acknowledged.
///
/// # Errors
/// The first operation that the kernel refuses.
pub fn change_links(ops: &[LinkOp]) -> Result<Vec<Duration>, MachineError> {
    let (started, mut times) = (Instant::now(), Vec::new());
    change_links_telling(ops, &mut || times.push(started.elapsed()))?;
    Ok(times)
}
