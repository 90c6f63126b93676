//! From `network-script` to the calls of Xen's scripts that it makes.
//!
//! Decides: which script is Xen's, which a wrapper, and what of either host.toml has no words for.
//! Never: follows a script into a second one.

use std::path::{Path, PathBuf};

use super::machine::Machine;
use super::report::Ruled;
use super::rule::{self, Rule};
use super::script::{self, Call, Odd, Script};
use super::tell::{Told, line};
use super::words::{Variables, Word, commands};
use super::xend::{Setting, Xend};
use crate::inspect::facts::At;

/// Where xend and xl look for scripts.
const SCRIPTS: &str = "/etc/xen/scripts";

/// A call of network-bridge, and the line that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Called {
    pub call: Call,
    pub at: At,
}

/// Returns the calls of network-bridge that a start of xend made, in order; all others are told.
pub(super) fn calls(machine: &Machine<'_>, xend: Option<&Xend>, told: &mut Told) -> Vec<Called> {
    let Some(setting) = xend.and_then(|xend| xend.network_script.as_ref()) else { return Vec::new() };
    let mut words = setting.text.split(' ').filter(|word| !word.is_empty());
    let Some(program) = words.next() else { return Vec::new() };
    let arguments: Vec<String> = words.filter_map(|word| argument(word, setting, told)).collect();
    let name = program.rsplit('/').next().unwrap_or(program);
    let path = Path::new(SCRIPTS).join(program);
    let mut direct =
        Call { line: setting.at.line, program: name.to_owned(), settings: Vec::new(), others: Vec::new() };
    arguments.iter().for_each(|argument| direct.argument(argument));
    let found = match name {
        "network-dummy" | "true" | "network-route" | "network-nat" => vec![(direct, setting.at.clone())],
        _ => match machine.text(&path, script::SIZE_LIMIT) {
            Ok(Some(text)) if rule::of_script(&text).is_none() => wrapped(&path, &text, &arguments, told),
            Ok(Some(_)) => vec![(direct, setting.at.clone())],
            // Xen's own, of which nothing but the call is left.
            Ok(None) if name == "network-bridge" => vec![(direct, setting.at.clone())],
            other => {
                absent(&path, setting, other.err(), told);
                Vec::new()
            }
        },
    };
    found.into_iter().filter_map(|(call, at)| bridge_call(call, at, told)).collect()
}

/// An argument, which Xen's scripts hand to the shell's `eval`.
fn argument(word: &str, setting: &Setting, told: &mut Told) -> Option<String> {
    let why = match commands(word, &Variables::new()) {
        Ok(all) => match all.as_slice() {
            [words] => match words.as_slice() {
                [Word::Text(text)] => return Some(text.clone()),
                _ => "it is an argument of no call".to_owned(),
            },
            _ => "it is more than one command".to_owned(),
        },
        Err(why) => why.to_string(),
    };
    told.warn(
        "import-argument",
        format!("the argument `{}` of `network-script` is not taken", word.escape_debug()),
        why,
        "write the value that it comes to, and import again",
        [setting.at.clone()],
    );
    None
}

fn absent(path: &Path, setting: &Setting, error: Option<String>, told: &mut Told) {
    let what = match error {
        None => format!("the network script {} is not there", path.display()),
        Some(why) => format!("the network script {} cannot be read: {why}", path.display()),
    };
    told.warn(
        "import-script-absent",
        what,
        "what it did is not known",
        "bring it from the old host and import again, or write each bridge as a [[bridge]]",
        [setting.at.clone()],
    );
}

fn wrapped(path: &Path, text: &str, arguments: &[String], told: &mut Told) -> Vec<(Call, At)> {
    let Script { calls, odd } = script::read(text, SCRIPTS, arguments);
    for Odd { line: number, text, why } in odd {
        told.warn(
            "import-script-line",
            format!("`{}` is not taken over", shortened(&text)),
            why,
            "see what it does; what makes a bridge, write as a [[bridge]], the rest by the network's owner",
            [line(path, number)],
        );
    }
    calls.into_iter().map(|call| (line(path, call.line), call)).map(|(at, call)| (call, at)).collect()
}

/// A line that fits into a sentence.
fn shortened(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Keeps a call of network-bridge; tells of any other.
fn bridge_call(call: Call, at: At, told: &mut Told) -> Option<Called> {
    match call.program.as_str() {
        "network-dummy" | "true" => {}
        "network-route" => route(&call, at, told),
        "network-nat" => nat(&call, at, told),
        name if name.starts_with("network-bridge") => {
            known_settings(&call, &at, told);
            return Some(Called { call, at });
        }
        name => told.warn(
            "import-own-script",
            format!("`{name}` is a script of the host's own"),
            "a second script is not followed",
            format!("read {SCRIPTS}/{name}; what makes a bridge, write as a [[bridge]]"),
            [at],
        ),
    }
    None
}

fn known_settings(call: &Call, at: &At, told: &mut Told) {
    let known = ["vifnum", "bridge", "netdev", "antispoof"];
    let settings = call.settings.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    let others = settings.map(|(name, value)| format!("{name}={value}")).chain(call.others.iter().cloned());
    for other in others {
        told.note(
            "import-setting",
            format!("network-bridge has no setting `{}`", shortened(&other)),
            "it passes over it, and so does this",
            "if it was a slip, correct it and import again",
            [at.clone()],
        );
    }
    if call.setting("antispoof") == Some("yes") {
        told.warn(
            "import-antispoof",
            "host.toml cannot say antispoof=yes",
            "network-bridge then let nothing through the bridge but what came from the NIC, and vif-bridge each guest's ip= alone",
            "by hand: a table of nftables' family bridge that lets each vif send from its guest's address alone (man nft)",
            [at.clone()],
        );
    }
}

fn route(call: &Call, at: At, told: &mut Told) {
    let nic = call.setting("netdev").unwrap_or("eth0");
    told.warn(
        "import-route",
        "host.toml cannot say network-route: its guests are routed, not bridged",
        format!("it switched on net.ipv4.ip_forward and proxy_arp on {nic}"),
        format!(
            "by hand: both in /etc/sysctl.d (proxy_arp is net.ipv4.conf.{nic}.proxy_arp), and in each guest's vif script=vif-route,ip=ADDRESS,gatewaydev={nic}"
        ),
        [at],
    );
}

fn nat(call: &Call, at: At, told: &mut Told) {
    let nic = call.setting("netdev").unwrap_or("eth0");
    let dhcp = if call.setting("dhcp").is_some_and(|value| value != "no") {
        ", and a DHCP service for them"
    } else {
        ""
    };
    told.warn(
        "import-nat",
        "this version makes no network behind dom0's address: network-nat is not taken over",
        format!("it switched on net.ipv4.ip_forward, hid 10.0.0.0/16 behind {nic}{dhcp}, and gave each vif an address there by vif-nat"),
        format!(
            "by hand: net.ipv4.ip_forward=1 in /etc/sysctl.d, a masquerade rule for oifname {nic} in /etc/nftables.conf, and script=vif-nat in each guest's vif"
        ),
        [at],
    );
}

/// A rule, and whether its script cuts names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub ruled: Ruled,
    pub cuts_names: bool,
}

/// Returns which network-bridge was called; nothing where none was.
pub(super) fn ruled(machine: &Machine<'_>, called: &[Called], told: &mut Told) -> Option<Known> {
    let first = called.first()?;
    let path: PathBuf = Path::new(SCRIPTS).join(&first.call.program);
    let shown =
        machine.text(&path, script::SIZE_LIMIT).ok().flatten().and_then(|text| rule::of_script(&text));
    if let Some(shown) = shown {
        let why = format!("the script's own words are those of {}", shown.rule.versions());
        let ruled = Ruled { rule: shown.rule, why, at: Some(line(&path, shown.line)) };
        return Some(Known { ruled, cuts_names: shown.cuts_names });
    }
    if let Some((rule, directory)) = machine.installed_rule() {
        let why = format!("{} is there, which is of {}", directory.display(), rule.versions());
        return Some(Known { ruled: Ruled { rule, why, at: Some(line(directory, 0)) }, cuts_names: false });
    }
    let complete =
        called.iter().all(|one| one.call.setting("bridge").is_some() && one.call.setting("netdev").is_some());
    if !complete {
        told.warn(
            "import-rule-guessed",
            format!(
                "which network-bridge this host had is not known: that of {} is taken",
                Rule::NicName.versions()
            ),
            "what a call does not name, each version filled in differently",
            format!(
                "name bridge= and netdev= in the call, or bring {} from the old host, and import again",
                path.display()
            ),
            [first.at.clone()],
        );
    }
    let why = format!("nothing shows which it was; this is that of {}", Rule::NicName.versions());
    Some(Known { ruled: Ruled { rule: Rule::NicName, why, at: None }, cuts_names: false })
}
