//! Runs other programs: with a fixed locale, bounded output, a deadline, and errors that carry the program's own words.
//!
//! It never goes through a shell and never decides what a failure means: the caller does.

mod conversation;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use conversation::{Conversation, End, Sink, pid_of, pidfd};

/// The most that is kept of a program's standard output, in bytes, unless the caller sets another limit.
pub const DEFAULT_CAPTURE_LIMIT: usize = 64 << 20;
/// How much of standard error an error message carries: the newest bytes.
const STDERR_IN_ERROR: usize = 2 << 10;

/// A program could not be run to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started, most often because it is not installed.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line, quoted as a shell would need it.
        command: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Reading from or waiting for it failed.
    #[error("lost contact with `{command}`")]
    Io {
        /// The command line.
        command: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("`{command}` ended with {status}{}", said(.stderr))]
    Failed {
        /// The command line.
        command: String,
        /// "exit status 2", "signal 9".
        status: Status,
        /// The last 2 KiB of its standard error.
        stderr: String,
    },
    /// It was killed, with all its process group, because its time was over.
    #[error("`{command}` was stopped: not done after {} s{}", .limit.as_secs(), said(.stderr))]
    Timeout {
        /// The command line.
        command: String,
        /// The time it was given.
        limit: Duration,
        /// The last 2 KiB of its standard error.
        stderr: String,
    },
    /// It was killed because it wrote more to standard output than the caller wants to keep.
    #[error("`{command}` was stopped: it wrote more than {limit} bytes")]
    TooMuchOutput {
        /// The command line.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
}

fn said(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        text => format!("; it said: {text}"),
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal with this number ended it.
    Signal(i32),
}

impl Status {
    /// Whether it exited with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Code(code),
            None => Self::Signal(status.signal().unwrap_or_default()),
        }
    }
}

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its standard output, whole; empty where the lines were streamed.
    pub stdout: Vec<u8>,
    /// The newest 64 KiB of its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// A program to run, with its arguments and surroundings.
///
/// It runs in a process group of its own with `LC_ALL=C.UTF-8` and no standard input unless told otherwise.
#[derive(Debug, Clone)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    env_clear: bool,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    stdin_from: Option<Arc<OwnedFd>>,
    timeout: Option<Duration>,
    limit: usize,
    die_with_parent: bool,
}

impl Tool {
    /// A program by name (looked up as [`find_program`] does) or by path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: vec![("LC_ALL".into(), Some("C.UTF-8".into()))],
            env_clear: false,
            directory: None,
            stdin: Vec::new(),
            stdin_from: None,
            timeout: None,
            limit: DEFAULT_CAPTURE_LIMIT,
            die_with_parent: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable out of the inherited environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment but for PATH and LC_ALL; later `env` calls add to it.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Gives it these bytes on standard input, then end of file.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Gives it this descriptor as standard input; bytes that were given are then not written.
    #[must_use]
    pub fn stdin_from(mut self, descriptor: OwnedFd) -> Self {
        self.stdin_from = Some(Arc::new(descriptor));
        self
    }

    /// Kills its process group where it is not done after this time.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Keeps at most this many bytes of standard output; more is an error.
    #[must_use]
    pub fn capture_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Has the kernel send it SIGTERM when the thread that started it ends (setpriv(1), PR_SET_PDEATHSIG), so that
    /// nothing outlives a killed xenup. A set-user-ID program loses the setting.
    #[must_use]
    pub fn die_with_parent(mut self) -> Self {
        self.die_with_parent = true;
        self
    }

    /// The command line, quoted so that it can be pasted into a shell.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut line = quoted(&self.program);
        for arg in &self.args {
            let _ = write!(line, " {}", quoted(arg));
        }
        line
    }

    /// Runs it to its end; another status than 0 is [`ProcessError::Failed`].
    pub fn run(&self) -> Result<Output, ProcessError> {
        self.checked(self.output()?)
    }

    /// Runs it to its end and returns what it left, whatever its status.
    pub fn output(&self) -> Result<Output, ProcessError> {
        self.communicate(&mut Sink::Keep { bytes: Vec::new(), limit: self.limit })
    }

    /// Runs it and hands over each line of standard output and standard error as it comes, without its newline;
    /// another status than 0 is [`ProcessError::Failed`].
    pub fn run_lines(&self, each: &mut dyn FnMut(&str)) -> Result<Output, ProcessError> {
        let output = self.communicate(&mut Sink::Lines { each, out: Vec::new(), err: Vec::new() })?;
        self.checked(output)
    }

    /// Starts it and returns at once. Standard output and error go to `log` where one is given, else nowhere.
    pub fn spawn(&self, log: Option<&Path>) -> Result<Running, ProcessError> {
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(path) = log {
            let file = std::fs::File::create(path).map_err(|e| self.start_error(e))?;
            command.stdout(file.try_clone().map_err(|e| self.start_error(e))?).stderr(file);
        }
        let child = command.spawn().map_err(|e| self.start_error(e))?;
        Running::new(child, self.command_line())
    }

    fn checked(&self, output: Output) -> Result<Output, ProcessError> {
        if output.status.success() {
            return Ok(output);
        }
        let stderr = tail(&output.stderr);
        Err(ProcessError::Failed { command: self.command_line(), status: output.status, stderr })
    }

    fn start_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Start { command: self.command_line(), source }
    }

    fn command(&self) -> Result<Command, ProcessError> {
        let program = find_program(&self.program)
            .ok_or_else(|| self.start_error(io::Error::new(io::ErrorKind::NotFound, "program not found")))?;
        let mut command = if self.die_with_parent {
            let mut wrapper = Command::new("setpriv");
            wrapper.args(["--pdeathsig", "TERM", "--"]).arg(program);
            wrapper
        } else {
            Command::new(program)
        };
        command.args(&self.args).process_group(0);
        if self.env_clear {
            command.env_clear().env("PATH", search_path());
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Ok(command)
    }

    fn communicate(&self, sink: &mut Sink<'_>) -> Result<Output, ProcessError> {
        let mut command = self.command()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(match &self.stdin_from {
            Some(descriptor) => descriptor.try_clone().map_err(|e| self.start_error(e))?.into(),
            None if self.stdin.is_empty() => Stdio::null(),
            None => Stdio::piped(),
        });
        let mut child = command.spawn().map_err(|e| self.start_error(e))?;
        let ended = Conversation::new(&mut child, &self.stdin, self.timeout)
            .and_then(|mut talk| talk.run(sink).map(|end| (end, std::mem::take(&mut talk.stderr_tail))));
        let (end, stderr) = match ended {
            Ok(ended) => ended,
            Err(source) => {
                kill_group(&mut child);
                return Err(ProcessError::Io { command: self.command_line(), source });
            }
        };
        if end != End::Exited {
            kill_group(&mut child);
        }
        let status =
            child.wait().map_err(|source| ProcessError::Io { command: self.command_line(), source })?;
        match end {
            End::Exited => Ok(Output { status: status.into(), stdout: sink.finish(), stderr }),
            End::TimedOut => Err(ProcessError::Timeout {
                command: self.command_line(),
                limit: self.timeout.unwrap_or_default(),
                stderr: tail(&stderr),
            }),
            End::TooMuch => {
                Err(ProcessError::TooMuchOutput { command: self.command_line(), limit: self.limit })
            }
        }
    }
}

/// Kills a child that has not been waited for, and its process group, whose id it is.
fn kill_group(child: &mut Child) {
    // Gone already is the state we want, so neither answer matters.
    if let Some(pid) = pid_of(child) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A program that was started and not waited for; it is killed with its process group when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    command: String,
    status: Option<Status>,
}

impl Running {
    fn new(mut child: Child, command: String) -> Result<Self, ProcessError> {
        match pidfd(&child) {
            Ok(pidfd) => Ok(Self { child, pidfd, command, status: None }),
            Err(source) => {
                kill_group(&mut child);
                Err(ProcessError::Io { command, source })
            }
        }
    }

    /// Its process id, which is also its process group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A descriptor that becomes readable when it has exited, for poll(2).
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended; `None` while it runs.
    pub fn status(&mut self) -> Result<Option<Status>, ProcessError> {
        if self.status.is_none() {
            let ended = self.child.try_wait();
            self.status = ended.map_err(|e| self.io_error(e))?.map(Status::from);
        }
        Ok(self.status)
    }

    /// Waits at most `limit` for its end; `None` where it still runs then.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Status>, ProcessError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status()? {
                return Ok(Some(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|e| self.io_error(io::Error::other(e)))?;
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(self.io_error(e.into())),
            }
        }
    }

    /// Sends SIGTERM to its process group.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL to its process group and reaps it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            self.status = self.child.wait().ok().map(Status::from);
        }
    }

    fn signal(&mut self, signal: Signal) {
        // Only while the child is not reaped is its id certainly its own.
        if self.status.is_none()
            && let Some(pid) = pid_of(&self.child)
        {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    fn io_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Io { command: self.command.clone(), source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The executable file that a program's name stands for: searched in PATH and then in the sbin directories, which
/// PATH of an ordinary user lacks on Debian. A name with a slash is taken as a path.
#[must_use]
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    if name.components().count() > 1 || name.is_absolute() {
        return is_executable(name).then(|| name.to_owned());
    }
    std::env::split_paths(&search_path())
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_executable(path))
}

fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn tail(stderr: &[u8]) -> String {
    let start = stderr.len().saturating_sub(STDERR_IN_ERROR);
    String::from_utf8_lossy(stderr.get(start..).unwrap_or_default()).into_owned()
}

/// One word for a POSIX shell.
fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
