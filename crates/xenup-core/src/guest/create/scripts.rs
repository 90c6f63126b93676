//! Scripts of one's own, which a guest runs at its first boot.
//!
//! Decides: what can be such a script, and the unit that runs them, in order, once. Facts: systemd.service(5),
//! systemd.exec(5), execve(2). Never: reads what a script does.

use std::path::Path;

use super::inside::{Entry, text_of};

/// The unit that runs the scripts.
pub const UNIT: &str = "xenup-scripts.service";
const UNITS: &str = "/etc/systemd/system";
/// Made by base-files, in every base.
const PLACE: &str = "/usr/local/lib";

/// A script for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    name: String,
    text: String,
}

/// A file that cannot be a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// Its name cannot be one in the guest.
    #[error("`{}` cannot be a script's name in the guest", .0.escape_debug())]
    Name(String),
    /// Not UTF-8, or with a NUL.
    #[error("it is no text")]
    NoText,
    /// Nothing says what runs it.
    #[error("line 1 does not begin with #!: nothing says what runs it")]
    NoInterpreter,
    /// The kernel takes the carriage return for a part of the interpreter's name.
    #[error("line 1 ends with a carriage return, and no interpreter has that name")]
    CarriageReturn,
}

impl ScriptFault {
    /// Returns one decision that helps.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => "rename it: letters, digits, and . _ - behind the first",
            Self::NoText => {
                "call the program from a script of a few lines; put it there by --package, or fetch it"
            }
            Self::NoInterpreter => "make its first line #!/bin/sh, or what else is to run it",
            Self::CarriageReturn => "end its lines as Unix does: sed -i 's/\\r$//' FILE",
        }
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// A name or a text that cannot be one.
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Self, ScriptFault> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.chars().all(plain)
            || name.len() > 200
        {
            return Err(ScriptFault::Name(name));
        }
        let text = text_of(bytes).ok_or(ScriptFault::NoText)?;
        let first = text.split('\n').next().unwrap_or_default();
        match first.strip_prefix("#!").map(str::trim_start) {
            None | Some("" | "\r") => Err(ScriptFault::NoInterpreter),
            Some(words) if words.ends_with('\r') => Err(ScriptFault::CarriageReturn),
            Some(_) => Ok(Self { name, text: text.to_owned() }),
        }
    }
}

/// Returns the scripts and their unit as files of the guest; none for no script.
pub(super) fn entries(scripts: &[Script]) -> Vec<Entry> {
    if scripts.is_empty() {
        return Vec::new();
    }
    let path =
        |at: usize, script: &Script| format!("{PLACE}/xenup-script-{}-{}", at.saturating_add(1), script.name);
    let mut entries: Vec<Entry> = scripts
        .iter()
        .enumerate()
        .map(|(at, script)| Entry::file(path(at, script), 0o755, script.text.clone()))
        .collect();
    let runs: String =
        scripts.iter().enumerate().map(|(at, script)| format!("ExecStart={}\n", path(at, script))).collect();
    entries.push(Entry::file(format!("{UNITS}/{UNIT}"), 0o644, unit(&runs)));
    entries.push(Entry::link(format!("{UNITS}/multi-user.target.wants/{UNIT}"), format!("{UNITS}/{UNIT}")));
    entries
}

/// The link goes first, and is gone on the disk before a script runs: whatever a script does, a second boot has none.
fn unit(runs: &str) -> String {
    format!(
        "# The scripts of xenup guest create --script: once, at the first boot, in this order; the first that fails ends it.\n\
         [Unit]\n\
         Description=Scripts for this guest's first boot\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         WorkingDirectory=/root\n\
         Environment=HOME=/root\n\
         StandardOutput=journal+console\n\
         StandardError=inherit\n\
         ExecStartPre=/bin/rm -f {UNITS}/multi-user.target.wants/{UNIT}\n\
         ExecStartPre=/bin/sync\n\
         {runs}\
         ExecStopPost=/bin/sh -c 'test \"$$SERVICE_RESULT\" = success || echo \"{UNIT}: failed, and not run again by itself: \
         journalctl -u {UNIT}; again, from the first: systemctl start {UNIT}\"'\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}
