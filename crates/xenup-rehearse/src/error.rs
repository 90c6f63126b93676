//! Why the laboratory could not do what it was asked. Decides nothing; a hint is one runnable command or one decision.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use xenup_image::mirror::MirrorError;
use xenup_system::files::FileError;
use xenup_system::lab::echo::EchoError;
use xenup_system::process::ProcessError;

use crate::console::ConsoleError;
use crate::qmp::QmpError;

/// Something that the harness itself could not do; what a scenario finds wrong with the machine is not here.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces, taps and raw sockets need root.
    #[error("a rehearsal needs root: it makes a network namespace for its machine")]
    NotRoot,
    /// Programs are missing, and they are not installed without root.
    #[error("not installed on this machine: {}", .programs.join(", "))]
    MissingTools {
        /// The programs.
        programs: Vec<String>,
        /// The Debian packages that have them.
        packages: Vec<String>,
    },
    /// No suite of this machine's mirror has packages that fit what is installed.
    #[error("apt cannot install {} beside what is installed here", .packages.join(" "))]
    NoSuite {
        /// The packages.
        packages: Vec<String>,
        /// What apt said of the last suite that was tried.
        #[source]
        source: ProcessError,
    },
    /// No Debian mirror is known from this machine's apt sources.
    #[error("no Debian mirror to take packages from")]
    Mirror(#[from] MirrorError),
    /// A program failed.
    #[error("cannot {step}")]
    Tool {
        /// What it was run for, as a verb.
        step: &'static str,
        /// What it said.
        #[source]
        source: ProcessError,
    },
    /// A file could not be read or written.
    #[error("the run's files cannot be handled")]
    File(#[from] FileError),
    /// The machine's console did not say what it should.
    #[error("the console went another way")]
    Console(#[from] ConsoleError),
    /// QEMU's monitor did not do what it was asked.
    #[error("QEMU did not do what it was asked")]
    Qmp(#[from] QmpError),
    /// QEMU ended, or never came up.
    #[error("QEMU {what}{}", said(.log))]
    Qemu {
        /// What became of it: "did not come up within 60 s", "ended with exit status 1".
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// The machine is off (or on), and what was asked needs the other.
    #[error("the machine is {}", if *.off { "off" } else { "running" })]
    Power {
        /// Whether it is off.
        off: bool,
    },
    /// ssh did not get in.
    #[error("ssh from outside did not reach {address}: {said}")]
    Unreachable {
        /// The address.
        address: Ipv4Addr,
        /// What ssh said.
        said: String,
    },
    /// The machine was still on after the time it was given.
    #[error("the machine did not switch itself off within {} s", .limit.as_secs())]
    StillOn {
        /// The time it was given.
        limit: Duration,
    },
    /// Probes could not be sent.
    #[error("the outside cannot watch the machine")]
    Echo(#[from] EchoError),
    /// A kept stage is not what it was stored as.
    #[error("the kept stage {} cannot be used: {why}", path.display())]
    Stage {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl LabError {
    /// One runnable command or one decision that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot => Some("run it with sudo".into()),
            Self::MissingTools { packages, .. } => Some(format!("apt-get install {}", packages.join(" "))),
            Self::NoSuite { packages, .. } => Some(format!("apt-get -s install {}", packages.join(" "))),
            Self::Mirror(_) => Some("apt-get update".into()),
            Self::Stage { path, .. } => Some(format!("rm {}", path.display())),
            _ => None,
        }
    }
}

fn said(log: &str) -> String {
    match log.trim() {
        "" => String::new(),
        text => format!("; it said: {text}"),
    }
}

/// Names what a failed program was run for.
pub(crate) fn during(step: &'static str) -> impl FnOnce(ProcessError) -> LabError {
    move |source| LabError::Tool { step, source }
}
