//! Which modules a device calls for: depmod's list of patterns.
//!
//! Decides: by the patterns of modules.alias and modules.builtin.modinfo (depmod(8)), as modprobe does. Never: loads one.

use std::collections::BTreeMap;

/// Patterns and modules, by what stands before the first colon.
#[derive(Debug, Clone, Default)]
pub struct Aliases {
    by_bus: BTreeMap<String, Vec<(String, String)>>,
}

impl Aliases {
    /// Reads a modules.alias; lines of another form are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut aliases = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) {
                aliases.add(pattern, module);
            }
        }
        aliases
    }

    /// Adds what a modules.builtin.modinfo says of drivers that are built in (`module.alias=pattern`, ended by NUL).
    pub fn built_in(&mut self, modinfo: &[u8]) {
        for entry in modinfo.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            if let Some((module, pattern)) = entry.split_once(".alias=") {
                self.add(pattern, module);
            }
        }
    }

    fn add(&mut self, pattern: &str, module: &str) {
        if let Some((bus, _)) = pattern.split_once(':') {
            let entry = (pattern.to_owned(), module.replace('-', "_"));
            self.by_bus.entry(bus.to_owned()).or_default().push(entry);
        }
    }

    /// Returns whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_bus.is_empty()
    }

    /// Returns the modules that a device calls for, by name.
    #[must_use]
    pub fn modules(&self, modalias: &str) -> Vec<&str> {
        let bus = modalias.split(':').next().unwrap_or_default();
        let patterns = self.by_bus.get(bus).map(Vec::as_slice).unwrap_or_default();
        let matching = patterns.iter().filter(|(pattern, _)| matches(pattern, modalias));
        let mut modules: Vec<&str> = matching.map(|(_, module)| module.as_str()).collect();
        modules.sort_unstable();
        modules.dedup();
        modules
    }
}

/// fnmatch(3) with `*`, `?` and `[…]`, going back to the last star alone: quadratic at worst.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut pos) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(at), text.get(pos)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((at, pos));
                at = at.saturating_add(1);
                continue;
            }
            (Some(_), Some(byte)) => one(pattern.get(at..).unwrap_or_default(), *byte),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => {
                at = at.saturating_add(width);
                pos = pos.saturating_add(1);
            }
            (None, Some((back, tried))) if tried < text.len() => {
                star = Some((back, tried.saturating_add(1)));
                at = back.saturating_add(1);
                pos = tried.saturating_add(1);
            }
            (None, _) => return false,
        }
    }
}

/// Returns how many bytes of the pattern match one byte of the text.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let end = pattern.iter().position(|byte| *byte == b']')?;
            let inside = pattern.get(1..end)?;
            let range = |three: &[u8]| matches!(three, [from, b'-', to] if (from..=to).contains(&&byte));
            let within = inside.contains(&byte) || inside.windows(3).any(range);
            within.then(|| end.saturating_add(1))
        }
        same if *same == byte => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Aliases, matches};

    #[test]
    fn patterns_match_as_modprobe_has_them() {
        for (pattern, text, expected) in [
            ("pci:v00008086d000010D3sv*sd*bc*sc*i*", "pci:v00008086d000010D3sv00008086sd0bc02sc00i00", true),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d2sv1sd1bc01sc06i01", true),
            ("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v1p1d1dc00dsc00dp00ic08isc06ip62in00", false),
            ("a[0-3]c", "a2c", true),
            ("a[0-3]c", "a4c", false),
            ("a[", "a[", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_device_calls_for_all_modules_that_know_it() {
        let mut aliases =
            Aliases::parse("# words\nalias pci:v1d2* e1000-e\nalias pci:v1* other\nalias fs-ext4 ext4\n");
        aliases.built_in(b"ahci.alias=pci:v1d2*\0ahci.license=GPL\0");
        assert_eq!(aliases.modules("pci:v1d2sv3"), ["ahci", "e1000_e", "other"]);
        assert!(aliases.modules("usb:v1d2").is_empty());
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = format!("{}b", "a*".repeat(500));
        assert!(!matches(&pattern, &"a".repeat(5000)));
    }
}
