//! What a file says of one thing in two ways, and what it leaves out.

use super::super::model::GuestType;
use super::{Lint, words};
use crate::inspect::Weight;

/// What xl does when a guest ends (action_on_shutdown_names in xl_parse.c).
pub(in super::super) const ACTIONS: [&str; 7] = [
    "destroy",
    "restart",
    "rename-restart",
    "preserve",
    "coredump-destroy",
    "coredump-restart",
    "soft-reset",
];
pub(in super::super) const EVENTS: [&str; 5] =
    ["on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"];

impl Lint<'_> {
    pub(super) fn combinations(&mut self) {
        self.kind();
        self.identity();
        self.boots();
        self.sizes();
        self.events();
        self.command_line();
    }

    fn block(&mut self, id: &str, keys: &[&str], what: String, why: &str, fix: String) {
        let at: Vec<usize> = keys.iter().filter_map(|key| self.at(key)).collect();
        self.add(id, Weight::Blocks, words(what, why, fix), at);
    }

    fn kind(&mut self) {
        let by_type = self.guest.text("type").map(|word| (word.to_owned(), GuestType::of_type(word)));
        let by_builder =
            self.guest.text("builder").map(|word| (word.to_owned(), GuestType::of_builder(word)));
        if let Some((word, None)) = &by_type {
            let what = format!("type is `{word}`: xl knows pv, pvh and hvm");
            self.block(
                "guest-type-unknown",
                &["type"],
                what,
                "xl refuses it",
                "write one of them".to_owned(),
            );
        }
        let Some((word, builder)) = &by_builder else {
            if by_type.is_none() && self.at("pvh").is_none() {
                let why = "without type= xl makes a PV guest, the oldest type; pvh is faster and safer where the \
                           kernel can";
                let what = "no type is given, so this is a PV guest";
                let fix = "write type = \"pv\", or try type = \"pvh\"";
                self.add("guest-type-missing", Weight::Note, words(what, why, fix), []);
            }
            return;
        };
        let convert = self.convert();
        match (builder, by_type.as_ref().and_then(|(_, kind)| *kind)) {
            (None, _) => {
                let what = format!("builder is `{word}`: xl knows hvm and generic");
                let (id, fix) = if word == "linux" {
                    ("guest-builder", convert)
                } else {
                    ("guest-type-unknown", "write type = \"pv\", \"pvh\" or \"hvm\" in its place".to_owned())
                };
                self.block(id, &["builder"], what, "xl refuses it", fix);
            }
            (Some(builder), Some(kind)) if *builder != kind => {
                let what = format!("type says {}, builder says {}", kind.word(), builder.word());
                let fix = "keep type alone".to_owned();
                self.block("guest-type-contradiction", &["type", "builder"], what, "xl refuses it", fix);
            }
            _ => {
                let at = self.at("builder");
                let what = "builder= is the old name of type=";
                let why = "xl has called it deprecated since 4.10";
                self.add("guest-builder", Weight::Note, words(what, why, convert), at);
            }
        }
    }

    fn identity(&mut self) {
        if self.guest.filled("name").is_none() {
            let fix = "write name = \"…\"".to_owned();
            self.block(
                "guest-name-missing",
                &["name"],
                "the guest has no name".to_owned(),
                "xl refuses it",
                fix,
            );
        }
        let uuid = self.guest.text("uuid").map(|text| (text.to_owned(), hyphenated(text)));
        if let Some((uuid, good)) = uuid.filter(|(text, good)| good.as_ref() != Some(text)) {
            let what = format!("`{uuid}` is no UUID as xl reads one");
            self.block(
                "guest-uuid",
                &["uuid"],
                what,
                "xl refuses it",
                match good {
                    Some(_) => self.convert(),
                    None => "write one from uuidgen, or none".to_owned(),
                },
            );
        }
    }

    fn boots(&mut self) {
        let kernel = self.guest.filled("kernel").is_some();
        let bootloader = self.guest.filled("bootloader").is_some();
        let firmware = self.guest.filled("firmware").map(str::to_owned);
        if self.guest.kind == GuestType::Hvm {
            return;
        }
        if kernel && bootloader {
            let why = "the boot loader reads a kernel from the guest's disk, and this one is not used";
            let what = "there is a kernel and a bootloader";
            let at = [self.at("kernel"), self.at("bootloader")].into_iter().flatten();
            let at: Vec<usize> = at.collect();
            self.add(
                "guest-kernel-and-bootloader",
                Weight::Warning,
                words(what, why, "keep one of them"),
                at,
            );
        }
        if kernel && firmware.is_some() {
            let what = "there is a kernel and a firmware".to_owned();
            let keys = ["kernel", "firmware"];
            self.block(
                "guest-kernel-and-firmware",
                &keys,
                what,
                "xl refuses it",
                "keep one of them".to_owned(),
            );
        }
        if !kernel && !bootloader && firmware.is_none() {
            let why = "xl refuses a guest of this type without kernel, bootloader or firmware";
            let kind = self.guest.kind.word();
            let fix = if self.guest.kind == GuestType::Pvh {
                "write kernel = \"/usr/lib/grub-xen/grub-i386-xen_pvh.bin\" (package grub-xen-host)"
            } else {
                "write bootloader = \"pygrub\", or the path of a kernel"
            };
            let what = format!("nothing says what a {kind} guest boots");
            self.block("guest-boots-nothing", &["type"], what, why, fix.to_owned());
        }
        if let Some(firmware) = firmware
            && !"pvgrub32".starts_with(&firmware)
            && !"pvgrub64".starts_with(&firmware)
        {
            let what = format!("a {} guest has no firmware `{firmware}`", self.guest.kind.word());
            let why = "xl refuses it: pvgrub32 and pvgrub64 are all there is";
            let fix = "write kernel = … or type = \"hvm\"".to_owned();
            self.block("guest-firmware", &["firmware"], what, why, fix);
        }
        if self.guest.kind == GuestType::Pv && self.at("timer_mode").is_some() {
            let what = "a PV guest has no timer_mode".to_owned();
            let fix = "take it out".to_owned();
            self.block("guest-timer-mode", &["timer_mode"], what, "xl refuses it", fix);
        }
    }

    fn sizes(&mut self) {
        let number = |key: &str| self.guest.number(key);
        let (memory, maxmem) = (number("memory"), number("maxmem"));
        let (vcpus, maxvcpus) = (number("vcpus").unwrap_or(1), number("maxvcpus"));
        if let (Some(memory), Some(maxmem)) = (memory, maxmem)
            && memory > maxmem
        {
            let what = format!("memory is {memory} MiB, maxmem {maxmem} MiB");
            let why = "Xen gives a guest no more than maxmem";
            let keys = ["memory", "maxmem"];
            self.block("guest-memory-over-maxmem", &keys, what, why, format!("write maxmem = {memory}"));
        }
        if let Some(maxvcpus) = maxvcpus
            && maxvcpus != 0
            && vcpus > maxvcpus
        {
            let what = format!("vcpus is {vcpus}, maxvcpus {maxvcpus}");
            let fix = format!("write maxvcpus = {vcpus}");
            self.block("guest-vcpus-over-maxvcpus", &["vcpus", "maxvcpus"], what, "xl refuses it", fix);
        }
    }

    fn events(&mut self) {
        for key in EVENTS {
            let Some(word) = self.guest.text(key).filter(|word| !ACTIONS.contains(word)) else { continue };
            let what = format!("{key} is `{word}`");
            let why = "xl refuses it";
            let id =
                if ACTIONS.contains(&action(word).as_str()) { "guest-action-old" } else { "guest-action" };
            let fix = if id == "guest-action" {
                format!("write one of {}", ACTIONS.join(", "))
            } else {
                self.convert()
            };
            self.block(id, &[key], what, why, fix);
        }
    }

    fn command_line(&mut self) {
        let keys: Vec<&str> =
            ["root", "extra"].into_iter().filter(|key| self.guest.text(key).is_some()).collect();
        if keys.is_empty() {
            return;
        }
        let (list, convert) = (keys.join(" and "), self.convert());
        let at: Vec<usize> = keys.iter().filter_map(|key| self.at(key)).collect();
        if self.at("cmdline").is_some() {
            let what = format!("{list} beside cmdline");
            let why = "xl then takes cmdline alone";
            self.add("guest-cmdline-split", Weight::Warning, words(what, why, convert), at);
        } else {
            let what = format!("the kernel's command line is given as {list}");
            let why = "xl takes it; cmdline says the same in one place";
            self.add("guest-cmdline-split", Weight::Note, words(what, why, convert), at);
        }
    }
}

/// Returns xl's spelling of an action.
pub(in super::super) fn action(word: &str) -> String {
    word.trim().to_ascii_lowercase().replace('_', "-")
}

/// Returns a UUID as uuid_parse(3), which libxl asks, takes it: sixteen bytes in hexadecimal with the four hyphens of RFC
/// 4122, wherever xm took them; `None` where the text has not the digits.
pub(in super::super) fn hyphenated(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let is_one = digits.len() == 32 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
    is_one.then(|| parts.join("-"))
}
