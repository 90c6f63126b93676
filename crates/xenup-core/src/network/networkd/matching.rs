//! Whether a file is for a link: the [Match] section.
//!
//! Decides: by what is known of the link and the machine. A condition that nothing known decides is never guessed: it
//! is `CannotTell` with its line, unless another condition of the file is not met anyway.

use xenup_machine::network::{Link, Mac};

use super::tree::{Line, Unit};
use crate::inspect::facts::{At, Facts, Nic};
use crate::network::interfaces::glob::Pattern;
use crate::network::units::boolean;

/// What is known of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Other names.
    pub alternative: Vec<String>,
    /// The address in use.
    pub mac: Option<Mac>,
    /// The address burnt in.
    pub permanent_mac: Option<Mac>,
    /// Kernel driver; `None` where it is not known.
    pub driver: Option<String>,
    /// `bridge`, `bond`, `vlan`, `veth`, …; `None` for a NIC.
    pub kind: Option<String>,
    /// Whether it is wireless.
    pub wireless: bool,
    /// udev's ID_PATH; `None` where it is not known.
    pub path: Option<String>,
}

/// What is known of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The kernel's command line.
    pub cmdline: String,
    /// Whether it is a container.
    pub container: bool,
}

impl Host {
    /// Returns what the facts know.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        Self {
            name: facts.hostname.clone(),
            machine_id: facts.machine_id.clone(),
            cmdline: facts.boot.cmdline.clone(),
            container: facts.hardware.container.is_some(),
        }
    }
}

/// Whether a file is for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// Every condition is met.
    Yes,
    /// One is not.
    No,
    /// The first condition that only networkd could decide.
    CannotTell(At),
}

/// Kinds that the kernel tells as DEVTYPE, which `Type=` compares; anything else on Ethernet is `ether`.
const TYPED: [&str; 10] =
    ["bond", "bridge", "geneve", "hsr", "macsec", "ppp", "vlan", "vxlan", "wlan", "wwan"];

impl Device {
    /// Returns a NIC as the facts know it.
    #[must_use]
    pub fn nic(nic: &Nic, link: Option<&Link>) -> Self {
        Self {
            name: nic.name.clone(),
            alternative: link.map(|link| link.alternative_names.clone()).unwrap_or_default(),
            mac: link.and_then(|link| link.mac).or(nic.mac),
            permanent_mac: link.and_then(|link| link.permanent_mac),
            driver: nic.driver.clone(),
            kind: nic.kind.clone(),
            wireless: nic.wireless,
            path: nic.path.clone(),
        }
    }

    /// Returns a bridge with an address.
    #[must_use]
    pub fn bridge(name: &str, mac: Mac) -> Self {
        Self { mac: Some(mac), ..Self::made(name, "bridge") }
    }

    /// Returns a link that the kernel makes, of a kind.
    #[must_use]
    pub fn made(name: &str, kind: &str) -> Self {
        // The driver that ethtool names is the kind; no bus means no path.
        Self {
            name: name.to_owned(),
            driver: Some(kind.to_owned()),
            kind: Some(kind.to_owned()),
            path: Some(String::new()),
            ..Self::default()
        }
    }

    /// Returns a back-end of Xen: an Ethernet link without a kind, whose driver is `vif`.
    #[must_use]
    pub fn vif() -> Self {
        Self { kind: None, ..Self::made("vif1.0", "vif") }
    }

    /// Returns whether a file is for this link.
    #[must_use]
    pub fn matched(&self, unit: &Unit, host: &Host) -> Matched {
        let mut conditions: Vec<(&str, Vec<&Line>)> = Vec::new();
        for line in unit.section("Match") {
            let key = line.setting.key.as_str();
            let place = match conditions.iter().position(|(known, _)| *known == key) {
                Some(place) => place,
                None => {
                    conditions.push((key, Vec::new()));
                    conditions.len().saturating_sub(1)
                }
            };
            let Some((_, lines)) = conditions.get_mut(place) else { continue };
            if line.setting.value.is_empty() {
                lines.clear();
            } else {
                lines.push(line);
            }
        }
        // Without any condition networkd leaves the file out.
        if conditions.iter().all(|(_, lines)| lines.is_empty()) {
            return Matched::No;
        }
        let mut open = None;
        for (key, lines) in conditions.iter().filter(|(_, lines)| !lines.is_empty()) {
            match self.met(key, lines, host) {
                Some(true) => {}
                Some(false) => return Matched::No,
                None => open = open.or_else(|| lines.first().map(|line| line.at.clone())),
            }
        }
        open.map_or(Matched::Yes, Matched::CannotTell)
    }

    /// Whether a condition is met; `None` where nothing known decides it.
    fn met(&self, key: &str, lines: &[&Line], host: &Host) -> Option<bool> {
        let value = lines.last().map_or("", |line| line.setting.value.as_str());
        match key {
            "Name" => {
                let mut names = std::iter::once(&self.name).chain(&self.alternative);
                let rules = rules(lines);
                Some(names.any(|name| listed(&rules, Some(name))))
            }
            "MACAddress" => Some(one_of(lines, self.mac)),
            "PermanentMACAddress" => Some(one_of(lines, self.permanent_mac)),
            "Driver" => Some(listed(&rules(lines), Some(self.driver.as_deref()?))),
            "Path" => Some(listed(&rules(lines), Some(self.path.as_deref()?))),
            "Kind" => Some(listed(&rules(lines), self.kind.as_deref())),
            "Type" => Some(listed(&rules(lines), Some(self.type_name()))),
            "WLANInterfaceType" | "SSID" | "BSSID" => (!self.wireless).then_some(false),
            "Host" => not(value, |name| {
                Some(Pattern::new(name).matches(&host.name) || name.eq_ignore_ascii_case(&host.machine_id))
            }),
            "KernelCommandLine" => not(value, |word| Some(has_word(&host.cmdline, word))),
            "Architecture" => not(value, |name| Some(matches!(name, "x86-64" | "native"))),
            // Xen itself changes every other answer: dom0 is no guest of whatever Linux is one of.
            "Virtualization" => not(value, |name| match (name, boolean(name)) {
                ("container", _) => Some(host.container),
                (_, Some(wanted)) if host.container => Some(wanted),
                _ if host.container => None,
                ("docker" | "lxc" | "lxc-libvirt" | "podman" | "systemd-nspawn" | "wsl", _) => Some(false),
                _ => None,
            }),
            _ => None,
        }
    }

    fn type_name(&self) -> &str {
        match self.kind.as_deref() {
            _ if self.wireless => "wlan",
            _ if self.name == "lo" => "loopback",
            Some(kind) if TYPED.contains(&kind) => kind,
            _ => "ether",
        }
    }
}

/// A pattern, and whether it was written behind `!`.
type Rule = (bool, Pattern);

/// A `!` at the beginning of an assignment is for all its words.
fn rules(lines: &[&Line]) -> Vec<Rule> {
    let words = lines.iter().flat_map(|line| {
        let value = line.setting.value.as_str();
        let (inverted, value) = value.strip_prefix('!').map_or((false, value), |rest| (true, rest));
        value
            .split_ascii_whitespace()
            .map(move |word| (inverted, Pattern::new(word.trim_matches(['"', '\'']))))
    });
    words.collect()
}

/// An inverted pattern that fits is a no at once; without any other pattern, none that fits is a yes.
fn listed(rules: &[Rule], text: Option<&str>) -> bool {
    let fits = |pattern: &Pattern| text.is_some_and(|text| pattern.matches(text));
    if rules.iter().any(|(inverted, pattern)| *inverted && fits(pattern)) {
        return false;
    }
    let mut wanted = rules.iter().filter(|(inverted, _)| !inverted).peekable();
    wanted.peek().is_none() || wanted.any(|(_, pattern)| fits(pattern))
}

fn one_of(lines: &[&Line], mac: Option<Mac>) -> bool {
    let Some(mac) = mac.map(|mac| mac.0) else { return false };
    lines
        .iter()
        .flat_map(|line| line.setting.value.split_ascii_whitespace())
        .any(|word| hexes(word) == Some(mac))
}

/// An address with `:` or `-` between bytes, or `.` between pairs of bytes.
fn hexes(word: &str) -> Option<[u8; 6]> {
    let plain: String = word.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let mut bytes = [0; 6];
    if plain.len() != 12 || !plain.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(plain.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A condition of one value, turned round by a leading `!`.
fn not(value: &str, met: impl Fn(&str) -> Option<bool>) -> Option<bool> {
    match value.strip_prefix('!') {
        Some(rest) => met(rest.trim()).map(|met| !met),
        None => met(value),
    }
}

/// `word` alone stands for `word` and `word=…`; `word=value` for itself.
fn has_word(cmdline: &str, word: &str) -> bool {
    let key = |have: &str| have.split('=').next() == Some(word);
    cmdline.split_ascii_whitespace().any(|have| have == word || (!word.contains('=') && key(have)))
}

#[cfg(test)]
mod tests {
    use super::{Device, Host, Matched};
    use crate::inspect::facts::ConfigFile;
    use crate::network::networkd::Tree;

    fn nic() -> Device {
        Device {
            name: "eno1".to_owned(),
            alternative: vec!["enp0s3".to_owned()],
            mac: "52:54:00:00:00:01".parse().ok(),
            driver: Some("e1000e".to_owned()),
            ..Device::default()
        }
    }

    fn host() -> Host {
        Host { name: "box".to_owned(), cmdline: "quiet ip=dhcp".to_owned(), ..Host::default() }
    }

    fn of(text: &str) -> Matched {
        let path = "/etc/systemd/network/10.network".into();
        let tree = Tree::new(&[ConfigFile { path, text: text.to_owned() }], ".network");
        nic().matched(&tree.units()[0], &host())
    }

    #[test]
    fn conditions_that_are_met_and_not() {
        let cases = [
            ("Name=eno1", true),
            ("Name=enp0s3", true),
            ("Name=en*\nDriver=e1000*", true),
            ("Name=!en*", false),
            ("Name=!wl* lo", true),
            // Another name of the link is enough, as seen with systemd 252 and 257.
            ("Name=!wl* eno1", true),
            ("Name=!eno1 enp0s3", false),
            ("Name=eth* eno[0-9]", true),
            ("Name=en*\nName=", false),
            ("Name=eth0\nName=\nName=eno1", true),
            ("Name=en*\nName=!eno1", true),
            ("Name=en*\nName=!eno1 enp0*", false),
            ("Type=ether", true),
            ("Type=wlan\nWLANInterfaceType=station", false),
            ("Kind=veth\nName=vb-*", false),
            ("Kind=!*", true),
            ("Virtualization=container\nName=host0", false),
            ("Virtualization=!container\nName=en*", true),
            ("MACAddress=52-54-00-00-00-01", true),
            ("MACAddress=5254.0000.0001 52:54:00:00:00:09", true),
            ("MACAddress=52:54:00:00:00:02", false),
            ("PermanentMACAddress=52:54:00:00:00:01", false),
            ("Host=b?x\nName=eno1", true),
            ("Host=!box\nName=eno1", false),
            ("KernelCommandLine=ip\nName=eno1", true),
            ("KernelCommandLine=!quiet\nName=eno1", false),
            ("Architecture=x86-64\nName=eno1", true),
            ("", false),
        ];
        for (text, expected) in cases {
            let wanted = if expected { Matched::Yes } else { Matched::No };
            assert_eq!(of(&format!("[Match]\n{text}\n")), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_said_with_its_line() {
        for text in ["Name=eno1\nKernelVersion=>=6.1", "Name=en*\nPath=pci-*", "Name=*\nProperty=ID_NET=1"] {
            assert!(
                matches!(of(&format!("[Match]\n{text}\n")), Matched::CannotTell(at) if at.line == 3),
                "{text}"
            );
        }
        assert_eq!(of("[Match]\nKernelVersion=>=6.1\nName=eth0\n"), Matched::No);
    }
}
