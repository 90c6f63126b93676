//! A NIC becomes the port of a bridge, in the owner's own files.
//! It decides which lines go out of force, what the bridge's stanzas say, where they are written, and what is
//! refused. It never says that a hook is right: what it cannot know becomes a note.

use std::collections::BTreeMap;

use super::address::{AddressPlan, HwAddress, HwAddressOption};
use super::edit::Editor;
use super::file::{Family, Selector, is_hook};
use super::hooks;
use super::notes::Notes;
use super::refuse;
use super::request::{BridgeAddress, BridgeError, BridgeRequest, FileEdit, Request, Rewrite};
use super::target::Target;
use super::tree::{Effective, InterfacesTree, StanzaId, StanzaView};
use super::writer::{self, BridgeLines, Creation, LATE_PORT_SECONDS};
use super::{ItemKind, Place};

/// Options that configure the NIC, bond or VLAN itself: ethtool, ifenslave and vlan act on `$IFACE`.
const PORT_OPTIONS: [&str; 9] =
    ["bond-", "slaves", "ethernet-", "link-", "hardware-", "offload-", "driver-", "flow-control", "vlan-"];

/// Returns the edits that make each port of `request` the port of its bridge, and the notes about them.
///
/// With `address = "keep"` the port's stanzas and aliases move to the bridge with the same meaning; with `"none"`
/// they go out of force and the bridge has no address. A bridge that is configured so already costs no edit.
///
/// # Errors
/// A refusal with path and line: see [`BridgeError`].
pub fn bridge(tree: &InterfacesTree, request: &Request) -> Result<Rewrite, BridgeError> {
    refuse::request(request)?;
    let mut work = Work::new(tree, request);
    let wanted: Vec<&BridgeRequest> = request
        .bridges
        .iter()
        .map(|bridge| work.is_wanted(bridge))
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    for bridge in &wanted {
        for port in &bridge.ports {
            refuse::port(tree, port, bridge)?;
            work.owners.insert(port, &bridge.name);
        }
    }
    let mut blocks = String::new();
    for bridge in &wanted {
        if !blocks.is_empty() {
            blocks.push('\n');
        }
        blocks.push_str(&work.one(bridge)?);
    }
    if wanted.is_empty() {
        return Ok(work.finish());
    }
    work.selections();
    work.mentions();
    work.place(&blocks);
    Ok(work.finish())
}

/// A stanza that moves or goes.
struct Moving<'a> {
    view: StanzaView<'a>,
    plan: AddressPlan,
    options: Vec<Effective>,
    /// What stands behind the port's name: empty, or `:0` of an alias.
    suffix: &'a str,
}

impl Moving<'_> {
    /// Whether it is `inet manual` with nothing to it, as a port may have it.
    fn is_bare(&self) -> bool {
        let lines = self.view.stanza.items.len();
        self.view.method == "manual" && self.options.is_empty() && lines == 1 && self.suffix.is_empty()
    }
}

struct Work<'a> {
    tree: &'a InterfacesTree,
    request: &'a Request,
    editors: BTreeMap<usize, Editor<'a>>,
    reasons: BTreeMap<usize, String>,
    /// Port to bridge.
    owners: BTreeMap<&'a str, &'a str>,
    moved: Vec<StanzaId>,
    target: Target,
    /// The new file, where there is one.
    created: Option<FileEdit>,
    notes: Notes,
}

impl<'a> Work<'a> {
    fn new(tree: &'a InterfacesTree, request: &'a Request) -> Self {
        Self {
            tree,
            request,
            editors: BTreeMap::new(),
            reasons: BTreeMap::new(),
            owners: BTreeMap::new(),
            moved: Vec::new(),
            target: Target::of(tree, request),
            created: None,
            notes: Notes::default(),
        }
    }

    /// Returns the bridge if it is still to be made.
    fn is_wanted(&mut self, bridge: &'a BridgeRequest) -> Result<Option<&'a BridgeRequest>, BridgeError> {
        let Some(first) = self.tree.stanzas_of(&bridge.name).next() else { return Ok(Some(bridge)) };
        for view in self.tree.stanzas_of(&bridge.name) {
            let Some(plan) = AddressPlan::of(self.tree, view.id)? else { continue };
            if bridge.address == BridgeAddress::None && plan.has_address() {
                return Err(BridgeError::Addressed { at: plan.at, name: bridge.name.clone() });
            }
            if plan.bridge.is_some_and(|options| options.ports == bridge.ports) {
                self.notes.already(&bridge.name, view.place());
                for port in &bridge.ports {
                    self.still_configured(port)?;
                }
                return Ok(None);
            }
        }
        let (at, name, ports) = (first.place(), bridge.name.clone(), bridge.ports.join(" "));
        Err(BridgeError::NameTaken { at, name, ports })
    }

    fn still_configured(&mut self, port: &'a str) -> Result<(), BridgeError> {
        for view in self.tree.stanzas_of(port) {
            if AddressPlan::of(self.tree, view.id)?.is_some_and(|plan| plan.has_address()) {
                self.notes.still_configured(port, view.place());
            }
        }
        Ok(())
    }

    /// The stanzas of a port and of its aliases.
    fn moving(&self, port: &str) -> Result<Vec<Moving<'a>>, BridgeError> {
        let mut out = Vec::new();
        for view in self.tree.stanzas() {
            let Some(suffix) = view.stanza.name.strip_prefix(port) else { continue };
            if !suffix.is_empty() && !suffix.starts_with(':') {
                continue;
            }
            let Some(plan) = AddressPlan::of(self.tree, view.id)? else { continue };
            out.push(Moving { view, plan, options: self.tree.options(view.id), suffix });
        }
        Ok(out)
    }

    /// Takes a bridge's ports out of force and returns the bridge's stanzas.
    fn one(&mut self, bridge: &'a BridgeRequest) -> Result<String, BridgeError> {
        let mut moving = Vec::new();
        let mut addressed: Option<(&str, Place)> = None;
        for port in &bridge.ports {
            for stanza in self.moving(port)? {
                if stanza.plan.has_address() {
                    match &addressed {
                        Some((other, first)) if *other != port && bridge.address == BridgeAddress::Keep => {
                            let (bridge, second) = (bridge.name.clone(), stanza.view.place());
                            return Err(BridgeError::TwoAddressed { bridge, first: first.clone(), second });
                        }
                        _ => addressed = Some((port, stanza.view.place())),
                    }
                }
                moving.push((port.as_str(), stanza));
            }
        }
        if bridge.address == BridgeAddress::Keep && moving.is_empty() {
            let (bridge, ports) = (bridge.name.clone(), bridge.ports.join(" "));
            return Err(BridgeError::NothingToKeep { bridge, ports });
        }
        for (port, stanza) in &moving {
            self.out_of_force(port, stanza);
        }
        let lines = self.lines(bridge, &moving);
        let mut out = self.header(bridge, &moving);
        for port in &bridge.ports {
            self.port_stanza(&mut out, port, &moving);
        }
        self.classes(&mut out, bridge);
        match bridge.address {
            BridgeAddress::Keep => self.keep(&mut out, &lines, &moving),
            BridgeAddress::None => self.none(&mut out, &lines, &moving),
            BridgeAddress::Fixed { ip, length } => {
                out.push_str(&format!("iface {} inet static\n", bridge.name));
                writer::option(&mut out, "address", &format!("{ip}/{length}"));
                lines.no_addresses(&mut out);
                lines.options(&mut out, Creation::Before);
                for route in &bridge.routes {
                    writer::option(
                        &mut out,
                        "up",
                        &format!("ip route replace {route} dev $IFACE scope link proto static"),
                    );
                }
            }
        }
        Ok(out)
    }

    fn header(&self, bridge: &BridgeRequest, moving: &[(&str, Moving<'_>)]) -> String {
        let ports = match bridge.ports.as_slice() {
            [] => format!("# {} has no port.\n", bridge.name),
            ports => format!("# {} of {}.\n", is_port(ports), bridge.name),
        };
        let from: Vec<Place> = moving
            .iter()
            .filter(|(_, stanza)| !stanza.is_bare())
            .map(|(_, stanza)| stanza.view.place())
            .collect();
        match (bridge.address, from.as_slice()) {
            (_, []) => ports,
            (BridgeAddress::Keep, from) => format!("{ports}# Moved here from {}.\n", places(from)),
            (BridgeAddress::None | BridgeAddress::Fixed { .. }, from) => {
                format!("{ports}# Out of force: {}.\n", places(from))
            }
        }
    }

    fn out_of_force(&mut self, port: &str, stanza: &Moving<'a>) {
        if stanza.is_bare() {
            return;
        }
        let id = stanza.view.id;
        let (what, reason) = self.reason(&[port]);
        self.editor(id.file, &what).comment_out(id.stanza, &reason);
        self.moved.push(id);
        self.notes.cloud_init(stanza.view.place());
    }

    /// Why lines about `ports` (or aliases of them) go: in short, and with the file to look into.
    fn reason(&self, ports: &[&str]) -> (String, String) {
        let mut said: Vec<String> = Vec::new();
        for name in ports {
            let port = name.split(':').next().unwrap_or(name);
            let clause = format!("{port} is a port of {}", self.owners.get(port).unwrap_or(&"a bridge"));
            if !said.contains(&clause) {
                said.push(clause);
            }
        }
        let what = said.join(", ");
        let seen = format!("{what}, see {}", self.target.path(self.tree, self.request).display());
        (what, seen)
    }

    fn editor(&mut self, file: usize, reason: &str) -> &mut Editor<'a> {
        let reasons = self.reasons.entry(file).or_default();
        if !reasons.contains(reason) {
            if !reasons.is_empty() {
                reasons.push_str("; ");
            }
            reasons.push_str(reason);
        }
        let tree = self.tree;
        self.editors.entry(file).or_insert_with(|| Editor::new(&tree.files()[file]))
    }

    fn lines(&mut self, bridge: &'a BridgeRequest, moving: &[(&str, Moving<'a>)]) -> BridgeLines<'a> {
        let mut mac = bridge.mac;
        for (_, stanza) in moving {
            match stanza.plan.hwaddress {
                Some(HwAddressOption::Fixed(own)) => mac = Some(self.pin(bridge, own, stanza)),
                Some(HwAddressOption::Random) => self.notes.random_address(&bridge.name, stanza.view.place()),
                None => {}
            }
        }
        let late = bridge.ports.iter().any(|port| {
            let classes = self.tree.classes_of(port);
            let in_class = |class: &str| classes.iter().any(|(own, _)| *own == class);
            in_class("hotplug") && !in_class("auto")
        });
        let wait_port =
            bridge.wait_port.or(late.then_some(LATE_PORT_SECONDS)).filter(|_| !bridge.ports.is_empty());
        BridgeLines { request: bridge, mac, wait_port }
    }

    /// The address that the stanza gives the NIC today is the one that leases and filters know.
    fn pin(&mut self, bridge: &BridgeRequest, own: HwAddress, stanza: &Moving<'_>) -> HwAddress {
        if let Some(asked) = bridge.mac.filter(|asked| *asked != own) {
            self.notes.other_address(&bridge.name, asked, own, stanza.view.place());
        }
        own
    }

    /// The port's own stanza. `inet manual` keeps NetworkManager away from it and is all a port may have.
    fn port_stanza(&mut self, out: &mut String, port: &str, moving: &[(&str, Moving<'_>)]) {
        let own = || moving.iter().filter(|(name, stanza)| *name == port && stanza.suffix.is_empty());
        let stays: Vec<&Effective> = own()
            .flat_map(|(_, stanza)| &stanza.options)
            .filter(|option| stays_on_port(&option.name))
            .collect();
        if let Some(first) = stays.first() {
            self.notes.stays_on_port(port, &stays, first.at.clone());
        }
        // A VLAN has to exist before the bridge: left to it, bridge-utils would take IPv6 off the NIC below.
        let brought_up = !stays.is_empty() || port.contains('.');
        if !brought_up && own().any(|(_, stanza)| stanza.is_bare()) {
            return;
        }
        if brought_up {
            out.push_str(&format!("auto {port}\n"));
        }
        out.push_str(&format!("iface {port} inet manual\n"));
        for option in stays {
            writer::option(out, &option.name, &option.value);
        }
        if brought_up || self.may_come_up(port) {
            writer::no_ipv6_on_port(out);
        }
        out.push('\n');
    }

    /// Whether ifup may bring the port up beside its bridge: for a VLAN on it, or by a pattern.
    fn may_come_up(&self, port: &str) -> bool {
        let vlan = |name: &str| name.strip_prefix(port).is_some_and(|rest| rest.starts_with('.'));
        self.by_pattern(port) || self.tree.stanzas().any(|view| vlan(&view.stanza.name))
    }

    fn by_pattern(&self, port: &str) -> bool {
        let mac = self.request.bridges.iter().find(|bridge| bridge.ports.iter().any(|own| own == port));
        let mac = mac.and_then(|bridge| bridge.mac);
        self.tree.selections().any(|selection| {
            let (pattern, _) = refuse::split_logical(selection.name);
            let selects = || refuse::selects(pattern, port, mac) != Some(false);
            matches!(selection.selector, Selector::Allow(_)) && pattern.contains('/') && selects()
        })
    }

    /// A bridge is made by ifup, so `allow-hotplug`, which waits for a NIC, would never bring it up: it is `auto`.
    fn classes(&mut self, out: &mut String, bridge: &BridgeRequest) {
        out.push_str(&format!("auto {}\n", bridge.name));
        let mut classes: Vec<(&str, Place)> =
            bridge.ports.iter().flat_map(|port| self.tree.classes_of(port)).collect();
        let named = !classes.is_empty() || bridge.ports.iter().any(|port| self.by_pattern(port));
        if !named && !bridge.ports.is_empty() {
            self.notes.not_automatic(bridge);
        }
        classes.retain(|(class, _)| !matches!(*class, "auto" | "hotplug"));
        classes.dedup_by(|a, b| a.0 == b.0);
        for (class, _) in classes {
            out.push_str(&format!("allow-{class} {}\n", bridge.name));
        }
    }

    fn keep(&mut self, out: &mut String, lines: &BridgeLines<'_>, moving: &[(&str, Moving<'a>)]) {
        let name = &lines.request.name;
        let mut written = false;
        for (port, stanza) in
            moving.iter().filter(|(_, stanza)| stanza.suffix.is_empty() && !stanza.is_bare())
        {
            let (family, method) = (stanza.view.family.word(), stanza.view.method);
            out.push_str(&format!("iface {name} {family} {method}\n"));
            if !written {
                self.port_mtu(out, lines.request, &stanza.plan, moving);
            }
            self.moved_options(out, port, stanza);
            lines.options(out, Creation::BridgeUtils);
            self.notes.moved(name, &stanza.plan);
            written = true;
        }
        if !written {
            out.push_str(&format!("iface {name} inet manual\n"));
            lines.options(out, Creation::BridgeUtils);
        }
        for (port, stanza) in moving.iter().filter(|(_, stanza)| !stanza.suffix.is_empty()) {
            let alias = format!("{name}{}", stanza.suffix);
            let (family, method) = (stanza.view.family.word(), stanza.view.method);
            let automatic = !self.tree.classes_of(&stanza.view.stanza.name).is_empty();
            out.push('\n');
            if automatic {
                out.push_str(&format!("auto {alias}\n"));
            }
            out.push_str(&format!("iface {alias} {family} {method}\n"));
            self.moved_options(out, port, stanza);
            self.notes.alias(&stanza.view.stanza.name, &alias, stanza.view.place());
        }
    }

    /// bridge-utils gives a port the MTU of the stanza that adds it, which is the first: an MTU that stands in a later
    /// one would reach the bridge alone.
    fn port_mtu(
        &mut self,
        out: &mut String,
        bridge: &BridgeRequest,
        first: &AddressPlan,
        moving: &[(&str, Moving<'_>)],
    ) {
        let inet =
            moving.iter().filter(|(_, stanza)| stanza.suffix.is_empty()).map(|(_, stanza)| &stanza.plan);
        let later = inet
            .filter(|plan| plan.family == Family::Inet)
            .find_map(|plan| Some((plan.mtu?, plan.at.clone())));
        let Some((mtu, at)) = later.filter(|(mtu, _)| first.mtu != Some(*mtu)) else { return };
        for port in &bridge.ports {
            writer::option(out, "pre-up", &format!("ip link set dev {port} mtu {mtu}"));
        }
        self.notes.port_mtu(&bridge.ports, mtu, at);
    }

    fn moved_options(&mut self, out: &mut String, port: &str, stanza: &Moving<'_>) {
        for option in stanza.options.iter().filter(|option| !stays_on_port(&option.name)) {
            if !is_hook(&option.name) {
                writer::option(out, &option.name, &option.value);
                continue;
            }
            let moved = hooks::moved(&option.name, &option.value, port);
            self.notes.hook(option, &moved, port);
            writer::option(out, &moved.phase, &moved.command);
        }
    }

    fn none(&mut self, out: &mut String, lines: &BridgeLines<'_>, moving: &[(&str, Moving<'a>)]) {
        out.push_str(&format!("iface {} inet manual\n", lines.request.name));
        lines.no_addresses(out);
        let mut mtu = None;
        for (port, stanza) in moving {
            self.notes.given_up(&lines.request.name, &stanza.plan);
            mtu = mtu.max(stanza.plan.mtu);
            for option in stanza.options.iter().filter(|option| is_hook(&option.name)) {
                let moved = hooks::moved(&option.name, &option.value, port);
                if moved.link_only {
                    self.notes.hook(option, &moved, port);
                    writer::option(out, &moved.phase, &moved.command);
                } else {
                    self.notes.hook_dropped(option, &lines.request.name);
                }
            }
        }
        if let Some(mtu) = mtu {
            writer::option(out, "mtu", &mtu.to_string());
        }
        lines.options(out, Creation::Before);
    }

    /// The bridge that has `name` (a port, or an alias of one) now, and its name there.
    fn renamed(&self, name: &str) -> Option<String> {
        let (port, suffix) = name.split_at(name.find(':').unwrap_or(name.len()));
        self.owners.get(port).map(|bridge| format!("{bridge}{suffix}"))
    }

    /// Takes the ports out of `auto` and `allow-*` lines, and moves `no-auto-down` to the bridge.
    fn selections(&mut self) {
        let mut lines: BTreeMap<(usize, usize), Vec<&'a str>> = BTreeMap::new();
        for selection in self.tree.selections() {
            let gone = selection
                .stanza
                .is_some_and(|stanza| self.moved.contains(&StanzaId { file: selection.file, stanza }));
            if gone {
                continue;
            }
            self.notes.pattern(&selection, self.request);
            if self.renamed(selection.name).is_some() {
                lines.entry((selection.file, selection.item)).or_default().push(selection.name);
            }
        }
        for ((file, item), names) in lines {
            self.selection(file, item, &names);
        }
    }

    fn selection(&mut self, file: usize, item: usize, gone: &[&str]) {
        let tree = self.tree;
        let source = &tree.files()[file];
        let line = &source.items[item];
        let ItemKind::Select { selector, names, .. } = &line.kind else { return };
        let keyword = match selector {
            Selector::Allow(class) if class == "auto" => "auto".to_owned(),
            Selector::Allow(class) => format!("allow-{class}"),
            Selector::NoAutoDown => "no-auto-down".to_owned(),
            Selector::NoScripts => {
                let at = source.at(line.line());
                return gone.iter().for_each(|name| self.notes.no_scripts(name, at.clone()));
            }
            Selector::Rename => return,
        };
        let (what, reason) = self.reason(gone);
        let left: Vec<String> = names
            .iter()
            .filter_map(|name| match self.renamed(name) {
                None => Some(name.clone()),
                Some(there) => (*selector == Selector::NoAutoDown).then_some(there),
            })
            .collect();
        if left.is_empty() {
            self.editor(file, &what).comment_out_item(item, &reason);
        } else {
            let with = format!("{keyword} {}", left.join(" "));
            self.editor(file, &what).replace_item(item, &with);
        }
    }

    /// Notes every other stanza that names a port.
    fn mentions(&mut self) {
        let owners: Vec<(&str, &str)> = self.owners.iter().map(|(port, bridge)| (*port, *bridge)).collect();
        for view in self.tree.stanzas().filter(|view| !self.moved.contains(&view.id)) {
            for (port, bridge) in &owners {
                self.notes.mentioned(&view, port, bridge);
            }
        }
        for skipped in self.tree.skipped() {
            self.notes.skipped(skipped);
        }
    }

    fn place(&mut self, blocks: &str) {
        let names: Vec<&str> = self.request.bridges.iter().map(|bridge| bridge.name.as_str()).collect();
        let reason = format!("the stanzas of {}", names.join(", "));
        match &self.target {
            Target::Own(file) => {
                let file = *file;
                self.editor(file, &reason).append(blocks);
            }
            Target::New => {
                let after =
                    format!("# Written by xenup: its bridges for ifupdown, see interfaces(5).\n\n{blocks}");
                let (path, before) = (self.request.file.clone(), None);
                self.created = Some(FileEdit { path, before, after: after.into_bytes(), reason });
            }
            Target::Main(directory) => {
                self.notes.appended(self.tree.files()[0].path(), &self.request.file, directory.clone());
                self.editor(0, &reason).append(blocks);
            }
        }
    }

    fn finish(self) -> Rewrite {
        let mut edits: Vec<FileEdit> = self.created.into_iter().collect();
        for (index, editor) in &self.editors {
            let file = &self.tree.files()[*index];
            edits.push(FileEdit {
                path: file.path().to_owned(),
                before: Some(file.text().as_bytes().to_vec()),
                after: editor.finish().into_bytes(),
                reason: self.reasons.get(index).cloned().unwrap_or_default(),
            });
        }
        edits.sort_by(|a, b| a.path.cmp(&b.path));
        Rewrite { edits, notes: self.notes.finish() }
    }
}

fn stays_on_port(name: &str) -> bool {
    let name = name.replace('_', "-");
    PORT_OPTIONS.iter().any(|prefix| name.starts_with(prefix))
}

/// `/etc/network/interfaces:3, 7`: each path once in a row.
fn places(places: &[Place]) -> String {
    let mut out = String::new();
    for (index, place) in places.iter().enumerate() {
        match index.checked_sub(1).and_then(|before| places.get(before)) {
            Some(before) if before.path == place.path => out.push_str(&format!(", {}", place.line)),
            Some(_) => out.push_str(&format!(", {place}")),
            None => out.push_str(&place.to_string()),
        }
    }
    out
}

fn is_port(ports: &[String]) -> String {
    match ports {
        [port] => format!("{port} is the port"),
        ports => format!("{} are the ports", ports.join(" and ")),
    }
}
