//! What is found on a guest's disk, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The format number of [`GuestDisk`].
pub const FORMAT: u32 = 1;

/// What a guest's disk holds. Every text in it comes from the guest, and has no control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestDisk {
    /// The format number.
    pub format: u32,
    /// The image: "raw" or "qcow2".
    pub image: String,
    /// The backing files' names, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backing: Vec<String>,
    /// The disk's size in bytes, as the guest sees it.
    pub size: u64,
    /// The partition table: "gpt" or "mbr"; absent on a bare file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What the disk is cut into; one without a number where it is not cut.
    pub volumes: Vec<Volume>,
    /// What was found on the file systems.
    #[serde(flatten)]
    pub found: Found,
    /// What could not be read, and what has to be known of what was.
    pub notes: Vec<Note>,
}

/// A partition, or the whole disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    /// The partition's number; absent for the whole disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What it holds, as blkid(8) calls it; absent where nothing is recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The UUID of what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The label of what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The partition's own UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partuuid: Option<String>,
    /// The partition's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it was looked at in the guest's tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mounted: Option<String>,
    /// The btrfs subvolume that was looked at; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<String>,
    /// Why it was taken for the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// What was found on the guest's file systems.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// What os-release(5) says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// What its programs are built for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// What each boot loader's file would boot, in the order in which pygrub looks for them.
    pub boot: Vec<Boot>,
    /// Kernels in /boot and in the root, by path.
    pub kernels: Vec<String>,
    /// The lines of fstab(5).
    pub fstab: Vec<Mount>,
    /// Network interfaces that are configured by name.
    pub network: Vec<Interface>,
    /// Where somebody could log in on Xen's console.
    pub console: Console,
    /// Libraries for thread-local storage that 32-bit PV guests trip over.
    pub tls: Tls,
}

/// os-release(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// `ID`.
    pub id: String,
    /// `VERSION_ID`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub name: String,
    /// The file that says so.
    pub file: String,
}

/// What programs are built for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Architecture {
    /// Debian's name: "amd64", "i386", "arm64", ...
    pub name: String,
    /// The file that says so, and how.
    pub evidence: String,
}

/// What one boot loader's file would boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Boot {
    /// "grub", "grub-legacy", "extlinux" or "bls".
    pub loader: String,
    /// The loader's file.
    pub file: String,
    /// Other paths that lead to it by links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How many entries it has.
    pub entries: usize,
    /// The title of the entry that would boot.
    pub title: String,
    /// Why that one: "set default", "saved_entry of grubenv", ...
    pub why: String,
    /// The kernel as the entry names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The kernel's path in the guest's tree, links resolved; absent where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_path: Option<String>,
    /// The kernel's size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_size: Option<u64>,
    /// The disk that the entry takes the kernel from, as GRUB names it, where that is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_device: Option<String>,
    /// The kernel's command line.
    pub cmdline: String,
    /// The initrds as the entry names them.
    pub initrd: Vec<String>,
    /// The hypervisor, where the entry boots one: a Xen host of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
}

/// A line of fstab(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    /// The line, from 1.
    pub line: usize,
    /// What is mounted.
    pub source: String,
    /// Where.
    pub target: String,
    /// The file system type.
    pub kind: String,
    /// The options.
    pub options: String,
    /// How the source is named.
    pub by: NamedBy,
    /// The partition of this disk that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// What to write instead, where the name depends on how the disk is attached and a lasting one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a device is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// By the file system's UUID.
    Uuid,
    /// By the file system's label.
    Label,
    /// By the partition's UUID or label.
    Partition,
    /// By a name that Xen's own disks have: /dev/xvd*.
    XenName,
    /// By a name that other disks have: /dev/hd*, /dev/sd*, /dev/vd*.
    ForeignName,
    /// By a logical volume's name.
    Mapped,
    /// It is no disk of this machine: tmpfs, proc, a network share.
    #[default]
    Other,
}

/// A network interface that a file configures by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Its name, or a pattern of names.
    pub name: String,
    /// "ifupdown", "networkd", "netplan", "ifcfg" or "networkmanager".
    pub owner: String,
    /// The file.
    pub file: String,
}

/// Logging in on Xen's console.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Console {
    /// Whether something offers a login on hvc0 (or xvc0 of old kernels).
    pub login: bool,
    /// What says so.
    pub evidence: Vec<String>,
}

/// /lib/tls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// Whether /lib/tls is a directory with libraries in it.
    pub present: bool,
    /// Whether there are libraries built for Xen ("nosegneg").
    pub nosegneg: bool,
}

/// Something that has to be known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// What it is about: "partition 2", "/etc/fstab:3".
    pub about: String,
    /// What is to be known.
    pub text: String,
}

impl Note {
    /// A note.
    pub fn new(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { about: about.into(), text: text.into() }
    }
}
