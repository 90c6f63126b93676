//! What a test of a bridge needs around it: traffic, a DHCP server, a plan from the machine's own facts, a confirmation.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;
use xenup_core::host::Host;
use xenup_core::inspect::Facts;
use xenup_core::network::plan::{NetworkPlan, plan};

use super::Container;

/// A deadline for what is confirmed: longer than a busy machine takes for all that comes before.
pub const LONG: &str = "600";

/// Writes the network's part of the plan that this machine's own facts give.
pub fn write_plan(container: &Container, host: &str) {
    let mut said: serde_json::Value =
        serde_json::from_str(&container.run(&["xenup", "inspect", "--json"])).unwrap();
    let facts: Facts = serde_json::from_value(said["facts"].take()).unwrap();
    let host = Host::parse(Path::new("host.toml"), host.as_bytes()).unwrap();
    let network = plan(&facts, &host).unwrap();
    let plan = json!({"schema": 1, "machine_id": facts.machine_id, "purpose": "a test",
        "stages": [{"id": "network", "title": "The bridges", "guard": NetworkPlan::guard(),
                    "steps": network.steps, "checks": network.checks}]});
    std::fs::write(container.path("/root/plan.json"), plan.to_string()).unwrap();
}

/// Confirms from a new connection to that address, and waits for the guard's end.
pub fn confirm(container: &Container, at: &str) {
    let guard = container.pid_of("xenup-guard-");
    let output = container.ssh_to(at, &[], &["xenup", "confirm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    container.wait_for_end(guard);
}

/// Rolls a confirmed network back, and confirms that over a new connection to that address.
pub fn roll_back(container: &Container, at: &str) {
    let back = container.output(&["xenup", "rollback", "--yes", "--deadline", LONG]);
    let words = String::from_utf8_lossy(&back.stderr).into_owned();
    assert_eq!(back.status.code(), Some(6), "{words}\n{}", container.logs());
    confirm(container, at);
}

/// A hundred packets a second from outside, until it is asked what came of them.
pub struct Traffic(Option<Child>);

impl Traffic {
    pub fn begin(container: &Container, to: &str) -> Self {
        let mut ping = container.outer_program("/usr/bin/ping");
        Self(Some(ping.args(["-q", "-i", "0.01", to]).stdout(Stdio::piped()).spawn().unwrap()))
    }

    /// Prints how many were sent and how many came back.
    pub fn end(mut self) {
        let ping = self.0.take().unwrap();
        let pid = ping.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let said = String::from_utf8(ping.wait_with_output().unwrap().stdout).unwrap();
        let line = said.lines().find(|line| line.contains("packets transmitted")).unwrap();
        println!("{line}");
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        if let Some(ping) = &mut self.0 {
            let _ = ping.kill();
            let _ = ping.wait();
        }
    }
}

/// The IPv4 address on a link.
pub fn address(container: &Container, link: &str) -> String {
    let said = container.run(&["ip", "-4", "-o", "address", "show", "dev", link]);
    said.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
}

/// A DHCP server outside.
pub struct Server(Child);

impl Server {
    pub fn begin(container: &Container) -> Self {
        Self::begin_with(container, &[])
    }

    /// One that advertises an IPv6 network as well.
    pub fn begin_router(container: &Container) -> Self {
        Self::begin_with(container, &["--enable-ra", "--dhcp-range=fd00:213::,ra-only"])
    }

    fn begin_with(container: &Container, more: &[&str]) -> Self {
        let mut server = container.outer_program("/usr/sbin/dnsmasq");
        server.args([
            "-k",
            "--port=0",
            "--interface=ve-guarded",
            "--dhcp-authoritative",
            "--user=root",
            "--log-dhcp",
        ]);
        server.args(["--dhcp-range=10.213.0.100,10.213.0.150,120s", "--no-ping", "--pid-file="]);
        server.args(["--dhcp-leasefile=/root/leases", "--log-facility=/root/dhcp.log"]);
        Self(server.args(more).spawn().unwrap())
    }

    /// A reboot takes the link outside away as well.
    pub fn again(self, container: &Container) -> Self {
        drop(self);
        Self::begin(container)
    }

    pub fn log(&self, container: &Container) -> String {
        container.read("/root/dhcp.log")
    }

    pub fn leases(&self, container: &Container) -> String {
        let all = container.read("/root/leases");
        all.lines().filter(|line| !line.starts_with("duid")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
