//! Work as a transient service of systemd (systemd-run(1)).
//!
//! Decides the properties that keep such a service alive. Never writes a unit file.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::{ServiceError, Task, state};
use crate::process::Tool;

/// How long the start of a service may take before it counts as failed, in seconds.
const START_LIMIT_SECONDS: u64 = 60;

/// What kind of service a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// Ends with the machine's shutdown, and is told so by SIGTERM.
    Work,
    /// Outlives everything but the machine: `isolate`, `stop`, the OOM killer, its own death.
    Guard,
}

impl UnitKind {
    fn properties(self) -> &'static [&'static str] {
        match self {
            Self::Work => &[
                "IgnoreOnIsolate=yes",
                // A DHCP client or another daemon that a step started must not go down with the step's parent.
                "KillMode=process",
                // A package's installation is given its time when the machine goes down meanwhile.
                "TimeoutStopSec=10min",
            ],
            Self::Guard => &[
                // Without Conflicts=shutdown.target and the rest, no other job stops it.
                "DefaultDependencies=no",
                "IgnoreOnIsolate=yes",
                "RefuseManualStop=yes",
                "KillMode=process",
                "OOMScoreAdjust=-1000",
                "Restart=on-failure",
                "RestartSec=1",
                // These count as a clean end for systemd; for a guard nothing but its own word does.
                "RestartForceExitStatus=SIGHUP SIGINT SIGTERM SIGPIPE",
                // Its program was taken away, which only a disarming does.
                "RestartPreventExitStatus=203",
                "StartLimitIntervalSec=0",
            ],
        }
    }
}

/// Returns whether systemd is the service manager of this machine (sd_booted(3)).
#[must_use]
pub fn is_systemd_running() -> bool {
    std::fs::symlink_metadata("/run/systemd/system").is_ok_and(|meta| meta.is_dir())
}

/// Starts the service; systemd-run returns when the process has sent READY=1 (Type=notify).
pub(super) fn start(task: &Task) -> Result<(), ServiceError> {
    Tool::new("systemd-run")
        .args(arguments(task))
        .timeout(Duration::from_secs(START_LIMIT_SECONDS + 30))
        .run()
        .map(drop)
        .map_err(|source| ServiceError::Start { unit: task.unit.clone(), source })
}

/// Builds the arguments of systemd-run(1).
fn arguments(task: &Task) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![
        "--quiet".into(),
        "--no-ask-password".into(),
        format!("--unit={}", task.unit).into(),
        format!("--description={}", task.description).into(),
        "--service-type=notify".into(),
        "--slice=system.slice".into(),
        // A failed unit of this name from an earlier attempt would refuse the new one.
        "--collect".into(),
        pair("--setenv=", state::STATE_VARIABLE, task.state().as_os_str()),
    ];
    let log = |stream: &str| pair("--property=", stream, &prefixed("append:", &task.log));
    args.extend([log("StandardOutput"), log("StandardError")]);
    args.push(format!("--property=TimeoutStartSec={START_LIMIT_SECONDS}").into());
    args.extend(task.kind.properties().iter().map(|property| format!("--property={property}").into()));
    args.push("--".into());
    args.push(task.program.as_os_str().to_owned());
    args.extend(task.args.iter().map(OsString::from));
    args
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

fn pair(option: &str, name: &str, value: &std::ffi::OsStr) -> OsString {
    let mut text = OsString::from(format!("{option}{name}="));
    text.push(value);
    text
}
