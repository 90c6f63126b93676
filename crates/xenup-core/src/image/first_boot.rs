//! What an image does by itself when it first runs as a machine: units and a script in its files.
//!
//! Decides: what is made then and not before (SSH host keys, the root's full size, a volume group), and what is looked at
//! before the machine is called a Xen host. systemd draws the machine's id itself where /etc/machine-id is empty
//! (machine-id(5)).
//! Never: runs again once everything has held; what did not hold is looked at again at the next boot.

use std::path::PathBuf;

use super::NewFile;
use crate::host::{AddressPolicy, Host};

/// Beside what every Debian has: sfdisk, the clock's own keeper, what `guest create` makes and boots guests by, and the
/// program that an initramfs is compressed by where it is there (initramfs.conf(5)): quicker made, and quicker booted.
pub(super) const PACKAGES: &[&str] = &["fdisk", "grub-xen-host", "mmdebstrap", "systemd-timesyncd", "zstd"];
/// For the volume group; a thin pool in it is not activated without the second.
pub(super) const VOLUMES: &[&str] = &["lvm2", "thin-provisioning-tools"];

const SCRIPT: &str = "/usr/local/lib/xenup-image/first-boot";
const UNITS: &str = "/etc/systemd/system";
const FINISH: &str = "xenup-image-finish.service";
const REPORT: &str = "xenup-image-report.service";

const BODY: &str = include_str!("first-boot.sh");

const FINISH_TEXT: &str = "\
# Written by xenup image build.
[Unit]
Description=Finish this machine: its root's size, its SSH host keys
After=systemd-remount-fs.service
Before=ssh.service ssh.socket
ConditionPathExists=!/var/lib/xenup-image/finished

[Service]
Type=oneshot
ExecStart=/usr/local/lib/xenup-image/first-boot finish
SyslogIdentifier=xenup
StandardOutput=journal+console
StandardError=journal

[Install]
WantedBy=multi-user.target
";

const REPORT_TEXT: &str = "\
# Written by xenup image build.
[Unit]
Description=Say on the console whether this machine is a Xen host
After=xenup-image-finish.service networking.service xen.service xendomains.service ssh.service
ConditionPathExists=!/var/lib/xenup-image/reported

[Service]
Type=oneshot
ExecStart=/usr/local/lib/xenup-image/first-boot report
SyslogIdentifier=xenup
StandardOutput=journal+console
StandardError=journal

[Install]
WantedBy=multi-user.target
";

/// The first boot's files.
pub(super) struct FirstBoot {
    pub files: Vec<NewFile>,
    /// Each unit's link and what it leads to.
    pub wants: Vec<(PathBuf, PathBuf)>,
}

pub(super) fn of(host: &Host, volumes: bool) -> FirstBoot {
    let unit = |name: &str| PathBuf::from(UNITS).join(name);
    let text = |path: PathBuf, mode, text: &str| NewFile { path, mode, text: text.to_owned() };
    let units = [FINISH, REPORT];
    let wants = units
        .iter()
        .map(|name| (PathBuf::from(UNITS).join("multi-user.target.wants").join(name), unit(name)));
    FirstBoot {
        files: vec![
            text(PathBuf::from(SCRIPT), 0o755, &script(host, volumes)),
            text(unit(FINISH), 0o644, FINISH_TEXT),
            text(unit(REPORT), 0o644, REPORT_TEXT),
        ],
        wants: wants.collect(),
    }
}

/// The script, with what is this host's own at its head: names that a shell takes as they are (host.toml's grammar).
fn script(host: &Host, volumes: bool) -> String {
    let bridge = |bridge: &crate::host::Bridge| {
        let policy = if bridge.address == AddressPolicy::Keep { "keep" } else { "none" };
        format!("{}/{}/{policy}", bridge.name, bridge.port)
    };
    let bridges: Vec<String> = host.bridges.iter().map(bridge).collect();
    let head = format!(
        "#!/bin/sh\n# Written by xenup image build: finishes the machine in its first boot, and says on the console what it \
         is.\nbridges='{}'\nvolumes={}\n",
        bridges.join(" "),
        if volumes { "yes" } else { "no" },
    );
    head + BODY
}
