//! Where this session comes from. Decides by SSH_CONNECTION, its own or an ancestor's; never by who(1).

use std::net::IpAddr;

use xenup_machine::network::Network;

use super::facts::Session;
use super::reader::Reader;

/// More ancestors than any session has.
const ANCESTORS_MAX: usize = 64;

/// Gathers the session. `ssh_connection` is the variable of that name; sudo(8) takes it away, so that it is
/// looked for in the environments of the ancestors too.
pub(super) fn gather(
    reader: &Reader<'_>,
    ssh_connection: Option<&str>,
    network: &Network,
) -> Option<Session> {
    let mut session = match ssh_connection.and_then(parse) {
        Some(session) => session,
        None => parse(&inherited(reader)?)?,
    };
    let ours = network.addresses.iter().find(|entry| entry.address.ip == session.server);
    session.link = ours.map(|entry| entry.link.clone());
    Some(session)
}

/// Reads `SSH_CONNECTION` (ssh(1)): client address, its port, our address, our port.
fn parse(value: &str) -> Option<Session> {
    let mut words = value.split_ascii_whitespace();
    let client = address(words.next()?)?;
    let _client_port = words.next()?;
    let server = address(words.next()?)?;
    let port = words.next()?.parse().ok()?;
    Some(Session { client, server, port, link: None })
}

/// A link-local address carries its scope, and an IPv4 client of an IPv6 socket is a mapped address.
fn address(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.split('%').next()?.parse().ok()?;
    Some(ip.to_canonical())
}

fn inherited(reader: &Reader<'_>) -> Option<String> {
    let mut process = "self".to_owned();
    for _ in 0..ANCESTORS_MAX {
        if let Some(environment) = reader.quiet(format!("/proc/{process}/environ")) {
            let found = environment.split('\0').find_map(|word| word.strip_prefix("SSH_CONNECTION="));
            if let Some(value) = found {
                return Some(value.to_owned());
            }
        }
        process = parent(&reader.quiet(format!("/proc/{process}/stat"))?)?;
        if process == "0" || process == "1" {
            return None;
        }
    }
    None
}

/// Returns the fourth field of /proc/PID/stat; the second is in parentheses and may contain anything.
pub(super) fn parent(stat: &str) -> Option<String> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{parent, parse};

    #[test]
    fn four_words_make_a_session() {
        let session = parse("198.51.100.7 50022 192.0.2.10 22").unwrap();
        assert_eq!((session.client.to_string(), session.port), ("198.51.100.7".to_owned(), 22));
        let scoped = parse("fe80::1%eno1 50022 fe80::2%eno1 2222").unwrap();
        assert_eq!(scoped.server.to_string(), "fe80::2");
        assert_eq!(parse("::ffff:192.0.2.1 1 ::ffff:192.0.2.2 22").unwrap().client.to_string(), "192.0.2.1");
        for bad in ["", "192.0.2.1", "192.0.2.1 1 x 22", "192.0.2.1 1 192.0.2.2 99999"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_parent_is_found_behind_a_strange_name() {
        assert_eq!(parent("12 (a) b (c)) S 7 12 12").as_deref(), Some("7"));
        assert_eq!(parent("torn"), None);
    }
}
