//! The power switch of a machine on which nothing else runs. Never for a running system: nothing is stopped, only written
//! out.

use std::io;

use rustix::system::RebootCommand;

/// What becomes of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It is started again.
    Restart,
    /// It is switched off.
    Off,
}

/// Writes out what the kernel holds back, and does it at once.
///
/// # Errors
/// This process may not; then nothing has happened.
pub fn switch(power: Power) -> io::Result<()> {
    rustix::fs::sync();
    let command = match power {
        Power::Restart => RebootCommand::Restart,
        Power::Off => RebootCommand::PowerOff,
    };
    Ok(rustix::system::reboot(command)?)
}
