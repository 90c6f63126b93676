//! What a stage leaves, as `inspect` would find it. Decides nothing: each action does to the facts what it says.

#![allow(clippy::expect_used, reason = "a case whose plan cannot be followed is a broken test")]

use std::path::Path;

use xenup_core::boot::known_good;
use xenup_core::inspect::Facts;
use xenup_core::inspect::facts::{At, ConfigFile, GrubEntry, Package, RunningXen};
use xenup_engine::action::{Action, FileState, LineEdit};
use xenup_engine::plan::{Stage, Watch};
use xenup_machine::Machine as _;
use xenup_machine::Probe as _;
use xenup_machine::fake::FakeMachine;

const LAST: &str = "/etc/default/grub.d/zz-xenup.cfg";

/// Debian 12's own lines that a plan edits.
const CONFFILES: [(&str, &str); 2] = [
    ("/etc/default/xendomains", "# where to\nXENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_RESTORE=true\n"),
    ("/etc/xen/xl.conf", "# bridge\n#vif.default.bridge=\"xenbr0\"\n"),
];

/// Does a stage to the facts, the trial boot included.
pub fn carry_out(facts: &mut Facts, stage: &Stage) {
    for step in &stage.steps {
        match &step.action {
            Action::File { path, state, .. } => file(facts, path, state),
            Action::Packages { changes } => {
                for change in changes {
                    facts.packages.relevant.push(Package {
                        name: change.name.clone(),
                        version: change.version.clone(),
                        status: "installed".to_owned(),
                        auto: !change.asked,
                        held: false,
                    });
                }
                for (path, text) in CONFFILES {
                    facts.files.push(ConfigFile { path: path.into(), text: text.to_owned() });
                }
                add_xen_entry(facts);
            }
            Action::Links { ops, .. } => {
                let mut machine = FakeMachine::new();
                machine.connect(facts.network.kernel.clone());
                machine.change_links(ops).expect("the fake kernel takes the sequence");
                facts.network.kernel = machine.network().expect("the fake kernel answers");
                for nic in &mut facts.network.nics {
                    nic.master = facts.network.kernel.link(&nic.name).and_then(|link| link.master.clone());
                    // What NetworkManager had on the NIC, it has on the bridge.
                    let mut clients = facts.network.manager.iter_mut();
                    if let (Some(link), Some(master)) =
                        (clients.find(|link| link.link == nic.name), nic.master.clone())
                    {
                        link.link = master;
                    }
                }
            }
            Action::Unit { unit, state } if unit == known_good::UNIT => {
                facts.boot.newer_is_tried |= state.enabled == Some(true);
            }
            Action::Run { forward: Some(_), generates, .. } => {
                facts.boot.known_good |= generates.iter().any(|path| path == Path::new(known_good::FILE));
            }
            _ => {}
        }
    }
    if stage.guard.as_ref().is_some_and(|guard| guard.watch == Watch::TrialBoot) {
        facts.boot.cmdline = dom0_words(facts);
        facts.xen.running = Some(RunningXen { version: "4.17".into(), full: "4.17.5".into(), dom0: true });
    }
}

fn file(facts: &mut Facts, path: &Path, state: &FileState) {
    let of_the_owner = path.starts_with("/etc/network")
        || path.starts_with("/etc/NetworkManager")
        || (path.starts_with("/etc/systemd/network") && path.extension().is_none_or(|end| end != "link"))
        || path.starts_with("/run/systemd/network");
    if path == Path::new("/run/network/ifstate")
        && let FileState::Text { text, .. } = state
    {
        facts.network.ifstate = text.lines().map(str::to_owned).collect();
    }
    let files = if of_the_owner { &mut facts.network.files } else { &mut facts.files };
    let now = files.iter().find(|file| file.path == path).map(|file| file.text.clone());
    files.retain(|file| file.path != path);
    let text = match state {
        FileState::Text { text, .. } => text.clone(),
        FileState::Edited { lines } => {
            LineEdit::apply_all(lines, &now.expect("the file is there")).expect("each line is there once")
        }
        other => panic!("{other:?} is no text"),
    };
    if path == Path::new(LAST) {
        settings(facts, &text);
        return facts.files.push(ConfigFile { path: path.to_owned(), text });
    }
    files.push(ConfigFile { path: path.to_owned(), text });
}

/// The last drop-in is the last word.
fn settings(facts: &mut Facts, text: &str) {
    let default = text.lines().find_map(|line| line.strip_prefix("GRUB_DEFAULT="));
    if let Some(default) = default {
        facts.boot.grub.insert("GRUB_DEFAULT".to_owned(), default.trim_matches('"').to_owned());
        facts.boot.grub_set_at.insert("GRUB_DEFAULT".to_owned(), At { path: LAST.into(), line: 0 });
    }
}

/// 20_linux_xen writes its entry and its submenu behind those of 10_linux, and before those of every later script.
fn add_xen_entry(facts: &mut Facts) {
    let entries = &mut facts.boot.entries;
    let at = entries.iter().position(|entry| entry.id.starts_with("gnulinux-simple-"));
    let at = at.expect("a planned case has a Linux entry");
    let linux = entries[at].clone();
    let others = entries[at + 1..]
        .iter()
        .take_while(|entry| entry.id.starts_with("gnulinux-") || !entry.within.is_empty())
        .count();
    let xen = GrubEntry {
        title: format!("{}, with Xen hypervisor", linux.title),
        id: format!("xen-{}", linux.id),
        xen: true,
        ..linux.clone()
    };
    let submenu = GrubEntry {
        title: format!("Advanced options for {} (with Xen hypervisor)", linux.title),
        id: linux.id.replace("simple", "advanced"),
        submenu: true,
        ..linux
    };
    let nested = GrubEntry { within: vec![submenu.id.clone()], id: "xen-advanced".to_owned(), ..xen.clone() };
    let place = at + 1 + others;
    entries.splice(place..place, [xen, submenu, nested]);
}

/// Returns the entry that GRUB boots when nobody chooses, as its normal/menu.c finds it: by number, id or title, what
/// is not found being the first one; in a submenu by what stands behind `>`.
pub fn booted(facts: &Facts) -> &GrubEntry {
    let boot = &facts.boot;
    let spec = boot.grub.get("GRUB_DEFAULT").or(boot.menu_default.as_ref()).map_or("0", String::as_str);
    let saved = || boot.grubenv.get("saved_entry").map_or("", String::as_str);
    let mut spec = if matches!(spec, "saved" | "${saved_entry}") { saved() } else { spec };
    let mut menu = 0..boot.entries.len();
    let mut depth = 0;
    loop {
        let (first, rest) = spec.split_once('>').unwrap_or((spec, ""));
        let here: Vec<usize> = menu.filter(|at| boot.entries[*at].within.len() == depth).collect();
        let digits = first.chars().take_while(char::is_ascii_digit).count();
        let found = match first[..digits].parse::<usize>() {
            Ok(number) => here.get(number).copied(),
            Err(_) => here
                .iter()
                .copied()
                .find(|at| [&boot.entries[*at].id, &boot.entries[*at].title].contains(&&first.to_owned())),
        };
        let at = found.unwrap_or(here[0]);
        let entry = &boot.entries[at];
        depth += 1;
        let end = boot.entries[at + 1..].iter().take_while(|entry| entry.within.len() >= depth).count();
        if !entry.submenu || end == 0 {
            return entry;
        }
        menu = at + 1..at + 1 + end;
        spec = rest;
    }
}

/// What GRUB gives dom0's Linux: the words in the drop-in that need no shell.
fn dom0_words(facts: &Facts) -> String {
    let last = facts.file(Path::new(LAST)).expect("the drop-in is there");
    let line = last
        .lines()
        .find(|line| line.starts_with("GRUB_CMDLINE_LINUX_XEN_REPLACE="))
        .expect("it has the line");
    line.split(['"', ' ']).filter(|word| !word.contains('$')).collect::<Vec<_>>().join(" ")
}
