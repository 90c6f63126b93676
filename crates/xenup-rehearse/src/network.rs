//! The machine's network: a LAN that it shares with a gateway to the mirror and with an outside that watches it.
//!
//! The LAN is a bridge in a network namespace of the run's own. Two taps of QEMU's lie on it: one is the machine's
//! first NIC, the other leads to QEMU's user-mode gateway, DHCP and DNS server. The namespace's own address is the
//! outside. Nothing is added to this machine's own namespace but the two taps, for the moment until they are moved.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use xenup_system::process::Tool;

use crate::error::{LabError, during};
use crate::lab::{self, Lab};

/// The LAN's gateway and DHCP server, which reaches the mirror.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// The LAN's name server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 3);
/// Where the outside watches from.
pub const OBSERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// The machine's own address, and the first that DHCP hands out.
pub const VM: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 10);
/// The first NIC's name inside (by its PCI slot) and its MAC address.
pub const NIC: (&str, &str) = ("enp0s2", "52:54:00:aa:bb:01");
/// The second NIC's name inside and its MAC address.
pub const SECOND_NIC: (&str, &str) = ("enp0s3", "52:54:00:aa:bb:02");
/// The machine's /etc/network/interfaces before any conversion.
pub const INTERFACES: &str = "\
source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback
auto enp0s2
iface enp0s2 inet static
\taddress 10.99.0.10/24
\tgateway 10.99.0.2
allow-hotplug enp0s3
iface enp0s3 inet static
\taddress 10.0.3.15/24
";

/// The LAN of one run; its namespace goes with the last clone.
#[derive(Debug, Clone)]
pub struct Lan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    namespace: String,
    /// Held so that the run's directory and lock outlive the namespace.
    lab: Lab,
}

impl Lan {
    /// Makes the namespace with the bridge `lan` and the outside's address on it.
    ///
    /// # Errors
    /// `ip` failed: no rights, or no namespaces in this kernel.
    pub fn create(lab: &Lab) -> Result<Self, LabError> {
        let namespace = lab.namespace();
        Tool::new("ip")
            .args(["netns", "add", &namespace])
            .run()
            .map_err(during("make a network namespace"))?;
        // From here on the value's own end removes it.
        let lan = Self(Arc::new(Inner { namespace, lab: lab.clone() }));
        let observer = format!("{OBSERVER}/24");
        for words in [
            &["link", "set", "lo", "up"][..],
            &["link", "add", "lan", "type", "bridge", "stp_state", "0", "forward_delay", "0"],
            &["addr", "add", &observer, "dev", "lan"],
            &["link", "set", "lan", "up"],
        ] {
            lan.exec("ip", words).run().map_err(during("set up the LAN"))?;
        }
        Ok(lan)
    }

    /// The namespace's name for `ip netns`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The namespace's file, for setns(2).
    #[must_use]
    pub fn namespace_file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(self.namespace())
    }

    /// A program to run in the namespace.
    #[must_use]
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Tool {
        Tool::new("ip").args(["netns", "exec", self.namespace(), program]).args(arguments)
    }

    /// The names that QEMU gives its two taps before they are moved: the machine's and the gateway's.
    #[must_use]
    pub fn taps(&self) -> [String; 2] {
        ["v", "g"].map(|end| format!("xu{}{end}", self.0.lab.tag()))
    }

    /// Moves the taps of a QEMU that has just come up onto the bridge.
    ///
    /// # Errors
    /// QEMU has not made them, or the bridge does not take them.
    pub fn plug(&self) -> Result<(), LabError> {
        let [machine, gateway] = self.taps();
        for tap in [&machine, &gateway] {
            let words = ["link", "set", tap, "netns", self.namespace()];
            Tool::new("ip").args(words).run().map_err(during("move a tap into the namespace"))?;
            let words = ["link", "set", tap, "master", "lan", "up"];
            self.exec("ip", &words).run().map_err(during("put a tap on the bridge"))?;
        }
        // A flooded frame for another address would make the gateway answer for connections that are not its own.
        let words = ["link", "set", "dev", &gateway, "flood", "off"];
        self.exec("bridge", &words).run().map_err(during("keep others' frames from the gateway"))?;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.lab.is_left() {
            lab::remove_namespace(&self.namespace);
        }
    }
}
