//! The switch of a live NIC to a bridge, in two namespaces joined by a cable, under echoes from the other end.
//!
//! Decides: how each method is set up and watched, a control before every one. Never: touches this machine's own links.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_rehearse::probe::{Loss, Trace};
use xenup_system::environment::this_program;
use xenup_system::files;
use xenup_system::lab::echo::Prober;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::figures::{Row, Table};
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// The host's address; the asker has .1, which is its gateway.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// An echo a millisecond.
const PERIOD: Duration = Duration::from_millis(1);
/// How long answers come before a method begins, so that both ends know each other.
const SETTLING: Duration = Duration::from_secs(1);
/// What is watched before a method begins, and after it: some cost a second when their command has long ended.
const BEFORE: Duration = Duration::from_millis(300);
const AFTER: Duration = Duration::from_millis(1500);

/// The fewest commands by which ip(8) does it, in the order of a handbook.
const BY_IP: &str = "set -e
ip link add xenbr0 type bridge forward_delay 0 stp_state 0
ip link set xenbr0 up
ip link set eth0 master xenbr0
ip address flush dev eth0
ip address add 192.0.2.10/24 dev xenbr0
ip route add default via 192.0.2.1 dev xenbr0";

/// The same by one process, nothing taken from the NIC before the bridge has it.
const BY_BATCH: &str = "ip -batch - <<'END'
link add xenbr0 address 52:54:00:aa:bb:cc type bridge forward_delay 0 stp_state 0
link set xenbr0 up
address add 192.0.2.10/24 dev xenbr0
link set eth0 master xenbr0
route replace default via 192.0.2.1 dev xenbr0
address delete 192.0.2.10/24 dev eth0
END";

const PLAIN_INTERFACES: &str = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n\tgateway 192.0.2.1\n";
const BRIDGE_INTERFACES: &str = "auto lo\niface lo inet loopback\n\nauto xenbr0\niface xenbr0 inet static\n\
    \taddress 192.0.2.10/24\n\tgateway 192.0.2.1\n\tbridge_ports eth0\n\tbridge_fd 0\n\tbridge_stp off\n\
    \tbridge_maxwait 0\n";

/// What brings the NIC up before, in the host's namespace, and what is then measured.
struct Method {
    name: &'static str,
    /// The tree whose programs do it; `None` for this machine's.
    tree: Option<PathBuf>,
    up: &'static str,
    switch: String,
}

/// Switches by each method in turns.
///
/// # Errors
/// No root, no namespaces, or this machine's own programs that fail. A peer that fails is left out with its words.
pub fn switch(runs: usize) -> Result<Table, Failure> {
    let mut skipped =
        vec!["Xen's own network-bridge scripts of 3.0 and 4.1: no Debian 12 has them".to_owned()];
    let mut methods = methods(&mut skipped)?;
    let mut rows: Vec<Row> = methods.iter().map(|method| Row::new(method.name)).collect();
    let mut control = Row::new("control: sleep 0.2");
    for _ in 0..runs {
        let resting = Method { name: "", tree: None, up: BY_HAND, switch: "sleep 0.2".to_owned() };
        measure(&resting, &mut control)?;
        let mut failed = Vec::new();
        for (at, (method, row)) in methods.iter().zip(&mut rows).enumerate() {
            match measure(method, row) {
                Ok(()) => {}
                Err(error) if at > 0 => failed.push((at, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        for (at, why) in failed.into_iter().rev() {
            rows.remove(at);
            skipped.push(format!("{}: {why}", methods.remove(at).name));
        }
    }
    rows.push(control);
    let notes = vec![
        "an ICMP echo a millisecond from the other end of a veth cable; lost and gap from 0.3 s before the command \
         to 1.5 s after it"
            .to_owned(),
        "ours includes the start of a program of its own; a real NIC adds what its link takes to come back".to_owned(),
    ];
    Ok(Table { name: "network", rows, notes, skipped })
}

/// Brings the NIC up as ip(8) does.
const BY_HAND: &str =
    "ip link set eth0 up && ip address add 192.0.2.10/24 dev eth0 && ip route add default via 192.0.2.1";

fn methods(skipped: &mut Vec<String>) -> Result<Vec<Method>, Failure> {
    let program = this_program()?.display().to_string();
    let mut methods = vec![
        Method {
            name: "xenup",
            tree: None,
            up: BY_HAND,
            switch: format!("{program} switch-here xenbr0 eth0"),
        },
        Method { name: "ip, six commands", tree: None, up: BY_HAND, switch: BY_IP.to_owned() },
        Method { name: "ip -batch, best order", tree: None, up: BY_HAND, switch: BY_BATCH.to_owned() },
    ];
    let by_debian = [
        (
            "ifdown eth0; ifup xenbr0 (ifupdown)",
            "ifupdown",
            "ifdown eth0; cp /bridge /etc/network/interfaces; ifup xenbr0",
        ),
        ("ifreload -a (ifupdown2)", "ifupdown2", "cp /bridge /etc/network/interfaces; ifreload -a"),
    ];
    for (name, package, switch) in by_debian {
        match tree(package) {
            Ok(tree) => methods.push(Method {
                name,
                tree: Some(tree),
                up: "cp /plain /etc/network/interfaces; ifup -a",
                switch: switch.to_owned(),
            }),
            Err(error) => skipped.push(format!("{name}: {error}")),
        }
    }
    Ok(methods)
}

/// A tree in which `package` is installed, with both interfaces files at its root; made once.
fn tree(package: &str) -> Result<PathBuf, Failure> {
    let dir = project().join("target/bench").join(package);
    let spec =
        PlainTree { suite: Suite::Bookworm, packages: &[package, "bridge-utils", "iproute2"], script: "" };
    plain_tree::make(&spec, &dir, &mut |line| eprintln!("{line}"))?;
    files::write(&dir.join("plain"), PLAIN_INTERFACES.as_bytes())?;
    files::write(&dir.join("bridge"), BRIDGE_INTERFACES.as_bytes())?;
    Ok(dir)
}

/// Two namespaces and a cable, gone when dropped.
struct Cable {
    host: String,
    asker: String,
}

impl Cable {
    fn new() -> Result<Self, Failure> {
        let name = |end: &str| format!("xenup-bench-{}-{end}", std::process::id());
        let cable = Self { host: name("host"), asker: name("asker") };
        for namespace in [&cable.host, &cable.asker] {
            Tool::new("ip").args(["netns", "add", namespace]).run()?;
        }
        let Self { host, asker } = &cable;
        let link = format!("link add eth0 address 52:54:00:aa:bb:cc type veth peer name far netns {asker}");
        ip(host, &link)?;
        ip(host, "link set lo up")?;
        ip(asker, "address add 192.0.2.1/24 dev far")?;
        ip(asker, "link set far up")?;
        Ok(cable)
    }

    /// Runs a shell command in the host's namespace; in a tree, with its own /run, where one is named.
    fn host(&self, tree: Option<&Path>, command: &str) -> Result<(), Failure> {
        let tool = Tool::new("ip").args(["netns", "exec", &self.host]);
        let tool = match tree {
            None => tool.args(["sh", "-c", command]),
            Some(tree) => tool.arg("chroot").arg(tree).args(["sh", "-c", command]),
        };
        tool.timeout(Duration::from_secs(60)).run()?;
        Ok(())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for namespace in [&self.host, &self.asker] {
            // Nobody is left to be told; the name says whose it is.
            let _ = Tool::new("ip").args(["netns", "delete", namespace]).output();
        }
    }
}

fn ip(namespace: &str, words: &str) -> Result<(), Failure> {
    Tool::new("ip").args(["-n", namespace]).args(words.split(' ')).run()?;
    Ok(())
}

/// Lets the echoes go on for this long; why they have ended, where they have.
fn watched(prober: &mut Prober, time: Duration) -> Result<(), Failure> {
    if !prober.wait(time) {
        prober.failure()?;
    }
    Ok(())
}

/// Brings the host up, switches it under the eyes of the other end, and adds what that cost to the row.
fn measure(method: &Method, row: &mut Row) -> Result<(), Failure> {
    let cable = Cable::new()?;
    let tree = method.tree.as_deref();
    if let Some(tree) = tree {
        // Each cable is a fresh machine: nothing is up that the last one brought up.
        files::remove_dir_all(&tree.join("run/network"))?;
        files::create_dir_all(&tree.join("run/network"))?;
    }
    cable.host(tree, method.up)?;
    let mut prober = Prober::start(&PathBuf::from("/run/netns").join(&cable.asker), HOST, PERIOD)?;
    watched(&mut prober, SETTLING + BEFORE)?;
    let watch = Stopwatch::start();
    cable.host(tree, &method.switch)?;
    let took = watch.elapsed();
    watched(&mut prober, AFTER)?;
    let trace = Trace::new(prober.stop(Duration::from_millis(200))?, PERIOD);
    let Loss { lost, longest_gap_ms, .. } = trace.loss(SETTLING..Duration::MAX);
    // The default route is what makes a host reachable from beyond its own cable.
    cable.host(None, "ip route show default | grep -q 'via 192.0.2.1 dev '")?;
    row.samples_ms.push(took.as_secs_f64() * 1000.0);
    row.lost.push(lost as f64);
    row.gaps_ms.push(longest_gap_ms);
    Ok(())
}
