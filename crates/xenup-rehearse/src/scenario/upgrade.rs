//! A Xen host with guests that work is led from Debian 12 to 13 by `xenup upgrade apply`, or by apt alone.
//!
//! Decides what must hold at each point: the last count of each guest is on its disk, and is where it counts on from. Never
//! helps the upgrade on but by the command that `status` names.

use std::time::Duration;

use serde_json::Value;
use xenup_system::stopwatch::Stopwatch;

use super::bench::{AWAITING, Bench, SHORT, tenths};
use super::counters::{self, COUNTERS, Counter, Last, Watched};
use super::failure::Failure;
use super::later::JUDGED;
use super::switch::APPLY;
use super::{RehearseOptions, conversion};
use crate::event::{Recorder, StepScope};

/// Refused by a finding.
pub(super) const REFUSED: i32 = 4;
/// Lists of two releases, read by an emulated processor.
const ASK: Duration = Duration::from_secs(1800);
/// Three times what an upgrade takes on a busy machine.
pub(super) const UPGRADE: Duration = Duration::from_secs(7200);
pub(super) const GOOD: &str = "until dmesg | grep -q 'the trial boot is good'; do sleep 1; done";
/// The minor versions of Debian 12's Xen and of Debian 13's.
pub(super) const OLD_XEN: &str = "17";
pub(super) const NEW_XEN: &str = "20";
/// The machine before the upgrade.
pub(super) const BEFORE: &str = "before";
/// What a manual for Debian's upgrades has one type.
const BY_APT: &str = "sed -i s/bookworm/trixie/g $(ls /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null) && \
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold full-upgrade";

/// A host without desktops and QEMU, as `xenup apply` has made it: xen-utils-4.20 would bring some 250 packages by what it
/// recommends.
const SMALL: &str = "echo 'APT::Install-Recommends \"false\";' > /etc/apt/apt.conf.d/50small";

/// Each guest, and what its disk says after its shutdown.
pub(super) type Stood = Vec<(Counter, Last)>;

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    before(bench, rec, options)?;
    undisturbed(bench, rec)
}

/// Plays the same host's upgrade by plain apt.
///
/// # Errors
/// As [`play`].
pub fn play_apt(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    before(bench, rec, options)?;
    by_apt_alone(bench, rec)
}

/// A host with guests that work, ready to be upgraded, kept as [`BEFORE`].
pub(super) fn before(
    bench: &mut Bench,
    rec: &mut Recorder<'_>,
    options: &RehearseOptions,
) -> Result<(), Failure> {
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
    rec.step("keep the machine as it is before the upgrade", |_| Ok::<_, Failure>(bench.vm.snapshot(BEFORE)?))
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

/// The whole way.
fn undisturbed(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
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
    })
}

/// These words in this order.
pub(super) fn in_order(told: &str, words: &[&str]) -> Result<(), Failure> {
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
pub(super) fn to_new_xen(bench: &mut Bench, rec: &mut Recorder<'_>, stood: &Stood) -> Result<(), Failure> {
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

pub(super) fn on_new_xen(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
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

/// The same host by plain apt: its toolstack goes under the guests, and the restart cuts them off.
fn by_apt_alone(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("the host by plain apt", |s| {
        bench.run(s, BY_APT, 0, UPGRADE)?;
        let listed = bench.vm.console().run("xl list", SHORT)?;
        s.excerpt("# xl list", &listed.output);
        if listed.status == 0 {
            return Err(Failure::unexpected("`xl list` after plain apt", "an error", listed.output));
        }
        bench.restart(s)?;
        for guest in COUNTERS {
            let last = guest.on_disk(bench, s)?;
            s.detail(format!("{}: cut off at {}", guest.name, last.count));
            if last.clean {
                let found = format!("{} clean", last.count);
                return Err(Failure::unexpected(guest.name, "no shutdown in good order", found));
            }
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
