//! Guests that dom0 routes to, on a booted Debian in a container: made, confirmed, booted, rolled back; a network namespace
//! stands in for each guest. Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use std::path::Path;

use container::roles::{Guest, networkd, picture, there_and_back};
use container::{Container, INSIDE, OUTSIDE, skipped};

/// One address out of the network outside, for which dom0 answers; a network that is sent to dom0, and one behind it.
const ROUTED: &str = "[boot]\ndefault = \"linux\"\n\n\
                      [[routed]]\nname = \"xenbr4\"\naddress = \"10.213.0.2/32\"\nroutes = [\"10.213.0.66/32\"]\nproxy-arp = true\n\n\
                      [[routed]]\nname = \"xenbr5\"\naddress = \"192.168.7.1/28\"\nroutes = [\"192.168.9.0/28\"]\n\n\
                      [[isolated]]\nname = \"xenbr3\"\n";

fn told(guest: &Guest<'_>, words: &str) {
    let said = guest.says(&[&["ip"][..], &words.split(' ').collect::<Vec<_>>()].concat());
    assert!(said.status.success(), "{words}: {said:?}");
}

/// Whether the world outside reaches somebody.
fn is_reached(container: &Container, whom: &str) -> bool {
    let ping = container.outer_program("/usr/bin/ping").args(["-q", "-c", "1", "-w", "5", whom]).output();
    ping.unwrap().status.success()
}

/// How the provider's router sends a network to dom0.
fn sent_to_dom0(container: &Container, network: &str) {
    let words = ["route", "replace", network, "via", INSIDE];
    assert!(container.outer_command("ip").args(words).status().unwrap().success());
}

fn guests_are_reached(container: &Container) {
    let single = Guest::start(container, "single", "xenbr4");
    told(&single, "address add 10.213.0.66/32 dev eth0");
    told(&single, "route add 10.213.0.2 dev eth0");
    told(&single, "route add default via 10.213.0.2");
    assert!(single.reaches("10.213.0.2"), "dom0, its gateway");
    assert!(single.reaches(OUTSIDE), "the world outside, by its own address");
    assert!(is_reached(container, "10.213.0.66"), "and from there: dom0 answers for it");
    assert!(!is_reached(container, "10.213.0.67"), "dom0 answers for no other");
    let (one, two) = (Guest::start(container, "one", "xenbr5"), Guest::start(container, "two", "xenbr5"));
    told(&one, "address add 192.168.7.2/28 dev eth0");
    told(&one, "route add default via 192.168.7.1");
    told(&two, "address add 192.168.9.2/32 dev eth0");
    told(&two, "route add 192.168.7.1 dev eth0");
    told(&two, "route add default via 192.168.7.1");
    for network in ["192.168.7.0/28", "192.168.9.0/28"] {
        sent_to_dom0(container, network);
    }
    assert!(
        is_reached(container, "192.168.7.2") && is_reached(container, "192.168.9.2"),
        "networks sent to dom0"
    );
    assert!(one.reaches("192.168.9.2") && single.reaches("192.168.7.2"), "and guests each other");
    let alone = Guest::start(container, "alone", "xenbr3");
    told(&alone, "address add 192.168.5.1/24 dev eth0");
    told(&alone, "route add default dev eth0");
    assert!(!alone.reaches("192.168.7.2") && !alone.reaches(OUTSIDE), "guests among themselves stay so");
    for link in ["xenbr4", "xenbr5"] {
        let own = container.run(&["ip", "-o", "-6", "address", "show", "dev", link]);
        assert_eq!(own, "", "dom0 has no IPv6 address on {link}");
    }
}

/// From the first plan to the last rollback.
fn whole(name: &str, change: impl FnOnce(&Path)) {
    if skipped() {
        return;
    }
    let mut container = Container::boot_with(name, change);
    let before = picture(&container);
    assert!(before.contains("ip_forward:0") && before.contains("host0/proxy_arp:0"), "{before}");
    there_and_back(&mut container, ROUTED, &before, guests_are_reached);
}

#[test]
fn guests_that_dom0_routes_to_with_ifupdown() {
    whole("routed", |_| ());
}

#[test]
fn guests_that_dom0_routes_to_with_networkd() {
    whole("routed-networkd", networkd);
}
