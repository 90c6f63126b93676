//! Things break on purpose: power cuts, a link that is cut, hypervisors that die. Each time the machine has to come
//! back by itself, on Linux and with its network, and xenup has to know what happened.
//!
//! Decides what is broken and how. Never helps the machine back: for a hard hang it presses the reset button, no more.

use std::time::Duration;

use super::bench::{AWAITING, BOOT, Bench, SHORT, tenths};
use super::failure::Failure;
use super::switch::{APPLY, watch};
use super::{conversion, plain};
use crate::console::Pattern;
use crate::event::{Recorder, StepScope};
use crate::network;
use crate::probe::Probing;

/// Seconds that nobody uses to confirm; the least that `apply` takes is 20.
const DEADLINE: u64 = 40;
/// The deadline, and what an emulated machine needs to undo a stage.
const RESTORED: Duration = Duration::from_secs(300);
/// A trial boot whose checks fail: their own patience, the restart, and the boot after it.
const TRIAL: Duration = Duration::from_secs(2400);
/// The machine with the trial armed and nothing broken yet.
const ARMED: &str = "armed";
/// The machine with the network switched and not confirmed.
const SWITCHED: &str = "switched";

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("install the package", |s| plain::install(bench, s))?;
    conversion::plan(bench, rec)?;
    rec.step("power cut while apt unpacks the hypervisor", |s| cut_inside_apt(bench, s))?;
    rec.step("status and rollback after the power cut", |s| back_from_apt(bench, s))?;
    rec.step("a bridge that cuts the link, and nobody confirms", |s| cut_link(bench, s))?;
    rec.step("the switch, unconfirmed", |s| switch(bench, s))?;
    rec.step("power cut before the confirm", |s| cut_before_confirm(bench, s))?;
    rec.step("confirm; the trial is armed", |s| arm(bench, s))?;
    for case in BOOTS {
        rec.step(case.name, |s| broken_boot(bench, s, case))?;
    }
    rec.step("hard hang of the trial boot, and a power cycle", |s| hang(bench, s))
}

fn cut_inside_apt(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let console = bench.vm.console();
    console.send("xenup apply --yes\n")?;
    console.expect(&Pattern::text("Unpacking xen-hypervisor-4"), APPLY)?;
    s.detail("cut at the console line `Unpacking xen-hypervisor-4...`");
    bench.lose_power()?;
    on_linux(bench, s)
}

fn back_from_apt(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let status = bench.vm.console().run("xenup status", SHORT)?;
    s.excerpt("# xenup status", &status.output);
    bench.run(s, "xenup rollback --yes", 0, APPLY)?;
    bench.run(s, "test -z \"$(dpkg --audit)\"", 0, SHORT)?;
    bench.says(s, "dpkg-query -W -f '${Package}\\n' | grep -c xen- || true", "0")?;
    bench.run(s, "test ! -e /etc/default/grub.d/00-xenup.cfg", 0, SHORT)?;
    bench.run(s, "grep 'set default=' /boot/grub/grub.cfg", 0, SHORT).map(|_| ())
}

/// With `address = "none"` the machine's only way out has no address any more.
fn cut_link(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let edit = "cp /etc/xenup/host.toml /root/host.toml && sed -i 's/^address = .*/address = \"none\"/' /etc/xenup/host.toml";
    bench.run(s, edit, 0, SHORT)?;
    let watched = watch(bench, &format!("xenup apply --yes --deadline {DEADLINE}"), "[2/")?;
    s.excerpt("# xenup apply", &watched.output);
    watched.ended_with(AWAITING)?;
    bench.run(s, "! ping -c 2 -W 2 10.99.0.2", 0, SHORT)?;
    let restored = "until ping -c 1 -W 2 10.99.0.2 > /dev/null 2>&1; do sleep 1; done";
    bench.run(s, restored, 0, RESTORED)?;
    let back = watched.probing.elapsed();
    let mut probing = watched.probing;
    probing.wait(Duration::from_secs(2))?;
    let trace = probing.stop()?;
    let loss = trace.loss(watched.stretch.start..back + Duration::from_secs(2));
    s.measure("without a network, of a deadline of 40 s", loss.longest_gap_ms / 1000.0, "s");
    if loss.lost == 0 {
        return Err(Failure::unexpected("the cut link from outside", "lost probes", "none was lost"));
    }
    settled(bench, s)?;
    bench.says(s, "ip -br addr show dev enp0s2", "10.99.0.")?;
    bench.outside(s, "echo reached from outside", 0)?;
    bench.run(s, "cp /root/host.toml /etc/xenup/host.toml", 0, SHORT).map(|_| ())
}

/// Waits until no stage is under way, and shows what xenup says of the newest run.
fn settled(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let over =
        "until xenup status | grep -q -e 'was undone' -e 'Rolled back'; do sleep 1; done; xenup status";
    bench.run(s, over, 0, RESTORED).map(|_| ())
}

fn switch(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.run(s, "xenup apply --yes --deadline 900", AWAITING, APPLY)?;
    bench.says(s, "ip -br addr show dev xenbr0", "10.99.0.")?;
    bench.run(s, "sync", 0, SHORT)?;
    Ok(bench.vm.snapshot(SWITCHED)?)
}

/// What was not confirmed before the machine went down does not come back up.
fn cut_before_confirm(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.lose_power()?;
    settled(bench, s)?;
    bench.says(s, "ip -br addr show dev enp0s2", "10.99.0.")?;
    bench.says(s, "ip -br link | grep -c xenbr0 || true", "0")?;
    bench.outside(s, "echo reached from outside", 0)?;
    on_linux(bench, s)
}

fn arm(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.vm.restore(SWITCHED)?;
    bench.vm.console().set_clock()?;
    bench.outside(s, "xenup confirm", AWAITING)?;
    bench.says(s, "grub-editenv list", "next_entry=xen-gnulinux-simple-")?;
    bench.run(s, "sync", 0, SHORT)?;
    Ok(bench.vm.snapshot(ARMED)?)
}

/// A way for the trial boot to fail.
struct BrokenBoot {
    name: &'static str,
    /// What is done to the trial's entry in grub.cfg, which begins with the variable's line number.
    edit: &'static str,
    /// What the console shows when it failed as intended.
    sign: &'static str,
}

const BOOTS: &[BrokenBoot] = &[
    BrokenBoot {
        name: "a hypervisor that GRUB cannot load",
        edit: r"s|multiboot2\t/boot/xen-[^ ]*|multiboot2\t/boot/no-such-xen|",
        sign: "no-such-xen",
    },
    BrokenBoot {
        name: "a hypervisor that dies at boot",
        edit: r"s|module2\t/boot/vmlinuz-[^ ]*|module2\t/boot/grub/grubenv|",
        sign: "Reboot in ",
    },
    BrokenBoot {
        name: "a dom0 root that is not found",
        edit: r"/module2/s|root=UUID=[^ ]*|root=UUID=00000000-0000-0000-0000-000000000000|",
        sign: "ALERT!",
    },
    BrokenBoot {
        name: "a Xen that boots without a working NIC",
        edit: r"/module2/s|console=hvc0|console=hvc0 modprobe.blacklist=virtio_net|",
        sign: "(XEN) Freed",
    },
];

/// Breaks the trial's entry, restarts, and waits until the machine is on Linux again, by itself.
fn broken_boot(bench: &mut Bench, s: &mut StepScope<'_, '_>, case: &BrokenBoot) -> Result<(), Failure> {
    bench.vm.restore(ARMED)?;
    bench.vm.console().set_clock()?;
    let range = r"/^menuentry .*xen-gnulinux-simple-/,/^}/";
    let edit = format!(
        "cp /boot/grub/grub.cfg /root/grub.cfg && sed -i '{range}{{{}}}' /boot/grub/grub.cfg",
        case.edit
    );
    bench.run(s, &edit, 0, SHORT)?;
    bench.run(s, "! cmp /root/grub.cfg /boot/grub/grub.cfg && sync", 0, SHORT)?;
    let watch = xenup_system::stopwatch::Stopwatch::start();
    let console = bench.vm.console();
    console.send("systemctl reboot\n")?;
    let seen = console.expect(&Pattern::any(&[Pattern::text(case.sign), Pattern::text(" login: ")]), BOOT)?;
    s.excerpt("the trial boot", &last(&seen.before, 30));
    wait_for_linux(bench)?;
    s.measure("from the restart to a shell on Linux", tenths(watch.elapsed()), "s");
    after_the_trial(bench, s)
}

/// Logs in wherever the machine stands; while that is still the trial boot of Xen, waits for its restart.
pub(super) fn wait_for_linux(bench: &mut Bench) -> Result<(), Failure> {
    let watch = xenup_system::stopwatch::Stopwatch::start();
    loop {
        bench.vm.console().expect(&Pattern::text("Linux version"), TRIAL)?;
        bench.come_back()?;
        let kind = bench.vm.console().run("test -e /sys/hypervisor/type", SHORT)?;
        if kind.status != 0 {
            return Ok(());
        }
        if watch.elapsed() > TRIAL {
            let found = bench.vm.console().tail(40);
            return Err(Failure::unexpected("the machine after a failed trial", "plain Linux", found));
        }
    }
}

fn hang(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.vm.restore(ARMED)?;
    bench.vm.console().set_clock()?;
    bench.vm.console().send("systemctl reboot\n")?;
    bench.vm.console().expect(&Pattern::text("Loading Xen"), BOOT)?;
    bench.vm.console().expect(&Pattern::text("(XEN) "), BOOT)?;
    bench.vm.pause()?;
    s.detail("stopped while Xen starts, then reset");
    bench.vm.reset()?;
    bench.vm.resume()?;
    bench.come_back()?;
    after_the_trial(bench, s)
}

/// Linux, with the bridge that was confirmed, and the trial's stage undone.
fn after_the_trial(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    on_linux(bench, s)?;
    settled(bench, s)?;
    bench.says(s, "grub-editenv list | grep -c next_entry=xen || true", "0")?;
    bench.says(s, "ip -br addr show dev xenbr0", "10.99.0.")?;
    let mut probing = Probing::start(&bench.lan, network::VM, 10)?;
    probing.wait(Duration::from_secs(2))?;
    let loss = probing.stop()?.whole();
    if loss.lost < loss.sent {
        return Ok(());
    }
    Err(Failure::unexpected("ping from outside", "answers", "none"))
}

fn on_linux(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.run(s, "test ! -e /sys/hypervisor/type && uname -r", 0, SHORT).map(|_| ())
}

/// Returns the last lines of a text.
pub(super) fn last(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}
