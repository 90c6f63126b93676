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

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use container::cable::{address, confirm};
use container::roles::{apply, networkd_without_lan, skipped};
use container::{Container, INSIDE, OUTSIDE, Suite, Wires};

/// The address of the NIC that is dom0's alone.
const OWN: &str = "10.215.0.2";
/// Longer than a busy machine takes for all that comes before.
const DEADLINE: &str = "600";
const SHARED: &str =
    "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"host0\"]\naddress = \"keep\"\n";
const FOR_GUESTS: &str = "\n[[bridge]]\nname = \"xenbr1\"\nports = [\"host1\"]\naddress = \"none\"\n";

/// Whose the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    IfupdownStatic,
    IfupdownDhcp,
    Networkd,
    Netplan,
    NetworkManager,
}

impl Owner {
    fn name(self) -> &'static str {
        match self {
            Self::IfupdownStatic => "ifupdown-static",
            Self::IfupdownDhcp => "ifupdown-dhcp",
            Self::Networkd => "networkd",
            Self::Netplan => "netplan",
            Self::NetworkManager => "networkmanager",
        }
    }

    /// Gives it the network of a tree; host1 is in no file where there are three NICs.
    fn furnish(self, dir: &Path, nics: usize) {
        match self {
            Self::IfupdownStatic | Self::IfupdownDhcp => interfaces(dir, self == Self::IfupdownDhcp, nics),
            Self::Networkd => {
                networkd_without_lan(dir);
                for (link, text) in fixed(nics) {
                    let text = format!("[Match]\nName={link}\n\n[Network]\n{text}IPv6AcceptRA=no\n");
                    write(dir, &format!("etc/systemd/network/20-{link}.network"), &text, 0o644);
                }
            }
            Self::Netplan => {
                networkd_without_lan(dir);
                let mut text = "network:\n  version: 2\n  ethernets:\n".to_owned();
                text += &format!(
                    "    host0:\n      addresses: [{INSIDE}/24]\n      accept-ra: false\n      routes:\n      \
                     - to: default\n        via: {OUTSIDE}\n"
                );
                if nics > 1 {
                    text += &format!("    host2:\n      addresses: [{OWN}/24]\n      accept-ra: false\n");
                }
                write(dir, "etc/netplan/50-cloud-init.yaml", &text, 0o600);
            }
            Self::NetworkManager => profiles(dir, nics),
        }
    }

    fn is_manager(self) -> bool {
        self == Self::NetworkManager
    }

    /// Waits until the owner says that it has done its work.
    fn is_done(self, container: &Container) {
        match self {
            Self::IfupdownStatic | Self::IfupdownDhcp => {}
            Self::Networkd | Self::Netplan => {
                container.run(&["/usr/lib/systemd/systemd-networkd-wait-online", "--any", "--timeout=120"]);
            }
            Self::NetworkManager => {
                container.run(&["nm-online", "-q", "-s", "-t", "120"]);
            }
        }
    }
}

fn write(dir: &Path, path: &str, text: &str, mode: u32) {
    let path = dir.join(path);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The lines of systemd.network(5) for each link.
fn fixed(nics: usize) -> Vec<(&'static str, String)> {
    let mut links = vec![("host0", format!("Address={INSIDE}/24\nGateway={OUTSIDE}\n"))];
    if nics > 1 {
        links.push(("host2", format!("Address={OWN}/24\n")));
    }
    links
}

fn interfaces(dir: &Path, by_dhcp: bool, nics: usize) {
    let mut text = "auto lo\niface lo inet loopback\n\nauto host0\n".to_owned();
    text += &match by_dhcp {
        true => "iface host0 inet dhcp\n".to_owned(),
        false => format!("iface host0 inet static\n\taddress {INSIDE}/24\n\tgateway {OUTSIDE}\n"),
    };
    if nics > 1 {
        text += &format!("\nauto host2\niface host2 inet static\n\taddress {OWN}/24\n");
    }
    text += "\nsource /etc/network/interfaces.d/*\n";
    write(dir, "etc/network/interfaces", &text, 0o644);
}

/// Without udev nothing says that a veth is no NIC, and NetworkManager waits for that word unless its configuration says it.
fn profiles(dir: &Path, nics: usize) {
    write(dir, "etc/network/interfaces", "auto lo\niface lo inet loopback\n", 0o644);
    let conf = "[main]\nno-auto-default=*\n\n[device-test]\nmatch-device=interface-name:host*;interface-name:xenbr*\nmanaged=1\n";
    write(dir, "etc/NetworkManager/conf.d/test.conf", conf, 0o644);
    let mut all = vec![("host0", format!("address1={INSIDE}/24,{OUTSIDE}\n"))];
    if nics > 1 {
        all.push(("host2", format!("address1={OWN}/24\n")));
    }
    for (link, address) in all {
        let text = format!(
            "[connection]\nid={link}\ntype=ethernet\ninterface-name={link}\n\n[ipv4]\nmethod=manual\n{address}\n[ipv6]\nmethod=link-local\n"
        );
        let path = format!("etc/NetworkManager/system-connections/{link}.nmconnection");
        write(dir, &path, &text, 0o600);
    }
}

/// Every file of the network with its bytes and attributes, and what the kernel has, without what counts down. dhcpcd makes
/// the metric of a route from the link's number, which differs from boot to boot; NetworkManager numbers NICs as they come.
fn picture(container: &Container) -> String {
    let said = container.run(&[
        "sh",
        "-c",
        "cd / && find etc/network etc/netplan etc/systemd etc/NetworkManager ! -type d -exec stat -c '%n %U:%G %a %Y %N' {} + \
         2>/dev/null | sort; \
         find etc/network etc/netplan etc/systemd etc/NetworkManager -type f -exec md5sum {} + 2>/dev/null | sort; \
         ip -o -4 address show | cut -d' ' -f2- | sed 's/ brd [0-9.]*//; s/ metric [0-9]*//'; ip -4 route show | sed '/proto dhcp/s/ metric 10[0-9][0-9]//; /dev host2/s/ metric [0-9]*//; s/ *$//'; \
         ip -o link show type bridge | cut -d' ' -f2 | sort; bridge link | cut -d' ' -f2,7,8 | sort",
    ]);
    said.lines().map(|line| line.split("valid_lft").next().unwrap().trim()).collect::<Vec<_>>().join("\n")
}

fn says(container: &Container) -> String {
    let script = "ip address; ip route; networkctl --no-pager; journalctl --no-pager -o cat -n 60 -u networking \
                  -u systemd-networkd -u NetworkManager";
    String::from_utf8_lossy(&container.output(&["sh", "-c", script]).stdout).into_owned()
}

/// Waits until this link has an address and the owner is done; returns the address.
fn settled(container: &Container, owner: Owner, link: &str) -> String {
    let script = format!("until ip -4 -o address show dev {link} | grep -q inet; do sleep 0.2; done");
    let waited = container.output(&["timeout", "180", "sh", "-c", &script]);
    assert!(waited.status.success(), "{link} has no address\n{}", says(container));
    owner.is_done(container);
    address(container, link)
}

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
    let wires = Wires { further: nics - 1, lends: owner == Owner::IfupdownDhcp };
    let mut container = Container::boot_wired(&name, (suite, owner.is_manager()), wires, |dir| {
        owner.furnish(dir, nics);
    });
    let at = settled(&container, owner, "host0");
    let before = picture(&container);
    apply(&container, &host);
    roles_hold(&container, nics, &at);
    confirm(&container, &at);
    let made = picture(&container);
    container.reboot();
    assert_eq!(settled(&container, owner, "xenbr0"), at, "{name}");
    roles_hold(&container, nics, &at);
    assert_eq!(picture(&container), made, "{name}: after a boot\n{}", says(&container));
    roll_back(&container, &at);
    assert_eq!(settled(&container, owner, "host0"), at, "{name}");
    assert_eq!(picture(&container), before, "{name}: after the rollback\n{}", says(&container));
    container.reboot();
    assert_eq!(settled(&container, owner, "host0"), at, "{name}");
    assert_eq!(picture(&container), before, "{name}: after a rollback and a boot\n{}", says(&container));
    println!("{name}: applied, confirmed, booted, rolled back, booted: as it was");
}

fn roll_back(container: &Container, at: &str) {
    let back = container.output(&["xenup", "rollback", "--yes", "--deadline", DEADLINE]);
    assert_eq!(back.status.code(), Some(6), "{}", String::from_utf8_lossy(&back.stderr));
    confirm(container, at);
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
