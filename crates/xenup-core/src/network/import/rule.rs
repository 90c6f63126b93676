//! Which network-bridge a host had, and what it took for granted.
//!
//! Decides: the rule by the script's own lines, else by the version of Xen that is installed. Facts: the history of
//! tools/examples/network-bridge and tools/hotplug/Linux/network-bridge of Xen (3f3e0cd4be, 3bd47fb5b6, 06809a93ad,
//! 93aac49128, edf9a6a284). Never: runs the script.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What network-bridge does where its caller names neither bridge nor NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Before October 2005: `xen-br0` over eth0.
    XenBr0,
    /// To 3.0.1: `xenbrN` over `ethN`, N being vifnum, else 0.
    Vifnum,
    /// 3.0.2, from February 2006: `xenbrN` over the NIC of the default route, N being vifnum, else 0.
    RouteNic,
    /// 3.0.3 and 3.1, from May 2006: as up to 3.0.1, N being the number of the default route's NIC.
    VifnumOfRoute,
    /// 3.2 to 4.0, from June 2007: the bridge takes the NIC's name, the NIC becomes `pNAME`.
    NicName,
    /// 4.1 to 4.4, from June 2010: the same, and nothing at all where any bridge is there already.
    NicNameOnce,
}

impl Rule {
    /// Returns the versions of Xen that had it.
    #[must_use]
    pub fn versions(self) -> &'static str {
        match self {
            Self::XenBr0 => "Xen 2.0 and 3.0 before October 2005",
            Self::Vifnum => "Xen 3.0.0 and 3.0.1",
            Self::RouteNic => "Xen 3.0.2",
            Self::VifnumOfRoute => "Xen 3.0.3 to 3.1",
            Self::NicName => "Xen 3.2 to 4.0",
            Self::NicNameOnce => "Xen 4.1 to 4.4",
        }
    }

    /// Returns whether the bridge has the NIC's name where none is given.
    pub(super) fn takes_nics_name(self) -> bool {
        matches!(self, Self::NicName | Self::NicNameOnce)
    }
}

/// A rule, and what shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub rule: Rule,
    /// Whether it cuts the NIC's name to letters and digits behind them (`enp` and `3` of enp3s0).
    pub cuts_names: bool,
    /// The line of the script.
    pub line: u32,
}

/// Returns the rule that a network-bridge of Xen's follows; `None` where the script is another one.
pub(super) fn of_script(text: &str) -> Option<Shown> {
    let (mut bridge, mut netdev, mut vifnum_asked, mut once, mut cuts_names) =
        (None, None, false, false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(value) = line.strip_prefix("bridge=${bridge:-") {
            bridge = Some((number, value.trim_end_matches('}').to_owned()));
        } else if let Some(value) = line.strip_prefix("netdev=${netdev:-") {
            // 3.2 and later say eth0 in a second line, for a host without a default route.
            netdev = netdev.or_else(|| Some(value.to_owned()));
        }
        vifnum_asked |= line.starts_with("vifnum=${vifnum:-$(");
        once |= line.contains("brctl show | wc -l");
        cuts_names |= line.contains(r"dev \([a-z]\+[0-9]\+\)");
    }
    let (line, bridge) = bridge?;
    let asks_route = netdev.is_some_and(|value| value.starts_with("$("));
    let rule = match bridge.as_str() {
        "xen-br0" => Rule::XenBr0,
        "xenbr${vifnum" | "xenbr$vifnum" if vifnum_asked => Rule::VifnumOfRoute,
        "xenbr${vifnum" | "xenbr$vifnum" if asks_route => Rule::RouteNic,
        "xenbr${vifnum" | "xenbr$vifnum" => Rule::Vifnum,
        "${netdev" | "$netdev" if once => Rule::NicNameOnce,
        "${netdev" | "$netdev" => Rule::NicName,
        _ => return None,
    };
    Some(Shown { rule, cuts_names, line })
}

/// Returns the rule of a version such as `3.0.3-1` or `4.1`; `None` where it is none, or had no network-bridge.
pub(super) fn of_version(version: &str) -> Option<Rule> {
    let version = version.split('-').next()?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next()??, parts.next().flatten().unwrap_or(0));
    let patch = parts.next().flatten().unwrap_or(0);
    Some(match (major, minor, patch) {
        (2, ..) => Rule::XenBr0,
        (3, 0, 0 | 1) => Rule::Vifnum,
        (3, 0, 2) => Rule::RouteNic,
        (3, 0 | 1, _) => Rule::VifnumOfRoute,
        (3, ..) | (4, 0, _) => Rule::NicName,
        (4, 1..=4, _) => Rule::NicNameOnce,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Rule, of_script, of_version};

    #[test]
    fn a_version_has_its_rule() {
        for (version, rule) in [
            ("2.0.6", Some(Rule::XenBr0)),
            ("3.0.1", Some(Rule::Vifnum)),
            ("3.0.2", Some(Rule::RouteNic)),
            ("3.0.3-1", Some(Rule::VifnumOfRoute)),
            ("3.1", Some(Rule::VifnumOfRoute)),
            ("3.2-1", Some(Rule::NicName)),
            ("3.4.3", Some(Rule::NicName)),
            ("4.0", Some(Rule::NicName)),
            ("4.1", Some(Rule::NicNameOnce)),
            ("4.4", Some(Rule::NicNameOnce)),
            ("4.5", None),
            ("4.17", None),
            ("common", None),
            ("", None),
        ] {
            assert_eq!(of_version(version), rule, "{version}");
        }
    }

    #[test]
    fn a_script_that_is_not_xens_has_no_rule() {
        assert!(of_script("#!/bin/sh\nbrctl addbr xenbr0\n").is_none());
        assert!(of_script("bridge=${bridge:-lan}\n").is_none());
    }
}
