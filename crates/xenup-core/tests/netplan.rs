//! netplan's files merged: `tests/cases/netplan/<case>/files/` → `merged.json`, or `refused.txt` alone.
//!
//! `netplan.txt`, where a case has it, is what `netplan get` of Debian 13 printed for the same files: its addresses,
//! routes and booleans are looked for in ours.

#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::path::Path;

use cases_of::{expect, folders, optional_text};
use proptest::prelude::{Strategy, proptest};
use xenup_core::inspect::facts::ConfigFile;
use xenup_core::network::netplan::merged;

fn files(case: &Path) -> Vec<ConfigFile> {
    let root = case.join("files");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = Path::new("/").join(path.strip_prefix(&root).unwrap());
                found.push(ConfigFile { path: inside, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found
}

#[test]
fn every_case_is_merged_or_refused_as_written() {
    for case in folders("netplan") {
        match merged(&files(&case)) {
            Ok(devices) => {
                assert!(!case.join("refused.txt").exists(), "{} was not refused", case.display());
                expect(&case, "merged.json", &(serde_json::to_string_pretty(&devices).unwrap() + "\n"));
            }
            Err(error) => {
                assert!(!case.join("merged.json").exists(), "{}: {error}", case.display());
                expect(&case, "refused.txt", &format!("{error}\n"));
            }
        }
    }
}

/// netplan's own merged view has the same devices, and the same addresses in the same order.
#[test]
fn netplan_says_the_same() {
    let mut compared = 0;
    for case in folders("netplan") {
        let Some(said) = optional_text(&case, "netplan.txt") else { continue };
        let path = "/etc/netplan/said.yaml".into();
        let theirs = merged(&[ConfigFile { path, text: said }]).unwrap();
        let plain = |devices: Vec<xenup_core::network::netplan::NetplanDevice>| -> Vec<_> {
            devices
                .into_iter()
                .map(|mut device| {
                    device.files.clear();
                    device
                })
                .collect()
        };
        assert_eq!(plain(merged(&files(&case)).unwrap()), plain(theirs), "{}", case.display());
        compared += 1;
    }
    assert!(compared >= 2, "{compared} cases have netplan's own words");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(words in proptest::collection::vec(words(), 0..40)) {
        let path = "/etc/netplan/50.yaml".into();
        let _ = merged(&[ConfigFile { path, text: words.concat() }]);
    }
}

fn words() -> impl Strategy<Value = String> {
    let fixed = proptest::sample::select(vec![
        "network:\n",
        "  ethernets:\n",
        "    eno1:\n",
        "      dhcp4: ",
        "yes\n",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "- ",
        "&a ",
        "*a",
        "!!str ",
        "|\n",
        ">\n",
        "      ",
        "\n",
        "\t",
        "#",
        "'",
        "\"",
        "addresses: ",
        "192.0.2.1/24",
        "---\n",
        "<<: ",
    ]);
    proptest::prop_oneof![4 => fixed.prop_map(str::to_owned), 1 => "\\PC{0,9}"]
}
