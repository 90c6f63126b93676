//! The old road: a host of xend and xm, as a tree of files or the running machine. It is not upgraded release by release;
//! its guests and its network are taken to a new one.
//!
//! Decides: which release a machine runs that does not say it in os-release(5), and what of it has to be carried over:
//! guest files in another form, the network, kernels. Never: writes a file; the rooms [`crate::guest`] and
//! [`crate::network::import`] know how each is done.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_machine::Probe;

use crate::audit::Audit;
use crate::audit::report::Reason;
use crate::audit::target::{SUITES, Suite};
use crate::guest::convert::convert;
use crate::guest::list::Found;
use crate::inspect::Facts;
use crate::inspect::Weight;
use crate::network::import::{ImportError, import};

/// What is carried over from an old host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Old {
    /// Guest files that are converted to today's form.
    pub converted: Vec<PathBuf>,
    /// Guest files that cannot be read or converted, each with the reason.
    pub not_converted: Vec<String>,
    /// The network, in a sentence; absent where nothing of an old network was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Guests whose kernel has to be replaced, each with the reason.
    pub kernels: Vec<String>,
}

/// Returns the release of Debian that a machine runs, where it says so.
#[must_use]
pub fn release(probe: &dyn Probe, facts: &Facts) -> Option<&'static Suite> {
    let distro = &facts.distro;
    if !distro.id.is_empty() && distro.id != "debian" {
        return None;
    }
    // Before wheezy there was no os-release(5); before buster it had no codename.
    let text = probe.read(Path::new("/etc/debian_version"), 256).unwrap_or_default();
    let version = String::from_utf8_lossy(&text).into_owned();
    let number = |text: &str| text.trim().split(['.', '/']).next().unwrap_or_default().to_owned();
    let (by_release, by_version) = (number(&distro.version), number(&version));
    SUITES.iter().find(|suite| suite.name == distro.codename).or_else(|| {
        let known = |number: &str| SUITES.iter().find(|suite| suite.number == number || suite.name == number);
        known(&by_release).or_else(|| known(&by_version))
    })
}

/// Returns what is carried over.
#[must_use]
pub fn carried(probe: &dyn Probe, found: &[Found], audit: &Audit) -> Old {
    let mut old = Old::default();
    for one in found {
        let file = match &one.file {
            Ok(file) => file,
            Err(error) => {
                old.not_converted.push(error.to_string());
                continue;
            }
        };
        match convert(file) {
            Ok(converted) if converted.changes() => old.converted.push(file.path().to_owned()),
            Ok(_) => {}
            Err(error) => old.not_converted.push(error.to_string()),
        }
    }
    old.network = match import(probe) {
        Ok(import) => {
            let by_hand = import.findings.iter().filter(|finding| finding.weight != Weight::Note).count();
            let bridges: Vec<&str> = import.bridges.iter().map(|bridge| bridge.name.value.as_str()).collect();
            let made = if bridges.is_empty() { "no bridge".to_owned() } else { bridges.join(", ") };
            Some(format!("{made} comes of it as host.toml; left to do by hand: {by_hand}"))
        }
        Err(ImportError::Nothing(_)) => None,
        Err(error) => Some(format!("cannot be read: {error}")),
    };
    for guest in &audit.guests {
        let reason = guest.reasons.iter().find(|reason| is_of_kernel(reason));
        old.kernels.extend(reason.map(|reason| format!("{}: {}", guest.name, reason.what)));
    }
    old
}

/// Whether a reason is that a guest's kernel is not one, is not there, or is not what the guest has to be. A boot loader of
/// Debian's that is missing comes with its package.
fn is_of_kernel(reason: &Reason) -> bool {
    match reason.id.as_str() {
        "audit-kernel-role" | "audit-kernel-unread" | "audit-own-kernel-absent" => true,
        "guest-file-absent" => reason.what.starts_with("kernel ") && !reason.what.contains("/grub-xen/"),
        _ => false,
    }
}
