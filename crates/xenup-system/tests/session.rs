//! Sessions on captured `/proc` trees: `tests/cases/session/<case>/` holds `proc/`, `input.json` and `expected.json`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read their cases")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use xenup_machine::network::{Address, LinkAddress, Network};
use xenup_system::session::{Connection, Session, session};
use xenup_system::{Environment, System};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    pid: u32,
    ssh_connection: Option<String>,
}

fn cases() -> Vec<PathBuf> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/session");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn captured_sessions_are_recognised() {
    let cases = cases();
    assert!(cases.len() >= 12, "the cases are there");
    for case in cases {
        let text = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        let input: Input = serde_json::from_str(&text("input.json")).unwrap();
        let expected: Session = serde_json::from_str(&text("expected.json")).unwrap();
        let tree = System::tree(&case).unwrap();
        let found = session(&tree, input.pid, input.ssh_connection.as_deref()).unwrap();
        assert_eq!(found, expected, "{}", case.display());
    }
}

#[test]
fn this_process_has_a_chain_that_begins_with_itself() {
    let machine = System::running().unwrap();
    let environment = Environment::read();
    let found = session(&machine, environment.pid, None).unwrap();
    assert!(found.chain.first().is_some_and(|name| name.starts_with("session-")), "{:?}", found.chain);
    assert!(session(&machine, u32::MAX, None).unwrap_err().is_not_found());
}

#[test]
fn only_a_later_connection_from_elsewhere_proves_anything() {
    let here: std::net::IpAddr = "192.0.2.10".parse().unwrap();
    let address = LinkAddress { link: "xenbr0".to_owned(), address: Address::new(here, 24) };
    let network = Network { addresses: vec![address], ..Network::default() };
    let made = |peer: &str| Connection {
        pid: 930,
        started_ns: 50_000_000,
        local: Some(here),
        peer: peer.parse().ok(),
    };
    let connection = made("198.51.100.7");
    assert!(connection.made_after(50_000_000) && !connection.made_after(50_000_001));
    assert_eq!(connection.link(&network), Some("xenbr0"));
    assert!(connection.comes_from_outside(&network));
    for inside in ["127.0.0.1", "::1", "192.0.2.10", "unknown"] {
        assert!(!made(inside).comes_from_outside(&network), "{inside}");
    }
}
