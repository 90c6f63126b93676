//! What the old host's other files say: interfaces(5), udev's names for NICs, xl.conf, which Xen was there.
//!
//! Decides: which of them answers a question, each answer with its place. Never: writes; asks no program.

use std::path::{Path, PathBuf};

use xenup_machine::network::{Mac, Network};
use xenup_machine::{Probe, Reason};

use super::report::Said;
use super::rule::{self, Rule};
use crate::guest::{GuestError, GuestFile, SIZE_LIMIT, Value};
use crate::inspect::facts::At;
use crate::network::interfaces::{Family, InterfacesTree, MAIN, load_of};

pub(super) const XL_CONF: &str = "/etc/xen/xl.conf";
/// Where udev of Debian 4 and of 5 to 8 wrote down which NIC has which name.
const UDEV_NAMES: [&str; 2] =
    ["/etc/udev/rules.d/70-persistent-net.rules", "/etc/udev/rules.d/z25_persistent-net.rules"];
/// RT_TABLE_MAIN of rtnetlink(7).
const MAIN_TABLE: u32 = 254;

/// A bridge of interfaces(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub name: String,
    /// The words of `bridge_ports`.
    pub ports: Vec<String>,
    /// The stanza.
    pub at: At,
    /// The line of `bridge_ports`.
    pub ports_at: At,
}

/// A machine's files, as far as they are asked.
pub(super) struct Machine<'a> {
    probe: &'a dyn Probe,
    /// The interfaces files; the error where they cannot be read, nothing where they are not there.
    pub interfaces: Option<Result<InterfacesTree, String>>,
    network: Option<Network>,
    names: Vec<(String, Mac, At)>,
}

impl<'a> Machine<'a> {
    /// Reads the files once.
    pub fn look(probe: &'a dyn Probe) -> Self {
        let there = probe.entry(Path::new(MAIN)).ok().flatten().is_some();
        let interfaces = there.then(|| load_of(probe).map_err(|error| error.to_string()));
        let mut names = Vec::new();
        for path in UDEV_NAMES {
            let Ok(bytes) = probe.read(Path::new(path), SIZE_LIMIT) else { continue };
            names.extend(udev_names(Path::new(path), &String::from_utf8_lossy(&bytes)));
        }
        Self { probe, interfaces, network: probe.network().ok(), names }
    }

    /// Returns a file's text; nothing where it is not there.
    ///
    /// # Errors
    /// It is there and cannot be read: the system's words.
    pub fn text(&self, path: &Path, limit: u64) -> Result<Option<String>, String> {
        let bytes = self.bytes(path, limit)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns a file's bytes, `limit` at most; nothing where it is not there.
    ///
    /// # Errors
    /// It is there and cannot be read: the system's words.
    pub fn bytes(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
        match self.probe.read(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            Err(error) => Err(error.words),
        }
    }

    /// Returns whether the interfaces files were read, or are not there.
    pub fn interfaces_read(&self) -> bool {
        !matches!(self.interfaces, Some(Err(_)))
    }

    /// Returns whether something is at a path.
    pub fn is_there(&self, path: &str) -> bool {
        self.probe.entry(Path::new(path)).ok().flatten().is_some()
    }

    fn tree(&self) -> Option<&InterfacesTree> {
        self.interfaces.as_ref()?.as_ref().ok()
    }

    /// Returns the NICs by which a default route leaves: those with a gateway or a lease in interfaces(5), else the
    /// running kernel's.
    pub fn route_nics(&self) -> Vec<(String, Option<At>)> {
        let mut nics: Vec<(String, Option<At>)> = Vec::new();
        for view in self.tree().into_iter().flat_map(InterfacesTree::stanzas) {
            let leased = view.family == Family::Inet && view.method == "dhcp";
            let options = || self.tree().map(|tree| tree.options(view.id)).unwrap_or_default();
            let line = options()
                .into_iter()
                .find(|option| option.name == "gateway")
                .map(|option| At::from(&option.at));
            let name = view.stanza.name.as_str();
            if (leased || line.is_some()) && !nics.iter().any(|(known, _)| known == name) {
                nics.push((name.to_owned(), Some(line.unwrap_or_else(|| At::from(&view.place())))));
            }
        }
        let bridges = self.bridges();
        // A bridge of interfaces(5) is no NIC: its port is.
        for (name, _) in &mut nics {
            if let Some(port) =
                bridges.iter().find(|bridge| bridge.name == *name).and_then(|b| b.ports.first())
            {
                port.clone_into(name);
            }
        }
        if nics.is_empty()
            && let Some(network) = &self.network
        {
            let routes = network.routes.iter().filter(|route| !route.ipv6 && route.destination.is_none());
            for link in
                routes.filter(|route| route.table == MAIN_TABLE).filter_map(|route| route.link.as_deref())
            {
                let is_bridge = network.link(link).is_some_and(|link| link.bridge.is_some());
                if !is_bridge && !nics.iter().any(|(known, _)| known == link) {
                    nics.push((link.to_owned(), None));
                }
            }
        }
        nics
    }

    /// Returns `keep` where a link has an address of its own, `none` where it has none.
    pub fn address(&self, link: &str) -> Said {
        let stanzas = self.tree().into_iter().flat_map(|tree| tree.stanzas_of(link));
        let stanzas: Vec<_> =
            stanzas.filter(|view| matches!(view.family, Family::Inet | Family::Inet6)).collect();
        let addressed = stanzas.iter().find(|view| !matches!(view.method, "manual" | "none"));
        if let Some(view) = addressed.or(stanzas.first()) {
            let value = if addressed.is_some() { "keep" } else { "none" };
            let family = if view.family == Family::Inet { "inet" } else { "inet6" };
            return Said::at(
                value,
                format!("`iface {link} {family} {}`", view.method),
                At::from(&view.place()),
            );
        }
        let has = |network: &Network| network.addresses_on(link).any(|address| !address.is_link_local());
        if self.network.as_ref().is_some_and(has) {
            return Said::known("keep", format!("{link} has an address now"));
        }
        match &self.interfaces {
            Some(Ok(_)) => Said::known("none", format!("{MAIN} gives {link} no address")),
            _ => Said::known("keep", format!("no file here says what {link} has: decide")),
        }
    }

    /// Returns the NIC's own address, by which its name can be pinned.
    pub fn mac(&self, nic: &str) -> Option<Said> {
        if let Some((_, mac, at)) = self.names.iter().find(|(name, ..)| name == nic) {
            return Some(Said::at(&mac.to_string(), format!("udev called it {nic}"), at.clone()));
        }
        let network = self.network.as_ref()?;
        // While network-bridge runs, the NIC is called pNAME and has another address.
        let link = network.link(&format!("p{nic}")).or_else(|| network.link(nic))?;
        let mac = link.permanent_mac.or(link.mac).filter(|mac| mac.is_station() && mac.0[0] != 0xfe)?;
        Some(Said::known(&mac.to_string(), format!("{} has it now", link.name)))
    }

    /// Returns the bridges of interfaces(5), those that are made at boot or by hand.
    pub fn bridges(&self) -> Vec<Written> {
        let Some(tree) = self.tree() else { return Vec::new() };
        let mut bridges: Vec<Written> = Vec::new();
        for view in tree.stanzas() {
            let options = tree.options(view.id);
            let ports =
                options.iter().find(|option| matches!(&*option.name, "bridge_ports" | "bridge-ports"));
            let Some(ports) = ports else { continue };
            if bridges.iter().all(|bridge| bridge.name != view.stanza.name) {
                bridges.push(Written {
                    name: view.stanza.name.clone(),
                    ports: ports.value.split_whitespace().map(str::to_owned).collect(),
                    at: At::from(&view.place()),
                    ports_at: At::from(&ports.at),
                });
            }
        }
        bridges
    }

    /// Returns a text of xl.conf under the first of these names that it has.
    ///
    /// # Errors
    /// xl could not read the file.
    pub fn xl_conf(&self, names: &[&str]) -> Result<Option<Said>, GuestError> {
        let path = Path::new(XL_CONF);
        let Ok(bytes) = self.probe.read(path, SIZE_LIMIT) else { return Ok(None) };
        let file = GuestFile::parse(path, bytes)?;
        let settings = file.settings();
        let found = names.iter().find_map(|name| Some((name, settings.get(name)?)));
        Ok(found.and_then(|(name, setting)| match &setting.value {
            Value::Text(text) if !text.is_empty() => {
                let statement = file.statements().get(setting.statement);
                let line = statement.map_or(0, |statement| file.line(statement.span.start));
                Some(Said::at(text, format!("`{name}`"), At { path: path.to_owned(), line }))
            }
            _ => None,
        }))
    }

    /// Returns the rule of the newest Xen below /usr/lib that had xend, with its directory.
    pub fn installed_rule(&self) -> Option<(Rule, PathBuf)> {
        let names = self.probe.list(Path::new("/usr/lib")).ok()?;
        let versions = names.iter().filter_map(|name| name.to_str()?.strip_prefix("xen-"));
        let known =
            versions.filter_map(|version| Some((number(version), rule::of_version(version)?, version)));
        let (_, rule, version) = known.max_by_key(|(number, ..)| number.clone())?;
        Some((rule, Path::new("/usr/lib").join(format!("xen-{version}"))))
    }
}

fn number(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}

/// Lines of `ATTR{address}=="…", … NAME="eth0"`; a rule for something else than a NIC's name is passed over.
fn udev_names(path: &Path, text: &str) -> Vec<(String, Mac, At)> {
    let quoted = |line: &str, key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('#'));
    let names = lines.filter_map(|(number, line)| {
        let mac = quoted(line, "{address}==\"")?.parse().ok().filter(|mac: &Mac| mac.is_station())?;
        let name = quoted(line, "NAME=\"").filter(|name| !name.is_empty())?;
        Some((name, mac, At { path: path.to_owned(), line: number }))
    });
    names.collect()
}
