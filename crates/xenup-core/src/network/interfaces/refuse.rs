//! What stands in the way of a bridge, found before anything is planned.
//! It decides what is refused. It never looks for a way around.

use super::address::HwAddress;
use super::file::Selector;
use super::glob::Pattern;
use super::hooks;
use super::request::{BridgeError, BridgeRequest, NAME_MAX, Request};
use super::tree::{InterfacesTree, Selection, StanzaView};

/// Refuses a request that contradicts itself.
pub(super) fn request(request: &Request) -> Result<(), BridgeError> {
    for (index, bridge) in request.bridges.iter().enumerate() {
        name(&bridge.name, "a bridge")?;
        if bridge.name.contains('.') {
            return Err(bad_name(&bridge.name, "a bridge", "ifupdown takes a name with a dot for a VLAN"));
        }
        let before = &request.bridges[..index];
        if before.iter().any(|other| other.name == bridge.name) {
            return Err(BridgeError::SameName(bridge.name.clone()));
        }
        for (at, port) in bridge.ports.iter().enumerate() {
            name(port, "a port")?;
            if port == "lo" || request.bridges.iter().any(|bridge| bridge.name == *port) {
                return Err(bad_name(port, "a port", "it is the loopback device or a bridge"));
            }
            let other = before.iter().find(|other| other.ports.contains(port));
            let twice = bridge.ports[..at].contains(port).then_some(bridge);
            if let Some(first) = other.or(twice) {
                let (first, second) = (first.name.clone(), bridge.name.clone());
                return Err(BridgeError::SamePort { port: port.clone(), first, second });
            }
        }
    }
    Ok(())
}

fn name(name: &str, what: &'static str) -> Result<(), BridgeError> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(bad_name(name, what, "it is empty or a directory"));
    }
    if name.len() > NAME_MAX {
        return Err(bad_name(name, what, "it is longer than 15 bytes"));
    }
    if !name.bytes().all(|b| b.is_ascii_graphic())
        || name.contains(['/', ':', '=', '\\', '\'', '"', '$', '`'])
    {
        return Err(bad_name(
            name,
            what,
            "it holds a character that interface names or this file cannot have",
        ));
    }
    Ok(())
}

fn bad_name(name: &str, what: &'static str, why: &'static str) -> BridgeError {
    BridgeError::Name { name: name.to_owned(), what, why }
}

/// Refuses a port that belongs to something else, or of which nobody can say what configures it.
pub(super) fn port(tree: &InterfacesTree, port: &str, bridge: &BridgeRequest) -> Result<(), BridgeError> {
    if let Some((at, _)) = tree.mapping_of(port) {
        return Err(BridgeError::ChosenAtRun { at, port: port.to_owned() });
    }
    for selection in tree.selections() {
        selected(&selection, port, bridge.mac)?;
    }
    for view in tree.stanzas() {
        match view.stanza.name.strip_prefix(port) {
            Some(suffix) if suffix.is_empty() || suffix.starts_with(':') => own(tree, &view, port)?,
            _ => other(tree, &view, port)?,
        }
    }
    Ok(())
}

fn selected(selection: &Selection<'_>, port: &str, mac: Option<HwAddress>) -> Result<(), BridgeError> {
    let (pattern, logical) = split_logical(selection.name);
    if selects(pattern, port, mac) != Some(true) {
        return Ok(());
    }
    let (at, port) = (selection.at.clone(), port.to_owned());
    match (selection.selector, logical) {
        (Selector::Allow(_), Some(_)) => Err(BridgeError::ChosenAtRun { at, port }),
        (Selector::Rename, _) => Err(BridgeError::Renamed { at, port }),
        _ => Ok(()),
    }
}

/// A name of an `auto` or `rename` line and what stands behind its `=`.
pub(super) fn split_logical(name: &str) -> (&str, Option<&str>) {
    name.split_once('=').map_or((name, None), |(name, logical)| (name, Some(logical)))
}

/// Whether a name or pattern of interfaces(5), `[VARIABLE]/VALUE[/N]`, means `port`; `None` where only the running
/// machine could tell.
pub(super) fn selects(pattern: &str, port: &str, mac: Option<HwAddress>) -> Option<bool> {
    let Some((variable, rest)) = pattern.split_once('/') else { return Some(pattern == port) };
    let (value, number) = rest.split_once('/').map_or((rest, None), |(value, number)| (value, Some(number)));
    let name = match variable.to_ascii_lowercase().as_str() {
        "" => port.to_owned(),
        "mac" | "address" => mac?.to_string(),
        _ => return None,
    };
    // ifupdown matches with FNM_EXTMATCH: `@(a|b)` is not followed here.
    if value.contains('(') {
        return None;
    }
    match (Pattern::new(value).matches(&name), number) {
        (true, Some(_)) => None,
        (matches, _) => Some(matches),
    }
}

fn own(tree: &InterfacesTree, view: &StanzaView<'_>, port: &str) -> Result<(), BridgeError> {
    let (at, port) = (view.place(), port.to_owned());
    if !matches!(view.method, "static" | "dhcp" | "manual" | "auto" | "bootp" | "ipv4ll") {
        return Err(BridgeError::Method { at, port, method: view.method.to_owned() });
    }
    for option in tree.options(view.id) {
        let name = option.name.replace('_', "-");
        if name.starts_with("wpa-") || name.starts_with("wireless-") {
            return Err(BridgeError::Wireless { at: option.at, port });
        }
        if matches!(name.as_str(), "bond-master" | "bridge-ports") {
            let owner =
                if name == "bond-master" { option.value } else { "its own ports as a bridge".to_owned() };
            return Err(BridgeError::Owned { at: option.at, port, owner });
        }
    }
    Ok(())
}

fn other(tree: &InterfacesTree, view: &StanzaView<'_>, port: &str) -> Result<(), BridgeError> {
    let parent = view.parent.and_then(|parent| tree.view(parent));
    let is_port =
        |name: &str| name.strip_prefix(port).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if parent.is_some_and(|parent| is_port(&parent.stanza.name)) {
        let (heir, port) = (view.stanza.name.clone(), port.to_owned());
        return Err(BridgeError::Inherited { at: view.place(), heir, port });
    }
    for option in tree.options(view.id) {
        let name = option.name.replace('_', "-");
        let owns = matches!(name.as_str(), "bridge-ports" | "bond-slaves" | "slaves");
        if owns && takes(&option.value, port) {
            let (port, owner) = (port.to_owned(), view.stanza.name.clone());
            return Err(BridgeError::Owned { at: option.at, port, owner });
        }
    }
    Ok(())
}

/// Whether a list of ports takes `port`: by name, or by a regular expression that might.
fn takes(value: &str, port: &str) -> bool {
    hooks::mentions(value, port)
        || value.split_ascii_whitespace().next().is_some_and(|word| match word {
            // bridge-utils: eth.* em.* en.* p[0-9].*
            "all" => {
                ["eth", "em", "en"].iter().any(|prefix| port.starts_with(prefix)) || {
                    let mut chars = port.chars();
                    chars.next() == Some('p') && chars.next().is_some_and(|c| c.is_ascii_digit())
                }
            }
            _ => false,
        })
}
