//! Guests behind dom0's own address: translation, forwarding, and a DHCP service with names on that bridge alone.
//!
//! Decides: the table of nftables, the sysctl, dnsmasq's configuration, and the units of ours that load and run them.
//! Never: flushes or edits a rule of somebody else, or serves another link.
//!
//! Debian's nftables.service flushes every table when it starts, is reloaded or stops (its unit and /etc/nftables.conf):
//! a drop-in of ours loads the table again behind each of them; where that service is not used, a unit of ours loads it at
//! boot. dnsmasq comes from dnsmasq-base, which has no service
//! of its own that would listen everywhere (dnsmasq(8)).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, Condition, UnitState};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::network::Network;
use xenup_machine::process::Command;

use super::portless::{Portless, is_made};
use super::{forwarding, owner};
use crate::host::{Host, Isolated, Nat};
use crate::inspect::facts::{At, Facts};
use crate::inspect::{Finding, Weight};
use crate::plan::step::{Draft, PLAIN};

/// The file that has packets forwarded from the next boot on.
pub const SYSCTL_NAME: &str = "60-xenup-nat.conf";
/// The table.
const TABLE: &str = "/etc/xenup/nat.nft";
/// The unit that loads it.
const SERVICE: &str = "xenup-nat.service";

const UNIT_TEXT: &str = "\
# Written by xenup: translates the addresses of guests behind dom0. See /etc/xenup/nat.nft.
[Unit]
Description=Address translation for Xen guests
After=nftables.service
Before=xendomains.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/xenup/nat.nft
ExecReload=/usr/sbin/nft -f /etc/xenup/nat.nft
# A table that is gone already is made first, since only a table that is there can be deleted.
ExecStop=/usr/sbin/nft 'table ip xenup_nat; delete table ip xenup_nat'

[Install]
WantedBy=multi-user.target
";

/// The drop-in of Debian's own service.
const DROP_IN: &str = "/etc/systemd/system/nftables.service.d/xenup.conf";

const DROP_IN_TEXT: &str = "\
# Written by xenup: this service flushes all tables when it starts, is reloaded or stops; that of guests behind dom0 is
# loaded again. See /etc/xenup/nat.nft.
[Service]
ExecStartPost=-/usr/sbin/nft -f /etc/xenup/nat.nft
ExecReload=-/usr/sbin/nft -f /etc/xenup/nat.nft
ExecStopPost=-/usr/sbin/nft -f /etc/xenup/nat.nft
";

/// Why a unit that runs is started anew.
const CHANGED: &str = "its files have changed";

/// Returns what stands in the way of a NAT network.
#[must_use]
pub fn refuse(facts: &Facts, file: &Path, nat: &Nat) -> Vec<Finding> {
    let mut found = Vec::new();
    if !facts.services.systemd {
        found.push(Finding::blocking(
            "nat-needs-systemd",
            format!("{} needs services of systemd, and this machine has another init", nat.name),
            "its table and its DHCP service are started by units",
            "apt-get install systemd-sysv, or remove the [[nat]] table from host.toml",
        ));
    }
    if let Some(taken) = taken(&facts.network.kernel, nat) {
        found.push(Finding::blocking(
            "nat-subnet-taken",
            format!("{} of {} is in use: {taken}", nat.subnet, nat.name),
            "dom0 would send to guests what is meant for others",
            "choose another subnet in host.toml, such as \"10.77.0.0/24\"",
        ));
    }
    let others = ["dnsmasq.service", "isc-dhcp-server.service", "named.service", "unbound.service"];
    if let Some(unit) =
        others.into_iter().find(|unit| facts.services.active.iter().any(|active| active == unit))
    {
        let finding = Finding::blocking(
            "nat-other-server",
            format!("{unit} runs, and {} gets a DHCP and name service of its own", nat.name),
            "one that listens on every link keeps ours from its ports",
            format!(
                "have it listen on its own links alone (for dnsmasq: bind-dynamic, except-interface={})",
                nat.name
            ),
        );
        found.push(Finding { weight: Weight::Warning, ..finding });
    }
    let here = At { path: file.to_owned(), line: nat.line };
    found.into_iter().map(|finding| Finding { at: vec![here.clone()], ..finding }).collect()
}

/// An address or a route in the network that is somebody else's.
fn taken(kernel: &Network, nat: &Nat) -> Option<String> {
    let ours = |link: &str| link == nat.name.as_str();
    let overlaps = |ip: std::net::IpAddr, length: u8| match ip {
        std::net::IpAddr::V4(ip) => nat.subnet.meets(ip, length),
        std::net::IpAddr::V6(_) => false,
    };
    let address = kernel
        .addresses
        .iter()
        .find(|entry| !ours(&entry.link) && overlaps(entry.address.ip, entry.address.prefix))
        .map(|entry| format!("{} has {}", entry.link, entry.address));
    let route = || {
        let mut routes = kernel.routes.iter().filter(|route| !route.link.as_deref().is_some_and(ours));
        routes
            .find(|route| route.destination.is_some_and(|to| to.length > 0 && overlaps(to.ip, to.length)))
            .map(|route| format!("there is a route {route}"))
    };
    address.or_else(route)
}

/// Returns what somebody should know before guests are behind dom0.
#[must_use]
pub fn findings(facts: &Facts, host: &Host) -> Vec<Finding> {
    let Some(nat) = host.nats.first() else { return Vec::new() };
    let at = || vec![At { path: host.path.clone(), line: nat.line }];
    let mut found = Vec::new();
    let kernel = &facts.network.kernel;
    if let Some(chain) = &facts.network.forward_drop {
        let finding = Finding::blocking(
            "nat-forward-dropped",
            format!("the policy of {chain} is drop, and guests of {} pass that chain", nat.name),
            "a packet needs the leave of every table; ours cannot give another's",
            format!("allow there what comes in by {0} and what goes out by {0}", nat.name),
        );
        found.push(Finding { weight: Weight::Warning, at: at(), ..finding });
    }
    if let Some(chain) = &facts.network.input_drop {
        let finding = Finding::blocking(
            "nat-input-dropped",
            format!(
                "the policy of {chain} is drop, and guests of {} ask dom0 for addresses and names",
                nat.name
            ),
            "where no rule of that chain lets it through, no guest gets an address",
            format!("allow there what comes in by {}: UDP port 67, and UDP and TCP port 53", nat.name),
        );
        found.push(Finding { weight: Weight::Warning, at: at(), ..finding });
    }
    if !kernel.routes.iter().any(|route| route.destination.is_none() && !route.ipv6) {
        let finding = Finding::blocking(
            "nat-without-uplink",
            format!("dom0 has no default route, so that guests of {} reach dom0 alone", nat.name),
            "their packets go where dom0's own would",
            "give dom0 a gateway",
        );
        found.push(Finding { weight: Weight::Warning, at: at(), ..finding });
    }
    found
}

/// Whether there is anything that the table is for: dom0 forwards, and guests among themselves are to stay so.
#[must_use]
pub fn needs_table(host: &Host) -> bool {
    !host.nats.is_empty() || (!host.routed.is_empty() && !host.isolated.is_empty())
}

/// Returns the unit that serves a NAT network.
fn server(nat: &Nat) -> String {
    format!("xenup-dhcp-{}.service", nat.name)
}

/// Returns the steps after which the NAT networks of `host` work; none where they do.
#[must_use]
pub fn steps(facts: &Facts, host: &Host, bridges: &[Portless<'_>]) -> Vec<Step> {
    if !needs_table(host) {
        return Vec::new();
    }
    let kernel = &facts.network.kernel;
    let made = bridges.iter().filter(|bridge| bridge.address.is_some()).all(|bridge| is_made(kernel, bridge));
    let files = files(host);
    let changes: Vec<Step> = files.iter().filter_map(|file| file_step(facts, file)).collect();
    if made && changes.is_empty() {
        return Vec::new();
    }
    let units: Vec<String> =
        std::iter::once(SERVICE.to_owned()).chain(host.nats.iter().map(server)).collect();
    let known: Vec<&str> =
        units.iter().map(String::as_str).filter(|unit| is_known_otherwise(facts, &files, unit)).collect();
    let mut steps: Vec<Step> = known.iter().map(|unit| anew_when_undone(unit)).collect();
    let [undo, reload] = reload(units.iter().filter(|unit| !known.contains(&unit.as_str())));
    steps.push(undo);
    steps.extend(changes);
    steps.push(reload);
    // Nothing is forwarded before the table is there, nor after it is gone.
    let mut starts = units.iter().map(|unit| start(unit));
    steps.extend(starts.next());
    steps.extend((!host.nats.is_empty()).then(|| forwarding::step(facts)));
    steps.extend(starts);
    steps.extend(known.into_iter().map(anew));
    steps
}

/// Whether a unit is there already and one of its files changes: to start it would do nothing.
fn is_known_otherwise(facts: &Facts, files: &[OwnFile], unit: &str) -> bool {
    let its = || files.iter().filter(|file| file.unit.as_deref() == Some(unit));
    its().any(|file| facts.file(&file.path).is_some())
        && its().any(|file| facts.file(&file.path) != Some(&file.text))
}

/// Returns what holds once they work.
#[must_use]
pub fn checks(host: &Host) -> Vec<Condition> {
    if !needs_table(host) {
        return Vec::new();
    }
    let units = std::iter::once(SERVICE.to_owned()).chain(host.nats.iter().map(server));
    units.map(|unit| Condition::UnitActive { unit }).collect()
}

fn start(unit: &str) -> Step {
    let state = UnitState { enabled: Some(true), active: Some(true) };
    let action = Action::Unit { unit: unit.to_owned(), state };
    let why = "now and at every boot, before guests are started";
    Draft::new(&format!("start {unit}"), format!("Start {unit}"), why, action)
        .risks(&[Risk::TouchesServices])
        .step()
}

fn run(id: &str, title: &str, why: &str, forward: Option<Command>, backward: Option<Command>) -> Draft {
    let action = Action::run(forward, backward);
    Draft::new(id, title, why, action).risks(&[Risk::TouchesServices])
}

/// systemd reads its units again, behind their files in each way. One that has failed is listed without its file too, until
/// it is forgotten.
fn reload<'a>(new: impl Iterator<Item = &'a String>) -> [Step; 2] {
    let why = "systemd reads its units anew when they change";
    let script = "systemctl daemon-reload || exit; \
                  for unit; do systemctl reset-failed \"$unit\" 2>/dev/null || :; done";
    let words = ["-c", script, "sh"].into_iter().map(str::to_owned).chain(new.cloned());
    let undo = Command::new("sh", words).within(120);
    let reload = Command::new("systemctl", ["daemon-reload"]).within(120);
    [
        run("nat-units-undo", "Reload systemd's units if this is undone", why, None, Some(undo)).step(),
        run("nat-units", "Reload systemd's units", why, Some(reload), None).step(),
    ]
}

/// One that runs already goes by its new files.
fn anew(unit: &str) -> Step {
    let command = Command::new("systemctl", ["reload-or-restart", unit]).within(120);
    let title = format!("Start {unit} anew");
    run(&format!("restart {unit}"), &title, CHANGED, Some(command), None).this_boot().step()
}

/// One that does not run yet is left to its start: during boot a wait for it could be one for the undo itself.
fn anew_when_undone(unit: &str) -> Step {
    let script = "if systemctl --quiet is-active \"$1\"; then systemctl reload-or-restart \"$1\"; fi";
    let command = Command::new("sh", ["-c", script, "sh", unit]).within(120);
    let title = format!("Start {unit} anew if this is undone");
    run(&format!("restart-undo {unit}"), &title, CHANGED, None, Some(command)).step()
}

struct OwnFile {
    path: PathBuf,
    /// The unit of ours that goes by it.
    unit: Option<String>,
    text: String,
    why: &'static str,
}

fn file_step(facts: &Facts, file: &OwnFile) -> Option<Step> {
    owner::file_step(&file.path, (&file.text, PLAIN), facts.file(&file.path), file.why)
}

fn files(host: &Host) -> Vec<OwnFile> {
    let sysctl = "# Written by xenup: guests behind dom0 are reached through it. See sysctl.d(5).\nnet.ipv4.ip_forward = 1\n";
    let forwards = (!host.nats.is_empty()).then(|| OwnFile {
        path: Path::new("/etc/sysctl.d").join(SYSCTL_NAME),
        unit: None,
        text: sysctl.to_owned(),
        why: "dom0 carries the packets of guests from the next boot on too",
    });
    let mut files: Vec<OwnFile> = forwards.into_iter().collect();
    files.extend([
        OwnFile {
            path: TABLE.into(),
            unit: Some(SERVICE.to_owned()),
            text: table(host),
            why: "what guests send out leaves with dom0's address; nobody outside begins a connection to them",
        },
        OwnFile {
            path: Path::new("/etc/systemd/system").join(SERVICE),
            unit: Some(SERVICE.to_owned()),
            text: UNIT_TEXT.to_owned(),
            why: "loads the table at boot, and takes it away when it is stopped",
        },
        OwnFile {
            path: DROP_IN.into(),
            unit: None,
            text: DROP_IN_TEXT.to_owned(),
            why: "nftables.service flushes every table, this one too; nothing else of it changes",
        },
    ]);
    for nat in &host.nats {
        files.push(OwnFile {
            path: format!("/etc/xenup/dhcp-{}.conf", nat.name).into(),
            unit: Some(server(nat)),
            text: dnsmasq(nat),
            why: "guests get their addresses, their gateway and names from dom0, on this bridge alone",
        });
        files.push(OwnFile {
            path: Path::new("/etc/systemd/system").join(server(nat)),
            unit: Some(server(nat)),
            text: server_unit(nat),
            why: "runs dnsmasq for that bridge",
        });
    }
    files
}

/// The table is made, emptied and filled in one transaction, so that it may be loaded again at any time.
fn table(host: &Host) -> String {
    let mut text = "\
#!/usr/sbin/nft -f
# Written by xenup: guests behind dom0's address. Loaded by xenup-nat.service; other tables are left alone.
table ip xenup_nat
delete table ip xenup_nat
table ip xenup_nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
"
    .to_owned();
    for nat in &host.nats {
        let _ = writeln!(text, "\t\tip saddr {} oifname != \"{}\" masquerade", nat.subnet, nat.name);
    }
    text.push_str("\t}\n\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n");
    for Nat { name, subnet, .. } in &host.nats {
        // With br_netfilter what goes from guest to guest passes here too, in and out by the same bridge.
        let _ = writeln!(text, "\t\tiifname \"{name}\" ip saddr != {subnet} drop");
        let _ = writeln!(
            text,
            "\t\tiifname != \"{name}\" oifname \"{name}\" ct state established,related accept"
        );
        // What somebody's own table sends to a guest is let through.
        let _ = writeln!(text, "\t\tiifname != \"{name}\" oifname \"{name}\" ct status dnat accept");
        let _ = writeln!(text, "\t\tiifname != \"{name}\" oifname \"{name}\" drop");
    }
    // A guest among others may write dom0's Ethernet address on a packet; dom0 begins to forward for the sake of this table.
    for Isolated { name, .. } in &host.isolated {
        let _ = writeln!(text, "\t\tiifname \"{name}\" oifname != \"{name}\" drop");
        let _ = writeln!(text, "\t\tiifname != \"{name}\" oifname \"{name}\" drop");
    }
    text.push_str("\t}\n}\n");
    text
}

fn dnsmasq(nat: &Nat) -> String {
    let Nat { name, subnet, address, .. } = nat;
    let (first, last) = (subnet.first_host(), subnet.last_host());
    format!(
        "\
# Written by xenup: addresses and names for the guests of {name}. See dnsmasq(8).
interface={name}
except-interface=lo
bind-dynamic
dhcp-authoritative
dhcp-range={first},{last},{mask},12h
dhcp-option=option:router,{address}
dhcp-leasefile=/run/xenup-dhcp-{name}/leases
pid-file=/run/xenup-dhcp-{name}/pid
# A guest's own name is not handed on, nor is an address of a private network asked for outside.
domain-needed
bogus-priv
",
        mask = subnet.netmask(),
    )
}

fn server_unit(nat: &Nat) -> String {
    let name = &nat.name;
    format!(
        "\
# Written by xenup: the DHCP and name service of {name}. See /etc/xenup/dhcp-{name}.conf.
[Unit]
Description=Addresses and names for Xen guests on {name}
After=network.target
Before=xendomains.service

[Service]
# It goes into the background once it listens: a start that succeeds means that guests are served.
Type=forking
PIDFile=/run/xenup-dhcp-{name}/pid
ExecStart=/usr/sbin/dnsmasq --conf-file=/etc/xenup/dhcp-{name}.conf
# Leases outlive a restart of the service, not a reboot: dnsmasq gives an address by the guest's Ethernet address.
RuntimeDirectory=xenup-dhcp-{name}
RuntimeDirectoryPreserve=restart
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"
    )
}
