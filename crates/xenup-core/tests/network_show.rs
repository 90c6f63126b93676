//! Pictures: tests/cases/network-show/<case>/ holds `facts.json` (a case's name in tests/cases/inspect or plan where it
//! is one line), perhaps `host.toml` (what a plan is made for), and the expected `picture.txt` and `picture.svg`.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::collections::BTreeSet;
use std::path::Path;

use cases_of::{expect, folders, optional_text, text};
use xenup_core::host::{Host, PATH};
use xenup_core::inspect::Facts;
use xenup_core::network::plan::plan;
use xenup_core::network::show::{Kind, Picture};
use xenup_engine::action::Action;
use xenup_machine::fake::FakeMachine;
use xenup_machine::network::{Address, Network, Route};
use xenup_machine::{Machine as _, Probe as _};

fn facts(case: &Path) -> Facts {
    let json = text(case, "facts.json");
    let json = match json.trim().split_once('/') {
        Some(_) if !json.contains('{') => text(&case.join("../..").join(json.trim()), "facts.json"),
        _ => json,
    };
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{}: {error}", case.display()))
}

/// The picture of a case, and of what the network's part of a plan for its host.toml leaves.
fn picture(case: &Path) -> Picture {
    let facts = facts(case);
    let Some(host) = optional_text(case, "host.toml") else { return Picture::of(&facts) };
    let host = Host::parse(Path::new(PATH), host.as_bytes()).unwrap();
    let planned = plan(&facts, &host).unwrap_or_else(|found| panic!("{}: {found:?}", case.display()));
    Picture::with(&facts, planned.steps.iter().map(|step| &step.action)).unwrap()
}

#[test]
fn every_case_is_drawn_as_expected() {
    for case in folders("network-show") {
        let picture = picture(&case);
        let json = serde_json::to_string(&picture).unwrap();
        assert_eq!(serde_json::from_str::<Picture>(&json).unwrap(), picture, "{}", case.display());
        expect(&case, "picture.txt", &picture.text());
        expect(&case, "picture.svg", &picture.svg());
    }
}

#[test]
fn no_line_is_wider_than_a_terminal_unless_one_word_is() {
    for case in folders("network-show") {
        for line in picture(&case).text().lines() {
            let long_word = line.split(' ').any(|word| word.chars().count() > 60);
            assert!(line.chars().count() <= 80 || long_word, "{}: {line}", case.display());
            assert!(line.is_ascii() || case.ends_with("hostile-names"), "{}: {line}", case.display());
        }
    }
}

#[test]
fn an_svg_refers_to_nothing_outside_it_and_is_well_formed() {
    for case in folders("network-show") {
        let svg = picture(&case).svg();
        for word in ["href", "<script", "<style", "url(", "@import", "<image", "foreignObject"] {
            assert!(!svg.contains(word), "{}: {word}", case.display());
        }
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{}", case.display());
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{}: {open:?}", case.display());
        assert!(svg.chars().all(|c| c == '\n' || !c.is_control()), "{}", case.display());
    }
}

/// What is drawn of a network: masters, addresses, default routes.
fn seen(network: &Network) -> BTreeSet<String> {
    let address = |address: &Address| !address.is_link_local();
    let default = |route: &&Route| route.destination.is_none() && route.table == 254;
    let links = network.links.iter().map(|link| format!("{} in {:?}", link.name, link.master));
    let addresses = network
        .addresses
        .iter()
        .filter(|entry| address(&entry.address))
        .map(|entry| format!("{} on {}", entry.address, entry.link));
    let routes =
        network.routes.iter().filter(default).map(|route| format!("{:?} by {:?}", route.gateway, route.link));
    links.chain(addresses).chain(routes).collect()
}

/// Every plan of tests/cases/plan: what is drawn of its end is what a kernel (the fake one) comes to.
#[test]
fn what_a_plan_leaves_is_what_a_kernel_would_come_to() {
    let mut compared = 0;
    for case in folders("plan") {
        let facts: Facts = serde_json::from_str(&text(&case, "facts.json")).unwrap();
        let host = Host::parse(Path::new(PATH), text(&case, "host.toml").as_bytes()).unwrap();
        let Ok(planned) = plan(&facts, &host) else { continue };
        let actions: Vec<&Action> = planned.steps.iter().map(|step| &step.action).collect();
        let mut machine = FakeMachine::new();
        machine.connect(facts.network.kernel.clone());
        for action in &actions {
            if let Action::Links { ops, .. } = action {
                machine.change_links(ops).unwrap();
                compared += 1;
            }
        }
        let drawn = Picture::with(&facts, actions).unwrap().after.unwrap();
        let expected = seen(&machine.network().unwrap());
        let mut actual = BTreeSet::new();
        for link in drawn.links {
            actual.insert(format!("{} in {:?}", link.name, link.master));
            actual.extend(link.addresses.iter().map(|address| format!("{address} on {}", link.name)));
            for gateway in link.gateways {
                actual.insert(format!("Some({gateway}) by Some({:?})", link.name));
            }
        }
        let drawable = |line: &String| !line.starts_with("lo in") && !line.ends_with(" on lo");
        let expected: BTreeSet<String> = expected.into_iter().filter(drawable).collect();
        assert_eq!(actual, expected, "{}", case.display());
    }
    assert!(compared >= 12, "{compared} plans change links");
}

#[test]
fn guests_are_known_by_the_names_of_their_links() {
    let mut seen = 0;
    for case in folders("network-show") {
        let picture = picture(&case);
        for link in &picture.before.links {
            assert_eq!(link.guest.is_some(), link.kind == Kind::Vif, "{}", link.name);
            seen += usize::from(link.guest.is_some());
        }
    }
    assert!(seen >= 4, "{seen} vifs");
}
