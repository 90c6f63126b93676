//! What happens in a run, as it happens: named steps with their times, for progress lines and for the report.
//!
//! It decides what a step's outcome is. Where the lines go is the caller's business.

use std::error::Error;
use std::fmt;

use xenup_system::stopwatch::Stopwatch;

use crate::report::{Excerpt, Measurement, Outcome, Report, Step, Verdict};

/// Something that a person who waits wants to see.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step begins.
    Started {
        /// Seconds since the run began.
        at: f64,
        /// The step.
        step: String,
    },
    /// Something to know within a step.
    Note {
        /// Seconds since the run began.
        at: f64,
        /// What.
        text: String,
    },
    /// A step is over.
    Ended {
        /// Seconds since the run began.
        at: f64,
        /// The step.
        step: String,
        /// How long it took, in seconds.
        seconds: f64,
        /// How it ended.
        outcome: Outcome,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { at, step } => write!(f, "[{at:7.1} s] {step} ..."),
            Self::Note { at, text } => write!(f, "[{at:7.1} s]   {text}"),
            Self::Ended { at, step, seconds, outcome } => {
                write!(f, "[{at:7.1} s] {step}: {outcome} in {seconds:.1} s")
            }
        }
    }
}

/// Collects a run's steps and tells of them as they come.
pub struct Recorder<'a> {
    report: Report,
    watch: Stopwatch,
    tell: &'a mut dyn FnMut(&Event),
}

/// A step that is under way.
pub struct StepScope<'r, 'a> {
    recorder: &'r mut Recorder<'a>,
    step: String,
    details: Vec<String>,
}

impl<'a> Recorder<'a> {
    /// A run that begins now.
    pub fn new(title: &str, tell: &'a mut dyn FnMut(&Event)) -> Self {
        Self { report: Report::empty(title), watch: Stopwatch::start(), tell }
    }

    /// Does a step. Its error is recorded, with its causes, and handed on.
    ///
    /// # Errors
    /// The step's own.
    pub fn step<T, E: Error>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut StepScope<'_, 'a>) -> Result<T, E>,
    ) -> Result<T, E> {
        let started = self.now();
        (self.tell)(&Event::Started { at: started, step: name.to_owned() });
        let mut scope = StepScope { recorder: self, step: name.to_owned(), details: Vec::new() };
        let result = act(&mut scope);
        let mut details = scope.details;
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) => {
                details.push(with_causes(error));
                Outcome::Failed
            }
        };
        self.end(name, started, outcome, details);
        result
    }

    /// Records a step that is not done, and why; the verdict is not changed by it.
    pub fn skip(&mut self, name: &str, why: &str) {
        let now = self.now();
        self.end(name, now, Outcome::Skipped, vec![why.to_owned()]);
    }

    /// Records the error that ended the run, unless a step has recorded its own.
    pub fn fail(&mut self, error: &dyn Error) {
        if self.report.verdict == Verdict::Failed {
            return;
        }
        let now = self.now();
        self.end("the run", now, Outcome::Failed, vec![with_causes(error)]);
    }

    /// Records something about the run as a whole.
    pub fn fact(&mut self, name: &str, value: &str) {
        self.report.facts.push((name.to_owned(), value.to_owned()));
    }

    /// Tells something without recording it.
    pub fn note(&mut self, text: &str) {
        let event = Event::Note { at: self.now(), text: text.to_owned() };
        (self.tell)(&event);
    }

    /// The seconds since the run began.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.watch.elapsed().as_secs_f64()
    }

    /// What was recorded so far.
    #[must_use]
    pub fn so_far(&self) -> Report {
        self.report.clone()
    }

    /// Takes over what an earlier run had recorded: its steps are [`Outcome::Earlier`], its figures and lines its own.
    pub fn recall(&mut self, story: Report) {
        let earlier = |mut step: Step| {
            if step.outcome == Outcome::Done {
                step.outcome = Outcome::Earlier;
            }
            step
        };
        self.report.steps.extend(story.steps.into_iter().map(earlier));
        self.report.measurements.extend(story.measurements);
        self.report.console_excerpts.extend(story.console_excerpts);
    }

    /// The finished report.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.seconds = tenths(self.now());
        self.report
    }

    fn end(&mut self, name: &str, started: f64, outcome: Outcome, details: Vec<String>) {
        let at = self.now();
        let seconds = tenths(at - started);
        if outcome == Outcome::Failed {
            self.report.verdict = Verdict::Failed;
        }
        self.report.steps.push(Step { name: name.to_owned(), seconds, outcome, details });
        (self.tell)(&Event::Ended { at, step: name.to_owned(), seconds, outcome });
    }
}

impl StepScope<'_, '_> {
    /// Records something to know about the step.
    pub fn detail(&mut self, text: impl Into<String>) {
        self.details.push(text.into());
    }

    /// Records a figure, to three decimals.
    pub fn measure(&mut self, name: &str, value: f64, unit: &str) {
        let value = (value * 1000.0).round() / 1000.0;
        let (step, name, unit) = (self.step.clone(), name.to_owned(), unit.to_owned());
        self.recorder.report.measurements.push(Measurement { step, name, value, unit });
    }

    /// Records some lines of the console.
    pub fn excerpt(&mut self, title: &str, text: &str) {
        let (step, title, text) = (self.step.clone(), title.to_owned(), text.to_owned());
        self.recorder.report.console_excerpts.push(Excerpt { step, title, text });
    }

    /// Tells something without recording it.
    pub fn note(&mut self, text: &str) {
        self.recorder.note(text);
    }
}

/// An error and its causes in one line each.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\nbecause {error}"));
        cause = error.source();
    }
    text
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::{Event, Recorder};
    use crate::report::{Outcome, Verdict};

    #[test]
    fn lines_are_aligned() {
        let started = Event::Started { at: 12.34, step: "boot".into() };
        assert_eq!(started.to_string(), "[   12.3 s] boot ...");
        let ended = Event::Ended { at: 112.0, step: "boot".into(), seconds: 99.66, outcome: Outcome::Done };
        assert_eq!(ended.to_string(), "[  112.0 s] boot: done in 99.7 s");
    }

    #[test]
    fn what_is_recalled_was_done_earlier() {
        let mut tell = |_: &Event| {};
        let mut earlier = Recorder::new("a run", &mut tell);
        earlier.skip("guests", "no room");
        let _: Result<(), std::fmt::Error> = earlier.step("boot", |step| {
            step.measure("boot", 3.0, "s");
            Ok(())
        });
        let mut tell = |_: &Event| {};
        let mut now = Recorder::new("a run", &mut tell);
        now.recall(earlier.so_far());
        let report = now.finish();
        let outcomes: Vec<_> = report.steps.iter().map(|step| step.outcome).collect();
        assert_eq!(outcomes, [Outcome::Skipped, Outcome::Earlier]);
        assert_eq!(report.measurements[0].value, 3.0);
        assert_eq!(report.verdict, Verdict::Passed);
    }

    #[test]
    fn a_failed_step_fails_the_run_and_a_skipped_one_does_not() {
        let mut told = Vec::new();
        let mut tell = |event: &Event| told.push(event.clone());
        let mut recorder = Recorder::new("a run", &mut tell);
        recorder.skip("guests", "no room");
        let good: Result<u8, std::fmt::Error> = recorder.step("good", |step| {
            step.detail("as it should be");
            step.measure("speed", 3.0, "m/s");
            Ok(5)
        });
        assert_eq!(good, Ok(5));
        assert!(recorder.step("bad", |_| Err::<(), _>(std::io::Error::other("broken"))).is_err());
        recorder.fail(&std::io::Error::other("broken"));
        let report = recorder.finish();
        assert_eq!(report.verdict, Verdict::Failed);
        let outcomes: Vec<_> = report.steps.iter().map(|step| step.outcome).collect();
        assert_eq!(outcomes, [Outcome::Skipped, Outcome::Done, Outcome::Failed]);
        assert_eq!(report.steps[2].details, ["broken"]);
        assert_eq!(report.measurements[0].step, "good");
        assert_eq!(told.len(), 5);
    }
}
