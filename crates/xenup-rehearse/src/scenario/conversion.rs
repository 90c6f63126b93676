//! A plain Debian becomes a Xen host with guests, and a plain Debian again.
//!
//! Decides the order of the whole way and what must hold at each point of it; docs/safety.md names the promises.

use std::time::Duration;

use xenup_system::stopwatch::Stopwatch;

use super::bench::{AWAITING, Bench, SHORT, tenths};
use super::failure::Failure;
use super::switch::{APPLY, Bounds, OldConnection, watch};
use super::{Addressing, RehearseOptions, disk, guests, plain, tree, typed};
use crate::event::{Recorder, StepScope};

/// Applied, waiting for confirm (the exit code of design and man page).
/// Refused by a finding.
const REFUSED: i32 = 4;

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    host(bench, rec, options)?;
    guests::start(bench, rec, options.hypervisor)?;
    rec.step("apply again", |s| apply_again(bench, s))?;
    back(bench, rec)?;
    compare(bench, rec)
}

/// Makes the machine a Xen host, unless it is the one that an earlier run came to.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn host(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    if bench.is_xen_host {
        return Ok(());
    }
    plain::play(bench, rec)?;
    plan(bench, rec)?;
    to_the_bridge(bench, rec, if options.busy { Bounds::BUSY } else { Bounds::QUIET })?;
    debians_own_tools(bench, rec, options.addressing)?;
    to_xen(bench, rec)?;
    if options.resume {
        bench.keep_xen_host(rec)?;
    }
    Ok(())
}

/// host.toml, and what would be done.
pub fn plan(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("xenup init", |s| {
        bench.run(s, typed::INIT, 0, SHORT)?;
        bench.run(s, "cat /etc/xenup/host.toml", 0, SHORT)?;
        // What init proposes is for guests of any size; this machine has 3 GiB and two small ones.
        bench.says(s, "grep -c '\"hap=0\", \"xsave=0\"' /etc/xenup/host.toml", "1")
    })?;
    rec.step("xenup plan", |s| {
        let before = bench.vm.console().check(UNTOUCHED, SHORT)?;
        let watch = Stopwatch::start();
        let shown = bench.run(s, typed::PLAN, 0, PLAN)?;
        s.measure("xenup plan under emulation", tenths(watch.elapsed()), "s");
        s.detail(shown.lines().next().unwrap_or_default());
        let after = bench.vm.console().check(UNTOUCHED, SHORT)?;
        same("the machine after `xenup plan`", &before, &after)
    })
}

/// apt's simulation takes most of it: 4 s alone, 20 s on a busy machine, of 40 packages.
const PLAN: Duration = Duration::from_secs(300);

/// What planning must not touch.
const UNTOUCHED: &str =
    "find /etc /boot /usr/sbin /var/lib/dpkg -newer /etc/xenup/host.toml -type f | sort; ip -br addr";

/// Packages, GRUB and the bridge; the bridge is watched from outside and confirmed over a new connection.
pub fn to_the_bridge(bench: &mut Bench, rec: &mut Recorder<'_>, bounds: Bounds) -> Result<(), Failure> {
    let old = rec.step("a connection from outside, opened before", |_| OldConnection::open(bench))?;
    let watched = rec.step("xenup apply: packages and the bridge", |s| {
        let watch_all = Stopwatch::start();
        let watched = watch(bench, &format!("{} --yes --deadline 900", typed::APPLY), "[2/5] network")?;
        s.excerpt("# xenup apply --yes", &watched.output);
        watched.ended_with(AWAITING)?;
        let switch = watched.stretch.end.saturating_sub(watched.stretch.start);
        s.measure("prepare (packages, GRUB)", tenths(watch_all.elapsed().saturating_sub(switch)), "s");
        s.measure("network stage", tenths(switch), "s");
        Ok::<_, Failure>(watched)
    })?;
    rec.step("the switch, seen from outside", |s| watched.compare(s, bounds))?;
    rec.step("an old connection lives on and cannot confirm", |s| {
        let answer = old.ask(bench)?;
        s.excerpt("the old connection", &answer);
        let expected = format!("status {REFUSED}");
        if answer.starts_with("alive\n") && answer.trim_end().ends_with(&expected) {
            return Ok(());
        }
        Err(Failure::unexpected(
            "the old connection",
            format!("it is alive, and refused with {expected}"),
            answer,
        ))
    })?;
    rec.step("confirm over a new connection", |s| {
        bench.run(s, typed::STATUS, AWAITING, SHORT)?;
        // It goes on with the plan: the next stage arms the trial boot.
        bench.outside(s, typed::CONFIRM, AWAITING)?;
        bench.says(s, "ip -br addr show dev xenbr0", "10.99.0.")?;
        bench.says(s, "bridge link show dev enp0s2", "master xenbr0")
    })
}

/// What ifupdown says of a bridge that it did not make itself, and whether it can handle it.
fn debians_own_tools(
    bench: &mut Bench,
    rec: &mut Recorder<'_>,
    addressing: Addressing,
) -> Result<(), Failure> {
    rec.step("ifquery --state", |s| bench.says(s, "ifquery --state", "xenbr0=xenbr0"))?;
    rec.step("ifdown xenbr0, ifup xenbr0", |s| {
        bench.run(s, "ifdown xenbr0 && ifup xenbr0", 0, SHORT)?;
        reached(bench, s)
    })?;
    rec.step("systemctl restart networking", |s| {
        bench.run(s, "systemctl restart networking", 0, SHORT)?;
        reached(bench, s)
    })?;
    match addressing {
        Addressing::Static => rec.skip("DHCP renewal", "this machine's address is static"),
        Addressing::Dhcp => rec.step("DHCP renewal", |s| {
            // dhclient renews at once when it is asked to start over with the lease that it has.
            let renew = "dhclient -v -1 -pf /run/rehearsal-dhclient.pid -lf /var/lib/dhcp/dhclient.xenbr0.leases \
                         xenbr0; kill $(cat /run/rehearsal-dhclient.pid)";
            bench.run(s, renew, 0, SHORT)?;
            reached(bench, s)
        })?,
    }
    Ok(())
}

fn reached(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.run(s, "ip -br addr; ip route; ping -c 3 -W 5 10.99.0.2", 0, SHORT)?;
    bench.outside(s, "echo reached from outside", 0).map(|_| ())
}

/// The trial boot, its confirm, and Xen as the default.
pub fn to_xen(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("the trial is armed, the default is Linux", |s| {
        bench.run(s, typed::STATUS, AWAITING, SHORT)?;
        bench.says(s, "grub-editenv list", "next_entry=xen-gnulinux-simple-")?;
        bench.says(s, "grep 'set default=\"gnulinux' /boot/grub/grub.cfg", "gnulinux-simple-")
    })?;
    rec.step("reboot by the trial entry into Xen", |s| bench.restart(s))?;
    rec.step("Xen runs, its boot check is good", |s| {
        bench.says(s, "cat /sys/hypervisor/type /proc/xen/capabilities", "control_d")?;
        bench.run(s, "xl info", 0, SHORT)?;
        let version =
            bench.run(s, "cat /sys/hypervisor/version/{major,minor,extra} | tr '\\n' ' '", 0, SHORT)?;
        s.detail(format!("Xen {}", version.trim()));
        bench.says(s, "ip -br addr show dev xenbr0", "10.99.0.")?;
        // It is said by the kernel's log, which every console shows.
        let good = "until dmesg | grep -q 'the trial boot is good'; do sleep 1; done";
        bench.run(s, good, 0, Duration::from_secs(600))?;
        bench.run(s, typed::STATUS, AWAITING, SHORT)
    })?;
    rec.step("confirm Xen over a new connection", |s| {
        let watch = Stopwatch::start();
        bench.outside_within(s, typed::CONFIRM, 0, APPLY)?;
        s.measure("confirm, and the stages after it", tenths(watch.elapsed()), "s");
        bench.run(s, typed::STATUS, 0, SHORT)?;
        bench.says(s, "grep 'set default=\"xen' /boot/grub/grub.cfg", "xenup-known-good")
    })
}

fn apply_again(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let output = bench.run(s, &format!("{} --yes", typed::APPLY), 0, PLAN)?;
    if output.contains("Nothing to do") {
        return Ok(());
    }
    Err(Failure::unexpected("`xenup apply` again", "Nothing to do", output))
}

/// The rollback, refused while guests run, and the boot after it.
fn back(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("rollback is refused while guests run", |s| {
        bench.run(s, &format!("{} --yes", typed::ROLLBACK), REFUSED, SHORT)?;
        bench.says(s, typed::GUESTS, "pv")
    })?;
    rec.step("end the guests", |s| guests::end(bench, s))?;
    rec.step("rollback: the network first, under a guard", |s| {
        let watch = Stopwatch::start();
        bench.run(s, &format!("{} --yes --deadline 900", typed::ROLLBACK), AWAITING, APPLY)?;
        s.measure("rollback of the network", tenths(watch.elapsed()), "s");
        bench.run(s, typed::STATUS, AWAITING, SHORT)?;
        bench.says(s, "ip -br addr show dev enp0s2", "10.99.0.")?;
        bench.says(s, "ip -br link | grep -c xenbr0 || true", "0")?;
        // Nothing that the way back would need is gone before somebody has confirmed.
        bench.says(s, "dpkg-query -W -f '${db:Status-Abbrev}\\n' xen-utils-common", "ii")
    })?;
    rec.step("confirm the rollback over a new connection", |s| {
        let watch = Stopwatch::start();
        // It goes on with the rest, the packages last.
        bench.outside_within(s, typed::CONFIRM, 0, APPLY)?;
        s.measure("rest of the rollback", tenths(watch.elapsed()), "s");
        bench.run(s, typed::STATUS, 0, SHORT)
    })?;
    rec.step("reboot", |s| bench.restart(s))?;
    rec.step("plain Linux, without a hypervisor", |s| {
        bench.run(s, "test ! -e /sys/hypervisor/type", 0, SHORT)?;
        bench.says(s, "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep -c xen- || true", "0")?;
        bench.says(s, "ifquery --state", "enp0s2=enp0s2")?;
        reached(bench, s)
    })
}

/// The package is removed, the machine switched off, and its disk compared with the one before anything was brought.
fn compare(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("remove the package, shut down", |s| {
        bench.run(s, "umount /mnt; dpkg --purge xenup", 0, SHORT)?;
        bench.switch_off()
    })?;
    rec.step("compare the disk with the plain one", |s| {
        let work = bench.lab.path().to_owned();
        let before = disk::list(bench.plain.image(), &work, "before")?;
        let after = disk::list(&bench.vm.disk(), &work, "after")?;
        let compared = tree::compare(&before.tree, &after.tree);
        s.measure("paths compared", compared.compared as f64, "");
        s.measure("paths left out, in all or in part", compared.excepted() as f64, "");
        for (why, count) in &compared.left_out {
            s.detail(format!("left out: {count} ({why})"));
        }
        if !before.xattrs || !after.xattrs {
            s.detail("extended attributes were not compared: getfattr is not installed");
        }
        if compared.differences.is_empty() {
            return Ok(());
        }
        let found = compared.differences.join("\n");
        Err(Failure::unexpected("the disk after the rollback", "every path as before", found))
    })
}

fn same(what: &str, before: &str, after: &str) -> Result<(), Failure> {
    if before == after {
        return Ok(());
    }
    Err(Failure::differing(what, before, after))
}
