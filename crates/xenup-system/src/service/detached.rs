//! Work as a process of a session of its own, where systemd is not running.
//!
//! setsid(1) with `--fork` gives the second fork, so that the process belongs to init and to no terminal.
//! Nobody starts it again when it dies: that is what a service manager is for, and is said in the documentation.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::{ServiceError, Task, at, state};
use crate::notify::{Listener, SOCKET_VARIABLE};
use crate::process::Tool;

/// How long the process may take to say that it is ready.
const START_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn start(task: &Task) -> Result<(), ServiceError> {
    let directory = tempfile::Builder::new()
        .prefix("ready-")
        .tempdir_in(&task.state_dir)
        .map_err(at("create a directory in", &task.state_dir))?;
    let (socket, pipe) = (directory.path().join("socket"), directory.path().join("alive"));
    let listener = Listener::bind(&socket).map_err(at("bind", &socket))?;
    let alive = named_pipe(&pipe).map_err(at("create", &pipe))?;
    command(task, &socket, &pipe)
        .run()
        .map_err(|source| ServiceError::Start { unit: task.unit.clone(), source })?;
    let what = match wait(&listener, &alive).map_err(at("listen at", &socket))? {
        Answer::Ready => return Ok(()),
        Answer::Died => "ended before it was ready",
        Answer::Silent => "did not say within a minute that it was ready",
    };
    Err(ServiceError::NotReady { unit: task.unit.clone(), what, log: task.log.clone() })
}

/// Nobody's parent after the second fork, so nobody's child to wait for: the end of this pipe tells its death.
fn named_pipe(path: &Path) -> io::Result<OwnedFd> {
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?;
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// The shell opens the log, then is gone: SIGHUP stays ignored in what it becomes (POSIX `trap ''`, nohup(1)).
fn command(task: &Task, socket: &Path, alive: &Path) -> Tool {
    let script = "trap '' HUP; log=$1; alive=$2; shift 2; \
                  exec setsid --fork \"$@\" </dev/null >>\"$log\" 2>&1 9>\"$alive\"";
    Tool::new("sh")
        .args(["-c", script, "xenup"])
        .arg(&task.log)
        .arg(alive)
        .arg(&task.program)
        .args(&task.args)
        .current_dir("/")
        .env(SOCKET_VARIABLE, socket)
        .env(state::STATE_VARIABLE, task.state())
        .timeout(START_LIMIT)
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Ready,
    Died,
    Silent,
}

fn wait(listener: &Listener, alive: &OwnedFd) -> io::Result<Answer> {
    let limit = Timespec::try_from(START_LIMIT).map_err(io::Error::other)?;
    let socket = listener.fd();
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN), PollFd::new(alive, PollFlags::empty())];
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))? == 0 {
        return Ok(Answer::Silent);
    }
    // A message beats the end: who said "ready" and ended at once has done its work.
    Ok(if listener.said_ready()? { Answer::Ready } else { Answer::Died })
}
