//! The switch of a live NIC to a bridge and back, in two namespaces joined by a cable, under traffic from the other end.
//!
//! Decides: which methods there are, how each is set up, and in which turns they are measured, a control before every
//! turn. Never: touches this machine's own links.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_system::environment::this_program;
use xenup_system::files;
use xenup_system::stopwatch::Stopwatch;

use super::Settings;
use super::cable::{Cable, Cost};
use super::figures::{Row, Table, share, spread};
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// No switch may leave the host silent for longer.
const STALL_MS: f64 = 10.0;
/// From the enslave to the last address off the port.
const CRITICAL_MS: f64 = 0.2;
/// Connections to the host, and as many from it.
const CONNECTIONS: u32 = 150;

/// Brings the NIC up as ip(8) does.
const BY_HAND: &str = "set -e
ip link set eth0 up
ip address add 192.0.2.10/24 dev eth0
ip address add 2001:db8:99::10/64 dev eth0 nodad
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8:99::1";

/// The same, on a host that drops what came by a link it would not answer by.
const BY_HAND_STRICT: &str = "set -e
for conf in all default eth0; do echo 1 >/proc/sys/net/ipv4/conf/$conf/rp_filter; done
ip link set eth0 up
ip address add 192.0.2.10/24 dev eth0
ip address add 2001:db8:99::10/64 dev eth0 nodad
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8:99::1";

/// The fewest commands by which ip(8) does it, in the order of a handbook.
const BY_IP: &str = "ip link set xenbr0 up
ip link set eth0 master xenbr0
ip address flush dev eth0
ip address add 192.0.2.10/24 dev xenbr0
ip address add 2001:db8:99::10/64 dev xenbr0 nodad
ip route add default via 192.0.2.1 dev xenbr0
ip -6 route replace default via 2001:db8:99::1 dev xenbr0";

/// The same by one process, nothing taken from the NIC before the bridge has it.
const BY_BATCH: &str = "ip -batch - <<'END'
link add xenbr0 address 52:54:00:aa:bb:cc type bridge forward_delay 0 stp_state 0
link set xenbr0 up
address add 192.0.2.10/24 dev xenbr0
address add 2001:db8:99::10/64 dev xenbr0 nodad
link set eth0 master xenbr0
route replace default via 192.0.2.1 dev xenbr0
route replace default via 2001:db8:99::1 dev xenbr0
address delete 192.0.2.10/24 dev eth0
address delete 2001:db8:99::10/64 dev eth0
END";

/// It moves IPv4 alone.
const NETWORK_BRIDGE: &str = "network-bridge start (Xen's own; IPv6 is lost)";

/// A stanza for each family: what both interfaces files have under another name.
const ADDRESSES: &str = "\taddress 192.0.2.10/24\n\tgateway 192.0.2.1\n";
const ADDRESSES6: &str = "\taddress 2001:db8:99::10/64\n\tgateway 2001:db8:99::1\n";

/// How a switch is done.
struct Method {
    name: &'static str,
    /// The tree whose programs do it; `None` for this machine's.
    tree: Option<PathBuf>,
    up: &'static str,
    switch: String,
    /// What takes it back, where that is measured too.
    back: Option<String>,
    /// Of how many turns it is measured in one.
    every: usize,
    /// Whether IPv6 has a default route afterwards.
    ipv6: bool,
}

/// What a switch of ours says about itself.
#[derive(Deserialize)]
struct Told {
    critical_ms: f64,
    whole_ms: f64,
}

/// Switches by each method in turns.
///
/// # Errors
/// No root, no namespaces, or this machine's own programs that fail. A peer that fails is left out with its words.
pub fn switch(settings: &Settings) -> Result<Table, Failure> {
    let mut skipped = Vec::new();
    let mut methods = methods(settings, &mut skipped)?;
    let mut rows: Vec<Row> = methods.iter().map(|method| Row::new(method.name)).collect();
    let mut back = Row::new("xenup, back again");
    let mut control = Row::new("control: sleep 0.05");
    let (mut critical, mut whole) = (Vec::new(), Vec::new());
    let record = project().join("target/bench/switch.json");
    let load = || files::read_text(Path::new("/proc/loadavg")).map(|text| text.trim().to_owned());
    let loads = [load()?];
    for turn in 0..settings.runs {
        let resting = Method {
            name: "",
            tree: None,
            up: BY_HAND,
            switch: "sleep 0.05".to_owned(),
            back: None,
            every: 1,
            ipv6: true,
        };
        measure(&resting, &mut control, None)?;
        let mut failed = Vec::new();
        for (at, (method, row)) in methods.iter().zip(&mut rows).enumerate() {
            if turn % method.every != 0 {
                continue;
            }
            match measure(method, row, Some(&mut back)) {
                Ok(()) if at == 0 => {
                    let told: Told = serde_json::from_str(&files::read_text(&record)?)?;
                    critical.push(told.critical_ms);
                    whole.push(told.whole_ms);
                }
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
    rows.insert(1, back);
    rows.push(control);
    let mut notes = vec![
        "a UDP echo every 0.2 ms over each of IPv4 and IPv6, from the other end of a veth cable; lost (both together) \
         and gap (the longer) from 0.2 s before the command to 1.5 s after it"
            .to_owned(),
        "ours includes the start of a program of its own; a real NIC adds what its link takes to come back".to_owned(),
        format!("load of this machine before and after: {}; {}", loads.concat(), load()?),
    ];
    let (least, median, most) = spread(&whole);
    notes.push(format!("all operations of the switch: {median:.2} ms ({least:.2}-{most:.2})"));
    let (least, median, most) = spread(&critical);
    notes.push(format!(
        "from the enslave to the last address off the port: {median:.3} ms ({least:.3}-{most:.3}); bound {CRITICAL_MS}: {}",
        verdict(median <= CRITICAL_MS)
    ));
    notes.extend(rows.iter().take(2).map(bounds));
    Ok(Table { name: "network", rows, notes, skipped })
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// What a row of ours is held to, with what it did.
fn bounds(row: &Row) -> String {
    let runs = row.lost.len();
    let stalls = row.gaps_ms.iter().filter(|gap| **gap > STALL_MS).count();
    let most = row.lost.iter().copied().fold(0.0, f64::max);
    let whole = row.lost.iter().filter(|lost| **lost == 0.0).count();
    format!(
        "{}: gaps over {STALL_MS} ms in {stalls} of {runs} ({}); {most} lost at most, bound 1 ({}); nothing lost in {} \
         of switches, bound 0.95 ({})",
        row.name,
        verdict(stalls == 0),
        verdict(most <= 1.0),
        share(whole, runs),
        verdict(whole * 20 >= runs * 19)
    )
}

fn methods(settings: &Settings, skipped: &mut Vec<String>) -> Result<Vec<Method>, Failure> {
    let program = this_program()?.display().to_string();
    let record = project().join("target/bench/switch.json").display().to_string();
    let ours = format!("{program} switch-here xenbr0 eth0 --record {record}");
    let some = (settings.runs / 50).max(1);
    let few = (settings.runs / 20).max(1);
    let by_ip = |bridge: &str| format!("set -e\n{bridge}\n{BY_IP}");
    let plain =
        |name, switch, every| Method { name, tree: None, up: BY_HAND, switch, back: None, every, ipv6: true };
    let mut methods = vec![
        Method { back: Some(format!("{ours} --back")), ..plain("xenup", ours.clone(), 1) },
        Method { up: BY_HAND_STRICT, ..plain("xenup, rp_filter=1", ours.clone(), some) },
        plain("xenup, routes before the enslave", format!("{ours} --routes-first"), some),
        plain("ip, eight commands", by_ip("ip link add xenbr0 type bridge"), few),
        plain(
            "ip, eight commands, forward_delay 0",
            by_ip("ip link add xenbr0 type bridge forward_delay 0 stp_state 0"),
            few,
        ),
        plain("ip -batch, best order", BY_BATCH.to_owned(), few),
    ];
    let by_ifup = |file: &str| format!("ifdown eth0; cp /{file} /etc/network/interfaces; ifup xenbr0");
    let mut by_debian = vec![
        ("ifdown, ifup (ifupdown)", "ifupdown", by_ifup("bridge")),
        ("ifdown, ifup, bridge_fd 0, bridge_maxwait 0", "ifupdown", by_ifup("bridge-fd0")),
        (
            "ifreload -a (ifupdown2)",
            "ifupdown2",
            "cp /bridge-fd0 /etc/network/interfaces; ifreload -a".to_owned(),
        ),
    ];
    match &settings.old_scripts {
        Some(_) => by_debian.push((
            NETWORK_BRIDGE,
            "ifupdown",
            "/etc/xen/scripts/network-bridge start netdev=eth0".to_owned(),
        )),
        None => skipped.push("Xen's own network-bridge: no folder named by --old-scripts".to_owned()),
    }
    for (name, package, switch) in by_debian {
        match tree(package, settings.old_scripts.as_deref()) {
            Ok(tree) => methods.push(Method {
                name,
                tree: Some(tree),
                up: "cp /plain /etc/network/interfaces; ifup -a",
                switch,
                back: None,
                every: few,
                ipv6: name != NETWORK_BRIDGE,
            }),
            Err(error) => skipped.push(format!("{name}: {error}")),
        }
    }
    Ok(methods)
}

/// A tree in which `package` is installed, with the interfaces files at its root; made once.
fn tree(package: &str, old_scripts: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = project().join("target/bench").join(package);
    let packages = [package, "bridge-utils", "iproute2", "net-tools", "gawk"];
    let spec = PlainTree { suite: Suite::Bookworm, packages: &packages, script: "" };
    plain_tree::make(&spec, &dir, &mut |line| eprintln!("{line}"))?;
    let stanzas = |name: &str, bridge: &str| {
        let lo = "auto lo\niface lo inet loopback\n\n";
        format!(
            "{lo}auto {name}\niface {name} inet static\n{ADDRESSES}{bridge}\niface {name} inet6 static\n{ADDRESSES6}"
        )
    };
    files::write(&dir.join("plain"), stanzas("eth0", "").as_bytes())?;
    files::write(&dir.join("bridge"), stanzas("xenbr0", "\tbridge_ports eth0\n").as_bytes())?;
    let at_once = "\tbridge_ports eth0\n\tbridge_fd 0\n\tbridge_stp off\n\tbridge_maxwait 0\n";
    files::write(&dir.join("bridge-fd0"), stanzas("xenbr0", at_once).as_bytes())?;
    if let Some(from) = old_scripts {
        let to = dir.join("etc/xen/scripts");
        files::create_dir_all(&to)?;
        for script in files::list(from)? {
            let to = to.join(script.file_name().ok_or("a script without a name")?);
            files::write(&to, old_script(&files::read_text(&script)?).as_bytes())?;
            files::set_mode(&to, 0o755)?;
        }
    }
    Ok(dir)
}

/// Today's ifupdown says `onlink` beside a gateway, and today's brctl prints no heading over nothing: the scripts trip
/// over both.
fn old_script(text: &str) -> String {
    text.replace("'s/default via //'", "'s/default via //; s/ onlink.*//'")
        .replace("wc -l` -gt 1", "wc -l` -gt 0")
}

/// Brings the host up, switches it under the eyes of the other end, and adds what that cost to the row; the same for the
/// way back, where the method has one.
fn measure(method: &Method, row: &mut Row, back: Option<&mut Row>) -> Result<(), Failure> {
    let cable = brought_up(method)?;
    let mut watched = cable.watch()?;
    let mut took = Vec::new();
    let mut stretches = Vec::new();
    let commands = [Some(&method.switch), method.back.as_ref()];
    for command in commands.into_iter().flatten() {
        stretches.push(watched.during(|| {
            let watch = Stopwatch::start();
            cable.host(method.tree.as_deref(), command)?;
            took.push(watch.elapsed().as_secs_f64() * 1000.0);
            Ok(())
        })?);
    }
    let costs = watched.stop(&stretches)?;
    // The default routes are what makes a host reachable from beyond its own cable.
    cable.host(None, "ip route show default | grep -q 'via 192.0.2.1 dev '")?;
    if method.ipv6 {
        cable.host(None, "ip -6 route show default | grep -q 'via 2001:db8:99::1 dev '")?;
    }
    let rows = [Some(row), back.filter(|_| method.back.is_some())];
    for (row, (cost, took)) in rows.into_iter().flatten().zip(costs.into_iter().zip(took)) {
        let Cost { sent, lost, gap_ms } = cost;
        row.samples_ms.push(took);
        row.sent.push(sent as f64);
        row.lost.push(lost as f64);
        row.gaps_ms.push(gap_ms);
    }
    Ok(())
}

fn brought_up(method: &Method) -> Result<Cable, Failure> {
    let cable = Cable::new()?;
    let tree = method.tree.as_deref();
    if let Some(tree) = tree {
        // Each cable is a fresh machine: nothing is up that the last one brought up.
        files::remove_dir_all(&tree.join("run/network"))?;
        files::create_dir_all(&tree.join("run/network"))?;
    }
    cable.host(tree, method.up)?;
    Ok(cable)
}

/// Switches under connections that are talked over, in turns with a control.
///
/// # Errors
/// As [`switch`].
pub fn connections(settings: &Settings) -> Result<Table, Failure> {
    let mut skipped = Vec::new();
    let methods = methods(&Settings { old_scripts: None, ..settings.clone() }, &mut skipped)?;
    let ours = methods.first().ok_or("no method of ours")?;
    let (mut row, mut control) = (Row::new("xenup: longest wait"), Row::new("control: longest wait"));
    let (mut again, mut again_resting, mut broken, mut answers) = (0, 0, 0, 0);
    for _ in 0..settings.runs {
        for (switched, row, again) in
            [(false, &mut control, &mut again_resting), (true, &mut row, &mut again)]
        {
            let cable = brought_up(ours)?;
            let command = if switched { &ours.switch } else { "sleep 0.05" };
            let talk = Cable::talked(cable.talk(CONNECTIONS)?, || cable.host(None, command))?;
            let longest = talk.longest.iter().max().copied().unwrap_or_default();
            row.samples_ms.push(longest.as_secs_f64() * 1000.0);
            *again += talk.sent_again;
            broken += talk.broken;
            answers += talk.answers;
        }
    }
    let notes = vec![
        format!(
            "{} connections, half of them opened by the host, a byte there and back over each every 50 ms; the longest \
             wait of any in a run",
            2 * CONNECTIONS
        ),
        format!(
            "segments sent again: {again} in {} switches, {again_resting} in as many controls; connections broken: {broken}; \
             answers: {answers}",
            settings.runs
        ),
    ];
    skipped.clear();
    Ok(Table { name: "connections", rows: vec![row, control], notes, skipped })
}
