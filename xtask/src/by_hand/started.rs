//! The disk that docs/images.md has made is started on emulated machines, by BIOS and by UEFI.
//!
//! Decides: that the hypervisor and a login prompt on dom0's console are what it has to come to. Never: asserts on a time.

use xenup_rehearse::console::Pattern;
use xenup_rehearse::qemu::{Firmware, Vm, VmSpec};
use xenup_system::process::Tool;

use super::image::disk;
use super::{Failure, Place};
use crate::claims::holds;
use crate::emulated::BOOT;

/// What an emulated processor has to be told, and the room that the emulated machine leaves.
const WORDS: (&str, &str) = ("dom0_mem=2G,max:2G com1", "dom0_mem=1536M,max:1536M hap=0 xsave=0 com1");

/// The page's script for an emulated machine.
pub(super) fn emulated(script: &str) -> String {
    script.replace(WORDS.0, WORDS.1)
}

/// Returns whether the disk comes to a login prompt under Xen by both firmwares.
pub(super) fn by_both(place: &Place) -> Result<bool, Failure> {
    let base = place.folder.join("base.qcow2");
    let convert =
        Tool::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]).arg(disk(place)).arg(&base);
    convert.timeout(BOOT).run()?;
    xenup_rehearse::tools::ensure_tools(&mut |line| println!("{line}"))?;
    let mut good = true;
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let (lab, lan, accelerator) = crate::emulated::laboratory()?;
        let mut vm = Vm::start(&lab, &lan, &VmSpec::over(&base, firmware, accelerator))?;
        let console = vm.console();
        let hypervisor = console.expect(&Pattern::text("(XEN) Xen version 4.17"), BOOT).is_ok();
        let prompt = hypervisor && console.expect(&Pattern::text("fresh login:"), BOOT).is_ok();
        if !prompt {
            println!("{}", console.tail(40));
        }
        good &= holds(&format!("images.md by hand, {firmware:?}: the hypervisor starts"), hypervisor);
        good &= holds(&format!("images.md by hand, {firmware:?}: a login prompt in dom0"), prompt);
    }
    Ok(good)
}
