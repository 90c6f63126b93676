//! Roles of bridges in a container: made, confirmed and rolled back from the machine's own facts; a network namespace stands in
//! for each guest.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Output;

use serde_json::json;
use xenup_core::host::Host;
use xenup_core::inspect::Facts;
use xenup_core::network::plan::{NetworkPlan, plan};

use super::cable::{LONG, confirm, roll_back};
use super::{Container, INSIDE, OUTSIDE};

/// Files, units, links, addresses, rules and the switches of forwarding, as far as the change may touch them. Whether a bridge
/// has a carrier is left out: it has one while a guest is there.
pub fn picture(container: &Container) -> String {
    container.run(&[
        "sh",
        "-c",
        "cd / && find etc/network etc/systemd etc/sysctl.d etc/xenup -exec stat -c '%n %U:%G %a %N' {} + | sort; \
         find etc/network etc/systemd etc/sysctl.d etc/xenup -type f -exec md5sum {} + | sort; \
         ip -o link show type bridge | cut -d' ' -f2 | sort; \
         ip -o link show type vlan | cut -d' ' -f2 | sort; bridge vlan show dev host0; \
         ip -o -4 address show | cut -d' ' -f2-7 | sort; \
         ip -4 route show | sed 's/ linkdown//'; \
         cd /proc/sys/net/ipv4 && grep . ip_forward conf/*/forwarding conf/host0/proxy_arp conf/all/accept_redirects; \
         nft list ruleset; \
         systemctl list-units --no-legend --plain 'xenup-nat*' 'xenup-dhcp*' | cut -d' ' -f1",
    ])
}

pub fn inspected(container: &Container) -> Facts {
    let mut said: serde_json::Value =
        serde_json::from_str(&container.run(&["xenup", "inspect", "--json"])).unwrap();
    serde_json::from_value(said["facts"].take()).unwrap()
}

pub fn planned(facts: &Facts, host: &str) -> NetworkPlan {
    let host = Host::parse(Path::new("host.toml"), host.as_bytes()).unwrap();
    plan(facts, &host).unwrap()
}

pub fn apply(container: &Container, host: &str) {
    let output = applied(container, host);
    assert_eq!(
        output.status.code(),
        Some(6),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        container.logs()
    );
}

/// Applies and confirms, boots, rolls back and boots again. `used` is what holds while the bridges are there; after a boot
/// everything is as it was made, and after the rollback as it was `before`.
pub fn there_and_back(container: &mut Container, host: &str, before: &str, used: fn(&Container)) {
    apply(container, host);
    used(container);
    confirm(container, INSIDE);
    assert_eq!(planned(&inspected(container), host).steps, Vec::new(), "a second plan is empty");
    let made = picture(container);
    container.reboot();
    used(container);
    assert_eq!(picture(container), made);
    gone(container, before);
}

/// Rolls back and boots: all is as it was `before`, in this boot and in the next.
pub fn gone(container: &mut Container, before: &str) {
    roll_back(container, INSIDE);
    assert_eq!(picture(container), before);
    container.reboot();
    assert_eq!(picture(container), before);
}

pub fn applied(container: &Container, host: &str) -> Output {
    let facts = inspected(container);
    let network = planned(&facts, host);
    let plan = json!({"schema": 1, "machine_id": facts.machine_id, "purpose": "a test",
        "stages": [{"id": "network", "title": "The bridges", "guard": NetworkPlan::guard(),
                    "steps": network.steps, "checks": network.checks}]});
    std::fs::write(container.path("/root/plan.json"), plan.to_string()).unwrap();
    container.output(&["xenup", "apply", "/root/plan.json", "--yes", "--deadline", LONG])
}

/// A network namespace behind a port of a bridge, as a guest is behind its vif.
pub struct Guest<'a> {
    pub container: &'a Container,
    pub name: &'static str,
}

impl<'a> Guest<'a> {
    pub fn start(container: &'a Container, name: &'static str, bridge: &str) -> Self {
        container.run(&["sh", "-c", &format!(
            "mkdir -p /etc/netns/{name} && : >/etc/netns/{name}/resolv.conf && ip netns add {name} && \
             ip link add vif-{name} type veth peer name eth0 netns {name} && \
             ip link set vif-{name} master {bridge} up && ip -n {name} link set eth0 up && ip -n {name} link set lo up"
        )]);
        Self { container, name }
    }

    pub fn says(&self, words: &[&str]) -> Output {
        self.container.output(&[&["ip", "netns", "exec", self.name], words].concat())
    }

    pub fn reaches(&self, whom: &str) -> bool {
        self.says(&["ping", "-q", "-c", "1", "-w", "5", whom]).status.success()
    }

    /// Asks for an address once it is known that somebody answers; returns it.
    pub fn asks(&self) -> String {
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

/// Gives the network to systemd-networkd.
pub fn networkd(dir: &Path) {
    networkd_without_lan(dir);
    let lan = format!(
        "[Match]\nName=host*\n\n[Network]\nAddress={INSIDE}/24\nGateway={OUTSIDE}\nIPv6AcceptRA=no\n"
    );
    std::fs::write(dir.join("etc/systemd/network/20-lan.network"), lan).unwrap();
}

pub fn networkd_without_lan(dir: &Path) {
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
pub fn netplan(dir: &Path) {
    networkd_without_lan(dir);
    let lan = format!(
        "network:\n  version: 2\n  ethernets:\n    host0:\n      addresses: [{INSIDE}/24]\n      accept-ra: false\n"
    );
    let path = dir.join("etc/netplan/50-cloud-init.yaml");
    std::fs::write(&path, lan).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
