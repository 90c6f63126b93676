//! What was done for the salvage of one package, in a file that is read back and written the same, byte for byte.
//!
//! Decides: what a file must hold to be believed. Never looks at the clock: days come with the events.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of this form.
pub const FORMAT: u8 = 1;

/// The salvage of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// The number of this form, 1.
    pub format: u8,
    /// The source package.
    pub package: String,
    /// Its version in the archive when this began.
    pub version: String,
    /// Who maintains it, `Name <address>`.
    pub maintainer: String,
    /// Its uploaders and its team.
    pub uploaders: Vec<String>,
    /// The list that is asked in public.
    pub list: String,
    /// Who wants to maintain it.
    pub salvager: String,
    /// Why, in their words.
    pub reason: String,
    /// What shows that it is neglected.
    pub evidence: Evidence,
    /// A step that was about to be sent: an end between sending and writing it down is seen by it.
    pub sending: Option<Step>,
    /// What happened, in the order of its days.
    pub events: Vec<Event>,
}

/// The indicators of the Developer's Reference 5.12.1, as far as somebody looked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Evidence {
    /// Non-maintainer uploads since the last upload of the maintainer.
    pub nmus_in_a_row: u16,
    /// Bugs that the maintainer never answered.
    pub unanswered_bugs: Vec<u32>,
    /// The bug that asks for a newer upstream version.
    pub upstream_bug: Option<u32>,
    /// Other issues of quality, a sentence each.
    pub quality: Vec<String>,
    /// The last day on which the maintainer was seen at work on the package.
    #[schemars(with = "Option<String>")]
    pub last_activity: Option<Date>,
    /// The maintainer seems to be gone from everywhere: the team for missing maintainers is told as well.
    pub missing: bool,
}

/// A step that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The first mail, to the maintainer alone.
    AskMaintainer,
    /// The second, to the maintainer and a list.
    AskList,
    /// The Intent to Salvage, a bug of the package.
    Intent,
    /// The upload.
    Upload,
    /// The difference, sent to the bug.
    Difference,
}

impl Step {
    /// The step in words that follow "to".
    pub fn words(self) -> &'static str {
        match self {
            Self::AskMaintainer => "ask the maintainer",
            Self::AskList => "ask the maintainer and the list",
            Self::Intent => "file the Intent to Salvage",
            Self::Upload => "upload the package",
            Self::Difference => "send the difference to the bug",
        }
    }
}

/// Something that happened on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// The day, in UTC.
    #[schemars(with = "String")]
    pub on: Date,
    /// What happened.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum What {
    /// A step was sent.
    Sent {
        /// Which.
        step: Step,
        /// Days in the delayed queue, of an upload; none where it went in at once.
        days: Option<u8>,
    },
    /// The bug tracker gave the Intent to Salvage its number.
    Bug {
        /// The number.
        number: u32,
    },
    /// The maintainer, an uploader or the team answered.
    Answer {
        /// Who.
        from: String,
        /// What it means.
        says: Says,
        /// Until when they ask for time.
        #[schemars(with = "Option<String>")]
        until: Option<Date>,
        /// In their words.
        note: Option<String>,
    },
    /// The salvage was given up.
    Stopped {
        /// Why.
        why: String,
    },
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// Yes, as maintainer or beside them.
    Agrees,
    /// No.
    Objects,
    /// They want to do it themselves, until a day.
    Time,
    /// Anything else: they are there.
    Other,
}

/// A file that is not believed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not in the form.
    #[error(
        "the state is not in its form\nhint: xtask/salvage.schema.json describes it; the last good file is in your backup"
    )]
    Form(#[from] serde_json::Error),
    /// Of another form than this one.
    #[error(
        "the state has format {0}, and this reads {FORMAT}\nhint: use the xtask of the version that wrote it"
    )]
    Format(u8),
    /// The days run backwards.
    #[error(
        "the state says that something of {later} was before {earlier}\nhint: put the events in the order of their days"
    )]
    Order {
        /// The day that comes first in the file.
        later: Date,
        /// The day after it.
        earlier: Date,
    },
    /// The file is of another package.
    #[error("the state is of {found}, not of {wanted}\nhint: name another file with --state")]
    Package {
        /// Of which it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
}

impl State {
    /// Reads a file of `package`.
    ///
    /// # Errors
    /// It is not in the form, of another package, or its days run backwards.
    pub fn read(text: &str, package: &str) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Number {
            format: u8,
        }
        let Number { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(StateError::Format(format));
        }
        let state: Self = serde_json::from_str(text)?;
        if state.package != package {
            return Err(StateError::Package { found: state.package, wanted: package.to_owned() });
        }
        for (one, next) in state.events.iter().zip(state.events.iter().skip(1)) {
            if next.on < one.on {
                return Err(StateError::Order { later: one.on, earlier: next.on });
            }
        }
        Ok(state)
    }

    /// Writes it: the same state is always the same bytes.
    ///
    /// # Errors
    /// None that can be expected: every key is a word.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The day on which a step was sent.
    pub fn sent(&self, wanted: Step) -> Option<Date> {
        self.events.iter().find_map(|event| match event.what {
            What::Sent { step, .. } if step == wanted => Some(event.on),
            _ => None,
        })
    }

    /// The number of the Intent to Salvage.
    pub fn bug(&self) -> Option<u32> {
        self.events.iter().rev().find_map(|event| match event.what {
            What::Bug { number } => Some(number),
            _ => None,
        })
    }

    /// The maintainer, the uploaders and the team.
    pub fn maintainers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.maintainer.as_str()).chain(self.uploaders.iter().map(String::as_str))
    }

    /// The words that confirm a mail about it.
    pub fn words(&self) -> String {
        format!("{} {}", self.package, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use xenup_system::files;

    #[test]
    fn the_schema_is_current() {
        let made = serde_json::to_string_pretty(&schemars::schema_for!(State)).unwrap() + "\n";
        let path = crate::project().join("xtask/salvage.schema.json");
        if crate::cases::updating() {
            files::write(&path, made.as_bytes()).unwrap();
        }
        assert_eq!(files::read_text(&path).unwrap(), made);
    }
}
