//! Which NICs a netplan file configures.
//!
//! Decides: the devices below `ethernets:`, `wifis:` and `bonds:`, by the file's indentation (netplan-yaml(5)).
//! Never: reads what is configured; merging and rendering are netplan's.

use std::path::Path;

use super::super::facts::{At, Nic};
use crate::network::interfaces::glob::Pattern;

/// A device of a netplan file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// Its key; the NIC's name where there is no `match:`.
    pub id: String,
    /// The line of the key.
    pub line: u32,
    /// Whether it has a `match:`.
    pub matched: bool,
    /// `match: name:`, a pattern.
    pub name: Option<String>,
    /// `match: macaddress:`.
    pub mac: Option<String>,
    /// `set-name:`.
    pub set_name: Option<String>,
}

impl Device {
    /// Returns whether it is about this NIC.
    pub fn is_about(&self, nic: &Nic, mac: Option<String>) -> bool {
        if self.set_name.as_deref() == Some(&nic.name) {
            return true;
        }
        if !self.matched {
            return self.id == nic.name;
        }
        let name = self.name.as_deref().is_none_or(|pattern| Pattern::new(pattern).matches(&nic.name));
        let mac = self.mac.as_deref().is_none_or(|own| mac.is_some_and(|mac| own.eq_ignore_ascii_case(&mac)));
        name && mac
    }
}

/// Where a NIC's name stands in a file that is not written in block style, as a last resort.
pub(super) fn named(path: &Path, text: &str, nic: &str) -> Option<At> {
    let line = (1..).zip(text.lines()).find(|(_, line)| super::mentions::names(line, nic))?.0;
    Some(At { path: path.to_owned(), line })
}

struct Line<'a> {
    number: u32,
    indent: usize,
    key: String,
    value: &'a str,
}

/// Returns the devices of a file in block style; `None` for one in flow style, which is not taken apart.
pub(super) fn devices(text: &str) -> Option<Vec<Device>> {
    let lines: Vec<Line<'_>> =
        (1..).zip(text.lines()).filter_map(|(number, line)| key(number, line)).collect();
    let mut devices = Vec::new();
    for (index, section) in lines.iter().enumerate() {
        if !matches!(section.key.as_str(), "ethernets" | "wifis" | "bonds" | "modems") {
            if section.key == "network" && section.value.starts_with('{') {
                return None;
            }
            continue;
        }
        if section.value.starts_with('{') && section.value != "{}" {
            return None;
        }
        let below = lines[index + 1..].iter().take_while(|line| line.indent > section.indent);
        devices.extend(section_devices(&below.collect::<Vec<_>>()));
    }
    Some(devices)
}

fn section_devices(lines: &[&Line<'_>]) -> Vec<Device> {
    let Some(indent) = lines.first().map(|line| line.indent) else { return Vec::new() };
    let mut devices: Vec<Device> = Vec::new();
    let mut matching = None;
    for line in lines {
        if line.indent <= indent {
            devices.push(Device { id: line.key.clone(), line: line.number, ..Device::default() });
            matching = None;
            continue;
        }
        let Some(device) = devices.last_mut() else { continue };
        match (line.key.as_str(), matching) {
            ("match", _) => {
                device.matched = true;
                matching = Some(line.indent);
                flow_match(line.value, device);
            }
            (_, Some(outer)) if line.indent > outer => set(device, &line.key, line.value),
            ("set-name", _) => device.set_name = Some(scalar(line.value)),
            _ => matching = None,
        }
    }
    devices
}

/// `match: {name: "en*", macaddress: …}` on one line.
fn flow_match(value: &str, device: &mut Device) {
    let inner = value.trim_start_matches('{').trim_end_matches('}');
    for pair in inner.split(',') {
        if let Some((name, value)) = pair.split_once(": ") {
            set(device, &scalar(name), value);
        }
    }
}

fn set(device: &mut Device, key: &str, value: &str) {
    match key {
        "name" => device.name = Some(scalar(value)),
        "macaddress" => device.mac = Some(scalar(value)),
        _ => {}
    }
}

/// Takes a line `key: value` apart; a list item, a comment or a blank line is none.
fn key(number: u32, line: &str) -> Option<Line<'_>> {
    let body = line.trim_start_matches(' ');
    let indent = line.len() - body.len();
    if body.starts_with(['#', '-']) || body.trim().is_empty() {
        return None;
    }
    let body = body.split(" #").next().unwrap_or_default().trim_end();
    let (key, value) = body.split_once(": ").or_else(|| Some((body.strip_suffix(':')?, "")))?;
    Some(Line { number, indent, key: scalar(key), value: value.trim() })
}

fn scalar(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::devices;

    #[test]
    fn devices_are_keys_below_their_section() {
        let text = "# cloud-init\nnetwork:\n  version: 2\n  ethernets:\n    eno1:\n      dhcp4: true\n      nameservers:\n\
                    \x20       addresses: [192.0.2.1]\n    \"lan\":  # by address\n      match:\n        macaddress: \"52:54:00:aa:bb:cc\"\n\
                    \x20     set-name: eno2\n    all:\n      match: {name: \"en*\"}\n  bridges:\n    br0:\n      interfaces: [eno1]\n";
        let found = devices(text).unwrap();
        let ids: Vec<_> = found.iter().map(|device| (&device.id[..], device.line, device.matched)).collect();
        assert_eq!(ids, [("eno1", 5, false), ("lan", 9, true), ("all", 13, true)]);
        assert_eq!(found[1].mac.as_deref(), Some("52:54:00:aa:bb:cc"));
        assert_eq!(found[1].set_name.as_deref(), Some("eno2"));
        assert_eq!(found[2].name.as_deref(), Some("en*"));
        assert!(devices("network: {ethernets: {eno1: {dhcp4: true}}}\n").is_none());
        assert!(devices("").unwrap().is_empty());
    }
}
