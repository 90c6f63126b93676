//! host.toml, read by hand so that every fault is named with its line and none hides another.
//! Decides which keys there are; what a value means is decided in `value`.

mod portless;
mod vlans;

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml_edit::{Item, TableLike};
use xenup_machine::network::Mac;

use super::value::{LONGEST_NAME, Refused, xen_option};
use super::{AddressPolicy, Boot, Bridge, DefaultBoot, Guests, Host, HostError, OnShutdown, Vlan, Xen};
use crate::toml_file::{self, Faults};

const TOP: &[&str] = &["xen", "boot", "bridge", "nat", "routed", "isolated", "guests"];
const XEN: &[&str] = &["dom0-memory", "dom0-vcpus", "console", "options"];
const BOOT: &[&str] = &["default"];
const BRIDGE: &[&str] = &["name", "also", "ports", "vlan", "vlans", "mac", "address"];
const GUESTS: &[&str] = &["on-shutdown"];

/// The hypervisor's own limit is far above; more than this is a slip.
const MOST_VCPUS: i64 = 4096;

pub fn read(path: &Path, bytes: &[u8]) -> Result<Host, HostError> {
    toml_file::read(path, bytes, |faults| Reader { faults }.host())
        .map(|host| Host { path: path.to_owned(), ..host })
}

struct Reader<'f, 't> {
    faults: &'f mut Faults<'t>,
}

/// A value and where it stands.
struct Found<T> {
    value: T,
    span: Range<usize>,
}

/// One table of the file.
#[derive(Clone, Copy)]
struct Section<'a> {
    title: &'static str,
    table: &'a dyn TableLike,
    start: usize,
}

impl Reader<'_, '_> {
    fn fault(&mut self, span: Range<usize>, what: impl Into<String>, hint: impl Into<String>) {
        self.faults.add(span, what, hint);
    }

    fn refuse(&mut self, span: Range<usize>, refused: Refused) {
        self.fault(span, refused.what, refused.hint);
    }

    fn host(&mut self) -> Option<Host> {
        let document = self.faults.document("see host.toml(5) for an example")?;
        let top = Section { title: "", table: document.as_table(), start: 0 };
        self.keys(top, TOP);
        let host = Host {
            xen: self.table(top, "xen").map(|section| self.xen(section)).unwrap_or_default(),
            boot: self.table(top, "boot").map(|section| self.boot(section)).unwrap_or_default(),
            bridges: self.each(top, "bridge", Self::bridge),
            nats: self.each(top, "nat", Self::nat),
            routed: self.each(top, "routed", Self::routed),
            isolated: self.each(top, "isolated", Self::isolated),
            guests: self.table(top, "guests").map(|section| self.guests(section)).unwrap_or_default(),
            path: std::path::PathBuf::new(),
        };
        self.together(&host);
        Some(host)
    }

    /// Names every key that is not known.
    fn keys(&mut self, section: Section<'_>, known: &[&str]) {
        let whose = if section.title.is_empty() { "host.toml" } else { section.title };
        self.faults.unknown_keys(section.table, whose, section.start, known);
    }

    fn xen(&mut self, section: Section<'_>) -> Xen {
        self.keys(section, XEN);
        let vcpus = self.integer(section, "dom0-vcpus").and_then(|found| match found.value {
            1..=MOST_VCPUS => u32::try_from(found.value).ok(),
            other => {
                self.fault(found.span, format!("dom0 cannot have {other} processors"), "write 1 or more");
                None
            }
        });
        Xen {
            dom0_memory: self.parsed(section, "dom0-memory"),
            dom0_vcpus: vcpus,
            console: self.parsed(section, "console"),
            options: self.options(section),
        }
    }

    fn options(&mut self, section: Section<'_>) -> Vec<String> {
        let mut options = Vec::new();
        for word in self.strings(section, "options").unwrap_or_default() {
            match xen_option(&word.value) {
                Ok(word) => options.push(word),
                Err(refused) => self.refuse(word.span, refused),
            }
        }
        options
    }

    fn boot(&mut self, section: Section<'_>) -> Boot {
        self.keys(section, BOOT);
        let words = [("xen", DefaultBoot::Xen), ("linux", DefaultBoot::Linux)];
        Boot { default: self.one_of(section, "default", &words).unwrap_or_default() }
    }

    fn guests(&mut self, section: Section<'_>) -> Guests {
        self.keys(section, GUESTS);
        let words = [("shutdown", OnShutdown::Shutdown), ("save", OnShutdown::Save)];
        Guests { on_shutdown: self.one_of(section, "on-shutdown", &words) }
    }

    fn bridge(&mut self, section: Section<'_>) -> Option<Bridge> {
        self.keys(section, BRIDGE);
        self.required(section, "name", "name = \"xenbr0\"");
        self.required(section, "ports", "ports = [\"eno1\"]");
        self.required(section, "address", "address = \"keep\", or \"none\" for a bridge of guests alone");
        let words = [("keep", AddressPolicy::Keep), ("none", AddressPolicy::None)];
        let name = self.parsed(section, "name");
        let port = self.port(section);
        let address = self.one_of(section, "address", &words);
        let mac = self.mac(section);
        let also = self.also(section);
        let (line, _) = self.faults.place(section.start);
        let (name, nic, address) = (name?, port?, address?);
        let vlan = self.vlan(section, &nic, address)?;
        let vlans = self.vlans(section, vlan.as_ref())?;
        let port = vlan.as_ref().map_or_else(|| nic.clone(), Vlan::link);
        Some(Bridge { name, also, port, vlan, vlans, mac, address, line })
    }

    fn also(&mut self, section: Section<'_>) -> Vec<String> {
        let mut names = Vec::new();
        for found in self.strings(section, "also").unwrap_or_default() {
            if could_be_a_link(&found.value) {
                names.push(found.value);
                continue;
            }
            let what = format!("`{}` cannot be a link's name", found.value.escape_debug());
            self.fault(found.span, what, "write the name as guests have it in bridge=, such as \"eth0\"");
        }
        names
    }

    fn port(&mut self, section: Section<'_>) -> Option<String> {
        let mut ports = self.strings(section, "ports")?;
        if ports.len() != 1 {
            let (span, what) = match ports.get(1) {
                Some(second) => {
                    (second.span.clone(), "a bridge takes one NIC or one bond: two would make a loop")
                }
                None => (self.span(section, "ports"), "a bridge needs a port"),
            };
            self.fault(
                span,
                what,
                "name one NIC, such as ports = [\"eno1\"]; for several cables make a bond first",
            );
            return None;
        }
        let port = ports.pop()?;
        if !could_be_a_link(&port.value) {
            let what = format!("`{}` cannot be a NIC's name", port.value.escape_debug());
            self.fault(port.span, what, "`ip -brief link` lists the NICs");
            return None;
        }
        Some(port.value)
    }

    fn mac(&mut self, section: Section<'_>) -> Option<Mac> {
        let found = self.string(section, "mac")?;
        let hint = "write the NIC's own address, such as \"52:54:00:aa:bb:cc\"; `ip -brief link` shows it";
        match found.value.parse::<Mac>() {
            Ok(mac) if mac.is_station() => return Some(mac),
            Ok(mac) => self.fault(found.span, format!("`{mac}` is the address of no single NIC"), hint),
            Err(error) => self.fault(found.span, error.to_string(), hint),
        }
        None
    }

    /// Looks at wishes that exclude each other.
    fn together(&mut self, host: &Host) {
        let mut names: Vec<(&str, u32)> = Vec::new();
        let bridges = host.bridges.iter().map(|bridge| (bridge.name.as_str(), bridge.line));
        let nats = host.nats.iter().map(|nat| (nat.name.as_str(), nat.line));
        let isolated = host.isolated.iter().map(|isolated| (isolated.name.as_str(), isolated.line));
        let routed = host.routed.iter().map(|routed| (routed.name.as_str(), routed.line));
        for (name, line) in bridges.chain(nats).chain(routed).chain(isolated) {
            match names.iter().find(|(other, _)| *other == name) {
                Some((_, first)) => self.fault_at(
                    line,
                    format!("two bridges are called `{name}`; the first is in line {first}"),
                    "give each its own name",
                ),
                None => names.push((name, line)),
            }
        }
        for (index, bridge) in host.bridges.iter().enumerate() {
            let of_others = |name: &String| {
                let mut others = host.bridges.iter().enumerate().filter(|(at, _)| *at != index);
                others.any(|(_, other)| other.also.contains(name))
            };
            let links = |name: &String| {
                host.bridges.iter().any(|bridge| [bridge.nic(), &bridge.port].contains(&&**name))
            };
            let is_taken = |name: &&String| {
                names.iter().any(|(taken, _)| taken == name) || links(name) || of_others(name)
            };
            if let Some(other) = bridge.also.iter().find(is_taken) {
                let what =
                    format!("`{other}` is another link of this file, and cannot name `{}` too", bridge.name);
                self.fault_at(bridge.line, what, "write the names of bridges that are no more");
            }
            let earlier = &host.bridges[..index];
            if let Some(other) = earlier.iter().find(|other| other.port == bridge.port) {
                let what =
                    format!("`{}` is already the port of `{}`, line {}", bridge.port, other.name, other.line);
                self.fault_at(bridge.line, what, "a NIC can be in one bridge only");
            }
            let same_mac = |other: &&Bridge| {
                let on_one_nic =
                    other.nic() == bridge.nic() && (other.vlan.is_some() || bridge.vlan.is_some());
                bridge.mac.is_some() && other.mac == bridge.mac && !on_one_nic
            };
            if let Some(other) = earlier.iter().find(same_mac) {
                let what =
                    format!("`{}` has the same mac as `{}`, line {}", bridge.name, other.name, other.line);
                self.fault_at(bridge.line, what, "write each NIC's own permanent address");
            }
            if names.iter().any(|(name, _)| *name == bridge.port) {
                let what =
                    format!("`{}` is a bridge of this file and a port of `{}`", bridge.port, bridge.name);
                self.fault_at(bridge.line, what, "name a NIC as its port");
            }
        }
        self.subnets(host);
        self.taken_tags(host);
    }

    fn fault_at(&mut self, line: u32, what: String, hint: &str) {
        self.faults.add_at(line, what, hint);
    }

    // The walk over the tables.

    fn table<'a>(&mut self, within: Section<'a>, name: &'static str) -> Option<Section<'a>> {
        let item = within.table.get(name)?;
        let start = item.span().map_or(0, |span| span.start);
        match item.as_table_like() {
            Some(table) => Some(Section { title: title(name), table, start }),
            None => {
                let what = format!("`{name}` is {}, not a table", article(item));
                self.fault(start..start, what, format!("write it as [{name}]"));
                None
            }
        }
    }

    fn each<'a, T>(
        &mut self,
        within: Section<'a>,
        name: &'static str,
        read: fn(&mut Self, Section<'a>) -> Option<T>,
    ) -> Vec<T> {
        let Some(item) = within.table.get(name) else { return Vec::new() };
        let start = item.span().map_or(0, |span| span.start);
        let Some(tables) = item.as_array_of_tables() else {
            let what = format!("`{name}` is {}, not a list of tables", article(item));
            self.fault(start..start, what, format!("write each as [[{name}]]"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for table in tables {
            let start = table.span().map_or(start, |span| span.start);
            all.extend(read(self, Section { title: title(name), table, start }));
        }
        all
    }

    fn required(&mut self, section: Section<'_>, key: &str, example: &str) {
        if !section.table.contains_key(key) {
            let what = format!("{} has no `{key}`", section.title);
            self.fault(section.start..section.start, what, format!("add {example}"));
        }
    }

    fn span(&self, section: Section<'_>, key: &str) -> Range<usize> {
        section.table.get(key).and_then(Item::span).unwrap_or(section.start..section.start)
    }

    fn string(&mut self, section: Section<'_>, key: &str) -> Option<Found<String>> {
        let item = section.table.get(key)?;
        let span = self.span(section, key);
        if let Some(value) = item.as_str() {
            return Some(Found { value: value.to_owned(), span });
        }
        self.fault(span, format!("`{key}` is {}, not a text", article(item)), "write it in quotation marks");
        None
    }

    fn integer(&mut self, section: Section<'_>, key: &str) -> Option<Found<i64>> {
        let item = section.table.get(key)?;
        let span = self.span(section, key);
        if let Some(value) = item.as_integer() {
            return Some(Found { value, span });
        }
        self.fault(
            span,
            format!("`{key}` is {}, not a number", article(item)),
            "write digits without quotation marks",
        );
        None
    }

    /// Whether a key is true; false where it is left out.
    fn switch(&mut self, section: Section<'_>, key: &str) -> bool {
        let Some(item) = section.table.get(key) else { return false };
        if item.as_bool().is_none() {
            let what = format!("`{key}` is {}, neither true nor false", article(item));
            self.fault(self.span(section, key), what, format!("write {key} = true"));
        }
        item.as_bool().unwrap_or_default()
    }

    fn strings(&mut self, section: Section<'_>, key: &str) -> Option<Vec<Found<String>>> {
        let item = section.table.get(key)?;
        let span = self.span(section, key);
        let Some(array) = item.as_array() else {
            let what = format!("`{key}` is {}, not a list", article(item));
            let inner = item.as_str().unwrap_or("word");
            self.fault(span, what, format!("write {key} = [\"{}\"]", inner.escape_debug()));
            return None;
        };
        let mut words = Vec::new();
        for value in array {
            let span = value.span().unwrap_or(span.clone());
            match value.as_str() {
                Some(word) => words.push(Found { value: word.to_owned(), span }),
                None => {
                    let what = format!("`{key}` holds {}, not a text", with_article(value.type_name()));
                    self.fault(span, what, "write it in quotation marks");
                }
            }
        }
        Some(words)
    }

    fn parsed<T: FromStr<Err = Refused>>(&mut self, section: Section<'_>, key: &str) -> Option<T> {
        let found = self.string(section, key)?;
        match found.value.parse() {
            Ok(value) => Some(value),
            Err(refused) => {
                self.refuse(found.span, refused);
                None
            }
        }
    }

    fn one_of<T: Copy>(&mut self, section: Section<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = self.string(section, key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) {
            return Some(*value);
        }
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let what = format!("`{key}` cannot be `{}`", found.value.escape_debug());
        self.fault(found.span, what, format!("write {}", known.join(" or ")));
        None
    }
}

/// Whether the kernel could call a link so, and a guest's file name it.
fn could_be_a_link(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"/:%*?[]\\\"',=".contains(c);
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(plain) && name != "lo"
}

fn title(name: &'static str) -> &'static str {
    match name {
        "xen" => "[xen]",
        "boot" => "[boot]",
        "guests" => "[guests]",
        "bridge" => "[[bridge]]",
        "nat" => "[[nat]]",
        "routed" => "[[routed]]",
        "isolated" => "[[isolated]]",
        _ => name,
    }
}

fn article(item: &Item) -> String {
    with_article(item.type_name())
}

fn with_article(kind: &str) -> String {
    let kind = match kind {
        "string" => "text",
        "array" => "list",
        "array of tables" => "list of tables",
        "inline table" => "table",
        other => other,
    };
    format!("{} {kind}", if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
}
