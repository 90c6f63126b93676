//! A Xen host with guests that work is led from Debian 12 to 13 by `xenup upgrade apply`: undisturbed, to a new Xen
//! that does not boot, and with the power cut in the middle of the packages.
//!
//! Decides what must hold at each point: the last count of each guest is on its disk, and is where it counts on from. Never
//! helps the upgrade on but by the command that `status` names.

use std::time::Duration;

use serde_json::Value;
use xenup_system::stopwatch::Stopwatch;

use super::bench::{BOOT, Bench, SHORT, tenths};
use super::counters::{self, COUNTERS, Counter, Last, Watched};
use super::failure::Failure;
use super::later::JUDGED;
use super::sabotage::{last, wait_for_linux};
use super::switch::APPLY;
use super::{RehearseOptions, conversion};
use crate::console::Pattern;
use crate::event::{Recorder, StepScope};

/// Applied, waiting for confirm; refused by a finding.
const AWAITING: i32 = 6;
const REFUSED: i32 = 4;
/// Lists of two releases, read by an emulated processor.
const ASK: Duration = Duration::from_secs(1800);
/// Three times what an upgrade takes on a busy machine.
const UPGRADE: Duration = Duration::from_secs(7200);
const GOOD: &str = "until dmesg | grep -q 'the trial boot is good'; do sleep 1; done";
/// The minor versions of Debian 12's Xen and of Debian 13's.
const OLD_XEN: &str = "17";
const NEW_XEN: &str = "20";
/// The machine before the upgrade, and with the trial of the new Xen armed.
const BEFORE: &str = "before";
const ARMED: &str = "armed";
/// Where the power is cut: much is unpacked, little is set up.
const CUT_AT: &str = "Unpacking xen-hypervisor-4.20";

/// A host without desktops and QEMU, as `xenup apply` has made it: xen-utils-4.20 would bring some 250 packages by what it
/// recommends.
const SMALL: &str = "echo 'APT::Install-Recommends \"false\";' > /etc/apt/apt.conf.d/50small";

/// Each guest, and what its disk says after its shutdown.
type Stood = Vec<(Counter, Last)>;

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    conversion::host(bench, rec, options)?;
    rec.step("make three guests that count seconds on their disks", |s| {
        bench.outside(s, SMALL, 0)?;
        counters::make(bench, s)
    })?;
    for guest in COUNTERS {
        rec.step(&format!("start {}", guest.name), |s| counters::start(bench, s, guest))?;
    }
    rec.step("xenup upgrade check: what it predicts of each guest", |s| predict(bench, s))?;
    rec.step("what it asks for: pvh becomes a PV guest", |s| decide(bench, s))?;
    rec.step("keep the machine as it is before the upgrade", |_| {
        Ok::<_, Failure>(bench.vm.snapshot(BEFORE)?)
    })?;
    let stood = undisturbed(bench, rec)?;
    does_not_boot(bench, rec, &stood)?;
    power_cut(bench, rec)
}

/// The check says which guests the new Xen starts on this processor: PVH needs HAP or shadow paging.
fn predict(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    let told = bench.run(s, "xenup upgrade check --to trixie --json", REFUSED, ASK)?;
    s.measure("xenup upgrade check under emulation", tenths(watch.elapsed()), "s");
    fixes(s, &told, &["upgrade-toolstack-goes", "upgrade-guest-will-not-start"])
}

/// The decision that it asks for, where Xen stays on this machine. The guest runs on as PVH until the upgrade shuts it down.
/// The other finding is what apply does itself.
fn decide(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let edit = "cp /etc/xen/pvh.cfg /root/pvh-as-it-was.cfg && sed -i '/^type/s/pvh/pv/' /etc/xen/pvh.cfg && \
        cat /etc/xen/pvh.cfg && sync";
    bench.run(s, edit, 0, SHORT).map(|_| ())
}

/// Checks that these findings are what a check has to have fixed, in any order.
fn fixes(s: &mut StepScope<'_, '_>, told: &str, expected: &[&str]) -> Result<(), Failure> {
    let json = told.find('{').and_then(|at| told.get(at..)).unwrap_or_default();
    let check: Value = serde_json::from_str(json.trim()).map_err(|error| {
        Failure::unexpected("`xenup upgrade check --json`", error.to_string(), told.to_owned())
    })?;
    let fix = check["fix"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut ids: Vec<&str> = fix.iter().filter_map(|finding| finding["id"].as_str()).collect();
    for finding in fix {
        let word = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        s.detail(format!("to fix: {} ({})", word("what"), word("id")));
    }
    ids.sort_unstable();
    let mut wanted = expected.to_vec();
    wanted.sort_unstable();
    if ids == wanted {
        return Ok(());
    }
    Err(Failure::unexpected("what `xenup upgrade check` asks for", wanted.join(", "), ids.join(", ")))
}

/// The whole way; returns how the guests stood while they were down.
fn undisturbed(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<Stood, Failure> {
    let whole = Stopwatch::start();
    let watched = Watched::start(bench)?;
    rec.step("xenup upgrade apply, over ssh", |s| {
        let watch = Stopwatch::start();
        let told = bench.outside_within(s, "xenup upgrade apply --yes", AWAITING, UPGRADE)?;
        s.measure("xenup upgrade apply", tenths(watch.elapsed()), "s");
        in_order(&told, &["Shut pvh down", "Shut pv2 down", "Shut pv1 down", "Upgrade "])
    })?;
    let stood =
        rec.step("every guest was shut down in good order, the old xl answers", |s| stood(bench, s))?;
    rec.step("keep the machine with the trial armed", |s| {
        bench.run(s, "sync", 0, SHORT)?;
        Ok::<_, Failure>(bench.vm.snapshot(ARMED)?)
    })?;
    to_new_xen(bench, rec, &stood)?;
    rec.step("how long it took", |s| {
        s.measure("from upgrade apply to the last guest", tenths(whole.elapsed()), "s");
        watched.tell(s)
    })?;
    rec.step("the PVH guest as it was, on the new Xen", |s| as_predicted(bench, s))?;
    rec.step("afterwards: Debian 13, nothing left to do", |s| {
        bench.says(s, "cat /etc/os-release", "VERSION_CODENAME=trixie")?;
        bench.run(s, "test -z \"$(dpkg --audit)\"", 0, SHORT)?;
        bench.says(s, "grep 'set default=' /boot/grub/grub.cfg", "xenup-known-good")?;
        bench.run(s, "test ! -e /var/lib/xenup/stash/xen-4.17", 0, SHORT)?;
        bench.run(s, "xenup apply --yes", 0, APPLY).map(|_| ())
    })?;
    Ok(stood)
}

/// These words in this order.
fn in_order(told: &str, words: &[&str]) -> Result<(), Failure> {
    let mut rest = told;
    for word in words {
        let Some((_, after)) = rest.split_once(word) else {
            let expected = format!("in this order: {}", words.join(", "));
            return Err(Failure::unexpected("what `xenup upgrade apply` tells", expected, told.to_owned()));
        };
        rest = after;
    }
    Ok(())
}

/// The guests are down, each with its last count on its disk; Xen 4.17 runs still, and answers.
fn stood(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<Stood, Failure> {
    let mut stood = Vec::new();
    for guest in COUNTERS {
        stood.push((guest, guest.is_clean(bench, s)?));
    }
    let listed = bench.run(s, "xl list", 0, SHORT)?;
    if COUNTERS.iter().any(|guest| listed.contains(guest.name)) {
        return Err(Failure::unexpected("`xl list` after the upgrade", "Domain-0 alone", listed));
    }
    bench.says(s, "xl info | grep ^xen_version", &format!(": 4.{OLD_XEN}."))?;
    bench.says(s, "ls /usr/lib", "xen-4.20")?;
    let status = bench.run(s, "xenup status", AWAITING, SHORT)?;
    in_order(&status, &["guests that were shut down", "next: systemctl reboot", "Waits for a reboot"])?;
    Ok(stood)
}

/// The restart, the trial of the new Xen, its confirm, and the guests, which count on from where they stood.
fn to_new_xen(bench: &mut Bench, rec: &mut Recorder<'_>, stood: &Stood) -> Result<(), Failure> {
    rec.step("restart: the new Xen on trial", |s| {
        bench.restart(s)?;
        on_new_xen(bench, s)?;
        bench.run(s, GOOD, 0, JUDGED)?;
        bench.run(s, "xenup status", AWAITING, SHORT).map(|_| ())
    })?;
    rec.step("confirm over a new connection; every guest counts on", |s| {
        let watch = Stopwatch::start();
        bench.outside_within(s, "xenup confirm", 0, APPLY)?;
        s.measure("confirm, and the stages after it", tenths(watch.elapsed()), "s");
        for (guest, stood) in stood {
            guest.goes_on(bench, s, *stood, ("PV", NEW_XEN))?;
        }
        bench.run(s, "xl list", 0, SHORT)?;
        bench.says(s, "xenup status", "Done: the host is upgraded")
    })
}

fn on_new_xen(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.says(s, "cat /proc/xen/capabilities", "control_d")?;
    bench.says(s, "xl info | grep ^xen_version", &format!(": 4.{NEW_XEN}."))?;
    bench.run(s, "uname -r; cat /proc/cmdline", 0, SHORT)?;
    bench.says(s, "ip -br addr show dev xenbr0", "10.99.0.")?;
    bench.outside(s, "echo reached from outside", 0).map(|_| ())
}

/// What the check said would not start is tried.
fn as_predicted(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let file =
        "sed -e 's/^name.*/name = \"tried\"/; /^disk/d; /^vif/d' /root/pvh-as-it-was.cfg > /root/tried.cfg";
    bench.run(s, file, 0, SHORT)?;
    let tried = bench.vm.console().run("xl create /root/tried.cfg", APPLY)?;
    s.excerpt("# xl create", &tried.output);
    let listed = bench.vm.console().run("xl domid tried && xl destroy tried", SHORT)?;
    s.detail(tried.output.lines().last().unwrap_or_default());
    if tried.status != 0 && listed.status != 0 {
        return Ok(());
    }
    Err(Failure::unexpected("`xl create` of the PVH guest", "no start, as was predicted", tried.output))
}

/// The power goes while packages are unpacked; the upgrade goes on by the command that `status` names.
fn power_cut(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("power cut in the middle of the packages", |s| {
        bench.vm.restore(BEFORE)?;
        bench.vm.console().set_clock()?;
        let console = bench.vm.console();
        console.send("xenup upgrade apply --yes\n")?;
        console.expect(&Pattern::text(CUT_AT), UPGRADE)?;
        s.detail(format!("cut at the console line `{CUT_AT}`"));
        bench.vm.power_cut()?;
        bench.vm.power_on()?;
        bench.come_back()?;
        bench.run(s, "test ! -e /sys/hypervisor/type && uname -r", 0, SHORT)?;
        bench.outside(s, "echo reached from outside", 0)?;
        let status = bench.run(s, "xenup status", 0, SHORT)?;
        in_order(&status, &["goes forward", "guests that were shut down", "next: xenup upgrade apply"])?;
        bench.run(s, "xenup rollback --yes", REFUSED, SHORT).map(|_| ())
    })?;
    let stood = rec.step("xenup upgrade apply goes on, in plain Linux", |s| {
        let mut stood = Vec::new();
        for guest in COUNTERS {
            stood.push((guest, guest.is_clean(bench, s)?));
        }
        let watch = Stopwatch::start();
        bench.outside_within(s, "xenup upgrade apply --yes", AWAITING, UPGRADE)?;
        s.measure("xenup upgrade apply, gone on with", tenths(watch.elapsed()), "s");
        bench.run(s, "test -z \"$(dpkg --audit)\"", 0, SHORT)?;
        Ok::<_, Failure>(stood)
    })?;
    to_new_xen(bench, rec, &stood)
}

/// The trial ends on plain Linux, where the guests are listed and one command is offered; that boots the new Xen after all.
fn does_not_boot(bench: &mut Bench, rec: &mut Recorder<'_>, stood: &Stood) -> Result<(), Failure> {
    rec.step("a new Xen that dies at boot", |s| {
        bench.vm.restore(ARMED)?;
        bench.vm.console().set_clock()?;
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
        let over = "until xenup status | grep -q 'was undone'; do sleep 1; done; xenup status";
        let status = bench.run(s, over, 0, JUDGED)?;
        in_order(&status, &["boot-trial was undone", "guests that were shut down", "pvh", "next: xenup apply"])
    })?;
    rec.step("xenup apply, as status says, and the restart", |s| {
        bench.run(s, "update-grub 2> /dev/null && sync", 0, APPLY)?;
        bench.outside_within(s, "xenup apply --yes", AWAITING, APPLY)?;
        bench.restart(s)?;
        on_new_xen(bench, s)?;
        bench.run(s, GOOD, 0, JUDGED)?;
        bench.outside_within(s, "xenup confirm", 0, APPLY)?;
        bench.run(s, "xenup status", 0, SHORT)?;
        for (guest, stood) in stood {
            bench.run(s, &format!("xl domid {0} || xl create /etc/xen/{0}.cfg", guest.name), 0, APPLY)?;
            guest.goes_on(bench, s, *stood, ("PV", NEW_XEN))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn words_stand_in_their_order() {
        assert!(in_order("one two three", &["one", "three"]).is_ok());
        assert!(in_order("one two three", &["three", "one"]).is_err());
        assert!(in_order("one", &["one", "one"]).is_err());
    }
}
