//! The first stage: what can be done without touching the network or what boots. Decides its order.

use std::path::PathBuf;

use xenup_engine::action::{Action, Condition, PackageChange};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::process::Command;

use crate::boot::BootPlan;
use crate::host::Host;
use crate::inspect::Facts;
use crate::network::pin::pins;

use super::step::{Draft, bracket, write};

const MIB: u64 = 1 << 20;
/// A hypervisor with its configuration is 3 MiB; grub.cfg is written anew beside it.
const BOOT_ROOM: u64 = 16 * MIB;
/// Xen with its toolstack and Python: 30 MiB of archives, 120 MiB unpacked.
const VAR_ROOM: u64 = 200 * MIB;
/// An initramfs takes a minute on a slow machine, and there may be several.
const INITRAMFS_SECONDS: u64 = 1800;

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

/// Pins the names of NICs; udev in the initramfs names them first, so it has to know.
fn names(facts: &Facts, host: &Host) -> Vec<Step> {
    let mut files = Vec::new();
    for pin in pins(facts, host) {
        let Some(action) = write(&pin.path, &pin.text, facts.file(&pin.path)) else { continue };
        let why =
            "its bridge is made by this name, also when another card or another kernel changes the order";
        let title = format!("Pin the name {} to its address", pin.port);
        files.push(
            Draft::new(&format!("pin {}", pin.port), title, why, action).risks(&[Risk::NeedsReboot]).step(),
        );
    }
    if files.is_empty() || facts.packages.version("dracut").is_some() {
        return files;
    }
    let images = facts.kernels.iter().map(|kernel| format!("/boot/initrd.img-{}", kernel.version).into());
    let images: Vec<PathBuf> = images.collect();
    let command = Command::new("update-initramfs", ["-u", "-k", "all"]).within(INITRAMFS_SECONDS);
    // A hook takes the image on to where the firmware or another loader looks for it.
    let put_back = facts.boot.initramfs_hooks.is_empty();
    let (undo, make) = bracket(&command, &images, put_back);
    let undo = Draft::new(
        "initramfs-undo",
        "Make the initramfs anew if this is undone",
        "it has copies of the files below, so it is made again when they are as they were",
        undo,
    );
    let make = Draft::new(
        "initramfs",
        "Make the initramfs anew",
        "it names the NICs before the files below are read",
        make,
    );
    let mut steps = vec![undo.step()];
    steps.extend(files);
    steps.push(make.step());
    steps
}
