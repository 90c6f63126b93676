//! What is wanted of this machine: `host.toml`, host.toml(5).
//!
//! Decides: which wishes can be written, and that each makes sense by itself and beside the others.
//! Never: looks at a machine. Whether a wish can be had here is decided by the plan, from the facts.

mod near;
pub(crate) use near::nearest;
mod read;
mod value;
mod write;

use std::path::{Path, PathBuf};

use serde::Serialize;
use xenup_machine::network::{Mac, VlanRange};

use crate::toml_file::FaultyFile;

pub use value::{Console, LinkName, Memory, Serial, Subnet};
pub use write::from_facts;

/// A host.toml that cannot be used, with everything that is wrong with it.
pub type HostError = FaultyFile;

/// Where it stands on the machine.
pub const PATH: &str = "/etc/xenup/host.toml";

/// All wishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// The hypervisor.
    pub xen: Xen,
    /// What boots.
    pub boot: Boot,
    /// Bridges over a NIC, in the order written.
    #[serde(rename = "bridge")]
    pub bridges: Vec<Bridge>,
    /// Bridges behind dom0's own address.
    #[serde(rename = "nat")]
    pub nats: Vec<Nat>,
    /// Bridges that dom0 routes to.
    #[serde(rename = "routed", skip_serializing_if = "Vec::is_empty")]
    pub routed: Vec<Routed>,
    /// Bridges of guests among themselves.
    #[serde(rename = "isolated", skip_serializing_if = "Vec::is_empty")]
    pub isolated: Vec<Isolated>,
    /// What happens to guests.
    pub guests: Guests,
    /// The file that was read, for findings.
    #[serde(skip)]
    pub path: PathBuf,
}

/// `[xen]`: the hypervisor's command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Xen {
    /// Memory of dom0; `None` leaves it all the machine has.
    pub dom0_memory: Option<Memory>,
    /// Virtual processors of dom0; `None` leaves it all the machine has.
    pub dom0_vcpus: Option<u32>,
    /// Where Xen writes; `None` leaves it to Xen (the screen).
    pub console: Option<Console>,
    /// Further words, as written.
    pub options: Vec<String>,
}

/// `[boot]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Boot {
    /// What boots when nobody chooses.
    pub default: DefaultBoot,
}

/// What boots when nobody chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultBoot {
    /// Xen, once a trial boot was confirmed.
    #[default]
    Xen,
    /// Linux; Xen can be chosen from the menu.
    Linux,
}

/// `[[bridge]]`: a bridge over one NIC or bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bridge {
    /// Its name.
    pub name: LinkName,
    /// The NIC or bond; with `vlan`, the VLAN on it, as `eno1.100`.
    pub port: String,
    /// The VLAN that the port is and that is made with the bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// VLANs of the cable that guests may have; with any, the bridge is VLAN-aware.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<VlanRange>,
    /// Other names by which guests of an older host know it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The NIC's permanent address, by which its name is pinned; `None` pins nothing.
    pub mac: Option<Mac>,
    /// What dom0 has there.
    pub address: AddressPolicy,
    /// The line of host.toml, for findings.
    #[serde(skip)]
    pub line: u32,
}

/// A VLAN that is made for a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vlan {
    /// The NIC or bond that carries it.
    pub nic: String,
    /// The tag, 1 to 4094.
    pub tag: u16,
}

impl Vlan {
    /// Returns the name of the VLAN's own link, such as `eno1.100`.
    #[must_use]
    pub fn link(&self) -> String {
        format!("{}.{}", self.nic, self.tag)
    }
}

impl Bridge {
    /// Returns the NIC or bond whose cable the bridge uses: the port, or what carries its VLAN.
    #[must_use]
    pub fn nic(&self) -> &str {
        self.vlan.as_ref().map_or(&self.port, |vlan| &vlan.nic)
    }
}

/// What dom0 has on a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressPolicy {
    /// What the port has today moves up to the bridge.
    Keep,
    /// Nothing, IPv6 included: the bridge is for guests alone.
    None,
}

/// `[[nat]]`: a bridge without a port, behind dom0's own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Nat {
    /// Its name.
    pub name: LinkName,
    /// Its network.
    pub subnet: Subnet,
    /// dom0's address in it: the first one unless written.
    pub address: std::net::Ipv4Addr,
    /// The line of host.toml, for findings.
    #[serde(skip)]
    pub line: u32,
}

/// `[[routed]]`: a bridge without a port, to whose guests dom0 routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Routed {
    /// Its name.
    pub name: LinkName,
    /// dom0's address there, the guests' gateway.
    pub address: std::net::Ipv4Addr,
    /// The network of that address; of 32 bits where it is the address alone.
    pub network: Subnet,
    /// Further networks, and single addresses, that are sent to guests there.
    pub routes: Vec<Subnet>,
    /// Whether dom0 answers for them on its own cable.
    pub proxy_arp: bool,
    /// The line of host.toml, for findings.
    #[serde(skip)]
    pub line: u32,
}

/// `[[isolated]]`: a bridge without a port and without an address: guests among themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Isolated {
    /// Its name.
    pub name: LinkName,
    /// The line of host.toml, for findings.
    #[serde(skip)]
    pub line: u32,
}

/// `[guests]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Guests {
    /// What happens to them when dom0 goes down; `None` leaves xendomains as it is.
    pub on_shutdown: Option<OnShutdown>,
}

/// What happens to guests when dom0 goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnShutdown {
    /// They are shut down.
    Shutdown,
    /// Their memory is saved under /var/lib/xen/save and restored at the next start.
    Save,
}

impl Host {
    /// Reads host.toml. `path` is only for the errors, and for findings later.
    ///
    /// # Errors
    /// Every fault found, each with line, column and a hint: text that is not UTF-8 or not TOML, unknown or missing
    /// keys, wrong types, names, addresses and words that cannot be used, two bridges that exclude each other.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, HostError> {
        read::read(path, bytes)
    }

    /// Returns the bridge over that port.
    #[must_use]
    pub fn bridge_over(&self, port: &str) -> Option<&Bridge> {
        self.bridges.iter().find(|bridge| bridge.port == port)
    }
}
