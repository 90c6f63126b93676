//! Commands in `up`, `down` and their kin that name the NIC, and what they have to say once it is a port.
//! It decides what is sure and what a person must look at. It never runs or fully parses a shell.

/// What a command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The wire: offloads, queues, wake-on-LAN. It stays with the NIC.
    Link,
    /// Addresses, routes, neighbours, their sysctls. It moves to the bridge, and needs it to exist.
    Network,
    /// Packet filters: they see the bridge, and may be set before it exists.
    Filter,
    /// Nobody knows but its author.
    Unknown,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// The phase it runs in now.
    pub phase: String,
    /// The command for the bridge's stanza.
    pub command: String,
    /// Whether it works on the wire alone.
    pub link_only: bool,
    /// Set where it names the port and nothing sure is known: what it would say with `$IFACE`.
    pub proposal: Option<String>,
}

/// Returns what the command says in the stanza of a bridge over `port`.
///
/// `$IFACE` is the bridge there. Commands before the bridge exists (`pre-up`) or after it is gone (`post-down`) that
/// need it run in `up` and `down`.
pub(super) fn moved(phase: &str, command: &str, port: &str) -> Moved {
    let segments = segments(command);
    let levels: Vec<Level> = segments.iter().map(|segment| level(segment)).collect();
    let mut out = String::new();
    let mut proposal = None;
    let mut needs_bridge = false;
    for (segment, level) in segments.iter().zip(&levels) {
        let names_port = mentions(segment, port);
        let names_iface = segment.contains("$IFACE") || segment.contains("${IFACE}");
        match level {
            Level::Link => out.push_str(&segment.replace("${IFACE}", port).replace("$IFACE", port)),
            Level::Network | Level::Filter => {
                needs_bridge |= *level == Level::Network && (names_port || names_iface);
                out.push_str(&replace(segment, port, "$IFACE"));
            }
            Level::Unknown => {
                if names_port {
                    proposal = Some(replace(command, port, "$IFACE"));
                }
                out.push_str(segment);
            }
        }
    }
    let phase = match phase {
        "pre-up" if needs_bridge => "up",
        "post-down" if needs_bridge => "down",
        other => other,
    };
    let wire = segments.iter().any(|segment| !is_neutral(segment));
    let link_only = wire && levels.iter().all(|level| *level == Level::Link);
    Moved { phase: phase.to_owned(), command: out, link_only, proposal }
}

/// Whether `name` stands in `text` as an interface name: not inside a longer one, and not as the parent of a VLAN.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    occurrences(text, name).next().is_some()
}

/// Replaces every mention of `name`.
pub(super) fn replace(text: &str, name: &str, with: &str) -> String {
    let mut out = String::new();
    let mut done = 0;
    for at in occurrences(text, name) {
        out.push_str(&text[done..at]);
        out.push_str(with);
        done = at + name.len();
    }
    out.push_str(&text[done..]);
    out
}

fn occurrences<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '@');
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let mut after = text[at + name.len()..].chars();
        let (next, second) = (after.next(), after.next());
        // eno1.5 is a VLAN; net.ipv4.conf.eno1.rp_filter names eno1.
        let vlan = next == Some('.') && second.is_some_and(|c| c.is_ascii_digit());
        !name.is_empty() && !before.is_some_and(inside) && !next.is_some_and(inside) && !vlan
    })
}

/// The simple commands of a line, each with the separator behind it. Quotes are not followed: a segment that holds
/// one is never judged.
fn segments(command: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let bytes = command.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let redirect = at > 0 && matches!(bytes[at - 1], b'>' | b'<');
        if matches!(bytes[at], b';' | b'|' | b'&') && !redirect {
            while at < bytes.len() && matches!(bytes[at], b';' | b'|' | b'&') {
                at += 1;
            }
            out.push(&command[start..at]);
            start = at;
        } else {
            at += 1;
        }
    }
    if start < command.len() {
        out.push(&command[start..]);
    }
    out
}

fn is_neutral(segment: &str) -> bool {
    matches!(program(segment).0, "true" | "false" | ":" | "sleep" | "modprobe")
}

/// The program of a segment, without its path, and its arguments.
fn program(segment: &str) -> (&str, Vec<&str>) {
    let segment = segment.trim_matches([' ', '\t', ';', '&', '|', '(', ')', '{', '}']);
    let mut words = segment.split_ascii_whitespace().skip_while(|word| {
        matches!(*word, "if" | "then" | "else" | "do" | "!" | "-" | "sudo" | "exec" | "nice")
            || (word.contains('=') && !word.contains('/') && !word.starts_with('-'))
    });
    let program = words.next().unwrap_or_default();
    (program.rsplit('/').next().unwrap_or(program), words.collect())
}

fn level(segment: &str) -> Level {
    let (program, arguments) = program(segment);
    if is_neutral(segment) {
        return Level::Link;
    }
    if segment.contains(['\'', '"', '`']) && !matches!(program, "iptables" | "ip6tables" | "echo") {
        return Level::Unknown;
    }
    match program {
        "ethtool" | "mii-tool" | "iw" | "iwconfig" | "tc" => Level::Link,
        "ip" => ip_level(&arguments),
        "route" | "arp" | "arping" | "ndisc6" | "sysctl" => Level::Network,
        "iptables" | "ip6tables" | "iptables-legacy" | "iptables-nft" | "nft" | "ebtables" | "ufw" => {
            Level::Filter
        }
        "ifconfig" if arguments.iter().any(|word| matches!(*word, "netmask" | "inet" | "inet6" | "add")) => {
            Level::Network
        }
        "ifconfig" => Level::Link,
        "echo" | "printf" | "test" | "[" | "cat" | "tee" if segment.contains("/proc/sys/net/") => {
            Level::Network
        }
        "echo" | "printf" | "test" | "[" | "cat" | "tee" if segment.contains("/sys/class/net/") => {
            Level::Link
        }
        _ => Level::Unknown,
    }
}

fn ip_level(arguments: &[&str]) -> Level {
    let mut words = arguments.iter().copied();
    let object = words.find(|word| !word.starts_with('-')).unwrap_or_default();
    let is = |full: &str| !object.is_empty() && full.starts_with(object);
    // The order is ip(8)'s own: `ip a` is address, `ip l` is link, `ip r` is route.
    if is("address") || is("route") || is("rule") || is("neighbour") || is("neighbor") || is("maddress") {
        Level::Network
    } else if is("link") {
        Level::Link
    } else {
        Level::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_move_with_what_they_work_on() {
        for (phase, command, expected_phase, expected, proposal) in [
            (
                "up",
                "ip route add 10.0.0.0/8 via 192.0.2.1 dev eno1",
                "up",
                "ip route add 10.0.0.0/8 via 192.0.2.1 dev $IFACE",
                None,
            ),
            (
                "up",
                "ip -6 route add 2001:db8::/32 dev eno1 || true",
                "up",
                "ip -6 route add 2001:db8::/32 dev $IFACE || true",
                None,
            ),
            ("up", "ethtool -K eno1 tso off", "up", "ethtool -K eno1 tso off", None),
            ("up", "/sbin/ethtool -s $IFACE wol g", "up", "/sbin/ethtool -s eno1 wol g", None),
            ("up", "ip link set dev ${IFACE} promisc on", "up", "ip link set dev eno1 promisc on", None),
            (
                "pre-up",
                "sysctl -w net.ipv6.conf.eno1.accept_ra=0",
                "up",
                "sysctl -w net.ipv6.conf.$IFACE.accept_ra=0",
                None,
            ),
            (
                "pre-up",
                "iptables-restore < /etc/iptables.rules",
                "pre-up",
                "iptables-restore < /etc/iptables.rules",
                None,
            ),
            (
                "pre-up",
                "iptables -A INPUT -i eno1 -j DROP",
                "pre-up",
                "iptables -A INPUT -i $IFACE -j DROP",
                None,
            ),
            ("post-down", "ip rule del iif eno1 table 5", "down", "ip rule del iif $IFACE table 5", None),
            (
                "up",
                "/usr/local/sbin/shape eno1",
                "up",
                "/usr/local/sbin/shape eno1",
                Some("/usr/local/sbin/shape $IFACE"),
            ),
            (
                "up",
                "sh -c 'ip route add default dev eno1'",
                "up",
                "sh -c 'ip route add default dev eno1'",
                Some("sh -c 'ip route add default dev $IFACE'"),
            ),
            (
                "up",
                "ip link add link eno1 name eno1.5 type vlan id 5",
                "up",
                "ip link add link eno1 name eno1.5 type vlan id 5",
                None,
            ),
            ("up", "ip route add 10.0.0.0/8 dev eno1.5", "up", "ip route add 10.0.0.0/8 dev eno1.5", None),
            (
                "up",
                "ip addr add 192.0.2.9/24 dev eno1; ethtool -K eno1 gro off",
                "up",
                "ip addr add 192.0.2.9/24 dev $IFACE; ethtool -K eno1 gro off",
                None,
            ),
            (
                "up",
                "echo 1 > /proc/sys/net/ipv4/conf/eno1/proxy_arp",
                "up",
                "echo 1 > /proc/sys/net/ipv4/conf/$IFACE/proxy_arp",
                None,
            ),
            ("up", "logger up", "up", "logger up", None),
            (
                "up",
                "ip route add 10.0.0.0/8 dev eno12 2>&1",
                "up",
                "ip route add 10.0.0.0/8 dev eno12 2>&1",
                None,
            ),
        ] {
            let moved = moved(phase, command, "eno1");
            assert_eq!(moved.command, expected);
            assert_eq!(moved.phase, expected_phase, "{command}");
            assert_eq!(moved.proposal.as_deref(), proposal, "{command}");
        }
    }

    #[test]
    fn what_works_on_the_wire_alone_is_told_apart() {
        for (command, expected) in [
            ("ethtool -K eno1 tso off", true),
            ("ethtool -K eno1 tso off || true", true),
            ("ip link set eno1 txqueuelen 5000; ethtool -G eno1 rx 4096", true),
            ("ip addr add 192.0.2.9/24 dev eno1", false),
            ("logger up", false),
            ("", false),
        ] {
            assert_eq!(moved("up", command, "eno1").link_only, expected, "{command}");
        }
    }
}
