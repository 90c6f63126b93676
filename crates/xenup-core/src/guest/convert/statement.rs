//! Statements in today's form. Decides for each key whether it stays, is written anew, or becomes a comment.

use super::super::file::{GuestFile, as_number};
use super::super::keys::{Became, Form, became, form};
use super::super::lint::{ACTIONS, EVENTS, action, hyphenated};
use super::super::model::{Guest, GuestType};
use super::super::parse::{Op, Statement, Value};
use super::{Edit, device, hoist, quote_of, quoted, retired};

/// What becomes of a statement.
enum Fate {
    Stays,
    /// This stands in its place.
    Becomes(String),
    /// It becomes a comment, for a reason.
    Retires(String),
}

/// Keys whose meaning moves to `cmdline`.
const CMDLINE: [&str; 10] =
    ["root", "extra", "ip", "gateway", "netmask", "hostname", "interface", "dhcp", "nfs_root", "nfs_server"];
/// What xl does not read at all, or only as a list.
const PASSED_OVER: [&str; 8] = ["pvh", "cpu", "cpu_cap", "bootargs", "restart", "irq", "disk", "vif"];
const TSC_MODES: [&str; 4] = ["default", "always_emulate", "native", "native_paravirt"];
const TIMER_MODES: [&str; 4] = [
    "delay_for_missed_ticks",
    "no_delay_for_missed_ticks",
    "no_missed_ticks_pending",
    "one_missed_tick_pending",
];

/// Returns the edits that bring a file's statements into today's form.
pub(super) fn edits(file: &GuestFile, guest: &Guest<'_>, was_xm: bool) -> Vec<Edit> {
    let line = Cmdline::of(guest, was_xm);
    let is_part = |one: &Statement| CMDLINE.contains(&one.key.as_str()) && one.node.text().is_some();
    let makes_it = |one: &Statement| is_part(one) && (was_xm || one.key == "root" || one.key == "extra");
    let anchor = file.statements().iter().position(|one| line.is_some() && makes_it(one));
    let mut edits = Vec::new();
    for (index, statement) in file.statements().iter().enumerate() {
        let fate = if is_part(statement) {
            command_line(guest, statement, line.as_ref(), anchor == Some(index), was_xm)
        } else {
            let fate = fate(file, guest, statement);
            if was_xm { fate } else { as_it_ran(&statement.key, fate) }
        };
        match fate {
            Fate::Stays => items(file, statement, &mut edits),
            Fate::Becomes(text) => {
                hoist(file, statement, &statement.span, &mut edits);
                edits.push(Edit { span: statement.span.clone(), text });
            }
            Fate::Retires(reason) => edits.extend(retired(file, &statement.span, &reason)),
        }
    }
    edits
}

/// What xl has passed over in a file that it reads must not come alive: the guest has run without it.
fn as_it_ran(key: &str, fate: Fate) -> Fate {
    let passed_over = PASSED_OVER.contains(&key) || matches!(form(key), Some((Form::Bool, _)));
    match fate {
        Fate::Becomes(text) if passed_over => {
            let today = text.replace('\n', "; ");
            Fate::Retires(format!(
                "xl passes over this, and a guest that ran with xl ran without it; to have it: {today}"
            ))
        }
        fate => fate,
    }
}

/// Writes the items of `disk` and `vif` anew that are in an old form.
fn items(file: &GuestFile, statement: &Statement, edits: &mut Vec<Edit>) {
    let Value::List(items) = &statement.node.value else { return };
    let today = match statement.key.as_str() {
        "disk" => device::disk,
        "vif" => device::vif,
        _ => return,
    };
    for item in items {
        if let Some(text) = item.text().and_then(today) {
            let text = quoted(&text, quote_of(file.slice(&item.span)));
            edits.push(Edit { span: item.span.clone(), text });
        }
    }
}

fn fate(file: &GuestFile, guest: &Guest<'_>, statement: &Statement) -> Fate {
    let key = statement.key.as_str();
    let source = file.slice(&statement.node.span);
    let Some(text) = statement.node.text() else { return of_list(key, guest, statement) };
    let set = |key: &str, text: &str| Fate::Becomes(format!("{key} = {}", quoted(text, quote_of(source))));
    if statement.op == Op::Add {
        return old_key(key, guest);
    }
    match key {
        "builder" => builder(guest, text, &set),
        "pvh" if guest.text("type").is_none() && guest.text("builder").is_none() => {
            if as_number(text).is_some_and(|number| number != 0) {
                set("type", "pvh")
            } else {
                Fate::Retires("type says how a guest is virtualised".to_owned())
            }
        }
        "uuid" => match hyphenated(text).filter(|uuid| uuid != text) {
            Some(uuid) => set(key, &uuid),
            None => Fate::Stays,
        },
        "bootloader" if text != "pygrub" && text.rsplit('/').next() == Some("pygrub") => set(key, "pygrub"),
        "kernel" if guest.kind == GuestType::Hvm && text.rsplit('/').next() == Some("hvmloader") => {
            Fate::Retires("xl finds the firmware of an HVM guest by itself".to_owned())
        }
        "device_model" => Fate::Retires("xl finds qemu by itself".to_owned()),
        "vncviewer" => Fate::Retires("xl create -V opens a viewer".to_owned()),
        "cpu" if guest.settings.contains_key("cpus") => Fate::Retires("cpus says it".to_owned()),
        "cpu" if as_number(text).is_some_and(|cpu| cpu >= 0) => set("cpus", text),
        "cpu" => Fate::Retires("Xen chooses the processor".to_owned()),
        "cpu_cap" if !guest.settings.contains_key("cap") && as_number(text).is_some() => {
            Fate::Becomes(format!("cap = {source}"))
        }
        "bootargs" if !guest.settings.contains_key("bootloader_args") => {
            Fate::Becomes(format!("bootloader_args = {}", word_list(text)))
        }
        "bootloader_args" => Fate::Becomes(format!("{key} = {}", word_list(text))),
        "restart" => restart(guest, text),
        "tsc_mode" => named(key, text, &TSC_MODES, &set),
        "timer_mode" if guest.kind != GuestType::Pv => named(key, text, &TIMER_MODES, &set),
        "disk" | "vif" if text.is_empty() => Fate::Retires(format!("{key} is a list, and this one is empty")),
        "disk" => Fate::Becomes(format!(
            "disk = [ {} ]",
            quoted(&device::disk(text).unwrap_or(text.to_owned()), '\'')
        )),
        "vif" => Fate::Becomes(format!(
            "vif = [ {} ]",
            quoted(&device::vif(text).unwrap_or(text.to_owned()), '\'')
        )),
        _ if EVENTS.contains(&key)
            && !ACTIONS.contains(&text)
            && ACTIONS.contains(&action(text).as_str()) =>
        {
            set(key, &action(text))
        }
        _ => match form(key) {
            Some((Form::Bool, _)) => truth(key, text),
            Some(_) => Fate::Stays,
            None => old_key(key, guest),
        },
    }
}

fn of_list(key: &str, guest: &Guest<'_>, statement: &Statement) -> Fate {
    match key {
        "irq" if !guest.settings.contains_key("irqs") && statement.op == Op::Set => {
            let items = statement_items(statement);
            Fate::Becomes(format!("irqs = [ {} ]", items.join(", ")))
        }
        "vif2" => Fate::Retires("netchannel2 never came into Linux".to_owned()),
        _ => old_key(key, guest),
    }
}

fn statement_items(statement: &Statement) -> Vec<String> {
    match &statement.node.value {
        Value::List(items) => items.iter().filter_map(|item| Some(quoted(item.text()?, '"'))).collect(),
        _ => Vec::new(),
    }
}

/// A key of xm that has no other place becomes a comment; an unknown one is its author's.
fn old_key(key: &str, guest: &Guest<'_>) -> Fate {
    match became(key) {
        Some(Became::Gone(why)) => Fate::Retires(why.to_owned()),
        Some(Became::Key(now)) if guest.settings.contains_key(now) => Fate::Retires(format!("{now} says it")),
        Some(Became::Key(now)) => Fate::Retires(format!("xl calls it {now}")),
        Some(Became::Cmdline) | None => Fate::Stays,
    }
}

/// Of several the last one counts, and xl refuses a file in which another one contradicts `type`.
fn builder(guest: &Guest<'_>, word: &str, set: &dyn Fn(&str, &str) -> Fate) -> Fate {
    let Some(last) = guest.text("builder") else { return Fate::Stays };
    let kind = match GuestType::of_builder(last) {
        Some(kind) => kind,
        None if last == "linux" => GuestType::Pv,
        None => return Fate::Stays,
    };
    match guest.text("type") {
        Some(of) if GuestType::of_type(of) != Some(kind) => Fate::Stays,
        _ if word != last => Fate::Retires("the last builder is the one that counts".to_owned()),
        None => set("type", kind.word()),
        Some(_) => Fate::Retires("type says it".to_owned()),
    }
}

fn truth(key: &str, text: &str) -> Fate {
    let value = match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => 1,
        "no" | "false" | "off" => 0,
        _ => return Fate::Stays,
    };
    Fate::Becomes(format!("{key} = {value}"))
}

fn named(key: &str, text: &str, names: &[&str], set: &dyn Fn(&str, &str) -> Fate) -> Fate {
    let index = as_number(text).and_then(|number| usize::try_from(number).ok());
    match index.and_then(|index| names.get(index)) {
        Some(name) => set(key, name),
        None => Fate::Stays,
    }
}

fn word_list(text: &str) -> String {
    let words = text.split([' ', '\t', '\n']).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(|word| quoted(word, '"')).collect();
    if words.is_empty() { "[]".to_owned() } else { format!("[ {} ]", words.join(", ")) }
}

/// xm's `restart`, as xend read it: what follows a halt, a reboot and a crash.
fn restart(guest: &Guest<'_>, word: &str) -> Fate {
    let [halt, reboot, crash] = match word {
        "onreboot" => ["destroy", "restart", "destroy"],
        "always" => ["restart"; 3],
        "never" => ["destroy"; 3],
        _ => return Fate::Retires("on_reboot and its kin say it".to_owned()),
    };
    let lines = [("on_poweroff", halt), ("on_reboot", reboot), ("on_crash", crash)];
    let missing = lines.into_iter().filter(|(key, _)| !guest.settings.contains_key(key));
    let lines: Vec<String> = missing.map(|(key, word)| format!("{key} = \"{word}\"")).collect();
    if lines.is_empty() {
        Fate::Retires("on_reboot and its kin say it".to_owned())
    } else {
        Fate::Becomes(lines.join("\n"))
    }
}

/// The kernel's command line that the old keys make.
struct Cmdline(String);

impl Cmdline {
    /// As xm made it: the network first, then the root, then the rest. `None` where `cmdline` says it, or nothing does.
    ///
    /// Where xl reads the file, the guest has run without xm's words about the network, and they are left out.
    fn of(guest: &Guest<'_>, was_xm: bool) -> Option<Self> {
        if guest.settings.contains_key("cmdline") {
            return None;
        }
        let (address, nfs) = if was_xm { network(guest) } else { (None, None) };
        let root = guest.filled("root").map(|root| format!("root={root}"));
        let extra = guest.filled("extra").map(str::to_owned);
        let parts: Vec<String> = [address, root, nfs, extra].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| Self(parts.join(" ")))
    }
}

/// What xm put on the command line for the network and for a root on NFS (preprocess_ip and preprocess_nfs in
/// create.py).
fn network(guest: &Guest<'_>) -> (Option<String>, Option<String>) {
    let text = |key: &str| guest.text(key).unwrap_or_default();
    let dhcp = guest.filled("dhcp").unwrap_or("off");
    let address = (guest.filled("ip").is_some() || dhcp != "off").then(|| {
        // An address of no server where the root is not on NFS: the kernel wants the place filled.
        let server = guest.filled("nfs_server").unwrap_or("127.0.255.255");
        let interface = guest.filled("interface").unwrap_or("eth0");
        let (ip, gateway) = (text("ip"), text("gateway"));
        let (netmask, hostname) = (text("netmask"), text("hostname"));
        format!("ip={ip}:{server}:{gateway}:{netmask}:{hostname}:{interface}:{dhcp}")
    });
    let nfs = match (guest.filled("nfs_server"), guest.filled("nfs_root")) {
        (Some(server), Some(root)) => Some(format!("nfsroot={server}:{root}")),
        _ => None,
    };
    (address, nfs)
}

fn command_line(
    guest: &Guest<'_>,
    statement: &Statement,
    line: Option<&Cmdline>,
    anchor: bool,
    was_xm: bool,
) -> Fate {
    let read_by_xl = statement.key == "root" || statement.key == "extra";
    if !read_by_xl && !was_xm {
        let (address, nfs) = network(guest);
        let words: Vec<String> = [address, nfs].into_iter().flatten().collect();
        return Fate::Retires(if words.is_empty() {
            "nothing comes of it without an address".to_owned()
        } else {
            format!("xm put {} on the kernel's command line, xl does not", words.join(" "))
        });
    }
    match line {
        Some(Cmdline(text)) if anchor => Fate::Becomes(format!("cmdline = {}", quoted(text, '"'))),
        Some(_) => Fate::Retires("cmdline says it now".to_owned()),
        None if guest.settings.contains_key("cmdline") => Fate::Retires("xl takes cmdline alone".to_owned()),
        None => Fate::Retires("it is empty, or nothing comes of it without an address".to_owned()),
    }
}
