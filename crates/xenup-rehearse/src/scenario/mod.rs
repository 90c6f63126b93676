//! What is rehearsed: a plain Debian becomes a Xen host and a plain Debian again, by the same program as on a server;
//! and the same with things broken on purpose.
//!
//! Decides what is done in which order, and what must hold after each step. Never drives the machine over the network
//! that is being changed: every step goes over the serial console, the outside only watches and confirms.

mod bench;
mod conversion;
mod counters;
mod cuts;
mod disk;
pub mod dom0;
mod failure;
mod guard;
pub mod guests;
mod kernels;
mod later;
pub mod listing;
mod old_host;
mod owners;
mod plain;
mod roles;
mod sabotage;
mod smallest;
mod switch;
pub mod tree;
mod typed;
mod upgrade;
mod whole;

use std::path::PathBuf;

use crate::event::{Event, Recorder};
use crate::network;
use crate::qemu::{Firmware, Nic};
use crate::report::Report;
use bench::Bench;
pub use failure::Failure;
pub use switch::LOST;

/// What a rehearsal plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A plain Debian boots, the package is installed, `inspect` runs.
    Plain,
    /// The whole way to a Xen host with guests, and back.
    Conversion,
    /// Things break on purpose: a cut link, power cuts, hypervisors that die.
    Sabotage,
    /// A bridge that nobody confirms is undone, for each owner of a network, whatever ends, hangs or loses its power.
    Guard(Owner),
    /// Xen and dom0's kernel are replaced on a host that runs.
    Later,
    /// A guest of an old host's finds the bridge that it names.
    OldHost,
    /// Kernels are started as PV and as PVH guests, beside what `kernel check` says of them.
    Roles,
    /// A whole Debian guest boots kernels of one's own without an initrd, in turns with Debian's cloud kernel with its.
    Kernels,
    /// Packages of kernels of one's own are installed for dom0, and used.
    Dom0,
    /// A host with guests that work is upgraded from Debian 12 to 13.
    Upgrade,
    /// The same host is upgraded by apt alone.
    UpgradeByApt,
    /// The same upgrade with the power cut in each of its stages, and a new Xen that dies.
    UpgradeCuts,
}

/// Whose the machine's network is, of [`Scenario::Guard`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A stanza of interfaces(5) with an address.
    Ifupdown,
    /// A stanza of interfaces(5), and a dhclient.
    Dhcp,
    /// systemd-networkd.
    Networkd,
    /// netplan, carried out by systemd-networkd.
    Netplan,
    /// NetworkManager.
    NetworkManager,
}

impl Owner {
    /// Its name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ifupdown => "ifupdown",
            Self::Dhcp => "ifupdown with DHCP",
            Self::Networkd => "systemd-networkd",
            Self::Netplan => "netplan",
            Self::NetworkManager => "NetworkManager",
        }
    }
}

/// Where the machine's address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// interfaces(5) names it.
    Static,
    /// A DHCP server hands it out.
    Dhcp,
}

impl Addressing {
    /// The plain machine's /etc/network/interfaces.
    fn interfaces(self) -> String {
        let fixed = network::INTERFACES;
        match self {
            Self::Static => fixed.to_owned(),
            Self::Dhcp => {
                let lines = fixed.lines().filter(|line| !line.contains("10.99.0."));
                let moved = lines.map(|line| match line {
                    "iface enp0s2 inet static" => "iface enp0s2 inet dhcp",
                    other => other,
                });
                moved.fold(String::new(), |text, line| text + line + "\n")
            }
        }
    }
}

/// Which of Debian 12's hypervisors is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    /// The main archive's, with shadow paging: PV and PVH guests run under emulation.
    WithShadowPaging,
    /// The security archive's, without it: PV guests alone.
    Security,
}

/// How to rehearse.
#[derive(Debug, Clone)]
pub struct RehearseOptions {
    /// What is played.
    pub scenario: Scenario,
    /// The Debian package of xenup to bring into the machine.
    pub package: PathBuf,
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// Static address or DHCP.
    pub addressing: Addressing,
    /// The NIC that becomes the bridge's port.
    pub nic: Nic,
    /// The hypervisor.
    pub hypervisor: Hypervisor,
    /// Where images and kept machines lie; runs lie there too while they last.
    pub cache: PathBuf,
    /// Makes everything anew instead of starting from what an earlier run kept.
    pub anew: bool,
    /// Goes on from the Xen host that an earlier run of the same package came to, and keeps the one that this run comes
    /// to. Every scenario but plain, sabotage and guard.
    pub resume: bool,
    /// Other work runs on this machine: figures that it decides are told, and judged by what no load explains.
    pub busy: bool,
    /// Installs from Debian the programs that this machine lacks.
    pub install_tools: bool,
    /// Leaves the machine running at the end.
    pub keep: bool,
    /// The kernels of [`Scenario::Roles`] and [`Scenario::Kernels`], the packages of [`Scenario::Dom0`].
    pub kernels: Vec<PathBuf>,
}

impl RehearseOptions {
    /// The conversion of a machine with a static address, booted by BIOS, with the hypervisor that runs all guests.
    #[must_use]
    pub fn conversion(package: PathBuf, cache: PathBuf) -> Self {
        Self {
            scenario: Scenario::Conversion,
            package,
            firmware: Firmware::Bios,
            addressing: Addressing::Static,
            nic: Nic::Virtio,
            hypervisor: Hypervisor::WithShadowPaging,
            cache,
            anew: false,
            resume: false,
            busy: false,
            install_tools: true,
            keep: false,
            kernels: Vec::new(),
        }
    }

    fn title(&self) -> String {
        let what = match self.scenario {
            Scenario::Plain => "a plain Debian and an installed package",
            Scenario::Conversion => "a plain Debian becomes a Xen host, and a plain Debian again",
            Scenario::Sabotage => "what goes wrong is undone",
            Scenario::Guard(_) => "a bridge that nobody confirms is undone",
            Scenario::Later => "later versions of Xen and Linux are tried before they are kept",
            Scenario::OldHost => "a guest of an old Xen host finds its bridge",
            Scenario::Roles => "kernels start as what they are said to be",
            Scenario::Kernels => "a whole Debian guest boots kernels of one's own, and Debian's",
            Scenario::Dom0 => "a kernel of one's own is dom0's",
            Scenario::Upgrade => "a Xen host with guests that work goes from Debian 12 to 13",
            Scenario::UpgradeByApt => "what plain apt does to a Xen host with guests that work",
            Scenario::UpgradeCuts => "the power is cut in each stage of an upgrade from Debian 12 to 13",
        };
        let firmware = match self.firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
        };
        let address = match self.addressing {
            Addressing::Static => "static address",
            Addressing::Dhcp => "DHCP",
        };
        let nic = match self.nic {
            Nic::Virtio => String::new(),
            card => format!(", {}", card.name()),
        };
        let owner = match self.scenario {
            Scenario::Guard(owner) => owner.name(),
            _ => "ifupdown",
        };
        format!("Rehearsal: {what} ({firmware}, {owner}, {address}{nic})")
    }
}

/// Why there is no report: nothing was rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// The laboratory or its plain machine could not be set up.
    #[error("the rehearsal's machine could not be set up")]
    Setup(#[source] Failure),
    /// The machine cannot be left running.
    #[error("the machine cannot be left running")]
    Leave(#[source] crate::error::LabError),
}

impl RehearseError {
    /// One runnable command or one decision that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Setup(failure) => failure.hint(),
            Self::Leave(error) => error.hint(),
        }
    }
}

/// Plays a scenario and tells of it as it goes. A step that fails ends the scenario and makes the report's verdict
/// [`crate::report::Verdict::Failed`]; it is no error of this function.
///
/// Needs root. QEMU ends with the calling thread, unless the machine is to be kept. The console's whole transcript
/// is left beside nothing: the report has its excerpts.
///
/// # Errors
/// The machine could not be set up at all, or not left running.
pub fn rehearse(options: &RehearseOptions, each: &mut dyn FnMut(&Event)) -> Result<Report, RehearseError> {
    let mut rec = Recorder::new(&options.title(), each);
    let mut bench = Bench::open(options, &mut rec).map_err(RehearseError::Setup)?;
    let played = match options.scenario {
        Scenario::Plain => plain::play(&mut bench, &mut rec),
        Scenario::Conversion => conversion::play(&mut bench, &mut rec, options),
        Scenario::Sabotage => sabotage::play(&mut bench, &mut rec),
        Scenario::Guard(owner) => guard::play(&mut bench, &mut rec, owner),
        Scenario::Later => later::play(&mut bench, &mut rec, options),
        Scenario::OldHost => old_host::play(&mut bench, &mut rec, options),
        Scenario::Roles => roles::play(&mut bench, &mut rec, options),
        Scenario::Kernels => kernels::play(&mut bench, &mut rec, options),
        Scenario::Dom0 => dom0::play(&mut bench, &mut rec, options),
        Scenario::Upgrade => upgrade::play(&mut bench, &mut rec, options),
        Scenario::UpgradeByApt => upgrade::play_apt(&mut bench, &mut rec, options),
        Scenario::UpgradeCuts => cuts::play(&mut bench, &mut rec, options),
    };
    if played.is_err() {
        rec.fact("the console's last lines", &bench.vm.console().tail(40));
    }
    if options.keep && bench.vm.is_running() {
        let console = bench.vm.console_command();
        let outside = bench.ssh.command_line(network::VM);
        let (pid, directory) = bench.vm.leave().map_err(RehearseError::Leave)?;
        rec.fact("left running", &format!("QEMU {pid} in {}", directory.display()));
        rec.fact("its console", &console);
        rec.fact("from outside", &outside);
    }
    Ok(rec.finish())
}

/// Makes what every scenario of these options starts from, a plain Debian that waits at its prompt, where no earlier run
/// has kept one: for whoever has other work to do meanwhile. Needs root.
///
/// # Errors
/// The machine could not be set up, or does not boot.
pub fn make_plain(options: &RehearseOptions, each: &mut dyn FnMut(&Event)) -> Result<(), RehearseError> {
    let mut rec = Recorder::new(&options.title(), each);
    bench::make_plain(options, &mut rec).map_err(RehearseError::Setup)
}

#[cfg(test)]
mod tests {
    use super::Addressing;

    #[test]
    fn with_dhcp_the_first_nic_has_no_address_of_its_own() {
        let text = Addressing::Dhcp.interfaces();
        assert!(text.contains("iface enp0s2 inet dhcp\nallow-hotplug enp0s3\n"), "{text}");
        assert!(Addressing::Static.interfaces().contains("\taddress 10.99.0.10/24\n"));
    }
}
