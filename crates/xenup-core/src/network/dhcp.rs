//! A DHCP client moves from a NIC to its bridge and keeps its lease.
//!
//! Decides: which clients can be moved, and how a dhclient is (see `dhcpcd` for the other). The lease is kept by the same Ethernet address, the
//! same client identifier (its DUID is in the lease file) and the same lease file under the bridge's name. Source:
//! dhclient(8), dhclient.leases(5), ifupdown's inet.defn and inet6.defn.
//! Never: runs one.

use std::path::PathBuf;

use xenup_engine::action::Action;
use xenup_engine::plan::{Risk, Step};
use xenup_machine::process::Command;

use super::dhcpcd;
use crate::host::Bridge;
use crate::inspect::Finding;
use crate::inspect::facts::{DhcpClient, Facts};
use crate::plan::step::Draft;

/// How long the bridge's client may take until it is bound: it asks for its old lease at once, and for a new one after
/// 15 seconds at most. Debian's dhclient.conf lets it try for 300, and ifup waits as long; a change under a guard does not.
const BOUND_SECONDS: u64 = 90;
/// How long a client may take to go to the background; it does so before it asks.
pub(super) const STARTED_SECONDS: u64 = 30;
/// Go to the background at once; and, which ends the client where nobody answers, ask once.
const AT_ONCE: &str = "-nw";
const ONCE: &str = "-1";

/// The steps of one client, around those that move the addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// The client on the NIC ends, its lease is copied.
    pub before: Vec<Step>,
    /// The client on the bridge begins.
    pub after: Vec<Step>,
}

/// Returns how the clients on the bridge's port move.
///
/// # Errors
/// A finding for each client this version cannot move.
pub fn moves(facts: &Facts, bridge: &Bridge) -> Result<Moved, Vec<Finding>> {
    let mut moved = Moved::default();
    let mut findings = Vec::new();
    for client in facts.network.dhcp_clients.iter().filter(|client| client.link == bridge.port) {
        match (client.program.as_str(), Client::of(client)) {
            ("dhcpcd", _) => match dhcpcd::moves(facts, bridge, client) {
                Ok(Moved { before, after }) => {
                    moved.before.extend(before);
                    moved.after.extend(after);
                }
                Err((why, fix)) => findings.push(cannot(client, bridge, &why, &fix)),
            },
            (_, Some(client)) => {
                moved.before.extend(client.end(bridge));
                moved.after.extend(client.ready(bridge));
                moved.after.push(client.begin(bridge));
            }
            (program, None) => {
                let fix = match program {
                    "dhclient" => format!("restart it by `ifdown {0} && ifup {0}`, on the console", bridge.port),
                    _ => "install dhcpcd-base or isc-dhcp-client and restart the interface on the console, or give it a static address".to_owned(),
                };
                let why = "this version moves a dhclient or a dhcpcd that ifupdown started, and no other DHCP client";
                findings.push(cannot(client, bridge, why, &fix));
            }
        }
    }
    if findings.is_empty() { Ok(moved) } else { Err(findings) }
}

fn cannot(client: &DhcpClient, bridge: &Bridge, why: &str, fix: &str) -> Finding {
    let what = format!("{} (process {}) serves {}", client.program, client.pid, bridge.port);
    Finding::blocking("dhcp-client-not-supported", what, why, fix)
}

/// A dhclient as ifupdown starts it.
struct Client<'a> {
    program: &'a str,
    args: &'a [String],
    port: &'a str,
    pid_file: &'a str,
    lease_file: &'a str,
    ipv6: bool,
}

impl<'a> Client<'a> {
    fn of(client: &'a DhcpClient) -> Option<Self> {
        let (program, args) = client.args.split_first()?;
        let is_dhclient =
            client.program == "dhclient" && (program == "dhclient" || program.ends_with("/dhclient"));
        let value = |option: &str| {
            let place = args.iter().position(|arg| arg == option)?;
            args.get(place + 1).map(String::as_str)
        };
        let (pid_file, lease_file) = (value("-pf")?, value("-lf")?);
        let port = client.link.as_str();
        // Both files have to name the NIC, or the bridge's client would write into them.
        let named = |path: &str| path.starts_with('/') && path.contains(&format!(".{port}."));
        // A dhclient that serves two NICs cannot be moved for one of them.
        let ours = args.iter().filter(|arg| *arg == port).count() == 1;
        (is_dhclient && ours && named(pid_file) && named(lease_file)).then(|| Self {
            program: if program.starts_with('/') { program } else { "/sbin/dhclient" },
            args,
            port,
            pid_file,
            lease_file,
            ipv6: args.iter().any(|arg| arg == "-6"),
        })
    }

    fn id(&self, what: &str, bridge: &Bridge) -> String {
        format!("{}-{what}-{}", if self.ipv6 { "dhcp6" } else { "dhcp" }, bridge.name)
    }

    /// Ends it without a release: its lease and the addresses stay as they are.
    fn end(&self, bridge: &Bridge) -> [Step; 2] {
        let lease_file = self.renamed(self.lease_file, bridge);
        let copy = [
            "-n".to_owned(),
            "-e".to_owned(),
            format!("s/interface \"{}\";/interface \"{}\";/", self.port, bridge.name),
            "-e".to_owned(),
            format!("w {lease_file}"),
            self.lease_file.to_owned(),
        ];
        [
            ended(&self.id("stop", bridge), bridge, stop_dhclient(self.pid_file), self.again()),
            lease_copied(
                &self.id("lease", bridge),
                bridge,
                Command::new("sed", copy).within(30),
                &[lease_file],
            ),
        ]
    }

    /// Starts the client on the port again, where it does not run. The undo does not wait for its lease: the server may
    /// be away, and a client that goes on asking is what was there before.
    fn again(&self) -> Command {
        let matching = ["--start", "--oknodo", "--name", "dhclient", "--pidfile", self.pid_file];
        let start = ["--startas", self.program, "--", AT_ONCE];
        let args = self.args.iter().map(String::as_str).filter(|arg| ![AT_ONCE, ONCE].contains(arg));
        Command::new("start-stop-daemon", matching.into_iter().chain(start).chain(args))
            .within(STARTED_SECONDS)
    }

    /// A DHCPv6 client ends at once while the kernel still looks whether somebody has its link-local address, and on a
    /// new bridge it does for a second or two; ifupdown waits by this script. An undo puts the port's address back
    /// without that look.
    fn ready(&self, bridge: &Bridge) -> Option<Step> {
        let wait =
            Command::new("/lib/ifupdown/wait-for-ll6.sh", [""; 0]).with_env("IFACE", bridge.name.as_str());
        let wait = Action::run(Some(wait.within(30)), None);
        let draft = Draft::new(
            &self.id("ready", bridge),
            format!("Wait until {} has its link-local address", bridge.name),
            "a DHCPv6 client asks from that address, and ends where it has none",
            wait,
        );
        self.ipv6.then(|| draft.this_boot().step())
    }

    fn begin(&self, bridge: &Bridge) -> Step {
        // It stays in the foreground until it is bound; after an undo it had been told not to.
        let args = self.args.iter().filter(|arg| *arg != AT_ONCE).map(|arg| self.renamed(arg, bridge));
        begun(
            &self.id("start", bridge),
            bridge,
            "as ifup would, with ifupdown's own names for its files, so that ifdown finds it",
            Command::new("dhclient", args),
            stop_dhclient(&self.renamed(self.pid_file, bridge)),
        )
    }

    /// Returns an argument as ifupdown would write it for the bridge.
    fn renamed(&self, arg: &str, bridge: &Bridge) -> String {
        if arg == self.port {
            return bridge.name.to_string();
        }
        arg.replace(&format!(".{}.", self.port), &format!(".{}.", bridge.name))
    }
}

/// dhclient leaves its pid file behind where it is killed.
fn stop_dhclient(pid_file: &str) -> Command {
    stop("dhclient", pid_file, &["--remove-pidfile"])
}

/// SIGTERM ends a client without a release, and its addresses stay. `own` are further options for this one.
pub(super) fn stop(program: &str, pid_file: &str, own: &[&str]) -> Command {
    let ends = ["--retry", "TERM/10/KILL/5", "--name", program, "--pidfile", pid_file];
    let args = ["--stop", "--oknodo"].into_iter().chain(own.iter().copied()).chain(ends);
    Command::new("start-stop-daemon", args).within(30)
}

/// The client on the port ends, and begins again where that is undone.
pub(super) fn ended(id: &str, bridge: &Bridge, stop: Command, again: Command) -> Step {
    Draft::new(
        id,
        format!("Stop the DHCP client on {}, keeping its lease", bridge.port),
        format!("a client on the port would take the address back from {}", bridge.name),
        Action::run(Some(stop), Some(again)),
    )
    .risks(&[Risk::CutsNetwork])
    .this_boot()
    .step()
}

/// The bridge's client finds the lease in these files.
pub(super) fn lease_copied(id: &str, bridge: &Bridge, copy: Command, files: &[String]) -> Step {
    let remove = ["-f"].into_iter().chain(files.iter().map(String::as_str));
    let copy = Action::Run {
        forward: Some(copy),
        backward: Some(Command::new("rm", remove).within(30)),
        generates: files.iter().map(PathBuf::from).collect(),
        put_back: false,
        once: false,
    };
    let title = format!("Copy the lease of {} to {}", bridge.port, bridge.name);
    Draft::new(id, title, "the server then sees the same client and gives the same address", copy).step()
}

/// The client on the bridge begins.
pub(super) fn begun(id: &str, bridge: &Bridge, why: &str, client: Command, stop: Command) -> Step {
    let title = format!("Start the DHCP client on {}, with that lease", bridge.name);
    Draft::new(id, title, why, Action::run(Some(client.within(BOUND_SECONDS)), Some(stop)))
        .risks(&[Risk::CutsNetwork])
        .this_boot()
        .step()
}
