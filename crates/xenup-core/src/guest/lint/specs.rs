//! Devices other than disks and network interfaces: lists of `key=value,…` of which xl refuses what it does not know.
//!
//! Decides: by the parse functions of xl_parse.c, device by device: which words there are, which are needed, and what
//! happens at a piece without `=`. Never: looks whether what a device names is there.

use super::super::parse::{Node, Value};
use super::{Lint, words};
use crate::inspect::Weight;

/// What xl does with a piece that it does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strange {
    /// It refuses the device.
    Refused,
    /// It refuses the word, and reads no further at a piece without `=`.
    EndsWithoutWord,
    /// It says so and goes on, but a piece without `=` or without a value is refused.
    PassedOver,
}

/// How a device is written.
struct Device {
    key: &'static str,
    words: &'static [&'static str],
    needed: &'static [&'static str],
    strange: Strange,
    /// Words whose value is one of a list.
    lists: &'static [(&'static str, &'static [&'static str])],
}

const DEVICES: &[Device] = &[
    Device {
        key: "p9",
        words: &[
            "security_model",
            "path",
            "tag",
            "backend",
            "type",
            "max-files",
            "max-open-files",
            "max-space",
            "auto-delete",
        ],
        needed: &[],
        strange: Strange::Refused,
        lists: &[("type", &["qemu", "xen_9pfsd"])],
    },
    Device {
        key: "vtpm",
        words: &["backend", "uuid"],
        needed: &["backend"],
        strange: Strange::EndsWithoutWord,
        lists: &[],
    },
    Device {
        key: "vdispl",
        words: &["backend", "be-alloc", "connectors"],
        needed: &["connectors"],
        strange: Strange::Refused,
        lists: &[],
    },
    Device {
        key: "pvcalls",
        words: &["backend"],
        needed: &[],
        strange: Strange::EndsWithoutWord,
        lists: &[],
    },
    Device {
        key: "channel",
        words: &["backend", "name", "path", "connection"],
        needed: &["connection"],
        strange: Strange::PassedOver,
        lists: &[("connection", &["pty", "socket"])],
    },
    Device {
        key: "usbctrl",
        words: &["type", "version", "ports"],
        needed: &[],
        strange: Strange::Refused,
        lists: &[("type", &["auto", "pv", "devicemodel", "qusb"])],
    },
    Device {
        key: "usbdev",
        words: &["type", "hostbus", "hostaddr", "controller", "port"],
        needed: &[],
        strange: Strange::Refused,
        lists: &[("type", &["hostdev"])],
    },
    Device {
        key: "vkb",
        words: &[
            "backend",
            "backend-type",
            "unique-id",
            "feature-disable-keyboard",
            "feature-disable-pointer",
            "feature-abs-pointer",
            "feature-raw-pointer",
            "feature-multi-touch",
            "multi-touch-width",
            "multi-touch-height",
            "multi-touch-num-contacts",
            "width",
            "height",
        ],
        needed: &["backend-type"],
        strange: Strange::Refused,
        lists: &[("backend-type", &["qemu", "linux"])],
    },
    Device {
        key: "virtio",
        words: &["backend", "type", "transport", "grant_usage"],
        needed: &[],
        strange: Strange::Refused,
        lists: &[("transport", &["mmio"])],
    },
];
/// Words about sound that card, device and stream have in common.
const SOUND: [&str; 5] = ["sample-rates", "sample-formats", "channels-min", "channels-max", "buffer-size"];
/// What SMBIOS tables are told (libxl_smbios_type).
const SMBIOS: [&str; 18] = [
    "bios_vendor",
    "bios_version",
    "system_manufacturer",
    "system_product_name",
    "system_version",
    "system_serial_number",
    "baseboard_manufacturer",
    "baseboard_product_name",
    "baseboard_version",
    "baseboard_serial_number",
    "baseboard_asset_tag",
    "baseboard_location_in_chassis",
    "enclosure_manufacturer",
    "enclosure_serial_number",
    "enclosure_asset_tag",
    "battery_manufacturer",
    "battery_device_name",
    "oem",
];

impl Device {
    /// Returns what xl refuses in a device's text.
    fn fault(&self, text: &str) -> Option<String> {
        let mut said: Vec<(&str, &str)> = Vec::new();
        let mut pieces = text.split(',').filter(|piece| !piece.is_empty()).map(str::trim_start);
        while let Some(piece) = pieces.next() {
            let Some((word, value)) = piece.split_once('=') else {
                match self.strange {
                    Strange::EndsWithoutWord => break,
                    _ => return Some(format!("`{piece}` says nothing")),
                }
            };
            let (word, value) = match self.strange {
                Strange::PassedOver => (word.trim(), value.trim()),
                _ => (word, value),
            };
            // The type of a virtio device may have one comma in it.
            if self.key == "virtio" && word == "type" && value == "virtio" {
                pieces.next();
            }
            if !self.words.contains(&word) {
                if self.strange != Strange::PassedOver {
                    return Some(format!("it has no `{word}`"));
                }
                if value.is_empty() {
                    return Some(format!("`{word}` has no value"));
                }
                continue;
            }
            if let Some((_, known)) = self.lists.iter().find(|(of, _)| *of == word)
                && !known.iter().any(|known| known.eq_ignore_ascii_case(value))
            {
                return Some(format!("{word} is `{value}`, not one of {}", known.join(", ")));
            }
            said.push((word, value));
        }
        let of = |word: &str| said.iter().rev().find(|(said, _)| *said == word).map(|(_, value)| *value);
        if let Some(word) = self.needed.iter().find(|word| of(word).is_none()) {
            return Some(format!("{word}= is missing"));
        }
        self.together(&of)
    }

    /// What a device's words are worth only together.
    fn together<'t>(&self, of: &dyn Fn(&str) -> Option<&'t str>) -> Option<String> {
        match self.key {
            "p9" if !of("type").is_some_and(|kind| kind.eq_ignore_ascii_case("xen_9pfsd")) => {
                let missing = ["path", "security_model", "tag"].into_iter().find(|word| of(word).is_none());
                missing.map(|word| format!("{word}= is missing"))
            }
            "channel" if of("connection") == Some("socket") && of("path").is_none() => {
                Some("connection=socket takes a path=".to_owned())
            }
            "vdispl" => {
                let connectors = of("connectors").unwrap_or_default();
                let bad = connectors.split(';').filter(|one| !one.is_empty()).find(|one| !is_connector(one));
                bad.map(|one| format!("connector `{one}` is no ID:WIDTHxHEIGHT"))
                    .or_else(|| connectors.is_empty().then(|| "it has no connector".to_owned()))
            }
            "vkb" => {
                let wanted = of("feature-multi-touch").is_some_and(|on| on != "0");
                let sized = ["multi-touch-width", "multi-touch-height", "multi-touch-num-contacts"];
                let none = sized.iter().all(|word| of(word).is_none_or(|size| size == "0"));
                (wanted && none).then(|| format!("feature-multi-touch takes {}", sized.join(", ")))
            }
            _ => None,
        }
    }
}

fn is_connector(text: &str) -> bool {
    let mut parts = text.split(':').filter(|part| !part.is_empty());
    let size = parts.next().and(parts.next()).and_then(|size| size.split_once('x'));
    let starts = |text: &str| text.trim_start().starts_with(|c: char| c.is_ascii_digit());
    size.is_some_and(|(width, height)| {
        width.trim().bytes().all(|c| c.is_ascii_digit()) && starts(width) && starts(height)
    })
}

impl Lint<'_> {
    /// Devices that xl refuses.
    pub(super) fn specs(&mut self) {
        for device in DEVICES {
            for (span, text) in owned(self.guest.texts(device.key)) {
                if let Some(fault) = device.fault(&text) {
                    self.refused_device(device.key, &fault, span);
                }
            }
        }
        if self.guest.kind == super::super::model::GuestType::Hvm {
            for (span, text) in owned(self.guest.texts("smbios")) {
                let known = text.split_once('=').is_some_and(|(word, value)| {
                    !value.is_empty() && SMBIOS.iter().any(|known| known.eq_ignore_ascii_case(word))
                });
                if !known {
                    self.refused_device("smbios", &format!("`{text}` is no entry that it has"), span);
                }
            }
        }
        self.sound();
        self.nodes();
    }

    fn refused_device(&mut self, key: &str, fault: &str, at: usize) {
        let what = format!("xl refuses this {key}: {fault}");
        let why = "a guest with a device that xl cannot read is not started";
        let fix = format!("write it as xl.cfg(5) has {key}, or take it out");
        self.add("guest-device-refused", Weight::Blocks, words(what, why, fix), [at]);
    }

    fn inner(&self, key: &str) -> Vec<Node> {
        match self.guest.settings.get(key).map(|setting| &setting.value) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    /// `vsnd`: cards as lists, each item `card`, `pcm` or `stream` and its words.
    fn sound(&mut self) {
        for card in self.inner("vsnd") {
            let Value::List(items) = &card.value else {
                self.refused_device("vsnd", "a card is a list", card.span.start);
                continue;
            };
            let mut devices = 0_u32;
            for (text, at) in items.iter().filter_map(|item| Some((item.text()?, item.span.start))) {
                if let Some(fault) = sound_fault(text, &mut devices) {
                    self.refused_device("vsnd", &fault, at);
                }
            }
        }
    }

    /// `vnuma`: nodes as lists of `word = value`.
    fn nodes(&mut self) {
        let mut sizes = 0_u64;
        let mut vcpus = 0_u64;
        let nodes = self.inner("vnuma");
        for node in &nodes {
            let Value::List(items) = &node.value else {
                self.refused_device("vnuma", "a node is a list", node.span.start);
                return;
            };
            for (text, at) in items.iter().filter_map(|item| Some((item.text()?, item.span.start))) {
                let Some((word, value)) = text.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                    self.refused_device("vnuma", &format!("`{text}` says nothing"), at);
                    return;
                };
                let (word, value) = (word.trim(), value.trim());
                let number = leading(value);
                match word {
                    "pnode" if number.is_some() => {}
                    "vdistances" if value.split(',').all(|part| leading(part).is_some()) => {}
                    "size" if number.is_some() => sizes = sizes.saturating_add(number.unwrap_or_default()),
                    "pnode" | "size" | "vdistances" => {
                        self.refused_device("vnuma", &format!("{word} is `{value}`"), at);
                        return;
                    }
                    "vcpus" => vcpus = vcpus.saturating_add(value.split(',').map(width).sum::<u64>()),
                    _ => {}
                }
            }
        }
        if nodes.is_empty() {
            return;
        }
        for (key, sum) in [("maxvcpus", vcpus), ("maxmem", sizes)] {
            let told = self.guest.number(key).filter(|told| *told != 0);
            if let Some(told) = told.filter(|told| u64::try_from(*told) != Ok(sum)) {
                let what = format!("{key} is {told}, and vnuma has {sum} in all its nodes");
                self.refused_value(key, what, format!("write {key} = {sum}"));
            }
        }
    }
}

fn owned(texts: Vec<(std::ops::Range<usize>, &str)>) -> Vec<(usize, String)> {
    texts.into_iter().map(|(span, text)| (span.start, text.to_owned())).collect()
}

fn leading(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

/// How many processors `2` or `2-5` are.
fn width(range: &str) -> u64 {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (leading(first), leading(last)) {
        (Some(first), Some(last)) => last.saturating_sub(first).saturating_add(1).min(1 << 16),
        _ => 0,
    }
}

fn sound_fault(text: &str, devices: &mut u32) -> Option<String> {
    let mut pieces = text.split(',').filter(|piece| !piece.is_empty()).map(str::trim_start);
    let kind = pieces.next()?.to_ascii_lowercase();
    let own: &[&str] = match kind.as_str() {
        "card" => &["backend", "short-name", "long-name"],
        "pcm" => &["name"],
        "stream" => &["unique-id", "type"],
        _ => return Some(format!("`{kind}` is none of card, pcm, stream")),
    };
    *devices = devices.saturating_add(1);
    let bad = pieces.find(|piece| {
        let word = piece.split_once('=').map_or(*piece, |(word, _)| word);
        !piece.contains('=') || !own.contains(&word) && !SOUND.contains(&word)
    });
    bad.map(|piece| format!("a {kind} has no `{piece}`"))
}

#[cfg(test)]
mod tests {
    use super::DEVICES;

    fn fault(key: &str, text: &str) -> Option<String> {
        DEVICES.iter().find(|device| device.key == key).unwrap().fault(text)
    }

    #[test]
    fn devices_of_xl_cfg_are_taken() {
        for (key, text) in [
            ("p9", "tag=share,path=/srv,security_model=none"),
            ("p9", "type=xen_9pfsd"),
            ("vtpm", "backend=tpm,uuid=6f0a2b5e-3ed1-4f3e-9f0c-5f0f3f7a7d11"),
            ("vdispl", "connectors=id0:1920x1080;id1:800x600,be-alloc=0"),
            ("channel", "connection=socket,path=/tmp/s,name=org"),
            ("channel", "name=a,connection=pty,colour=red"),
            ("usbctrl", "type=auto,version=2,ports=8"),
            ("usbdev", "type=hostdev,hostbus=1,hostaddr=2"),
            ("vkb", "backend-type=qemu"),
            ("virtio", "type=virtio,device22,transport=mmio"),
            ("pvcalls", "backend=0"),
        ] {
            assert_eq!(fault(key, text), None, "{key} {text}");
        }
    }

    #[test]
    fn devices_that_xl_refuses_are_refused() {
        for (key, text) in [
            ("p9", "path=/srv,security_model=none"),
            ("p9", "tag=a,path=/srv,security_model=none,mode=1"),
            ("vtpm", "uuid=1"),
            ("vdispl", "connectors=id0:wide"),
            ("vdispl", "be-alloc=0"),
            ("channel", "name=a"),
            ("channel", "connection=tcp"),
            ("channel", "connection=socket"),
            ("channel", "connection"),
            ("usbctrl", "type=xhci"),
            ("usbdev", "bus=1"),
            ("vkb", "backend=0"),
            ("vkb", "backend-type=qemu,feature-multi-touch=1"),
            ("virtio", "transport=pci"),
            ("pvcalls", "port=1"),
        ] {
            assert!(fault(key, text).is_some(), "{key} {text}");
        }
    }
}
