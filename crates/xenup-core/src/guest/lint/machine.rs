//! What a guest names and this machine does not have, and what Debian's build of Xen does not do.
//! Facts with their sources are in docs/guests.md.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::disk_spec::Format;
use super::super::here::SCRIPTS;
use super::super::model::GuestType;
use super::{Lint, words};
use crate::inspect::Weight;

/// Keys that name a file in dom0.
const FILES: [&str; 12] = [
    "kernel",
    "ramdisk",
    "bootloader",
    "device_tree",
    "device_model_override",
    "firmware_override",
    "bios_path_override",
    "smbios_firmware",
    "acpi_firmware",
    "stubdomain_kernel",
    "stubdomain_ramdisk",
    "pvshim_path",
];
const PYGRUB: &str = "/usr/bin/pygrub";

impl Lint<'_> {
    pub(super) fn machine(&mut self) {
        self.files();
        self.disks_there();
        self.bridges();
        self.pygrub();
        self.build();
    }

    fn absent(
        &mut self,
        id: &str,
        what: String,
        why: &str,
        fix: String,
        at: impl IntoIterator<Item = usize>,
    ) {
        self.add(id, Weight::Blocks, words(what, why, fix), at);
    }

    fn files(&mut self) {
        for key in FILES {
            let Some(path) = self.guest.filled(key).filter(|path| path.starts_with('/')) else { continue };
            let (path, at) = (path.to_owned(), self.at(key));
            if (key == "kernel" || key == "ramdisk") && self.is_replaced_kernel() {
                continue;
            }
            let there = self.here.exists(Path::new(&path));
            if there == Some(false) {
                let fix = if path.contains("/grub-xen/") {
                    "apt install grub-xen-host".to_owned()
                } else {
                    format!("put it there, or name another {key}")
                };
                let what = format!("{key} {path} is not there");
                self.absent("guest-file-absent", what, "xl cannot start the guest without it", fix, at);
            } else if key == "kernel" && is_packaged(&path) {
                let what = format!("the guest boots dom0's own {path}");
                let why = "apt removes it when dom0 gets a newer kernel, and the guest then has none";
                let fix =
                    "keep a copy beside the guest's disks, or boot the guest's own kernel by a boot loader";
                self.add("guest-dom0-kernel", Weight::Warning, words(what, why, fix), at);
            }
        }
    }

    /// An HVM guest's `kernel = …/hvmloader`, which xl passes over, is not missed.
    fn is_replaced_kernel(&self) -> bool {
        self.guest.kind == GuestType::Hvm
            && self.guest.filled("kernel").is_some_and(|path| path.ends_with("/hvmloader"))
    }

    fn disks_there(&mut self) {
        for disk in self.guest.disks.clone() {
            let Ok(spec) = disk.spec else { continue };
            let at = disk.span.start;
            if let Some(script) = &spec.script
                && self.here.script(script) == Some(false)
            {
                self.script_absent(script, at);
            }
            if spec.others.iter().any(|other| other.starts_with("backend=")) {
                continue;
            }
            if let Some(path) = spec.relative() {
                let what = format!(
                    "the path {path} of disk {} depends on the folder in which xl is started",
                    spec.vdev
                );
                let why =
                    "it begins with no /; xendomains starts guests in another folder than a person does";
                self.add(
                    "guest-disk-relative",
                    Weight::Warning,
                    [what, why.to_owned(), "write the whole path".to_owned()],
                    [at],
                );
            }
            let Some(path) = spec.path().filter(|_| spec.format != Format::Empty) else { continue };
            if self.here.exists(Path::new(&path)) == Some(false) {
                let what = format!("{path}, disk {} of the guest, is not there", spec.vdev);
                let why = "xl cannot start the guest without it";
                let fix = "make it, or take the disk out".to_owned();
                self.absent("guest-disk-absent", what, why, fix, [at]);
            }
        }
    }

    fn script_absent(&mut self, script: &str, at: usize) {
        let place = if script.contains('/') { String::new() } else { format!(" in {SCRIPTS}") };
        let what = format!("the script {script} is not there{place}");
        let why = "xl runs it to connect the device, and starts no guest without it";
        self.absent("guest-script-absent", what, why, "put it there, or name another".to_owned(), [at]);
    }

    fn bridges(&mut self) {
        let mut missing: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (span, vif) in self.guest.vifs.clone() {
            let script = vif.script.as_deref().unwrap_or("vif-bridge");
            if self.here.script(script) == Some(false) {
                self.script_absent(script, span.start);
            }
            // Another script makes of `bridge` what it likes.
            let bridged = script.rsplit('/').next() == Some("vif-bridge") && vif.backend.is_none();
            let Some(bridges) = self.here.bridges.as_ref().filter(|_| bridged) else { continue };
            let name = vif.bridge.as_deref().filter(|name| !name.is_empty());
            let name = name.unwrap_or(&self.here.default_bridge);
            if !bridges.contains(name) {
                missing.entry(name.to_owned()).or_default().push(span.start);
            }
        }
        for (name, at) in missing {
            let what = format!("there is no bridge {name} here");
            let why = "the guest's interface is connected to it when the guest starts";
            let others = self.here.bridges.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
            let fix = if others.is_empty() {
                "make it: xenup init, then xenup plan".to_owned()
            } else {
                format!("make it, or name one that is there: {others}")
            };
            self.absent("guest-bridge-absent", what, why, fix, at);
        }
    }

    fn pygrub(&mut self) {
        if self.guest.kind == GuestType::Hvm {
            return;
        }
        let Some(loader) = self.guest.filled("bootloader").map(str::to_owned) else { return };
        if loader.rsplit('/').next() != Some("pygrub") {
            return;
        }
        let at: Vec<usize> = self.at("bootloader").into_iter().collect();
        if loader != "pygrub" {
            let why = if loader == PYGRUB {
                "Debian 12 has this link, Debian 13 has not; xl finds pygrub by its name"
            } else {
                "the path belongs to one version of Xen; xl finds pygrub by its name"
            };
            let (what, fix) = (format!("bootloader names {loader} by its path"), self.convert());
            self.add("guest-pygrub-path", Weight::Warning, words(what, why, fix), at.clone());
        }
        if self.guest.number("bootloader_restrict") != Some(1) {
            let why = "it reads the guest's disk as root; only the de-privileged form has security support (XSA-508)";
            let fix = "write bootloader_restrict = 1 (Xen 4.20), or boot a kernel of gzip, xz or lzo by /usr/lib/grub-xen";
            self.add("guest-pygrub-root", Weight::Warning, words("pygrub runs as root", why, fix), at);
        }
    }

    fn build(&mut self) {
        if self.guest.kind != GuestType::Pv && self.guest.number("hap") == Some(0) {
            let weight = match self.here.shadow {
                Some(true) => Weight::Note,
                Some(false) => Weight::Blocks,
                None => Weight::Warning,
            };
            let what = "hap = 0 asks for shadow paging";
            let why = "Debian's Xen has none since the update for XSA-495 (4.17.7, 4.20.3)";
            let at = self.at("hap");
            self.add("guest-shadow", weight, words(what, why, "take it out"), at);
        }
        self.pv32();
        if self.guest.text("device_model_version") == Some("qemu-xen-traditional") {
            let what = "device_model_version is qemu-xen-traditional";
            let why = "Xen 4.21 has it no more";
            let fix = "write qemu-xen, or take it out";
            let at = self.at("device_model_version");
            self.add("guest-qemu-traditional", Weight::Warning, words(what, why, fix), at);
        }
        let pvgrub = self.guest.filled("firmware").filter(|firmware| firmware.starts_with("pvgrub"));
        if let Some(firmware) = pvgrub.filter(|_| self.guest.kind != GuestType::Hvm) {
            let what = format!("firmware is {firmware}");
            let why = "Debian's Xen comes without it";
            let loader = match (self.guest.kind, firmware) {
                (GuestType::Pvh, _) => "grub-i386-xen_pvh.bin",
                (_, "pvgrub32") => "grub-i386-xen.bin",
                _ => "grub-x86_64-xen.bin",
            };
            // grub-core/loader/i386/xen_file.c opens a kernel through these filters alone; PVH hands it on as it is.
            let packing = match self.guest.kind {
                GuestType::Pv => "; it boots kernels packed with gzip, xz or lzo",
                _ => "",
            };
            let fix =
                format!("write kernel = \"/usr/lib/grub-xen/{loader}\" (package grub-xen-host){packing}");
            let at = self.at("firmware");
            self.add("guest-pvgrub", Weight::Blocks, words(what, why, fix), at);
        }
    }

    /// A kernel whose name says that it has 32 bits.
    fn pv32(&mut self) {
        let Some(kernel) = self.guest.filled("kernel").filter(|_| self.guest.kind == GuestType::Pv) else {
            return;
        };
        let file = kernel.rsplit('/').next().unwrap_or(kernel);
        let loader = file == "grub-i386-xen.bin" || file == "pv-grub-x86_32.gz";
        if !loader && !["-686", "-i386", "-i686", "-k7"].iter().any(|mark| file.contains(mark)) {
            return;
        }
        let weight = match self.here.pv32 {
            Some(true) => Weight::Note,
            // The name is proof for a loader, and a strong hint for a kernel.
            _ if loader => Weight::Blocks,
            _ => Weight::Warning,
        };
        let what = format!("{file} is for 32-bit PV");
        let why = "Debian's Xen 4.17 and 4.20 run no 32-bit PV guests (CONFIG_PV32 is not set)";
        let fix = "write type = \"pvh\" with a kernel that can, or with pvshim = 1";
        let at = self.at("kernel");
        self.add("guest-pv32", weight, words(what, why, fix), at);
    }
}

/// Whether a path is that of a kernel of dom0's own packages.
fn is_packaged(path: &str) -> bool {
    path.strip_prefix("/boot/vmlinuz-")
        .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}
