//! What this machine is, and what stands in Xen's way on it.
//!
//! Decides: which facts are gathered, and which of them are findings.
//! Never: writes, or plans a change.

mod boot;
pub mod clients;
pub mod devices;
pub(crate) mod distro;
pub mod facts;
pub mod finding;
pub mod findings;
mod firmware;
mod hardware;
#[cfg(test)]
mod hostile;
mod installed;
pub mod kept;
mod kernels;
mod network;
pub(crate) mod packages;
mod processes;
mod reader;
mod services;
mod session;
mod xen;

pub(crate) use boot::shell;
pub use facts::Facts;
pub use finding::{Finding, Weight};
pub use findings::{findings, findings_for};
pub use installed::Installed;

use reader::Reader;
use xenup_machine::Probe;

use crate::network::networkd::Host;

/// What only the process that asks can know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `SSH_CONNECTION` of its environment (ssh(1)); without it the environments of its ancestors are asked.
    pub ssh_connection: Option<String>,
}

/// Returns all facts about a machine or a tree of its files. Nothing here fails: what cannot be read is absent, and
/// named in [`Facts::unread`] unless it is simply not there.
#[must_use]
pub fn gather(probe: &dyn Probe, surroundings: &Surroundings) -> Facts {
    let reader = Reader::new(probe);
    let (packages, architecture) = packages::gather(&reader);
    let xen = xen::gather(&reader);
    let dom0 = xen.running.as_ref().is_some_and(|xen| xen.dom0);
    let hardware = hardware::gather(&reader, architecture, dom0);
    let firmware = firmware::gather(&reader);
    let boot = boot::gather(&reader, &packages, firmware.uefi);
    let processes = processes::gather(&reader);
    let services = services::gather(&reader, &processes, &boot.cmdline);
    let (machine_id, hostname) = (line(&reader, "/etc/machine-id"), line(&reader, "/etc/hostname"));
    let host = Host {
        name: hostname.clone(),
        machine_id: machine_id.clone(),
        cmdline: boot.cmdline.clone(),
        container: hardware.container.is_some(),
    };
    let network = network::gather(&reader, &packages, &processes, &services.active, &host);
    let session = session::gather(&reader, surroundings.ssh_connection.as_deref(), &network.kernel);
    Facts {
        format: facts::FORMAT,
        machine_id,
        hostname,
        hardware,
        firmware,
        distro: distro::gather(&reader),
        kernels: kernels::gather(&reader),
        packages,
        xen,
        boot,
        network,
        session,
        services,
        devices: devices::gather(&reader),
        files: kept::gather(&reader),
        unread: reader.into_unread(),
    }
}

fn line(reader: &Reader<'_>, path: &str) -> String {
    reader.text(path).unwrap_or_default().trim().to_owned()
}
