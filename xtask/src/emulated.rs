//! What the checks on emulated machines have in common: the laboratory, the first words of a machine that an image became,
//! a key, and whether a guest answers.
//!
//! Decides: how long an emulated boot may take, and how an attempt at a guest is made. Never: what a machine has to be.

use std::net::Ipv4Addr;
use std::time::Duration;

use xenup_rehearse::accelerator::Accelerator;
use xenup_rehearse::console::{Console, Pattern};
use xenup_rehearse::inside::PASSWORD;
use xenup_rehearse::lab::Lab;
use xenup_rehearse::network::Lan;
use xenup_rehearse::probe::Probing;
use xenup_system::files;
use xenup_system::stopwatch::Stopwatch;

type Failure = Box<dyn std::error::Error>;

/// An emulated machine beside a compiler takes ten times what it takes alone.
pub const BOOT: Duration = Duration::from_secs(2400);
/// A command in one.
pub const SHORT: Duration = Duration::from_secs(600);
/// A public key that nobody has the other half of.
pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvciB0ZXN0cyBhbG9uZQ admin@example";
/// An attempt at an address.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Opens the laboratory with a LAN of its own, and says how the processor is made.
///
/// # Errors
/// No room for it, or no right to make a network.
pub fn laboratory() -> Result<(Lab, Lan, Accelerator), Failure> {
    let lab = Lab::open(&files::cache_dir().join("rehearse"))?;
    let (accelerator, why) = Accelerator::probe(&lab);
    println!("{why}");
    let lan = Lan::create(&lab)?;
    Ok((lab, lan, accelerator))
}

/// Waits for what an image's first boot says, prints it with the time on `watch`, and logs in; returns whether it was a Xen
/// host.
///
/// # Errors
/// A machine that says nothing, or takes no login.
pub fn first_boot(console: &mut Console, whose: &str, watch: &Stopwatch) -> Result<bool, Failure> {
    let ends = [Pattern::text("is a Xen host: all of"), Pattern::text("do not hold; they are looked at")];
    let report = console.expect(&Pattern::any(&ends), BOOT)?;
    println!("{whose}: the first boot has reported after {:.0} s", watch.elapsed().as_secs_f64());
    for line in report.before.lines().filter(|line| line.contains("xenup[")) {
        println!("  {}", line.trim());
    }
    console.send("\n")?;
    console.login_within("root", PASSWORD, SHORT)?;
    Ok(report.index == 0)
}

/// Returns whether somebody on the LAN answers at this address within the time of a boot.
///
/// # Errors
/// Echo requests cannot be sent.
pub fn answers(lan: &Lan, address: Ipv4Addr) -> Result<bool, Failure> {
    let watch = Stopwatch::start();
    while watch.elapsed() < BOOT {
        let mut probing = Probing::start(lan, address, 1)?;
        probing.wait(ATTEMPT)?;
        let seen = probing.stop()?.whole();
        if seen.lost < seen.sent {
            return Ok(true);
        }
    }
    Ok(false)
}
