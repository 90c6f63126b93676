//! The machine's network: whose files say what, and how a NIC becomes a bridge's port.
//!
//! Decides: the edits to the owner's files and the sequence of link operations.
//! Never: touches a file or a link.

pub mod dhcp;
pub mod dhcpcd;
pub mod forwarding;
pub mod guest_vlans;
pub mod ifupdown;
pub mod import;
pub mod interfaces;
pub mod manager;
pub mod nat;
pub mod netplan;
pub mod networkd;
pub mod other_names;
pub mod owner;
pub mod pin;
pub mod plan;
pub mod portless;
pub mod refuse;
pub mod routed;
pub mod show;
pub mod switch;
pub(crate) mod units;

/// Returns a text in one line: a comment ends with its line, and neither TOML nor XML takes a control character.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
