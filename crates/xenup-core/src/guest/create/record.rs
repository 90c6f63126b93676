//! What `guest create` made, so that `guest delete` removes that and nothing else. Decides the record's form, and where
//! it is; never reads or writes one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Name, NewGuest};

/// Where the records are, a file for each guest.
pub const RECORDS: &str = "/var/lib/xenup/guests";
/// The form of [`Record`].
pub const FORMAT: u32 = 1;

/// Something that was made for a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// The disk's file.
    Disk(PathBuf),
    /// The logical volume that is the disk, by its device: /dev/GROUP/NAME. It bears the tag [`volume_tag`].
    Volume(PathBuf),
    /// The xl.cfg.
    Config(PathBuf),
    /// The link for xendomains.
    Auto(PathBuf),
}

impl Made {
    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Disk(path) | Self::Volume(path) | Self::Config(path) | Self::Auto(path) => path,
        }
    }
}

/// What was made for a guest, in the order in which it is made: written before any of it, so that a guest whose
/// making was cut off can be deleted too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The guest.
    pub name: String,
    /// Its root file system's UUID, by which its disk is known again.
    pub file_system: String,
    /// What was made.
    pub made: Vec<Made>,
}

/// Returns the tag by which a guest's volume is known as this one's: a name may be given again.
#[must_use]
pub fn volume_tag(file_system: &str) -> String {
    format!("xenup-guest-{file_system}")
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// Not a record.
    #[error("it is no record of a guest")]
    Form(#[from] serde_json::Error),
    /// Of another version.
    #[error("it has format {0}, this version reads format {FORMAT}")]
    Version(u32),
    /// Of another guest.
    #[error("it is the record of the guest {0}")]
    Other(String),
}

impl Record {
    /// Returns the record of a guest that is about to be made.
    #[must_use]
    pub fn of(guest: &NewGuest) -> Self {
        let disk = if guest.is_volume { Made::Volume } else { Made::Disk };
        let mut made = vec![disk(guest.disk.clone()), Made::Config(guest.config.clone())];
        made.extend(guest.auto.clone().map(Made::Auto));
        let file_system = guest.identity.file_system.clone();
        Self { format: FORMAT, name: guest.name.clone(), file_system, made }
    }

    /// Returns where the guest's disk is.
    #[must_use]
    pub fn disk(&self) -> Option<&Path> {
        self.made.iter().find(|made| matches!(made, Made::Disk(_) | Made::Volume(_))).map(Made::path)
    }

    /// Returns where the guest's xl.cfg is.
    #[must_use]
    pub fn config(&self) -> Option<&Path> {
        self.made.iter().find(|made| matches!(made, Made::Config(_))).map(Made::path)
    }

    /// Returns group and name of the volume that is the guest's disk, where one is.
    #[must_use]
    pub fn volume(&self) -> Option<(&str, &str)> {
        let is = |made: &&Made| matches!(made, Made::Volume(_));
        let mut parts = self.made.iter().find(is)?.path().to_str()?.strip_prefix("/dev/")?.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(group), Some(name), None) => Some((group, name)),
            _ => None,
        }
    }

    /// Returns where the record of a guest is.
    #[must_use]
    pub fn path(name: &Name) -> PathBuf {
        Path::new(RECORDS).join(format!("{name}.json"))
    }

    /// Reads a guest's record.
    ///
    /// # Errors
    /// No JSON of this form, another format, another guest's.
    pub fn parse(name: &Name, bytes: &[u8]) -> Result<Self, RecordFault> {
        let record: Self = serde_json::from_slice(bytes)?;
        if record.format != FORMAT {
            return Err(RecordFault::Version(record.format));
        }
        if record.name != name.as_str() {
            return Err(RecordFault::Other(record.name));
        }
        Ok(record)
    }

    /// Returns the record as it is written.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}
