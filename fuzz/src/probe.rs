//! A machine that is a few files in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_machine::file::{Attributes, Entry, Kind, Space};
use xenup_machine::network::{Address, Network};
use xenup_machine::process::{Output, Query};
use xenup_machine::{Clock, MachineError, Probe, Reason};

/// Files by their absolute paths.
pub struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    /// Enough of a Debian that the gathering of facts goes all its ways.
    pub fn debian() -> Self {
        let files = [
            ("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
            ("/etc/network/interfaces", "auto eno1\niface eno1 inet dhcp\n"),
            ("/boot/grub/grub.cfg", "menuentry 'Debian' --id x {\nlinux /vmlinuz-6.1.0-1-amd64\n}\n"),
            ("/boot/vmlinuz-6.1.0-1-amd64", ""),
            ("/proc/self/mountinfo", "26 1 254:2 / / rw - ext4 /dev/vda2 rw\n"),
            ("/sys/class/net/eno1/address", "52:54:00:aa:bb:cc\n"),
        ];
        Self(files.map(|(path, text)| (path.into(), text.into())).into())
    }

    /// A session over ssh(1) in process 950, below the server's process 940 and its listener 930.
    pub fn session() -> Self {
        let stat = |pid: u32, name: &str, parent: u32| {
            let zeros = "0 ".repeat(16);
            (
                PathBuf::from(format!("/proc/{pid}/stat")),
                format!("{pid} ({name}) S {parent} {zeros}100 0 0\n").into_bytes(),
            )
        };
        let mut files: BTreeMap<_, _> =
            [stat(1, "systemd", 0), stat(930, "sshd", 1), stat(940, "sshd", 930), stat(950, "bash", 940)]
                .into();
        files.insert("/proc/930/cmdline".into(), b"sshd: /usr/sbin/sshd -D [listener]\0".to_vec());
        files.insert("/proc/940/cmdline".into(), b"sshd: root@pts/0\0".to_vec());
        Self(files)
    }

    /// The same with one more file, or another content of one.
    pub fn with(mut self, path: &str, bytes: &[u8]) -> Self {
        self.0.insert(path.into(), bytes.to_vec());
        self
    }
}

fn absent(doing: &'static str, path: &Path) -> MachineError {
    MachineError::at(doing, path, Reason::NotFound, "No such file or directory")
}

impl Probe for Files {
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, MachineError> {
        let bytes = self.0.get(path).ok_or_else(|| absent("read", path))?;
        if bytes.len() as u64 > limit {
            return Err(MachineError::at("read", path, Reason::TooLarge, "too large"));
        }
        Ok(bytes.clone())
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        let kind = match self.0.get(path) {
            Some(bytes) => Kind::File { size: bytes.len() as u64 },
            None if self.0.keys().any(|file| file.starts_with(path)) => Kind::Dir,
            // A descriptor of the session's process that is a socket.
            None if path == Path::new("/proc/940/fd/4") => Kind::Symlink { target: "socket:[4711]".into() },
            None => return Ok(None),
        };
        Ok(Some(Entry { kind, attributes: Attributes::root(0o644), device: 1 }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        if dir == Path::new("/proc/940/fd") {
            return Ok(vec!["4".into()]);
        }
        let below = self.0.keys().filter_map(|file| file.strip_prefix(dir).ok()?.components().next());
        let names: BTreeSet<OsString> = below.map(|name| name.as_os_str().to_owned()).collect();
        if names.is_empty() { Err(absent("list", dir)) } else { Ok(names.into_iter().collect()) }
    }

    fn space(&self, _: &Path) -> Result<Space, MachineError> {
        Ok(Space { free: 1 << 30, total: 1 << 30, read_only: false })
    }

    fn query(&self, query: &Query) -> Result<Output, MachineError> {
        Err(MachineError::new("query", &query.line(), Reason::NotRunning, "nothing runs here"))
    }

    fn network(&self) -> Result<Network, MachineError> {
        Ok(Network::default())
    }

    fn neighbour_answers(&self, _: &str, _: &Address, _: Duration) -> Result<bool, MachineError> {
        Ok(false)
    }

    fn clock(&self) -> Clock {
        Clock { unix_seconds: 0, boottime_ns: 0, boot_id: String::new() }
    }
}
