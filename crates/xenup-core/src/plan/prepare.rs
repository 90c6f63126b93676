//! The first stage: what can be done without touching the network or what boots. Decides its order.

use std::path::PathBuf;

use xenup_engine::action::{Action, Condition, PackageChange};
use xenup_engine::plan::{Risk, Step};

use crate::boot::BootPlan;
use crate::host::Host;
use crate::inspect::Facts;
use crate::network::pin::pins;

use super::step::{Draft, write};

const MIB: u64 = 1 << 20;
/// A hypervisor with its configuration is 3 MiB; grub.cfg is written anew beside it.
const BOOT_ROOM: u64 = 16 * MIB;
/// Xen with its toolstack and Python: 30 MiB of archives, 120 MiB unpacked.
const VAR_ROOM: u64 = 200 * MIB;

/// Returns the steps: GRUB's drop-ins before the packages, whose scripts read them; the menu last.
pub(super) fn steps(facts: &Facts, host: &Host, boot: &BootPlan, changes: &[PackageChange]) -> Vec<Step> {
    let mut steps = boot.before.clone();
    steps.extend(names(facts, host));
    if !changes.is_empty() {
        steps.push(install(changes));
    }
    steps.extend(boot.after.iter().cloned());
    steps
}

fn install(changes: &[PackageChange]) -> Step {
    let asked: Vec<&str> =
        changes.iter().filter(|change| change.asked).map(|change| change.name.as_str()).collect();
    let room = |path: &str, bytes| Condition::Room { path: PathBuf::from(path), bytes };
    let title = format!("Install {} packages: {}", changes.len(), asked.join(", "));
    let action = Action::Packages { changes: changes.to_vec() };
    Draft::new("packages", title, "the hypervisor, its toolstack, and what they depend on", action)
        .risks(&[Risk::TouchesServices])
        .needs(vec![room("/boot", BOOT_ROOM), room("/var", VAR_ROOM)])
        .step()
}

/// Pins the names of NICs. The initramfs is left alone: udev of the root file system names a NIC once more, and no name
/// that is pinned is one which the kernel itself may have given to another.
fn names(facts: &Facts, host: &Host) -> Vec<Step> {
    let why = "its bridge is made by this name, also when another card or another kernel changes the order";
    let pinned = pins(facts, host).into_iter().filter_map(|pin| {
        let action = write(&pin.path, &pin.text, facts.file(&pin.path))?;
        let title = format!("Pin the name {} to its address", pin.port);
        Some(Draft::new(&format!("pin {}", pin.port), title, why, action).risks(&[Risk::NeedsReboot]).step())
    });
    pinned.collect()
}
