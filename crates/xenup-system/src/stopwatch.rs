//! Elapsed time of a step, for progress lines and reports. Never used to decide what a plan does.

use std::time::{Duration, Instant};

/// A monotonic stopwatch, running from its creation.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// A stopwatch that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start; suspended time is not counted (CLOCK_MONOTONIC).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
