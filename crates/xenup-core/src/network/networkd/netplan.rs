//! A NIC of netplan's that systemd-networkd configures.
//!
//! Decides: whether it is one, and what it needs beside the files that any NIC of systemd-networkd needs. netplan writes
//! /run/systemd/network/10-netplan-ID.network at each boot (netplan-generate(8)), and files of ours come before that, as
//! they do before any other: so that neither netplan nor cloud-init, which write theirs again, take a bridge apart.
//! Never: edits netplan's files, or knows one that NetworkManager carries out.

use std::path::Path;

use super::files::{OwnFile, RUNTIME, is_ours};
use super::matching::{Device, Host};
use super::steps::WAIT_ONLINE;
use super::tree::{Tree, Unit};
use crate::host::Bridge;
use crate::inspect::facts::{Facts, Nic, OwnerKind};
use crate::inspect::{Finding, Weight};

/// What has systemd-networkd-wait-online wait for the links that may be waited for.
pub const WAITS_FOR: &str = "/etc/systemd/system/systemd-networkd-wait-online.service.d/zz-xenup.conf";

/// Returns whether systemd-networkd configures a NIC: by a file of its own, or by the one that netplan made for it.
#[must_use]
pub fn configures(facts: &Facts, nic: &Nic) -> bool {
    nic.owners.iter().any(|owner| match owner.kind {
        OwnerKind::Networkd => true,
        OwnerKind::Netplan => made_by_netplan(facts, nic),
        OwnerKind::Ifupdown | OwnerKind::NetworkManager => false,
    })
}

fn made_by_netplan(facts: &Facts, nic: &Nic) -> bool {
    let theirs = Tree::new(&facts.network.files, ".network").without(is_ours);
    let device = Device::nic(nic, facts.network.kernel.link(&nic.name));
    theirs.taken(&device, &Host::of(facts)).unit.is_some_and(is_netplans)
}

/// Whether netplan made the file.
fn is_netplans(unit: &Unit) -> bool {
    unit.name.starts_with("10-netplan-") && unit.path.starts_with(RUNTIME)
}

/// Returns what somebody should know of a bridge over a NIC of netplan's; `None` where the NIC is not netplan's.
pub(super) fn outranked(facts: &Facts, nic: &str, bridge: &Bridge) -> Option<Finding> {
    let nic = facts.network.nic(nic)?;
    let owner = nic.owners.iter().find(|owner| owner.kind == OwnerKind::Netplan)?;
    Some(Finding {
        at: owner.at.clone(),
        weight: Weight::Note,
        ..Finding::blocking(
            "netplan-outranked",
            format!(
                "netplan's files stay as they are, and files of ours come before what netplan makes of them for {}",
                nic.name
            ),
            "netplan and cloud-init write theirs again; the bridge is not to depend on that",
            format!(
                "nothing to do; what is changed there later counts for {} after: netplan generate && xenup apply",
                bridge.name
            ),
        )
    })
}

/// Returns the drop-in without which a boot waits in vain: netplan 1.1 names each NIC to systemd-networkd-wait-online,
/// and a port never has an address.
pub(super) fn waits() -> OwnFile {
    OwnFile {
        path: Path::new(WAITS_FOR).to_owned(),
        text: format!(
            "# Written by xenup: netplan has the boot wait for an address on each NIC by name, and a bridge's port has none.\n\
             # As the unit itself says: wait for each link whose file does not take it out (RequiredForOnline=).\n\
             [Service]\nExecStart=\nExecStart={WAIT_ONLINE}\n"
        ),
        why: "netplan has the boot wait for an address on each NIC by name, and a bridge's port has none",
    }
}
