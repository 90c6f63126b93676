//! A kernel of one's own for dom0, made for this very machine: installed, tried once by the next restart, kept by its own
//! checks, and used: the network is up and guests start.
//!
//! Decides what has to hold under it. Without a kernel it tells what the machine has, for `kernel build --facts`. Never
//! builds one.

use std::path::Path;
use std::time::Duration;

use super::bench::{Bench, SHORT};
use super::failure::Failure;
use super::later::{JUDGED, KNOWN, booted, on_trial};
use super::switch::APPLY;
use super::{RehearseOptions, conversion, guests};
use crate::event::Recorder;
use crate::network;

/// The fact of the report that holds what the machine has.
pub const MACHINE: &str = "xenup inspect --json";
/// Some ten megabytes over ssh, under emulation.
const BRING: Duration = Duration::from_secs(900);
/// What dom0 cannot do without, asked of what runs: its disk, both NICs, Xen's own interfaces.
const LOOK: &str = "findmnt -no SOURCE,FSTYPE /; ls /sys/class/net; ls /proc/xen/capabilities; lsmod | wc -l; \
    ls -l /boot/vmlinuz-$(uname -r) /boot/initrd.img-$(uname -r)";
/// Nothing that the machine starts may fail: what a kernel lacks shows there.
const SOUND: &str = "systemctl is-system-running --wait || systemctl --failed --plain";

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    conversion::host(bench, rec, options)?;
    if options.kernels.is_empty() {
        let machine = rec.step("what this machine has", |s| {
            let told = bench.outside(s, MACHINE, 0)?;
            s.detail(format!("{} bytes of JSON, which are in the report", told.len()));
            Ok::<_, Failure>(told)
        })?;
        rec.fact(MACHINE, &machine);
        return Ok(());
    }
    guests::made(bench, rec)?;
    for package in &options.kernels {
        one(bench, rec, options, package)?;
    }
    Ok(())
}

fn one(
    bench: &mut Bench,
    rec: &mut Recorder<'_>,
    options: &RehearseOptions,
    package: &Path,
) -> Result<(), Failure> {
    let release = release(package)?;
    rec.step(&format!("kernel install: {release}"), |s| {
        bench.ssh.put(network::VM, package, "/root/own.deb", BRING)?;
        bench.run(s, "xenup kernel check /boot/vmlinuz-$(uname -r)", 0, SHORT)?;
        bench.run(s, "xenup kernel install /root/own.deb --yes", 0, APPLY).map(|_| ())
    })?;
    rec.step("restart: Xen with this kernel on trial, kept by its own check", |s| {
        on_trial(bench, s, &format!("with Linux {release}"))?;
        bench.says(s, "uname -r", &release)?;
        bench.run(s, LOOK, 0, JUDGED)?;
        bench.says(s, SOUND, "running")
    })?;
    guests::started(bench, rec, options.hypervisor)?;
    rec.step("the guests end; restart: it is what boots by itself", |s| {
        guests::end(bench, s)?;
        bench.restart(s)?;
        bench.says(s, "uname -r", &release)?;
        booted(bench, s, KNOWN)
    })
}

/// The release in a package's name: linux-image-RELEASE_VERSION_ARCHITECTURE.deb.
fn release(package: &Path) -> Result<String, Failure> {
    let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let release = name.strip_prefix("linux-image-").and_then(|rest| rest.split_once('_'));
    let named = release.map(|(release, _)| release.to_owned());
    named.ok_or_else(|| {
        Failure::unexpected("the kernel's package", "linux-image-RELEASE_VERSION_amd64.deb", name)
    })
}
