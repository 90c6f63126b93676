//! An upgrade from Debian 12 to 13 in which the power is cut in each of its stages, and a new Xen that dies.
//!
//! Decides where it is cut, and what must hold after it. Never helps the machine on but by the command that `xenup status`
//! names.

use xenup_system::stopwatch::Stopwatch;

use super::bench::{AWAITING, BOOT, Bench, SHORT, tenths};
use super::counters::COUNTERS;
use super::failure::Failure;
use super::later::JUDGED;
use super::sabotage::{last, wait_for_linux};
use super::switch::APPLY;
use super::upgrade::{BEFORE, GOOD, NEW_XEN, OLD_XEN, REFUSED, Stood, UPGRADE, before, in_order, on_new_xen};
use super::{RehearseOptions, typed};
use crate::console::Pattern;
use crate::event::{Recorder, StepScope};
use crate::network;

/// The machine with the trial of the new Xen armed, and in that trial.
const ARMED: &str = "armed";
const ON_TRIAL: &str = "on trial";
/// The command that a power cut is to stop, and the one that goes on after it.
const APPLY_AT_CONSOLE: &str = "xenup upgrade apply --yes\n";
/// Where the power is cut in the middle of the packages: much is unpacked, little is set up.
const UNPACKING: &str = "Unpacking xen-hypervisor-4.20";
/// Lines of `upgrade apply` before its point of no return.
const EARLY: [&str; 6] = [
    "Keep plain Linux the default until",
    "Keep a copy of the toolstack of Xen 4.17",
    "Let /etc/apt/sources.list name trixie",
    "Fetch the lists of trixie",
    "Shut pv2 down",
    "Keep xendomains from starting guests",
];
/// Lines after the confirm.
const LATE: [&str; 3] = ["Make the default what it was before", "Start pv1", ALL_STARTED];
/// A line by which every guest was started: the boot after a power cut starts those of /etc/xen/auto alone, as ever.
const ALL_STARTED: &str = "Remove the copy of the toolstack of Xen 4.17";
/// Commands that lead from a power cut after the confirm to the end: on with it, the restart into Xen, on with it.
const COMMANDS: usize = 3;
/// Nothing of an upgrade that was rolled back is left.
const AS_BEFORE: &str = "! grep -rq trixie /etc/apt/sources.list /etc/apt/sources.list.d && \
    test ! -e /var/lib/xenup/stash/xen-4.17 && grep 'set default=\"xenup-known-good\"' /boot/grub/grub.cfg && \
    test -z \"$(dpkg --audit)\"";

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    before(bench, rec, options)?;
    for line in EARLY {
        rec.step(&format!("power cut at `{line}`, rolled back"), |s| early(bench, s, line))?;
    }
    let stood = in_the_packages(bench, rec)?;
    rec.step("a new Xen that dies at boot", |s| dies(bench, s))?;
    rec.step("power cut with the trial armed: the next boot is the trial", |s| armed(bench, s))?;
    rec.step("power cut in the trial: plain Linux", |s| on_trial(bench, s))?;
    for line in LATE {
        rec.step(&format!("power cut at `{line}`, gone on with"), |s| late(bench, s, line, &stood))?;
    }
    Ok(())
}

/// Sends a command to the console and cuts the power at a line of its output; the machine comes back by itself.
fn cut_at(bench: &mut Bench, s: &mut StepScope<'_, '_>, command: &str, line: &str) -> Result<(), Failure> {
    let console = bench.vm.console();
    console.send(command)?;
    console.expect(&Pattern::text(line), UPGRADE)?;
    cut(bench, s)
}

fn cut(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.lose_power()?;
    bench.run(s, "uname -r; cat /sys/hypervisor/type || true", 0, SHORT)?;
    bench.outside(s, "echo reached from outside", 0).map(|_| ())
}

/// Before the point of no return a rollback leads back to the host of before, and its guests run again.
fn early(bench: &mut Bench, s: &mut StepScope<'_, '_>, line: &str) -> Result<(), Failure> {
    bench.vm.restore(BEFORE)?;
    bench.vm.console().set_clock()?;
    cut_at(bench, s, APPLY_AT_CONSOLE, line)?;
    let status = bench.run(s, "xenup status", 0, SHORT)?;
    in_order(&status, &["Stage prepare is at work, or was interrupted", "next: xenup upgrade apply"])?;
    bench.run(s, "xenup rollback --yes", 0, APPLY)?;
    bench.run(s, AS_BEFORE, 0, SHORT)?;
    bench.restart(s)?;
    bench.says(s, "xl info | grep ^xen_version", &format!(": 4.{OLD_XEN}."))?;
    start_the_rest(bench, s)?;
    for guest in COUNTERS {
        let count = guest.beyond(bench, 0)?;
        s.detail(format!("{} counts, and is at {count}", guest.name));
    }
    Ok(())
}

/// The power goes while packages are unpacked; the upgrade goes on by the command that `status` names, up to the trial.
fn in_the_packages(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<Stood, Failure> {
    rec.step("power cut in the middle of the packages", |s| {
        bench.vm.restore(BEFORE)?;
        bench.vm.console().set_clock()?;
        cut_at(bench, s, APPLY_AT_CONSOLE, UNPACKING)?;
        bench.run(s, "test ! -e /sys/hypervisor/type", 0, SHORT)?;
        let status = bench.run(s, "xenup status", 0, SHORT)?;
        in_order(&status, &["goes forward", "guests that were shut down", "next: xenup upgrade apply"])?;
        bench.run(s, "xenup rollback --yes", REFUSED, SHORT).map(|_| ())
    })?;
    rec.step("xenup upgrade apply goes on, in plain Linux", |s| {
        let mut stood = Vec::new();
        for guest in COUNTERS {
            stood.push((guest, guest.is_clean(bench, s)?));
        }
        let watch = Stopwatch::start();
        bench.outside_within(s, "xenup upgrade apply --yes", AWAITING, UPGRADE)?;
        s.measure("xenup upgrade apply, gone on with", tenths(watch.elapsed()), "s");
        bench.run(s, "test -z \"$(dpkg --audit)\" && sync", 0, SHORT)?;
        bench.vm.snapshot(ARMED)?;
        Ok(stood)
    })
}

/// The trial ends on plain Linux, where the guests are listed and one command is offered; that boots the new Xen after all.
fn dies(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let range = r"/^menuentry .*xen-gnulinux-simple-/,/^}/";
    let edit = format!(
        r"sed -i '{range}{{s|module2\t/boot/vmlinuz-[^ ]*|module2\t/boot/grub/grubenv|}}' /boot/grub/grub.cfg && sync"
    );
    bench.run(s, &edit, 0, SHORT)?;
    let watch = Stopwatch::start();
    let console = bench.vm.console();
    console.send("systemctl reboot\n")?;
    let sign = Pattern::any(&[Pattern::text("Reboot in "), Pattern::text(" login: ")]);
    let seen = console.expect(&sign, BOOT)?;
    s.excerpt("the trial boot", &last(&seen.before, 12));
    wait_for_linux(bench)?;
    s.measure("from the restart to a shell on Linux", tenths(watch.elapsed()), "s");
    bench.outside(s, "echo reached from outside", 0)?;
    undone(bench, s)?;
    bench.run(s, "update-grub 2> /dev/null && sync", 0, APPLY)?;
    bench.outside_within(s, "xenup apply --yes", AWAITING, APPLY)?;
    bench.restart(s)?;
    on_new_xen(bench, s)?;
    bench.run(s, GOOD, 0, JUDGED).map(|_| ())
}

/// The trial's stage is undone, its guests are listed, and one command is named.
fn undone(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let over = "until xenup status | grep -q 'was undone'; do sleep 1; done; xenup status";
    let status = bench.run(s, over, 0, JUDGED)?;
    in_order(&status, &["boot-trial was undone", "guests that were shut down", "pvh", "next: xenup apply"])
}

/// What was armed for one boot is that boot, however the machine came to it.
fn armed(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.vm.restore(ARMED)?;
    bench.vm.console().set_clock()?;
    cut(bench, s)?;
    on_new_xen(bench, s)?;
    bench.run(s, GOOD, 0, JUDGED)?;
    bench.run(s, "xenup status", AWAITING, SHORT)?;
    bench.run(s, "sync", 0, SHORT)?;
    Ok(bench.vm.snapshot(ON_TRIAL)?)
}

/// A trial that nobody has confirmed is over with the power.
fn on_trial(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    cut(bench, s)?;
    bench.run(s, "test ! -e /sys/hypervisor/type", 0, SHORT)?;
    undone(bench, s)
}

/// After the confirm it goes forward, whichever system boots, by the commands that `status` names.
fn late(bench: &mut Bench, s: &mut StepScope<'_, '_>, line: &str, stood: &Stood) -> Result<(), Failure> {
    bench.vm.restore(ON_TRIAL)?;
    bench.vm.console().set_clock()?;
    cut_at(bench, s, &format!("{}\n", typed::CONFIRM_AT_CONSOLE), line)?;
    follow(bench, s)?;
    on_new_xen(bench, s)?;
    bench.says(s, "grep 'set default=' /boot/grub/grub.cfg", "xenup-known-good")?;
    bench.run(s, "test ! -e /var/lib/xenup/stash/xen-4.17", 0, SHORT)?;
    if line == ALL_STARTED {
        start_the_rest(bench, s)?;
    }
    for (guest, stood) in stood {
        let count = guest.beyond(bench, stood.count)?;
        s.detail(format!("{} stood at {}, and is at {count} on Xen 4.{NEW_XEN}", guest.name, stood.count));
    }
    Ok(())
}

/// As their administrator does after any power cut.
fn start_the_rest(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    for guest in COUNTERS {
        bench.run(s, &format!("xl domid {0} || xl create /etc/xen/{0}.cfg", guest.name), 0, APPLY)?;
    }
    Ok(())
}

/// Types what `status` names until it is done.
fn follow(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let mut status = bench.run(s, "xenup status", 0, SHORT)?;
    for _ in 0..COMMANDS {
        let next = status.lines().find_map(|line| line.strip_prefix("next: ")).unwrap_or_default();
        s.detail(format!("status names: {next}"));
        if next.starts_with("systemctl reboot") {
            bench.restart(s)?;
        } else {
            let told = bench.ssh.run(network::VM, "xenup upgrade apply --yes", APPLY)?;
            s.excerpt("outside$ xenup upgrade apply --yes", &told.output);
        }
        status = bench.run(s, "xenup status", 0, SHORT)?;
        if status.contains("Done: the host is upgraded") {
            return Ok(());
        }
    }
    Err(Failure::unexpected("the upgrade", format!("done after {COMMANDS} commands"), status))
}
