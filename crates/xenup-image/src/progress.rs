//! What a build tells while it runs, and how long its steps took. Decides nothing.

use std::time::Duration;

use serde::Serialize;
use xenup_system::stopwatch::Stopwatch;

/// One word of a running build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A step begins; its name reads as a noun ("packages").
    Started {
        /// The step's name.
        step: &'static str,
    },
    /// A line that a tool wrote, or a remark on the step.
    Line {
        /// The line, without its newline.
        text: String,
    },
    /// A step is done.
    Finished(StepTime),
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepTime {
    /// The step's name.
    pub step: &'static str,
    /// Its duration.
    pub elapsed: Duration,
    /// Whether its result came from the cache.
    pub cached: bool,
}

/// Runs the steps of a build one after another and notes their times.
pub(crate) struct Steps<'a> {
    pub(crate) report: &'a mut dyn FnMut(Progress),
    pub(crate) times: Vec<StepTime>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(report: &'a mut dyn FnMut(Progress)) -> Self {
        Self { report, times: Vec::new() }
    }

    /// Runs one step.
    pub(crate) fn run<T, E>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&mut dyn FnMut(&str)) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run_cached(step, |line| work(line).map(|done| (done, false)))
    }

    /// Runs one step that also says whether its result came from the cache.
    pub(crate) fn run_cached<T, E>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&mut dyn FnMut(&str)) -> Result<(T, bool), E>,
    ) -> Result<T, E> {
        (self.report)(Progress::Started { step });
        let watch = Stopwatch::start();
        let (done, cached) = work(&mut |text| (self.report)(Progress::Line { text: text.to_owned() }))?;
        let time = StepTime { step, elapsed: watch.elapsed(), cached };
        self.times.push(time.clone());
        (self.report)(Progress::Finished(time));
        Ok(done)
    }
}
