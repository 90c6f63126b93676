//! `image build`. Decides how a size, a suite, a format are spelt.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use xenup_image::{FileSystem, Suite};

use super::guest::size;

const MIB: u64 = 1 << 20;
/// A host's packages take 1.5 GiB; as much again is for their upgrades.
const LEAST_SIZE: u64 = 3 << 30;

/// `image`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Build a disk that boots as a Xen host, or a medium that installs one; without root, and the same bytes for the same
    /// input, but for btrfs
    ///
    /// Both boot by BIOS and by UEFI. FILE.iso is a medium for a CD or a USB stick, whose program is `xenup install`.
    ///
    /// What `xenup apply` would write on a plain Debian is in it from the start, and Xen is what it boots. Its first
    /// boot gives the root the whole disk, makes the SSH host keys and the machine's id, and says on the console whether
    /// it is a Xen host.
    Build(ImageBuild),
}

/// `image build`
#[derive(Debug, ClapArgs)]
pub struct ImageBuild {
    /// The disk's or the medium's file
    #[arg(value_name = "FILE")]
    pub out: PathBuf,
    /// Read what is wanted from FILE; its NICs are told apart by their mac
    #[arg(long, value_name = "FILE", default_value = "/etc/xenup/host.toml")]
    pub host: PathBuf,
    /// The release: 12 or bookworm, 13 or trixie, sid
    #[arg(long, value_name = "SUITE", default_value = "trixie", value_parser = suite)]
    pub suite: Suite,
    /// The file's format: raw, qcow2, raw.zst or iso; without it by the file's ending
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    pub format: Option<Kind>,
    /// The disk's size: a number and M or G; the first boot gives the root what the machine's disk has beyond
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = disk_size)]
    pub size: u64,
    /// The root's file system: ext4, or btrfs, which keeps /boot on an ext4 of its own and has other bytes with every build
    #[arg(long, value_name = "TYPE", default_value = "ext4", value_parser = filesystem)]
    pub filesystem: FileSystem,
    /// The machine's name
    #[arg(long, value_name = "NAME", default_value = "xen")]
    pub name: String,
    /// Public keys that may log in as root; may be given several times
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Vec<PathBuf>,
    /// Root's password for the console, as the crypt(5) hash that is in FILE; none without it
    #[arg(long, value_name = "FILE")]
    pub root_password_hash: Option<PathBuf>,
    /// The address of the bridge that keeps one, with the prefix's length, or dhcp, which is the default
    #[arg(long, value_name = "ADDRESS/PREFIX|dhcp")]
    pub address: Vec<String>,
    /// The router of a static address; may be given for IPv4 and for IPv6
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<IpAddr>,
    /// A name server, beside a static address; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// The language of its programs, such as de_DE.UTF-8; C.UTF-8 without it
    #[arg(long, value_name = "LOCALE")]
    pub locale: Option<String>,
    /// The time zone, such as Europe/Berlin; UTC without it
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Leave the root as large as the image, and make what the machine's disk has beyond the volume group `guests`
    #[arg(long)]
    pub lvm: bool,
    /// xenup's own Debian package, to be in the image as well
    #[arg(long, value_name = "FILE")]
    pub package: Option<PathBuf>,
    /// What a medium is not to ask: answers.toml(5)
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Show everything that would be in the image beside its packages, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run in the namespaces that this program made for itself
    #[arg(long, hide = true)]
    pub in_namespace: bool,
}

/// What a disk's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The disk, byte for byte, sparse
    Raw,
    /// QEMU's
    Qcow2,
    /// raw, compressed by zstd
    #[value(name = "raw.zst")]
    RawZst,
    /// An installer medium
    Iso,
}

fn suite(text: &str) -> Result<Suite, String> {
    Suite::parse(text)
        .ok_or_else(|| "no suite that hosts are made of: 12 or bookworm, 13 or trixie, sid".to_owned())
}

fn filesystem(text: &str) -> Result<FileSystem, String> {
    match text {
        "ext4" => Ok(FileSystem::Ext4),
        "btrfs" => Ok(FileSystem::Btrfs),
        // As measured with xfsprogs 6.1: docs/design/0032-a-root-on-btrfs.md.
        "xfs" => {
            Err("mkfs.xfs drops the times, capabilities and hard links of what it is given: ext4 or btrfs"
                .to_owned())
        }
        _ => Err("no file system that images are made with: ext4 or btrfs".to_owned()),
    }
}

fn disk_size(text: &str) -> Result<u64, String> {
    match size(text, &[('M', MIB), ('G', MIB << 10)])? {
        0..LEAST_SIZE => Err("a host's disk has 3G at least".to_owned()),
        // ext4 with 4 KiB blocks and without 64-bit block numbers ends here.
        bytes if bytes > MIB << 24 => Err("a host's disk has 16384G at most".to_owned()),
        bytes => Ok(bytes),
    }
}
