//! The administrator's programs that run on the host when a guest was made, and before one is deleted.
//!
//! Decides: which files of /etc/xenup/guest.d are run, in which order, and what they are told. The names are those of
//! run-parts(8). Never: runs one.

use std::path::{Path, PathBuf};

use xenup_machine::file::Kind;
use xenup_machine::{MachineError, Probe, Reason};

/// Where the programs are.
pub const HOOKS: &str = "/etc/xenup/guest.d";

/// When the programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A guest was made, and not started yet.
    Created,
    /// A guest is about to be deleted, and all of it is there.
    Deleting,
}

impl Moment {
    /// Returns what XENUP_ACTION says.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Deleting => "deleting",
        }
    }
}

/// The programs of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Those that run, in order.
    pub run: Vec<PathBuf>,
    /// Those that do not, each with the reason.
    pub passed_over: Vec<(PathBuf, &'static str)>,
}

/// Why no program is run.
#[derive(Debug, thiserror::Error)]
pub enum HookFault {
    /// Somebody else than root could change what root would run.
    #[error("{path} is not run as root: {why}", path = .0.display(), why = .1)]
    Unsafe(PathBuf, &'static str),
    /// It cannot be looked at.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

impl HookFault {
    /// Returns one command that helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsafe(path, LINK) => {
                Some(format!("put the file itself there instead of the link {}", path.display()))
            }
            Self::Unsafe(path, _) => {
                let path = path.display();
                Some(format!("look at what is in it, then: chown root:root {path} && chmod go-w {path}"))
            }
            Self::Machine(_) => None,
        }
    }
}

const LINK: &str = "it is a link";

/// Returns the programs of a host; none where the folder is not there.
///
/// # Errors
/// A folder or a program that another user than root can change.
pub fn hooks(probe: &dyn Probe) -> Result<Hooks, HookFault> {
    let mut found = Hooks::default();
    for folder in [Path::new("/etc/xenup"), Path::new(HOOKS)] {
        match probe.entry(folder) {
            Ok(Some(entry)) => refuse_others(folder, &entry)?,
            Ok(None) => return Ok(found),
            Err(error) if error.reason == Reason::NotFound => return Ok(found),
            Err(error) => return Err(error.into()),
        }
    }
    let mut names = probe.list(Path::new(HOOKS))?;
    names.sort();
    for name in names {
        let path = Path::new(HOOKS).join(&name);
        let Some(entry) = probe.entry(&path)? else { continue };
        let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !name.to_str().is_some_and(is_name) {
            found.passed_over.push((path, "its name has other characters than letters, digits, - and _"));
        } else if matches!(entry.kind, Kind::Dir | Kind::Special) {
            found.passed_over.push((path, "it is no file"));
        } else if matches!(entry.kind, Kind::File { .. }) && entry.attributes.mode & 0o111 == 0 {
            found.passed_over.push((path, "it is not executable"));
        } else {
            refuse_others(&path, &entry)?;
            found.run.push(path);
        }
    }
    Ok(found)
}

fn refuse_others(path: &Path, entry: &xenup_machine::file::Entry) -> Result<(), HookFault> {
    let refused = |why| Err(HookFault::Unsafe(path.to_owned(), why));
    match &entry.kind {
        Kind::Symlink { .. } => refused(LINK),
        _ if entry.attributes.uid != 0 => refused("it does not belong to root"),
        _ if entry.attributes.mode & 0o022 != 0 => refused("others than its owner can write to it"),
        _ => Ok(()),
    }
}

/// Returns what a program is told, as its environment.
#[must_use]
pub fn told(moment: Moment, name: &str, disk: &Path, config: &Path) -> [(&'static str, PathBuf); 4] {
    [
        ("XENUP_ACTION", moment.word().into()),
        ("XENUP_GUEST", name.into()),
        ("XENUP_DISK", disk.to_owned()),
        ("XENUP_CONFIG", config.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use xenup_machine::fake::FakeMachine;
    use xenup_machine::file::Attributes;

    use super::*;

    fn machine() -> FakeMachine {
        let mut machine = FakeMachine::new();
        machine.put_dir("/etc/xenup", &Attributes::root(0o755));
        machine.put_dir(HOOKS, &Attributes::root(0o755));
        machine
    }

    fn put(machine: &mut FakeMachine, name: &str, attributes: &Attributes) {
        machine.put(Path::new(HOOKS).join(name), b"#!/bin/sh\n", attributes);
    }

    fn refused(machine: &FakeMachine) -> String {
        let fault = hooks(machine).unwrap_err();
        assert!(fault.hint().is_some());
        fault.to_string()
    }

    #[test]
    fn a_host_without_the_folder_has_none() {
        assert_eq!(hooks(&FakeMachine::new()).unwrap(), Hooks::default());
        assert_eq!(hooks(&machine()).unwrap(), Hooks::default());
    }

    #[test]
    fn they_run_in_the_order_of_their_names_and_what_does_not_run_is_named() {
        let mut machine = machine();
        for name in ["20-dns", "10-backup", "30_watch", "10-backup.dpkg-old"] {
            put(&mut machine, name, &Attributes::root(0o755));
        }
        put(&mut machine, "README", &Attributes::root(0o644));
        machine.put_dir(Path::new(HOOKS).join("old"), &Attributes::root(0o755));
        let found = hooks(&machine).unwrap();
        let names = |paths: &mut dyn Iterator<Item = &PathBuf>| -> Vec<String> {
            paths.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&mut found.run.iter()), ["10-backup", "20-dns", "30_watch"]);
        assert_eq!(
            names(&mut found.passed_over.iter().map(|(path, _)| path)),
            ["10-backup.dpkg-old", "README", "old"]
        );
    }

    #[test]
    fn what_another_than_root_can_change_is_refused() {
        for (attributes, why) in [
            (Attributes { uid: 1000, ..Attributes::root(0o755) }, "it does not belong to root"),
            (Attributes::root(0o775), "others than its owner can write to it"),
            (Attributes::root(0o757), "others than its owner can write to it"),
        ] {
            let mut one = machine();
            put(&mut one, "10-dns", &attributes);
            assert_eq!(refused(&one), format!("{HOOKS}/10-dns is not run as root: {why}"));
            let mut folder = machine();
            folder.put_dir(HOOKS, &attributes);
            assert_eq!(refused(&folder), format!("{HOOKS} is not run as root: {why}"));
        }
        let mut linked = machine();
        linked.put_link(Path::new(HOOKS).join("10-dns"), "/usr/local/sbin/dns");
        assert_eq!(refused(&linked), format!("{HOOKS}/10-dns is not run as root: it is a link"));
    }
}
