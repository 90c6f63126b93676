//! Values that xl refuses: words that are none of a list, numbers beyond a bound, ranges of processors, addresses.
//!
//! Decides: by xl_parse.c and libxl_types.idl, and the messages of xl 4.17.7 and 4.20.4 as shipped. libxl compares the
//! words of its own lists without regard to case, xl compares those that it has itself letter by letter.
//! Never: judges what a machine has.

use std::ops::RangeInclusive;

use super::super::file::as_number;
use super::super::keys::Scope;
use super::super::model::GuestType;
use super::super::parse::Value;
use super::{Lint, words};
use crate::inspect::Weight;

/// A key whose value is a word of a list, or a number that stands for one.
struct Row {
    key: &'static str,
    scope: Scope,
    words: &'static [&'static str],
    /// Whether the list is libxl's, which passes over case.
    of_libxl: bool,
    /// The largest number that is taken in a word's place.
    number: Option<i64>,
}

const fn of_libxl(key: &'static str, scope: Scope, words: &'static [&'static str]) -> Row {
    Row { key, scope, words, of_libxl: true, number: None }
}

const fn of_xl(key: &'static str, scope: Scope, words: &'static [&'static str]) -> Row {
    Row { key, scope, words, of_libxl: false, number: None }
}

const ROWS: &[Row] = &[
    Row { number: Some(3), ..of_libxl("altp2m", Scope::Any, &["disabled", "mixed", "external", "limited"]) },
    of_libxl("bios", Scope::Hvm, &["seabios", "ovmf", "rombios"]),
    of_xl("device_model_version", Scope::Any, &["qemu-xen", "qemu-xen-traditional"]),
    Row { number: Some(i64::MAX), ..of_libxl("gfx_passthru", Scope::Hvm, &["default", "igd"]) },
    of_libxl("gic_version", Scope::Any, &["default", "v2", "v3"]),
    of_libxl("hdtype", Scope::Hvm, &["ide", "ahci"]),
    of_xl("ms_vm_genid", Scope::Hvm, &["generate", "none"]),
    of_libxl("passthrough", Scope::Any, &["default", "disabled", "enabled", "sync_pt", "share_pt"]),
    of_libxl("tee", Scope::Any, &["none", "optee", "ffa"]),
    Row {
        number: Some(3),
        ..of_libxl("tsc_mode", Scope::Any, &["default", "always_emulate", "native", "native_paravirt"])
    },
    of_libxl("vendor_device", Scope::Hvm, &["none", "xenserver"]),
    of_xl("vga", Scope::Hvm, &["stdvga", "cirrus", "qxl", "none"]),
    of_libxl("vuart", Scope::Any, &["sbsa_uart"]),
];
const TIMER_MODES: Row = Row {
    number: Some(3),
    ..of_libxl(
        "timer_mode",
        Scope::Any,
        &[
            "delay_for_missed_ticks",
            "no_delay_for_missed_ticks",
            "no_missed_ticks_pending",
            "one_missed_tick_pending",
        ],
    )
};
/// What libxl has in these lists for a value that nobody set, and takes from a file too.
const UNSET: [&str; 3] = ["bios", "timer_mode", "vuart"];
/// Groups of enlightenments (libxl_viridian_enlightenment), and xl's two words for several of them.
const VIRIDIAN: [&str; 15] = [
    "base",
    "freq",
    "time_ref_count",
    "reference_tsc",
    "hcall_remote_tlb_flush",
    "apic_assist",
    "crash_ctl",
    "synic",
    "stimer",
    "hcall_ipi",
    "ex_processor_masks",
    "no_vp_limit",
    "cpu_hotplug",
    "all",
    "defaults",
];
/// Numbers that xl refuses beyond these, and where they are none.
const BOUNDED: [&str; 3] = ["max_grant_frames", "max_maptrack_frames", "max_grant_version"];
/// MiB; what lies between Xen's smallest and largest hole below 4 GiB (HVM_BELOW_4G_MMIO_LENGTH and _START).
const MMIO_HOLE: RangeInclusive<i64> = 256..=3840;

impl Row {
    fn takes(&self, text: &str) -> bool {
        let same = |word: &&str| if self.of_libxl { word.eq_ignore_ascii_case(text) } else { *word == text };
        let unset = UNSET.contains(&self.key) && text.eq_ignore_ascii_case("unknown");
        self.words.iter().any(same) || unset
    }
}

impl Lint<'_> {
    /// Values of which xl says that it does not know them, and starts no guest.
    pub(super) fn values(&mut self) {
        for row in ROWS {
            self.word(row);
        }
        // A PV guest has none at all, which has a finding of its own.
        if self.guest.kind != GuestType::Pv {
            self.word(&TIMER_MODES);
        }
        self.numbers();
        self.lists();
        for key in ["cpus", "cpus_soft"] {
            self.processors(key);
        }
        self.addresses();
        self.screen();
    }

    fn in_scope(&self, scope: Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Hvm => self.guest.kind == GuestType::Hvm,
            Scope::Pv => self.guest.kind == GuestType::Pv,
            Scope::Pvh => self.guest.kind == GuestType::Pvh,
        }
    }

    fn word(&mut self, row: &Row) {
        let Some(text) = self.guest.text(row.key).filter(|_| self.in_scope(row.scope)) else { return };
        let numbered = row.number.zip(self.guest.number(row.key));
        let good = match numbered {
            Some((most, number)) => (0..=most).contains(&number) || row.key == "gfx_passthru",
            None => row.takes(text),
        };
        if !good {
            let what = format!("{} is `{text}`", row.key);
            self.refused_value(row.key, what, format!("write one of {}", row.words.join(", ")));
        }
    }

    /// Adds that xl refuses the value of a key.
    pub(super) fn refused_value(&mut self, key: &str, what: String, fix: String) {
        let at = self.at(key);
        let why = "xl refuses it, and starts no guest";
        self.add(
            "guest-value-refused",
            Weight::Blocks,
            words(what, why, format!("{fix}, or take it out")),
            at,
        );
    }

    fn numbers(&mut self) {
        for key in BOUNDED {
            let Some(setting) = self.guest.settings.get(key) else { continue };
            let number = match &setting.value {
                Value::Text(text) => as_number(text).filter(|_| !setting.added),
                Value::List(_) => None,
                Value::Nothing => continue,
            };
            if number.is_none_or(|number| !(0..=i64::from(i32::MAX)).contains(&number)) {
                let what = format!("{key} is no number from 0 to {}", i32::MAX);
                self.refused_value(key, what, "write such a number".to_owned());
            }
        }
        if let Some(hole) = self.guest.number("mmio_hole").filter(|_| self.in_scope(Scope::Hvm))
            && !MMIO_HOLE.contains(&hole)
        {
            let (least, most) = MMIO_HOLE.into_inner();
            let what = format!("mmio_hole is {hole} MiB");
            self.refused_value("mmio_hole", what, format!("write one from {least} to {most}"));
        }
    }

    fn lists(&mut self) {
        for key in ["device_model_args", "device_model_args_pv", "device_model_args_hvm"] {
            self.list_alone(key);
        }
        if self.guest.kind == GuestType::Hvm {
            self.list_alone("mca_caps");
            self.items("mca_caps", |text| text == "lmce", "\"lmce\" is all that there is");
            let known = |text: &str| {
                let word = text.strip_prefix('!').unwrap_or(text);
                VIRIDIAN.iter().any(|known| known.eq_ignore_ascii_case(word))
            };
            self.items(
                "viridian",
                known,
                "write groups that xl.cfg(5) names, with ! before those to be left out",
            );
        }
        self.items("llc_colors", is_range, "write numbers and ranges of them");
    }

    /// A key that xl takes as a list and refuses as a word.
    fn list_alone(&mut self, key: &str) {
        if self.guest.text(key).is_some() {
            let what = format!("{key} is no list");
            self.refused_value(key, what, format!("write {key} = [ … ]"));
        }
    }

    /// Refuses the first item of a list that is not as it has to be.
    fn items(&mut self, key: &str, good: impl Fn(&str) -> bool, fix: &str) {
        let items = self.guest.texts(key);
        let bad = items.into_iter().find(|(_, text)| !good(text)).map(|(_, text)| text.to_owned());
        if let Some(text) = bad {
            self.refused_value(key, format!("{key} has `{text}`"), fix.to_owned());
        }
    }

    /// `0-3,^1`, `node:0`, `all`; of a list xl reads as many as the guest has processors.
    fn processors(&mut self, key: &str) {
        let vcpus = self.guest.number("maxvcpus").filter(|most| *most > 0);
        let vcpus = vcpus.or(self.guest.number("vcpus")).unwrap_or_default();
        let texts: Vec<&str> = match self.guest.text(key) {
            Some(text) => vec![text],
            None => {
                let most = usize::try_from(vcpus).unwrap_or_default();
                self.guest.texts(key).into_iter().take(most).map(|(_, text)| text).collect()
            }
        };
        let ranges = texts.into_iter().flat_map(|text| text.split(',')).filter(|range| !range.is_empty());
        let bad = ranges.into_iter().find(|range| !is_processors(range)).map(str::to_owned);
        if let Some(range) = bad {
            let fix = "write processors as in 0-3,^1 or node:0, or all".to_owned();
            self.refused_value(key, format!("{key} has `{range}`"), fix);
        }
    }

    fn addresses(&mut self) {
        self.items("ioports", is_port, "write ports in hexadecimal, as in 3f8-3ff");
        self.items("irqs", is_irq, "write numbers");
        self.items("iomem", is_memory, "write page and count in hexadecimal, as in f0000,10");
        self.items("pci", is_pci, "write it as in 0000:03:00.0,permissive=1");
    }

    fn screen(&mut self) {
        let told_twice = self.guest.text("vnclisten").is_some_and(|listen| listen.contains(':'))
            && self.guest.number("vncdisplay").is_some_and(|display| display != 0);
        if told_twice && self.guest.kind == GuestType::Hvm {
            let what = "vnclisten and vncdisplay both name the display".to_owned();
            self.refused_value("vnclisten", what, "write the address alone, without `:`".to_owned());
        }
    }
}

/// Takes a number from the front of a text as strtoul(3) does; a negative one is none here.
fn taken(text: &str, radix: u32) -> Option<(u64, &str)> {
    let text = text.trim_start().trim_start_matches('+');
    let bare = match radix {
        16 => text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text),
        _ => text,
    };
    let end = bare.find(|c: char| !c.is_digit(radix)).unwrap_or(bare.len());
    let (digits, rest) = bare.split_at_checked(end)?;
    Some((u64::from_str_radix(digits, radix).ok()?, rest))
}

/// A number, or two with `-` between them, the larger one last.
fn is_range(text: &str) -> bool {
    let Some((first, rest)) = taken(text, 10) else { return false };
    match rest.strip_prefix('-') {
        None => rest.is_empty(),
        Some(rest) => taken(rest, 10).is_some_and(|(last, rest)| rest.is_empty() && last >= first),
    }
}

fn is_processors(text: &str) -> bool {
    let (without, rest) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
    let rest = rest.strip_prefix("nodes:").or_else(|| rest.strip_prefix("node:")).unwrap_or(rest);
    if rest == "all" { !without } else { is_range(rest) }
}

/// xl says nothing of what stands behind a single port, and goes on.
fn is_port(text: &str) -> bool {
    let small = |number: u64| number < u64::from(u32::MAX);
    let Some((first, rest)) = taken(text, 16).filter(|(first, _)| small(*first)) else { return false };
    let Some(rest) = rest.strip_prefix('-') else { return true };
    taken(rest, 16).is_some_and(|(last, rest)| rest.is_empty() && small(last) && first <= last)
}

fn is_irq(text: &str) -> bool {
    taken(text, 10).is_some_and(|(number, rest)| rest.is_empty() && number < u64::from(u32::MAX))
}

/// `PAGE,COUNT` or `PAGE,COUNT@PAGE`.
fn is_memory(text: &str) -> bool {
    let count = taken(text, 16).and_then(|(_, rest)| taken(rest.strip_prefix(',')?, 16));
    match count.map(|(_, rest)| rest) {
        None => false,
        Some("") => true,
        Some(rest) => {
            let place = rest.strip_prefix('@').and_then(|place| taken(place, 16));
            place.is_some_and(|(_, rest)| rest.is_empty())
        }
    }
}

/// `[DOMAIN:]BUS:DEVICE.FUNCTION[@SLOT][,KEY=VALUE…]`, or a name in the place of the address (libxlu_pci.c).
fn is_pci(text: &str) -> bool {
    const KEYS: [&str; 4] = ["msitranslate", "power_mgmt", "permissive", "seize"];
    let (mut address, mut name, mut rest) = (false, false, text);
    if let Some(behind) = behind_address(text) {
        address = true;
        let behind = match behind.strip_prefix('@') {
            Some(slot) => match taken(slot, 16) {
                Some((_, behind)) => behind,
                None => return false,
            },
            None => behind,
        };
        match behind.strip_prefix(',') {
            Some(options) => rest = options,
            None if behind.is_empty() => rest = "",
            None => return false,
        }
    }
    for option in rest.split(',').filter(|_| !rest.is_empty()) {
        let Some((key, value)) = option.split_once('=') else { return false };
        match key {
            "bdf" => address = behind_address(value) == Some(""),
            "name" => name = true,
            "vslot" if taken(value, 16).is_some() => {}
            "rdm_policy" if ["strict", "relaxed"].iter().any(|word| word.eq_ignore_ascii_case(value)) => {}
            key if KEYS.contains(&key) => {}
            _ => return false,
        }
    }
    address != name
}

/// What stands behind a PCI address.
fn behind_address(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_hexdigit() && c != ':')?;
    let (place, rest) = text.split_at_checked(end)?;
    let parts: Option<Vec<u64>> = place.split(':').map(|part| u64::from_str_radix(part, 16).ok()).collect();
    let (domain, bus, device) = match *parts?.as_slice() {
        [bus, device] => (0, bus, device),
        [domain, bus, device] => (domain, bus, device),
        _ => return None,
    };
    if domain > 0xffff || bus > 0xff || device > 0x1f {
        return None;
    }
    let function = rest.strip_prefix('.')?;
    if let Some(rest) = function.strip_prefix('*') {
        return Some(rest);
    }
    taken(function, 16).filter(|(function, _)| *function <= 7).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::{is_memory, is_pci, is_port, is_processors};

    #[test]
    fn processors_are_read_as_xl_reads_them() {
        for good in ["0", "0-3", "^1", "node:0", "nodes:0-1", "^node:1", "all", " 2", "nodes:all"] {
            assert!(is_processors(good), "{good}");
        }
        for bad in ["^all", "3-0", "a", "1-", "-1", "1x", "node:", "0 - 3"] {
            assert!(!is_processors(bad), "{bad}");
        }
    }

    #[test]
    fn pci_addresses_are_read_as_xl_reads_them() {
        for good in [
            "03:00.0",
            "0000:03:00.0",
            "03:00.*",
            "0000:03:00.0@5",
            "03:00.0,permissive=1,seize=1",
            "name=nic",
            "bdf=03:00.0,rdm_policy=strict",
            "name=nic,vslot=5",
        ] {
            assert!(is_pci(good), "{good}");
        }
        for bad in
            ["", "03:00", "3:20.0", "03:00.8", "03:00.0 ", "03:00.0,loud=1", "03:00.0,name=x", "permissive=1"]
        {
            assert!(!is_pci(bad), "{bad}");
        }
    }

    #[test]
    fn ports_and_pages_are_read_as_xl_reads_them() {
        assert!(is_port("3f8-3ff") && is_port("0x2f8") && is_port("3f8 and more"));
        assert!(!is_port("x") && !is_port("3ff-3f8") && !is_port("3f8-") && !is_port("ffffffff"));
        assert!(is_memory("f0000,10") && is_memory("f0000,10@0"));
        assert!(!is_memory("f0000") && !is_memory("f0000,10@") && !is_memory("f0000,10 "));
    }
}
