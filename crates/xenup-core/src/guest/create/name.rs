//! A guest's name, which is its host name too. Decides which ones can be both; never whether one is free.

use std::fmt;
use std::str::FromStr;

/// A name that xl, a file name, hosts(5) and DNS all take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// A label with other characters, too long, or none.
    #[error(
        "`{0}` is no host name: letters, digits and inner hyphens, at most 63 between two dots and 64 in all"
    )]
    Form(String),
    /// What Xen calls dom0.
    #[error("`{0}` is dom0's own name")]
    Dom0(String),
    /// A number, which xl takes for a domain's number.
    #[error("`{0}` is a number, and xl takes it for a domain's number")]
    Number(String),
}

impl Name {
    /// Returns the whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what stands before the first dot.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        // sethostname(2) takes 64 bytes, DNS 63 a label.
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if text.len() > 64 || !text.split('.').all(label) {
            return Err(NotAName::Form(text.to_owned()));
        }
        if text.eq_ignore_ascii_case("domain-0") {
            return Err(NotAName::Dom0(text.to_owned()));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAName::Number(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}
