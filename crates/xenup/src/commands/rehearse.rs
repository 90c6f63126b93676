//! `xenup rehearse`: the conversion on a throw-away machine, told as it goes, with a report at the end.
//!
//! Decides: where the report lies and how it reads here. Never: touches this machine's network, boot or packages,
//! beyond the programs that the laboratory needs.

use std::path::PathBuf;

use xenup_rehearse::qemu::{Firmware, Nic};
use xenup_rehearse::report::{Report, Verdict};
use xenup_rehearse::scenario::{
    Addressing, Hypervisor, Owner, RehearseError, RehearseOptions, Scenario, rehearse,
};
use xenup_system::files::{self, FileError};

use crate::args::{self, Rehearse};
use crate::commands::machine;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Plays a scenario and writes the report.
pub fn run(ui: &mut Ui, args: &Rehearse) -> Outcome {
    machine::need_root("rehearse")?;
    let options = options(args)?;
    ui.status("Everything happens in a virtual machine; this machine gets QEMU and what builds the disk, if they are missing.");
    let report = rehearse(&options, &mut |event| ui.status(event)).map_err(failed)?;
    write(args, &report).map_err(CommandError::failed)?;
    if args.json {
        ui.result(report.json().trim_end());
    } else {
        ui.result(report.text().trim_end());
    }
    ui.status(format!("report: {}", args.report.join("report.html").display()));
    if report.verdict == Verdict::Passed {
        return Ok(Exit::Done);
    }
    Err(CommandError::failed("the rehearsal failed").hinted(format!(
        "read the step that failed and the console below it: {}",
        args.report.join("report.txt").display()
    )))
}

fn options(args: &Rehearse) -> Result<RehearseOptions, CommandError> {
    let Some(package) = &args.package else {
        return Err(CommandError::usage("no package was named to bring into the virtual machine").hinted(
            "apt-get download xenup, then: xenup rehearse --package xenup_*.deb; in a source tree: ./demo",
        ));
    };
    if !files::exists(package) {
        return Err(CommandError::usage(format!("there is no file {}", package.display())));
    }
    let kernels = kernels(args)?;
    let owner = owner(args)?;
    Ok(RehearseOptions {
        kernels,
        scenario: match args.scenario {
            args::Scenario::Plain => Scenario::Plain,
            args::Scenario::Conversion => Scenario::Conversion,
            args::Scenario::Sabotage => Scenario::Sabotage,
            args::Scenario::Guard => Scenario::Guard(owner),
            args::Scenario::Later => Scenario::Later,
            args::Scenario::OldHost => Scenario::OldHost,
            args::Scenario::Roles => Scenario::Roles,
            args::Scenario::Kernels => Scenario::Kernels,
            args::Scenario::Dom0 => Scenario::Dom0,
            args::Scenario::Upgrade => Scenario::Upgrade,
            args::Scenario::UpgradeByApt => Scenario::UpgradeByApt,
            args::Scenario::UpgradeCuts => Scenario::UpgradeCuts,
        },
        firmware: if args.uefi { Firmware::Uefi } else { Firmware::Bios },
        addressing: if args.dhcp { Addressing::Dhcp } else { Addressing::Static },
        nic: match args.nic {
            args::NicModel::Virtio => Nic::Virtio,
            args::NicModel::E1000 => Nic::E1000,
            args::NicModel::E1000e => Nic::E1000e,
        },
        hypervisor: Hypervisor::WithShadowPaging,
        anew: args.anew,
        resume: args.resume,
        busy: args.busy,
        keep: args.keep,
        ..RehearseOptions::conversion(machine::absolute(package), files::cache_dir())
    })
}

/// Whose the network is, for the scenario that is played for each owner.
fn owner(args: &Rehearse) -> Result<Owner, CommandError> {
    let Some(owner) = args.owner else { return Ok(Owner::Ifupdown) };
    if args.scenario != args::Scenario::Guard {
        return Err(CommandError::usage("only the scenario guard is played for an owner of the network")
            .hinted("add --scenario guard, or leave --owner out"));
    }
    Ok(match owner {
        args::NetworkOwner::Ifupdown => Owner::Ifupdown,
        args::NetworkOwner::Dhcp => Owner::Dhcp,
        args::NetworkOwner::Networkd => Owner::Networkd,
        args::NetworkOwner::Netplan => Owner::Netplan,
        args::NetworkOwner::NetworkManager => Owner::NetworkManager,
    })
}

/// The kernels that were named, for the scenarios that have a use for them.
fn kernels(args: &Rehearse) -> Result<Vec<PathBuf>, CommandError> {
    let starts = matches!(args.scenario, args::Scenario::Roles | args::Scenario::Kernels);
    match (starts, args.kernels.as_slice()) {
        (true, []) => Err(CommandError::usage("this scenario starts kernels, and none was named").hinted(
            match args.scenario {
                args::Scenario::Roles => "--kernel FILE, once for each: a vmlinuz, a vmlinux, GRUB for Xen",
                _ => "--kernel FILE, once for each: a vmlinuz of `xenup kernel build domU-minimal`",
            },
        )),
        (false, [first, ..]) if args.scenario != args::Scenario::Dom0 => Err(CommandError::usage(format!(
            "{} is given, and only the scenarios roles, kernels and dom0 take kernels",
            first.display()
        ))
        .hinted("add --scenario roles, --scenario kernels or --scenario dom0")),
        (_, kernels) => match kernels.iter().find(|kernel| !files::exists(kernel)) {
            Some(absent) => Err(CommandError::usage(format!("there is no file {}", absent.display()))),
            None => Ok(kernels.to_vec()),
        },
    }
}

fn failed(error: RehearseError) -> CommandError {
    let hint = error.hint();
    let failed = CommandError::failed(error);
    match hint {
        Some(hint) => failed.hinted(hint),
        None => failed,
    }
}

fn write(args: &Rehearse, report: &Report) -> Result<(), FileError> {
    files::create_dir_all(&args.report)?;
    for (name, text) in
        [("report.txt", report.text()), ("report.json", report.json()), ("report.html", report.html())]
    {
        files::write(&args.report.join(name), text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Owner, kernels, owner};
    use crate::args::{Args, Rehearse, Verb};

    fn spelt(arguments: &[&str]) -> Rehearse {
        let args = Args::try_parse_from(["xenup", "rehearse"].iter().chain(arguments)).unwrap();
        let Verb::Rehearse(args) = args.verb else { panic!("another verb") };
        args
    }

    fn asked(arguments: &[&str]) -> Result<usize, String> {
        kernels(&spelt(arguments)).map(|kernels| kernels.len()).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn an_owner_is_for_the_scenario_that_is_played_for_each() {
        let whose = |arguments: &[&str]| owner(&spelt(arguments)).map_err(|error| format!("{error:?}"));
        assert_eq!(whose(&["--scenario", "guard", "--owner", "networkmanager"]), Ok(Owner::NetworkManager));
        assert_eq!(whose(&["--scenario", "guard"]), Ok(Owner::Ifupdown));
        assert!(whose(&["--owner", "dhcp"]).unwrap_err().contains("only the scenario guard"));
    }

    #[test]
    fn kernels_are_for_the_scenario_that_starts_them() {
        let program = std::env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        assert_eq!(asked(&[]), Ok(0));
        assert_eq!(asked(&["--scenario", "roles", "--kernel", program, "--kernel", program]), Ok(2));
        assert_eq!(asked(&["--scenario", "kernels", "--kernel", program]), Ok(1));
        for (arguments, words) in [
            (&["--scenario", "roles"][..], "none was named"),
            (&["--scenario", "kernels"], "none was named"),
            (&["--kernel", program], "only the scenarios roles"),
            (&["--scenario", "roles", "--kernel", "/nonexistent"], "there is no file /nonexistent"),
        ] {
            let refused = asked(arguments).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
