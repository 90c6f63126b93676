//! This program once more, as root of namespaces of its own: what it mounts there nobody else sees, and it ends with them.
//!
//! It decides by who calls: root gets mounts and processes of its own; an ordinary user also becomes root over the user
//! ids that /etc/subuid lends him (unshare(1), newuidmap(1), subuid(5)), and over nothing else of the machine.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Tool, find_program};
use crate::{environment, files};

/// What keeps an ordinary user from having namespaces in which he is root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// newuidmap(1) is not installed.
    #[error("without root this needs newuidmap, which is not installed")]
    NoNewuidmap,
    /// subuid(5) lends him nothing.
    #[error("without root this needs user ids to lend, and {} has none for {user}", file.display())]
    NoIds {
        /// His name.
        user: String,
        /// /etc/subuid or /etc/subgid.
        file: PathBuf,
    },
}

impl Obstacle {
    /// One command that helps.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoNewuidmap => "apt-get install uidmap, or run it with sudo".to_owned(),
            Self::NoIds { user, .. } => format!(
                "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}, or run it with sudo"
            ),
        }
    }
}

/// Returns what is in the way of [`again`]; nothing is for root.
#[must_use]
pub fn obstacle() -> Option<Obstacle> {
    if files::is_root() {
        return None;
    }
    if find_program("newuidmap").is_none() {
        return Some(Obstacle::NoNewuidmap);
    }
    let number = rustix::process::getuid().as_raw().to_string();
    let name = Tool::new("id").arg("-un").run().map(|said| said.text().trim().to_owned()).unwrap_or_default();
    let user = if name.is_empty() { number.clone() } else { name };
    ["/etc/subuid", "/etc/subgid"].into_iter().map(PathBuf::from).find_map(|file| {
        let text = files::read_text(&file).unwrap_or_default();
        let is_his = |line: &str| {
            let owner = line.split(':').next().unwrap_or_default();
            owner == user || owner == number
        };
        (!text.lines().any(is_his)).then(|| Obstacle::NoIds { user: user.clone(), file })
    })
}

/// Runs this program with these arguments in namespaces of its own, on the same terminal, and returns its exit code; `None`
/// where a signal ended it. `cache_home` becomes its XDG_CACHE_HOME. It ends when this process does.
///
/// # Errors
/// It cannot be started.
pub fn again(
    arguments: impl IntoIterator<Item = OsString>,
    cache_home: Option<&Path>,
) -> io::Result<Option<u8>> {
    let mut command = Command::new("setpriv");
    // unshare passes over SIGTERM while it waits for its child; with it the child is killed, and with that all in its namespace.
    command.args(["--pdeathsig", "KILL", "unshare"]);
    if !files::is_root() {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.arg(environment::this_program()?).args(arguments);
    if let Some(home) = cache_home {
        command.env("XDG_CACHE_HOME", home);
    }
    let status = command.status()?;
    // unshare ends by the signal that ended its child.
    Ok(status.code().filter(|_| status.signal().is_none()).and_then(|code| u8::try_from(code).ok()))
}
