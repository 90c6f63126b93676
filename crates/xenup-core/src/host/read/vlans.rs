//! VLANs in host.toml. Decides: `vlan`, the one that is made for a bridge, and `vlans`, those that a VLAN-aware bridge lets
//! guests have; never whether a cable carries them.

use std::str::FromStr as _;

use toml_edit::Value;
use xenup_machine::network::VlanRange;

use super::{LONGEST_NAME, Reader, Section, with_article};
use crate::host::{AddressPolicy, Host, Vlan};

/// IEEE 802.1Q: twelve bits, of which all zeros and all ones mean something else.
const MOST_VLAN: u16 = 4094;
/// The kernel's own for frames without a tag (`vlan_default_pvid`).
const WITHOUT_TAG: u16 = 1;

impl Reader<'_, '_> {
    /// The VLAN, if one is asked for; nothing at all where it cannot be had.
    pub(super) fn vlan(
        &mut self,
        section: Section<'_>,
        nic: &str,
        address: AddressPolicy,
    ) -> Option<Option<Vlan>> {
        if !section.table.contains_key("vlan") {
            return Some(None);
        }
        let found = self.integer(section, "vlan")?;
        let tag = u16::try_from(found.value).ok().filter(|tag| (1..=MOST_VLAN).contains(tag));
        let Some(tag) = tag else {
            let what = format!("{} is no VLAN", found.value);
            self.fault(found.span, what, format!("write 1 to {MOST_VLAN}, as the switch has it"));
            return None;
        };
        let port = format!("{nic}.{tag}");
        if port.len() > LONGEST_NAME {
            let what = format!("`{port}` has {} bytes; a link's name has {LONGEST_NAME} at most", port.len());
            self.fault(found.span, what, "give the NIC a shorter name by a file for systemd.link(5)");
            return None;
        }
        if address == AddressPolicy::Keep {
            let what =
                format!("the VLAN {port} is made for this bridge, and has no address that it could keep");
            let hint =
                format!("write address = \"none\"; for a VLAN that is there already, ports = [\"{port}\"]");
            self.fault(found.span, what, hint);
            return None;
        }
        Some(Some(Vlan { nic: nic.to_owned(), tag }))
    }

    /// The VLANs that guests may have; nothing at all where they cannot be had.
    pub(super) fn vlans(&mut self, section: Section<'_>, vlan: Option<&Vlan>) -> Option<Vec<VlanRange>> {
        let Some(item) = section.table.get("vlans") else { return Some(Vec::new()) };
        let span = self.span(section, "vlans");
        let hint = "write numbers and rows of them, such as vlans = [100, \"200-209\"]";
        if let Some(vlan) = vlan {
            let what = format!("a bridge over VLAN {} alone has no others to give", vlan.tag);
            self.fault(span, what, "remove `vlan`, or `vlans`");
            return None;
        }
        let Some(array) = item.as_array().filter(|array| !array.is_empty()) else {
            self.fault(span, "`vlans` is no list of VLANs", hint);
            return None;
        };
        let mut ranges = Vec::new();
        for value in array {
            let span = value.span().unwrap_or(span.clone());
            match range(value) {
                Ok(range) if range.has(WITHOUT_TAG) => {
                    let what = "VLAN 1 is the bridge's own, for frames without a tag";
                    self.fault(span, what, "leave it out: dom0 and guests that name no VLAN have it");
                }
                Ok(range) => ranges.push(range),
                Err(what) => self.fault(span, what, hint),
            }
        }
        Some(VlanRange::joined(ranges))
    }

    /// The kernel hands a tagged frame to the NIC's own VLAN before a bridge sees it.
    pub(super) fn taken_tags(&mut self, host: &Host) {
        for bridge in host.bridges.iter().filter(|bridge| !bridge.vlans.is_empty()) {
            let taken = host.bridges.iter().find_map(|other| {
                let vlan = other.vlan.as_ref().filter(|vlan| vlan.nic == bridge.port)?;
                bridge.vlans.iter().any(|range| range.has(vlan.tag)).then_some((other, vlan.tag))
            });
            if let Some((other, tag)) = taken {
                let what = format!(
                    "VLAN {tag} of `{}` is that of `{}`, line {}",
                    bridge.name, other.name, other.line
                );
                self.fault_at(bridge.line, what, "give it to one of them");
            }
        }
    }
}

fn range(value: &Value) -> Result<VlanRange, String> {
    if let Some(number) = value.as_integer() {
        let tag = u16::try_from(number).ok().and_then(|tag| VlanRange::new(tag, tag));
        return tag.ok_or_else(|| format!("{number} is no VLAN"));
    }
    let Some(text) = value.as_str() else {
        return Err(format!("`vlans` holds {}", with_article(value.type_name())));
    };
    VlanRange::from_str(text).map_err(|_| format!("`{}` is no VLAN and no row of them", text.escape_debug()))
}
