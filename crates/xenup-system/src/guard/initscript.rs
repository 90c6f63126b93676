//! The same for a machine whose init is not systemd: scripts of LSB form, enabled by update-rc.d(8).
//!
//! Decides their text. A trial boot is kept by the same script: it starts the watcher in the background.

use std::path::Path;

use xenup_machine::process::Command;
use xenup_machine::{Machine, MachineError, Reason};

use super::file::GuardFile;
use super::units::BootGuard;

/// Where init scripts live.
const SCRIPT: &str = "/etc/init.d/xenup-guard";

pub(super) fn files(guard: &BootGuard) -> Vec<GuardFile> {
    vec![GuardFile::text(Path::new(SCRIPT), 0o755, script(guard))]
}

/// Enables the script by Debian's own tool, which finds its place before the network from the header.
///
/// # Errors
/// No update-rc.d, or it refuses.
pub fn enable_script(machine: &mut dyn Machine) -> Result<(), MachineError> {
    update_rc(machine, "defaults")
}

/// Takes the script out of the boot again, links and dependency files included.
///
/// # Errors
/// As [`enable_script`].
pub fn disable_script(machine: &mut dyn Machine) -> Result<(), MachineError> {
    update_rc(machine, "remove")
}

fn update_rc(machine: &mut dyn Machine, verb: &str) -> Result<(), MachineError> {
    let command = Command::new("update-rc.d", ["xenup-guard", verb]).within(60);
    let output = machine.run(&command, &mut |_| {})?;
    if output.success() {
        Ok(())
    } else {
        Err(MachineError::new("run", command.line(), Reason::Other, output.complaint()))
    }
}

fn script(guard: &BootGuard) -> String {
    let binary = guard.binary.display();
    let trial = match &guard.trial {
        Some(_) => format!("    setsid --fork {binary} guard-trial </dev/null >/dev/console 2>&1\n"),
        None => String::new(),
    };
    format!(
        "#!/bin/sh
### BEGIN INIT INFO
# Provides:          xenup-guard
# Required-Start:    $local_fs
# Required-Stop:
# X-Start-Before:    networking network-manager
# Default-Start:     S
# Default-Stop:
# Short-Description: Undo an unconfirmed change before the network starts
### END INIT INFO
# Written by xenup while a change waits for `xenup confirm`; it goes away with it.
case \"$1\" in
start)
    test -x {binary} || exit 0
    {binary} guard-boot
{trial}    ;;
*) ;;
esac
exit 0
"
    )
}
