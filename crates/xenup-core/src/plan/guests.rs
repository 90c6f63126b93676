//! The last stage: what happens to guests when dom0 goes down, and which bridge they get by default.
//! Decides the lines of Debian's own files; they have no drop-ins (/etc/init.d/xendomains sources its own alone).

use std::path::Path;

use xenup_engine::action::{Action, FileState, LineEdit};
use xenup_engine::plan::{Risk, Step};
use xenup_machine::process::Command;

use crate::host::{Host, OnShutdown};
use crate::inspect::Facts;

use super::step::{Draft, bracket, write};

const XENDOMAINS: &str = "/etc/default/xendomains";
const XL_CONF: &str = "/etc/xen/xl.conf";
const TIMEOUT: &str = "/etc/systemd/system/xendomains.service.d/xenup.conf";
/// The bridge that xl and vif-bridge take where nobody names one.
const USUAL_BRIDGE: &str = "xenbr0";

/// Debian's own lines (xen-utils-common 4.17 and 4.20).
const SAVE_AS_SHIPPED: &str = "XENDOMAINS_SAVE=/var/lib/xen/save";
const BRIDGE_AS_SHIPPED: &str = "#vif.default.bridge=\"xenbr0\"";

pub(super) fn steps(facts: &Facts, host: &Host) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(on_shutdown) = host.guests.on_shutdown {
        steps.extend(xendomains(facts, on_shutdown));
        steps.extend(patience(facts));
    }
    steps.extend(default_bridge(facts, host));
    steps
}

fn xendomains(facts: &Facts, on_shutdown: OnShutdown) -> Option<Step> {
    let (wanted, title, why) = match on_shutdown {
        OnShutdown::Shutdown => (
            "XENDOMAINS_SAVE=",
            "Shut guests down when dom0 goes down",
            "a saved guest needs its memory's size on disk, and the same hypervisor to come back",
        ),
        OnShutdown::Save => (
            SAVE_AS_SHIPPED,
            "Save guests when dom0 goes down",
            "they go on where they were at the next start",
        ),
    };
    let action =
        set(facts, XENDOMAINS, SAVE_AS_SHIPPED, wanted, |line| line.starts_with("XENDOMAINS_SAVE="))?;
    Some(Draft::new("xendomains", title, why, action).step())
}

fn default_bridge(facts: &Facts, host: &Host) -> Option<Step> {
    let first = host.bridges.first()?;
    if host.bridges.iter().any(|bridge| bridge.name.as_str() == USUAL_BRIDGE) {
        return None;
    }
    let wanted = format!("vif.default.bridge=\"{}\"", first.name);
    let is_line = |line: &str| line.trim_start_matches(['#', ' ']).starts_with("vif.default.bridge");
    let action = set(facts, XL_CONF, BRIDGE_AS_SHIPPED, &wanted, is_line)?;
    let title = format!("Give guests {} where they name no bridge", first.name);
    let why = format!("xl would take {USUAL_BRIDGE}, and there is none");
    Some(Draft::new("default-bridge", title, why, action).step())
}

/// Sets one line of a file that may still be to come with a package: then it is as Debian ships it.
fn set(
    facts: &Facts,
    path: &str,
    shipped: &str,
    wanted: &str,
    is_line: impl Fn(&str) -> bool,
) -> Option<Action> {
    let path = Path::new(path);
    let Some(now) = facts.file(path) else {
        let edit = LineEdit { from: shipped.to_owned(), to: wanted.to_owned() };
        let state = FileState::Edited { lines: vec![edit] };
        return (shipped != wanted).then(|| Action::File { path: path.to_owned(), state, seen: None });
    };
    let ends_open = !now.is_empty() && !now.ends_with('\n');
    let mut text = String::new();
    let mut done = false;
    for line in now.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        if is_line(content) {
            if !done {
                text.push_str(wanted);
                text.push_str(&line[content.len()..]);
                done = true;
            } else if content.starts_with('#') {
                text.push_str(line);
            }
        } else {
            text.push_str(line);
        }
    }
    if !done {
        text.push_str(if ends_open { "\n" } else { "" });
        text.push_str(wanted);
        text.push('\n');
    }
    write(path, &text, Some(now))
}

/// xendomains takes one guest after another, up to five minutes each; systemd gives the whole five minutes.
fn patience(facts: &Facts) -> Vec<Step> {
    let text = "\
# Written by xenup. Guests are shut down or saved one after another, 300 seconds each at most (XENDOMAINS_STOP_MAXWAIT);
# the unit's own 5 minutes are for all of them, and then systemd would go on without them.
[Service]
TimeoutStopSec=30min
";
    let path = Path::new(TIMEOUT);
    let Some(action) = write(path, text, facts.file(path)).filter(|_| facts.services.systemd) else {
        return Vec::new();
    };
    let (undo, make) = bracket(&Command::new("systemctl", ["daemon-reload"]).within(120), &[], false);
    let why = "systemd reads its units anew when they change";
    vec![
        Draft::new("units-undo", "Reload systemd's units if this is undone", why, undo).step(),
        Draft::new(
            "xendomains-patience",
            "Give xendomains time for every guest",
            "systemd would stop waiting after five minutes, and guests would lose what they had not written",
            action,
        )
        .step(),
        Draft::new("units", "Reload systemd's units", why, make).risks(&[Risk::TouchesServices]).step(),
    ]
}
