//! What a kernel's configuration (`config-<version>`) says about Xen.
//!
//! Decides: which options make which role, under the names they had over the years. Never: resolves dependencies.

/// Returns whether a Kconfig result sets a symbol to `y`, by whole line as `grep -qx` does.
#[must_use]
pub fn is_set(config: &str, symbol: &str) -> bool {
    let line = format!("{symbol}=y");
    config.match_indices(&line).any(|(at, _)| is_whole_line(config, at, at.saturating_add(line.len())))
}

/// Ten symbols are asked for in 250 KB each: splitting all of it into lines costs more than unpacking a kernel's lz4.
fn is_whole_line(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    let behind = text.get(end..).unwrap_or_default();
    let ends = behind.strip_prefix('\r').unwrap_or(behind);
    (before.is_empty() || before.ends_with('\n')) && (behind.is_empty() || ends.starts_with('\n'))
}

/// The options of dom0: the second is of Xen's own trees (2.6.18 and before). GRUB's 20_linux_xen greps for the same.
const DOM0: [&str; 2] = ["CONFIG_XEN_DOM0", "CONFIG_XEN_PRIVILEGED_GUEST"];

/// Returns whether the kernel can be dom0, by the options that 20_linux_xen greps for.
#[must_use]
pub fn can_be_dom0(config: &str) -> bool {
    DOM0.iter().any(|symbol| is_set(config, symbol))
}

/// Returns whether the kernel has PV drivers for HVM; `CONFIG_XEN_PVHVM_GUEST` is what switches it on since 5.4.
#[must_use]
pub fn has_pv_drivers_in_hvm(config: &str) -> bool {
    is_set(config, "CONFIG_XEN_PVHVM")
}

/// Returns the first of the options that the configuration does not set, for a kernel that lacks what they bring.
/// Without a configuration, or where all are set, it is the last: the one that brings it.
pub(super) fn missing<'a>(config: Option<&str>, options: &[&'a str]) -> Missing<'a> {
    let unset = config.and_then(|text| options.iter().find(|symbol| !is_set(text, symbol)));
    match (unset, options.last()) {
        (Some(symbol), _) => Missing { symbol, seen_unset: true },
        (None, last) => Missing { symbol: last.copied().unwrap_or_default(), seen_unset: false },
    }
}

/// An option that stops a role.
pub(super) struct Missing<'a> {
    symbol: &'a str,
    seen_unset: bool,
}

impl Missing<'_> {
    /// What to change, in words.
    pub fn change(&self) -> String {
        if self.seen_unset {
            format!("build it with {}=y, which its configuration does not set", self.symbol)
        } else {
            format!("build it with {}=y", self.symbol)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_set;

    #[test]
    fn a_symbol_is_set_by_its_whole_line() {
        assert!(is_set("CONFIG_PV32=y\n", "CONFIG_PV32"));
        assert!(is_set("CONFIG_XEN=y\r\nCONFIG_PV32=y", "CONFIG_XEN"));
        assert!(is_set("# CONFIG_PV32=y\nCONFIG_XEN=y\nCONFIG_PV32=y", "CONFIG_PV32"));
        assert!(!is_set("# CONFIG_PV32 is not set\nCONFIG_PV32_X=y\nCONFIG_PV32=m\n", "CONFIG_PV32"));
        assert!(!is_set(
            "#CONFIG_PV32=y\nCONFIG_PV32=yes\nCONFIG_PV32=y \nCONFIG_PV32=y\rx\n",
            "CONFIG_PV32"
        ));
    }
}
