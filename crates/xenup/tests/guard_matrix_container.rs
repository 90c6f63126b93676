//! The guard for each owner of a Debian network: whatever ends or hangs while a bridge is made, and whenever the machine goes
//! down, the network is as it was before. Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    reason = "the test drives a container, and uses its part of the support"
)]

mod container;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use container::cable::write_plan;
use container::owners::{Owner, picture, says, settled};
use container::{Container, Suite, skipped};

/// How often each disturbance is played.
const ROUNDS: usize = 3;
/// The shortest that `apply` takes.
const DEADLINE: &str = "20";
const APPLY: [&str; 6] = ["xenup", "apply", "/root/plan.json", "--yes", "--deadline", DEADLINE];
const HOST: &str =
    "[boot]\ndefault = \"linux\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"host0\"]\naddress = \"keep\"\n";
/// The line of the switch, and that of the first step.
const SWITCH: &str = "Make xenbr0 over host0";
const FIRST: &str = "  1/";

/// What happens while a bridge is made.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    /// Nobody confirms.
    Nobody,
    /// The connection over which it was asked for ends in the middle.
    Connection,
    /// Whoever waits for it is hung up on.
    HungUp,
    /// The process that carries it out is killed in the middle.
    Killed,
    /// It is stopped in the middle.
    Stopped,
    /// The gateway does not answer once the bridge is there.
    DeadGateway,
    /// The power goes before the switch.
    PowerBefore,
    /// The power goes while it waits for a confirm.
    PowerAfter,
    /// The machine is restarted while it waits for a confirm.
    Restarted,
}

use Disturbance::{
    Connection, DeadGateway, HungUp, Killed, Nobody, PowerAfter, PowerBefore, Restarted, Stopped,
};

const ALL: [Disturbance; 9] =
    [Nobody, Connection, HungUp, Killed, Stopped, DeadGateway, PowerBefore, PowerAfter, Restarted];

impl Disturbance {
    fn play(self, container: &mut Container, at: &str) {
        match self {
            Nobody => waits(container),
            Connection => {
                let mut ssh = reaches(&mut container.ssh_to(at, &[], &APPLY), SWITCH);
                ssh.kill().unwrap();
                ssh.wait().unwrap();
            }
            HungUp => signalled(container, "HUP", "pgrep -o -f 'xenup apply /root/plan.json'"),
            Killed => signalled(container, "KILL", "cut -d' ' -f1 /run/xenup/xenup-apply-*.state"),
            Stopped => signalled(container, "STOP", "cut -d' ' -f1 /run/xenup/xenup-apply-*.state"),
            DeadGateway => {
                let gateway = |verb| ["address", verb, "10.213.0.1/24", "dev", "ve-guarded"];
                let ip = |words: [&str; 5]| container.outer_command("ip").args(words).status().unwrap();
                assert!(ip(gateway("delete")).success());
                let output = container.output(&APPLY);
                assert!(ip(gateway("replace")).success());
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                // The gateway lends addresses too: a dhclient asks for its own until the guard's time ends it.
                assert!(matches!(output.status.code(), Some(1 | 3)), "{words}");
            }
            PowerBefore => {
                let mut client = reaches(&mut container.command(&APPLY), FIRST);
                container.power_cut();
                client.wait().unwrap();
            }
            PowerAfter => {
                waits(container);
                container.power_cut();
            }
            Restarted => {
                waits(container);
                container.reboot();
            }
        }
    }
}

/// Makes the bridge, up to where it waits for a confirm.
fn waits(container: &Container) {
    let output = container.output(&APPLY);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{words}\n{}", says(container));
}

/// Starts a command, and returns it once it has said these words.
fn reaches(command: &mut Command, words: &str) -> Child {
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(words) {
            return child;
        }
        said.push_str(&line);
        said.push('\n');
    }
    child.wait().unwrap();
    panic!("`{words}` was never said:\n{said}");
}

/// Sends a signal, in the middle of the switch, to the process whose id a script tells.
fn signalled(container: &Container, signal: &str, whose: &str) {
    let mut client = reaches(&mut container.command(&APPLY), SWITCH);
    container.output(&["sh", "-c", &format!("kill -{signal} $({whose})")]);
    // What is stopped ends with its deadline.
    client.wait().unwrap();
}

fn undone_by_itself(owner: Owner, suite: Suite) {
    if skipped() {
        return;
    }
    let name = format!("{}-{}-guard", owner.name(), suite.name());
    let mut container = owner.boot(&name, suite, 1);
    let at = settled(&container, owner, "host0");
    let before = picture(&container);
    for disturbance in ALL {
        for round in 1..=ROUNDS {
            write_plan(&container, HOST);
            disturbance.play(&mut container, &at);
            container.guards_end();
            assert_eq!(settled(&container, owner, "host0"), at, "{name}: {disturbance:?}, round {round}");
            let now = picture(&container);
            assert_eq!(now, before, "{name}: {disturbance:?}, round {round}\n{}", says(&container));
        }
        println!("{name}: {disturbance:?}: undone {ROUNDS} times of {ROUNDS}");
    }
}

#[test]
fn ifupdown_with_a_static_address() {
    undone_by_itself(Owner::IfupdownStatic, Suite::Bookworm);
}

#[test]
fn ifupdown_with_a_dhclient() {
    undone_by_itself(Owner::IfupdownDhcp, Suite::Bookworm);
}

#[test]
fn ifupdown_with_a_dhcpcd() {
    undone_by_itself(Owner::IfupdownDhcp, Suite::Trixie);
}

#[test]
fn networkd() {
    undone_by_itself(Owner::Networkd, Suite::Trixie);
}

#[test]
fn netplan() {
    undone_by_itself(Owner::Netplan, Suite::Trixie);
}

#[test]
fn networkmanager() {
    undone_by_itself(Owner::NetworkManager, Suite::Trixie);
}
