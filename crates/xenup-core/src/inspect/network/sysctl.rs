//! IPv4 forwarding: as the kernel has it, and as the next boot sets it.
//!
//! Decides: which line of sysctl.d(5) has the last word behind a file of ours. Never: sets anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::facts::{At, NetworkFacts};
use super::super::reader::Reader;
use crate::network::nat::SYSCTL_NAME;

/// In the order in which a file hides another of its name (sysctl.d(5)).
const FOLDERS: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

const LINKS: &str = "/proc/sys/net/ipv4/conf";

/// Any of them set to 0 keeps packets from guests or to them.
const KEYS: [&str; 4] = [
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.*.forwarding",
];

/// Fills in what there is to know. The kernel sets each link's switch, and that of redirects, whenever the one of all changes
/// (ip-sysctl, `ip_forward`): what differs now would be lost by an undo that only sets that one.
pub(super) fn gather(reader: &Reader<'_>, facts: &mut NetworkFacts) {
    let is = |path: &str, value: &str| reader.word(path).as_deref() == Some(value);
    facts.forwarding = is("/proc/sys/net/ipv4/ip_forward", "1");
    facts.forwarding_off = forwarding_off(reader);
    let answers = |link: &String| is(&format!("{LINKS}/{link}/proxy_arp"), "1");
    facts.proxy_arp = reader.list(LINKS).into_iter().filter(answers).collect();
    if facts.forwarding {
        return;
    }
    let forwards = |link: &String| is(&format!("{LINKS}/{link}/forwarding"), "1");
    facts.forwards_from = reader.list(LINKS).into_iter().filter(forwards).collect();
    facts.refuses_redirects = is(&format!("{LINKS}/all/accept_redirects"), "0");
}

fn forwarding_off(reader: &Reader<'_>) -> Option<At> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in FOLDERS.iter().flat_map(|folder| reader.ending(folder, ".conf")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.entry(name).or_insert(path);
    }
    let mut last = None;
    for path in files.into_iter().filter(|(name, _)| name.as_str() > SYSCTL_NAME).map(|(_, path)| path) {
        let text = reader.text(&path).unwrap_or_default();
        if let Some((line, on)) = forwarding(&text) {
            last = (!on).then_some(At { path, line });
        }
    }
    last
}

/// Returns the last line that sets IPv4 forwarding, and whether it sets it on.
pub(super) fn forwarding(text: &str) -> Option<(u32, bool)> {
    let set = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let (key, value) = line.trim().trim_start_matches('-').split_once('=')?;
        let key = key.trim().replace('/', ".");
        KEYS.contains(&key.as_str()).then(|| (number, value.trim() != "0"))
    });
    set.last()
}

#[cfg(test)]
mod tests {
    use super::forwarding;

    #[test]
    fn the_last_line_counts_in_both_styles() {
        assert_eq!(forwarding("net.ipv4.ip_forward=1\n-net/ipv4/ip_forward = 0\n"), Some((2, false)));
        assert_eq!(
            forwarding("net.ipv4.conf.default.forwarding = 0\nnet.ipv4.ip_forward = 1"),
            Some((2, true))
        );
        assert_eq!(forwarding("#net.ipv4.ip_forward=0\nnet.ipv6.conf.all.forwarding=0\n"), None);
    }
}
