//! Xen and dom0's Linux are replaced on a host that runs: each later version is booted once on trial, kept where it is
//! good, and left by itself where it is not.
//!
//! Decides what is replaced: Xen by Debian's own security update, a kernel by one that dies and by one of another name, a
//! command line by one without a NIC. Never helps the machine back.

use std::time::Duration;

use super::bench::{BOOT, Bench, SHORT};
use super::failure::Failure;
use super::sabotage::last;
use super::switch::APPLY;
use super::{RehearseOptions, conversion};
use crate::console::Pattern;
use crate::event::{Recorder, StepScope};
use crate::network;

/// The checks of a trial boot under emulation, their patience included.
pub(super) const JUDGED: Duration = Duration::from_secs(900);
/// A trial boot that fails, and the boot after it.
const BACK: Duration = Duration::from_secs(2400);
/// Waits until a trial boot was kept by its own check; the kernel's log says it, which every console shows.
const KEPT: &str = "until dmesg | grep -q 'boots by itself from now on'; do sleep 1; done";
const OWN_KERNEL: &str = include_str!("guest/own-kernel");
/// Newer than any of Debian 12's.
const RELEASE: &str = "6.1.9999-own";
/// What is known to boot says so itself.
pub(super) const KNOWN: &str = "xenup.known-good=";

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    conversion::host(bench, rec, options)?;
    let before = rec.step("what is known to boot", |s| known(bench, s))?;
    rec.step("Debian's security update of Xen", |s| update(bench, s))?;
    rec.step("power cut: what is known to boot boots, under the new toolstack", |s| {
        bench.lose_power()?;
        booted(bench, s, KNOWN)?;
        same_xen(bench, s, &before, true)?;
        bench.run(s, "xl list && xenup status", 0, SHORT).map(|_| ())
    })?;
    rec.step("restart: the new Xen on trial, kept by its own check", |s| {
        bench.restart(s)?;
        booted(bench, s, "xenup.trial=")?;
        bench.run(s, KEPT, 0, JUDGED)?;
        same_xen(bench, s, &before, false)?;
        bench.run(s, "xenup status", 0, SHORT).map(|_| ())
    })?;
    rec.step("restart: it is what boots by itself", |s| {
        bench.restart(s)?;
        booted(bench, s, KNOWN)?;
        same_xen(bench, s, &before, false)
    })?;
    rec.step("a later kernel that dies", |s| dies(bench, s))?;
    rec.step("a later boot without a NIC", |s| without_nic(bench, s))?;
    rec.step("kernel install: a kernel for dom0, tried and kept", |s| own_kernel(bench, s))?;
    rec.step("its rollback, a power cut, and what is left is tried", |s| without_own_kernel(bench, s))?;
    rec.step("xenup apply: nothing to do", |s| bench.says(s, "xenup apply --yes", "Nothing to do"))
}

/// `kernel install` of a package: the restart after it is its trial.
fn own_kernel(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.ssh.put_bytes(network::VM, OWN_KERNEL.as_bytes().to_vec(), "/root/own-kernel", SHORT)?;
    bench.run(s, &format!("sh /root/own-kernel {RELEASE} /root/own"), 0, APPLY)?;
    let install = format!("xenup kernel install /root/own/linux-image-{RELEASE}_1_amd64.deb --yes");
    let told = bench.run(s, &install, 0, APPLY)?;
    s.detail(told.trim().lines().last().unwrap_or_default());
    on_trial(bench, s, &format!("with Linux {RELEASE}"))
}

/// The restart is the trial of what is newer; its own checks keep it.
pub(super) fn on_trial(bench: &mut Bench, s: &mut StepScope<'_, '_>, what: &str) -> Result<(), Failure> {
    bench.restart(s)?;
    booted(bench, s, "xenup.trial=")?;
    bench.run(s, KEPT, 0, JUDGED)?;
    bench.says(s, "xenup status", &format!("{what}, which boots by itself"))
}

/// The package goes, and with it the modules of what is known to boot. A power cut boots that; it restarts into plain Linux
/// by itself, and the restart after that is a trial of what is left.
fn without_own_kernel(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.run(s, "xenup rollback --yes", 0, APPLY)?;
    bench.run(s, &format!("test ! -e /boot/vmlinuz-{RELEASE} && sync"), 0, SHORT)?;
    bench.vm.power_cut()?;
    bench.vm.power_on()?;
    bench.vm.console().expect(&Pattern::text("restarting into plain Linux"), BACK)?;
    bench.vm.console().expect(&Pattern::text("Linux version"), BACK)?;
    bench.come_back()?;
    bench.run(s, "test ! -e /sys/hypervisor/type && xenup status", 0, SHORT)?;
    bench.outside(s, "echo reached from outside", 0)?;
    on_trial(bench, s, "-amd64")
}

/// Returns the version of Xen that runs.
fn known(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<String, Failure> {
    bench.says(s, "grep 'set default=' /boot/grub/grub.cfg", "xenup-known-good")?;
    bench.says(s, "xenup status", "known to boot: xen-4.")?;
    bench.run(s, "ls -li /boot /boot/known-good/*", 0, SHORT)?;
    version(bench, s)
}

fn version(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<String, Failure> {
    let told = bench.run(s, "xl info | grep xen_version", 0, SHORT)?;
    Ok(told.trim().to_owned())
}

fn update(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let update = "rm /etc/apt/preferences.d/xen; DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --only-upgrade \
        $(dpkg-query -W -f '${source:Package} ${Package}\\n' | sed -n 's/^xen //p')";
    bench.run(s, update, 0, APPLY)?;
    bench.run(s, "dpkg-query -W 'xen-hypervisor-4*' && sync", 0, SHORT)?;
    bench.says(s, "xenup status", "was unpacked since")
}

/// The boot's own command line has the word.
pub(super) fn booted(bench: &mut Bench, s: &mut StepScope<'_, '_>, word: &str) -> Result<(), Failure> {
    bench.says(s, "cat /proc/cmdline /proc/xen/capabilities", word)?;
    bench.says(s, "ip -br addr show dev xenbr0", "10.99.0.")?;
    bench.outside(s, "echo reached from outside", 0).map(|_| ())
}

fn same_xen(bench: &mut Bench, s: &mut StepScope<'_, '_>, before: &str, same: bool) -> Result<(), Failure> {
    let now = version(bench, s)?;
    s.detail(now.clone());
    if (now == before) == same {
        return Ok(());
    }
    let wanted = if same { before.to_owned() } else { format!("another than {before}") };
    Err(Failure::unexpected("the Xen that runs", wanted, now))
}

/// A file that is no kernel: Xen cannot make a dom0 of it.
fn dies(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let replace = "kernel=/boot/vmlinuz-$(uname -r); cp $kernel /root/kernel && cp /boot/grub/grubenv /boot/new && \
        mv /boot/new $kernel && sync";
    bench.run(s, replace, 0, SHORT)?;
    let console = bench.vm.console();
    console.send("systemctl reboot\n")?;
    let sign = Pattern::any(&[Pattern::text("Reboot in "), Pattern::text(" login: ")]);
    let seen = console.expect(&sign, BOOT)?;
    s.excerpt("the trial boot", &last(&seen.before, 12));
    bench.come_back()?;
    booted(bench, s, KNOWN)?;
    bench.says(s, "xenup status", "A later version did not boot well, and is not tried again")?;
    bench.says(s, "grub-editenv list | grep -c next_entry=xen || true", "0")?;
    bench
        .run(s, "cp /root/kernel /boot/new && mv /boot/new /boot/vmlinuz-$(uname -r) && sync", 0, SHORT)
        .map(|_| ())
}

/// The checks of the trial do not hold: it says why, and goes back.
fn without_nic(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let range = r"/^menuentry .*xen-gnulinux-simple-/,/^}/";
    let edit = format!(
        "sed -i '{range}{{/module2/s|console=hvc0|console=hvc0 modprobe.blacklist=virtio_net|}}' /boot/grub/grub.cfg && sync"
    );
    bench.run(s, &edit, 0, SHORT)?;
    bench.vm.console().send("systemctl reboot\n")?;
    let back = Pattern::text("restarting into what is known to boot");
    bench.vm.console().expect(&back, BACK)?;
    bench.vm.console().expect(&Pattern::text("Linux version"), BACK)?;
    bench.come_back()?;
    booted(bench, s, KNOWN)?;
    bench.says(s, "xenup status", "A later version did not boot well")?;
    bench.run(s, "update-grub 2> /dev/null", 0, APPLY).map(|_| ())
}
