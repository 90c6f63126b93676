//! What a machine has that guest files name. Decides what can be known of it; never judges a guest.
//!
//! A tree of files (`--root`) has no links and no devices: then bridges are those of interfaces(5), where no other
//! program may make one, and nothing below /dev is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use xenup_machine::file::Kind;
use xenup_machine::{MachineError, Probe, Reason};

use super::file::GuestFile;
use super::parse::{SIZE_LIMIT, Value};
use crate::kernel::config::is_set;
use crate::network::interfaces::load_of;

/// Where xl looks for scripts whose name has no `/`.
pub(super) const SCRIPTS: &str = "/etc/xen/scripts";
/// What Linux follows before it gives up (path_resolution(7)).
const LINKS_LIMIT: usize = 40;

/// A machine, as far as guests need it.
pub struct Here<'a> {
    probe: &'a dyn Probe,
    running: bool,
    /// The bridges; `None` where nobody can tell.
    pub(super) bridges: Option<BTreeSet<String>>,
    /// The bridge of a vif that names none.
    pub(super) default_bridge: String,
    /// Whether an installed hypervisor has an option of its build; `None` where none says.
    pub(super) shadow: Option<bool>,
    /// As above, for 32-bit PV.
    pub(super) pv32: Option<bool>,
    scripts: bool,
    // Ten thousand guests name the same few kernels.
    seen: Mutex<BTreeMap<PathBuf, bool>>,
}

impl<'a> Here<'a> {
    /// Looks at a machine once, for any number of guests.
    #[must_use]
    pub fn look(probe: &'a dyn Probe) -> Self {
        let running = !probe.clock().boot_id.is_empty();
        let mut here = Self {
            probe,
            running,
            bridges: None,
            default_bridge: "xenbr0".to_owned(),
            shadow: None,
            pv32: None,
            scripts: false,
            seen: Mutex::default(),
        };
        here.bridges = if running { here.links() } else { here.written_bridges() };
        here.default_bridge = here.named_default().unwrap_or(here.default_bridge);
        here.shadow = here.option("CONFIG_SHADOW_PAGING");
        here.pv32 = here.option("CONFIG_PV32");
        here.scripts = here.exists(Path::new(SCRIPTS)) == Some(true);
        here
    }

    /// Returns whether something is at a path; `None` where nobody can tell.
    pub(crate) fn exists(&self, path: &Path) -> Option<bool> {
        if !self.running && path.starts_with("/dev") {
            return None;
        }
        let known = self.seen.lock().ok().and_then(|seen| seen.get(path).copied());
        if known.is_some() {
            return known;
        }
        let found = followed(self.probe, path).ok().map(|found| found.is_some())?;
        if let Ok(mut seen) = self.seen.lock() {
            seen.insert(path.to_owned(), found);
        }
        Some(found)
    }

    /// Returns the bridges; `None` where nobody can tell.
    #[must_use]
    pub fn bridges(&self) -> Option<&BTreeSet<String>> {
        self.bridges.as_ref()
    }

    /// Returns the bridge of a vif that names none.
    #[must_use]
    pub fn default_bridge(&self) -> &str {
        &self.default_bridge
    }

    /// Returns whether a hotplug script is there; `None` where no toolstack is installed.
    pub(super) fn script(&self, name: &str) -> Option<bool> {
        if name.contains('/') {
            return self.exists(Path::new(name));
        }
        if !self.scripts {
            return None;
        }
        self.exists(&Path::new(SCRIPTS).join(name))
    }

    fn links(&self) -> Option<BTreeSet<String>> {
        let network = self.probe.network().ok()?;
        let bridges = network.links.into_iter().filter(|link| {
            link.bridge.is_some() || link.kind.as_deref().is_some_and(|kind| kind == "bridge")
        });
        Some(bridges.flat_map(|link| std::iter::once(link.name).chain(link.alternative_names)).collect())
    }

    fn written_bridges(&self) -> Option<BTreeSet<String>> {
        let others = ["/etc/systemd/network", "/etc/netplan", "/etc/NetworkManager/system-connections"];
        if others.iter().any(|dir| self.probe.list(Path::new(dir)).is_ok_and(|names| !names.is_empty())) {
            return None;
        }
        let tree = load_of(self.probe).ok()?;
        let is_bridge = |id| {
            tree.options(id).iter().any(|option| matches!(&*option.name, "bridge_ports" | "bridge-ports"))
        };
        let bridges = tree.stanzas().filter(|view| is_bridge(view.id));
        Some(bridges.map(|view| view.stanza.name.clone()).collect())
    }

    /// `vif.default.bridge` of /etc/xen/xl.conf, which is in the language of guest files.
    fn named_default(&self) -> Option<String> {
        let path = Path::new("/etc/xen/xl.conf");
        let file = GuestFile::parse(path, self.probe.read(path, SIZE_LIMIT).ok()?).ok()?;
        match file.settings().remove("vif.default.bridge")?.value {
            Value::Text(name) if !name.is_empty() => Some(name),
            _ => None,
        }
    }

    fn option(&self, symbol: &str) -> Option<bool> {
        let names = self.probe.list(Path::new("/boot")).ok()?;
        let configs = names
            .iter()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with("xen-") && name.ends_with(".config"));
        let answers: Vec<bool> = configs
            .filter_map(|name| self.probe.read(&Path::new("/boot").join(name), SIZE_LIMIT).ok())
            .map(|bytes| is_set(&String::from_utf8_lossy(&bytes), symbol))
            .collect();
        (!answers.is_empty()).then(|| answers.contains(&true))
    }
}

/// Follows symbolic links at the end of a path; `None` where they lead nowhere.
///
/// # Errors
/// A directory on the way that cannot be searched.
pub fn followed(probe: &dyn Probe, path: &Path) -> Result<Option<PathBuf>, MachineError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_LIMIT {
        match probe.entry(&path) {
            Ok(None) => return Ok(None),
            Ok(Some(entry)) => match entry.kind {
                Kind::Symlink { target } => {
                    let parent = path.parent().unwrap_or(Path::new("/"));
                    path = tidied(&parent.join(target));
                }
                _ => return Ok(Some(path)),
            },
            Err(error) if error.reason == Reason::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Follows symbolic links on the whole way of a path, as Linux does; `None` where it leads nowhere.
///
/// # Errors
/// A directory on the way that cannot be searched.
pub fn resolved(probe: &dyn Probe, path: &Path) -> Result<Option<PathBuf>, MachineError> {
    let mut rest: Vec<OsString> = names(path);
    let (mut inside, mut links) = (PathBuf::from("/"), 0_usize);
    while let Some(part) = rest.pop() {
        if part == ".." {
            inside.pop();
            continue;
        }
        let next = inside.join(&part);
        let kind = match probe.entry(&next) {
            Ok(Some(entry)) => entry.kind,
            Ok(None) => return Ok(None),
            Err(error) if error.reason == Reason::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match kind {
            Kind::Symlink { target } => {
                links = links.saturating_add(1);
                if links > LINKS_LIMIT {
                    return Ok(None);
                }
                if target.is_absolute() {
                    inside = PathBuf::from("/");
                }
                rest.extend(names(&target));
            }
            _ => inside = next,
        }
    }
    Ok(Some(inside))
}

/// The parts of a path, the last one first, so that each is taken from the end.
fn names(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

/// Takes `.` and `..` out of a path, as far as its text allows.
fn tidied(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                tidy.pop();
            }
            std::path::Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}
