//! What the programs that configure a link have on it: their DHCP clients' identities, and their profiles. Decides the form
//! of these facts; never gathers them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The DHCP clients of systemd-networkd on a link, as `networkctl status` shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkdClient {
    /// The link.
    pub link: String,
    /// IAID of the DHCPv4 client, where its identifier has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iaid4: Option<u32>,
    /// IAID of the DHCPv6 client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iaid6: Option<u32>,
}

/// What NetworkManager has on a link, as `nmcli` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManagedLink {
    /// The link.
    pub link: String,
    /// UUID of the profile that is active on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// That profile's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<PathBuf>,
    /// The identifier by which its DHCPv4 server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client4: Option<String>,
}
