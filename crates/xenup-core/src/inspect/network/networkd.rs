//! What systemd-networkd has for the NICs: its files, and how DHCP servers know its links.
//!
//! Decides: which files are kept, masks and drop-ins included, and what `networkctl status` says of a client.
//! Never: decides which file is for a link (see `crate::network::networkd`).

use std::path::{Path, PathBuf};

use xenup_machine::process::Query;

use super::super::facts::{ConfigFile, NetworkdClient};
use super::super::reader::Reader;
use super::keep;

/// The kinds of files that are kept.
const ENDS: [&str; 3] = [".network", ".netdev", ".link"];

/// Keeps the files of these directories, each with its drop-ins. What systemd itself brings as `.link` files names
/// links, and no change of ours depends on it.
pub(super) fn keep_files(reader: &Reader<'_>, files: &mut Vec<ConfigFile>, directories: &[&str]) {
    for directory in directories {
        let names = reader.list(directory);
        for end in ENDS.into_iter().filter(|end| !directory.starts_with("/usr") || *end != ".link") {
            let folder = format!("{end}.d");
            for name in names.iter().filter(|name| !name.starts_with('.')) {
                let path = Path::new(directory).join(name);
                if name.ends_with(end) {
                    keep_one(reader, files, path);
                } else if name.ends_with(&folder) {
                    for part in reader.ending(&path.to_string_lossy(), ".conf") {
                        keep_one(reader, files, part);
                    }
                }
            }
        }
    }
}

/// A link to /dev/null masks a file, as an empty one does.
fn keep_one(reader: &Reader<'_>, files: &mut Vec<ConfigFile>, path: PathBuf) {
    if reader.link(&path).as_deref() == Some(Path::new("/dev/null")) {
        files.push(ConfigFile { path, text: String::new() });
    } else if let Some(bytes) = reader.bytes(&path) {
        keep(reader, files, &path, bytes);
    }
}

/// Returns what networkctl says of the DHCP clients on a link; `None` where it has none.
pub(super) fn client(reader: &Reader<'_>, link: &str) -> Option<NetworkdClient> {
    let said = reader.answer(&Query::new("networkctl", ["--no-pager", "--lines=0", "status", link]))?;
    let client = identities(link, &said.text());
    (client.iaid4.is_some() || client.iaid6.is_some()).then_some(client)
}

/// systemd 252 writes `DHCP4 Client ID: IAID:0x…/DUID` and `DHCP6 Client IAID: 0x…`, later ones `DHCPv4`, `DHCPv6`.
fn identities(link: &str, status: &str) -> NetworkdClient {
    let value = |labels: [&str; 2]| {
        let line =
            status.lines().map(str::trim).find(|line| labels.iter().any(|label| line.starts_with(label)))?;
        let hex = line.split_once("0x")?.1;
        let hex = hex.split(|c: char| !c.is_ascii_hexdigit()).next()?;
        u32::from_str_radix(hex, 16).ok()
    };
    NetworkdClient {
        link: link.to_owned(),
        iaid4: value(["DHCP4 Client ID: IAID:", "DHCPv4 Client ID: IAID:"]),
        iaid6: value(["DHCP6 Client IAID:", "DHCPv6 Client IAID:"]),
    }
}

#[cfg(test)]
mod tests {
    use super::identities;

    #[test]
    fn identities_in_the_words_of_both_releases() {
        let twelve = "          State: routable (configured)\n               DHCP4 Client ID: IAID:0x73995354/DUID\n\
                      \x20            DHCP6 Client IAID: 0x00000001\n";
        let thirteen =
            "            DHCPv4 Client ID: IAID:0x73995354/DUID\n          DHCPv6 Client IAID: 0x1\n";
        for text in [twelve, thirteen] {
            let client = identities("eno1", text);
            assert_eq!((client.iaid4, client.iaid6), (Some(0x7399_5354), Some(1)), "{text}");
        }
        let by_mac = identities("eno1", "   DHCP4 Client ID: 52:54:00:aa:bb:cc\n");
        assert_eq!((by_mac.iaid4, by_mac.iaid6), (None, None));
    }
}
