//! A NIC's name, pinned by its permanent address. Decides which names are pinned and by which file; never writes it.

use std::path::PathBuf;

use xenup_machine::network::Mac;

use crate::host::{Bridge, Host};
use crate::inspect::facts::Facts;

/// A systemd.link(5) file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The NIC.
    pub port: String,
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Returns the pins for the bridges whose `mac` is given and whose NIC no other file pins.
///
/// A NIC whose driver tells no permanent address is left out: its bridge has the same address, and would be matched
/// too. So is one named by the kernel (`eth0`): udev cannot rename into the kernel's own names.
#[must_use]
pub fn pins(facts: &Facts, host: &Host) -> Vec<Pin> {
    host.bridges.iter().filter_map(|bridge| pin(facts, bridge)).collect()
}

fn pin(facts: &Facts, bridge: &Bridge) -> Option<Pin> {
    let mac = bridge.mac?;
    let link = facts.network.kernel.link(&bridge.port)?;
    if link.permanent_mac != Some(mac) || link.kind.is_some() || is_kernels_name(&bridge.port) {
        return None;
    }
    let path = PathBuf::from(format!("/etc/systemd/network/10-xenup-{}.link", bridge.port));
    let others = facts.files.iter().filter(|file| file.path != path);
    if others
        .filter(|file| file.path.extension().is_some_and(|end| end == "link"))
        .any(|file| names(&file.text, mac))
    {
        return None;
    }
    let text = format!(
        "\
# Written by xenup: {port} is the port of {bridge} and keeps its name, whatever else changes in the machine.
# See systemd.link(5). The initramfs has a copy.
[Match]
PermanentMACAddress={mac}

[Link]
Name={port}
AlternativeNamesPolicy=database onboard slot path
",
        port = bridge.port,
        bridge = bridge.name,
    );
    Some(Pin { port: bridge.port.clone(), path, text })
}

fn is_kernels_name(name: &str) -> bool {
    let digits =
        |prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit()));
    digits("eth") || digits("wlan")
}

fn names(text: &str, mac: Mac) -> bool {
    let mac = mac.to_string();
    text.to_ascii_lowercase().replace('-', ":").contains(&mac)
}
