//! What libxl refuses of several keys together, after xl has read each.
//!
//! Decides: by libxl__domain_config_setdefault and libxl__domain_build_info_setdefault (libxl_create.c), and the messages
//! of libxenlight 4.17.7 and 4.20.4 as shipped. Never: repeats what one key alone is refused for.

use super::super::model::GuestType;
use super::super::parse::Value;
use super::super::vif::VifKind;
use super::{Lint, words};
use crate::inspect::Weight;

impl Lint<'_> {
    pub(super) fn together(&mut self) {
        if self.guest.kind == GuestType::Hvm {
            self.firmware_and_model();
            self.direct_boot();
            self.video_memory();
            self.usb();
        }
        self.on_demand();
        self.second_tables();
        self.passed_through();
        self.emulated_interfaces();
    }

    fn refused(&mut self, keys: &[&str], what: String, fix: &str) {
        let at: Vec<usize> = keys.iter().filter_map(|key| self.at(key)).collect();
        let why = "libxl refuses it, and starts no guest";
        self.add("guest-keys-refused", Weight::Blocks, words(what, why, fix), at);
    }

    fn has_items(&self, key: &str) -> bool {
        matches!(
            self.guest.settings.get(key).map(|setting| &setting.value),
            Some(Value::List(items)) if !items.is_empty()
        )
    }

    fn is_on(&self, key: &str) -> bool {
        self.guest.number(key).is_some_and(|number| number != 0)
    }

    fn is_traditional(&self) -> bool {
        self.guest.text("device_model_version") == Some("qemu-xen-traditional")
    }

    /// Each device model goes with its own firmware.
    fn firmware_and_model(&mut self) {
        // xl reads `firmware` behind `bios`, and takes a word of the same list from it.
        let is_bios =
            |word: &&str| ["seabios", "ovmf", "rombios"].iter().any(|bios| bios.eq_ignore_ascii_case(word));
        let key = if self.guest.text("firmware").filter(is_bios).is_some() { "firmware" } else { "bios" };
        let Some(bios) = self.guest.text(key).filter(is_bios).map(str::to_ascii_lowercase) else { return };
        let model = self.guest.text("device_model_version");
        let stub = self.is_on("device_model_stubdomain_override");
        match (self.is_traditional(), bios.as_str()) {
            (true, "seabios" | "ovmf") => {
                let what = format!("qemu-xen-traditional with {key} {bios}");
                self.refused(
                    &[key, "device_model_version"],
                    what,
                    "take one of them out: it takes rombios alone",
                );
            }
            (false, "rombios") if model.is_some() || !stub => {
                let what = format!("qemu-xen with {key} rombios");
                self.refused(&[key], what, "take it out: qemu-xen takes seabios and ovmf");
            }
            _ => {}
        }
    }

    /// A command line or an initrd is for a kernel that is started directly.
    fn direct_boot(&mut self) {
        let passed_over = |path: &str| path.rsplit('/').next() == Some("hvmloader");
        if self.guest.text("kernel").is_some_and(|path| !passed_over(path)) {
            return;
        }
        let keys: Vec<&str> = ["cmdline", "root", "extra", "ramdisk"]
            .into_iter()
            .filter(|key| self.guest.text(key).is_some())
            .collect();
        if !keys.is_empty() {
            let what = format!("{} without a kernel in an hvm guest", keys.join(" and "));
            self.refused(&keys, what, "take it out: the guest's own boot loader has them");
        }
    }

    fn video_memory(&mut self) {
        let vga = match (self.guest.text("vga"), self.guest.number("stdvga")) {
            (Some(vga), _) => vga,
            (None, Some(number)) if number != 0 => "stdvga",
            _ => "cirrus",
        };
        if self.is_traditional() && vga == "qxl" {
            let keys = ["vga", "device_model_version"];
            self.refused(&keys, "qemu-xen-traditional with vga qxl".to_owned(), "write stdvga or cirrus");
            return;
        }
        let least = match (self.is_traditional(), vga) {
            (false, "qxl") => 128,
            (false, "stdvga") => 16,
            (false, "cirrus") | (true, "stdvga") => 8,
            _ => return,
        };
        let told = self.guest.number("videoram").filter(|told| (0..least).contains(told));
        if let Some(told) = told {
            let (what, fix) =
                (format!("videoram is {told} MiB with {vga}"), format!("write videoram = {least}"));
            self.refused(&["videoram"], what, &fix);
        }
    }

    /// The two ways to give an HVM guest USB.
    fn usb(&mut self) {
        let by_version = self.is_on("usbversion");
        let by_spice =
            self.is_on("spice") && self.guest.number("spiceusbredirection").is_some_and(|number| number > 0);
        let old: Vec<&str> = ["usb", "usbdevice"]
            .into_iter()
            .filter(|key| match *key {
                "usb" => self.is_on(key),
                _ => self.guest.settings.contains_key(*key),
            })
            .collect();
        if (by_version || by_spice) && !old.is_empty() {
            let new = if by_version { "usbversion" } else { "spiceusbredirection" };
            let what = format!("{new} beside {}", old.join(" and "));
            self.refused(&[&[new], old.as_slice()].concat(), what, "keep one way to give it USB");
        }
    }

    /// Whether memory is filled on demand: then some things cannot be.
    fn on_demand(&mut self) {
        let vnuma = self.has_items("vnuma");
        if self.guest.kind == GuestType::Pv {
            if vnuma {
                self.refused(&["vnuma"], "vnuma in a pv guest".to_owned(), "take it out");
            }
            return;
        }
        let sizes = self.guest.number("memory").zip(self.guest.number("maxmem"));
        if sizes.is_none_or(|(memory, most)| memory >= most) {
            return;
        }
        let alternate = self.alternate_tables();
        let held: Vec<&str> = [
            ("pci", self.has_items("pci")),
            ("dtdev", self.has_items("dtdev")),
            ("vnuma", vnuma),
            ("altp2m", alternate),
        ]
        .into_iter()
        .filter_map(|(key, is)| is.then_some(key))
        .collect();
        if !held.is_empty() {
            let what = format!("{} in a guest whose memory is less than its maxmem", held.join(" and "));
            let keys = [&["memory", "maxmem"], held.as_slice()].concat();
            self.refused(&keys, what, "write the same for memory and maxmem");
        }
    }

    fn alternate_tables(&self) -> bool {
        let by_name = self.guest.text("altp2m").is_some_and(|mode| {
            !mode.eq_ignore_ascii_case("disabled") && self.guest.number("altp2m") != Some(0)
        });
        by_name || self.guest.kind == GuestType::Hvm && self.is_on("altp2mhvm")
    }

    fn second_tables(&mut self) {
        if self.guest.kind != GuestType::Pv && self.is_on("nestedhvm") && self.alternate_tables() {
            let key = if self.guest.text("altp2m").is_some() { "altp2m" } else { "altp2mhvm" };
            self.refused(&["nestedhvm", key], format!("nestedhvm beside {key}"), "keep one of them");
        }
    }

    fn passed_through(&mut self) {
        let off = self.guest.text("passthrough").is_some_and(|word| word.eq_ignore_ascii_case("disabled"));
        let devices: Vec<&str> = ["pci", "dtdev"].into_iter().filter(|key| self.has_items(key)).collect();
        if off && !devices.is_empty() {
            let what = format!("passthrough is disabled, and there is {}", devices.join(" and "));
            self.refused(&[&["passthrough"], devices.as_slice()].concat(), what, "take one of them out");
        }
        if self.guest.kind == GuestType::Pvh && self.has_items("pci") {
            let what = "a pvh guest takes no PCI device of the host's";
            let why = "libxl refuses it: passthrough is not there for PVH guests";
            let fix = "take pci out, or write type = \"pv\" or \"hvm\"";
            let at = self.at("pci");
            self.add("guest-pvh-pci", Weight::Blocks, words(what, why, fix), at);
        }
    }

    /// `type=ioemu` of an interface makes an emulated NIC, which no PV or PVH guest has.
    fn emulated_interfaces(&mut self) {
        if self.guest.kind == GuestType::Hvm {
            return;
        }
        let emulated = self.guest.vifs.iter().filter(|(_, vif)| vif.kind == Some(VifKind::Ioemu));
        let at: Vec<usize> = emulated.map(|(span, _)| span.start).collect();
        if !at.is_empty() {
            let what = format!("type=ioemu of an interface in a {} guest", self.guest.kind.word());
            let why = "libxl refuses it: the emulated NIC is for HVM guests";
            self.add("guest-vif-emulated", Weight::Blocks, words(what, why, "take type=ioemu out"), at);
        }
    }
}
