//! Logical volumes as guests' disks.
//!
//! Decides: which names LVM takes, which volume a guest gets, and whether the host's volume groups can have it. Facts: lvm(8)
//! on names; vgs(8) and lvs(8) with `--reportformat json`; lvmthin(7). Never: makes a volume.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use xenup_machine::Probe;
use xenup_machine::process::Query;

use super::Name;

/// How the names of the volumes begin that hold a base.
pub const BASES: &str = "xenup-";
/// Thin pools are told as nearly full from here on, in percent.
const NEARLY_FULL: f64 = 90.0;
/// What LVM has for its own (lvm(8)).
const RESERVED_STARTS: &[&str] = &["pvmove", "snapshot"];
const RESERVED_PARTS: &[&str] = &[
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog", "_pmspare",
    "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_vpool", "_wcorig",
];

/// Where a volume is wished: a group, or a thin pool of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The volume group.
    pub group: String,
    /// The thin pool.
    pub pool: Option<String>,
}

/// A volume of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it is.
    pub room: Room,
    /// Its name in the group.
    pub name: String,
}

/// A text that names no place for a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no volume group, and no thin pool of one: GROUP or GROUP/POOL")]
pub struct NoRoom(String);

impl FromStr for Room {
    type Err = NoRoom;

    fn from_str(text: &str) -> Result<Self, NoRoom> {
        let (group, pool) = match text.split_once('/') {
            Some((group, pool)) => (group, Some(pool)),
            None => (text, None),
        };
        if !is_name(group) || pool.is_some_and(|pool| !is_name(pool)) {
            return Err(NoRoom(text.escape_debug().to_string()));
        }
        Ok(Self { group: group.to_owned(), pool: pool.map(str::to_owned) })
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
    !text.is_empty()
        && text.len() < 128
        && !text.starts_with('-')
        && text != "."
        && text != ".."
        && text.bytes().all(fits)
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pool {
            None => f.write_str(&self.group),
            Some(pool) => write!(f, "{}/{pool}", self.group),
        }
    }
}

impl Volume {
    /// Returns the volume that a guest gets: `NAME-disk`, as xen-tools names it.
    #[must_use]
    pub fn of_guest(room: &Room, guest: &Name) -> Self {
        Self { room: room.clone(), name: format!("{guest}-disk") }
    }

    /// Returns the path of its device.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.room.group).join(&self.name)
    }
}

/// Why a volume cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeFault {
    /// LVM is not there, or does not answer.
    #[error("LVM does not say what volume groups there are: {0}")]
    NoAnswer(String),
    /// No such group.
    #[error("there is no volume group {0}")]
    NoGroup(String, Vec<String>),
    /// No such pool.
    #[error("the volume group {0} has no thin pool {1}")]
    NoPool(String, String, Vec<String>),
    /// LVM has names like that for its own.
    #[error("LVM has names like {0} for its own volumes")]
    Reserved(String),
    /// A volume of that name is there.
    #[error("there is a volume {0} already, and it is not replaced")]
    Taken(String),
    /// Bytes that are free and bytes that are asked for.
    #[error("the volume group {0} has {free} MiB free, and the disk takes {needed} MiB", free = .1 >> 20, needed = .2 >> 20)]
    Full(String, u64, u64),
}

impl VolumeFault {
    /// Returns what to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoAnswer(_) => "apt install lvm2, then vgs names the volume groups".to_owned(),
            Self::NoGroup(_, others) if !others.is_empty() => format!("--volume {}", others.join(" or ")),
            Self::NoGroup(..) => "this machine has none: vgcreate(8), or leave --volume out".to_owned(),
            Self::NoPool(group, _, others) if !others.is_empty() => {
                let named: Vec<String> = others.iter().map(|pool| format!("{group}/{pool}")).collect();
                format!("--volume {}", named.join(" or "))
            }
            Self::NoPool(group, pool, _) => {
                format!(
                    "lvcreate --type thin-pool -L SIZE -n {pool} {group} (package thin-provisioning-tools)"
                )
            }
            Self::Reserved(_) => "take another name".to_owned(),
            Self::Taken(_) => "take another name, or make it free: lvs".to_owned(),
            Self::Full(..) => "give a smaller --size, or the group another disk: vgextend(8)".to_owned(),
        }
    }
}

/// What a host's LVM has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    groups: Vec<Group>,
    volumes: Vec<Present>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Group {
    vg_name: String,
    vg_free: String,
    vg_extent_size: String,
}

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Present {
    vg_name: String,
    lv_name: String,
    lv_attr: String,
    data_percent: String,
    lv_tags: String,
}

impl Present {
    /// Whether it bears this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.lv_tags.split(',').any(|one| one == tag)
    }

    fn is_thin_pool(&self) -> bool {
        self.lv_attr.starts_with('t')
    }
}

#[derive(Deserialize)]
struct Report<T> {
    report: Vec<T>,
}

#[derive(Deserialize)]
struct OfGroups {
    vg: Vec<Group>,
}

#[derive(Deserialize)]
struct OfVolumes {
    lv: Vec<Present>,
}

impl Groups {
    /// Asks LVM, which wants root.
    ///
    /// # Errors
    /// It is not there, or says something else than a report.
    pub fn look(probe: &dyn Probe) -> Result<Self, VolumeFault> {
        let groups = asked(probe, "vgs", "vg_name,vg_free,vg_extent_size")?;
        let volumes = asked(probe, "lvs", "vg_name,lv_name,lv_attr,data_percent,lv_tags")?;
        Self::parse(&groups, &volumes)
    }

    /// Reads the reports of vgs(8) and lvs(8).
    ///
    /// # Errors
    /// One is none.
    pub fn parse(groups: &[u8], volumes: &[u8]) -> Result<Self, VolumeFault> {
        let no_report = |error: serde_json::Error| VolumeFault::NoAnswer(error.to_string());
        let groups: Report<OfGroups> = serde_json::from_slice(groups).map_err(no_report)?;
        let volumes: Report<OfVolumes> = serde_json::from_slice(volumes).map_err(no_report)?;
        Ok(Self {
            groups: groups.report.into_iter().flat_map(|of| of.vg).collect(),
            volumes: volumes.report.into_iter().flat_map(|of| of.lv).collect(),
        })
    }

    /// Returns a volume by its group and name.
    #[must_use]
    pub fn volume(&self, group: &str, name: &str) -> Option<&Present> {
        self.volumes.iter().find(|one| one.vg_name == group && one.lv_name == name)
    }

    /// Returns the size that LVM gives a volume of at least so many bytes: whole extents of its group.
    #[must_use]
    pub fn rounded(&self, group: &str, size: u64) -> u64 {
        let there = self.groups.iter().find(|one| one.vg_name == group);
        let extent = there.map_or(0, |one| bytes(&one.vg_extent_size));
        if extent == 0 { size } else { size.div_ceil(extent).saturating_mul(extent) }
    }

    /// Whether a volume of so many bytes can be made; returns what has to be known beforehand.
    ///
    /// # Errors
    /// It cannot.
    pub fn fit(&self, wanted: &Volume, size: u64) -> Result<Option<String>, VolumeFault> {
        let Room { group, pool } = &wanted.room;
        let own = |part: &&str| wanted.name.contains(*part);
        if RESERVED_STARTS.iter().any(|start| wanted.name.starts_with(start))
            || RESERVED_PARTS.iter().any(own)
        {
            return Err(VolumeFault::Reserved(wanted.name.clone()));
        }
        let Some(there) = self.groups.iter().find(|one| one.vg_name == *group) else {
            let names = self.groups.iter().map(|one| one.vg_name.clone()).collect();
            return Err(VolumeFault::NoGroup(group.clone(), names));
        };
        if self.volume(group, &wanted.name).is_some() {
            return Err(VolumeFault::Taken(format!("{group}/{}", wanted.name)));
        }
        match pool {
            Some(pool) => self.fit_pool(group, pool),
            None => {
                let free = bytes(&there.vg_free);
                if free < size { Err(VolumeFault::Full(group.clone(), free, size)) } else { Ok(None) }
            }
        }
    }

    fn fit_pool(&self, group: &str, pool: &str) -> Result<Option<String>, VolumeFault> {
        let Some(there) = self.volume(group, pool).filter(|one| one.is_thin_pool()) else {
            let pools = self.volumes.iter().filter(|one| one.vg_name == group && one.is_thin_pool());
            let names = pools.map(|one| one.lv_name.clone()).collect();
            return Err(VolumeFault::NoPool(group.to_owned(), pool.to_owned(), names));
        };
        let full = there.data_percent.parse::<f64>().unwrap_or_default();
        Ok((full >= NEARLY_FULL).then(|| {
            format!(
                "the thin pool {group}/{pool} is {full:.0} % full, and every guest on one that is full stops: \
                 lvextend {group}/{pool}"
            )
        }))
    }
}

/// `123B` or `123`.
fn bytes(text: &str) -> u64 {
    text.trim_end_matches('B').parse().unwrap_or_default()
}

fn asked(probe: &dyn Probe, program: &str, fields: &str) -> Result<Vec<u8>, VolumeFault> {
    let words = ["--units", "b", "--nosuffix", "--reportformat", "json", "-o", fields];
    match probe.query(&Query::new(program, words)) {
        Ok(said) if said.success() => Ok(said.text().into_bytes()),
        Ok(said) => Err(VolumeFault::NoAnswer(said.complaint())),
        Err(error) => Err(VolumeFault::NoAnswer(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &[u8] = br#"{"report":[{"vg":[
        {"vg_name":"guests","vg_free":"5368709120","vg_extent_size":"4194304"},
        {"vg_name":"old","vg_free":"0","vg_extent_size":"33554432"}]}]}"#;
    const VOLUMES: &[u8] = br#"{"report":[{"lv":[
        {"vg_name":"guests","lv_name":"thin","lv_attr":"twi-aotz--","data_percent":"93.10","lv_tags":""},
        {"vg_name":"guests","lv_name":"mail-disk","lv_attr":"-wi-ao----","data_percent":"","lv_tags":"a,xenup-guest"}]}]}"#;

    fn fit(room: &str, guest: &str, size: u64) -> Result<Option<String>, VolumeFault> {
        let groups = Groups::parse(GROUPS, VOLUMES).unwrap();
        groups.fit(&Volume::of_guest(&room.parse().unwrap(), &guest.parse().unwrap()), size)
    }

    #[test]
    fn a_place_is_a_group_or_a_pool_of_one() {
        for (text, group, pool) in [("guests", "guests", None), ("g+1/th.in", "g+1", Some("th.in"))] {
            let room: Room = text.parse().unwrap();
            assert_eq!((room.group.as_str(), room.pool.as_deref()), (group, pool));
            assert_eq!(room.to_string(), text);
        }
        for text in ["", "/", "a/", "/a", "-a", "..", "a/b/c", "a b", "a\n"] {
            assert!(text.parse::<Room>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_volume_is_judged_before_it_is_made() {
        const GIB: u64 = 1 << 30;
        assert_eq!(fit("guests", "web", 4 * GIB), Ok(None));
        assert!(matches!(fit("guests", "web", 6 * GIB), Err(VolumeFault::Full(..))));
        assert!(
            matches!(fit("gusts", "web", GIB), Err(VolumeFault::NoGroup(_, others)) if others.len() == 2)
        );
        assert!(matches!(fit("guests", "mail", GIB), Err(VolumeFault::Taken(_))));
        assert!(
            matches!(fit("guests/thick", "web", GIB), Err(VolumeFault::NoPool(_, _, pools)) if pools == ["thin"])
        );
        assert!(matches!(fit("guests/mail-disk", "web", GIB), Err(VolumeFault::NoPool(..))));
        assert!(matches!(fit("guests", "pvmove0", GIB), Err(VolumeFault::Reserved(_))));
        let warned = fit("guests/thin", "web", 100 * GIB).unwrap().unwrap();
        assert!(warned.contains("93 % full"), "{warned}");
    }

    #[test]
    fn a_size_is_one_of_whole_extents() {
        let groups = Groups::parse(GROUPS, VOLUMES).unwrap();
        let sizes = [("guests", 5 << 20), ("old", 5 << 20), ("guests", 8 << 20), ("gone", 5)];
        let rounded = sizes.map(|(group, size)| groups.rounded(group, size));
        assert_eq!(rounded, [8 << 20, 32 << 20, 8 << 20, 5]);
    }

    #[test]
    fn a_tag_is_a_whole_one() {
        let groups = Groups::parse(GROUPS, VOLUMES).unwrap();
        let mail = groups.volume("guests", "mail-disk").unwrap();
        assert!(mail.has_tag("xenup-guest") && !mail.has_tag("xenup"));
        assert!(Groups::parse(b"no", VOLUMES).is_err() && Groups::parse(GROUPS, b"{}").is_err());
    }
}
