//! ifupdown's files and its state, as they are when it has made the bridges itself.
//!
//! Decides: the edits of interfaces(5) files as steps, and what /run/network says afterwards (ifup(8); ifupdown 0.8
//! writes `ifstate`, and for each interface `ifstate.NAME` with its logical name, empty once it is down).
//! Never: writes a file.

use std::path::{Path, PathBuf};

use xenup_engine::plan::Step;

use crate::host::{AddressPolicy, Bridge};
use crate::inspect::facts::{At, Facts};
use crate::inspect::{Finding, Weight};
use crate::plan::step::{Draft, PLAIN, write};

use super::interfaces::{
    self, BridgeAddress, BridgeError, BridgeRequest, FileEdit, HwAddress, InterfacesTree, MAIN, Note,
    Request, Severity,
};
use super::owner::file_step;
use super::portless::{self, Portless};

const STATE: &str = "/run/network/ifstate";

/// What becomes of the files.
#[derive(Debug, Clone)]
pub struct Edited {
    /// One step for each file.
    pub steps: Vec<Step>,
    /// Notes and warnings of the change.
    pub findings: Vec<Finding>,
    /// The files afterwards.
    after: InterfacesTree,
}

/// Returns the steps that write the bridges into the interfaces files; none where they are there.
///
/// # Errors
/// A finding with path and line, where the files cannot be read or the change is refused.
pub fn edit(facts: &Facts, bridges: &[&Bridge], portless: &[Portless<'_>]) -> Result<Edited, Box<Finding>> {
    let mut files = interfaces::by_path(&facts.network.files);
    let main = Path::new(MAIN);
    let unreadable = |error: &interfaces::InterfacesError| {
        let fix = error.hint().unwrap_or_else(|| "correct the file".to_owned());
        let why = "a plan would have to guess what it says";
        Box::new(Finding::blocking("interfaces-unreadable", error.to_string(), why, fix))
    };
    let tree = interfaces::load(&files, main).map_err(|error| unreadable(&error))?;
    let rewrite =
        interfaces::bridge(&tree, &request(facts, bridges, portless)).map_err(|error| refused(&error))?;
    for edit in &rewrite.edits {
        files.insert(edit.path.clone(), edit.after.clone());
    }
    let after = interfaces::load(&files, main).map_err(|error| unreadable(&error))?;
    let steps = rewrite.edits.iter().map(step).collect::<Result<_, _>>()?;
    Ok(Edited { steps, findings: rewrite.notes.iter().map(finding).collect(), after })
}

fn request(facts: &Facts, bridges: &[&Bridge], portless: &[Portless<'_>]) -> Request {
    let over_nics = bridges.iter().map(|bridge| BridgeRequest {
        name: bridge.name.to_string(),
        ports: vec![bridge.port.clone()],
        mac: mac(facts, bridge).map(|mac| HwAddress(mac.0)),
        address: match bridge.address {
            AddressPolicy::Keep => BridgeAddress::Keep,
            AddressPolicy::None => BridgeAddress::None,
        },
        stp: false,
        forward_delay: 0,
        max_wait: 0,
        wait_port: None,
        vlans: bridge.vlans.clone(),
        routes: Vec::new(),
    });
    let bridges = over_nics.chain(portless.iter().map(portless::request)).collect();
    Request { bridges, file: interfaces::OWN_FILE.into() }
}

/// Returns the Ethernet address the bridge gets: the one its port uses now.
#[must_use]
pub fn mac(facts: &Facts, bridge: &Bridge) -> Option<xenup_machine::network::Mac> {
    let in_use = facts.network.kernel.link(bridge.nic()).and_then(|link| link.mac);
    in_use.or(bridge.mac)
}

fn refused(error: &BridgeError) -> Box<Finding> {
    let fix = error.hint().unwrap_or_else(|| "change host.toml or the file".to_owned());
    let why = "the files would not say what host.toml wants";
    Box::new(Finding::blocking("interfaces-refused", error.to_string(), why, fix))
}

fn step(edit: &FileEdit) -> Result<Step, Box<Finding>> {
    let refused = |what: String| {
        let why = "it could not be shown as a diff";
        Box::new(Finding::blocking("interfaces-unreadable", what, why, "save it as UTF-8"))
    };
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .map_err(|_| refused(format!("{} is not UTF-8", edit.path.display())))
    };
    let before = edit.before.as_deref().map(text).transpose()?;
    let step = file_step(&edit.path, (&text(&edit.after)?, PLAIN), before.as_deref(), &edit.reason);
    step.ok_or_else(|| refused(format!("{} would be written as it is", edit.path.display())))
}

fn finding(note: &Note) -> Finding {
    let kind = serde_json::to_value(note.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    Finding {
        id: kind.unwrap_or_else(|| "interfaces".to_owned()),
        weight: if note.severity == Severity::Warning { Weight::Warning } else { Weight::Note },
        what: note.message.clone(),
        why: "the interfaces files say so".to_owned(),
        fix: note.hint.clone().unwrap_or_else(|| "nothing to do".to_owned()),
        at: note.at.iter().map(At::from).collect(),
    }
}

/// A bridge that a plan makes, and its port where it has one.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// The bridge.
    pub name: &'a str,
    /// The port.
    pub port: Option<&'a str>,
}

/// Returns the steps after which ifupdown takes the bridges for brought up by itself, and their ports for down.
#[must_use]
pub fn state(facts: &Facts, made: &[Made<'_>], edited: &Edited) -> Vec<Step> {
    if made.is_empty() || facts.network.ifstate.is_empty() {
        return Vec::new();
    }
    let now: Vec<&str> =
        facts.network.ifstate.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect();
    let goes = |line: &&str| {
        let name = line.split('=').next().unwrap_or_default();
        made.iter().any(|bridge| bridge.name == name || (bridge.port == Some(name) && !stays(edited, name)))
    };
    let mut lines: Vec<String> =
        now.iter().filter(|line| !goes(line)).map(|line| (*line).to_owned()).collect();
    lines.extend(made.iter().map(|bridge| format!("{0}={0}", bridge.name)));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let before: String = now.iter().map(|line| format!("{line}\n")).collect();
    let before = facts.file(Path::new(STATE)).unwrap_or(&before);
    let why = "ifup, ifdown and ifquery go by it; ends as if ifupdown had made the change";
    let mut steps: Vec<Step> = state_step(Path::new(STATE), &text, Some(before), why).into_iter().collect();
    for bridge in made {
        let path = state_file(bridge.name);
        steps.extend(state_step(&path, &format!("{}\n", bridge.name), facts.file(&path), why));
        let Some(port) = bridge.port else { continue };
        let path = state_file(port);
        if !stays(edited, port)
            && let Some(before) = facts.file(&path)
        {
            steps.extend(state_step(&path, "\n", Some(before), why));
        }
    }
    steps
}

/// A port that keeps a stanza which is brought up at boot, for its own options, stays up.
fn stays(edited: &Edited, port: &str) -> bool {
    edited.after.stanzas_of(port).next().is_some() && !edited.after.classes_of(port).is_empty()
}

fn state_file(name: &str) -> PathBuf {
    PathBuf::from(format!("{STATE}.{name}"))
}

fn state_step(path: &Path, text: &str, before: Option<&str>, why: &str) -> Option<Step> {
    let title = format!("Set ifupdown's state in {}", path.display());
    let action = write(path, text, before)?;
    Some(Draft::new(&format!("state {}", path.display()), title, why, action).this_boot().step())
}
