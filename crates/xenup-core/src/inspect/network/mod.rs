//! The machine's network: what the kernel has, whose configuration each NIC is, and what else names it.
//!
//! Decides: who owns a NIC, by the rules of the four programs that may.
//! Never: judges that (see `findings`), or changes a link.

mod dhcp;
mod filter;
mod manager;
pub(crate) mod mentions;
mod netplan;
mod networkd;
mod nics;
mod owners;
mod sysctl;

use std::path::Path;

use xenup_machine::Reason;
use xenup_machine::network::Network;

use super::facts::{ConfigFile, NetworkFacts, Packages};
use super::processes::Process;
use super::reader::Reader;
use crate::network::networkd::Host;

/// Gathers the network. `active` are the units that run; `host` is what the machine's own files may go by.
pub(super) fn gather(
    reader: &Reader<'_>,
    packages: &Packages,
    processes: &[Process],
    active: &[String],
    host: &Host,
) -> NetworkFacts {
    let kernel = match reader.probe.network() {
        Ok(network) => network,
        Err(error) => {
            let why = if error.reason == Reason::NotRunning {
                "this is a tree of files without a running kernel".to_owned()
            } else {
                error.words
            };
            reader.missed("the kernel's links, addresses and routes", why);
            Network::default()
        }
    };
    let mut facts = NetworkFacts { nics: nics::gather(reader, &kernel), kernel, ..NetworkFacts::default() };
    owners::gather(reader, packages, active, processes, host, &mut facts);
    facts.dhcp_clients = dhcp::clients(processes, &facts.kernel);
    facts.ifstate = ifstate(reader);
    facts.bridge_nf_call =
        reader.word("/proc/sys/net/bridge/bridge-nf-call-iptables").as_deref() == Some("1");
    sysctl::gather(reader, &mut facts);
    let rules = filter::gather(reader);
    facts.forward_drop = rules.forward_drop();
    facts.input_drop = rules.input_drop();
    facts.mentions = mentions::gather(reader, &facts.nics, &rules);
    facts
}

fn ifstate(reader: &Reader<'_>) -> Vec<String> {
    let text = reader.text("/run/network/ifstate").unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Keeps a configuration file as it was read; one that is no text is told about instead.
fn keep(reader: &Reader<'_>, files: &mut Vec<ConfigFile>, path: &Path, bytes: Vec<u8>) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => {
            if !files.iter().any(|file| file.path == path) {
                files.push(ConfigFile { path: path.to_owned(), text: text.clone() });
            }
            Some(text)
        }
        Err(_) => {
            reader.missed(path.display().to_string(), "it is not UTF-8");
            None
        }
    }
}

/// Gives a text to every parser of this room.
#[cfg(test)]
pub(super) fn hostile(text: &str) {
    manager::hostile(text);
    let _ = netplan::devices(text);
    let _ = crate::network::units::parse(text);
    let _ = mentions::names(text, "eno1");
    let rules = filter::Rules { nftables: text.to_owned(), legacy: text.to_owned() };
    let _ = (rules.forward_drop(), rules.input_drop());
    let _ = sysctl::forwarding(text);
}
