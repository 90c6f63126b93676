//! `guest create`, `guest resize` and `guest delete`. Decides how a size, a suite, a type are spelt.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use xenup_core::guest::create::{Name, Room};
use xenup_image::Suite;

const MIB: u64 = 1 << 20;

/// `guest create`
#[derive(Debug, ClapArgs)]
pub struct GuestCreate {
    /// The guest's name, and its host name
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// What it runs: 12 or bookworm, 13 or trixie, sid
    #[arg(long, value_name = "SUITE", default_value = "trixie", value_parser = suite)]
    pub suite: Suite,
    /// How it is virtualised: pvh, by hardware and without an emulated machine, or pv, for machines without that hardware
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_enum,
        default_value = "pvh",
        hide_possible_values = true
    )]
    pub kind: Kind,
    /// The disk's size: a number and M, G or T; the file takes only what is written to it
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = disk_size)]
    pub size: u64,
    /// A swap file of this size on its disk: a number and M or G; none without it
    #[arg(long, value_name = "SIZE", value_parser = swap_size)]
    pub swap: Option<u64>,
    /// The guest's memory: a number and M or G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = memory)]
    pub memory: u64,
    /// Its virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub vcpus: u32,
    /// Where its disk's file goes
    #[arg(long, value_name = "DIR", default_value = "/var/lib/xen/images")]
    pub dir: PathBuf,
    /// Its disk is a logical volume, NAME-disk, of this volume group; of a thin pool a snapshot of the base
    #[arg(long, value_name = "GROUP[/POOL]", conflicts_with = "dir")]
    pub volume: Option<Room>,
    /// The bridge; without it host.toml's first, else the machine's only one
    #[arg(long, value_name = "NAME")]
    pub bridge: Option<String>,
    /// Its address with the prefix's length, or dhcp, which is the default; may be given for IPv4 and for IPv6
    #[arg(long, value_name = "ADDRESS/PREFIX|dhcp")]
    pub address: Vec<String>,
    /// The router of a static address; may be given for IPv4 and for IPv6
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<IpAddr>,
    /// A name server, beside a static address; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// Who sets its network up: ifupdown, networkd with systemd-resolved, or netplan on these two
    #[arg(long, value_name = "WHO", value_enum, default_value = "ifupdown", hide_possible_values = true)]
    pub network: Network,
    /// Public keys that may log in as root; may be given several times. Without it, those of this machine's root
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Vec<PathBuf>,
    /// A Debian package to be in the base as well; each set of packages has a base of its own
    #[arg(long = "package", value_name = "NAME")]
    pub packages: Vec<String>,
    /// Boot a kernel of this host instead of the disk's own: a path, or the name or role of one that `kernel install` put in
    /// place, such as domU-minimal
    #[arg(long, value_name = "PATH|NAME")]
    pub kernel: Option<String>,
    /// The ramdisk of that kernel; none without it
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub ramdisk: Option<PathBuf>,
    /// User-data for cloud-init, which is then in the base: a cloud-config, a script or MIME
    #[arg(long, value_name = "FILE")]
    pub cloud_init: Option<PathBuf>,
    /// A script that the guest runs once, at its first boot; may be given several times, and they run in that order
    #[arg(long = "script", value_name = "FILE")]
    pub scripts: Vec<PathBuf>,
    /// Start it with the host, by a link in /etc/xen/auto
    #[arg(long)]
    pub auto: bool,
    /// Make the base anew, with today's packages
    #[arg(long)]
    pub rebuild: bool,
    /// Show everything that would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `guest delete`
#[derive(Debug, ClapArgs)]
pub struct GuestDelete {
    /// The guest
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `guest resize`
#[derive(Debug, ClapArgs)]
pub struct GuestResize {
    /// The guest
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// The size that its disk is to have: a number and M, G or T
    #[arg(value_name = "SIZE", value_parser = disk_size)]
    pub size: u64,
}

/// How a guest is virtualised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// By hardware, without an emulated machine
    Pvh,
    /// Paravirtual, for machines without hardware virtualisation
    Pv,
}

/// Who sets a guest's network up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// ifupdown: /etc/network/interfaces
    Ifupdown,
    /// systemd-networkd, with systemd-resolved
    Networkd,
    /// netplan, on systemd-networkd with systemd-resolved
    Netplan,
}

/// Reads a suite.
pub fn suite(text: &str) -> Result<Suite, String> {
    Suite::parse(text)
        .ok_or_else(|| "no suite that guests are made of: 12 or bookworm, 13 or trixie, sid".to_owned())
}

/// Reads a disk's size, in bytes.
pub fn disk_size(text: &str) -> Result<u64, String> {
    let bytes = size(text, &[('M', MIB), ('G', MIB << 10), ('T', MIB << 20)])?;
    match bytes {
        0..xenup_image::guest::SMALLEST => Err("a guest's disk has 2G at least".to_owned()),
        // ext4 with 4 KiB blocks and without 64-bit block numbers ends here; so does the base's.
        bytes if bytes > MIB << 24 => Err("a guest's disk has 16T at most".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Reads a swap file's size, in bytes.
pub fn swap_size(text: &str) -> Result<u64, String> {
    let bytes = size(text, &[('M', MIB), ('G', MIB << 10)])?;
    if bytes == 0 { Err("a swap file of nothing is none: leave --swap out".to_owned()) } else { Ok(bytes) }
}

/// Reads an amount of memory, in MiB.
pub fn memory(text: &str) -> Result<u64, String> {
    let mib = size(text, &[('M', MIB), ('G', MIB << 10)])? / MIB;
    match mib {
        0..128 => Err("Debian does not come up in less than 128M".to_owned()),
        mib if mib > 16 << 20 => Err("Xen gives a guest 16T at most".to_owned()),
        mib => Ok(mib),
    }
}

pub fn size(text: &str, units: &[(char, u64)]) -> Result<u64, String> {
    let letters: Vec<String> = units.iter().map(|(letter, _)| letter.to_string()).collect();
    let refused = || format!("write a number and {}, such as 10G", letters.join(" or "));
    let unit = units.iter().find(|(letter, _)| text.ends_with(*letter)).ok_or_else(refused)?;
    let digits = text.trim_end_matches(unit.0);
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    number.and_then(|number| number.checked_mul(unit.1)).ok_or_else(refused)
}
