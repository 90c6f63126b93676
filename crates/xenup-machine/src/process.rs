//! Programs: questions that only read, commands that change. Never runs one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a question may take unless it says otherwise.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// A program that only reads. Whoever writes one answers for that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// Name (found on a fixed system path) or absolute path.
    pub program: String,
    /// Arguments, never through a shell.
    pub args: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Query {
    /// Returns a question with the usual time limit.
    pub fn new<S: Into<String>>(program: &str, args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            timeout: QUERY_TIMEOUT,
        }
    }

    /// Returns the same question with another time limit.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the command line as one would type it.
    #[must_use]
    pub fn line(&self) -> String {
        command_line(&self.program, &self.args)
    }
}

/// A program that changes the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Name (found on a fixed system path) or absolute path.
    pub program: String,
    /// Arguments, never through a shell.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables added to the fixed environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it reads on standard input; nothing by default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdin: String,
    /// How many seconds it may take.
    pub timeout_seconds: u64,
}

impl Command {
    /// Returns a command that may take ten minutes.
    pub fn new<S: Into<String>>(program: &str, args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            stdin: String::new(),
            timeout_seconds: 600,
        }
    }

    /// Returns the same command with one more environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Returns the same command with another time limit.
    #[must_use]
    pub fn within(mut self, seconds: u64) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// Returns the command line as one would type it, environment first.
    #[must_use]
    pub fn line(&self) -> String {
        let mut words: Vec<String> =
            self.env.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        words.push(command_line(&self.program, &self.args));
        words.join(" ")
    }
}

/// What a program said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Exit status; 128 and the signal's number where a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Returns whether the status is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Returns standard output as text, invalid bytes replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns the last lines of standard error (of output, where there are none), for an error message.
    #[must_use]
    pub fn complaint(&self) -> String {
        let said = if self.stderr.iter().any(|byte| !byte.is_ascii_whitespace()) {
            &self.stderr
        } else {
            &self.stdout
        };
        let text = String::from_utf8_lossy(said);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

fn command_line(program: &str, args: &[String]) -> String {
    let mut words = vec![quoted(program)];
    words.extend(args.iter().map(|word| quoted(word)));
    words.join(" ")
}

/// Quotes a word for a POSIX shell where it needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Output};

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let command = Command::new("apt-get", ["install", "a b", "it's"]).with_env("LC_ALL", "C.UTF-8");
        assert_eq!(command.line(), r"LC_ALL=C.UTF-8 apt-get install 'a b' 'it'\''s'");
    }

    #[test]
    fn a_complaint_is_the_last_five_lines_of_standard_error() {
        let output = Output { status: 1, stdout: b"fine".to_vec(), stderr: b"1\n2\n3\n\n4\n5\n6\n".to_vec() };
        assert_eq!(output.complaint(), "2\n3\n4\n5\n6");
        let silent = Output { status: 1, stdout: b"only here".to_vec(), stderr: b"\n".to_vec() };
        assert_eq!(silent.complaint(), "only here");
    }
}
