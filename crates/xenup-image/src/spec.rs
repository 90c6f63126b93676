//! What a disk is to be: data, checked before anything is built. Knows no path of this machine and runs nothing.

use std::path::{Component, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::identity::sha256_hex;

/// The smallest disk: a Debian with kernel, GRUB and ssh takes about 1 GiB, and its packages need room to be upgraded.
pub const SMALLEST: u64 = 2 << 30;
/// The smallest disk with btrfs: /boot takes 1 GiB for itself, and btrfs keeps what describes its files twice.
pub const SMALLEST_BTRFS: u64 = 4 << 30;

/// A specification that cannot be built, with the offending value.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A value has characters or a form that its place does not allow.
    #[error("{field}: `{value}` {why}")]
    Value {
        /// The field, as it is written in the specification.
        field: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The disk is too small.
    #[error("size: {size} bytes are too few; at least {least} are needed")]
    TooSmall {
        /// The size asked for, in bytes.
        size: u64,
        /// The least, in bytes.
        least: u64,
    },
    /// The specification cannot be written down to be digested.
    #[error("cannot digest the specification")]
    Digest(#[source] serde_json::Error),
}

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// Debian unstable.
    Sid,
}

impl Suite {
    /// Its code name, as in sources.list(5).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// The release as people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Bookworm => "Debian 12 (bookworm)",
            Self::Trixie => "Debian 13 (trixie)",
            Self::Sid => "Debian unstable (sid)",
        }
    }

    /// The suite of a code name or version number ("bookworm", "12", "unstable").
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "bookworm" | "12" => Some(Self::Bookworm),
            "trixie" | "13" => Some(Self::Trixie),
            "sid" | "unstable" => Some(Self::Sid),
            _ => None,
        }
    }

    /// The DHCP client that ifupdown of this release recommends first.
    pub(crate) fn dhcp_client(self) -> &'static str {
        match self {
            Self::Bookworm => "isc-dhcp-client",
            Self::Trixie | Self::Sid => "dhcpcd-base",
        }
    }
}

/// A serial console for GRUB and Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial {
    /// 0 for ttyS0 (Xen's com1).
    pub unit: u8,
    /// Bits a second.
    pub speed: u32,
}

/// A file to be added to the system, owned by root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraFile {
    /// The absolute path in the system; missing directories are made.
    pub path: PathBuf,
    /// The permission bits.
    pub mode: u32,
    /// The content.
    pub bytes: Vec<u8>,
}

/// The disk file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A sparse file that is the disk, byte for byte.
    Raw,
    /// QEMU's format, which can hold snapshots.
    Qcow2,
    /// The same bytes as [`Format::Raw`], compressed by zstd.
    RawZst,
}

/// The root's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// ext4, with /boot in it.
    #[default]
    Ext4,
    /// btrfs, with /boot on a partition of its own: GRUB writes its environment block on ext4, and not on btrfs.
    Btrfs,
}

impl FileSystem {
    /// Its name, as in fstab(5).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
        }
    }

    /// The smallest disk with such a root.
    #[must_use]
    pub fn smallest(self) -> u64 {
        match self {
            Self::Ext4 => SMALLEST,
            Self::Btrfs => SMALLEST_BTRFS,
        }
    }

    /// The package that its root needs, in the initramfs too, beside those of every image.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Ext4 => None,
            Self::Btrfs => Some("btrfs-progs"),
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a disk is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageSpec {
    /// The release.
    pub suite: Suite,
    /// The packages beside the essential ones; their dependencies come along, their recommendations do not.
    pub packages: Vec<String>,
    /// The machine's name, without a domain.
    pub hostname: String,
    /// The disk's size in bytes, rounded down to whole MiB.
    pub size: u64,
    /// Root's password as crypt(5) has it ("$y$…", "$6$…"); without one root has no password and cannot use one.
    pub root_password_hash: Option<String>,
    /// The lines of root's authorized_keys.
    pub ssh_authorized_keys: Vec<String>,
    /// The content of /etc/network/interfaces.
    pub interfaces: String,
    /// Name servers for /etc/resolv.conf; with DHCP its client overwrites them.
    pub nameservers: Vec<String>,
    /// Files to be added last; they win over all that the build writes itself, but for grub.cfg and fstab.
    pub extra_files: Vec<ExtraFile>,
    /// Units that are to be masked (a link to /dev/null under /etc/systemd/system).
    pub masked_units: Vec<String>,
    /// Words for Linux's command line, after those for the serial console (GRUB_CMDLINE_LINUX).
    pub kernel_cmdline: String,
    /// The serial console of GRUB and Linux; without one both use the screen.
    pub serial: Option<Serial>,
    /// Seconds for which GRUB shows its menu.
    pub grub_timeout: u32,
    /// Names and values for GRUB's environment block (/boot/grub/grubenv).
    pub grub_environment: Vec<(String, String)>,
    /// The disk file's format.
    pub format: Format,
    /// The root's file system.
    #[serde(default, skip_serializing_if = "FileSystem::is_default")]
    pub filesystem: FileSystem,
    /// Whether the machine's id and its SSH host keys are left to the first boot: the disk is then any number of machines'.
    #[serde(default, skip_serializing_if = "is_false")]
    pub first_boot: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl ImageSpec {
    /// A plain Debian: systemd, ifupdown (with the loopback alone), openssh, GRUB, Debian's own kernel, a serial
    /// console on ttyS0; 8 GiB; nobody can log in until a password or key is set.
    #[must_use]
    pub fn plain(suite: Suite) -> Self {
        let packages = [
            "linux-image-amd64",
            "grub-pc",
            "grub-efi-amd64-bin",
            "systemd-sysv",
            "libpam-systemd",
            "dbus",
            "udev",
            "kmod",
            "e2fsprogs",
            "ifupdown",
            suite.dhcp_client(),
            "iproute2",
            "iputils-ping",
            "netbase",
            "openssh-server",
            "less",
            "procps",
        ];
        Self {
            suite,
            packages: packages.map(str::to_owned).to_vec(),
            hostname: "debian".into(),
            size: 8 << 30,
            root_password_hash: None,
            ssh_authorized_keys: Vec::new(),
            interfaces: "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n".into(),
            nameservers: Vec::new(),
            extra_files: Vec::new(),
            // They would take apt's lock at a random moment of the first boot.
            masked_units: vec!["apt-daily.timer".into(), "apt-daily-upgrade.timer".into()],
            kernel_cmdline: String::new(),
            serial: Some(Serial { unit: 0, speed: 115_200 }),
            grub_timeout: 2,
            grub_environment: Vec::new(),
            format: Format::Qcow2,
            filesystem: FileSystem::Ext4,
            first_boot: false,
        }
    }

    /// The same with another file system for its root, and the package that this needs.
    #[must_use]
    pub fn on(mut self, filesystem: FileSystem) -> Self {
        self.filesystem = filesystem;
        self.packages.extend(filesystem.package().map(str::to_owned));
        self
    }

    /// The SHA-256 of the whole specification, as hexadecimal digits.
    pub fn digest(&self) -> Result<String, ImageError> {
        let json = serde_json::to_vec(self).map_err(SpecError::Digest)?;
        Ok(sha256_hex(&json))
    }

    /// Linux's command line beyond what Debian's defaults give: the consoles, then the specification's own words.
    #[must_use]
    pub fn full_cmdline(&self) -> String {
        let mut words = Vec::new();
        if let Some(serial) = self.serial {
            // The last console is the one that /dev/console means.
            words.push(format!("console=tty0 console=ttyS{},{}n8", serial.unit, serial.speed));
        }
        if !self.kernel_cmdline.is_empty() {
            words.push(self.kernel_cmdline.clone());
        }
        words.join(" ")
    }

    /// Checks every value that ends up in a file or on a command line.
    pub fn validate(&self) -> Result<(), SpecError> {
        let least = self.filesystem.smallest();
        if self.size < least {
            return Err(SpecError::TooSmall { size: self.size, least });
        }
        let lacks = |package| self.packages.iter().all(|have| have.split('=').next() != Some(package));
        if self.filesystem.package().is_some_and(lacks) {
            return Err(SpecError::Value {
                field: "filesystem",
                value: self.filesystem.name().to_owned(),
                why: "is mounted by no initramfs without its own programs among the packages",
            });
        }
        check(
            "hostname",
            &self.hostname,
            is_hostname,
            "is no host name: letters, digits and inner hyphens, at most 63",
        )?;
        for package in &self.packages {
            check("packages", package, is_package, "is no package name")?;
        }
        for unit in &self.masked_units {
            check("masked-units", unit, is_unit, "is no unit name")?;
        }
        for server in &self.nameservers {
            check("nameservers", server, |s| s.parse::<std::net::IpAddr>().is_ok(), "is no IP address")?;
        }
        if let Some(hash) = &self.root_password_hash {
            check(
                "root-password-hash",
                hash,
                is_password_hash,
                "is no crypt(5) hash, which begins with `$`",
            )?;
        }
        for key in &self.ssh_authorized_keys {
            check("ssh-authorized-keys", key, is_one_line, "is more than one line")?;
        }
        check(
            "kernel-cmdline",
            &self.kernel_cmdline,
            is_cmdline,
            "has a quote, `$`, `\\`, a backtick or a newline",
        )?;
        for (name, value) in &self.grub_environment {
            check("grub-environment", name, is_grub_name, "is no name of a GRUB variable")?;
            check("grub-environment", value, is_one_line, "is more than one line")?;
        }
        for file in &self.extra_files {
            let inner = |p: &&ExtraFile| {
                p.path.is_absolute()
                    && p.path.file_name().is_some()
                    && p.path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
            };
            if !inner(&file) {
                return Err(SpecError::Value {
                    field: "extra-files",
                    value: file.path.display().to_string(),
                    why: "is no absolute path of a file",
                });
            }
        }
        Ok(())
    }
}

fn check(
    field: &'static str,
    value: &str,
    good: impl Fn(&str) -> bool,
    why: &'static str,
) -> Result<(), SpecError> {
    if good(value) { Ok(()) } else { Err(SpecError::Value { field, value: value.to_owned(), why }) }
}

fn is_hostname(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Debian policy 5.6.1: lower case letters, digits, `+`, `-`, `.`; a version may follow as apt-get writes it.
pub(crate) fn is_package(text: &str) -> bool {
    let name = |s: &str| {
        s.len() >= 2
            && s.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    };
    let version =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-:~".contains(&b));
    match text.split_once('=') {
        Some((package, wanted)) => name(package) && version(wanted),
        None => name(text),
    }
}

fn is_unit(text: &str) -> bool {
    text.contains('.')
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_@:\\".contains(&b))
}

fn is_password_hash(text: &str) -> bool {
    text.starts_with('$') && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r', '\0'])
}

fn is_cmdline(text: &str) -> bool {
    is_one_line(text) && !text.contains(['"', '\'', '$', '`', '\\'])
}

fn is_grub_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
