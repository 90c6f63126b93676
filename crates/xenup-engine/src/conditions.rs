//! Conditions: whether what a plan needs or leaves holds, by reading.
//!
//! Decides: what each condition means on a machine. Never: changes anything, or waits for one to come true
//! (but for a neighbour's answer, which takes its time).

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use xenup_machine::network::{Address, Network};
use xenup_machine::process::Query;
use xenup_machine::{MachineError, Probe};

use crate::action::Condition;
use crate::digest::Digest;
use crate::units;

/// How long a neighbour may take: ARP asks three times a second apart before it gives up.
const ANSWER: Duration = Duration::from_secs(5);

/// The largest file that is searched for a text.
const LARGEST: u64 = 64 << 20;

/// Checks a condition.
///
/// # Errors
/// What is instead, in words that follow the condition; a machine that cannot be read included.
pub fn check(probe: &dyn Probe, condition: &Condition) -> Result<(), String> {
    match condition {
        Condition::FileSays { path, text } => match says(probe, path, text)? {
            true => Ok(()),
            false => Err(format!("{} does not say `{text}`", path.display())),
        },
        Condition::FileDoesNotSay { path, text } => match says(probe, path, text)? {
            true => Err(format!("{} says `{text}`", path.display())),
            false => Ok(()),
        },
        Condition::FileIs { path, digest } => is(probe, path, digest),
        Condition::Exists { path } => match probe.entry(path).map_err(words)? {
            Some(_) => Ok(()),
            None => Err(format!("{} is not there", path.display())),
        },
        Condition::Room { path, bytes } => has_room(probe, path, *bytes),
        Condition::LinkUp { link } => link_up(&network(probe)?, link),
        Condition::PortOf { link, master } => port_of(&network(probe)?, link, master),
        Condition::HasAddress { link, address } => has_address(&network(probe)?, link, address),
        Condition::Answers { link, ip } => answers(probe, link, *ip),
        Condition::UnitActive { unit } => match units::is_active(probe, unit).map_err(words)? {
            word if units::is_running(&word) => Ok(()),
            word => Err(format!("{unit} is {}", if word.is_empty() { "not known" } else { &word })),
        },
        Condition::Succeeds { command } => succeeds(probe, command),
    }
}

/// Returns a condition as a sentence without a full stop.
#[must_use]
pub fn describe(condition: &Condition) -> String {
    match condition {
        Condition::FileSays { path, text } => format!("{} says `{text}`", path.display()),
        Condition::FileDoesNotSay { path, text } => format!("{} does not say `{text}`", path.display()),
        Condition::FileIs { path, .. } => format!("{} is what it was", path.display()),
        Condition::Exists { path } => format!("{} is there", path.display()),
        Condition::Room { path, bytes } => format!("{} has room for {bytes} bytes", path.display()),
        Condition::LinkUp { link } => format!("{link} is up and has a carrier"),
        Condition::PortOf { link, master } => format!("{link} is a port of {master}"),
        Condition::HasAddress { link, address } => format!("{link} has {address}"),
        Condition::Answers { link, ip } => format!("{ip} answers on {link}"),
        Condition::UnitActive { unit } => format!("{unit} is active"),
        Condition::Succeeds { command } => format!("`{}` succeeds", command.join(" ")),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "an error is given up for its words")]
fn words(error: MachineError) -> String {
    error.to_string()
}

fn network(probe: &dyn Probe) -> Result<Network, String> {
    probe.network().map_err(words)
}

fn says(probe: &dyn Probe, path: &Path, text: &str) -> Result<bool, String> {
    match probe.read(path, LARGEST) {
        Ok(bytes) => Ok(text.is_empty() || bytes.windows(text.len()).any(|part| part == text.as_bytes())),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(words(error)),
    }
}

fn is(probe: &dyn Probe, path: &Path, digest: &Digest) -> Result<(), String> {
    match probe.read(path, LARGEST) {
        Ok(bytes) if Digest::of(&bytes) == *digest => Ok(()),
        Ok(_) => Err(format!("{} has changed", path.display())),
        Err(error) if error.is_not_found() => Err(format!("{} is gone", path.display())),
        Err(error) => Err(words(error)),
    }
}

fn has_room(probe: &dyn Probe, path: &Path, bytes: u64) -> Result<(), String> {
    let space = probe.space(path).map_err(words)?;
    if space.read_only {
        return Err(format!("the file system of {} is read-only", path.display()));
    }
    if space.free < bytes {
        return Err(format!("the file system of {} has {} bytes free", path.display(), space.free));
    }
    Ok(())
}

fn link_up(network: &Network, link: &str) -> Result<(), String> {
    match network.link(link) {
        Some(found) if found.up && found.carrier => Ok(()),
        Some(found) if found.up => Err(format!("{link} has no carrier")),
        Some(_) => Err(format!("{link} is down")),
        None => Err(format!("there is no link {link}")),
    }
}

fn port_of(network: &Network, link: &str, master: &str) -> Result<(), String> {
    match network.link(link).map(|found| found.master.as_deref()) {
        Some(Some(found)) if found == master => Ok(()),
        Some(Some(found)) => Err(format!("{link} is a port of {found}")),
        Some(None) => Err(format!("{link} is a port of no bridge")),
        None => Err(format!("there is no link {link}")),
    }
}

fn has_address(network: &Network, link: &str, address: &str) -> Result<(), String> {
    let on_link: Vec<String> = network.addresses_on(link).map(ToString::to_string).collect();
    if on_link.iter().any(|found| found == address) {
        return Ok(());
    }
    let found = if on_link.is_empty() { "no address".to_owned() } else { on_link.join(", ") };
    Err(format!("{link} has {found}"))
}

fn answers(probe: &dyn Probe, link: &str, ip: IpAddr) -> Result<(), String> {
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    match probe.neighbour_answers(link, &Address::new(ip, bits), ANSWER).map_err(words)? {
        true => Ok(()),
        false => Err(format!("{ip} does not answer on {link}")),
    }
}

fn succeeds(probe: &dyn Probe, command: &[String]) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else {
        return Err("an empty command says nothing".to_owned());
    };
    let said = probe.query(&Query::new(program, args)).map_err(words)?;
    if said.success() {
        return Ok(());
    }
    let complaint = said.complaint();
    let complaint = complaint.lines().last().unwrap_or_default();
    Err(format!("`{}` ends with {}: {complaint}", command.join(" "), said.status))
}
