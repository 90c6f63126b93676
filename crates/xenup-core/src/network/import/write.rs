//! The host.toml of an import: every value with the line it comes from, and below them what it cannot say.
//! Decides the text; never writes a file.

use std::fmt::Write as _;

use super::report::{OldBridge, Ruled, Said};
use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};
use crate::network::one_line;

const HEADER: &str = "\
# host.toml: the bridges of an old Xen host, for guests that expect them. Read by `xenup network import`;
# yours to edit. Nothing happens before `xenup apply`. The old scripts are left as they are: xend runs them
# as long as it starts. `xenup init --print` proposes [xen], [boot] and [guests] for this machine.
";

/// The widest value that a comment is put behind in line with others.
const COLUMN: usize = 30;

/// Returns a host.toml that [`crate::host::Host::parse`] reads without a fault.
pub(super) fn host_toml(bridges: &[OldBridge], ruled: Option<&Ruled>, findings: &[Finding]) -> String {
    let mut text = HEADER.to_owned();
    if let Some(ruled) = ruled {
        let _ = writeln!(text, "# network-bridge: {}{}.", one_line(&ruled.why), place(ruled.at.as_ref()));
    }
    for bridge in bridges {
        text.push_str("\n[[bridge]]\n");
        line(&mut text, &format!("name = {}", quoted(&bridge.name.value)), &bridge.name);
        line(&mut text, &format!("ports = [{}]", quoted(&bridge.port.value)), &bridge.port);
        if let Some(mac) = &bridge.mac {
            line(&mut text, &format!("mac = {}", quoted(&mac.value)), mac);
        }
        line(&mut text, &format!("address = {}", quoted(&bridge.address.value)), &bridge.address);
    }
    by_hand(&mut text, findings);
    text
}

fn line(text: &mut String, assignment: &str, said: &Said) {
    let _ = writeln!(text, "{assignment:<COLUMN$}# {}{}", one_line(&said.why), place(said.at.as_ref()));
}

fn by_hand(text: &mut String, findings: &[Finding]) {
    let parts = [(Weight::Warning, "Not in this file, and to be done by hand:"), (Weight::Note, "To know:")];
    for (weight, title) in parts {
        let mut found = findings.iter().filter(|finding| finding.weight == weight).peekable();
        if found.peek().is_some() {
            let _ = writeln!(text, "\n# {title}");
        }
        for finding in found {
            let _ = writeln!(text, "#\n# {} [{}]", one_line(&finding.what), finding.id);
            for at in &finding.at {
                let _ = writeln!(text, "#   at   {}", shown(at));
            }
            let _ =
                writeln!(text, "#   why  {}\n#   do   {}", one_line(&finding.why), one_line(&finding.fix));
        }
    }
}

fn place(at: Option<&At>) -> String {
    at.map(|at| format!(" ({})", shown(at))).unwrap_or_default()
}

fn shown(at: &At) -> String {
    let path = one_line(&at.path.display().to_string());
    if at.line == 0 { path } else { format!("{path}:{}", at.line) }
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
