//! The text of new stanzas.
//! It decides how a bridge is spelt for bridge-utils 1.7 on Debian 12 and 13. It never decides what moves.

use super::address::HwAddress;
use super::request::BridgeRequest;

/// How long a boot waits for a NIC that udev brings late (USB, slow firmware).
pub(super) const LATE_PORT_SECONDS: u32 = 20;

/// What a bridge's stanzas say beside what moved up.
#[derive(Debug, Clone)]
pub(super) struct BridgeLines<'a> {
    pub request: &'a BridgeRequest,
    /// The Ethernet address to pin, where it is known.
    pub mac: Option<HwAddress>,
    pub wait_port: Option<u32>,
}

/// Whose work it is to create the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// bridge-utils: the script in if-pre-up.d.
    BridgeUtils,
    /// A `pre-up` command before that script runs; the script then neither creates nor waits.
    Before,
}

impl BridgeLines<'_> {
    /// Writes the `bridge_*` options. Each stanza of a bridge needs them (bridge-utils 1.6-6).
    pub fn options(&self, out: &mut String, creation: Creation) {
        let request = self.request;
        let ports = if request.ports.is_empty() { "none".to_owned() } else { request.ports.join(" ") };
        option(out, "bridge_ports", &ports);
        // The address itself, not the NIC's name: it holds even when the NIC appears after the bridge. Without it
        // systemd's MACAddressPolicy=persistent makes one up.
        match (self.mac, request.ports.first()) {
            (Some(mac), _) => option(out, "bridge_hw", &mac.to_string()),
            (None, Some(port)) => option(out, "bridge_hw", port),
            (None, None) => {}
        }
        option(out, "bridge_stp", if request.stp { "on" } else { "off" });
        option(out, "bridge_fd", &request.forward_delay.to_string());
        option(out, "bridge_maxwait", &request.max_wait.to_string());
        if let (Some(seconds), Creation::BridgeUtils) = (self.wait_port, creation) {
            option(out, "bridge_waitport", &format!("{seconds} {ports}"));
        }
        if request.vlans.is_empty() {
            return;
        }
        option(out, "bridge_vlan_aware", "yes");
        // bridge-utils has no option for them. The bridge's ports are there by then.
        for port in &request.ports {
            for vlans in &request.vlans {
                option(out, "up", &format!("bridge vlan add dev {port} vid {vlans}"));
            }
        }
    }

    /// Writes the commands that keep IPv6 off a bridge that is for guests alone.
    ///
    /// bridge-utils creates the bridge and sets it up in one script, so the kernel would have made a link-local
    /// address before any command of ours: the bridge is created first, with no address to be generated.
    pub fn no_addresses(&self, out: &mut String) {
        let request = self.request;
        if let (Some(seconds), Some(port)) = (self.wait_port, request.ports.first()) {
            let until = format!("until test -d /sys/class/net/{port}; do sleep 1; done");
            option(out, "pre-up", &format!("timeout {seconds} sh -c '{until}' || true"));
        }
        let address = match (self.mac, request.ports.first()) {
            (Some(mac), _) => format!(" address {mac}"),
            (None, Some(port)) => format!(" address $(cat /sys/class/net/{port}/address)"),
            (None, None) => String::new(),
        };
        let filtering = if !request.vlans.is_empty() { " vlan_filtering 1" } else { "" };
        let create = format!("ip link add name $IFACE{address} type bridge{filtering}");
        option(out, "pre-up", &format!("test -d /sys/class/net/$IFACE || {create}"));
        let no_link_local = "ip link set dev $IFACE addrgenmode none";
        option(out, "pre-up", &format!("test ! -e /proc/sys/net/ipv6/conf/$IFACE || {no_link_local}"));
        let conf = "net/ipv6/conf/$IFACE";
        option(out, "pre-up", &format!("sysctl -q -e -w {conf}/accept_ra=0 {conf}/autoconf=0 || true"));
    }
}

/// Writes one option.
pub(super) fn option(out: &mut String, name: &str, value: &str) {
    // A value can end in a backslash (before a carriage return it continues nothing): a blank behind it keeps it so.
    let end = if value.ends_with('\\') { " \n" } else { "\n" };
    out.extend(["\t", name, " ", value, end]);
}

/// Writes the command that keeps IPv6 off a port that ifup brings up before its bridge.
pub(super) fn no_ipv6_on_port(out: &mut String) {
    option(out, "up", "sysctl -q -e -w net/ipv6/conf/$IFACE/disable_ipv6=1 || true");
}
