//! The shortest scenario: a plain Debian boots, the package is installed, `inspect` runs, and nothing has changed.

use xenup_system::stopwatch::Stopwatch;

use super::bench::{BROUGHT, Bench, PACKAGE, SHORT, tenths};
use super::failure::Failure;
use super::typed;
use crate::event::{Recorder, StepScope};

/// What an installed package must leave as it was: links and addresses, boot entries and their default, units that
/// are enabled (by their links: systemctl takes 16 s under emulation to list them) or run, but for those that end by
/// themselves when nobody asks them. On a busy machine the service manager may take longer than systemctl's own patience.
const STATE: &str = "export SYSTEMD_BUS_TIMEOUT=600; ip -br link; ip -br addr; ip route; sha256sum /boot/grub/grub.cfg; \
    find /etc/systemd/system /etc/rc?.d -type l | sort; systemctl list-units --type=service --state=running \
    --no-legend --no-pager --plain | cut -d' ' -f1 | grep -vxE 'systemd-(fsckd|hostnamed|localed|timedated).service' | \
    sort; ls /etc/network /etc/default/grub.d /etc/systemd/system";

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    rec.step("install the package", |s| install(bench, s))?;
    rec.step("xenup inspect", |s| inspect(bench, s))
}

/// Installs the package from the second disk, and checks that links, boot and services are as before.
///
/// # Errors
/// dpkg failed, or the installation changed the machine.
pub fn install(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.mount_brought()?;
    let before = bench.vm.console().check(STATE, SHORT)?;
    bench.run(s, &format!("dpkg -i {BROUGHT}/{PACKAGE}"), 0, SHORT)?;
    let after = bench.vm.console().check(STATE, SHORT)?;
    if before != after {
        return Err(Failure::differing("links, boot and services after dpkg -i", &before, &after));
    }
    s.detail("no link, boot entry or service has changed");
    Ok(())
}

fn inspect(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    bench.run(s, typed::INSPECT, 0, SHORT)?;
    s.measure("xenup inspect under emulation, console included", tenths(watch.elapsed()), "s");
    Ok(())
}
