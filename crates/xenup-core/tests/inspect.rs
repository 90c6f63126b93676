//! tests/cases/inspect: a captured machine, and the facts, findings and host.toml that come of it.
//!
//! Beside what `inspect/captured.rs` describes, a case may have `ports` (the NICs to bridge, one a line),
//! `ssh` (SSH_CONNECTION), `facts.json` (all facts expected) and `host.toml` (what init proposes).
//! `findings.txt` is expected in every case.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

#[path = "inspect/captured.rs"]
mod captured;
mod cases_of;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use captured::Captured;
use xenup_core::host::{Host, from_facts};
use xenup_core::inspect::findings::CHECKS;
use xenup_core::inspect::{Facts, Finding, Surroundings, findings, gather};

fn facts(case: &Path) -> Facts {
    let ssh = cases_of::optional_text(case, "ssh").map(|text| text.trim().to_owned());
    gather(&Captured::open(case), &Surroundings { ssh_connection: ssh })
}

fn found(case: &Path, facts: &Facts) -> Vec<Finding> {
    let ports = cases_of::optional_text(case, "ports");
    let ports: Option<Vec<&str>> = ports.as_deref().map(|text| text.lines().collect());
    findings(facts, ports.as_deref())
}

fn shown(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let weight = format!("{:?}", finding.weight).to_lowercase();
        writeln!(out, "{weight} {}: {}", finding.id, finding.what).unwrap();
        writeln!(out, "  why: {}", finding.why).unwrap();
        writeln!(out, "  fix: {}", finding.fix).unwrap();
        for at in &finding.at {
            writeln!(out, "  at:  {}:{}", at.path.display(), at.line).unwrap();
        }
    }
    out
}

#[test]
fn every_case_gives_its_facts_and_findings() {
    for case in cases_of::folders("inspect") {
        let facts = facts(&case);
        if case.join("facts.json").exists() {
            let json = serde_json::to_string_pretty(&facts).unwrap();
            cases_of::expect(&case, "facts.json", &(json + "\n"));
        }
        if case.join("host.toml").exists() {
            cases_of::expect(&case, "host.toml", &from_facts(&facts));
        }
        cases_of::expect(&case, "findings.txt", &shown(&found(&case, &facts)));
    }
}

/// A later name has the last word, a folder before another hides its file of the same name, and what the kernel would change
/// along with the switch of all is known before.
#[test]
fn what_forwarding_would_meet_is_known() {
    let cases = cases_of::folders("inspect");
    let case = cases.iter().find(|case| case.ends_with("forwarding-off-at-boot")).unwrap();
    let network = facts(case).network;
    let off = network.forwarding_off.map(|at| (at.path.display().to_string(), at.line));
    assert_eq!(off, Some(("/etc/sysctl.d/70-hardened.conf".to_owned(), 2)));
    assert!(!network.forwarding && network.refuses_redirects);
    assert_eq!(network.forwards_from, ["eno1"]);
}

/// systemd-networkd would be taken for the owner of a NIC that one of Debian's files for containers fits.
#[test]
fn an_empty_control_group_is_no_service_that_runs() {
    let cases = cases_of::folders("inspect");
    let case = cases.iter().find(|case| case.ends_with("control-groups-left-behind")).unwrap();
    assert_eq!(facts(case).services.active, ["ssh.service"]);
}

#[test]
fn every_check_has_a_case_that_it_finds() {
    let mut hit = BTreeSet::new();
    for case in cases_of::folders("inspect") {
        hit.extend(found(&case, &facts(&case)).into_iter().map(|finding| finding.id));
    }
    let missing: Vec<&str> = CHECKS.iter().map(|check| check.id).filter(|id| !hit.contains(*id)).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

#[test]
fn no_finding_ends_in_a_full_stop_or_lacks_a_fix() {
    for case in cases_of::folders("inspect") {
        for finding in found(&case, &facts(&case)) {
            for text in [&finding.what, &finding.why, &finding.fix] {
                assert!(!text.is_empty() && !text.ends_with(['.', '!', '\n']), "{}: {text}", finding.id);
            }
        }
    }
}

#[test]
fn facts_survive_being_written_and_read() {
    for case in cases_of::folders("inspect") {
        let facts = facts(&case);
        let json = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), facts, "{}", case.display());
    }
}

#[test]
fn what_init_proposes_is_read_back_without_a_fault() {
    for case in cases_of::folders("inspect") {
        let text = from_facts(&facts(&case));
        if let Err(error) = Host::parse(Path::new("host.toml"), text.as_bytes()) {
            panic!("{}: {error}\n{text}", case.display());
        }
    }
}
