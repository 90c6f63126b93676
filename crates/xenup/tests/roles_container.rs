//! Guests behind dom0's address, and guests among themselves, on a booted Debian in a container: made, confirmed, booted,
//! rolled back; a network namespace stands in for each guest. Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use std::path::Path;
use std::process::Child;

use container::cable::{confirm, roll_back};
use container::roles::{Guest, applied, apply, networkd, picture, there_and_back};
use container::{Container, INSIDE, OUTSIDE, skipped};

const ROLES: &str = "[boot]\ndefault = \"linux\"\n\n[[nat]]\nname = \"xenbr2\"\nsubnet = \"10.77.0.0/24\"\n\n\
                    [[isolated]]\nname = \"xenbr3\"\n";
const OLD_NAMES: &str = "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nalso = [\"eth0\"]\n\
                         ports = [\"host0\"]\naddress = \"keep\"\n";
const ONE_MORE: &str = "[[nat]]\nname = \"xenbr4\"\nsubnet = \"10.78.0.0/24\"\n";
/// Both are lost in a change of the switch of all links, unless somebody sees to them.
const SWITCHES: &str = "net.ipv4.conf.all.accept_redirects = 0\nnet.ipv4.conf.host0.forwarding = 1\n";

/// A name server outside, which knows one name.
struct Names(Child);

impl Names {
    fn begin(container: &Container) -> Self {
        let mut server = container.outer_program("/usr/sbin/dnsmasq");
        server.args(["-k", "--user=root", "--no-resolv", "--no-hosts", "--pid-file=", "--bind-interfaces"]);
        server.args(["--except-interface=lo", &format!("--listen-address={OUTSIDE}")]);
        server.arg(format!("--address=/outside.example/{OUTSIDE}"));
        Self(server.spawn().unwrap())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What guests can reach and what they cannot, from a fresh pair on each bridge.
fn guests_have_what_they_should(container: &Container) {
    let _names = Names::begin(container);
    let guest = Guest::start(container, "web", "xenbr2");
    let address = guest.asks();
    assert!(address.starts_with("10.77.0."), "{address}");
    assert!(guest.reaches("10.77.0.1"), "its gateway");
    // Nobody outside knows a way to 10.77.0.0/24: an answer means that dom0's address was asked.
    assert!(guest.reaches(OUTSIDE), "the world outside");
    assert!(guest.reaches("outside.example"), "the world outside, by name");
    for verb in ["start", "reload", "restart", "stop"] {
        container.run(&["systemctl", verb, "nftables.service"]);
        assert!(guest.reaches(OUTSIDE), "the world outside, after nftables.service: {verb}");
    }
    outside_cannot_begin(container, &address);
    let (one, other) = (Guest::start(container, "one", "xenbr3"), Guest::start(container, "other", "xenbr3"));
    for (guest, ip) in [(&one, "192.168.5.1/24"), (&other, "192.168.5.2/24")] {
        assert!(guest.says(&["ip", "address", "add", ip, "dev", "eth0"]).status.success());
        assert!(guest.says(&["ip", "route", "add", "default", "dev", "eth0"]).status.success());
    }
    assert!(one.reaches("192.168.5.2"), "guests among themselves");
    assert!(!one.reaches(OUTSIDE) && !one.reaches(&address) && !one.reaches(INSIDE), "and nobody else");
    let own = container.run(&["ip", "-o", "address", "show", "dev", "xenbr3"]);
    assert_eq!(own, "", "dom0 has no address there, IPv6 included");
    let own = container.run(&["ip", "-o", "-6", "address", "show", "dev", "xenbr2"]);
    assert_eq!(own, "", "dom0 has no IPv6 address there");
    // The DHCP service is nobody else's: it answers on its bridge alone.
    let stranger = one.says(&["udhcpc", "-i", "eth0", "-q", "-n", "-t", "2", "-T", "1", "-f"]);
    assert!(!stranger.status.success(), "{stranger:?}");
}

/// Whoever knows the way is turned away, unless a guest began it.
fn outside_cannot_begin(container: &Container, guest: &str) {
    let route = ["route", "replace", "10.77.0.0/24", "via", INSIDE];
    assert!(container.outer_command("ip").args(route).status().unwrap().success());
    let ping =
        container.outer_program("/usr/bin/ping").args(["-q", "-c", "2", "-w", "3", guest]).output().unwrap();
    assert!(!ping.status.success(), "{guest} was reached from outside: {ping:?}");
    assert!(
        container.outer_command("ip").args(["route", "delete", "10.77.0.0/24"]).status().unwrap().success()
    );
}

/// From the first plan to the last rollback.
fn whole(name: &str, change: impl FnOnce(&Path)) {
    let mut container = Container::boot_with(name, |dir| {
        std::fs::write(dir.join("etc/resolv.conf"), format!("nameserver {OUTSIDE}\n")).unwrap();
        std::fs::create_dir_all(dir.join("etc/xenup")).unwrap();
        std::fs::create_dir_all(dir.join("etc/sysctl.d")).unwrap();
        std::fs::write(dir.join("etc/sysctl.d/50-switches.conf"), SWITCHES).unwrap();
        change(dir);
    });
    let before = picture(&container);
    assert!(before.contains("accept_redirects:0") && before.contains("host0/forwarding:1"), "{before}");
    there_and_back(&mut container, ROLES, &before, guests_have_what_they_should);
}

#[test]
fn guests_behind_dom0_and_among_themselves_with_ifupdown() {
    if skipped() {
        return;
    }
    whole("roles", |_| ());
}

#[test]
fn guests_behind_dom0_and_among_themselves_with_networkd() {
    if skipped() {
        return;
    }
    whole("roles-networkd", networkd);
}

/// Where a program is not there everything is undone at once; a second network comes and goes beside the first.
#[test]
fn a_second_network_beside_one_and_a_program_that_is_missing() {
    if skipped() {
        return;
    }
    let container = Container::boot_with("roles-second", |dir| {
        std::fs::write(dir.join("etc/resolv.conf"), format!("nameserver {OUTSIDE}\n")).unwrap();
    });
    let before = picture(&container);
    for program in ["/usr/sbin/nft", "/usr/sbin/dnsmasq"] {
        container.run(&["mv", program, "/root/away"]);
        let output = applied(&container, ROLES);
        container.run(&["mv", "/root/away", program]);
        assert_eq!(output.status.code(), Some(1), "{program}: {output:?}");
        assert_eq!(picture(&container), before, "{program}: {output:?}");
    }
    apply(&container, ROLES);
    confirm(&container, INSIDE);
    let made = picture(&container);
    apply(&container, &format!("{ROLES}{ONE_MORE}"));
    let guests = [Guest::start(&container, "first", "xenbr2"), Guest::start(&container, "second", "xenbr4")];
    for (guest, network) in guests.iter().zip(["10.77.0.", "10.78.0."]) {
        let address = guest.asks();
        assert!(address.starts_with(network), "{address}");
        assert!(guest.reaches(OUTSIDE), "{network}");
    }
    assert!(!guests[0].reaches("10.78.0.2"), "one network's guests do not begin with the other's");
    drop(guests);
    confirm(&container, INSIDE);
    roll_back(&container, INSIDE);
    assert_eq!(picture(&container), made, "and the first network's table as it was");
    let guest = Guest::start(&container, "first", "xenbr2");
    guest.asks();
    assert!(guest.reaches(OUTSIDE));
}

/// What vif-bridge of Debian's Xen does with `bridge=eth0`: it looks the name up, and hands it to brctl(8).
#[test]
fn guests_of_an_older_host_find_their_bridge() {
    if skipped() {
        return;
    }
    let container = Container::boot_with("roles-names", |_| ());
    let before = picture(&container);
    apply(&container, OLD_NAMES);
    container.run(&["ip", "link", "show", "dev", "eth0"]);
    let guest = Guest::start(&container, "old", "xenbr0");
    container.run(&["sh", "-c", "ip link set vif-old nomaster && brctl addif eth0 vif-old"]);
    assert!(guest.says(&["ip", "address", "add", "10.213.0.50/24", "dev", "eth0"]).status.success());
    assert!(guest.reaches(OUTSIDE));
    drop(guest);
    confirm(&container, INSIDE);
    // No second plan: a veth stands for a NIC in a container until it is a port. tests/cases/plan/other-names has one.
    // udev is not there in a container: what it does with the file at boot is asked of its own program.
    container.run(&["ip", "link", "property", "del", "dev", "xenbr0", "altname", "eth0"]);
    container.run(&["udevadm", "test-builtin", "net_setup_link", "/sys/class/net/xenbr0"]);
    container.run(&["ip", "link", "show", "dev", "eth0"]);
    roll_back(&container, INSIDE);
    assert_eq!(picture(&container), before);
}
