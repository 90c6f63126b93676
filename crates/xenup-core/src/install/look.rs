//! The disks and NICs of this machine, from sysfs, /proc and the disks' own first bytes.
//!
//! Decides: which of the kernel's block devices are disks, and who uses each (mounts, swap, and what the kernel holds: md,
//! device-mapper). Facts: Documentation/ABI/stable/sysfs-block, proc(5).
//! Never: writes, or takes a disk that it cannot read for an empty one.

use std::path::{Path, PathBuf};

use xenup_disk::superblock::{self, Content, Kind};
use xenup_disk::table::{self, Form};
use xenup_disk::{ReadAt, View};
use xenup_machine::Probe;
use xenup_machine::file;

use super::disk::{Disk, Held, Part, User};
use super::interview::Nic;

const BLOCK: &str = "/sys/class/block";
const NET: &str = "/sys/class/net";
const LIMIT: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// The beginnings of names of block devices that are no disks by themselves. A loop device is one: whoever has set it up
/// may want a system on it.
const NO_DISKS: &[&str] = &["ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtd"];

/// Opens a disk by the kernel's name of it, to read its first bytes.
pub type Open<'a> = &'a dyn Fn(&str) -> Result<Box<dyn ReadAt>, String>;

/// Returns the disks by name.
#[must_use]
pub fn disks(probe: &dyn Probe, open: Open<'_>) -> Vec<Disk> {
    let looking = Looking {
        probe,
        open,
        mounts: text(probe, "/proc/self/mountinfo"),
        swaps: text(probe, "/proc/swaps"),
    };
    let is_disk = |name: &String| !NO_DISKS.iter().any(|other| name.starts_with(other));
    let names = names(probe, BLOCK).into_iter().filter(is_disk);
    names.filter_map(|name| looking.disk(&name)).collect()
}

/// Returns the Ethernet NICs by name.
#[must_use]
pub fn nics(probe: &dyn Probe) -> Vec<Nic> {
    let nic = |name: String| {
        let at = Path::new(NET).join(&name);
        // What has no device is made by software; a radio is no port of a bridge.
        let there = |part: &str| probe.entry(&at.join(part)).ok().flatten();
        there("device")?;
        if there("phy80211").is_some() || value(probe, &at.join("type"))? != "1" {
            return None;
        }
        Some(Nic {
            mac: value(probe, &at.join("address"))?.parse().ok()?,
            driver: target(probe, &at.join("device/driver")),
            link: value(probe, &at.join("carrier")).as_deref() == Some("1"),
            name,
        })
    };
    names(probe, NET).into_iter().filter_map(nic).collect()
}

struct Looking<'a> {
    probe: &'a dyn Probe,
    open: Open<'a>,
    mounts: String,
    swaps: String,
}

impl Looking<'_> {
    fn value(&self, name: &str, part: &str) -> Option<String> {
        value(self.probe, &Path::new(BLOCK).join(name).join(part))
    }

    fn number(&self, name: &str, part: &str) -> Option<u64> {
        self.value(name, part)?.parse().ok()
    }

    fn disk(&self, name: &str) -> Option<Disk> {
        let size = self.number(name, "size")?.checked_mul(SECTOR).filter(|size| *size > 0)?;
        if self.value(name, "partition").is_some() {
            return None;
        }
        let vendor = self.value(name, "device/vendor").filter(|vendor| !vendor.starts_with("0x"));
        let model = self.value(name, "device/model");
        let model = model.map(|model| vendor.map(|vendor| format!("{vendor} ")).unwrap_or_default() + &model);
        let mut disk = Disk {
            name: name.to_owned(),
            size,
            sector: self
                .number(name, "queue/logical_block_size")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(512),
            model,
            serial: self.value(name, "serial").or_else(|| self.value(name, "device/serial")),
            read_only: self.value(name, "ro").as_deref() == Some("1"),
            links: self.links(name),
            whole: Held { users: self.users(name), ..Held::default() },
            ..Disk::default()
        };
        let bytes = match (self.open)(name) {
            Ok(bytes) => bytes,
            Err(why) => {
                disk.unreadable = Some(why);
                return Some(disk);
            }
        };
        if let Err(error) = self.contents(&mut disk, bytes.as_ref()) {
            disk.unreadable = Some(error.to_string());
        }
        Some(disk)
    }

    fn contents(&self, disk: &mut Disk, bytes: &dyn ReadAt) -> Result<(), xenup_disk::ReadError> {
        let table = table::read(bytes)?;
        disk.table = table.as_ref().map(|table| match table.form {
            Form::Gpt { .. } => "GPT".to_owned(),
            Form::Mbr { .. } => "MBR".to_owned(),
        });
        // Beside a table only what would own all of the disk counts: the mark of a file system may be a remnant.
        let whole = superblock::identify(bytes)?;
        let counts = |content: &Content| disk.table.is_none() || is_container(content.kind);
        put(&mut disk.whole, whole.filter(counts));
        for name in names(self.probe, &format!("{BLOCK}/{}", disk.name)) {
            let (Some(_), Some(start), Some(size)) =
                (self.value(&name, "partition"), self.number(&name, "start"), self.number(&name, "size"))
            else {
                continue;
            };
            let (start, size) = (start.saturating_mul(SECTOR), size.saturating_mul(SECTOR));
            let mut held = Held { users: self.users(&name), ..Held::default() };
            // An extended partition shows two sectors of itself.
            if size > 2 * SECTOR {
                put(&mut held, superblock::identify(&View::new(bytes, start, size))?);
            }
            disk.parts.push(Part { name, size, held });
        }
        // A kernel that has not read the table again, or reads none of this form, shows fewer.
        for part in table.map(|table| table.partitions).unwrap_or_default() {
            let name = part_name(&disk.name, part.number);
            if disk.parts.iter().all(|known| known.name != name) {
                let mut held = Held::default();
                put(&mut held, superblock::identify(&part.view(bytes))?);
                disk.parts.push(Part { name, size: part.size, held });
            }
        }
        disk.parts.sort_by_key(|part| (part.name.len(), part.name.clone()));
        Ok(())
    }

    fn links(&self, name: &str) -> Vec<String> {
        let folder = Path::new("/dev/disk/by-id");
        let leads = |link: &String| target(self.probe, &folder.join(link)).as_deref() == Some(name);
        names(self.probe, "/dev/disk/by-id").into_iter().filter(leads).collect()
    }

    fn users(&self, name: &str) -> Vec<User> {
        let device = PathBuf::from("/dev").join(name);
        let device = device.to_string_lossy();
        let number = self.value(name, "dev").unwrap_or_default();
        let mut users = Vec::new();
        for line in self.mounts.lines() {
            let (front, back) = line.split_once(" - ").unwrap_or((line, ""));
            let mut words = front.split(' ').skip(2);
            let (Some(of), Some(at)) = (words.next(), words.nth(1)) else { continue };
            // btrfs mounts under a number of its own, and names the device.
            if (of == number && !number.is_empty()) || back.split(' ').nth(1) == Some(&device) {
                let user = User::Mounted(unescaped(at));
                if !users.contains(&user) {
                    users.push(user);
                }
            }
        }
        if self.swaps.lines().skip(1).any(|line| line.split_whitespace().next() == Some(&device)) {
            users.push(User::Swap);
        }
        for holder in names(self.probe, &format!("{BLOCK}/{name}/holders")) {
            let level = self.value(&holder, "md/level");
            let kind =
                self.value(&holder, "dm/uuid").and_then(|uuid| Some(uuid.split('-').next()?.to_owned()));
            users.push(User::Holder {
                title: self.value(&holder, "dm/name"),
                kind: level.or(kind),
                name: holder,
            });
        }
        users
    }
}

/// As the kernel calls a partition: `sda1`, but `nvme0n1p1`.
fn part_name(disk: &str, number: u32) -> String {
    let between = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}")
}

fn is_container(kind: Kind) -> bool {
    matches!(kind, Kind::Lvm2Member | Kind::Luks { .. } | Kind::MdMember { .. })
}

fn put(held: &mut Held, content: Option<Content>) {
    if let Some(content) = content {
        held.content = Some(content.kind.name().to_owned());
        (held.label, held.uuid) = (content.label, content.uuid);
    }
}

fn names(probe: &dyn Probe, dir: &str) -> Vec<String> {
    let names = probe.list(Path::new(dir)).unwrap_or_default();
    names.into_iter().filter_map(|name| name.into_string().ok()).collect()
}

fn text(probe: &dyn Probe, path: &str) -> String {
    let bytes = probe.read(Path::new(path), LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One line of sysfs without blanks around it and without what a terminal would obey; `None` where it is empty.
fn value(probe: &dyn Probe, path: &Path) -> Option<String> {
    let bytes = probe.read(path, LIMIT).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let plain: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    (!plain.is_empty()).then_some(plain)
}

/// The last name of where a link leads.
fn target(probe: &dyn Probe, link: &Path) -> Option<String> {
    match probe.entry(link).ok()??.kind {
        file::Kind::Symlink { target } => Some(target.file_name()?.to_string_lossy().into_owned()),
        _ => None,
    }
}

/// A path of /proc/self/mountinfo: blanks and the like are three octal digits there.
fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\134"]
        .iter()
        .zip([" ", "\t", "\\"])
        .fold(text.to_owned(), |t, (from, to)| t.replace(from, to))
}
