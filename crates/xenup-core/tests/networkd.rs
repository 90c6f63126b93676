//! systemd-networkd's files: `tests/cases/networkd/<case>/{wanted.json, files/}` → `change.txt`, or `refused.txt` alone.
//!
//! `files/` is a tree of the machine's own files; a link to /dev/null in it masks. `wanted.json` has what a plan knows
//! of the NIC.

#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cases_of::{expect, folders, text};
use proptest::prelude::{Strategy, proptest};
use serde_json::Value;
use xenup_core::host::AddressPolicy;
use xenup_core::inspect::Finding;
use xenup_core::inspect::facts::ConfigFile;
use xenup_core::network::networkd::{Change, Device, Host, Lease, OwnFile, Tree, Unit, Wanted, change};
use xenup_machine::network::Mac;

fn files(case: &Path) -> Vec<ConfigFile> {
    let root = case.join("files");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = Path::new("/").join(path.strip_prefix(&root).unwrap());
            if path.is_symlink() {
                assert_eq!(std::fs::read_link(&path).unwrap(), Path::new("/dev/null"));
                found.push(ConfigFile { path: inside, text: String::new() });
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.push(ConfigFile { path: inside, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

struct Case {
    folder: PathBuf,
    files: Vec<ConfigFile>,
    wish: Value,
}

impl Case {
    fn all() -> Vec<Self> {
        let read = |folder: PathBuf| Self {
            files: files(&folder),
            wish: serde_json::from_str(&text(&folder, "wanted.json")).unwrap(),
            folder,
        };
        folders("networkd").into_iter().map(read).collect()
    }

    fn word(&self, key: &str) -> Option<&str> {
        self.wish.get(key).and_then(Value::as_str)
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.wish.get(key).and_then(Value::as_u64).map(|number| u32::try_from(number).unwrap())
    }

    fn change(&self, files: &[ConfigFile]) -> Result<Change, Vec<Finding>> {
        let mac = |key| self.word(key).map(|mac| mac.parse::<Mac>().unwrap());
        let port = Device {
            name: self.word("port").unwrap_or("eno1").to_owned(),
            mac: mac("mac"),
            permanent_mac: mac("permanent-mac"),
            driver: self.word("driver").map(str::to_owned),
            kind: self.word("kind").map(str::to_owned),
            path: self.word("path").map(str::to_owned),
            ..Device::default()
        };
        let wanted = Wanted {
            bridge: self.word("bridge").unwrap_or("xenbr0"),
            port,
            mac: mac("mac").unwrap(),
            address: if self.word("address") == Some("none") {
                AddressPolicy::None
            } else {
                AddressPolicy::Keep
            },
            lasting: self.word("lasting").into_iter().map(|ip| ip.parse().unwrap()).collect(),
            vlans: self.word("vlans").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            for_guests: self
                .word("for-guests")
                .unwrap_or_default()
                .split_whitespace()
                .map(|word| word.parse().unwrap())
                .collect(),
            lease: Lease {
                iaid4: self.number("iaid4"),
                iaid6: self.number("iaid6"),
                lent: self.wish.get("lent") == Some(&Value::Bool(true)),
            },
        };
        let host = Host { name: "box".to_owned(), ..Host::default() };
        change(files, &host, &wanted)
    }
}

fn shown(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let weight = format!("{:?}", finding.weight).to_lowercase();
        writeln!(out, "{weight} {}: {}", finding.id, finding.what).unwrap();
        writeln!(out, "  why: {}\n  fix: {}", finding.why, finding.fix).unwrap();
        for at in &finding.at {
            writeln!(out, "  at:  {}:{}", at.path.display(), at.line).unwrap();
        }
    }
    out
}

fn whole(change: &Change) -> String {
    let one = |file: &OwnFile| format!("== {}\n{}", file.path.display(), file.text);
    let files: String = change.files.iter().map(one).collect();
    let findings = shown(&change.findings);
    if findings.is_empty() { files } else { format!("{files}== findings\n{findings}") }
}

#[test]
fn every_case_is_changed_or_refused_as_written() {
    for case in Case::all() {
        match case.change(&case.files) {
            Ok(change) => {
                assert!(
                    !case.folder.join("refused.txt").exists(),
                    "{} was not refused",
                    case.folder.display()
                );
                expect(&case.folder, "change.txt", &whole(&change));
            }
            Err(findings) => {
                let found = shown(&findings);
                assert!(!case.folder.join("change.txt").exists(), "{}: {found}", case.folder.display());
                expect(&case.folder, "refused.txt", &found);
            }
        }
    }
}

/// With ours in place the bridge, its port and a guest's link get ours, and a second look asks for the same files.
#[test]
fn ours_win_and_a_second_change_is_the_same() {
    for case in Case::all() {
        let Ok(first) = case.change(&case.files) else { continue };
        let mut files = case.files.clone();
        files.extend(
            first.files.iter().map(|file| ConfigFile { path: file.path.clone(), text: file.text.clone() }),
        );
        assert_eq!(case.change(&files).unwrap().files, first.files, "{}", case.folder.display());
        let tree = Tree::new(&files, ".network");
        let host = Host { name: "box".to_owned(), ..Host::default() };
        let mac = case.word("mac").unwrap().parse().unwrap();
        let port = Device {
            name: case.word("port").unwrap_or("eno1").to_owned(),
            mac: Some(mac),
            ..Device::default()
        };
        let bridge = Device::bridge(case.word("bridge").unwrap_or("xenbr0"), mac);
        for device in [&port, &bridge, &Device::vif()] {
            let taken = tree.taken(device, &host);
            assert!(taken.uncertain.is_empty(), "{}: {device:?}", case.folder.display());
            let ours = |path: &Path| first.files.iter().any(|file| file.path == path);
            // A file that leaves a guest's link alone may stay the one it gets.
            if device.name == "vif1.0" && taken.unit.is_some_and(Unit::is_unmanaged) {
                continue;
            }
            match taken.unit {
                Some(unit) => assert!(ours(&unit.path), "{}: {}", case.folder.display(), unit.path.display()),
                None => assert_eq!(device.name, "vif1.0", "{}", case.folder.display()),
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(words in proptest::collection::vec(words(), 0..40)) {
        let path = "/etc/systemd/network/20-lan.network".into();
        let case = Case { folder: PathBuf::new(), files: Vec::new(), wish: serde_json::json!({"mac": "52:54:00:00:00:01", "iaid4": 7}) };
        let _ = case.change(&[ConfigFile { path, text: words.concat() }]);
    }
}

fn words() -> impl Strategy<Value = String> {
    let fixed = proptest::sample::select(vec![
        "[Match]\n",
        "Name=",
        "eno1",
        "!",
        "*",
        "[a-",
        "\n",
        "\\\n",
        "[Network]\n",
        "DHCP=",
        "yes",
        "Address=",
        "[DHCPv4]\n",
        "IAID=",
        "[Link]\n",
        "Unmanaged=",
        "#",
        ";",
        "MACAddress=",
        "52:54:00:00:00:01",
        "[",
        "]",
        "=",
        "[Route]\n",
        " ",
    ]);
    proptest::prop_oneof![4 => fixed.prop_map(str::to_owned), 1 => "\\PC{0,9}"]
}
