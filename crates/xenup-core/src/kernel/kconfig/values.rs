//! A .config file: what each symbol is worth.
//!
//! Decides: how a line reads. Never: what a value should be.

use std::collections::BTreeMap;

use super::expr::{Tristate, Worth};

/// The values of a .config, by symbol without `CONFIG_`; texts without their quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    values: BTreeMap<String, String>,
}

impl Values {
    /// Reads a .config. A line that is none of its forms is passed over, as Kconfig does; the last of a symbol counts.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut values = BTreeMap::new();
        for line in text.lines() {
            let unset = line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
            if let Some(name) = unset {
                values.insert(name.to_owned(), "n".to_owned());
            } else if let Some((name, value)) =
                line.strip_prefix("CONFIG_").and_then(|rest| rest.split_once('='))
            {
                values.insert(name.to_owned(), unquoted(value));
            }
        }
        Self { values }
    }

    /// Returns whether the text has the form of a .config: some symbol of it has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns a symbol's value, as the .config has it.
    #[must_use]
    pub fn get(&self, symbol: &str) -> Option<&str> {
        self.values.get(symbol).map(String::as_str)
    }

    /// Returns a switch's value; what is not there is off.
    #[must_use]
    pub fn switch(&self, symbol: &str) -> Tristate {
        self.get(symbol).and_then(Tristate::of).unwrap_or(Tristate::N)
    }

    /// Returns all symbols with their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Worth for Values {
    fn worth(&self, symbol: &str) -> Option<&str> {
        self.get(symbol)
    }
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return value.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::expr::Tristate;
    use super::Values;

    #[test]
    fn a_config_says_what_is_on() {
        let values = Values::parse(
            "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"a \\\"b\\\"\"\nCONFIG_D=0x10\n# words\nCONFIG_A=m\n",
        );
        assert_eq!(values.get("A"), Some("m"));
        assert_eq!(values.switch("B"), Tristate::N);
        assert_eq!(values.get("C"), Some("a \"b\""));
        assert_eq!((values.get("D"), values.get("E")), (Some("0x10"), None));
    }
}
