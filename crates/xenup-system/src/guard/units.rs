//! The files that make the next boot safe: pure text, from the binary's path and what tells a trial boot.
//!
//! Decides their names, their order in the boot and their conditions. Never writes one. None of them belongs to a
//! package, so that no purge takes them away while something is pending; the run that wrote them removes them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::file::GuardFile;
use super::initscript;

/// Where an administrator's own units live (systemd.unit(5)).
const UNIT_DIR: &str = "/etc/systemd/system";
/// The unit that undoes an unconfirmed change of the network before the network starts.
const BOOT_UNIT: &str = "xenup-guard-boot.service";
/// The unit that keeps the deadline of a trial boot.
const TRIAL_UNIT: &str = "xenup-trial.service";
/// Everything on Debian that configures a network, ordered by name too, in case its network-pre.target is edited away.
const NETWORK_SERVICES: &str = "network-pre.target networking.service ifupdown-pre.service \
    systemd-networkd.service NetworkManager.service dhcpcd.service connman.service cloud-init-local.service";

/// What tells a booted trial: a file that is there, and perhaps what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialTest {
    /// The file.
    pub path: PathBuf,
    /// A text that it contains.
    pub text: Option<String>,
}

/// What the next boot has to be guarded by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootGuard {
    /// The copy of the binary.
    pub binary: PathBuf,
    /// How a trial boot is told; `None` where no trial is armed.
    pub trial: Option<TrialTest>,
    /// Whether systemd is the machine's init; else init scripts.
    pub systemd: bool,
}

/// Returns the files to write, directories first, each with what enables it.
#[must_use]
pub fn boot_files(guard: &BootGuard) -> Vec<GuardFile> {
    if guard.systemd { systemd_files(guard) } else { initscript::files(guard) }
}

fn systemd_files(guard: &BootGuard) -> Vec<GuardFile> {
    let dir = Path::new(UNIT_DIR);
    let wants = dir.join("sysinit.target.wants");
    let mut files = vec![GuardFile::dir(dir), GuardFile::dir(&wants)];
    files.extend(enabled(dir, &wants, BOOT_UNIT, boot_unit(&guard.binary)));
    if let Some(trial) = &guard.trial {
        files.extend(enabled(dir, &wants, TRIAL_UNIT, trial_unit(&guard.binary, trial)));
        for unit in ["emergency.service.d", "rescue.service.d"] {
            files.push(GuardFile::dir(&dir.join(unit)));
            files.push(GuardFile::text(&dir.join(unit).join("xenup-trial.conf"), 0o644, last_resort(trial)));
        }
    }
    files
}

fn enabled(dir: &Path, wants: &Path, unit: &str, text: String) -> [GuardFile; 2] {
    let path = dir.join(unit);
    [GuardFile::text(&path, 0o644, text), GuardFile::link(&wants.join(unit), &path)]
}

const HEADER: &str = "# Written by xenup while a change waits for `xenup confirm`; it goes away with it.\n";

/// It requires what an undo cannot do without, and no more: /boot or /root on a disk that is gone must not keep it from
/// running. What is mounted at all is mounted before it, by local-fs.target.
fn boot_unit(binary: &Path) -> String {
    format!(
        "{HEADER}[Unit]
Description=xenup: undo an unconfirmed change before the network starts
Documentation=file:/root/xenup-recovery.txt
DefaultDependencies=no
After=systemd-remount-fs.service local-fs.target
Wants=network-pre.target
Before={NETWORK_SERVICES}
RequiresMountsFor=/etc /var/lib/xenup
AssertPathExists={binary}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={binary} guard-boot
OOMScoreAdjust=-1000
# A network that starts late is better than one that never does.
TimeoutStartSec=5min
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=sysinit.target
",
        binary = binary.display()
    )
}

/// The deadline counts from early in the boot, so that a boot that never gets to its end is covered too.
fn trial_unit(binary: &Path, trial: &TrialTest) -> String {
    let resort = shell(trial, "test \"$$SERVICE_RESULT\" != success && ", "systemctl --force reboot");
    format!(
        "{HEADER}[Unit]
Description=xenup: check a trial boot, and go back unless it is confirmed
Documentation=file:/root/xenup-recovery.txt
DefaultDependencies=no
After=local-fs.target {BOOT_UNIT}
RequiresMountsFor=/etc /var/lib/xenup
IgnoreOnIsolate=yes
{condition}
[Service]
Type=exec
ExecStart={binary} guard-trial
# Where even the binary does not run, the machine still goes back.
ExecStopPost={resort}
KillMode=process
OOMScoreAdjust=-1000
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=sysinit.target
",
        condition = condition(trial),
        binary = binary.display()
    )
}

fn condition(trial: &TrialTest) -> String {
    format!("ConditionPathExists={}\n", trial.path.display())
}

/// For a trial boot that ends in the emergency shell: it works without the binary, the journal and /var.
fn last_resort(trial: &TrialTest) -> String {
    format!(
        "{HEADER}# A trial boot that gets no further goes back to the kernel before it.
[Service]
ExecStartPre=-{}
",
        shell(trial, "", "systemctl --force --force reboot")
    )
}

/// A shell line that does `then` in a trial boot and nothing elsewhere.
fn shell(trial: &TrialTest, first: &str, then: &str) -> String {
    let path = word(&trial.path.display().to_string());
    let test = match &trial.text {
        Some(text) => format!("grep -qsF -e {} {path}", word(text)),
        None => format!("test -e {path}"),
    };
    let mut line = String::from("/bin/sh -c \"");
    for c in format!("{first}{test} && {then}; :").chars() {
        match c {
            '"' | '\\' => {
                let _ = write!(line, "\\{c}");
            }
            '%' => line.push_str("%%"),
            _ => line.push(c),
        }
    }
    line.push('"');
    line
}

/// One word for a POSIX shell within a unit file, where `$` is doubled (systemd.service(5)).
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('$', "$$"))
}
