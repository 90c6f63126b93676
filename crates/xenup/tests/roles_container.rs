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

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Output};

use container::{Container, INSIDE, OUTSIDE, missing};
use serde_json::json;
use xenup_core::host::Host;
use xenup_core::inspect::Facts;
use xenup_core::network::plan::{NetworkPlan, plan};

const ROLES: &str = "[boot]\ndefault = \"linux\"\n\n[[nat]]\nname = \"xenbr2\"\nsubnet = \"10.77.0.0/24\"\n\n\
                    [[isolated]]\nname = \"xenbr3\"\n";
const OLD_NAMES: &str = "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nalso = [\"eth0\"]\n\
                         ports = [\"host0\"]\naddress = \"keep\"\n";
const ONE_MORE: &str = "[[nat]]\nname = \"xenbr4\"\nsubnet = \"10.78.0.0/24\"\n";
/// Both are lost in a change of the switch of all links, unless somebody sees to them.
const SWITCHES: &str = "net.ipv4.conf.all.accept_redirects = 0\nnet.ipv4.conf.host0.forwarding = 1\n";
/// Longer than a busy machine takes for all that comes before.
const DEADLINE: &str = "600";

fn skipped() -> bool {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return true;
    }
    false
}

/// Files, units, links, addresses, rules and the switches of forwarding, as far as the change may touch them. Whether a bridge
/// has a carrier is left out: it has one while a guest is there.
fn picture(container: &Container) -> String {
    container.run(&[
        "sh",
        "-c",
        "cd / && find etc/network etc/systemd etc/sysctl.d etc/xenup -exec stat -c '%n %U:%G %a %N' {} + | sort; \
         find etc/network etc/systemd etc/sysctl.d etc/xenup -type f -exec md5sum {} + | sort; \
         ip -o link show type bridge | cut -d' ' -f2; ip -o link show type vlan | cut -d' ' -f2; bridge vlan show dev host0; ip -o -4 address show | cut -d' ' -f2-7; \
         ip -4 route show | sed 's/ linkdown//'; \
         cd /proc/sys/net/ipv4 && grep . ip_forward conf/*/forwarding conf/all/accept_redirects; nft list ruleset; \
         systemctl list-units --no-legend --plain 'xenup-nat*' 'xenup-dhcp*' | cut -d' ' -f1",
    ])
}

fn inspected(container: &Container) -> Facts {
    let mut said: serde_json::Value =
        serde_json::from_str(&container.run(&["xenup", "inspect", "--json"])).unwrap();
    serde_json::from_value(said["facts"].take()).unwrap()
}

fn planned(facts: &Facts, host: &str) -> NetworkPlan {
    let host = Host::parse(Path::new("host.toml"), host.as_bytes()).unwrap();
    plan(facts, &host).unwrap()
}

fn apply(container: &Container, host: &str) {
    let output = applied(container, host);
    assert_eq!(
        output.status.code(),
        Some(6),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        container.logs()
    );
}

fn applied(container: &Container, host: &str) -> Output {
    let facts = inspected(container);
    let network = planned(&facts, host);
    let plan = json!({"schema": 1, "machine_id": facts.machine_id, "purpose": "a test",
        "stages": [{"id": "network", "title": "The bridges", "guard": NetworkPlan::guard(),
                    "steps": network.steps, "checks": network.checks}]});
    std::fs::write(container.path("/root/plan.json"), plan.to_string()).unwrap();
    container.output(&["xenup", "apply", "/root/plan.json", "--yes", "--deadline", DEADLINE])
}

fn roll_back(container: &Container) {
    let back = container.output(&["xenup", "rollback", "--yes", "--deadline", DEADLINE]);
    assert_eq!(
        back.status.code(),
        Some(6),
        "{}\n{}",
        String::from_utf8_lossy(&back.stderr),
        container.logs()
    );
    confirm(container);
}

fn confirm(container: &Container) {
    let guard = container.pid_of("xenup-guard-");
    let output = container.ssh_to(INSIDE, &[], &["xenup", "confirm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    container.wait_for_end(guard);
}

/// A network namespace behind a port of a bridge, as a guest is behind its vif.
struct Guest<'a> {
    container: &'a Container,
    name: &'static str,
}

impl<'a> Guest<'a> {
    fn start(container: &'a Container, name: &'static str, bridge: &str) -> Self {
        container.run(&["sh", "-c", &format!(
            "mkdir -p /etc/netns/{name} && : >/etc/netns/{name}/resolv.conf && ip netns add {name} && \
             ip link add vif-{name} type veth peer name eth0 netns {name} && \
             ip link set vif-{name} master {bridge} up && ip -n {name} link set eth0 up && ip -n {name} link set lo up"
        )]);
        Self { container, name }
    }

    fn says(&self, words: &[&str]) -> Output {
        self.container.output(&[&["ip", "netns", "exec", self.name], words].concat())
    }

    fn reaches(&self, whom: &str) -> bool {
        self.says(&["ping", "-q", "-c", "1", "-w", "5", whom]).status.success()
    }

    /// Asks for an address once it is known that somebody answers; returns it.
    fn asks(&self) -> String {
        let said = self.says(&["udhcpc", "-i", "eth0", "-q", "-n", "-t", "20", "-T", "1", "-f"]);
        assert!(
            said.status.success(),
            "{said:?}\n{}",
            self.container.run(&[
                "sh",
                "-c",
                "systemctl status 'xenup-*' --no-pager -l; ip address; journalctl --no-pager -n 40",
            ])
        );
        let said = self.says(&["ip", "-4", "-o", "address", "show", "dev", "eth0"]);
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let name = self.name;
        let remove = format!("ip link delete vif-{name}; ip netns delete {name}; rm -r /etc/netns/{name}");
        self.container.output(&["sh", "-c", &remove]);
    }
}

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
    apply(&container, ROLES);
    guests_have_what_they_should(&container);
    confirm(&container);
    let again = planned(&inspected(&container), ROLES);
    assert_eq!(again.steps, Vec::new(), "a second plan is empty");
    let made = picture(&container);
    container.reboot();
    guests_have_what_they_should(&container);
    assert_eq!(picture(&container), made);
    roll_back(&container);
    assert_eq!(picture(&container), before);
    container.reboot();
    assert_eq!(picture(&container), before);
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

/// Gives the network to systemd-networkd.
fn networkd(dir: &Path) {
    networkd_without_lan(dir);
    let lan = format!(
        "[Match]\nName=host*\n\n[Network]\nAddress={INSIDE}/24\nGateway={OUTSIDE}\nIPv6AcceptRA=no\n"
    );
    std::fs::write(dir.join("etc/systemd/network/20-lan.network"), lan).unwrap();
}

fn networkd_without_lan(dir: &Path) {
    let etc = dir.join("etc/systemd/system");
    for (wants, unit) in
        [("multi-user.target", "systemd-networkd.service"), ("sockets.target", "systemd-networkd.socket")]
    {
        let folder = etc.join(format!("{wants}.wants"));
        std::fs::create_dir_all(&folder).unwrap();
        let _ = std::fs::remove_file(folder.join(unit));
        symlink(format!("/lib/systemd/system/{unit}"), folder.join(unit)).unwrap();
    }
    std::fs::write(dir.join("etc/network/interfaces"), "auto lo\niface lo inet loopback\n").unwrap();
}

/// Gives the network to netplan, which has systemd-networkd carry it out.
fn netplan(dir: &Path) {
    networkd_without_lan(dir);
    let lan = format!(
        "network:\n  version: 2\n  ethernets:\n    host0:\n      addresses: [{INSIDE}/24]\n      accept-ra: false\n"
    );
    let path = dir.join("etc/netplan/50-cloud-init.yaml");
    std::fs::write(&path, lan).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The world outside has both VLANs on the cable.
fn tags_outside(container: &Container) {
    for tag in [100, 200] {
        let (link, tag) = (format!("ve-{tag}"), tag.to_string());
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
    apply(&container, VLANS);
    guests_have_their_vlan(&container);
    confirm(&container);
    assert_eq!(planned(&inspected(&container), VLANS).steps, Vec::new(), "a second plan is empty");
    let made = picture(&container);
    container.reboot();
    guests_have_their_vlan(&container);
    assert_eq!(picture(&container), made);
    roll_back(&container);
    assert_eq!(picture(&container), before);
    container.reboot();
    assert_eq!(picture(&container), before);
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
    confirm(&container);
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
    roll_back(&container);
    assert_eq!(picture(&container), before);
    container.reboot();
    assert_eq!(picture(&container), before);
}

#[test]
fn guests_name_their_vlans_with_ifupdown() {
    aware("aware", |_| ());
}

#[test]
fn guests_name_their_vlans_with_networkd() {
    aware("aware-networkd", networkd);
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
    confirm(&container);
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
    confirm(&container);
    roll_back(&container);
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
    confirm(&container);
    // No second plan: a veth stands for a NIC in a container until it is a port. tests/cases/plan/other-names has one.
    // udev is not there in a container: what it does with the file at boot is asked of its own program.
    container.run(&["ip", "link", "property", "del", "dev", "xenbr0", "altname", "eth0"]);
    container.run(&["udevadm", "test-builtin", "net_setup_link", "/sys/class/net/xenbr0"]);
    container.run(&["ip", "link", "show", "dev", "eth0"]);
    roll_back(&container);
    assert_eq!(picture(&container), before);
}
