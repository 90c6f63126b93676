//! Services and processes that matter to a change.
//!
//! Decides: what runs, by /proc and the control groups alone. Never: asks systemd, starts or stops anything.

use std::path::{Path, PathBuf};

use super::boot::shell;
use super::facts::{At, Services};
use super::processes::Process;
use super::reader::Reader;

/// Units whose running changes what a plan may do.
const UNITS: [&str; 26] = [
    "NetworkManager.service",
    "apt-daily-upgrade.service",
    "apt-daily.service",
    "containerd.service",
    "dnsmasq.service",
    "docker.service",
    "fail2ban.service",
    "firewalld.service",
    "ifplugd.service",
    "isc-dhcp-server.service",
    "iscsid.service",
    "libvirtd.service",
    "named.service",
    "networking.service",
    "openvswitch-switch.service",
    "packagekit.service",
    "podman.service",
    "ssh.service",
    "ssh.socket",
    "sshd.service",
    "systemd-networkd.service",
    "ufw.service",
    "unattended-upgrades.service",
    "unbound.service",
    "virtqemud.service",
    "watchdog.service",
];

/// Files whose lock apt and dpkg hold while they work (apt-get(8), dpkg(1)).
const LOCKS: [&str; 4] = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
];

/// Programs that change packages, by the name the kernel keeps.
const PACKAGE_PROGRAMS: [&str; 4] = ["apt", "apt-get", "aptitude", "dpkg"];

/// Gathers the services.
pub(super) fn gather(reader: &Reader<'_>, processes: &[Process], cmdline: &str) -> Services {
    Services {
        systemd: reader.exists("/run/systemd/system"),
        apt_busy: apt_busy(reader, processes),
        cloud_init_network: cloud_init_network(reader, cmdline),
        watchdogs: watchdogs(reader),
        unattended_upgrades: unattended_upgrades(reader),
        active: active(reader),
    }
}

/// Units with a control group of their own have a process: systemd removes an empty group. One that an earlier systemd left
/// behind, as in a container that was ended, says that it is empty (cgroup.events).
fn active(reader: &Reader<'_>) -> Vec<String> {
    const UNIFIED: &str = "/sys/fs/cgroup/system.slice";
    let of = |slice: &str| {
        let is_left = |name: &str| {
            let events = reader.quiet(format!("{slice}/{name}/cgroup.events"));
            events.is_some_and(|events| events.lines().any(|line| line == "populated 0"))
        };
        let names = reader.list(slice).into_iter();
        names.filter(|name| UNITS.contains(&name.as_str()) && !is_left(name)).collect::<Vec<String>>()
    };
    if reader.list(UNIFIED).is_empty() { of("/sys/fs/cgroup/systemd/system.slice") } else { of(UNIFIED) }
}

/// Names who holds a lock of apt or dpkg by its open files. Only root may look at those; for others the names of the
/// processes have to do.
fn apt_busy(reader: &Reader<'_>, processes: &[Process]) -> Option<String> {
    let locks = reader.quiet("/proc/locks").unwrap_or_default();
    let holder = lock_holders(&locks).into_iter().find_map(|pid| lock_of(reader, processes, pid));
    if holder.is_some() {
        return holder;
    }
    let all_seen = reader.probe.list(Path::new("/proc/1/fd")).is_ok();
    let runs = |process: &&Process| {
        // It lets go of the locks between packages. Its helper unattended-upgrade-shutdown runs all the time.
        let unattended = process.args.iter().take(2).any(|word| word.ends_with("/unattended-upgrade"));
        unattended || (!all_seen && PACKAGE_PROGRAMS.contains(&process.name.as_str()))
    };
    let process = processes.iter().find(runs)?;
    // The kernel keeps 15 bytes of a name.
    let name = process.name.replace("unattended-upgr", "unattended-upgrade");
    Some(format!("{name} runs (process {})", process.pid))
}

/// Names the lock of apt or dpkg that a process has open.
fn lock_of(reader: &Reader<'_>, processes: &[Process], pid: u32) -> Option<String> {
    let open = format!("/proc/{pid}/fd");
    let names = reader.probe.list(Path::new(&open)).ok()?;
    let targets = names.iter().filter_map(|name| reader.link(Path::new(&open).join(name)));
    let lock =
        targets.into_iter().find(|target| LOCKS.iter().any(|lock| target.as_path() == Path::new(lock)))?;
    let process = processes.iter().find(|process| process.pid == pid);
    let name = process.map_or("a process", |process| process.name.as_str());
    Some(format!("{name} (process {pid}) holds {}", lock.display()))
}

/// Returns the processes that hold POSIX write locks (proc_locks(5)).
fn lock_holders(locks: &str) -> Vec<u32> {
    let mut holders = Vec::new();
    for line in locks.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // A line with `->` is one that waits for the lock.
        if let [_, "POSIX", _, "WRITE", pid, ..] = words[..]
            && let Ok(pid) = pid.parse()
            && !holders.contains(&pid)
        {
            holders.push(pid);
        }
    }
    holders
}

fn watchdogs(reader: &Reader<'_>) -> Vec<PathBuf> {
    let names = reader.list("/dev").into_iter();
    names
        .filter(|name| name.strip_prefix("watchdog").is_some_and(|rest| rest.parse::<u32>().is_ok()))
        .map(|name| Path::new("/dev").join(name))
        .collect()
}

/// The network file that cloud-init writes again at every boot of a new instance, unless it was told not to
/// (cloud-init, "Disabling network activity").
fn cloud_init_network(reader: &Reader<'_>, cmdline: &str) -> Option<PathBuf> {
    let installed = reader.exists("/usr/bin/cloud-init") || reader.exists("/usr/lib/cloud-init");
    let off = reader.exists("/etc/cloud/cloud-init.disabled")
        || cmdline
            .split_ascii_whitespace()
            .any(|word| matches!(word, "cloud-init=disabled" | "network-config=disabled"));
    if !installed || off {
        return None;
    }
    let configurations = reader.ending("/etc/cloud/cloud.cfg.d", ".cfg");
    let all = configurations.iter().filter_map(|path| reader.text(path));
    if all.into_iter().any(|text| disables_network(&text)) {
        return None;
    }
    let mut written = vec![
        PathBuf::from("/etc/network/interfaces.d/50-cloud-init"),
        PathBuf::from("/etc/network/interfaces.d/50-cloud-init.cfg"),
        PathBuf::from("/etc/netplan/50-cloud-init.yaml"),
    ];
    let networkd = reader.list("/etc/systemd/network").into_iter();
    written.extend(
        networkd
            .filter(|name| name.starts_with("10-cloud-init-"))
            .map(|name| Path::new("/etc/systemd/network").join(name)),
    );
    written.into_iter().find(|path| reader.exists(path))
}

/// Whether a cloud.cfg.d file says `network: {config: disabled}`, in flow or block style.
fn disables_network(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    lines.iter().enumerate().any(|(index, line)| {
        let Some(rest) = line.strip_prefix("network:") else { return false };
        let below = lines[index + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
        let whole: String = std::iter::once(rest).chain(below.copied()).collect();
        let plain: String = whole.chars().filter(|c| !c.is_whitespace() && !"{}\"'".contains(*c)).collect();
        plain == "config:disabled"
    })
}

/// The last line of /etc/apt/apt.conf.d that sets the period of unattended upgrades, where it is not 0.
fn unattended_upgrades(reader: &Reader<'_>) -> Option<At> {
    if !reader.exists("/usr/bin/unattended-upgrade") {
        return None;
    }
    let mut set = None;
    for name in reader.list("/etc/apt/apt.conf.d") {
        let path = Path::new("/etc/apt/apt.conf.d").join(&name);
        let Some(text) = reader.text(&path) else { continue };
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(period) = period(content) {
                set = (period != "0").then(|| At { path: path.clone(), line });
            }
        }
    }
    set
}

fn period(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("APT::Periodic::Unattended-Upgrade")?;
    Some(rest.trim().trim_end_matches(';').trim().trim_matches('"'))
}

/// Returns where kexec-tools is told to take reboots from the firmware and GRUB (`LOAD_KEXEC=true`).
pub(super) fn kexec_reboots(reader: &Reader<'_>) -> Option<At> {
    let mut files = vec![PathBuf::from("/etc/default/kexec")];
    files.extend(reader.ending("/etc/default/kexec.d", ""));
    if !reader.exists("/sbin/kexec") && !reader.exists("/usr/sbin/kexec") {
        return None;
    }
    let mut variables = shell::Variables::default();
    for path in files {
        if let Some(text) = reader.text(&path) {
            variables.read(&path, &text);
        }
    }
    match variables.value("LOAD_KEXEC") {
        shell::Value::Known(value) if value == "true" => variables.set_at("LOAD_KEXEC").cloned(),
        _ => None,
    }
}

/// Gives a text to every parser of this room.
#[cfg(test)]
pub(super) fn hostile(text: &str) {
    let _ = lock_holders(text);
    let _ = disables_network(text);
    let _ = period(text);
}

#[cfg(test)]
mod tests {
    use super::{disables_network, lock_holders, period};

    #[test]
    fn lock_holders_are_those_of_posix_write_locks() {
        let text = "1: POSIX  ADVISORY  WRITE 612 fe:00:3941 0 EOF\n1: -> POSIX  ADVISORY  WRITE 700 fe:00:3941 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 344 00:18:1059 0 EOF\n3: POSIX  ADVISORY  READ  10 00:18:1 0 EOF\n";
        assert_eq!(lock_holders(text), [612]);
    }

    #[test]
    fn both_yaml_styles_switch_cloud_inits_network_off() {
        assert!(disables_network("network: {config: disabled}\n"));
        assert!(disables_network("# why\nnetwork:\n  config: \"disabled\"\nother: 1\n"));
        assert!(!disables_network("#network: {config: disabled}\nnetwork:\n  version: 2\n"));
    }

    #[test]
    fn apts_period_is_read() {
        assert_eq!(period("APT::Periodic::Unattended-Upgrade \"1\";"), Some("1"));
        assert_eq!(period("// APT::Periodic::Unattended-Upgrade \"1\";"), None);
    }
}
