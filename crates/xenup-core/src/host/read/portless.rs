//! Bridges without a port in host.toml. Decides: `[[nat]]` and `[[isolated]]`, and that no two subnets overlap.

use super::{Reader, Section};
use crate::host::{Host, Isolated, LinkName, Nat, Subnet};

const NAT: &[&str] = &["name", "subnet", "address"];
const ISOLATED: &[&str] = &["name"];

impl Reader<'_> {
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
        let (line, _) = self.place(section.start);
        Some(Nat { name, subnet, address, line })
    }

    pub(super) fn isolated(&mut self, section: Section<'_>) -> Option<Isolated> {
        self.keys(section, ISOLATED);
        self.required(section, "name", "name = \"xenbr3\"");
        let name = self.parsed(section, "name")?;
        let (line, _) = self.place(section.start);
        Some(Isolated { name, line })
    }

    pub(super) fn subnets(&mut self, host: &Host) {
        for (index, nat) in host.nats.iter().enumerate() {
            if let Some(other) = host.nats[..index].iter().find(|other| other.subnet.overlaps(nat.subnet)) {
                let what = format!(
                    "{} overlaps {} of `{}`, line {}",
                    nat.subnet, other.subnet, other.name, other.line
                );
                self.fault_at(nat.line, what, "give each its own network");
            }
        }
    }
}
