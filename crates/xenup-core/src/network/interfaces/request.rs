//! What is asked of the interfaces files, what comes back, and what is refused.
//! It decides the shapes and the words. The decisions themselves are in `bridge`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use xenup_machine::network::VlanRange;

use super::address::HwAddress;
use super::error::{InterfacesError, Place};

/// The kernel's limit for an interface name: `IFNAMSIZ` less its NUL.
pub(super) const NAME_MAX: usize = 15;

/// xenup's own file among the owner's.
pub const OWN_FILE: &str = "/etc/network/interfaces.d/xenup";

/// The bridges that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// The bridges, in order.
    #[serde(rename = "bridge")]
    pub bridges: Vec<BridgeRequest>,
    /// The file for new stanzas, used where a `source` line covers it.
    #[serde(default = "own_file")]
    pub file: PathBuf,
}

fn own_file() -> PathBuf {
    OWN_FILE.into()
}

/// One bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BridgeRequest {
    /// Its name.
    pub name: String,
    /// Its ports; none for a bridge among guests.
    pub ports: Vec<String>,
    /// Its Ethernet address: the port's, so that leases and filters of the provider go on.
    #[serde(default)]
    pub mac: Option<HwAddress>,
    /// What becomes of the port's addresses.
    pub address: BridgeAddress,
    /// Spanning tree protocol.
    #[serde(default)]
    pub stp: bool,
    /// Seconds of forward delay; 0 as long as spanning tree is off.
    #[serde(default)]
    pub forward_delay: u32,
    /// Seconds to wait for ports to forward.
    #[serde(default)]
    pub max_wait: u32,
    /// Seconds to wait for ports to appear; chosen by xenup where it is not given.
    #[serde(default)]
    pub wait_port: Option<u32>,
    /// VLANs that the ports let through with their tags; any makes the bridge VLAN-aware.
    #[serde(default)]
    pub vlans: Vec<VlanRange>,
    /// Networks that are sent there without a gateway, such as `198.51.100.0/28`; for a bridge without a port.
    #[serde(default)]
    pub routes: Vec<String>,
}

/// What becomes of the port's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeAddress {
    /// What the port has moves to the bridge.
    Keep,
    /// dom0 has no address there, IPv6 included.
    None,
    /// dom0 has this address there and no other, IPv6 included; for a bridge without a port.
    Fixed {
        /// The address.
        ip: Ipv4Addr,
        /// Length of its prefix in bits.
        length: u8,
    },
}

/// One file before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEdit {
    /// The file.
    pub path: PathBuf,
    /// Its bytes now; none where there is no such file.
    pub before: Option<Vec<u8>>,
    /// Its bytes then.
    pub after: Vec<u8>,
    /// Why, in one line.
    pub reason: String,
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Said, so that nothing is done in silence.
    Info,
    /// A person should look at it before `apply`.
    Warning,
}

/// What a note is about. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoteKind {
    /// The bridge is configured already.
    AlreadyBridged,
    /// The port of such a bridge still has a stanza that does something.
    PortStillConfigured,
    /// An address of a port is given up, because `address = "none"`.
    AddressGivenUp,
    /// A command was written anew for the bridge.
    HookRewritten,
    /// A command names the port, and xenup does not know what it does.
    HookNamesPort,
    /// A command is given up, because `address = "none"`.
    HookDropped,
    /// Options that belong to the NIC stay with it.
    StaysOnPort,
    /// Another stanza names the port.
    NamesPort,
    /// A VLAN stays on the NIC.
    VlanOnPort,
    /// An alias moves with its interface.
    AliasMoved,
    /// A pattern brings the port up, or may do so.
    PatternMatchesPort,
    /// `no-scripts` cannot hold for a bridge.
    NoScripts,
    /// cloud-init writes this file anew.
    CloudInit,
    /// Where the new stanzas go, where it is not xenup's own file.
    FileChosen,
    /// Nothing brought the port up at boot; the bridge comes up at boot.
    NotAutomatic,
    /// The Ethernet address asked for is not the one the stanza sets.
    HwAddress,
    /// A port gets its MTU by a command of its own.
    PortMtu,
    /// A DHCP client will run on the bridge.
    DhcpMoves,
    /// A gateway outside the subnet moves as it is.
    GatewayOutside,
    /// An include that reads nothing.
    IncludeSkipped,
}

/// Something to know about the change, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub kind: NoteKind,
    /// Where.
    pub at: Option<Place>,
    /// One sentence.
    pub message: String,
    /// One decision or command.
    pub hint: Option<String>,
}

/// The edits that bring the request about, and what to know about them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rewrite {
    /// One edit for each file, by path; empty where all is as asked.
    pub edits: Vec<FileEdit>,
    /// Notes, in the order of the files.
    pub notes: Vec<Note>,
}

/// Why a bridge is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The files themselves.
    #[error(transparent)]
    Interfaces(#[from] InterfacesError),
    /// A name the kernel or ifupdown cannot take.
    #[error("`{name}` cannot name {what}: {why}")]
    Name {
        /// The name.
        name: String,
        /// "a bridge" or "a port".
        what: &'static str,
        /// Why.
        why: &'static str,
    },
    /// Two bridges of one name.
    #[error("two bridges are called {0}")]
    SameName(String),
    /// One port in two bridges.
    #[error("{port} cannot be a port of both {first} and {second}")]
    SamePort {
        /// The port.
        port: String,
        /// One bridge.
        first: String,
        /// The other.
        second: String,
    },
    /// `keep` without a stanza to keep.
    #[error("{bridge}: address = \"keep\", but no stanza configures {ports}")]
    NothingToKeep {
        /// The bridge.
        bridge: String,
        /// The ports.
        ports: String,
    },
    /// `keep` with addresses on two ports.
    #[error("{bridge}: both {first} and {second} have addresses; a bridge can keep those of one port")]
    TwoAddressed {
        /// The bridge.
        bridge: String,
        /// One place.
        first: Place,
        /// The other.
        second: Place,
    },
    /// The bridge's name is taken.
    #[error("{at}: {name} is configured here already, and not as a bridge over {ports}")]
    NameTaken {
        /// Where.
        at: Place,
        /// The bridge.
        name: String,
        /// The ports asked for.
        ports: String,
    },
    /// The bridge exists with an address, and was asked for without.
    #[error("{at}: {name} has an address here, and address = \"none\" was asked for")]
    Addressed {
        /// Where.
        at: Place,
        /// The bridge.
        name: String,
    },
    /// The port belongs to another bridge or bond.
    #[error("{at}: {port} belongs to {owner} already")]
    Owned {
        /// Where.
        at: Place,
        /// The port.
        port: String,
        /// The bridge or bond.
        owner: String,
    },
    /// The stanza is chosen when the interface comes up.
    #[error(
        "{at}: which stanza configures {port} is chosen here when it comes up, so what it has cannot be moved"
    )]
    ChosenAtRun {
        /// Where.
        at: Place,
        /// The port.
        port: String,
    },
    /// The port gets another name when ifup runs.
    #[error("{at}: {port} is renamed here by ifup")]
    Renamed {
        /// Where.
        at: Place,
        /// The port.
        port: String,
    },
    /// A method a bridge cannot have.
    #[error("{at}: {port} is configured by method {method}, which cannot move to a bridge")]
    Method {
        /// Where.
        at: Place,
        /// The port.
        port: String,
        /// The method.
        method: String,
    },
    /// A wireless NIC.
    #[error("{at}: {port} is wireless, and an access point takes frames of its own station only")]
    Wireless {
        /// Where.
        at: Place,
        /// The port.
        port: String,
    },
    /// Another stanza inherits from one that would go.
    #[error("{at}: {heir} inherits from {port}'s stanza, which would be out of force")]
    Inherited {
        /// Where.
        at: Place,
        /// The heir.
        heir: String,
        /// The port.
        port: String,
    },
}

impl BridgeError {
    /// One runnable command or one decision that helps, where there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Interfaces(error) => return error.hint(),
            Self::Name { .. } => format!("choose a name of at most {NAME_MAX} bytes, such as xenbr0"),
            Self::SameName(_) | Self::SamePort { .. } => "take one of the two out of host.toml".to_owned(),
            Self::NothingToKeep { .. } => "set address = \"none\" if dom0 needs no address there".to_owned(),
            Self::TwoAddressed { .. } => "make two bridges of it, each with one port".to_owned(),
            Self::NameTaken { .. } => {
                "choose another name, or name the ports that are written there".to_owned()
            }
            Self::Addressed { .. } => "set address = \"keep\", or take the address out there".to_owned(),
            Self::Owned { owner, .. } => format!("use {owner} instead, or take the port out there"),
            Self::ChosenAtRun { port, .. } => {
                format!("give {port} a stanza of its own and name it without `=`")
            }
            Self::Renamed { .. } => "name the port as it is called after the renaming".to_owned(),
            Self::Method { .. } => "bridge another NIC, or give guests NAT behind dom0".to_owned(),
            Self::Wireless { .. } => "use [[nat]] in host.toml".to_owned(),
            Self::Inherited { heir, .. } => format!("give {heir} its options itself"),
        })
    }
}
