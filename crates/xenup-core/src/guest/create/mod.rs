//! New guests: what a wished guest comes to, as texts for two places: the guest's own disk, and /etc/xen.
//!
//! Decides: which names, addresses and keys can be used, what each file says, and what is in a new guest's way. Facts:
//! xl.cfg(5), interfaces(5), systemd.network(5), fstab(5), hosts(5); grub-xen-host's list of files; GRUB's xen_file.c for what
//! it unpacks. Never: makes a file, draws a random number, knows how a disk is made.

mod access;
mod cloud;
mod hooks;
mod inside;
mod kernel;
mod name;
mod network;
mod record;
mod scripts;
mod taken;
mod volume;

use std::path::{Path, PathBuf};

use serde::Serialize;
use xenup_machine::network::Mac;

pub use access::{KeyFault, authorized_keys};
pub use cloud::{CLOUD_INIT, SEED, UserData, UserDataFault};
pub use hooks::{HOOKS, HookFault, Hooks, Moment, hooks, told};
pub use inside::Entry;
pub use kernel::{NoSuchKernel, OwnKernel, installed, not_built_in};
pub use name::{Name, NotAName};
pub use network::{Addresses, Manager, NetworkFault, Prefixed};
pub use record::{FORMAT, Made, RECORDS, Record, RecordFault, volume_tag};
pub use scripts::{Script, ScriptFault};
pub use taken::{BridgeFault, Running, Taken, bridge, macs, running, taken};
pub use volume::{BASES, Groups, NoRoom, Present, Room, Volume, VolumeFault};

use super::convert::quoted;
use super::disk_spec::{Access, DiskSpec, Format};
use super::list::{AUTO, DIR};
use super::model::GuestType;

/// The name of the guest's one NIC: `net.ifnames=0` stands on the base's kernel command line, so that it is the same
/// in every release, whatever systemd calls Xen's NICs (`enX0` since 253).
pub const NIC: &str = "eth0";

/// GRUB for a PVH guest, as the package grub-xen-host has it.
const LOADER: &str = "/usr/lib/grub-xen/grub-i386-xen_pvh.bin";

/// A wished guest.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: Name,
    /// PVH or PV; another type is written as PVH.
    pub kind: GuestType,
    /// What it runs, for people: `Debian 13 (trixie)`.
    pub system: String,
    /// MiB.
    pub memory: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Its disk on the host, absolute: a file, or the device of its volume.
    pub disk: PathBuf,
    /// The volume, where the disk is one.
    pub volume: Option<Volume>,
    /// The bridge on the host.
    pub bridge: String,
    /// What its NIC gets.
    pub addresses: Addresses,
    /// Who sets its NIC up.
    pub manager: Manager,
    /// The lines of root's authorized_keys.
    pub keys: Vec<String>,
    /// Bytes of a swap file, whole MiB.
    pub swap: Option<u64>,
    /// Whether /etc/xen/auto gets a link.
    pub auto: bool,
    /// A kernel of dom0 in the place of the disk's own.
    pub kernel: Option<OwnKernel>,
    /// What cloud-init is to find.
    pub user_data: Option<UserData>,
    /// What runs at its first boot, in this order.
    pub scripts: Vec<Script>,
}

/// What makes a guest another one than its neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The guest's, for xl.
    pub uuid: String,
    /// Its root file system's.
    pub file_system: String,
    /// Its NIC's address.
    pub mac: Mac,
}

impl Identity {
    /// Returns the identity that these random bytes give: two UUIDs of version 4 (RFC 9562), and an address in
    /// 00:16:3e, which Xen's makers hold for guests.
    #[must_use]
    pub fn from_random(bytes: [u8; 35]) -> Self {
        let take = |from: usize| -> [u8; 16] {
            std::array::from_fn(|at| bytes.get(from + at).copied().unwrap_or_default())
        };
        let [.., a, b, c] = bytes;
        Self { uuid: uuid(take(0)), file_system: uuid(take(16)), mac: Mac([0x00, 0x16, 0x3e, a, b, c]) }
    }
}

fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// A guest that can be made: every text, nothing of it written yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NewGuest {
    /// Its name.
    pub name: String,
    /// What makes it another one than its neighbour.
    pub identity: Identity,
    /// Where its disk will be.
    pub disk: PathBuf,
    /// Whether that is the device of a logical volume.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_volume: bool,
    /// Where its xl.cfg will be.
    pub config: PathBuf,
    /// That file's text.
    pub config_text: String,
    /// The link in /etc/xen/auto, where one is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<PathBuf>,
    /// What is written inside its disk, in this order.
    pub inside: Vec<Entry>,
}

impl NewGuest {
    /// Returns what a wish comes to.
    #[must_use]
    pub fn of(wanted: &Wanted, identity: Identity) -> Self {
        let name = wanted.name.as_str();
        Self {
            name: name.to_owned(),
            disk: wanted.disk.clone(),
            is_volume: wanted.volume.is_some(),
            config: config_path(&wanted.name),
            config_text: config_text(wanted, &identity),
            auto: wanted.auto.then(|| auto_path(&wanted.name)),
            inside: inside::entries(wanted, &identity),
            identity,
        }
    }
}

/// Returns where a guest's xl.cfg is.
#[must_use]
pub fn config_path(name: &Name) -> PathBuf {
    Path::new(DIR).join(format!("{name}.cfg"))
}

/// Returns where a guest's link for xendomains is.
#[must_use]
pub fn auto_path(name: &Name) -> PathBuf {
    Path::new(AUTO).join(format!("{name}.cfg"))
}

/// Returns why a disk cannot have this path, where it cannot: xl has to read it in one line of text.
#[must_use]
pub fn unfit_disk_path(path: &Path) -> Option<&'static str> {
    match path.to_str() {
        None => Some("is not UTF-8"),
        Some(text) if !text.starts_with('/') => Some("does not begin with `/`"),
        Some(text) if text.chars().any(|c| c.is_control() || c == ' ' || c == ',' || c == '"') => {
            Some("has a blank, a comma, a quote or a control character")
        }
        Some(_) => None,
    }
}

/// The lines that say what the guest boots.
fn boots(wanted: &Wanted, kind: GuestType) -> String {
    if let Some(kernel) = &wanted.kernel {
        let line = |key: &str, path: &Path| format!("{key} = {}\n", quoted(&path.to_string_lossy(), '"'));
        let ramdisk = kernel.ramdisk.as_deref().map(|path| line("ramdisk", path)).unwrap_or_default();
        return format!(
            "# A kernel of dom0; that of the guest's own disk is not booted.\n{}{ramdisk}cmdline = \"{}\"\n",
            line("kernel", &kernel.image),
            kernel::CMDLINE
        );
    }
    // Debian's cloud kernel is packed with lz4 or zstd, which GRUB for Xen does not unpack in a PV guest.
    if kind == GuestType::Pv {
        "# pygrub, which reads /boot/grub/grub.cfg of the guest's own disk in dom0: its kernel comes from its own apt.\n\
         bootloader = \"pygrub\"\n"
            .to_owned()
    } else {
        format!(
            "# GRUB, which reads /boot/grub/grub.cfg of the guest's own disk: its kernel comes from its own apt.\n\
             kernel = {}\n",
            quoted(LOADER, '"')
        )
    }
}

fn config_text(wanted: &Wanted, identity: &Identity) -> String {
    let text = |value: &str| quoted(value, '"');
    let kind = if wanted.kind == GuestType::Pv { GuestType::Pv } else { GuestType::Pvh };
    let boots = boots(wanted, kind);
    let disk = DiskSpec {
        format: Format::Raw,
        vdev: "xvda".to_owned(),
        access: Access::ReadWrite,
        target: Some(wanted.disk.to_string_lossy().into_owned()),
        cdrom: false,
        script: None,
        others: Vec::new(),
        old: Vec::new(),
    };
    let vif = format!("mac={},bridge={}", identity.mac, wanted.bridge);
    format!(
        "# {name}: {system}. Made by xenup guest create, and yours to edit; xenup guest delete {name} removes it.\n\
         name = {quoted_name}\n\
         uuid = {uuid}\n\
         type = {kind}\n\
         {boots}\
         memory = {memory}\n\
         vcpus = {vcpus}\n\
         disk = [{disk}]\n\
         vif = [{vif}]\n",
        name = wanted.name,
        system = wanted.system,
        quoted_name = text(wanted.name.as_str()),
        uuid = text(&identity.uuid),
        kind = text(kind.word()),
        memory = wanted.memory,
        vcpus = wanted.vcpus,
        disk = text(&disk.named()),
        vif = text(&vif),
    )
}
