//! A kernel for dom0 as a plan: its own package, installed by apt from a file. Decides its form, and what must be there
//! then; what apt would do comes in. Never: makes it the default: where copies of what is known to boot are kept, the
//! next restart tries it, and elsewhere nobody may ask for this plan.

use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Plan, Risk};
use xenup_machine::process::Command;

use super::prepare::{Beside, one_step, removes_nothing};
use crate::boot::{MENU, known_good, set_default};
use crate::packages::AptSimulation;
use crate::plan::step::Draft;

/// How a kernel's package is called, its release behind it.
const IMAGE: &str = "linux-image-";
/// The step that installs it.
const STEP: &str = "kernel";
const MIB: u64 = 1 << 20;
/// Image, initramfs and what GRUB writes.
const BOOT_ROOM: u64 = 150 * MIB;
/// Every module of Debian's configuration, without debug information.
const MODULES_ROOM: u64 = 600 * MIB;

/// Returns the plan that installs `deb`, the package `linux-image-RELEASE`, and nothing beside it.
///
/// # Errors
/// apt would do something else.
pub fn plan(machine_id: &str, release: &str, deb: &Path, apt: &AptSimulation) -> Result<Plan, Beside> {
    let package = format!("{IMAGE}{release}");
    removes_nothing(apt)?;
    if let Some(there) = apt.installs.iter().find(|one| one.name == package && one.from.is_some()) {
        return Err(Beside::Upgrades(vec![there.name.clone()]));
    }
    let others: Vec<String> =
        apt.installs.iter().filter(|one| one.name != package).map(|one| one.name.clone()).collect();
    if !others.is_empty() {
        return Err(Beside::Adds(others));
    }
    if apt.installs.is_empty() {
        return Err(Beside::Lacks(vec![package]));
    }
    let apt_get = |words: &[&str]| {
        let quiet = ["--yes", "--quiet", "--no-install-recommends"];
        Command::new("apt-get", quiet.iter().chain(words).copied())
            .with_env("DEBIAN_FRONTEND", "noninteractive")
            .within(3600)
    };
    let action = Action::Run {
        forward: Some(apt_get(&["install", &deb.display().to_string()])),
        backward: Some(apt_get(&["purge", &package])),
        generates: vec![PathBuf::from(MENU)],
        put_back: false,
        once: false,
    };
    let boot = |name: &str| PathBuf::from(format!("/boot/{name}-{release}"));
    let there = |path| Condition::Exists { path };
    let room = |path: &str, bytes| Condition::Room { path: PathBuf::from(path), bytes };
    let step = Draft::new(
        STEP,
        format!("Install {package}"),
        "its scripts make the initramfs and GRUB's menu; what is known to boot stays what boots by itself, and the next \
         restart tries this one",
        action,
    )
    .risks(&[Risk::DecidesBoot, Risk::NeedsReboot])
    .needs(vec![
        there(deb.to_owned()),
        room("/boot", BOOT_ROOM),
        room("/lib/modules", MODULES_ROOM),
        Condition::FileSays { path: PathBuf::from(MENU), text: set_default(known_good::ID) },
    ])
    .leaves(vec![
        there(boot("vmlinuz")),
        there(boot("initrd.img")),
        there(PathBuf::from(format!("/lib/modules/{release}/modules.dep"))),
        Condition::FileSays { path: PathBuf::from(MENU), text: format!("/vmlinuz-{release} ") },
    ])
    .step();
    let stage = ("kernel", format!("Linux {release} for dom0"));
    Ok(one_step(machine_id, format!("give dom0 the kernel {release}"), stage, step))
}

/// Returns the release of the kernel that an undo of a plan takes away; `None` where it is none of these plans.
#[must_use]
pub fn release_of(plan: &Plan) -> Option<&str> {
    plan.steps().filter(|(_, step)| step.id.as_str() == STEP).find_map(|(_, step)| match &step.action {
        Action::Run { backward: Some(command), .. } => command.args.last()?.strip_prefix(IMAGE),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use xenup_engine::validate::validate;

    use super::{plan, release_of};
    use crate::packages::AptSimulation;

    fn planned(said: &str) -> Result<String, String> {
        let apt = AptSimulation::parse(said);
        let plan = plan("0123", "6.1.192-dom0-full", Path::new("/srv/k/linux-image.deb"), &apt)
            .map_err(|beside| beside.to_string())?;
        validate(&plan).map_err(|error| error.to_string())?;
        assert_eq!(release_of(&plan), Some("6.1.192-dom0-full"));
        Ok(plan.stages.iter().flat_map(|stage| &stage.steps).map(|step| step.title.clone()).collect())
    }

    #[test]
    fn the_kernel_is_installed_or_nothing_is_done() {
        let kernel = "Inst linux-image-6.1.192-dom0-full (6.1.192+c0-1 local-deb [amd64])\n";
        assert_eq!(planned(kernel).unwrap(), "Install linux-image-6.1.192-dom0-full");
        let with = format!("{kernel}Inst kmod (30 Debian:12 [amd64])\n");
        assert_eq!(planned(&with).unwrap_err(), "apt would install kmod as well");
        assert_eq!(planned("Remv nano [7.2]\n").unwrap_err(), "apt would remove nano");
        assert_eq!(planned("").unwrap_err(), "apt would not install linux-image-6.1.192-dom0-full");
    }
}
