//! The guests of a host, by their files. Decides which files below /etc/xen are guests; never asks a hypervisor.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::file::Kind;
use xenup_machine::{MachineError, Probe, Reason};

use super::disk_spec::Access;
use super::error::GuestError;
use super::file::{Dialect, GuestFile};
use super::here::{Here, followed};
use super::model::{Guest, GuestType};
use super::parse::SIZE_LIMIT;

/// Where xl's configuration is.
pub const DIR: &str = "/etc/xen";
/// What xendomains starts with the host.
pub const AUTO: &str = "/etc/xen/auto";
/// Why a link that leads nowhere is not read.
pub const NOWHERE: &str = "it leads to nothing";
/// The form of [`GuestList`].
pub const FORMAT: u32 = 1;

/// The guests of a host; what `guest list --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestList {
    /// [`FORMAT`].
    pub format: u32,
    /// By path.
    pub guests: Vec<ListedGuest>,
    /// Files that are named like a guest's and cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedGuest {
    /// Its name; the file's where it has none.
    pub name: String,
    /// Its file.
    #[serde(serialize_with = "crate::shown_path::one")]
    pub path: PathBuf,
    /// The file's language.
    pub dialect: Dialect,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: GuestType,
    /// MiB; `None` where the file says none that xl would read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Processors at first.
    pub vcpus: i64,
    /// Its disks; those that cannot be read are missing here, `guest check` names them.
    pub disks: Vec<ListedDisk>,
    /// The bridge of each interface.
    pub bridges: Vec<String>,
    /// The names in /etc/xen/auto by which it starts with the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "crate::shown_path::many")]
    pub auto: Vec<PathBuf>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedDisk {
    /// The name in the guest.
    pub vdev: String,
    /// What is behind it; `None` for an empty drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `raw`, `qcow2`, …
    pub format: String,
    /// Whether the guest may write.
    pub writable: bool,
    /// Whether it is a CD drive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cdrom: bool,
}

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unread {
    /// The file.
    #[serde(serialize_with = "crate::shown_path::one")]
    pub path: PathBuf,
    /// Why, with its line where it has one.
    pub why: String,
}

/// A file that is a guest's, or is named like one.
#[derive(Debug)]
pub struct Found {
    /// What it says.
    pub file: Result<GuestFile, GuestError>,
    /// The names in /etc/xen/auto that lead to it.
    pub auto: Vec<PathBuf>,
}

/// Returns the guest files of a host: what ends in `.cfg` in /etc/xen, what else there can be read and has a name,
/// and what /etc/xen/auto leads to. Files that nobody may read come second.
///
/// # Errors
/// A directory that is there and cannot be listed.
pub fn find(probe: &dyn Probe) -> Result<(Vec<Found>, Vec<Unread>), MachineError> {
    let (mut found, mut unread): (Vec<Found>, Vec<Unread>) = (Vec::new(), Vec::new());
    for (name, path) in entries(probe, Path::new(DIR))? {
        if is_example(&name) {
            continue;
        }
        let named = name.ends_with(".cfg");
        let target = match standing(probe, &path) {
            Ok(Standing::File(_)) => read(probe, &path),
            Ok(Standing::Dir) => continue,
            Ok(other) if named => {
                unread.push(Unread { path, why: other.words().to_owned() });
                continue;
            }
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        match target {
            Ok(file) if named || file.as_ref().is_ok_and(has_name) => {
                found.push(Found { file, auto: Vec::new() });
            }
            Ok(_) => {}
            // What is no toolstack's own may be a guest's under any name.
            Err(error) if named || error.reason == Reason::Denied && !is_toolstacks(&name) => {
                unread.push(Unread { path, why: error.words });
            }
            Err(_) => {}
        }
    }
    for (_, link) in entries(probe, Path::new(AUTO))? {
        let target = match standing(probe, &link) {
            Ok(Standing::File(target)) => target,
            Ok(other) => {
                unread.push(Unread { path: link, why: other.words().to_owned() });
                continue;
            }
            Err(error) => {
                unread.push(Unread { path: link, why: error.words });
                continue;
            }
        };
        let known = found.iter_mut().find(|found| path_of(&found.file) == target);
        if let Some(known) = known {
            known.auto.push(link);
        } else {
            match read(probe, &target) {
                Ok(file) => found.push(Found { file, auto: vec![link] }),
                Err(error) => unread.push(Unread { path: link, why: error.words }),
            }
        }
    }
    found.sort_by(|a, b| path_of(&a.file).cmp(path_of(&b.file)));
    Ok((found, unread))
}

/// Returns the guests of a host.
///
/// # Errors
/// A directory that is there and cannot be listed.
pub fn list(probe: &dyn Probe, here: &Here<'_>) -> Result<GuestList, MachineError> {
    let (found, mut unread) = find(probe)?;
    let mut guests = Vec::new();
    for Found { file, auto } in found {
        match file {
            Ok(file) => guests.push(listed(&file, here, auto)),
            Err(error) => {
                unread.push(Unread { why: format!("line {}: {}", error.line, error.fault), path: error.path })
            }
        }
    }
    Ok(GuestList { format: FORMAT, guests, unread })
}

/// Reads one guest file through a probe.
///
/// # Errors
/// It is not there, or nobody may read it. What is wrong in it is in the inner result.
pub fn read(probe: &dyn Probe, path: &Path) -> Result<Result<GuestFile, GuestError>, MachineError> {
    match probe.read(path, SIZE_LIMIT) {
        Ok(bytes) => Ok(GuestFile::parse(path, bytes)),
        Err(error) if error.reason == Reason::TooLarge => {
            let fault = super::error::Fault::TooLarge;
            Ok(Err(GuestError { path: path.to_owned(), line: 1, column: 1, fault }))
        }
        Err(error) => Err(error),
    }
}

fn listed(file: &GuestFile, here: &Here<'_>, auto: Vec<PathBuf>) -> ListedGuest {
    let guest = Guest::of(file);
    let stem = || file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let disks = guest.disks.iter().filter_map(|disk| disk.spec.as_ref().ok()).map(|spec| ListedDisk {
        vdev: spec.vdev.clone(),
        target: spec.path().or_else(|| spec.target.clone()).filter(|target| !target.is_empty()),
        format: spec.format.word().to_owned(),
        writable: spec.access != Access::ReadOnly,
        cdrom: spec.cdrom,
    });
    let bridge = |bridge: &Option<String>| bridge.clone().unwrap_or_else(|| here.default_bridge.clone());
    ListedGuest {
        name: guest.filled("name").map_or_else(stem, str::to_owned),
        path: file.path().to_owned(),
        dialect: file.dialect,
        kind: guest.kind,
        memory: guest.number("memory"),
        vcpus: guest.number("vcpus").unwrap_or(1),
        disks: disks.collect(),
        bridges: guest.vifs.iter().map(|(_, vif)| bridge(&vif.bridge)).collect(),
        auto,
    }
}

fn path_of(file: &Result<GuestFile, GuestError>) -> &Path {
    match file {
        Ok(file) => file.path(),
        Err(error) => &error.path,
    }
}

fn has_name(file: &GuestFile) -> bool {
    Guest::of(file).filled("name").is_some()
}

/// Returns whether a file of a folder is a guest's: by its name, or by what it says.
#[must_use]
pub fn is_guest(name: &str, file: &Result<GuestFile, GuestError>) -> bool {
    !is_example(name) && (name.ends_with(".cfg") || file.as_ref().is_ok_and(has_name))
}

/// Returns whether a name is that of Debian's examples (xen-utils-common) and copies that editors and dpkg leave.
#[must_use]
pub fn is_example(name: &str) -> bool {
    let ends = ["~", ".bak", ".orig", ".dpkg-old", ".dpkg-new", ".dpkg-dist"];
    name.starts_with("xlexample.")
        || name.starts_with("xmexample")
        || name.starts_with('.')
        || ends.iter().any(|end| name.ends_with(end))
}

fn entries(probe: &dyn Probe, dir: &Path) -> Result<Vec<(String, PathBuf)>, MachineError> {
    match probe.list(dir) {
        Ok(names) => {
            let names = names.into_iter().map(|name| (name.to_string_lossy().into_owned(), dir.join(name)));
            Ok(names.collect())
        }
        Err(error) if error.reason == Reason::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The configuration of the toolstack itself, and of xend.
fn is_toolstacks(name: &str) -> bool {
    name.ends_with(".conf") || name.ends_with(".sxp") || name == "cpupool"
}

/// What stands at the end of a path's links.
enum Standing {
    File(PathBuf),
    Dir,
    Special,
    Nothing,
}

impl Standing {
    fn words(&self) -> &'static str {
        match self {
            Self::Nothing => NOWHERE,
            _ => "it is no regular file",
        }
    }
}

fn standing(probe: &dyn Probe, path: &Path) -> Result<Standing, MachineError> {
    let Some(target) = followed(probe, path)? else { return Ok(Standing::Nothing) };
    Ok(match probe.entry(&target)?.map(|entry| entry.kind) {
        Some(Kind::File { .. }) => Standing::File(target),
        Some(Kind::Dir) => Standing::Dir,
        Some(_) => Standing::Special,
        None => Standing::Nothing,
    })
}
