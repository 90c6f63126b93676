//! Which .network file systemd-networkd takes for a link (systemd.network(5), "[Match] section options").
//!
//! Decides: first match by file name over all directories. A condition that cannot be evaluated from facts counts
//! as met: to miss an owner is worse than to name one too many. Never: reads what is inside [Network].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_machine::network::Link;

use super::super::facts::{At, Nic};
use super::super::reader::Reader;
use super::units::{Setting, parse};
use crate::network::interfaces::glob::Pattern;

/// In order of precedence: a name found earlier hides the later ones.
pub(super) const DIRECTORIES: [&str; 4] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
];

/// A .network file.
#[derive(Debug, Clone)]
pub(super) struct NetworkFile {
    /// Where it is.
    pub path: PathBuf,
    settings: Vec<Setting>,
}

/// What a file says about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// The line that matched.
    pub at: At,
    /// `Unmanaged=yes`: networkd leaves the link alone.
    pub unmanaged: bool,
}

/// Returns the .network files in the order in which networkd tries them.
pub(super) fn files(reader: &Reader<'_>) -> Vec<NetworkFile> {
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    for directory in DIRECTORIES {
        for path in reader.ending(directory, ".network") {
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                names.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    let read = |path: PathBuf| {
        // A link to /dev/null masks the file.
        if reader.link(&path).as_deref() == Some(Path::new("/dev/null")) {
            return None;
        }
        let settings = parse(&reader.text(&path)?);
        Some(NetworkFile { path, settings })
    };
    names.into_values().filter_map(read).collect()
}

/// Returns what the first file that matches says.
pub(super) fn taken(files: &[NetworkFile], nic: &Nic, link: Option<&Link>) -> Option<Taken> {
    let file = files.iter().find(|file| matches(&file.settings, nic, link))?;
    let line = file.settings.iter().find(|setting| setting.section == "Match").map_or(0, |one| one.line);
    let unmanaged = file
        .settings
        .iter()
        .any(|setting| setting.section == "Link" && setting.key == "Unmanaged" && is_true(&setting.value));
    Some(Taken { at: At { path: file.path.clone(), line }, unmanaged })
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "yes" | "true" | "on")
}

/// Returns the name that a .link file gives a NIC (systemd.link(5), which has the same conditions), empty where it
/// leaves the name to others; `None` where it cannot match the NIC.
pub(crate) fn name_given(text: &str, nic: &Nic, link: &Link) -> Option<String> {
    let settings = parse(text);
    // udev looks when the NIC appears, with its own address.
    let appeared = Link { mac: link.permanent_mac.or(link.mac), ..link.clone() };
    if ![link, &appeared].into_iter().any(|link| matches(&settings, nic, Some(link))) {
        return None;
    }
    let name = settings.iter().rfind(|setting| setting.section == "Link" && setting.key == "Name");
    Some(name.map(|setting| setting.value.clone()).unwrap_or_default())
}

fn matches(settings: &[Setting], nic: &Nic, link: Option<&Link>) -> bool {
    let mut conditions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for setting in settings.iter().filter(|setting| setting.section == "Match") {
        let words = conditions.entry(&setting.key).or_default();
        if setting.value.is_empty() {
            words.clear();
        }
        words.extend(setting.value.split_ascii_whitespace());
    }
    // Without any condition networkd ignores the file.
    !conditions.is_empty() && conditions.iter().all(|(key, words)| met(key, words, nic, link))
}

fn met(key: &str, words: &[&str], nic: &Nic, link: Option<&Link>) -> bool {
    let alternative = link.map(|link| link.alternative_names.as_slice()).unwrap_or_default();
    match key {
        "Name" => {
            let names = std::iter::once(nic.name.as_str()).chain(alternative.iter().map(String::as_str));
            listed(words, &names.collect::<Vec<_>>())
        }
        "MACAddress" => one_of(words, link.and_then(|link| link.mac).map(|mac| mac.to_string())),
        "PermanentMACAddress" => {
            one_of(words, link.and_then(|link| link.permanent_mac).map(|mac| mac.to_string()))
        }
        "Driver" => nic.driver.as_deref().is_none_or(|driver| listed(words, &[driver])),
        "Kind" => listed(words, &[nic.kind.as_deref().unwrap_or_default()]),
        "Type" => {
            let kind = nic.kind.as_deref().unwrap_or(if nic.wireless { "wlan" } else { "ether" });
            // networkd calls any Ethernet-like link `ether`, and the virtual ones by their kind as well.
            listed(words, &if nic.wireless { vec![kind] } else { vec![kind, "ether"] })
        }
        "WLANInterfaceType" | "SSID" | "BSSID" => nic.wireless,
        _ => true,
    }
}

/// A list of patterns; `!` before the first turns the whole list round.
fn listed(words: &[&str], names: &[&str]) -> bool {
    let Some(first) = words.first() else { return true };
    let negated = first.starts_with('!');
    let found = words.iter().enumerate().any(|(index, word)| {
        let word = if index == 0 { word.trim_start_matches('!') } else { word };
        let pattern = Pattern::new(word);
        names.iter().any(|name| pattern.matches(name))
    });
    found != negated
}

fn one_of(words: &[&str], mac: Option<String>) -> bool {
    let Some(mac) = mac else { return false };
    words.iter().any(|word| word.to_ascii_lowercase().replace('-', ":") == mac)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{NetworkFile, Nic, taken};
    use crate::inspect::network::units::parse;

    fn nic(name: &str) -> Nic {
        Nic {
            name: name.to_owned(),
            mac: None,
            driver: Some("e1000e".to_owned()),
            kind: None,
            wireless: false,
            owners: Vec::new(),
            master: None,
            default_route: false,
        }
    }

    fn file(text: &str) -> NetworkFile {
        NetworkFile { path: PathBuf::from("/etc/systemd/network/10.network"), settings: parse(text) }
    }

    #[test]
    fn the_first_file_whose_conditions_all_hold_takes_the_link() {
        let cases = [
            ("[Match]\nName=eno1\n", true),
            ("[Match]\nName=en*\nDriver=e1000*\n", true),
            ("[Match]\nName=!en*\n", false),
            ("[Match]\nName=!wl* lo\n", true),
            ("[Match]\nName=eth* eno[0-9]\n", true),
            ("[Match]\nType=ether\n", true),
            ("[Match]\nType=wlan\nWLANInterfaceType=station\n", false),
            ("[Match]\nKind=veth\nName=vb-*\n", false),
            ("[Match]\nVirtualization=container\nName=host0\n", false),
            ("[Match]\nMACAddress=52:54:00:00:00:01\n", false),
            ("[Network]\nDHCP=yes\n", false),
        ];
        for (text, expected) in cases {
            assert_eq!(taken(&[file(text)], &nic("eno1"), None).is_some(), expected, "{text}");
        }
        let both = [
            file("[Match]\nName=en*\n[Link]\nUnmanaged=yes\n"),
            file("[Match]\nName=*\n[Network]\nDHCP=yes\n"),
        ];
        assert!(taken(&both, &nic("eno1"), None).is_some_and(|taken| taken.unmanaged));
    }
}
