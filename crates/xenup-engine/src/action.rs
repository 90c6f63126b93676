//! The closed list of what xenup can do to a machine.
//!
//! Decides: the form of each action, what it needs, what it leaves, how it is undone.
//! Never: performs one (the executor does), or groups them (a plan does).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::network::LinkOp;
use xenup_machine::process::Command;

use crate::digest::Digest;

/// What should stand at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "want", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FileState {
    /// Nothing.
    Absent,
    /// A file of this text. Attributes of a file already there are kept; a new one belongs to root.
    Text {
        /// Its whole contents.
        text: String,
        /// Permission bits where the file is new.
        mode: u32,
    },
    /// The file that is there, some of its lines replaced. For files that another package of the same plan brings, so
    /// that nobody can know them whole; the bytes before are kept as with any file.
    Edited {
        /// The replacements. Each line is found once and exactly, or the step is refused.
        lines: Vec<LineEdit>,
    },
    /// A directory.
    Dir {
        /// Permission bits where the directory is new.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// What it points to.
        target: PathBuf,
    },
}

/// One line of a text file, replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineEdit {
    /// The whole line as it is, without its end.
    pub from: String,
    /// The lines that stand there then, without the last one's end.
    pub to: String,
}

impl LineEdit {
    /// Returns `text` with every edit made; `None` where a line is not there exactly once.
    #[must_use]
    pub fn apply_all(edits: &[Self], text: &str) -> Option<String> {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        for edit in edits {
            let mut found = lines.iter_mut().filter(|line| line.trim_end_matches('\n') == edit.from);
            match (found.next(), found.next()) {
                (Some(line), None) => *line = line.replacen(&edit.from, &edit.to, 1),
                _ => return None,
            }
        }
        Some(lines.concat())
    }
}

/// How a package stands in dpkg's list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageState {
    /// Name, with its architecture where dpkg prints one (`libc6:amd64`).
    pub name: String,
    /// dpkg's status word: `installed`, `config-files`, `half-configured`, …; `not-installed` where unknown.
    pub status: String,
    /// Version; empty where none is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Whether apt holds it for automatically installed.
    #[serde(default)]
    pub auto: bool,
}

/// A package to be installed, and what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageChange {
    /// Name without architecture.
    pub name: String,
    /// The version apt said it would bring.
    pub version: String,
    /// The version before; `None` where it was not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether the plan asks for it by name (others come as dependencies and are marked automatic).
    pub asked: bool,
}

/// Which state a systemd unit should be in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitState {
    /// Started at boot; `None` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Running now; `None` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// One thing done to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Makes a path be what it should, whole and durable or not at all.
    File {
        /// The path.
        path: PathBuf,
        /// What should stand there.
        state: FileState,
        /// Digest of the bytes the plan was made from; `None` where the path was absent. Another digest
        /// at the time of the step is drift, and the step is refused. Not looked at for [`FileState::Edited`],
        /// whose own lines say what was expected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Digest>,
    },
    /// Installs packages by apt, exactly those and these versions; refused where apt would do anything else.
    Packages {
        /// Everything that changes, dependencies included.
        changes: Vec<PackageChange>,
    },
    /// Leads every package to what apt's sources offer (`apt-get full-upgrade`); refused where apt would begin anything
    /// else than what is listed. apt has no way back, so it goes forward: begun again, it finishes what was cut short.
    Upgrade {
        /// What is installed or upgraded, named as apt does (`libc6:i386` for another architecture than the machine's).
        /// What is asked for by name comes beside the upgrade.
        changes: Vec<PackageChange>,
        /// What is taken away.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removes: Vec<String>,
        /// Whether archives are fetched, and nothing else is done.
        #[serde(default, skip_serializing_if = "is_false")]
        only_fetch: bool,
    },
    /// Enables, disables, starts or stops a systemd unit.
    Unit {
        /// Its full name.
        unit: String,
        /// The state it should be in.
        state: UnitState,
    },
    /// Changes links, addresses and routes in one sequence.
    Links {
        /// The sequence.
        #[schemars(with = "Vec<serde_json::Value>")]
        ops: Vec<LinkOp>,
        /// The links whose state is recorded before and restored by an undo.
        touches: Vec<String>,
    },
    /// Sets one variable of GRUB's environment block (`/boot/grub/grubenv`), by GRUB's own tool.
    BootVariable {
        /// The variable, such as `next_entry`.
        name: String,
        /// Its value; `None` unsets it.
        value: Option<String>,
    },
    /// Runs a command of the owner of some generated state.
    Run {
        /// Run when the step is done; `None` where only the undo matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<serde_json::Value>")]
        forward: Option<Command>,
        /// Run when the step is undone; `None` where nothing needs to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<serde_json::Value>")]
        backward: Option<Command>,
        /// Files the command writes: recorded before, compared after an undo.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        generates: Vec<PathBuf>,
        /// Whether those files are kept before, and put back instead of running `backward` where nobody but this run
        /// has made them since. For a command that does nothing beside them.
        #[serde(default, skip_serializing_if = "is_false")]
        put_back: bool,
        /// Whether `forward` must not be run a second time: then no undo of it can be taken back, and none is made
        /// under a guard.
        #[serde(default, skip_serializing_if = "is_false")]
        once: bool,
    },
}

impl Action {
    /// Returns [`Action::Run`] of commands that generate nothing and may be repeated.
    #[must_use]
    pub fn run(forward: Option<Command>, backward: Option<Command>) -> Self {
        Self::Run { forward, backward, generates: Vec::new(), put_back: false, once: false }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Undo {
    /// From what the journal kept: the state before comes back exactly.
    Restore,
    /// By the action's own command; the state before comes back as its owner makes it.
    Command,
    /// Not at all; never runs while a guard is pending.
    Irreversible {
        /// The reason, for people.
        why: String,
    },
}

/// How long the effect of a step lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lasts {
    /// Until undone.
    OnDisk,
    /// Until the next boot, which undoes it (kernel state, `/run`).
    ThisBoot,
}

/// Something that can be checked by reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "condition", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// A file contains this text.
    FileSays {
        /// The file.
        path: PathBuf,
        /// The text.
        text: String,
    },
    /// A file does not contain this text; an absent file does not.
    FileDoesNotSay {
        /// The file.
        path: PathBuf,
        /// The text.
        text: String,
    },
    /// A file has exactly these bytes.
    FileIs {
        /// The file.
        path: PathBuf,
        /// Their digest.
        digest: Digest,
    },
    /// Something stands at a path.
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The file system of a path has at least so much room.
    Room {
        /// The path.
        path: PathBuf,
        /// Bytes.
        bytes: u64,
    },
    /// A link is up and has a carrier.
    LinkUp {
        /// Its name.
        link: String,
    },
    /// A link is a port of a bridge.
    PortOf {
        /// The port.
        link: String,
        /// The bridge.
        master: String,
    },
    /// A link has an address.
    HasAddress {
        /// The link.
        link: String,
        /// The address with its prefix, such as `192.0.2.10/24`.
        address: String,
    },
    /// A neighbour answers by ARP or neighbour discovery.
    Answers {
        /// The link.
        link: String,
        /// The neighbour.
        ip: std::net::IpAddr,
    },
    /// A systemd unit is active.
    UnitActive {
        /// Its full name.
        unit: String,
    },
    /// A command that only reads ends with status 0.
    Succeeds {
        /// Program and arguments.
        command: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::LineEdit;

    #[test]
    fn a_line_that_is_there_once_is_edited() {
        let edited = |text, from: &str| {
            LineEdit::apply_all(&[LineEdit { from: from.into(), to: "x\ny".into() }], text)
        };
        assert_eq!(edited("a\nb\n", "b").as_deref(), Some("a\nx\ny\n"));
        assert_eq!(edited("a\nb", "b").as_deref(), Some("a\nx\ny"));
        assert_eq!(edited("b\nb\n", "b"), None);
        assert_eq!(edited("ab\n", "b"), None);
    }
}
