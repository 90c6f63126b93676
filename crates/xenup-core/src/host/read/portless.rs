//! Bridges without a port in host.toml. Decides: `[[nat]]`, `[[routed]]` and `[[isolated]]`, and that no two subnets overlap;
//! never whether a machine has them already.

use std::net::Ipv4Addr;

use super::{Reader, Section};
use crate::host::{Host, Isolated, LinkName, Nat, Routed, Subnet};

const NAT: &[&str] = &["name", "subnet", "address"];
const ROUTED: &[&str] = &["name", "address", "routes", "proxy-arp"];
const ISOLATED: &[&str] = &["name"];

impl Reader<'_, '_> {
    pub(super) fn nat(&mut self, section: Section<'_>) -> Option<Nat> {
        self.keys(section, NAT);
        self.required(section, "name", "name = \"xenbr2\"");
        self.required(section, "subnet", "subnet = \"10.77.0.0/24\"");
        let name = self.parsed::<LinkName>(section, "name");
        let subnet = self.parsed::<Subnet>(section, "subnet");
        let written = self.string(section, "address");
        let (name, subnet) = (name?, subnet?);
        let address = match written {
            None => subnet.first_host(),
            Some(found) => match found.value.parse() {
                Ok(address) if subnet.has_host(address) => address,
                _ => {
                    let what = format!("`{}` is no host's address in {subnet}", found.value.escape_debug());
                    let hint = format!(
                        "write an address of that network, such as \"{}\", or leave it out",
                        subnet.first_host()
                    );
                    self.fault(found.span, what, hint);
                    return None;
                }
            },
        };
        let (line, _) = self.faults.place(section.start);
        Some(Nat { name, subnet, address, line })
    }

    pub(super) fn routed(&mut self, section: Section<'_>) -> Option<Routed> {
        self.keys(section, ROUTED);
        self.required(section, "name", "name = \"xenbr4\"");
        self.required(section, "address", "address = \"192.0.2.1/28\", dom0's own, the guests' gateway");
        let name = self.parsed::<LinkName>(section, "name");
        let address = self.address(section);
        let mut routes = Vec::new();
        for found in self.strings(section, "routes").unwrap_or_default() {
            match Subnet::up_to_a_host(&found.value) {
                Ok(subnet) => routes.push(subnet),
                Err(refused) => self.refuse(found.span, refused),
            }
        }
        let proxy_arp = self.switch(section, "proxy-arp");
        let (line, _) = self.faults.place(section.start);
        let (name, (address, network)) = (name?, address?);
        if network.length > 30 && routes.is_empty() {
            let what = format!("{network} has no other address for a guest of `{name}`");
            self.fault_at(line, what, "write a wider prefix, or routes = [\"192.0.2.66/32\"]");
            return None;
        }
        Some(Routed { name, address, network, routes, proxy_arp, line })
    }

    fn address(&mut self, section: Section<'_>) -> Option<(Ipv4Addr, Subnet)> {
        let found = self.string(section, "address")?;
        let read = Subnet::of_address(&found.value);
        let usable = read.filter(|(ip, network)| network.length > 30 || network.has_host(*ip));
        if usable.is_none() {
            let what = format!("`{}` is no address with its prefix", found.value.escape_debug());
            let hint = "write a host's address and 8 to 32 bits, such as \"192.0.2.1/28\"";
            self.fault(found.span, what, hint);
        }
        usable
    }

    pub(super) fn isolated(&mut self, section: Section<'_>) -> Option<Isolated> {
        self.keys(section, ISOLATED);
        self.required(section, "name", "name = \"xenbr3\"");
        let name = self.parsed(section, "name")?;
        let (line, _) = self.faults.place(section.start);
        Some(Isolated { name, line })
    }

    pub(super) fn subnets(&mut self, host: &Host) {
        let nats = host.nats.iter().map(|nat| (&nat.name, nat.subnet, nat.line));
        let routed = host.routed.iter().flat_map(|routed| {
            let all = std::iter::once(routed.network).chain(routed.routes.iter().copied());
            all.map(|subnet| (&routed.name, subnet, routed.line))
        });
        let mut earlier: Vec<(&LinkName, Subnet, u32)> = Vec::new();
        for (name, subnet, line) in nats.chain(routed) {
            // Bridges may have one gateway's address each, with all its bits.
            let meets = |(_, other, _): &&(&LinkName, Subnet, u32)| {
                other.overlaps(subnet) && !(other.length == 32 && *other == subnet)
            };
            if let Some((first, other, at)) = earlier.iter().find(meets) {
                let what = format!("{subnet} overlaps {other} of `{first}`, line {at}");
                self.fault_at(line, what, "give each its own network");
            }
            earlier.push((name, subnet, line));
        }
    }
}
