//! Guests on VLANs, on a booted Debian in a container: each VLAN with its bridge, and one bridge on which guests name theirs.
//! Needs root and a kernel with VLANs, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use std::path::Path;
use std::process::Output;

use container::cable::confirm;
use container::roles::{Guest, apply, gone, netplan, networkd, picture, there_and_back};
use container::{Container, INSIDE, OUTSIDE, skipped};

/// The world outside has both VLANs on the cable.
fn tags_outside(container: &Container) {
    for tag in [100, 200] {
        let (link, tag) = (format!("ve-{tag}"), tag.to_string());
        let there = container.outer_command("ip").args(["link", "show", "dev", &link]).output().unwrap();
        // Once in each boot.
        if there.status.success() {
            continue;
        }
        let words = ["link", "add", "link", "ve-guarded", "name", &link, "type", "vlan", "id", &tag];
        assert!(container.outer_command("ip").args(words).status().unwrap().success());
        let words = ["address", "add", &format!("192.168.{tag}.1/24"), "dev", &link];
        assert!(container.outer_command("ip").args(words).status().unwrap().success());
        assert!(container.outer_command("ip").args(["link", "set", &link, "up"]).status().unwrap().success());
    }
}

/// Whether this kernel has VLANs; that of a small virtual machine may not.
fn no_vlans() -> bool {
    let script = "ip link add v0 type veth peer name v1 && ip link add link v0 name v0.5 type vlan id 5";
    let asked = std::process::Command::new("unshare").args(["--net", "sh", "-c", script]).output().unwrap();
    if !asked.status.success() {
        println!("skipped: this kernel has no VLANs");
    }
    !asked.status.success()
}

/// Each guest reaches its own VLAN and no other, and dom0 has no part in it.
fn guests_have_their_vlan(container: &Container) {
    tags_outside(container);
    let guests = [Guest::start(container, "one", "xenbr100"), Guest::start(container, "two", "xenbr200")];
    for (guest, [own, other]) in guests.iter().zip([[100, 200], [200, 100]]) {
        for network in [own, other] {
            let words = ["ip", "address", "add", &format!("192.168.{network}.9/24"), "dev", "eth0"];
            assert!(guest.says(&words).status.success());
        }
        assert!(guest.reaches(&format!("192.168.{own}.1")), "VLAN {own}");
        assert!(!guest.reaches(&format!("192.168.{other}.1")), "VLAN {other} from {own}");
    }
    for link in ["xenbr100", "xenbr200", "host0.100", "host0.200"] {
        let own = container.run(&["ip", "-o", "address", "show", "dev", link]);
        assert_eq!(own, "", "dom0 has no address on {link}, IPv6 included");
    }
    let way_in = container.outer_program("/usr/bin/ping").args(["-q", "-c", "1", "-w", "5", INSIDE]).output();
    assert!(way_in.unwrap().status.success(), "and the NIC goes on as it is");
}

const VLANS: &str = "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr100\"\nports = [\"host0\"]\nvlan = 100\n\
                     address = \"none\"\n\n[[bridge]]\nname = \"xenbr200\"\nports = [\"host0\"]\nvlan = 200\n\
                     address = \"none\"\n";

/// VLANs with their bridges on a NIC that stays dom0's, from the first plan to the last rollback.
fn vlans(name: &str, change: impl FnOnce(&Path)) {
    if skipped() || no_vlans() {
        return;
    }
    let mut container = Container::boot_with(name, change);
    let before = picture(&container);
    there_and_back(&mut container, VLANS, &before, guests_have_their_vlan);
}

#[test]
fn guests_on_vlans_with_ifupdown() {
    vlans("vlans", |_| ());
}

#[test]
fn guests_on_vlans_with_networkd() {
    vlans("vlans-networkd", networkd);
}

#[test]
fn guests_on_vlans_with_netplan() {
    vlans("vlans-netplan", netplan);
}

const AWARE: &str = "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"host0\"]\n\
                     vlans = [100, \"200-201\"]\naddress = \"keep\"\n";

/// Runs the hook as vif-bridge does at its end, with what xenstore has of the interface.
fn hooked(guest: &Guest<'_>, bridge: &str, vlan: &str) -> Output {
    let script = format!(
        "set -e; command=online; type_if=vif; dev=vif-{}; XENBUS_PATH=path; fatal() {{ echo \"$*\" >&2; exit 1; }}; \
         xenstore_read_default() {{ case $1 in */vlan) echo '{vlan}' ;; */bridge) echo '{bridge}' ;; *) echo \"$2\" ;; esac; }}; \
         . /etc/xen/scripts/vif-post.d/xenup-vlan.hook; bridge vlan show dev vif-{}",
        guest.name, guest.name
    );
    guest.container.output(&["bash", "-c", &script])
}

/// The VLANs of a port as bridge(8) shows them, in one line.
fn shown(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split_whitespace().skip_while(|word| !word.starts_with("vif-")).skip(1).collect::<Vec<_>>().join(" ")
}

/// Guests are in what has no tag until the hook gives them a VLAN; the port carries what host.toml names.
fn guests_name_their_vlan(container: &Container) {
    tags_outside(container);
    let guest = Guest::start(container, "one", "xenbr0");
    for network in ["10.213.0.9/24", "192.168.100.9/24", "192.168.200.9/24"] {
        assert!(guest.says(&["ip", "address", "add", network, "dev", "eth0"]).status.success());
    }
    let reached =
        |guest: &Guest<'_>| [OUTSIDE, "192.168.100.1", "192.168.200.1"].map(|whom| guest.reaches(whom));
    assert_eq!(shown(&hooked(&guest, "xenbr0", "")), "1 PVID Egress Untagged");
    assert_eq!(reached(&guest), [true, false, false], "without a VLAN");
    assert_eq!(shown(&hooked(&guest, "xenbr0", "100")), "100 PVID Egress Untagged");
    assert_eq!(reached(&guest), [false, true, false], "vlan=100");
    assert_eq!(shown(&hooked(&guest, "xenbr0.200", "")), "200 PVID Egress Untagged");
    assert_eq!(reached(&guest), [false, false, true], "bridge=xenbr0.200");
    let several = shown(&hooked(&guest, "xenbr0", "100p/200-201/300+10x2"));
    assert_eq!(several, "100 PVID Egress Untagged 200 201 300 310 320");
    for bad in ["5000", "x", "100p/0", "1-2-3", "$(reboot)"] {
        assert!(!hooked(&guest, "xenbr0", bad).status.success(), "{bad}");
    }
}

/// A VLAN-aware bridge that dom0's address moves to, from the plan to the last rollback.
fn aware(name: &str, change: impl FnOnce(&Path)) {
    if skipped() || no_vlans() {
        return;
    }
    let mut container = Container::boot_with(name, |dir| {
        std::fs::create_dir_all(dir.join("etc/xen/scripts")).unwrap();
        change(dir);
    });
    let before = picture(&container);
    apply(&container, AWARE);
    let carried = container.run(&["bridge", "vlan", "show", "dev", "host0"]);
    let carried: Vec<&str> = carried.split_whitespace().skip(3).collect();
    assert_eq!(carried.join(" "), "1 PVID Egress Untagged 100 200 201");
    guests_name_their_vlan(&container);
    confirm(&container, INSIDE);
    let made = picture(&container);
    container.reboot();
    guests_name_their_vlan(&container);
    assert_eq!(picture(&container), made);
    // Nobody confirms the rollback: the bridge comes back, with its VLANs.
    let back = container.output(&["xenup", "rollback", "--yes", "--deadline", "20"]);
    assert_eq!(back.status.code(), Some(6), "{}", String::from_utf8_lossy(&back.stderr));
    container.wait_for_end(container.pid_of("xenup-guard-"));
    assert_eq!(picture(&container), made);
    guests_name_their_vlan(&container);
    gone(&mut container, &before);
}

#[test]
fn guests_name_their_vlans_with_ifupdown() {
    aware("aware", |_| ());
}

#[test]
fn guests_name_their_vlans_with_networkd() {
    aware("aware-networkd", networkd);
}
