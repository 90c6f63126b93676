//! Where a NIC is named beside its owner's configuration: rules that would stop matching once a bridge has the address.
//!
//! Decides: which files are searched, and what counts as naming a NIC. Never: rewrites a line.

use std::path::{Path, PathBuf};

use super::super::facts::{At, Mention, Nic};
use super::super::reader::Reader;
use super::filter::Rules;
use crate::network::routed::SYSCTL;

/// Files and directories searched, and what they belong to. A directory is searched one level deep.
const PLACES: [(&str, &str); 43] = [
    ("/etc/nftables.conf", "nftables"),
    ("/etc/nftables.d", "nftables"),
    ("/etc/nftables", "nftables"),
    ("/etc/iptables", "iptables"),
    ("/etc/iptables.rules", "iptables"),
    ("/etc/iptables.up.rules", "iptables"),
    ("/etc/ufw", "ufw"),
    ("/etc/firewalld/zones", "firewalld"),
    ("/etc/shorewall", "shorewall"),
    ("/etc/shorewall6", "shorewall"),
    ("/etc/ferm", "ferm"),
    ("/etc/sysctl.conf", "sysctl"),
    ("/etc/sysctl.d", "sysctl"),
    ("/etc/wireguard", "wireguard"),
    ("/etc/openvpn", "openvpn"),
    ("/etc/openvpn/server", "openvpn"),
    ("/etc/openvpn/client", "openvpn"),
    ("/etc/ipsec.conf", "ipsec"),
    ("/etc/swanctl/conf.d", "ipsec"),
    ("/etc/systemd/system", "systemd"),
    ("/etc/fail2ban", "fail2ban"),
    ("/etc/fail2ban/jail.d", "fail2ban"),
    ("/etc/fail2ban/action.d", "fail2ban"),
    ("/etc/dnsmasq.conf", "dnsmasq"),
    ("/etc/dnsmasq.d", "dnsmasq"),
    ("/etc/default/isc-dhcp-server", "dhcp server"),
    ("/etc/kea", "dhcp server"),
    ("/etc/keepalived", "keepalived"),
    ("/etc/frr", "frr"),
    ("/etc/bird", "bird"),
    ("/etc/radvd.conf", "radvd"),
    ("/etc/hostapd", "hostapd"),
    ("/etc/samba/smb.conf", "samba"),
    ("/etc/avahi/avahi-daemon.conf", "avahi"),
    ("/etc/vnstat.conf", "vnstat"),
    ("/etc/snmp/snmpd.conf", "snmp"),
    ("/etc/network/if-up.d", "ifupdown hook"),
    ("/etc/network/if-pre-up.d", "ifupdown hook"),
    ("/etc/network/if-down.d", "ifupdown hook"),
    ("/etc/network/if-post-down.d", "ifupdown hook"),
    ("/etc/rc.local", "rc.local"),
    ("/etc/crontab", "cron"),
    ("/etc/cron.d", "cron"),
];

/// More than any of these files has; a log or a database that strayed there is not searched.
const SIZE_MAX: usize = 1 << 20;

/// Gathers the mentions of NICs, by place.
pub(super) fn gather(reader: &Reader<'_>, nics: &[Nic], rules: &Rules) -> Vec<Mention> {
    if nics.is_empty() {
        return Vec::new();
    }
    let mut mentions = Vec::new();
    for (place, of) in PLACES {
        for path in files(reader, place) {
            // What a plan of ours wrote, a plan of ours writes anew.
            if path == Path::new(SYSCTL) {
                continue;
            }
            let Some(text) = reader.text(&path).filter(|text| text.len() <= SIZE_MAX) else { continue };
            search(&path, &text, of, nics, &mut mentions);
        }
    }
    instances(reader, nics, &mut mentions);
    // Rules that no file explains: set by hand or by a program.
    for (command, of, text) in
        [("nft list ruleset", "nftables", &rules.nftables), ("iptables-legacy -S", "iptables", &rules.legacy)]
    {
        let mut live = Vec::new();
        search(Path::new(command), text, of, nics, &mut live);
        let explained = |mention: &Mention| {
            mentions.iter().any(|known: &Mention| known.nic == mention.nic && is_firewall(&known.of))
        };
        live.retain(|mention| !explained(mention));
        mentions.extend(live);
    }
    mentions
}

fn is_firewall(of: &str) -> bool {
    matches!(of, "nftables" | "iptables" | "ufw" | "firewalld" | "shorewall" | "ferm")
}

/// The regular files that a place stands for, hidden ones and copies by editors and dpkg left out.
fn files(reader: &Reader<'_>, place: &str) -> Vec<PathBuf> {
    use xenup_machine::file::Kind;
    let Some(entry) = reader.entry(place) else { return Vec::new() };
    if entry.kind != Kind::Dir {
        return vec![PathBuf::from(place)];
    }
    let names = reader.list(place).into_iter().filter(|name| {
        !name.starts_with('.') && !name.ends_with('~') && !name.contains(".dpkg-") && !name.ends_with(".bak")
    });
    names
        .map(|name| Path::new(place).join(name))
        .filter(|path| reader.entry(path).is_some_and(|entry| matches!(entry.kind, Kind::File { .. })))
        .collect()
}

fn search(path: &Path, text: &str, of: &str, nics: &[Nic], mentions: &mut Vec<Mention>) {
    // Most files name no NIC at all: one look at the whole text spares the lines.
    let named: Vec<&Nic> = nics.iter().filter(|nic| may_name(text, &nic.name, of)).collect();
    if named.is_empty() {
        return;
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        for nic in &named {
            if names(line, &nic.name) || (is_firewall(of) && fits_wildcard(line, &nic.name)) {
                mentions.push(Mention {
                    at: At { path: path.to_owned(), line: number },
                    nic: nic.name.clone(),
                    text: line.trim().to_owned(),
                    of: of.to_owned(),
                });
            }
        }
    }
}

fn may_name(text: &str, nic: &str, of: &str) -> bool {
    text.contains(nic) || (is_firewall(of) && (text.contains('+') || text.contains('*')))
}

/// Returns whether a line names a NIC as a word of its own: `eth0` is not in `eth01`, `veth0` or the VLAN `eth0.5`.
pub(super) fn names(line: &str, nic: &str) -> bool {
    places(line, nic).next().is_some()
}

/// Returns the line as it has to be for another link; `None` where it does not name the NIC as a word of its own.
pub(crate) fn renamed(line: &str, nic: &str, other: &str) -> Option<String> {
    let (mut text, mut from) = (String::new(), 0);
    for start in places(line, nic) {
        text.push_str(line.get(from..start)?);
        text.push_str(other);
        from = start.saturating_add(nic.len());
    }
    text.push_str(line.get(from..)?);
    (from > 0).then_some(text)
}

/// Where a line names a NIC as a word of its own, in bytes.
fn places<'a>(line: &'a str, nic: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_word = move |start: usize| {
        let before = line[..start].chars().next_back();
        let mut after = line[start + nic.len()..].chars();
        let vlan = |c: char, after: &mut std::str::Chars<'_>| {
            c == '.' && after.next().is_some_and(|c| c.is_ascii_digit())
        };
        let begins = before.is_none_or(|c| !part(c));
        let ends = after.next().is_none_or(|c| !part(c) && !vlan(c, &mut after));
        begins && ends
    };
    line.match_indices(nic).map(|(start, _)| start).filter(move |start| is_word(*start))
}

/// `eth+` (iptables(8)) and `"en*"` (nft(8)) name all links that begin so.
fn fits_wildcard(line: &str, nic: &str) -> bool {
    let words = line.split(|c: char| c.is_whitespace() || "\"'{},;=".contains(c));
    words.into_iter().any(|word| {
        let stem = word.strip_suffix('+').or_else(|| word.strip_suffix('*'));
        stem.is_some_and(|stem| {
            stem.len() >= 2 && stem.chars().all(|c| c.is_ascii_alphanumeric()) && nic.starts_with(stem)
        })
    })
}

/// Enabled instances of a unit that are named by a NIC: `ifplugd@eth0.service`.
fn instances(reader: &Reader<'_>, nics: &[Nic], mentions: &mut Vec<Mention>) {
    for directory in ["multi-user.target.wants", "network-online.target.wants", "sysinit.target.wants"] {
        let directory = Path::new("/etc/systemd/system").join(directory);
        for unit in reader.probe.list(&directory).unwrap_or_default() {
            let unit = unit.to_string_lossy().into_owned();
            let Some((_, instance)) = unit.split_once('@') else { continue };
            let instance = instance.rsplit_once('.').map_or(instance, |(name, _)| name);
            if let Some(nic) = nics.iter().find(|nic| nic.name == instance) {
                mentions.push(Mention {
                    at: At { path: directory.join(&unit), line: 0 },
                    nic: nic.name.clone(),
                    text: unit,
                    of: "systemd".to_owned(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fits_wildcard, names, renamed};

    #[test]
    fn a_name_is_a_word_of_its_own() {
        for line in [
            "iifname \"eth0\" accept",
            "net.ipv4.conf.eth0.rp_filter=1",
            "-A INPUT -i eth0 -j ACCEPT",
            "PostUp = iptables -o eth0;",
            "eth0",
            "net/ipv4/conf/eth0/x",
        ] {
            assert!(names(line, "eth0"), "{line}");
        }
        for line in ["eth01", "veth0", "eth0.100", "my-eth0-rule", "eth0_x", ""] {
            assert!(!names(line, "eth0"), "{line}");
        }
    }

    #[test]
    fn a_line_is_written_for_the_bridge() {
        let bridge = |line| renamed(line, "eth0", "xenbr0");
        assert_eq!(bridge("iifname \"eth0\" accept").as_deref(), Some("iifname \"xenbr0\" accept"));
        assert_eq!(
            bridge("-A FORWARD -i eth0 -o eth0.5 -o eth0").as_deref(),
            Some("-A FORWARD -i xenbr0 -o eth0.5 -o xenbr0")
        );
        assert_eq!(bridge("-A INPUT -i eth+"), None);
        assert_eq!(bridge(""), None);
    }

    #[test]
    fn a_wildcard_of_a_firewall_names_what_begins_so() {
        assert!(fits_wildcard("-A INPUT -i en+ -j ACCEPT", "eno1"));
        assert!(fits_wildcard("iifname \"en*\" accept", "eno1"));
        assert!(!fits_wildcard("-A INPUT -i veth+ -j ACCEPT", "eth0"));
        assert!(!fits_wildcard("iifname * accept", "eth0"));
    }
}
