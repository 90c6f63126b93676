//! What is: everything xenup looked at before it decides anything.
//!
//! Decides: the form of the facts, as plain data that can be captured on one machine and read on another.
//! Never: reads a machine (see `gather`), or judges (see `findings`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::network::{Mac, Network};

pub use super::clients::{ManagedLink, NetworkdClient};
use super::devices::Devices;
use crate::network::netplan::NetplanDevice;

/// The format number of [`Facts`] as JSON.
pub const FORMAT: u32 = 1;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct At {
    /// The file.
    #[serde(serialize_with = "crate::shown_path::one")]
    pub path: PathBuf,
    /// The line, counted from 1; 0 stands for the whole file.
    #[serde(default)]
    pub line: u32,
}

/// All facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// [`FORMAT`].
    pub format: u32,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Host name.
    pub hostname: String,
    /// Processor and memory.
    pub hardware: Hardware,
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// Which Debian.
    pub distro: Distro,
    /// dpkg's list, as far as it matters.
    pub packages: Packages,
    /// Hypervisors and toolstacks, installed and running.
    pub xen: Xen,
    /// Linux kernels in /boot.
    pub kernels: Vec<Kernel>,
    /// Boot loader.
    pub boot: Boot,
    /// NICs, who owns them, what the kernel has.
    pub network: NetworkFacts,
    /// Where this session comes from, when it comes over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// Services that matter to a change.
    #[serde(default)]
    pub services: Services,
    /// Its devices, served by a driver or not.
    #[serde(default, skip_serializing_if = "Devices::is_empty")]
    pub devices: Devices,
    /// What could not be read, so that an absent fact is not taken for a fact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// Files outside the network owner's that a plan edits or compares, as they are (see `kept`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ConfigFile>,
}

impl Facts {
    /// Returns the text of a file outside the network owner's, where it is there.
    #[must_use]
    pub fn file(&self, path: &std::path::Path) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unread {
    /// The path, command or topic.
    pub what: String,
    /// Why, in the system's words.
    pub why: String,
}

/// Processor and memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hardware {
    /// dpkg's name: `amd64`, `i386`.
    pub architecture: String,
    /// Model name of the first processor.
    pub cpu: String,
    /// Processors online.
    pub cpus: u32,
    /// `vmx` or `svm`, where the processor shows it (a PV dom0 hides it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualization: Option<String>,
    /// The hypervisor this machine runs under as a guest (`kvm`, `vmware`, `xen`), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_of: Option<String>,
    /// Bytes.
    pub memory: u64,
    /// What kind of container this is (`lxc`, `docker`, …), where it is no machine of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// BIOS or UEFI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firmware {
    /// Booted by UEFI.
    pub uefi: bool,
    /// Secure Boot's state; `None` without UEFI, or where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
}

/// Which Debian.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Distro {
    /// `ID` of os-release.
    pub id: String,
    /// `VERSION_ID`: `12`, `13`; empty on testing and unstable.
    pub version: String,
    /// `VERSION_CODENAME`.
    pub codename: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

/// dpkg's list, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Packages {
    /// How many are installed in all.
    pub installed: usize,
    /// Those whose names matter here (xen*, linux-image*, grub*, bridge-utils, ifupdown, …), installed or `rc`.
    pub relevant: Vec<Package>,
    /// Those dpkg left half done: name and status word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<(String, String)>,
    /// Where apt takes packages from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<AptSource>,
}

/// One suite of one apt source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AptSource {
    /// The line that names it.
    pub at: At,
    /// Its address.
    pub uri: String,
    /// Suite or code name.
    pub suite: String,
    /// `Origin` of its Release file; `None` where apt has no list of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Packages {
    /// Returns an installed package's version.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&str> {
        let found =
            self.relevant.iter().find(|package| package.name == name && package.status == "installed");
        found.map(|package| package.version.as_str())
    }
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// Name without architecture.
    pub name: String,
    /// Version.
    pub version: String,
    /// dpkg's status word: `installed`, `config-files`, …
    pub status: String,
    /// Installed for another package's sake (apt-mark auto).
    #[serde(default, skip_serializing_if = "is_false")]
    pub auto: bool,
    /// Held back (`hold` in dpkg's selection).
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
}

/// Hypervisors and toolstacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Xen {
    /// The running one; `None` on plain Linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningXen>,
    /// Those in /boot.
    pub hypervisors: Vec<Hypervisor>,
    /// Versions with a toolstack under /usr/lib/xen-VERSION/bin/xl.
    pub toolstacks: Vec<String>,
    /// Names of running guests, as `xl list` says; empty where it cannot be asked.
    #[serde(default)]
    pub guests: Vec<String>,
    /// The same guests with their numbers, by which their links are called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
}

/// A running guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Domain {
    /// Its number in this run.
    pub id: u32,
    /// Its name.
    pub name: String,
}

/// The running hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunningXen {
    /// `4.17`, as Debian's wrapper forms it from /sys/hypervisor/version.
    pub version: String,
    /// With the extra part: `4.17.5`.
    pub full: String,
    /// Whether this machine is dom0 (`control_d` in /proc/xen/capabilities).
    pub dom0: bool,
}

/// A hypervisor in /boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hypervisor {
    /// `/boot/xen-4.17-amd64.gz`.
    pub path: PathBuf,
    /// `4.17-amd64`.
    pub name: String,
    /// Whether its .config says CONFIG_SHADOW_PAGING=y; `None` without a .config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_paging: Option<bool>,
    /// Whether its .config says CONFIG_PV32=y.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pv32: Option<bool>,
}

/// A Linux kernel in /boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// `6.1.0-56-amd64`.
    pub version: String,
    /// Whether it can be dom0 (CONFIG_XEN_DOM0=y, what 20_linux_xen greps); `None` without a config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dom0: Option<bool>,
    /// Whether it is running now.
    pub running: bool,
}

/// Boot loader and what it will do next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Boot {
    /// Which loader started this system, as far as can be told.
    pub loader: Loader,
    /// What shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub loader_sign: String,
    /// UUID of the root file system, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_uuid: Option<String>,
    /// `/etc/default/grub` and its drop-ins in the order they are read, with the variables that result.
    pub grub_files: Vec<PathBuf>,
    /// Variables that result (GRUB_DEFAULT, GRUB_DISABLE_SUBMENU, GRUB_CMDLINE_XEN, …).
    pub grub: BTreeMap<String, String>,
    /// Where each variable was set last, those of [`Boot::grub_unknown`] included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grub_set_at: BTreeMap<String, At>,
    /// Variables whose value only a shell could tell; they are not in [`Boot::grub`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grub_unknown: BTreeMap<String, String>,
    /// What /boot/grub/grub.cfg sets as default: an id path, a title path, a number or `${saved_entry}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub menu_default: Option<String>,
    /// The language it was made in (`set lang=`); `None` where it was made in none, as for a serial console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub menu_lang: Option<String>,
    /// Entries of /boot/grub/grub.cfg: submenus' entries follow their submenu.
    pub entries: Vec<GrubEntry>,
    /// Why grubenv cannot be written by GRUB at boot; empty where it can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub grubenv_obstacle: String,
    /// Variables in grubenv.
    pub grubenv: BTreeMap<String, String>,
    /// GRUB asks for a password.
    #[serde(default)]
    pub grub_password: Option<At>,
    /// kexec-tools is configured to take reboots (LOAD_KEXEC=true).
    #[serde(default)]
    pub kexec_reboots: Option<At>,
    /// Free bytes in /boot.
    pub boot_free: u64,
    /// /boot is a file system of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub boot_separate: bool,
    /// Free bytes in the file system of /var.
    pub var_free: u64,
    /// The root file system is on a network (NFS, iSCSI, …): the device or option that shows it.
    #[serde(default)]
    pub root_on_network: Option<String>,
    /// The root file system's encryption is unlocked over the network (dropbear-initramfs, clevis, …).
    #[serde(default)]
    pub unlocked_over_network: Option<String>,
    /// Words of /proc/cmdline.
    pub cmdline: String,
    /// xenup's package is here, whose units try a newer Xen or kernel before it is what boots by itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub can_try_newer: bool,
    /// An entry of GRUB's is kept as known to boot.
    #[serde(default, skip_serializing_if = "is_false")]
    pub known_good: bool,
    /// Those units are enabled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub newer_is_tried: bool,
}

/// A boot loader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// GRUB 2.
    Grub,
    /// systemd-boot.
    SystemdBoot,
    /// rEFInd, LILO, extlinux, a provider's own.
    Other,
    /// No sign of any.
    #[default]
    Unknown,
}

/// One entry of GRUB's menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrubEntry {
    /// Title.
    pub title: String,
    /// `$menuentry_id_option`.
    pub id: String,
    /// Ids of the submenus around it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// Whether it is a submenu.
    #[serde(default)]
    pub submenu: bool,
    /// Whether it boots Xen (multiboot of a hypervisor).
    pub xen: bool,
    /// The Linux kernel's version it boots, as far as the file name tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The hypervisor's file name, where it boots Xen: `xen-4.17-amd64.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// Whether it needs no password (`--unrestricted`) where GRUB asks for one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unrestricted: bool,
}

/// NICs and who owns them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkFacts {
    /// What the kernel has.
    #[schemars(with = "serde_json::Value")]
    pub kernel: Network,
    /// Physical NICs, by name.
    pub nics: Vec<Nic>,
    /// Files of the owner's configuration as read, so that a plan can be made from facts alone.
    pub files: Vec<ConfigFile>,
    /// Files beside the owner's configuration that name a NIC (firewall, sysctl, services, tunnels).
    #[serde(default)]
    pub mentions: Vec<Mention>,
    /// DHCP clients that run: program, link, pid file, lease file.
    #[serde(default)]
    pub dhcp_clients: Vec<DhcpClient>,
    /// The chain that drops forwarded packets by policy (Docker sets one): `ip filter FORWARD`.
    #[serde(default)]
    pub forward_drop: Option<String>,
    /// The chain that drops by policy what is meant for dom0 itself: `inet filter input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_drop: Option<String>,
    /// Bridged packets pass iptables too (`net.bridge.bridge-nf-call-iptables`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub bridge_nf_call: bool,
    /// IPv4 packets are forwarded from link to link (`net.ipv4.ip_forward`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub forwarding: bool,
    /// Links whose IPv4 packets are forwarded though `forwarding` is off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwards_from: Vec<String>,
    /// `net.ipv4.conf.all.accept_redirects` is 0 though `forwarding` is off: somebody's own wish.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refuses_redirects: bool,
    /// Links on which the kernel answers for others (`net.ipv4.conf.LINK.proxy_arp`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_arp: Vec<String>,
    /// The line of sysctl.d(5) that switches forwarding off at boot, in spite of a file of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarding_off: Option<At>,
    /// Names that are configured, but that no link has: a NIC that was renamed or taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentNic>,
    /// Why the interfaces files could not be read, with path and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interfaces_error: Option<String>,
    /// What netplan's files say of each device, all of them merged; empty where netplan is not installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub netplan: Vec<NetplanDevice>,
    /// How DHCP servers know the links that systemd-networkd configures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networkd: Vec<NetworkdClient>,
    /// What NetworkManager has on its NICs and on the bridges over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manager: Vec<ManagedLink>,
    /// `/run/network/ifstate`, line by line.
    #[serde(default)]
    pub ifstate: Vec<String>,
}

impl NetworkFacts {
    /// Returns the NIC of that name.
    #[must_use]
    pub fn nic(&self, name: &str) -> Option<&Nic> {
        self.nics.iter().find(|nic| nic.name == name)
    }
}

/// A physical NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nic {
    /// Name.
    pub name: String,
    /// Address burnt in, else the one in use.
    #[schemars(with = "Option<String>")]
    pub mac: Option<Mac>,
    /// Kernel driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// `bond` or `vlan`, or `veth` in a container or a namespace; `None` for a physical NIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where it is plugged in, by udev's ID_PATH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it is wireless.
    #[serde(default)]
    pub wireless: bool,
    /// Who owns its configuration; more than one is a finding.
    pub owners: Vec<Owner>,
    /// The bridge or bond it is in already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Whether the default route leaves by it.
    #[serde(default)]
    pub default_route: bool,
}

/// A name that is configured, but that no link has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AbsentNic {
    /// The name.
    pub name: String,
    /// Whose configuration names it.
    pub owner: OwnerKind,
    /// Where.
    pub at: At,
}

/// Who owns a NIC's configuration, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// Which program.
    pub kind: OwnerKind,
    /// The lines that name the NIC.
    pub at: Vec<At>,
}

/// A program that configures NICs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// ifupdown, /etc/network/interfaces.
    Ifupdown,
    /// systemd-networkd.
    Networkd,
    /// netplan, whatever stands behind it.
    Netplan,
    /// NetworkManager.
    NetworkManager,
}

impl OwnerKind {
    /// Returns the program's own name.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Ifupdown => "ifupdown",
            Self::Networkd => "systemd-networkd",
            Self::Netplan => "netplan",
            Self::NetworkManager => "NetworkManager",
        }
    }
}

/// A configuration file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFile {
    /// Path.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A place that names a NIC and would stop matching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mention {
    /// Where.
    pub at: At,
    /// The NIC.
    pub nic: String,
    /// The line.
    pub text: String,
    /// What the file belongs to: `nftables`, `sysctl`, `wireguard`, `systemd`, …
    pub of: String,
}

/// A running DHCP client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpClient {
    /// `dhclient`, `dhcpcd`.
    pub program: String,
    /// Process id.
    pub pid: u32,
    /// Its command line.
    pub args: Vec<String>,
    /// The link it serves.
    pub link: String,
}

/// Where a session comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The client's address.
    pub client: IpAddr,
    /// Our address.
    pub server: IpAddr,
    /// Our port.
    pub port: u16,
    /// The link our address is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Services that matter to a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// systemd is running as the init.
    pub systemd: bool,
    /// An apt or dpkg run is under way: who holds the lock.
    #[serde(default)]
    pub apt_busy: Option<String>,
    /// cloud-init rewrites the network file at boot: the file.
    #[serde(default)]
    pub cloud_init_network: Option<PathBuf>,
    /// Watchdog devices.
    #[serde(default)]
    pub watchdogs: Vec<PathBuf>,
    /// The line that lets apt upgrade by itself (APT::Periodic::Unattended-Upgrade).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattended_upgrades: Option<At>,
    /// Units of interest that are active (`docker.service`, `libvirtd.service`, `unattended-upgrades.service`, …).
    #[serde(default)]
    pub active: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}
