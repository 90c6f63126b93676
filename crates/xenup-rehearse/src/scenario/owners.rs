//! The owners of a Debian network, each with the files that its manual has one write.
//!
//! Decides what makes a plain Debian's network theirs. Never what xenup makes of it.

use super::Owner;
use super::bench::{Bench, SHORT};
use super::failure::Failure;
use super::switch::APPLY;
use crate::event::StepScope;

/// Takes the NIC out of the hands of ifupdown.
const NO_IFUPDOWN: &str = "printf 'auto lo\\niface lo inet loopback\\n' > /etc/network/interfaces";
const BY_DHCP: &str = "sed -i -e 's/^iface enp0s2 inet static/iface enp0s2 inet dhcp/' -e '/10\\.99\\.0\\./d' /etc/network/interfaces";
const NETWORKD: &str = "printf '[Match]\\nName=enp0s2\\n\\n[Network]\\nAddress=10.99.0.10/24\\nGateway=10.99.0.2\\nDNS=10.99.0.3\\n' \
    > /etc/systemd/network/20-enp0s2.network && systemctl enable systemd-networkd";
const NETPLAN: &str = "printf 'network:\\n  version: 2\\n  renderer: networkd\\n  ethernets:\\n    enp0s2:\\n      \
    addresses: [10.99.0.10/24]\\n      routes:\\n        - to: default\\n          via: 10.99.0.2\\n' \
    > /etc/netplan/50-cloud-init.yaml && chmod 600 /etc/netplan/50-cloud-init.yaml && systemctl enable systemd-networkd";
const MANAGER: &str = "printf '[connection]\\nid=wired\\ntype=ethernet\\ninterface-name=enp0s2\\n\\n[ipv4]\\nmethod=manual\\n\
    address1=10.99.0.10/24,10.99.0.2\\ndns=10.99.0.3;\\n\\n[ipv6]\\nmethod=link-local\\n' > \
    /etc/NetworkManager/system-connections/wired.nmconnection && \
    chmod 600 /etc/NetworkManager/system-connections/wired.nmconnection";

impl Owner {
    /// Its package, where a plain Debian does not have it.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Ifupdown | Self::Networkd => None,
            Self::Dhcp => Some("isc-dhcp-client"),
            Self::Netplan => Some("netplan.io"),
            Self::NetworkManager => Some("network-manager"),
        }
    }

    fn files(self) -> Vec<&'static str> {
        match self {
            Self::Ifupdown => Vec::new(),
            Self::Dhcp => vec![BY_DHCP],
            Self::Networkd => vec![NETWORKD, NO_IFUPDOWN],
            Self::Netplan => vec![NETPLAN, NO_IFUPDOWN],
            Self::NetworkManager => vec![MANAGER, NO_IFUPDOWN],
        }
    }

    /// Until it says that it has done its work.
    const fn done(self) -> &'static str {
        match self {
            Self::Ifupdown | Self::Dhcp => "true",
            Self::Networkd | Self::Netplan => {
                "/usr/lib/systemd/systemd-networkd-wait-online --any --timeout=300"
            }
            Self::NetworkManager => "nm-online -q -s -t 300",
        }
    }

    /// Gives it the network of a plain machine, which it has after a restart.
    pub(super) fn takes_over(self, bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
        if let Some(package) = self.package() {
            let install = format!(
                "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install {package}"
            );
            bench.run(s, &format!("apt-get -qq update && {install}"), 0, APPLY)?;
        }
        for command in self.files() {
            bench.run(s, command, 0, SHORT)?;
        }
        bench.restart(s)?;
        self.is_up(bench, s)
    }

    /// Waits until the NIC or its bridge has the machine's address and its owner is done.
    pub(super) fn is_up(self, bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
        let command = format!(
            "until ip -4 -o address show | grep -q '10\\.99\\.0\\.10/'; do sleep 1; done; {}",
            self.done()
        );
        bench.run(s, &command, 0, SHORT).map(|_| ())
    }
}
