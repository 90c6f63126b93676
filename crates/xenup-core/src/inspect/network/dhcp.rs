//! DHCP clients that run as processes. Decides which link each serves by its arguments; never talks to one.
//! The clients inside systemd-networkd and NetworkManager are no processes and are not listed.

use xenup_machine::network::Network;

use super::super::facts::DhcpClient;
use super::super::processes::Process;

/// Programs that lease an address for a link, or for all (dhcpcd's manager).
const PROGRAMS: [&str; 5] = ["dhclient", "dhcpcd", "udhcpc", "dhcp6c", "pump"];

/// Returns the clients, by process id.
pub(super) fn clients(processes: &[Process], network: &Network) -> Vec<DhcpClient> {
    let clients = processes.iter().filter(|process| PROGRAMS.contains(&process.name.as_str()));
    let clients = clients.filter(|process| {
        // dhcpcd's helpers are children of the process that counts.
        !processes.iter().any(|other| other.pid == process.parent && other.name == process.name)
    });
    clients
        .filter_map(|process| {
            let words: Vec<&str> =
                process.args.iter().flat_map(|arg| arg.split_ascii_whitespace()).skip(1).collect();
            let served = words.iter().rev().find(|word| network.link(word).is_some());
            let link = match served {
                Some(link) => (*link).to_owned(),
                None if process.name == "dhcpcd" => "*".to_owned(),
                None => return None,
            };
            Some(DhcpClient {
                program: process.name.clone(),
                pid: process.pid,
                args: process.args.clone(),
                link,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Network, Process, clients};

    #[test]
    fn a_client_serves_the_link_it_names() {
        let network: Network = serde_json::from_str(
            r#"{"links": [{"name": "ens3", "up": true, "mtu": 1500}], "addresses": [], "routes": []}"#,
        )
        .unwrap();
        let process = |pid, parent, name: &str, args: &str| Process {
            pid,
            parent,
            name: name.to_owned(),
            args: args.split(' ').map(str::to_owned).collect(),
        };
        let found = clients(
            &[
                process(
                    412,
                    1,
                    "dhclient",
                    "dhclient -4 -v -i -pf /run/dhclient.ens3.pid -lf /var/lib/dhcp/dhclient.ens3.leases -I \
                     -df /var/lib/dhcp/dhclient6.ens3.leases ens3",
                ),
                process(500, 1, "dhcpcd", "dhcpcd: [manager] [ip4] [ip6]"),
                process(501, 500, "dhcpcd", "dhcpcd: [privileged proxy] [ip4] [ip6]"),
                process(600, 1, "sshd", "sshd ens3"),
            ],
            &network,
        );
        let plain: Vec<_> = found.iter().map(|one| (one.pid, &one.link[..])).collect();
        assert_eq!(plain, [(412, "ens3"), (500, "*")]);
    }
}
