//! A PV and a PVH guest on the bridge, each of a kernel, a small initramfs and one NIC, and whether the outside reaches
//! them.
//!
//! Decides what a guest is made of. Never needs a disk or a mirror: the guest is the machine's own kernel and busybox.

use std::net::Ipv4Addr;
use std::time::Duration;

use xenup_system::stopwatch::Stopwatch;

use super::Hypervisor;
use super::bench::{BROUGHT, Bench, SHORT, tenths};
use super::failure::Failure;
use crate::event::{Recorder, StepScope};
use crate::probe::Probing;
use crate::qemu::{FileOnDisk, Source};

const MAKE: &str = include_str!("guest/make");
const INIT: &str = include_str!("guest/init");
/// The bridge that xl(1) takes where a guest names none.
pub const BRIDGE: &str = "xenbr0";
/// `xl create` takes 6 to 60 s under emulation, on a machine that others use too.
const CREATE: Duration = Duration::from_secs(600);
/// From `xl create` to the guest's answer.
const ANSWER: Duration = Duration::from_secs(600);

/// A kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pv,
    Pvh,
}

impl Kind {
    /// Its name, its configuration's name, and xl.cfg(5)'s `type`.
    fn name(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Pvh => "pvh",
        }
    }

    /// What it says of itself (/sys/hypervisor/guest_type).
    fn guest_type(self) -> &'static str {
        match self {
            Self::Pv => "PV",
            Self::Pvh => "PVH",
        }
    }

    /// Its address, as guest/make has it.
    fn address(self) -> Ipv4Addr {
        match self {
            Self::Pv => Ipv4Addr::new(10, 99, 0, 61),
            Self::Pvh => Ipv4Addr::new(10, 99, 0, 62),
        }
    }
}

/// What has to be on the second disk for the guests.
pub fn files() -> Vec<FileOnDisk> {
    let file = |name: &str, text: &str| FileOnDisk {
        name: name.into(),
        from: Source::Bytes(text.as_bytes().to_vec()),
        mode: 0o755,
    };
    vec![file("guest-make", MAKE), file("guest-init", INIT)]
}

/// Makes and starts the guests that this hypervisor can run here, and reaches each from outside; they are left running.
///
/// # Errors
/// A guest does not start, or cannot be reached.
pub fn start(bench: &mut Bench, rec: &mut Recorder<'_>, hypervisor: Hypervisor) -> Result<(), Failure> {
    made(bench, rec)?;
    started(bench, rec, hypervisor)
}

/// Makes the guests, of the kernel that runs.
///
/// # Errors
/// A program or module that is not there.
pub fn made(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("make the guests", |s| {
        bench.mount_brought()?;
        let make = format!("sh {BROUGHT}/guest-make {BROUGHT}/guest-init {BRIDGE}");
        bench.run(s, &make, 0, SHORT)?;
        bench.run(s, "ls -l /root/guest.cpio.gz && cat /root/pvh.cfg", 0, SHORT).map(|_| ())
    })
}

/// Starts the guests that were made.
///
/// # Errors
/// As [`start`].
pub fn started(bench: &mut Bench, rec: &mut Recorder<'_>, hypervisor: Hypervisor) -> Result<(), Failure> {
    started_pv(bench, rec)?;
    match hypervisor {
        Hypervisor::WithShadowPaging => {
            rec.step("PVH guest on the bridge", |s| start_one(bench, s, Kind::Pvh))
        }
        Hypervisor::Security => {
            let why = "this hypervisor is built without shadow paging, and the emulated processor has no HAP that works";
            rec.skip("PVH guest on the bridge", why);
            Ok(())
        }
    }
}

/// Starts the PV guest that was made, and reaches it from outside.
///
/// # Errors
/// As [`start`].
pub fn started_pv(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("PV guest on the bridge", |s| start_one(bench, s, Kind::Pv))
}

fn start_one(bench: &mut Bench, s: &mut StepScope<'_, '_>, kind: Kind) -> Result<(), Failure> {
    let name = kind.name();
    let watch = Stopwatch::start();
    bench.run(s, &format!("xl create /root/{name}.cfg"), 0, CREATE)?;
    s.measure("xl create", tenths(watch.elapsed()), "s");
    let answer = wait_for_answer(bench, kind)?;
    s.measure("from xl create to its answer outside", tenths(watch.elapsed()), "s");
    s.detail(format!("http://{}/ says: {}", kind.address(), answer.trim()));
    let expected = format!("guest {} is {}", kind.address(), kind.guest_type());
    if !answer.contains(&expected) {
        return Err(Failure::unexpected(format!("the {name} guest's page"), expected, answer));
    }
    bench.run(s, "xl list && bridge link", 0, SHORT)?;
    pinged(bench, s, name, kind.address())
}

/// Asks the guest's web server until it answers; an attempt that is refused is followed by a pause of a second, in
/// which echo requests are sent, so that the waiting itself shows in nobody's figures.
fn wait_for_answer(bench: &mut Bench, kind: Kind) -> Result<String, Failure> {
    let watch = Stopwatch::start();
    let mut probing = Probing::start(&bench.lan, kind.address(), 1)?;
    loop {
        let page = page(bench, kind.address())?;
        if !page.is_empty() {
            return Ok(page);
        }
        if watch.elapsed() > ANSWER {
            let list = bench.vm.console().run("xl list; xl dmesg | tail -20", SHORT)?.output;
            let expected = format!("an answer within {} s", ANSWER.as_secs());
            return Err(Failure::unexpected(
                format!("the {} guest from outside", kind.name()),
                expected,
                list,
            ));
        }
        probing.wait(Duration::from_secs(1))?;
    }
}

/// Returns what the outside gets from a web server; empty where nothing answers.
///
/// # Errors
/// The outside cannot ask.
pub fn page(bench: &Bench, address: Ipv4Addr) -> Result<String, Failure> {
    let ask = format!("exec 3<>/dev/tcp/{address}/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    let output = bench.lan.exec("timeout", &["5", "bash", "-c", &ask]).output();
    Ok(output.map_err(crate::error::during("ask a guest's web server"))?.text())
}

/// Sends echo requests to a guest from outside for three seconds.
///
/// # Errors
/// None is answered.
pub fn pinged(
    bench: &mut Bench,
    s: &mut StepScope<'_, '_>,
    name: &str,
    address: Ipv4Addr,
) -> Result<(), Failure> {
    let mut probing = Probing::start(&bench.lan, address, 10)?;
    probing.wait(Duration::from_secs(3))?;
    let loss = probing.stop()?.whole();
    s.detail(format!("{} of {} echo requests answered", loss.sent - loss.lost, loss.sent));
    if loss.lost < loss.sent {
        return Ok(());
    }
    Err(Failure::unexpected(format!("ping of the {name} guest"), "answers", "none"))
}

/// Ends the guests, and removes what `guest/make` made.
///
/// # Errors
/// One is still listed after its time.
pub fn end(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    // Their init knows no shutdown; nothing is lost with them.
    bench.run(s, "for guest in pv pvh; do xl destroy $guest; done; xl list", 0, SHORT)?;
    bench.run(s, "rm /root/guest.cpio.gz /root/pv.cfg /root/pvh.cfg", 0, SHORT).map(|_| ())
}
