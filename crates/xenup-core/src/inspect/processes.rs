//! The processes, as far as their names decide anything. Decides whose arguments are read; never signals one.

use super::reader::Reader;
use super::session::parent;

/// Names whose arguments matter: DHCP clients, and what changes packages.
const WITH_ARGUMENTS: [&str; 9] = [
    "dhclient",
    "dhcpcd",
    "udhcpc",
    "dhcp6c",
    "pump",
    "connmand",
    "python3",
    "unattended-upgr",
    "NetworkManager",
];

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// The kernel's name for it, 15 bytes at most.
    pub name: String,
    /// Its arguments, read only where they matter.
    pub args: Vec<String>,
}

/// Returns the processes, by id. One that ends meanwhile is left out.
pub(super) fn gather(reader: &Reader<'_>) -> Vec<Process> {
    let names = reader.probe.list("/proc".as_ref()).unwrap_or_default();
    let mut processes: Vec<Process> = names
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .filter_map(|pid| one(reader, pid))
        .collect();
    processes.sort_by_key(|process| process.pid);
    processes
}

fn one(reader: &Reader<'_>, pid: u32) -> Option<Process> {
    let stat = reader.quiet(format!("/proc/{pid}/stat"))?;
    let (head, _) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let args = if WITH_ARGUMENTS.contains(&name) { arguments(reader, pid) } else { Vec::new() };
    Some(Process { pid, parent: parent(&stat)?.parse().ok()?, name: name.to_owned(), args })
}

fn arguments(reader: &Reader<'_>, pid: u32) -> Vec<String> {
    let text = reader.quiet(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}
