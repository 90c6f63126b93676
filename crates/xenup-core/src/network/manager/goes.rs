//! Where a setting of the NIC's profile belongs once the NIC is a port. Decides by nm-settings-keyfile(5); a setting that
//! has no place there refuses the plan.

use crate::network::owner::Goes;

/// Returns where a setting belongs.
pub(super) fn goes(group: &str, key: &str) -> Goes {
    match (group, key) {
        ("connection", "zone" | "metered" | "mdns" | "llmnr" | "dns-over-tls" | "dnssec" | "stable-id")
        | ("connection", "gateway-ping-timeout" | "secondaries" | "mptcp-flags" | "ip-ping-addresses")
        | ("connection", "ip-ping-timeout" | "ip-ping-addresses-require-all") => Goes::ToBridge,
        ("connection", "lldp" | "wait-device-timeout") => Goes::ToPort,
        (
            "connection",
            "id"
            | "uuid"
            | "type"
            | "interface-name"
            | "autoconnect"
            | "autoconnect-priority"
            | "autoconnect-retries"
            | "autoconnect-slaves"
            | "autoconnect-ports"
            | "timestamp"
            | "read-only"
            | "auth-retries"
            | "wait-activation-delay"
            | "down-on-poweroff",
        ) => Goes::Away,
        ("ethernet", "mtu") => Goes::ToBoth,
        (
            "ethernet",
            "mac-address" | "mac-address-blacklist" | "mac-address-denylist" | "generate-mac-address-mask",
        ) => Goes::Away,
        ("ethernet", key) if !key.starts_with("s390-") => Goes::ToPort,
        ("ethtool" | "sriov" | "dcb" | "link" | "tc", _) => Goes::ToPort,
        // A port's own group has no keys unless it is one.
        ("ipv4" | "ipv6" | "proxy", _) => Goes::ToBridge,
        ("user" | ".nmmeta" | "nm-cli" | "match", _) => Goes::Away,
        _ => Goes::Nowhere,
    }
}
