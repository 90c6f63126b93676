//! Whether a machine is emulated or runs on KVM.
//!
//! It decides for emulation unless three things hold: /dev/kvm opens, the module lets a guest use virtualisation
//! itself (Xen's PVH guests need it), and a machine on KVM is seen to run its firmware. Hosts exist that have /dev/kvm
//! and run nothing on it, so the third is tried, not believed.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xenup_system::files;
use xenup_system::lab::socket::Listener;
use xenup_system::process::Tool;

use crate::lab::Lab;
use crate::qmp::Qmp;

/// The firmware's first lines take well under a second on a processor.
const TRIAL: Duration = Duration::from_secs(10);

/// How the machine's processor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// QEMU translates every instruction: slow, runs anywhere.
    #[default]
    Emulate,
    /// This machine's processor, nested virtualisation included.
    Kvm,
}

impl Accelerator {
    /// What this machine can do, and why, as a sentence for the report.
    #[must_use]
    pub fn probe(lab: &Lab) -> (Self, String) {
        match obstacle(lab) {
            Some(why) => (Self::Emulate, format!("emulated: {why}")),
            None => (Self::Kvm, "on KVM: the device opens, nesting is on, and its firmware ran".into()),
        }
    }

    /// QEMU's arguments for it.
    #[must_use]
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            // Under emulation PVH guests of Xen fail with rdtscp, and with smap QEMU 7.2 (Debian 12's) faults dom0's
            // first instructions.
            Self::Emulate => ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,-rdtscp,-smap,-la57"],
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
        }
    }
}

fn obstacle(lab: &Lab) -> Option<String> {
    if !files::exists(Path::new("/dev/kvm")) {
        return Some("this machine has no /dev/kvm".into());
    }
    let nested = ["kvm_intel", "kvm_amd"].iter().any(|module| {
        let parameter = Path::new("/sys/module").join(module).join("parameters/nested");
        files::read_text(&parameter).is_ok_and(|text| matches!(text.trim(), "Y" | "1"))
    });
    if !nested {
        return Some("its KVM gives guests no virtualisation of their own".into());
    }
    trial(lab).err()
}

/// Runs a machine without a disk on KVM until its firmware has spoken; otherwise says what happened instead.
fn trial(lab: &Lab) -> Result<(), String> {
    let words = |e: &dyn std::error::Error| e.to_string();
    let (monitor, says) = ("kvm-trial.qmp", "kvm-trial.debug");
    let listener = Listener::bind(&lab.path().join(monitor)).map_err(|e| words(&e))?;
    let log = lab.path().join("kvm-trial.log");
    let mut qemu = Tool::new("qemu-system-x86_64")
        .args(["-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "64", "-display", "none", "-nodefaults"])
        .args(["-no-reboot", "-chardev", &format!("file,id=says,path={says}")])
        .args(["-device", "isa-debugcon,iobase=0x402,chardev=says"])
        .args(["-chardev", &format!("socket,id=qmp,path={monitor},server=off"), "-mon", "qmp,mode=control"])
        .current_dir(lab.path())
        .die_with_parent()
        .spawn(Some(&log))
        .map_err(|e| words(&e))?;
    let stream = listener.accept(qemu.pidfd(), TRIAL).map_err(|e| words(&e))?;
    let said = || {
        let log = files::read_text(&log).unwrap_or_default();
        log.lines().next().unwrap_or("no word from it").to_owned()
    };
    let Some(stream) = stream else { return Err(format!("QEMU does not start on KVM: {}", said())) };
    // An internal error of KVM stops the machine or ends QEMU; a firmware that found no disk goes on.
    let _ = qemu.wait(Duration::from_secs(2));
    let state = Qmp::new(stream).and_then(|mut qmp| qmp.execute("query-status", Value::Null));
    let running = state.is_ok_and(|state| state["running"] == Value::Bool(true));
    let spoke = files::read(&lab.path().join(says)).is_ok_and(|bytes| !bytes.is_empty());
    if running && spoke { Ok(()) } else { Err(format!("KVM is there but runs no machine: {}", said())) }
}
