//! What the command line needs to know of its surroundings, read once at the start.
//!
//! Decides: which variables count, and that an empty one is none. Never changes one.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Returns the program that this process runs.
///
/// # Errors
/// /proc is not mounted.
pub fn this_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The variables and terminals of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `NO_COLOR` is set to something (no-color.org).
    pub no_color: bool,
    /// `SSH_CONNECTION`.
    pub ssh_connection: Option<String>,
    /// `TERM`.
    pub term: Option<String>,
    /// `COLUMNS`, where it is a number.
    pub columns: Option<u16>,
    /// `TMPDIR`, where it is absolute.
    pub tmpdir: Option<PathBuf>,
    /// `XDG_CACHE_HOME`, where it is absolute, as its specification asks.
    pub cache_home: Option<PathBuf>,
    /// `HOME`, where it is absolute.
    pub home: Option<PathBuf>,
    /// Standard input is a terminal: questions can be asked.
    pub stdin_is_terminal: bool,
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error is a terminal: progress can be drawn.
    pub stderr_is_terminal: bool,
    /// This process.
    pub pid: u32,
    /// It runs as root.
    pub is_root: bool,
}

impl Environment {
    /// Reads them.
    #[must_use]
    pub fn read() -> Self {
        Self {
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            pid: std::process::id(),
            is_root: rustix::process::geteuid().is_root(),
            ..Self::of(|name| std::env::var_os(name))
        }
    }

    /// Returns the variables' part, looked up by `variable`.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| given(name).and_then(|value| value.into_string().ok());
        let path = |name| given(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            no_color: given("NO_COLOR").is_some(),
            ssh_connection: text("SSH_CONNECTION"),
            term: text("TERM"),
            columns: text("COLUMNS").and_then(|columns| columns.parse().ok()),
            tmpdir: path("TMPDIR"),
            cache_home: path("XDG_CACHE_HOME"),
            home: path("HOME"),
            ..Self::default()
        }
    }

    /// Returns the width to write in, in columns: that of the terminal on standard error, else `COLUMNS`, else 80.
    #[must_use]
    pub fn width(&self) -> u16 {
        let terminal = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok();
        terminal.map(|size| size.ws_col).filter(|&columns| columns > 0).or(self.columns).unwrap_or(80)
    }

    /// Returns the directory for temporary files: `TMPDIR`, else `/tmp`.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.tmpdir.clone().unwrap_or_else(|| PathBuf::from("/tmp"))
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn empty_and_relative_values_are_none() {
        let environment = Environment::of(|name| match name {
            "NO_COLOR" | "TERM" => Some("".into()),
            "COLUMNS" => Some("wide".into()),
            "TMPDIR" => Some("here".into()),
            "HOME" => Some("/root".into()),
            _ => None,
        });
        assert_eq!(environment, Environment { home: Some("/root".into()), ..Environment::default() });
        assert_eq!(environment.temporary(), std::path::Path::new("/tmp"));
        assert!(Environment::of(|name| (name == "NO_COLOR").then(|| "1".into())).no_color);
    }
}
