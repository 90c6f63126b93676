//! A bridge over a NIC of NetworkManager's, on a booted Debian in a container: made, confirmed, booted, rolled back.
//! Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use container::cable::{LONG, Server, Traffic, address, confirm, roll_back, write_plan};
use container::{Container, INSIDE, OUTSIDE, Suite, skipped};
use xenup_core::inspect::Facts;
use xenup_core::network::manager::{Port, chosen, profiles};

const PROFILES: &str = "/etc/NetworkManager/system-connections";
const LAN: &str = "/etc/NetworkManager/system-connections/lan.nmconnection";
/// For what nobody confirms.
const SHORT: &str = "60";
const HOST: &str =
    "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"host0\"]\naddress = \"keep\"\n";

/// Gives the network to NetworkManager, with this profile; without one it makes one itself. Without udev nothing says that
/// a veth is no NIC, and NetworkManager waits for that word unless its configuration says it.
fn manager(dir: &Path, lan: Option<&str>) {
    std::fs::write(dir.join("etc/network/interfaces"), "auto lo\niface lo inet loopback\n").unwrap();
    let conf = "[device-test]\nmatch-device=interface-name:host0;interface-name:xenbr0\nmanaged=1\n";
    std::fs::write(dir.join("etc/NetworkManager/conf.d/test.conf"), conf).unwrap();
    if let Some(lan) = lan {
        let path = dir.join(&LAN[1..]);
        std::fs::write(&path, lan).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Another profile for the NIC, of a smaller priority; and one that is not brought up, of a greater.
fn rivals(dir: &Path) {
    for (name, rest) in
        [("spare", "autoconnect-priority=-5\n"), ("never", "autoconnect-priority=5\nautoconnect=false\n")]
    {
        let path = dir.join(&PROFILES[1..]).join(format!("{name}.nmconnection"));
        let text = format!("[connection]\nid={name}\ntype=ethernet\n{rest}\n[ipv4]\nmethod=disabled\n");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Which profile the NIC gets, by the files alone, by what `inspect` says, and by NetworkManager itself.
fn is_whose_networkmanager_says(container: &Container) {
    let mut said: serde_json::Value =
        serde_json::from_str(&container.run(&["xenup", "inspect", "--json"])).unwrap();
    let facts: Facts = serde_json::from_value(said["facts"].take()).unwrap();
    let said = container.run(&["nmcli", "-t", "-f", "DEVICE,FILENAME", "connection", "show", "--active"]);
    let oracle = said.lines().find_map(|line| line.strip_prefix("host0:")).unwrap();
    let nic = facts.network.nic("host0").unwrap();
    assert_eq!(nic.owners.first().unwrap().at.first().unwrap().path, Path::new(oracle));
    let all = profiles(&facts.network.files);
    let next = chosen(&all, &Port::of(nic, &facts.network.kernel), None);
    assert_eq!(next.iter().map(|one| one.path.as_path()).collect::<Vec<_>>(), [Path::new(oracle)]);
}

fn fixed() -> String {
    format!(
        "# by hand\n[connection]\nid=lan\nuuid=7c2e5b1e-51a4-4d0c-8d8e-0d6f5d9f4a10\ntype=ethernet\ninterface-name=host0\n\n\
         [ipv4]\nmethod=manual\naddress1={INSIDE}/24,{OUTSIDE}\n\n[ipv6]\nmethod=link-local\n"
    )
}

/// Every file of the network with its bytes and attributes, and what the kernel has.
fn picture(container: &Container) -> String {
    let files = container.run(&[
        "sh",
        "-c",
        "cd / && find etc/network etc/NetworkManager etc/systemd ! -type d -exec stat -c '%n %U:%G %a %Y %N' {} + | sort; \
         find etc/network etc/NetworkManager etc/systemd -type f -exec md5sum {} + | sort",
    ]);
    format!("{files}{}", addresses(container))
}

/// Links, addresses and routes, without what counts down.
fn addresses(container: &Container) -> String {
    let said = container.run(&[
        "sh",
        "-c",
        "ip -o -4 address show | cut -d' ' -f2- | sed 's/ brd [0-9.]*//'; ip -4 route show; \
         ip -o link show type bridge | cut -d' ' -f2; bridge link | cut -d' ' -f2,7,8",
    ]);
    said.lines().map(|line| line.split("valid_lft").next().unwrap().trim()).collect::<Vec<_>>().join("\n")
}

/// What a failed assertion needs beside its own words.
fn says(container: &Container) -> String {
    let script = "nmcli device; nmcli connection; ip address; ip route; journalctl --no-pager -o cat -n 80 -u NetworkManager";
    String::from_utf8_lossy(&container.output(&["sh", "-c", script]).stdout).into_owned()
}

/// Makes the bridge; `deadline` is in seconds.
fn apply(container: &Container, deadline: &str) {
    write_plan(container, HOST);
    let output = container.output(&["xenup", "apply", "/root/plan.json", "--yes", "--deadline", deadline]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{words}\n{}", says(container));
}

/// Ends the traffic. How much of it was lost is printed and no more, since a busy machine loses some by itself; that the
/// machine answers again is asked for.
fn answers_after(traffic: Traffic, container: &Container, at: &str) {
    traffic.end();
    let answer =
        container.outer_program("/usr/bin/ping").args(["-q", "-c", "1", "-w", "60", at]).output().unwrap();
    assert!(answer.status.success(), "{at} is lost for good: {answer:?}\n{}", says(container));
}

/// Which profiles are active, by name and link: what NetworkManager itself says of who has what.
fn active(container: &Container) -> String {
    container.run(&["nm-online", "-q", "-s", "-t", "60"]);
    let said = container.run(&["nmcli", "-t", "-f", "NAME,DEVICE,STATE", "connection", "show", "--active"]);
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("lo:")).collect();
    lines.sort_unstable();
    lines.join(" ")
}

const OURS: &str = "host0 in xenbr0:host0:activated xenbr0:xenbr0:activated";

fn bridged(container: &Container) {
    assert_eq!(active(container), OURS, "{}", says(container));
}

/// Each test is one Debian's, and its whole life: the same of both.
fn a_static_address(suite: Suite) {
    if skipped() {
        return;
    }
    let name = format!("nm-{}", suite.name());
    let mut container = Container::boot_managed(&name, suite, |dir| {
        manager(dir, Some(&fixed()));
        rivals(dir);
    });
    assert_eq!(active(&container), "lan:host0:activated");
    is_whose_networkmanager_says(&container);
    let before = picture(&container);
    let traffic = Traffic::begin(&container, INSIDE);
    apply(&container, LONG);
    answers_after(traffic, &container, INSIDE);
    bridged(&container);
    assert_eq!(container.read(LAN), fixed());
    confirm(&container, INSIDE);
    let traffic = Traffic::begin(&container, INSIDE);
    roll_back(&container, INSIDE);
    answers_after(traffic, &container, INSIDE);
    assert_eq!(active(&container), "lan:host0:activated", "{}", says(&container));
    assert_eq!(picture(&container), before, "{}", says(&container));
    apply(&container, LONG);
    confirm(&container, INSIDE);
    let made = picture(&container);
    is_the_same_after_a_boot(&mut container, OURS, &made);
    // What NetworkManager made at this boot is taken back at once, and stays so over the next one.
    roll_back(&container, INSIDE);
    assert_eq!(active(&container), "lan:host0:activated", "{}", says(&container));
    assert_eq!(picture(&container), before, "{}", says(&container));
    is_the_same_after_a_boot(&mut container, "lan:host0:activated", &before);
}

fn is_the_same_after_a_boot(container: &mut Container, profiles: &str, expected: &str) {
    container.reboot();
    assert_eq!(active(container), profiles, "{}", says(container));
    assert_eq!(picture(container), expected, "{}", says(container));
}

#[test]
fn a_static_address_moves_stays_over_a_boot_and_comes_back_on_debian_12() {
    a_static_address(Suite::Bookworm);
}

#[test]
fn a_static_address_moves_stays_over_a_boot_and_comes_back_on_debian_13() {
    a_static_address(Suite::Trixie);
}

/// With a profile for any NIC, and with the one that NetworkManager makes where there is none.
fn a_lease(suite: Suite, lan: Option<&str>, profile: &str) {
    if skipped() {
        return;
    }
    let name = format!("nm-dhcp-{}", suite.name());
    let mut container = Container::boot_managed(&name, suite, |dir| manager(dir, lan));
    let server = Server::begin(&container);
    lent(&container, "host0");
    assert_eq!(active(&container), profile);
    let before = picture(&container);
    let at = address(&container, "host0");
    let asked = server.log(&container).matches("DHCPDISCOVER").count();
    let traffic = Traffic::begin(&container, &at);
    apply(&container, SHORT);
    answers_after(traffic, &container, &at);
    assert_eq!(address(&container, "xenbr0"), at);
    bridged(&container);
    let log = server.log(&container);
    assert!(!log.contains("DHCPRELEASE"), "{log}");
    assert_eq!(log.matches("DHCPDISCOVER").count(), asked, "the bridge asked as a stranger:\n{log}");
    // Nobody confirms: the files and the links come back, and the lease is the same.
    container.wait_for_end(container.pid_of("xenup-guard-"));
    assert_eq!(active(&container), profile, "{}", says(&container));
    assert_eq!(picture(&container), before, "{}", says(&container));
    apply(&container, LONG);
    confirm(&container, &at);
    container.reboot();
    let server = server.again(&container);
    lent(&container, "xenbr0");
    bridged(&container);
    assert_eq!(address(&container, "xenbr0"), at);
    let leases = server.leases(&container);
    assert_eq!(leases.lines().count(), 1, "one client, one lease:\n{leases}");
    // In another boot than the one it was made in, a rollback gives the NIC its lease again.
    roll_back(&container, &at);
    lent(&container, "host0");
    assert_eq!(address(&container, "host0"), at);
    assert_eq!(active(&container), profile, "{}", says(&container));
}

/// Waits until a link has an IPv4 address: the link's end outside comes up after NetworkManager has begun to ask.
fn lent(container: &Container, link: &str) {
    let script = format!("until ip -4 -o address show dev {link} | grep -q inet; do sleep 0.2; done");
    container.run(&["timeout", "120", "sh", "-c", &script]);
}

#[test]
fn a_lease_moves_with_the_identity_of_its_client_on_debian_12() {
    let lan = "[connection]\nid=lan\nuuid=7c2e5b1e-51a4-4d0c-8d8e-0d6f5d9f4a10\ntype=ethernet\n\n[ipv4]\nmethod=auto\n\n\
               [ipv6]\nmethod=ignore\n";
    a_lease(Suite::Bookworm, Some(lan), "lan:host0:activated");
}

#[test]
fn the_profile_that_networkmanager_makes_itself_moves_on_debian_13() {
    a_lease(Suite::Trixie, None, "Wired connection 1:host0:activated");
}
