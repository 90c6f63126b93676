//! A new system in whose chroot this runs, while an installer's own system has the machine.
//!
//! Decides: what that other system is and the new one will not be: its command line, its processes, the entry of the
//! firmware that started it. Processor, firmware, NICs and the kernel's network are the machine's, and stay.
//! Never: changes what is read of files.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use xenup_machine::file::{Entry, Space};
use xenup_machine::network::{Address, Network};
use xenup_machine::process::{Output, Query};
use xenup_machine::{Clock, MachineError, Probe, Reason};

/// The machine without what is the installer's own.
#[derive(Clone, Copy)]
pub struct Installed<'a>(pub &'a dyn Probe);

impl std::fmt::Debug for Installed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Installed").finish_non_exhaustive()
    }
}

/// Whether a path tells of the installer's system alone.
fn is_the_installers(path: &Path) -> bool {
    if let Ok(inner) = path.strip_prefix("/proc") {
        let first = inner.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        return first == "cmdline" || (!first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.starts_with("/sys/firmware/efi/efivars")
        && (name.starts_with("BootCurrent-") || name.starts_with("LoaderInfo-"))
}

impl Probe for Installed<'_> {
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, MachineError> {
        if is_the_installers(path) {
            return Err(MachineError::at("read", path, Reason::NotFound, "it is the installer's"));
        }
        self.0.read(path, limit)
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        if is_the_installers(path) { Ok(None) } else { self.0.entry(path) }
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        let names = self.0.list(dir)?;
        Ok(names.into_iter().filter(|name| !is_the_installers(&dir.join(name))).collect())
    }

    fn space(&self, path: &Path) -> Result<Space, MachineError> {
        self.0.space(path)
    }

    fn query(&self, query: &Query) -> Result<Output, MachineError> {
        self.0.query(query)
    }

    fn network(&self) -> Result<Network, MachineError> {
        self.0.network()
    }

    fn neighbour_answers(&self, link: &str, address: &Address, wait: Duration) -> Result<bool, MachineError> {
        self.0.neighbour_answers(link, address, wait)
    }

    fn clock(&self) -> Clock {
        self.0.clock()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_the_installers;

    #[test]
    fn what_is_the_installers_is_told_from_what_is_the_machines() {
        let installers = [
            "/proc/cmdline",
            "/proc/1",
            "/proc/231/status",
            "/sys/firmware/efi/efivars/BootCurrent-8be4df61",
        ];
        let machines = [
            "/proc",
            "/proc/cpuinfo",
            "/proc/self/mountinfo",
            "/sys/firmware/efi/efivars/SecureBoot-8be4df61",
        ];
        assert!(installers.iter().all(|path| is_the_installers(Path::new(path))));
        assert!(!machines.iter().any(|path| is_the_installers(Path::new(path))));
    }
}
