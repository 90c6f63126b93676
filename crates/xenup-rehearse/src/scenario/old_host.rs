//! The files of an old host are read, and the machine becomes a Xen host for its guests: one that asks for `bridge=eth0`,
//! the name that Xen's own network-bridge gave, starts and answers, now and after the next boot.
//!
//! Decides what the old host's files say. Never: runs anything of the old host.

use std::time::Duration;

use super::bench::{Bench, SHORT};
use super::failure::Failure;
use super::switch::Bounds;
use super::{RehearseOptions, conversion, guests, plain};
use crate::event::{Recorder, StepScope};
use crate::network;

const FILES: &str = include_str!("guest/old-host");
/// What the import cannot know is the new machine's: its NIC's name, and what Xen needs under emulation.
const EDIT: &str = "sed -i -e 's/^ports = \\[\"eth0\"\\]/ports = [\"enp0s2\"]/' -e '/^name = \"xenbr0\"/a also = [\"eth0\"]' \
                    /etc/xenup/host.toml && \
                    xenup init --print | sed '/^\\[\\[bridge\\]\\]/,/^\\[guests\\]/{/^\\[guests\\]/!d}' >> /etc/xenup/host.toml";
/// Of the file that `guest/make` wrote, what an old one would say: no type, and the old bridge.
const OLD_FILE: &str = "sed -i -e '/^type/d' -e 's/bridge=xenbr0/bridge=eth0/' /root/pv.cfg && cat /root/pv.cfg && grep -q eth0 /root/pv.cfg";
const IMPORT: Duration = Duration::from_secs(300);

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    plain::play(bench, rec)?;
    rec.step("xenup network import of an old host's files", |s| import(bench, s))?;
    conversion::to_the_bridge(bench, rec, if options.busy { Bounds::BUSY } else { Bounds::QUIET })?;
    conversion::to_xen(bench, rec)?;
    guests::made(bench, rec)?;
    rec.step("a guest's file of those days", |s| bench.run(s, OLD_FILE, 0, SHORT).map(|_| ()))?;
    guests::started_pv(bench, rec)?;
    rec.step("reboot", |s| {
        bench.run(s, "xl destroy pv", 0, SHORT)?;
        bench.restart(s)
    })?;
    rec.step("the bridge has its old name too", |s| bench.says(s, "ip link show dev eth0", "xenbr0"))?;
    guests::started_pv(bench, rec)
}

fn import(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.ssh.put_bytes(network::VM, FILES.as_bytes().to_vec(), "/root/old-host", SHORT)?;
    let mac = network::NIC.1;
    bench.run(s, &format!("mkdir -p /root/old && sh /root/old-host /root/old {mac}"), 0, SHORT)?;
    bench.run(s, "xenup network import --root /root/old --out /etc/xenup/host.toml", 0, IMPORT)?;
    bench.says(s, "cat /etc/xenup/host.toml", "import-bridge-renamed")?;
    bench.run(s, EDIT, 0, IMPORT)?;
    bench.run(s, "cat /etc/xenup/host.toml && xenup plan", 0, IMPORT).map(|_| ())
}
