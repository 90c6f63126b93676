//! How `rehearse` is spelt.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

/// `rehearse`
#[derive(Debug, ClapArgs)]
pub struct Rehearse {
    /// Which scenario: plain, conversion, sabotage, guard, later, old-host, roles, kernels, dom0, upgrade, upgrade-by-apt or
    /// upgrade-cuts
    #[arg(long, value_enum, default_value_t = Scenario::Conversion, hide_possible_values = true)]
    pub scenario: Scenario,
    /// Boot the virtual machine by UEFI instead of BIOS
    #[arg(long)]
    pub uefi: bool,
    /// Give the virtual machine its address by DHCP instead of a stanza
    #[arg(long)]
    pub dhcp: bool,
    /// The virtual machine's NIC: virtio, or e1000 or e1000e, emulated cards with drivers of their own
    #[arg(long, value_name = "MODEL", value_enum, default_value_t = NicModel::Virtio, hide_possible_values = true)]
    pub nic: NicModel,
    /// Whose the network is in the scenario guard: ifupdown, dhcp (ifupdown with a dhclient), networkd, netplan or
    /// networkmanager
    #[arg(long, value_name = "OWNER", value_enum, hide_possible_values = true)]
    pub owner: Option<NetworkOwner>,
    /// Make the disk anew instead of starting from what an earlier run kept
    #[arg(long)]
    pub anew: bool,
    /// Go on from the Xen host that an earlier run of the same package and program came to, and keep this run's
    #[arg(long)]
    pub resume: bool,
    /// Judge the switch of the NIC by a stall of a second instead of single packets: this machine does other work too
    #[arg(long)]
    pub busy: bool,
    /// The package to bring into the virtual machine
    #[arg(long, value_name = "DEB")]
    pub package: Option<PathBuf>,
    /// Write report.txt, report.json and report.html into DIR
    #[arg(long, value_name = "DIR", default_value = "xenup-rehearsal")]
    pub report: PathBuf,
    /// Leave the virtual machine running and say how to log in
    #[arg(long)]
    pub keep: bool,
    /// A kernel that the scenario roles or kernels starts as a PV and as a PVH guest, or the package of one that the
    /// scenario dom0 installs; once for each
    #[arg(long = "kernel", value_name = "FILE")]
    pub kernels: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// The virtual machine's NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NicModel {
    /// virtio-net
    Virtio,
    /// Intel's 82540EM
    E1000,
    /// Intel's 82574L
    E1000e,
}

/// Whose the virtual machine's network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NetworkOwner {
    /// A stanza of interfaces(5) with an address
    Ifupdown,
    /// A stanza of interfaces(5), and a dhclient
    Dhcp,
    /// systemd-networkd
    Networkd,
    /// netplan, carried out by systemd-networkd
    Netplan,
    /// NetworkManager
    #[value(name = "networkmanager")]
    NetworkManager,
}

/// What a rehearsal plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A plain Debian boots, the package is installed, `inspect` runs
    Plain,
    /// The whole way to a Xen host with guests, and back
    Conversion,
    /// Things break on purpose: a cut link, power cuts, a hypervisor that dies
    Sabotage,
    /// A bridge that nobody confirms is undone, whatever ends, hangs or loses its power meanwhile
    Guard,
    /// Xen and dom0's Linux are replaced; each later version is tried before it is kept
    Later,
    /// The files of an old Xen host are imported, and a guest that asks for bridge=eth0 starts and answers
    OldHost,
    /// Kernels start as PV and as PVH guests, or do not, as `kernel check` says of them
    Roles,
    /// A whole Debian guest boots kernels of one's own, in turns with Debian's cloud kernel
    Kernels,
    /// A kernel of one's own, by its package, is installed for dom0, tried and used; without one, the report says what
    /// the machine has, for `kernel build --facts`
    Dom0,
    /// A host with guests that work goes from Debian 12 to 13
    Upgrade,
    /// The same host by apt alone, for what is lost there
    UpgradeByApt,
    /// The same upgrade with the power cut in each of its stages, and a Xen that does not boot
    UpgradeCuts,
}
