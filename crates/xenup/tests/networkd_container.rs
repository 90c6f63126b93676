//! A bridge over a NIC of systemd-networkd, on a booted Debian in a container: made, confirmed, booted, rolled back.
//! Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use container::cable::{LONG, Server, Traffic, address, confirm, roll_back, write_plan};
use container::{Container, INSIDE, OUTSIDE, skipped};

const LAN: &str = "/etc/systemd/network/20-lan.network";
const NETPLAN: &str = "/etc/netplan/50-cloud-init.yaml";
/// For what nobody confirms.
const SHORT: &str = "60";
const HOST: &str =
    "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"host0\"]\naddress = \"keep\"\n";

/// Gives the network to systemd-networkd, with this file.
fn networkd(dir: &Path, lan: &str) {
    enable(dir);
    std::fs::write(dir.join(&LAN[1..]), lan).unwrap();
}

/// Gives the network to netplan, with this file.
fn netplan(dir: &Path, lan: &str) {
    enable(dir);
    let path = dir.join(&NETPLAN[1..]);
    std::fs::write(&path, lan).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn enable(dir: &Path) {
    let etc = dir.join("etc/systemd/system");
    for (wants, unit) in
        [("multi-user.target", "systemd-networkd.service"), ("sockets.target", "systemd-networkd.socket")]
    {
        let folder = etc.join(format!("{wants}.wants"));
        std::fs::create_dir_all(&folder).unwrap();
        let link = folder.join(unit);
        let _ = std::fs::remove_file(&link);
        symlink(format!("/lib/systemd/system/{unit}"), link).unwrap();
    }
    std::fs::write(dir.join("etc/network/interfaces"), "auto lo\niface lo inet loopback\n").unwrap();
}

/// Every file of the network with its bytes and attributes, and what the kernel has.
fn picture(container: &Container) -> String {
    let files = container.run(&[
        "sh",
        "-c",
        "cd / && find etc/network etc/netplan etc/systemd ! -type d -exec stat -c '%n %U:%G %a %Y %N' {} + | sort; \
         find etc/network etc/netplan etc/systemd -type f -exec md5sum {} + | sort",
    ]);
    format!("{files}{}", addresses(container))
}

/// Links, addresses and routes, without what counts down. The metric of a lent address is left out: the kernel
/// has it beside its route's, and an address that is put back gets it with its next lease.
fn addresses(container: &Container) -> String {
    let said = container.run(&[
        "sh",
        "-c",
        "ip -o -4 address show | cut -d' ' -f2-; ip -4 route show; ip -o link show type bridge | cut -d' ' -f2; \
         bridge link | cut -d' ' -f2,7,8",
    ]);
    let masked = said.lines().map(|line| line.split("valid_lft").next().unwrap().trim());
    masked.map(|line| line.replace(" metric 1024 brd ", " brd ")).collect::<Vec<_>>().join("\n")
}

/// Makes the bridge; `deadline` is in seconds.
fn apply(container: &Container, deadline: &str) {
    write_plan(container, HOST);
    let output = container.output(&["xenup", "apply", "/root/plan.json", "--yes", "--deadline", deadline]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{words}\n{}", networkd_says(container));
}

fn networkd_says(container: &Container) -> String {
    let said = container.output(&[
        "sh",
        "-c",
        "networkctl --no-pager; journalctl --no-pager -n 60 -u systemd-networkd",
    ]);
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// What networkctl calls a link: `routable configured`.
fn state(container: &Container, link: &str) -> String {
    let said = container.run(&["networkctl", "--no-pager", "--no-legend", "list", link]);
    said.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
}

/// Ends the traffic. How much of it was lost is printed and no more, since a busy machine loses some by itself; that the
/// machine answers again is asked for.
fn answers_after(traffic: Traffic, container: &Container, at: &str) {
    traffic.end();
    let answer =
        container.outer_program("/usr/bin/ping").args(["-q", "-c", "1", "-w", "60", at]).output().unwrap();
    assert!(answer.status.success(), "{at} is lost for good: {answer:?}\n{}", networkd_says(container));
}

fn fixed() -> String {
    format!(
        "# by hand\n[Match]\nName=host*\n\n[Network]\nAddress={INSIDE}/24\nGateway={OUTSIDE}\nIPv6AcceptRA=no\n"
    )
}

#[test]
fn a_static_address_moves_stays_over_a_boot_and_comes_back() {
    if skipped() {
        return;
    }
    let mut container = Container::boot_with("networkd", |dir| networkd(dir, &fixed()));
    let before = picture(&container);
    moves(&container);
    assert_eq!(container.read(LAN), fixed());
    confirm(&container, INSIDE);
    let traffic = Traffic::begin(&container, INSIDE);
    rollback(&container);
    answers_after(traffic, &container, INSIDE);
    assert_eq!(picture(&container), before, "{}", networkd_says(&container));
    assert_eq!(state(&container, "host0"), "routable configured");
    apply(&container, LONG);
    confirm(&container, INSIDE);
    let made = picture(&container);
    is_the_same_after_a_boot(&mut container, "xenbr0", &made);
    // What systemd-networkd made at this boot is taken back at once, and stays so over the next one.
    rollback(&container);
    assert_eq!(picture(&container), before, "{}", networkd_says(&container));
    is_the_same_after_a_boot(&mut container, "host0", &before);
}

#[test]
fn a_nic_of_netplan_moves_and_netplans_files_stay() {
    if skipped() {
        return;
    }
    let lan = format!(
        "network:\n  version: 2\n  ethernets:\n    host0:\n      addresses: [{INSIDE}/24]\n      accept-ra: false\n      \
         routes:\n      - to: default\n        via: {OUTSIDE}\n"
    );
    let mut container = Container::boot_with("netplan", |dir| {
        netplan(dir, &lan);
        // `netplan apply` has udev go through all devices anew, which a container may not.
        std::fs::create_dir(dir.join("root/no-udev")).unwrap();
        symlink("/bin/true", dir.join("root/no-udev/udevadm")).unwrap();
    });
    online(&container, "host0");
    let before = picture(&container);
    moves(&container);
    confirm(&container, INSIDE);
    let made = picture(&container);
    // What an administrator types who has forgotten us, and what netplan does at boot: neither takes the bridge away.
    container.run(&["env", "PATH=/root/no-udev:/usr/sbin:/usr/bin", "netplan", "apply"]);
    online(&container, "xenbr0");
    assert_eq!(picture(&container), made, "{}", networkd_says(&container));
    is_the_same_after_a_boot(&mut container, "xenbr0", &made);
    container.run(&["systemctl", "start", "systemd-networkd-wait-online.service"]);
    rollback(&container);
    assert_eq!(picture(&container), before, "{}", networkd_says(&container));
    is_the_same_after_a_boot(&mut container, "host0", &before);
}

/// Makes the bridge under traffic; networkd then calls both links configured.
fn moves(container: &Container) {
    let traffic = Traffic::begin(container, INSIDE);
    apply(container, LONG);
    answers_after(traffic, container, INSIDE);
    assert_eq!(state(container, "xenbr0"), "routable configured", "{}", networkd_says(container));
    assert_eq!(state(container, "host0"), "enslaved configured", "{}", networkd_says(container));
}

/// Reboots, and waits until the link that has the address is online.
fn is_the_same_after_a_boot(container: &mut Container, link: &str, expected: &str) {
    container.reboot();
    online(container, link);
    assert_eq!(picture(container), expected, "{}", networkd_says(container));
}

/// Rolls a confirmed network back, and confirms that.
fn rollback(container: &Container) {
    roll_back(container, INSIDE);
    container.run(&["/usr/lib/systemd/systemd-networkd-wait-online", "--timeout=60"]);
}

/// Waits until networkd calls a link online.
fn online(container: &Container, link: &str) {
    let interface = format!("--interface={link}");
    container.run(&["/usr/lib/systemd/systemd-networkd-wait-online", &interface, "--timeout=60"]);
}

#[test]
fn a_lease_moves_with_the_identity_of_its_client() {
    if skipped() {
        return;
    }
    let lan = "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n";
    let mut container = Container::boot_with("networkd-dhcp", |dir| networkd(dir, lan));
    let server = Server::begin(&container);
    online(&container, "host0");
    let before = picture(&container);
    let lent = address(&container, "host0");
    let asked = server.log(&container).matches("DHCPDISCOVER").count();
    let traffic = Traffic::begin(&container, &lent);
    apply(&container, SHORT);
    answers_after(traffic, &container, &lent);
    assert_eq!(address(&container, "xenbr0"), lent);
    assert_eq!(state(&container, "xenbr0"), "routable configured", "{}", networkd_says(&container));
    let log = server.log(&container);
    assert!(!log.contains("DHCPRELEASE"), "{log}");
    assert_eq!(log.matches("DHCPDISCOVER").count(), asked, "the bridge asked as a stranger:\n{log}");
    // Nobody confirms: the files and the links come back, and the lease is the same.
    container.wait_for_end(container.pid_of("xenup-guard-"));
    online(&container, "host0");
    assert_eq!(picture(&container), before, "{}", networkd_says(&container));
    apply(&container, LONG);
    confirm(&container, &lent);
    container.reboot();
    let server = server.again(&container);
    online(&container, "xenbr0");
    assert_eq!(address(&container, "xenbr0"), lent);
    let leases = server.leases(&container);
    assert_eq!(leases.lines().count(), 1, "one client, one lease:\n{leases}");
}
