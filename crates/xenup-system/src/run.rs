//! Queries and commands of the traits, run by [`crate::process`] in the fixed surroundings that they promise.
//!
//! Decides: the search path, the environment and the limits. Never decides what a status means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_machine::process::{Command, Output, Query};
use xenup_machine::{MachineError, Reason};

use crate::process::{ProcessError, Status, Tool};

/// Where programs are looked for, whatever the caller's PATH says: a PATH of one's own must not choose what root runs.
pub const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The most a query may print, in bytes: `apt-cache dumpavail` on a full Debian is about 60 MB.
const QUERY_LIMIT: usize = 256 << 20;
/// How much of a streamed command's lines is kept for its report, in bytes: the newest.
const KEPT: usize = 64 << 10;

/// Asks; a status other than 0 is no error.
pub(crate) fn query(query: &Query) -> Result<Output, MachineError> {
    let tool = tool("query", &query.program, &query.line())?
        .args(&query.args)
        .timeout(query.timeout)
        .capture_limit(QUERY_LIMIT);
    let said = tool.output().map_err(|error| failed("query", &query.line(), error))?;
    Ok(Output { status: number(said.status), stdout: said.stdout, stderr: said.stderr })
}

/// Runs a command, handing on its lines; [`Output::stdout`] holds the newest of them, both streams together.
pub(crate) fn run(command: &Command, line: &mut dyn FnMut(&str)) -> Result<Output, MachineError> {
    let mut tool = tool("run", &command.program, &command.line())?
        .args(&command.args)
        .stdin(command.stdin.as_bytes())
        .timeout(Duration::from_secs(command.timeout_seconds));
    for (name, value) in &command.env {
        tool = tool.env(name, value);
    }
    let mut kept = Vec::new();
    let ended = tool.run_lines(&mut |text| {
        kept.extend_from_slice(text.as_bytes());
        kept.push(b'\n');
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
        line(text);
    });
    let (status, stderr) = match ended {
        Ok(said) => (said.status, said.stderr),
        Err(ProcessError::Failed { status, stderr, .. }) => (status, stderr.into_bytes()),
        Err(error) => return Err(failed("run", &command.line(), error)),
    };
    Ok(Output { status: number(status), stdout: kept, stderr })
}

fn tool(doing: &'static str, program: &str, line: &str) -> Result<Tool, MachineError> {
    let path = find(program).ok_or_else(|| {
        MachineError::new(doing, line, Reason::NotFound, format!("no program `{program}` in {SEARCH_PATH}"))
    })?;
    // HOME is /root even where a service manager set none: maintainer scripts read it.
    Ok(Tool::new(path)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("HOME", "/root")
        .env("TERM", "dumb")
        .current_dir("/"))
}

fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return crate::process::find_program(program);
    }
    SEARCH_PATH.split(':').find_map(|dir| crate::process::find_program(Path::new(dir).join(program)))
}

fn number(status: Status) -> i32 {
    match status {
        Status::Code(code) => code,
        Status::Signal(signal) => 128 + signal,
    }
}

fn failed(doing: &'static str, line: &str, error: ProcessError) -> MachineError {
    let words = error.to_string();
    let reason = match &error {
        ProcessError::Start { source, .. } | ProcessError::Io { source, .. } => {
            return MachineError::new(doing, line, Reason::of_io(source), source.to_string());
        }
        ProcessError::Timeout { .. } => Reason::TimedOut,
        ProcessError::TooMuchOutput { .. } => Reason::TooLarge,
        ProcessError::Failed { .. } => Reason::Other,
    };
    MachineError::new(doing, line, reason, words)
}
