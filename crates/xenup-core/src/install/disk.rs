//! The disks of a machine, and which of them may be erased.
//!
//! Decides: that a disk which anything uses is refused and its user named; that one which is a part of something larger (a
//! RAID, a volume group, an encrypted volume) is refused until somebody says that this may go; how a disk is described.
//! Never: looks at one; what it holds was read by xenup-disk.

use serde::{Deserialize, Serialize};

use crate::amounts;

/// Bytes of a sector that the medium's partition table counts in.
const SECTOR: u32 = 512;

/// A disk, as the machine's kernel and its own bytes tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    /// The kernel's name, such as `sda`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a logical sector.
    pub sector: u32,
    /// What it calls itself.
    #[serde(default)]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default)]
    pub serial: Option<String>,
    /// Whether it cannot be written to.
    #[serde(default)]
    pub read_only: bool,
    /// Names below /dev/disk/by-id that lead to it.
    #[serde(default)]
    pub links: Vec<String>,
    /// `GPT` or `MBR`, where it has one.
    #[serde(default)]
    pub table: Option<String>,
    /// What all of it holds, where it is not cut into partitions; and who uses all of it.
    #[serde(flatten)]
    pub whole: Held,
    /// Its partitions.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Why its bytes could not be read.
    #[serde(default)]
    pub unreadable: Option<String>,
}

/// A partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Part {
    /// The kernel's name, such as `sda1`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// What it holds, and who uses it.
    #[serde(flatten)]
    pub held: Held,
}

/// What lies on a disk or a partition, and who uses it now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Held {
    /// blkid(8)'s name of what is found there: `ext4`, `LVM2_member`.
    #[serde(default)]
    pub content: Option<String>,
    /// Its label.
    #[serde(default)]
    pub label: Option<String>,
    /// Its UUID.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Who uses it.
    #[serde(default)]
    pub users: Vec<User>,
}

/// A user of a disk or a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// It is mounted there.
    Mounted(String),
    /// The machine swaps to it.
    Swap,
    /// A device of the kernel is made of it.
    Holder {
        /// Its name, such as `md0` or `dm-0`.
        name: String,
        /// What device-mapper calls it, such as `vg0-root`.
        #[serde(default)]
        title: Option<String>,
        /// The beginning of device-mapper's UUID, such as `LVM` or `CRYPT`, or md's level.
        #[serde(default)]
        kind: Option<String>,
    },
}

/// Whether a disk may be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Free,
    /// It is a part of something larger that nobody uses now: only where that is asked for by name.
    Member(Vec<String>),
    /// It may not, for these reasons.
    Refused(Vec<String>),
}

impl Disk {
    /// Whether the installer's system of so many bytes may be written to it.
    #[must_use]
    pub fn verdict(&self, needed: u64) -> Verdict {
        let mut why: Vec<String> = self.users().collect();
        // A disk in use is not to be thought about further.
        if !why.is_empty() {
            return Verdict::Refused(why);
        }
        if self.read_only {
            why.push(format!("{} cannot be written to", self.name));
        }
        if self.sector != SECTOR {
            why.push(format!(
                "{} has sectors of {} bytes, and the system is made for {SECTOR}",
                self.name, self.sector
            ));
        }
        if self.size < needed {
            let (has, needs) = (amounts::size(self.size), amounts::size(needed));
            why.push(format!("{} has {has}, and the system needs {needs}", self.name));
        }
        if let Some(fault) = &self.unreadable {
            why.push(format!("{} cannot be read: {fault}", self.name));
        }
        if !why.is_empty() {
            return Verdict::Refused(why);
        }
        let member: Vec<String> = self.all().filter_map(|(name, held)| held.membership(name)).collect();
        if member.is_empty() { Verdict::Free } else { Verdict::Member(member) }
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Held)> {
        let parts = self.parts.iter().map(|part| (part.name.as_str(), &part.held));
        [(self.name.as_str(), &self.whole)].into_iter().chain(parts)
    }

    fn users(&self) -> impl Iterator<Item = String> {
        self.all().flat_map(|(name, held)| held.users.iter().map(move |user| user.words(name)))
    }

    /// Whether somebody who writes `word` means this disk: its name, its path, one of its links, its serial number.
    #[must_use]
    pub fn is_called(&self, word: &str) -> bool {
        let bare = word.strip_prefix("/dev/").unwrap_or(word);
        let link = bare.strip_prefix("disk/by-id/").unwrap_or(bare);
        bare == self.name
            || self.links.iter().any(|own| own == link)
            || self.serial.as_deref().is_some_and(|serial| serial == word)
    }

    /// `sda: 6 GiB, QEMU HARDDISK, serial QM00001`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = format!("{}: {}", self.name, amounts::size(self.size));
        if let Some(model) = &self.model {
            text.push_str(&format!(", {model}"));
        }
        if let Some(serial) = &self.serial {
            text.push_str(&format!(", serial {serial}"));
        }
        text
    }

    /// What is on it now, a line each.
    #[must_use]
    pub fn contents(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match (&self.table, self.whole.holds()) {
            (None, None) => lines.push("nothing that is known: no partitions, no file system".to_owned()),
            (Some(table), _) => lines.push(match self.parts.len() {
                0 => format!("a partition table ({table}) without partitions"),
                1 => format!("a partition table ({table}) with 1 partition"),
                count => format!("a partition table ({table}) with {count} partitions"),
            }),
            (None, Some(what)) => lines.push(what),
        }
        for part in &self.parts {
            let what = part.held.holds().unwrap_or_else(|| "nothing that is known".to_owned());
            lines.push(format!("{}: {}, {what}", part.name, amounts::size(part.size)));
        }
        lines
    }
}

impl Held {
    /// ``ext4 `data` ``.
    fn holds(&self) -> Option<String> {
        let content = self.content.as_deref()?;
        Some(match &self.label {
            Some(label) => format!("{content} `{label}`"),
            None => content.to_owned(),
        })
    }

    /// Of what larger thing it is a part.
    fn membership(&self, name: &str) -> Option<String> {
        let of = |what: &str| {
            let known = self.label.as_deref().or(self.uuid.as_deref());
            Some(format!("{name} is {what}{}", known.map(|known| format!(" ({known})")).unwrap_or_default()))
        };
        match self.content.as_deref()? {
            "linux_raid_member" => of("a member of a software RAID"),
            "LVM2_member" => of("a physical volume of LVM"),
            "crypto_LUKS" => of("an encrypted volume"),
            "swsuspend" => of("swap with a sleeping system's memory"),
            _ => None,
        }
    }
}

impl User {
    fn words(&self, name: &str) -> String {
        match self {
            Self::Mounted(at) => format!("{name} is mounted at {at}"),
            Self::Swap => format!("{name} is swapped to"),
            Self::Holder { name: holder, title, kind } => {
                let title = title.as_deref().unwrap_or(holder);
                match kind.as_deref() {
                    Some("LVM") => format!("{name} is in use by LVM's volume {title}"),
                    Some("CRYPT") => format!("{name} is in use by the encrypted volume {title}"),
                    Some(level) if holder.starts_with("md") => {
                        format!("{name} is in use by the RAID {holder} ({level})")
                    }
                    _ => format!("{name} is in use by {title}"),
                }
            }
        }
    }
}
