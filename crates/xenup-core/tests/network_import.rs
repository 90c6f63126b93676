//! Old networks: tests/cases/network-import/<case>/ is a captured machine (see `inspect/captured.rs`), and `expected/`
//! holds the `host.toml` that comes of it with `report.txt` (bridges, guests, findings), or `error.txt` alone.
//! `XENUP_UPDATE_CASES=1` writes what came out: read it before you commit it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its own case folders")]

#[path = "inspect/captured.rs"]
mod captured;
mod cases_of;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use captured::Captured;
use proptest::prelude::*;
use xenup_core::host::Host;
use xenup_core::inspect::Weight;
use xenup_core::network::import::{Import, Said, import, parse_sexp};

type Files = BTreeMap<&'static str, String>;

fn outcome(case: &Path) -> Files {
    match import(&Captured::open(case)) {
        Err(error) => Files::from([("error.txt", format!("{error}\nhint: {}\n", error.hint()))]),
        Ok(import) => {
            let report = report(&import);
            Files::from([("host.toml", import.host_toml), ("report.txt", report)])
        }
    }
}

fn report(import: &Import) -> String {
    let mut out = String::new();
    if let Some(ruled) = &import.rule {
        writeln!(out, "rule {:?}: {}", ruled.rule, ruled.why).unwrap();
    }
    let said = |said: &Said| said.value.clone();
    for bridge in &import.bridges {
        let mac = bridge.mac.as_ref().map(said).unwrap_or_default();
        let line = format!(
            "bridge {} (was {}) over {} {} {mac}",
            bridge.name.value, bridge.was.value, bridge.port.value, bridge.address.value
        );
        writeln!(out, "{}", line.trim_end()).unwrap();
    }
    for vif in &import.guests {
        let asks = vif.asks.as_deref().unwrap_or("nothing");
        let gets = vif.gets.as_deref().unwrap_or("nothing");
        let at = format!("{}:{}", vif.at.path.display(), vif.at.line);
        writeln!(out, "guest {} asks for {asks}, gets {gets} ({at})", vif.guest).unwrap();
    }
    out.push_str(&cases_of::findings(&import.findings));
    out
}

#[test]
fn every_case_comes_to_what_is_expected() {
    cases_of::every_case("network-import", 25, outcome);
}

fn imports() -> impl Iterator<Item = (String, Import)> {
    cases_of::folders("network-import").into_iter().filter_map(|case| {
        let import = import(&Captured::open(&case)).ok()?;
        Some((case.display().to_string(), import))
    })
}

#[test]
fn every_host_toml_is_read_back_and_says_the_same() {
    let mut seen = 0;
    for (name, import) in imports() {
        let host = Host::parse(Path::new("host.toml"), import.host_toml.as_bytes())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let read: Vec<(&str, &str)> =
            host.bridges.iter().map(|bridge| (bridge.name.as_str(), bridge.port.as_str())).collect();
        let said: Vec<(&str, &str)> = import
            .bridges
            .iter()
            .map(|bridge| (bridge.name.value.as_str(), bridge.port.value.as_str()))
            .collect();
        assert_eq!(read, said, "{name}");
        seen += read.len();
    }
    assert!(seen >= 25, "only {seen} bridges");
}

#[test]
fn nothing_is_dropped_without_a_word() {
    for (name, import) in imports() {
        for finding in &import.findings {
            assert!(!finding.fix.is_empty() && !finding.why.is_empty(), "{name}: {}", finding.id);
            for text in [&finding.what, &finding.why, &finding.fix] {
                assert!(!text.ends_with(['.', '!', '\n']), "{name}: {text}");
            }
            if finding.weight != Weight::Blocks {
                assert!(import.host_toml.contains(&format!("[{}]", finding.id)), "{name}: {}", finding.id);
            }
        }
        assert!(
            !import.bridges.is_empty()
                || import.findings.iter().any(|finding| finding.weight == Weight::Blocks),
            "{name}"
        );
        let json = serde_json::to_string(&import).unwrap();
        assert_eq!(serde_json::from_str::<Import>(&json).unwrap(), import, "{name}");
    }
}

/// docs/network-import.md names every finding, and every finding has a case.
#[test]
fn every_finding_has_a_case_and_is_in_the_handbook() {
    let handbook =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/network-import.md"))
            .unwrap();
    let words = handbook.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("import-")).collect();
    let all: Vec<Import> = imports().map(|(_, import)| import).collect();
    let found: BTreeSet<&str> =
        all.iter().flat_map(|import| &import.findings).map(|finding| finding.id.as_str()).collect();
    assert_eq!(named, found);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_sexp(Path::new("x"), &bytes);
    }

    #[test]
    fn what_is_nearly_an_s_expression_is_read_or_refused(
        text in r#"([()'"\\#a-z0-9 =\n!x]){0,200}"#
    ) {
        if let Err(error) = parse_sexp(Path::new("x"), text.as_bytes()) {
            prop_assert!(error.to_string().starts_with("x:"));
        }
    }
}
