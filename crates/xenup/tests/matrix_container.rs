//! The way to a bridge and back for each owner of a Debian network, on Debian 12 and 13, with one NIC and with three in three
//! roles: applied, confirmed, booted, rolled back, booted. Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use container::cable::{confirm, roll_back};
use container::owners::{OWN, Owner, advertised, picture, says, settled};
use container::roles::apply;
use container::{Container, Suite, skipped};

const SHARED: &str =
    "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"host0\"]\naddress = \"keep\"\n";
const FOR_GUESTS: &str = "\n[[bridge]]\nname = \"xenbr1\"\nports = [\"host1\"]\naddress = \"none\"\n";

/// What holds while the bridges are there.
fn roles_hold(container: &Container, nics: usize, at: &str) {
    answers(container, at);
    if nics == 1 {
        return;
    }
    let ports = container.run(&[
        "sh",
        "-c",
        "bridge link | sed -n 's/.*: \\(host[0-9]\\).*master \\([a-z0-9]*\\).*/\\1 \\2/p'",
    ]);
    assert!(ports.contains("host1 xenbr1") && !ports.contains("host2"), "{ports}\n{}", says(container));
    let there = container.run(&["sh", "-c", "ip -o address show dev xenbr1; ip -o address show dev host1"]);
    assert_eq!(there, "", "dom0 has no address where guests are alone");
    answers(container, OWN);
}

fn answers(container: &Container, at: &str) {
    let ping = ["-q", "-c", "1", "-w", "60", at];
    let answer = container.outer_program("/usr/bin/ping").args(ping).output().unwrap();
    assert!(answer.status.success(), "{at}: {answer:?}\n{}", says(container));
}

/// The whole way of one row.
fn there_and_back(owner: Owner, suite: Suite, nics: usize) {
    let name = format!("{}-{}-{nics}", owner.name(), suite.name());
    let host = if nics == 1 { SHARED.to_owned() } else { format!("{SHARED}{FOR_GUESTS}") };
    let mut container = owner.boot(&name, suite, nics);
    let at = settled(&container, owner, "host0");
    let six = |container: &Container, link| owner.is_lent().then(|| advertised(container, link));
    let at_six = six(&container, "host0");
    let before = picture(&container);
    apply(&container, &host);
    roles_hold(&container, nics, &at);
    assert_eq!(six(&container, "xenbr0"), at_six, "{name}");
    confirm(&container, &at);
    let made = picture(&container);
    container.reboot();
    assert_eq!(settled(&container, owner, "xenbr0"), at, "{name}");
    assert_eq!(six(&container, "xenbr0"), at_six, "{name}: after a boot");
    roles_hold(&container, nics, &at);
    assert_eq!(picture(&container), made, "{name}: after a boot\n{}", says(&container));
    roll_back(&container, &at);
    assert_eq!(settled(&container, owner, "host0"), at, "{name}");
    assert_eq!(six(&container, "host0"), at_six, "{name}: after the rollback");
    assert_eq!(picture(&container), before, "{name}: after the rollback\n{}", says(&container));
    container.reboot();
    assert_eq!(settled(&container, owner, "host0"), at, "{name}");
    assert_eq!(picture(&container), before, "{name}: after a rollback and a boot\n{}", says(&container));
    println!("{name}: applied, confirmed, booted, rolled back, booted: as it was");
}

fn rows(owner: Owner, suite: Suite) {
    if skipped() {
        return;
    }
    for nics in [1, 3] {
        there_and_back(owner, suite, nics);
    }
}

#[test]
fn ifupdown_with_a_static_address_on_debian_12() {
    rows(Owner::IfupdownStatic, Suite::Bookworm);
}

#[test]
fn ifupdown_with_a_static_address_on_debian_13() {
    rows(Owner::IfupdownStatic, Suite::Trixie);
}

#[test]
fn ifupdown_with_a_lease_on_debian_12() {
    rows(Owner::IfupdownDhcp, Suite::Bookworm);
}

#[test]
fn ifupdown_with_a_lease_on_debian_13() {
    rows(Owner::IfupdownDhcp, Suite::Trixie);
}

#[test]
fn networkd_on_debian_12() {
    rows(Owner::Networkd, Suite::Bookworm);
}

#[test]
fn networkd_on_debian_13() {
    rows(Owner::Networkd, Suite::Trixie);
}

#[test]
fn netplan_on_debian_12() {
    rows(Owner::Netplan, Suite::Bookworm);
}

#[test]
fn netplan_on_debian_13() {
    rows(Owner::Netplan, Suite::Trixie);
}

#[test]
fn networkmanager_on_debian_12() {
    rows(Owner::NetworkManager, Suite::Bookworm);
}

#[test]
fn networkmanager_on_debian_13() {
    rows(Owner::NetworkManager, Suite::Trixie);
}
