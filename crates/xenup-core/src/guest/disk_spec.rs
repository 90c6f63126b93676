//! A disk of a guest: `disk = [ 'SPEC', … ]`.
//!
//! Decides: what a specification says, in every form that xl ever took, and in xm's own. Facts: libxlu_disk_l.l and
//! libxlu_disk.c of Xen, xl-disk-configuration(5). Never: looks whether a disk is there.

use super::vdev;

/// The format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Bytes as they are.
    Raw,
    /// qcow
    Qcow,
    /// qcow2
    Qcow2,
    /// vhd
    Vhd,
    /// qed
    Qed,
    /// No medium in the drive.
    Empty,
}

impl Format {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "" | "raw" => Self::Raw,
            "qcow" => Self::Qcow,
            "qcow2" => Self::Qcow2,
            "vhd" => Self::Vhd,
            "qed" => Self::Qed,
            "empty" => Self::Empty,
            _ => return None,
        })
    }

    /// Returns xl's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow => "qcow",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Qed => "qed",
            Self::Empty => "empty",
        }
    }
}

/// What a guest may do with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
    /// Write although another guest does too; xm had it, xl has not.
    Shared,
}

/// A form that xl takes for old times' sake, or that xm alone took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldForm {
    /// `phy:`, `file:`, `tap:aio:`, …
    Prefix(String),
    /// `hdc:cdrom`
    Devtype,
    /// `ioemu:hda`, which xl refuses.
    Ioemu,
    /// `w!`, which xl refuses.
    Shared,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpec {
    /// A path, or what the script makes of it. libxl takes a path as it stands (libxl__device_disk_set_backend), whatever
    /// xl-disk-configuration(5) says of /dev: without `/` in front it is one below the folder that xl is started in.
    pub target: Option<String>,
    /// The format.
    pub format: Format,
    /// The name in the guest.
    pub vdev: String,
    /// What the guest may do.
    pub access: Access,
    /// Whether it is a CD drive.
    pub cdrom: bool,
    /// The block script, in /etc/xen/scripts where it has no `/`.
    pub script: Option<String>,
    /// What else was said, as it was said: `backendtype=qdisk`, `discard`.
    pub others: Vec<String>,
    /// Forms of old times.
    pub old: Vec<OldForm>,
}

/// Why a specification is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskFault {
    /// A prefix that xl does not know.
    #[error("`{0}:` is no prefix that xl knows")]
    Prefix(String),
    /// A key that xl does not know.
    #[error("`{0}=` is no key of a disk")]
    Key(String),
    /// A value that a key does not take.
    #[error("{0} does not take `{1}`")]
    Value(&'static str, String),
    /// Something said twice, differently.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// More words than places.
    #[error("`{0}` is one word too many")]
    TooMany(String),
    /// Neither a key, nor a flag, nor a word.
    #[error("`{0}` is not understood")]
    Syntax(String),
    /// No device name.
    #[error("the name in the guest (vdev) is missing")]
    NoVdev,
    /// A device name that libxl does not know.
    #[error("`{0}` is no name of a disk, such as xvda")]
    Vdev(String),
    /// No target, and no CD drive.
    #[error("there is no target, and it is no CD drive")]
    NoTarget,
}

/// Keys with a value that are kept as they were said.
const OTHER_KEYS: [&str; 9] = [
    "backend",
    "backendtype",
    "specification",
    "colo-host",
    "colo-port",
    "colo-export",
    "active-disk",
    "hidden-disk",
    "grant_usage",
];
const OTHER_FLAGS: [&str; 7] =
    ["direct-io-safe", "discard", "no-discard", "colo", "no-colo", "trusted", "untrusted"];

/// The words that the keys with few values take.
fn takes(key: &'static str, value: &str) -> bool {
    match key {
        "backendtype" => ["phy", "tap", "qdisk", "standalone"].contains(&value),
        "specification" => ["xen", "virtio"].contains(&value),
        "colo-port" => value.parse::<u32>().is_ok_and(|port| port != 0),
        "grant_usage" => ["0", "1"].contains(&value),
        _ => true,
    }
}

impl DiskSpec {
    /// Reads a specification as xl does.
    ///
    /// # Errors
    /// What xl would refuse.
    pub fn parse(spec: &str) -> Result<Self, DiskFault> {
        Reader::default().read(spec)
    }

    /// Reads a specification as xl does, and takes what xm alone took: `w!`, `ioemu:hda`.
    ///
    /// # Errors
    /// What neither would take.
    pub fn parse_old(spec: &str) -> Result<Self, DiskFault> {
        Reader { xm: true, ..Reader::default() }.read(spec)
    }

    /// Returns the path of the target, where it is one: no script, not empty, and the same wherever xl is started.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let target = self.unscripted()?;
        match target.starts_with('/') {
            true => Some(target.to_owned()),
            false => self.is_below_dev().then(|| format!("/dev/{target}")),
        }
    }

    /// Returns the target where it is a path that depends on where xl is started; `rbd:pool/image` and its kind are qemu's.
    #[must_use]
    pub fn relative(&self) -> Option<&str> {
        let target = self.unscripted()?;
        let is_qemus = target.split('/').next().is_some_and(|first| first.contains(':'));
        (!target.starts_with('/') && !self.is_below_dev() && !is_qemus).then_some(target)
    }

    /// The target, where no script makes something of it.
    fn unscripted(&self) -> Option<&str> {
        self.target.as_deref().filter(|target| !target.is_empty() && self.script.is_none())
    }

    /// xm's `phy:vg/lv`: xend looked for a device below /dev.
    fn is_below_dev(&self) -> bool {
        self.old.iter().any(|old| matches!(old, OldForm::Prefix(prefix) if prefix == "phy"))
    }

    /// Returns the specification with every part named, as xl-disk-configuration(5) has it today.
    #[must_use]
    pub fn named(&self) -> String {
        let mut parts = Vec::new();
        if self.format != Format::Empty {
            parts.push(format!("format={}", self.format.word()));
        }
        parts.push(format!("vdev={}", self.vdev));
        parts.push(format!("access={}", if self.access == Access::ReadOnly { "ro" } else { "rw" }));
        if self.cdrom {
            parts.push("devtype=cdrom".to_owned());
        }
        parts.extend(self.script.iter().map(|script| format!("script={script}")));
        parts.extend(self.others.iter().cloned());
        let target = self.path().or_else(|| self.target.clone()).filter(|target| !target.is_empty());
        parts.extend(target.map(|target| format!("target={target}")));
        parts.join(",")
    }
}

#[derive(Default)]
struct Reader {
    xm: bool,
    target: Option<String>,
    format: Option<Format>,
    vdev: Option<String>,
    access: Option<Access>,
    access_positional: bool,
    cdrom: bool,
    script: Option<String>,
    others: Vec<String>,
    old: Vec<OldForm>,
    had_prefix: bool,
}

/// Sets a text that is not set yet; an empty one may be replaced.
fn save(place: &mut Option<String>, name: &'static str, value: &str) -> Result<(), DiskFault> {
    if place.as_deref().is_some_and(|before| !before.is_empty()) {
        return Err(DiskFault::Twice(name));
    }
    *place = Some(value.to_owned());
    Ok(())
}

impl Reader {
    fn read(mut self, spec: &str) -> Result<DiskSpec, DiskFault> {
        let mut rest = spec.trim_start_matches([' ', '\t', '\n']);
        while !rest.is_empty() {
            rest = self.part(rest)?.trim_start_matches([' ', '\t', '\n']);
        }
        self.finish()
    }

    /// Reads the part that comes next and returns what follows it.
    fn part<'a>(&mut self, rest: &'a str) -> Result<&'a str, DiskFault> {
        if let Some(rest) = self.prefix(rest)? {
            return Ok(rest);
        }
        let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
        let Some((key, value)) = part.split_once('=') else {
            if !self.flag(part) {
                self.positional(part)?;
            }
            return Ok(after);
        };
        if key == "target" {
            let target = rest.split_once('=').map_or("", |(_, target)| target);
            save(&mut self.target, "target", target.strip_suffix(',').unwrap_or(target))?;
            return Ok("");
        }
        self.key(key, value, part)?;
        Ok(after)
    }

    /// Takes a prefix such as `phy:` off, where one comes next.
    fn prefix<'a>(&mut self, rest: &'a str) -> Result<Option<&'a str>, DiskFault> {
        let Some((word, after)) = rest.split_once(':') else { return Ok(None) };
        let is_word = word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        match word {
            "raw" | "qcow" | "qcow2" | "vhd" => self.set_format(word)?,
            "iscsi" | "nbd" | "enbd" | "drbd" => save(&mut self.script, "script", &format!("block-{word}"))?,
            "tapdisk" | "tap" | "tap2" | "aio" | "ioemu" | "file" | "phy" => {}
            // What begins like a prefix and goes on like a word is a word to libxlu.
            _ if is_word && !after.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) => {
                return Err(DiskFault::Prefix(word.to_owned()));
            }
            _ => return Ok(None),
        }
        self.had_prefix = true;
        self.old.push(OldForm::Prefix(word.to_owned()));
        Ok(Some(after))
    }

    fn flag(&mut self, part: &str) -> bool {
        if part == "cdrom" {
            self.cdrom = true;
        } else if OTHER_FLAGS.contains(&part) {
            self.others.push(part.to_owned());
        } else {
            return false;
        }
        true
    }

    fn key(&mut self, key: &str, value: &str, part: &str) -> Result<(), DiskFault> {
        match (key, value) {
            ("format", _) => self.set_format(value),
            ("devtype", "cdrom" | "disk") => {
                self.cdrom = value == "cdrom";
                Ok(())
            }
            ("devtype", _) => Err(DiskFault::Value("devtype", value.to_owned())),
            ("access", _) => self.set_access(value),
            ("vdev", _) => save(&mut self.vdev, "vdev", value),
            ("script", _) => save(&mut self.script, "script", value),
            _ => {
                let is_key = key.starts_with(|c: char| c.is_ascii_lowercase())
                    && key.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
                let Some(known) = OTHER_KEYS.into_iter().find(|known| *known == key) else {
                    let part = part.to_owned();
                    return Err(if is_key {
                        DiskFault::Key(key.to_owned())
                    } else {
                        DiskFault::Syntax(part)
                    });
                };
                if !takes(known, value) {
                    return Err(DiskFault::Value(known, value.to_owned()));
                }
                let said = |other: &String| other.split_once('=').is_some_and(|(name, _)| name == known);
                if self.others.iter().any(|other| said(other) && other != part) {
                    return Err(DiskFault::Twice(known));
                }
                self.others.push(part.to_owned());
                Ok(())
            }
        }
    }

    fn positional(&mut self, part: &str) -> Result<(), DiskFault> {
        if self.target.is_none() {
            self.target = Some(part.to_owned());
            Ok(())
        } else if !self.had_prefix && self.format.is_none() {
            let no_target = self.target.as_deref() == Some("");
            if no_target && self.vdev_with_devtype(part)? {
                self.format = Some(Format::Empty);
                return Ok(());
            }
            self.set_format(part)
        } else if self.vdev.is_none() {
            if self.vdev_with_devtype(part)? {
                return Ok(());
            }
            save(&mut self.vdev, "vdev", part)
        } else if !self.access_positional {
            self.access_positional = true;
            self.set_access(part)
        } else {
            Err(DiskFault::TooMany(part.to_owned()))
        }
    }

    /// Reads `hdc:cdrom`; `false` where the word has no colon.
    fn vdev_with_devtype(&mut self, part: &str) -> Result<bool, DiskFault> {
        let mut part = part;
        if self.xm
            && let Some(name) = part.strip_prefix("ioemu:")
        {
            self.old.push(OldForm::Ioemu);
            part = name;
            if !part.contains(':') {
                save(&mut self.vdev, "vdev", part)?;
                return Ok(true);
            }
        }
        let Some((vdev, devtype)) = part.rsplit_once(':') else { return Ok(false) };
        save(&mut self.vdev, "vdev", vdev)?;
        self.cdrom = match devtype {
            "cdrom" => true,
            "disk" => false,
            other => return Err(DiskFault::Value("the type behind `:`", other.to_owned())),
        };
        self.old.push(OldForm::Devtype);
        Ok(true)
    }

    fn set_format(&mut self, word: &str) -> Result<(), DiskFault> {
        let format = Format::parse(word).ok_or_else(|| DiskFault::Value("format", word.to_owned()))?;
        if self.format.is_some_and(|before| before != format) {
            return Err(DiskFault::Twice("format"));
        }
        self.format = Some(format);
        Ok(())
    }

    fn set_access(&mut self, word: &str) -> Result<(), DiskFault> {
        self.access = Some(match word {
            "r" | "ro" => Access::ReadOnly,
            "" | "w" | "rw" => Access::ReadWrite,
            "w!" | "!w" | "rw!" if self.xm => {
                self.old.push(OldForm::Shared);
                Access::Shared
            }
            _ => return Err(DiskFault::Value("access", word.to_owned())),
        });
        Ok(())
    }

    fn finish(self) -> Result<DiskSpec, DiskFault> {
        let empty = self.target.as_deref().is_none_or(str::is_empty);
        let format = if self.cdrom && empty { Format::Empty } else { self.format.unwrap_or(Format::Raw) };
        let access = if self.cdrom { Access::ReadOnly } else { self.access.unwrap_or(Access::ReadWrite) };
        let vdev = self.vdev.ok_or(DiskFault::NoVdev)?;
        if self.target.is_none() && !self.cdrom {
            return Err(DiskFault::NoTarget);
        }
        if vdev::number(&vdev).is_none() {
            return Err(DiskFault::Vdev(vdev));
        }
        Ok(DiskSpec {
            target: self.target,
            format,
            vdev,
            access,
            cdrom: self.cdrom,
            script: self.script,
            others: self.others,
            old: self.old,
        })
    }
}
