//! A bridge that nobody confirms, on a machine that boots: whatever ends or hangs meanwhile, and whenever the power goes, the
//! network is its owner's again, as it was.
//!
//! Decides what is disturbed and what must be as before. Never helps the machine back.

use serde_json::Value;
use xenup_system::files;

use super::bench::{AWAITING, Bench, SHORT};
use super::failure::Failure;
use super::switch::APPLY;
use super::{Owner, plain};
use crate::console::Pattern;
use crate::event::{Recorder, StepScope};
use crate::network;

/// How often each disturbance is played.
const ROUNDS: usize = 3;
/// The machine whose network is the owner's, and the same with a bridge that waits for its confirm.
const OWNED: &str = "owned";
const WAITING: &str = "waiting";
/// Seconds: time enough for an emulated machine to switch and to look; in the second, nobody is waited for.
const SOON: &str = "xenup apply /root/plan.json --yes --deadline 40";
const LATER: &str = "xenup apply /root/plan.json --yes --deadline 900";
/// The line of the first step, and that of the switch.
const FIRST: &str = "  1/";
const SWITCH: &str = "Make xenbr0 over enp0s2";
const HOST: &str = "printf '[boot]\\ndefault = \"linux\"\\n\\n[[bridge]]\\nname = \"xenbr0\"\\nports = [\"enp0s2\"]\\naddress = \
    \"keep\"\\n' > /root/host.toml";
/// logind ends what a connection leaves behind, as some hosts have it.
const KILL_USERS: &str = "mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\nKillUserProcesses=yes\\n' > \
    /etc/systemd/logind.conf.d/kill.conf && systemctl restart systemd-logind";

/// Every file of the network with its bytes and attributes, and what the kernel has, without what counts down.
const PICTURE: &str = r#"cat > /root/picture <<'END'
cd /
find etc/network etc/netplan etc/systemd/network etc/NetworkManager ! -type d -exec stat -c '%n %U:%G %a %Y %N' {} + 2> /dev/null | sort
find etc/network etc/netplan etc/systemd/network etc/NetworkManager -type f -exec md5sum {} + 2> /dev/null | sort
ip -o -4 address show | cut -d' ' -f2- | sed 's/valid_lft.*//; s/ brd [0-9.]*//; s/ metric [0-9]*//; s/ *\\* *$//'
ip -4 route show | sed 's/ *$//'
ip -o link show type bridge | cut -d' ' -f2 | sort
END
sh /root/picture > /root/before && cat /root/before && sync"#;
/// Waits until all is as before, and shows what is not where that does not come.
const AS_BEFORE: &str = "timeout 600 sh -c 'until sh /root/picture | cmp -s - /root/before; do sleep 1; done' || \
    { sh /root/picture | diff /root/before -; false; }";
/// The guard's own end, and what it leaves: nothing under way.
const ENDED: &str = "timeout 300 sh -c 'until ! pgrep -x xenup > /dev/null; do sleep 1; done'; xenup status";

/// What happens while nobody confirms.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    /// Nothing else.
    Nobody,
    /// The connection over which it was asked for breaks, and logind ends all that belonged to it.
    Connection,
    /// Whoever waits for it is hung up on.
    HungUp,
    /// The process that carries it out is killed.
    Killed,
    /// It is stopped.
    Stopped,
    /// The power goes before the switch.
    PowerBefore,
    /// The power goes while it waits for a confirm.
    PowerAfter,
    /// The machine is restarted while it waits for a confirm.
    Restarted,
}

use Disturbance::{Connection, HungUp, Killed, Nobody, PowerAfter, PowerBefore, Restarted, Stopped};

const ALL: [Disturbance; 8] =
    [Nobody, Connection, HungUp, Killed, Stopped, PowerBefore, PowerAfter, Restarted];

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, owner: Owner) -> Result<(), Failure> {
    rec.step("install the package", |s| plain::install(bench, s))?;
    rec.step(&format!("{} owns the network", owner.name()), |s| {
        bench.run(s, KILL_USERS, 0, SHORT)?;
        owner.takes_over(bench, s)?;
        bench.outside(s, "echo reached from outside", 0)?;
        bring_plan(bench, s)?;
        bench.run(s, PICTURE, 0, SHORT)?;
        Ok::<_, Failure>(bench.vm.snapshot(OWNED)?)
    })?;
    rec.step("a bridge that waits for its confirm", |s| {
        bench.run(s, LATER, AWAITING, APPLY)?;
        bench.says(s, "ip -br address show dev xenbr0", "10.99.0.10/")?;
        Ok::<_, Failure>(bench.vm.snapshot(WAITING)?)
    })?;
    for round in 1..=ROUNDS {
        for disturbance in ALL {
            rec.step(&format!("{}, {round} of {ROUNDS}", disturbance.title()), |s| {
                bench.vm.restore(disturbance.begins())?;
                bench.vm.console().set_clock()?;
                disturbance.play(bench, s)?;
                as_before(bench, s, owner)
            })?;
        }
    }
    Ok(())
}

/// The network's part of the plan alone: no package is installed for a bridge that will not stay.
fn bring_plan(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.run(s, HOST, 0, SHORT)?;
    let told = bench.ssh.run(network::VM, "xenup plan --host /root/host.toml --json 2> /dev/null", APPLY)?;
    let unexpected =
        |found: String| Failure::unexpected("`xenup plan --json`", "a plan with a stage network", found);
    let mut said: Value = serde_json::from_str(told.output.trim())
        .map_err(|error| unexpected(format!("{error}\n{}", told.output)))?;
    let mut plan = said["plan"].take();
    let stages = plan["stages"].as_array_mut().ok_or_else(|| unexpected(told.output.clone()))?;
    stages.retain(|stage| stage["id"] == "network");
    if stages.is_empty() {
        return Err(unexpected(told.output));
    }
    Ok(bench.ssh.put_bytes(network::VM, plan.to_string().into_bytes(), "/root/plan.json", SHORT)?)
}

/// The guard has done its work by itself: files and kernel are as they were, and somebody from outside gets in.
fn as_before(bench: &mut Bench, s: &mut StepScope<'_, '_>, owner: Owner) -> Result<(), Failure> {
    bench.run(s, AS_BEFORE, 0, APPLY)?;
    bench.run(s, ENDED, 0, APPLY)?;
    owner.is_up(bench, s)?;
    bench.run(s, AS_BEFORE, 0, APPLY)?;
    bench.outside(s, "echo reached from outside", 0).map(|_| ())
}

impl Disturbance {
    const fn title(self) -> &'static str {
        match self {
            Nobody => "nobody confirms",
            Connection => "the connection breaks, and logind ends what it left",
            HungUp => "the one who asked is hung up on",
            Killed => "what carries it out is killed",
            Stopped => "what carries it out is stopped",
            PowerBefore => "the power goes before the switch",
            PowerAfter => "the power goes before the confirm",
            Restarted => "a restart before the confirm",
        }
    }

    const fn begins(self) -> &'static str {
        match self {
            PowerAfter | Restarted => WAITING,
            _ => OWNED,
        }
    }

    fn play(self, bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
        match self {
            Nobody => bench.run(s, SOON, AWAITING, APPLY).map(|_| ()),
            Connection => in_the_switch(bench, s, "true"),
            HungUp => in_the_switch(bench, s, "kill -HUP $(pgrep -o -x xenup)"),
            Killed => in_the_switch(bench, s, "kill -KILL $(cut -d' ' -f1 /run/xenup/xenup-apply-*.state)"),
            Stopped => in_the_switch(bench, s, "kill -STOP $(cut -d' ' -f1 /run/xenup/xenup-apply-*.state)"),
            PowerBefore => {
                let console = bench.vm.console();
                console.send(&format!("{LATER}\n"))?;
                console.expect(&Pattern::text(FIRST), APPLY)?;
                bench.lose_power()
            }
            PowerAfter => bench.lose_power(),
            Restarted => bench.restart(s),
        }
    }
}

/// Applies over a connection; once the switch has begun, runs a command on the console and breaks the connection.
fn in_the_switch(bench: &mut Bench, s: &mut StepScope<'_, '_>, command: &str) -> Result<(), Failure> {
    let log = bench.lab.path().join("disturbed.log");
    let applied = format!("{SOON} > /root/apply.log 2>&1");
    let client = bench.ssh.spawn(network::VM, &applied, &log)?;
    let begun = format!(
        "timeout 600 sh -c 'until grep -q \"{SWITCH}\" /root/apply.log 2> /dev/null; do sleep 0.1; done'"
    );
    let came = bench.run(s, &format!("{begun} && {command}"), 0, APPLY);
    drop(client);
    if came.is_err() {
        let said = files::read_text(&log).unwrap_or_default();
        s.excerpt("outside", &said);
    }
    came?;
    // It was not undone before anybody disturbed it: the bridge is there, or has been.
    bench.run(s, "cat /root/apply.log; test -s /root/apply.log", 0, SHORT).map(|_| ())
}
