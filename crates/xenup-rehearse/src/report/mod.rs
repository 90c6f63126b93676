//! What a run came to: steps with their times, figures, lines of the console, and a verdict; as text, JSON and a page.
//!
//! It decides nothing about the run: it shows what the recorder was told.

mod html;
mod text;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of the JSON form; it grows with every change that a reader could trip over.
pub const FORMAT: u32 = 1;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The form's number.
    pub format: u32,
    /// What was run.
    pub title: String,
    /// Whether it went as it should.
    pub verdict: Verdict,
    /// The whole time, in seconds.
    pub seconds: f64,
    /// What is true of the run as a whole, name and value: versions, the acceleration and why.
    pub facts: Vec<(String, String)>,
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// Figures, in the order in which they were taken.
    pub measurements: Vec<Measurement>,
    /// Lines that the machine's console showed.
    pub console_excerpts: Vec<Excerpt>,
}

/// Whether a run went as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No step failed.
    Passed,
    /// A step failed.
    Failed,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// What there is to know of it; the last one of a failed step is its error.
    pub details: Vec<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should.
    Done,
    /// Not as it should.
    Failed,
    /// It was not done; the details say why.
    Skipped,
    /// An earlier run did it, took this time for it, and kept the machine that came of it.
    Earlier,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The step it was taken in.
    pub step: String,
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit: "s", "ms", "packets".
    pub unit: String,
}

/// Lines of the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Excerpt {
    /// The step in which they were shown.
    pub step: String,
    /// What they are.
    pub title: String,
    /// The lines.
    pub text: String,
}

impl Report {
    /// The report of a run that has done nothing yet.
    #[must_use]
    pub fn empty(title: &str) -> Self {
        Self {
            format: FORMAT,
            title: title.to_owned(),
            verdict: Verdict::Passed,
            seconds: 0.0,
            facts: Vec::new(),
            steps: Vec::new(),
            measurements: Vec::new(),
            console_excerpts: Vec::new(),
        }
    }

    /// As JSON, with a newline at the end.
    #[must_use]
    pub fn json(&self) -> String {
        // Strings and finite numbers only: there is nothing in it that cannot be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// As plain text.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// As one HTML page that needs nothing else: no script, no font, no picture from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
            Self::Earlier => "done in an earlier run",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
        })
    }
}

/// A figure as a person reads it: whole numbers without a point, others with as much as they were measured to.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value}") }
}

/// Minutes and seconds, or seconds with a tenth.
fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
}
