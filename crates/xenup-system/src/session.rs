//! Who is at this terminal, and over which connection.
//!
//! Decides: from the chain of parent processes, whether a person sits at a console or came by SSH, when that connection
//! was made, and from where. A program left over from an earlier connection (tmux, screen, a daemon) has no sshd above
//! it, so it passes for no connection at all. Never decides whether that is enough to confirm a change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xenup_machine::file::Kind;
use xenup_machine::network::Network;
use xenup_machine::{MachineError, Probe};

use crate::proc_stat::ProcStat;

/// The longest chain of parents that is followed: a loop cannot be, a chain this long is nobody's session.
const LONGEST_CHAIN: usize = 64;
/// The most that is read of one file of `/proc/PID`.
const STAT_LIMIT: u64 = 64 << 10;
/// The most that is read of a table of connections: 150 bytes each, 400 000 of them.
const TABLE_LIMIT: u64 = 64 << 20;
/// `TCP_ESTABLISHED` (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";

/// A terminal, by its device number (Documentation/admin-guide/devices.txt of Linux).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Terminal {
    /// A screen and keyboard, a serial line or a hypervisor console: `tty1`, `ttyS0`, `hvc0`.
    Console(String),
    /// A pseudo-terminal, as SSH, tmux and terminal windows have it: `pts/0`.
    Pseudo(String),
    /// Another one, by its numbers: `10:5`.
    Other(String),
    /// None: a service, or cron.
    None,
}

impl Terminal {
    /// Returns the terminal of a device number as `/proc/PID/stat` has it.
    #[must_use]
    pub fn of_device(device: u32) -> Self {
        let major = (device >> 8) & 0xfff;
        let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
        match (major, minor) {
            (0, 0) => Self::None,
            (4, 0..64) => Self::Console(format!("tty{minor}")),
            (4, _) => Self::Console(format!("ttyS{}", minor - 64)),
            (5, 1) => Self::Console("console".to_owned()),
            (136..144, _) => Self::Pseudo(format!("pts/{}", (major - 136) * 256 + minor)),
            (204, 64..) => Self::Console(format!("ttyAMA{}", minor - 64)),
            (229, _) => Self::Console(format!("hvc{minor}")),
            _ => Self::Other(format!("{major}:{minor}")),
        }
    }
}

/// An inbound SSH connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The process that the SSH server made for it.
    pub pid: u32,
    /// When that was, in nanoseconds since boot, rounded down to 10 ms.
    pub started_ns: u64,
    /// Our address, where it could be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// The other end's, as this machine sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
}

impl Connection {
    /// Returns whether it was surely made after a moment, in nanoseconds since boot.
    ///
    /// A further channel in an older connection (ControlMaster) belongs to the older one.
    #[must_use]
    pub fn made_after(&self, boottime_ns: u64) -> bool {
        self.started_ns >= boottime_ns
    }

    /// Returns the link it comes in by: the one that has its local address now.
    #[must_use]
    pub fn link<'a>(&self, network: &'a Network) -> Option<&'a str> {
        let holds = |ip| network.addresses.iter().find(move |entry| entry.address.ip == ip);
        self.local.and_then(holds).map(|entry| entry.link.as_str())
    }

    /// Returns whether it is known to come from another machine: `ssh localhost` proves nothing about a network.
    #[must_use]
    pub fn comes_from_outside(&self, network: &Network) -> bool {
        self.peer.is_some_and(|peer| {
            !peer.is_loopback() && network.addresses.iter().all(|entry| entry.address.ip != peer)
        })
    }
}

/// Who runs a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its terminal.
    pub terminal: Terminal,
    /// The SSH connection above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// The names of the process and its parents, nearest first, for messages.
    pub chain: Vec<String>,
}

/// Returns the session that a process belongs to; `ssh_connection` is its variable of that name, for what `/proc` does
/// not show to a user who is not root.
///
/// # Errors
/// `/proc` has no such process.
pub fn session(probe: &dyn Probe, pid: u32, ssh_connection: Option<&str>) -> Result<Session, MachineError> {
    let chain = chain(probe, pid)?;
    let told = ssh_connection.and_then(told_addresses);
    Ok(Session {
        terminal: Terminal::of_device(chain.first().map_or(0, |process| process.terminal)),
        connection: server_process(probe, &chain).map(|process| {
            let seen = addresses(probe, process.pid, told);
            let (local, peer) = seen.or(told).unzip();
            Connection { pid: process.pid, started_ns: process.start_ns(), local, peer }
        }),
        chain: chain.into_iter().map(|process| process.name).collect(),
    })
}

fn chain(probe: &dyn Probe, pid: u32) -> Result<Vec<ProcStat>, MachineError> {
    let mut chain = vec![stat(probe, pid)?];
    while let Some(parent) = chain.last().map(|process| process.parent).filter(|&parent| parent > 0) {
        // A parent may end between two looks; a chain that is cut short names no connection.
        match stat(probe, parent) {
            Ok(process) if chain.len() < LONGEST_CHAIN => chain.push(process),
            _ => break,
        }
    }
    Ok(chain)
}

fn stat(probe: &dyn Probe, pid: u32) -> Result<ProcStat, MachineError> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = probe.read(&path, STAT_LIMIT)?;
    ProcStat::parse(&String::from_utf8_lossy(&text)).ok_or_else(|| {
        MachineError::at("read", &path, xenup_machine::Reason::Other, "not a process's status")
    })
}

/// Returns the process that stands for the whole connection: the SSH server's topmost that is not its listener.
fn server_process<'a>(probe: &dyn Probe, chain: &'a [ProcStat]) -> Option<&'a ProcStat> {
    let servers: Vec<&ProcStat> = chain
        .iter()
        .filter(|process| matches!(process.name.as_str(), "sshd" | "sshd-session" | "dropbear"))
        .collect();
    let (top, rest) = servers.split_last()?;
    if is_listener(probe, top, rest.last().copied()) { rest.last().copied() } else { Some(*top) }
}

/// Returns whether a server's process is the one that listens. OpenSSH renames itself for each connection
/// (`sshd: root@pts/0`), and its listener since 8.2 (`sshd: … [listener] …`); before, that keeps its command line.
/// Dropbear's keep one name, so the parent of another is the listener.
fn is_listener(probe: &dyn Probe, process: &ProcStat, child: Option<&ProcStat>) -> bool {
    match process.name.as_str() {
        "dropbear" => child.is_some(),
        "sshd-session" => false,
        _ => {
            let path = PathBuf::from(format!("/proc/{}/cmdline", process.pid));
            let line = probe.read(&path, STAT_LIMIT).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("[listener]") || !line.starts_with("sshd: ")
        }
    }
}

/// Returns our and the peer's address of the TCP connection that a process holds; the one we were told about, where
/// it holds several, else the one with the lowest descriptor.
fn addresses(probe: &dyn Probe, pid: u32, told: Option<(IpAddr, IpAddr)>) -> Option<(IpAddr, IpAddr)> {
    let dir = PathBuf::from(format!("/proc/{pid}/fd"));
    let names = probe.list(&dir).ok()?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let sockets: Vec<u64> =
        numbers.iter().filter_map(|number| socket_inode(probe, &dir.join(number.to_string()))).collect();
    let connections: Vec<(u64, (IpAddr, IpAddr))> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| probe.read(Path::new(path), TABLE_LIMIT).ok())
        .flat_map(|table| established(&String::from_utf8_lossy(&table)))
        .collect();
    let held: Vec<(IpAddr, IpAddr)> = sockets
        .iter()
        .filter_map(|inode| connections.iter().find(|(found, _)| found == inode).map(|&(_, ends)| ends))
        .collect();
    held.iter().copied().find(|&ends| Some(ends) == told).or(held.first().copied())
}

fn socket_inode(probe: &dyn Probe, path: &Path) -> Option<u64> {
    match probe.entry(path).ok()??.kind {
        Kind::Symlink { target } => {
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        }
        _ => None,
    }
}

/// Reads `/proc/net/tcp` or `tcp6` (proc_pid_net(5)): the inode and both addresses of each established connection.
fn established(table: &str) -> Vec<(u64, (IpAddr, IpAddr))> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let state = *fields.get(3)?;
        let ends = (hex_address(fields.get(1)?)?, hex_address(fields.get(2)?)?);
        let inode = fields.get(9)?.parse().ok()?;
        (state == ESTABLISHED).then_some((inode, ends))
    };
    table.lines().filter_map(line).collect()
}

/// Reads `0A0200C0:0016`: words of 32 bits in host order, each printed as a number.
fn hex_address(text: &str) -> Option<IpAddr> {
    let digits = text.split(':').next().filter(|digits| digits.is_ascii())?;
    let word =
        |at: usize| u32::from_str_radix(digits.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match digits.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, place) in octets.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// Reads `SSH_CONNECTION` (ssh(1)): the client's address and port, then ours. Returns ours and the client's.
fn told_addresses(text: &str) -> Option<(IpAddr, IpAddr)> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    // A link-local address carries its zone, which says nothing that the other fields do not.
    let address = |word: &str| word.split('%').next()?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    Some((address(words.get(2)?)?, address(words.first()?)?))
}

#[cfg(test)]
mod tests {
    use super::{Terminal, established, told_addresses};

    #[test]
    fn terminals_are_known_by_their_numbers() {
        let console = |name: &str| Terminal::Console(name.to_owned());
        let pseudo = |name: &str| Terminal::Pseudo(name.to_owned());
        for (device, expected) in [
            (0, Terminal::None),
            (0x0401, console("tty1")),
            (0x0440, console("ttyS0")),
            (0x0501, console("console")),
            (0x8800, pseudo("pts/0")),
            (0x8803, pseudo("pts/3")),
            (0x0010_8800, pseudo("pts/256")),
            (0x8901, pseudo("pts/257")),
            (0xcc40, console("ttyAMA0")),
            (0xe500, console("hvc0")),
            (0x0a05, Terminal::Other("10:5".to_owned())),
        ] {
            assert_eq!(Terminal::of_device(device), expected, "{device:#x}");
        }
    }

    #[test]
    fn addresses_are_read_in_both_forms() {
        let ends = |local: &str, peer: &str| (local.parse().unwrap(), peer.parse().unwrap());
        let told = told_addresses("198.51.100.7 50022 192.0.2.10 22");
        assert_eq!(told, Some(ends("192.0.2.10", "198.51.100.7")));
        let told = told_addresses("fe80::1%eno1 50022 fe80::2%eno1 22");
        assert_eq!(told, Some(ends("fe80::2", "fe80::1")));
        assert_eq!(told_addresses("one two three"), None);
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0A0200C0:0016 076433C6:C366 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4\n   \
             1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4\n   \
             2: 0000000000000000FFFF00000A0200C0:0016 0000000000000000FFFF0000076433C6:C366 01 0:0 0:0 0 0 0 4713\n";
        let expected = ends("192.0.2.10", "198.51.100.7");
        assert_eq!(established(table), [(4711, expected), (4713, expected)]);
    }
}
