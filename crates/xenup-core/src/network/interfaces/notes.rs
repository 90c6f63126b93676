//! The notes of a rewrite, in words.
//! It decides how each thing is said. It never decides whether a bridge is made.

use std::path::Path;

use super::address::{AddressPlan, Addressing, HwAddress};
use super::error::Place;
use super::file::{Selector, is_hook};
use super::hooks::{self, Moved};
use super::refuse;
use super::request::{BridgeRequest, Note, NoteKind, Request, Severity};
use super::tree::{Effective, Selection, SkipReason, Skipped, StanzaView};

/// The notes so far.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    fn info(&mut self, kind: NoteKind, at: Option<Place>, message: String) {
        self.0.push(Note { severity: Severity::Info, kind, at, message, hint: None });
    }

    fn warn(&mut self, kind: NoteKind, at: Option<Place>, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.0.push(Note { severity: Severity::Warning, kind, at, message, hint });
    }

    /// Returns the notes by place, each once.
    pub fn finish(mut self) -> Vec<Note> {
        self.0.sort_by(|a, b| (&a.at, a.kind, &a.message).cmp(&(&b.at, b.kind, &b.message)));
        self.0.dedup();
        self.0
    }

    pub fn already(&mut self, bridge: &str, at: Place) {
        self.info(
            NoteKind::AlreadyBridged,
            Some(at),
            format!("{bridge} is configured over these ports already"),
        );
    }

    pub fn still_configured(&mut self, port: &str, at: Place) {
        let message = format!("{port} is a port of a bridge and still gets an address of its own here");
        self.warn(NoteKind::PortStillConfigured, Some(at), message, "comment this stanza out");
    }

    pub fn cloud_init(&mut self, at: Place) {
        let name = at.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.contains("cloud-init") {
            let message = "cloud-init writes this file anew at boot".to_owned();
            let hint =
                "write `network: {config: disabled}` to /etc/cloud/cloud.cfg.d/99-disable-network-config.cfg";
            self.warn(NoteKind::CloudInit, Some(Place { line: 1, ..at }), message, hint);
        }
    }

    pub fn random_address(&mut self, bridge: &str, at: Place) {
        let message =
            format!("hwaddress random moves to {bridge}: its Ethernet address changes at each ifup");
        self.warn(NoteKind::HwAddress, Some(at), message, "write the address itself");
    }

    pub fn other_address(&mut self, bridge: &str, asked: HwAddress, own: HwAddress, at: Place) {
        let message = format!("{bridge} gets {own}, which this stanza sets today, and not {asked}");
        self.info(NoteKind::HwAddress, Some(at), message);
    }

    pub fn stays_on_port(&mut self, port: &str, options: &[&Effective], at: Place) {
        let mut names: Vec<&str> = options.iter().map(|option| option.name.as_str()).collect();
        names.dedup();
        let message = format!("{} stays with {port}, which comes up before the bridge", names.join(", "));
        self.info(NoteKind::StaysOnPort, Some(at), message);
    }

    pub fn port_mtu(&mut self, ports: &[String], mtu: u32, at: Place) {
        let message = format!("{} takes MTU {mtu} before the bridge has it", ports.join(" "));
        self.info(NoteKind::PortMtu, Some(at), message);
    }

    pub fn not_automatic(&mut self, bridge: &BridgeRequest) {
        let (name, ports) = (&bridge.name, bridge.ports.join(" "));
        let message = format!("nothing brought {ports} up at boot by name; {name} comes up at boot");
        self.info(NoteKind::NotAutomatic, None, message);
    }

    /// What is worth saying of a stanza that moves.
    pub fn moved(&mut self, bridge: &str, plan: &AddressPlan) {
        match &plan.addressing {
            Addressing::Dhcp(_) | Addressing::Dhcp6(_) => {
                let (port, at) = (&plan.interface, Some(plan.at.clone()));
                let message = format!(
                    "the DHCP client runs on {bridge}, and keeps its lease under that name and not under {port}"
                );
                self.info(NoteKind::DhcpMoves, at, message);
            }
            Addressing::Static(address) if !address.gateway_inside() => {
                let message = "the gateway is outside the subnet; ifupdown sets its route onlink".to_owned();
                self.info(NoteKind::GatewayOutside, Some(plan.at.clone()), message);
            }
            _ => {}
        }
    }

    pub fn given_up(&mut self, bridge: &str, plan: &AddressPlan) {
        let what = match &plan.addressing {
            Addressing::Static(address) => format!("{}/{}", address.address, address.prefix),
            Addressing::Dhcp(_) | Addressing::Dhcp6(_) => "the address by DHCP".to_owned(),
            Addressing::Auto(_) => "the addresses by router advertisement".to_owned(),
            _ => return,
        };
        let message = format!("dom0 gives up {what} of {}: {bridge} is for guests alone", plan.interface);
        self.warn(
            NoteKind::AddressGivenUp,
            Some(plan.at.clone()),
            message,
            "set address = \"keep\" to keep it",
        );
    }

    pub fn alias(&mut self, from: &str, to: &str, at: Place) {
        self.info(NoteKind::AliasMoved, Some(at), format!("{from} moves along as {to}"));
    }

    /// What became of a command.
    pub fn hook(&mut self, option: &Effective, moved: &Moved, port: &str) {
        let at = || Some(option.at.clone());
        if let Some(proposal) = &moved.proposal {
            let message = format!("`{} {}` names {port}, which is a port now", option.name, option.value);
            self.warn(NoteKind::HookNamesPort, at(), message, &format!("if it means the bridge: {proposal}"));
        }
        if moved.command != option.value || moved.phase != option.name {
            let was = format!("`{} {}`", option.name, option.value);
            let message = format!("{was} is written as `{} {}`", moved.phase, moved.command);
            self.info(NoteKind::HookRewritten, at(), message);
        }
    }

    pub fn hook_dropped(&mut self, option: &Effective, bridge: &str) {
        let message = format!("`{} {}` is given up: {bridge} is for guests alone", option.name, option.value);
        self.warn(
            NoteKind::HookDropped,
            Some(option.at.clone()),
            message,
            "add it to another interface if it is needed",
        );
    }

    /// A pattern that may bring a port up by itself.
    pub fn pattern(&mut self, selection: &Selection<'_>, request: &Request) {
        let (pattern, _) = refuse::split_logical(selection.name);
        let named = matches!(selection.selector, Selector::Allow(_) | Selector::Rename);
        if !named || !pattern.contains('/') {
            return;
        }
        for bridge in &request.bridges {
            for port in &bridge.ports {
                let sure = match refuse::selects(pattern, port, bridge.mac) {
                    Some(false) => continue,
                    Some(true) => "matches",
                    None => "may match",
                };
                let message =
                    format!("`{}` {sure} {port}, which then comes up before {}", selection.name, bridge.name);
                let at = Some(selection.at.clone());
                self.warn(NoteKind::PatternMatchesPort, at, message, "name the interfaces that are meant");
            }
        }
    }

    pub fn no_scripts(&mut self, name: &str, at: Place) {
        let message = format!("no-scripts stays with {name}: its bridge is made by such a script");
        self.warn(NoteKind::NoScripts, Some(at), message, "");
    }

    /// Another stanza that names a port.
    pub fn mentioned(&mut self, view: &StanzaView<'_>, port: &str, bridge: &str) {
        let own = &view.stanza.name;
        if own == port {
            return;
        }
        let raw = |name: &str| matches!(name.replace('_', "-").as_str(), "vlan-raw-device");
        let on_port = view.stanza.options.iter().find(|option| raw(&option.name) && option.value == port);
        let named = own.strip_prefix(port).is_some_and(|rest| rest.starts_with('.'));
        if named || on_port.is_some() {
            let message =
                format!("{own} stays a VLAN of {port}; its frames do not reach the guests on {bridge}");
            self.info(NoteKind::VlanOnPort, Some(view.place()), message);
        }
        for option in view.stanza.options.iter().filter(|option| !raw(&option.name)) {
            if !hooks::mentions(&option.value, port) {
                continue;
            }
            let what = if is_hook(&option.name) { "command" } else { "option" };
            let message = format!("{own}: this {what} names {port}: `{} {}`", option.name, option.value);
            let hint = format!("if it means the address: {}", hooks::replace(&option.value, port, bridge));
            self.warn(NoteKind::NamesPort, Some(view.file.at(option.line)), message, &hint);
        }
    }

    pub fn skipped(&mut self, skipped: &Skipped) {
        // A directory that is named by `source` is a mistake that ifupdown passes over in silence.
        if skipped.why == SkipReason::Directory {
            let message =
                format!("`source` reads no directory: nothing of {} is in force", skipped.path.display());
            let hint = format!("source {}/*", skipped.path.display().to_string().trim_end_matches('/'));
            self.warn(NoteKind::IncludeSkipped, Some(skipped.at.clone()), message, &hint);
        }
    }

    pub fn appended(&mut self, main: &Path, own: &Path, directory: Option<Place>) {
        let (main, own) = (main.display(), own.display());
        let message = match &directory {
            Some(_) => format!(
                "the bridge is appended to {main}: ifupdown2 would not read {own} by source-directory"
            ),
            None => format!("the bridge is appended to {main}: no `source` line covers {own}"),
        };
        self.info(NoteKind::FileChosen, directory, message);
    }
}
