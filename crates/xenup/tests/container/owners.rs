//! Owners of a Debian network in a container: their files, and when each has done its work.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::cable::address;
use super::roles::networkd_without_lan;
use super::{Container, INSIDE, OUTSIDE, Suite, Wires};

/// The address of the NIC that is dom0's alone, where there are three.
pub const OWN: &str = "10.215.0.2";

/// Whose the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    IfupdownStatic,
    IfupdownDhcp,
    Networkd,
    Netplan,
    NetworkManager,
}

impl Owner {
    pub fn name(self) -> &'static str {
        match self {
            Self::IfupdownStatic => "ifupdown-static",
            Self::IfupdownDhcp => "ifupdown-dhcp",
            Self::Networkd => "networkd",
            Self::Netplan => "netplan",
            Self::NetworkManager => "networkmanager",
        }
    }

    /// Boots a machine with one NIC, or with three of which host1 is in no file.
    pub fn boot(self, name: &str, suite: Suite, nics: usize) -> Container {
        let wires = Wires { further: nics - 1, lends: self.is_lent() };
        Container::boot_wired(name, (suite, self.is_manager()), wires, |dir| self.furnish(dir, nics))
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

    /// Whether somebody else gives it its addresses.
    pub fn is_lent(self) -> bool {
        self == Self::IfupdownDhcp
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
pub fn picture(container: &Container) -> String {
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

/// Waits until a link has an IPv6 address that a router advertised; returns it.
pub fn advertised(container: &Container, link: &str) -> String {
    let find = format!(
        "ip -6 -o address show dev {link} scope global | grep -v tentative | grep -o 'fd00:213:[^/]*'"
    );
    let script = format!("until {find}; do sleep 0.2; done");
    let found = container.output(&["timeout", "120", "sh", "-c", &script]);
    assert!(found.status.success(), "{link} has no advertised address\n{}", says(container));
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

pub fn says(container: &Container) -> String {
    let script = "ip address; ip route; networkctl --no-pager; journalctl --no-pager -o cat -n 60 -u networking \
                  -u systemd-networkd -u NetworkManager";
    String::from_utf8_lossy(&container.output(&["sh", "-c", script]).stdout).into_owned()
}

/// Waits until this link has an address and the owner is done; returns the address.
pub fn settled(container: &Container, owner: Owner, link: &str) -> String {
    let script = format!("until ip -4 -o address show dev {link} | grep -q inet; do sleep 0.2; done");
    let waited = container.output(&["timeout", "180", "sh", "-c", &script]);
    assert!(waited.status.success(), "{link} has no address\n{}", says(container));
    owner.is_done(container);
    address(container, link)
}
