//! dpkg's and apt's own files: what is installed, and from where.
//!
//! Decides: which packages matter here, and which are half done.
//! Never: calls dpkg or apt; their files are read as deb822 paragraphs (deb822(5), dpkg-query(1)).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::facts::{AptSource, At, Package, Packages};
use super::reader::Reader;

/// Beginnings of the names that matter to a plan.
const PREFIXES: [&str; 21] = [
    "xen-",
    "libxen",
    "linux-image-",
    "grub-",
    "shim-",
    "qemu-system",
    "systemd-boot",
    "ifupdown",
    "netplan",
    "libnetplan",
    "isc-dhcp-client",
    "dhcpcd",
    "network-manager",
    "bridge-utils",
    "dropbear",
    "clevis",
    "kexec-tools",
    "cloud-init",
    "docker",
    "initramfs-tools",
    "xenup",
];

/// Whole names that matter to a plan.
const NAMES: [&str; 25] = [
    "apt",
    "containerd",
    "dnsmasq-base",
    "dpkg",
    "dracut",
    "extlinux",
    "fail2ban",
    "init-system-helpers",
    "iproute2",
    "iptables",
    "lilo",
    "nftables",
    "openssh-server",
    "podman",
    "python3",
    "refind",
    "resolvconf",
    "syslinux",
    "systemd",
    "systemd-sysv",
    "sysvinit-core",
    "udev",
    "unattended-upgrades",
    "vlan",
    "ifenslave",
];

/// Gathers the packages, and dpkg's native architecture (that of the package dpkg; empty without one).
pub(super) fn gather(reader: &Reader<'_>) -> (Packages, String) {
    let (mut packages, architecture) = match reader.text("/var/lib/dpkg/status") {
        Some(text) => status(&text),
        None => Default::default(),
    };
    if let Some(text) = reader.text("/var/lib/apt/extended_states") {
        let auto = auto_marks(&text);
        for package in &mut packages.relevant {
            package.auto = auto.contains(package.name.as_str());
        }
    }
    packages.sources = sources(reader);
    (packages, architecture)
}

/// Returns what `/var/lib/dpkg/status` says. An unknown field or a torn last paragraph is passed over.
pub(crate) fn status(text: &str) -> (Packages, String) {
    let mut packages = Packages::default();
    let mut architecture = String::new();
    for paragraph in paragraphs(text) {
        let Some(name) = paragraph.name else { continue };
        let mut words = paragraph.status.split_ascii_whitespace();
        if name == "dpkg" {
            paragraph.architecture.clone_into(&mut architecture);
        }
        let (want, flag, state) = (words.next(), words.next(), words.next().unwrap_or_default());
        if state == "installed" {
            packages.installed += 1;
        }
        if flag == Some("reinstreq") || !matches!(state, "installed" | "config-files" | "not-installed" | "")
        {
            packages.broken.push((name.to_owned(), state.to_owned()));
        }
        if is_relevant(name) && !matches!(state, "not-installed" | "") {
            packages.relevant.push(Package {
                name: name.to_owned(),
                version: paragraph.version.to_owned(),
                status: state.to_owned(),
                auto: false,
                held: want == Some("hold"),
            });
        }
    }
    (packages, architecture)
}

fn is_relevant(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

#[derive(Default)]
struct Paragraph<'a> {
    name: Option<&'a str>,
    status: &'a str,
    version: &'a str,
    architecture: &'a str,
    auto: bool,
}

/// The paragraphs of a deb822 text, only the fields that are read here.
fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let mut lines = text.lines();
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut paragraph = Paragraph::default();
        loop {
            let Some(line) = lines.next() else {
                ended = true;
                return Some(paragraph);
            };
            // The first byte decides: most lines are of no interest.
            match line.as_bytes().first() {
                None => return Some(paragraph),
                Some(b'P' | b'S' | b'V' | b'A') => paragraph.take(line),
                Some(_) => {}
            }
        }
    })
}

impl<'a> Paragraph<'a> {
    fn take(&mut self, line: &'a str) {
        if let Some(name) = line.strip_prefix("Package:") {
            self.name = Some(name.trim());
        } else if let Some(status) = line.strip_prefix("Status:") {
            self.status = status.trim();
        } else if let Some(version) = line.strip_prefix("Version:") {
            self.version = version.trim();
        } else if let Some(architecture) = line.strip_prefix("Architecture:") {
            self.architecture = architecture.trim();
        } else if let Some(auto) = line.strip_prefix("Auto-Installed:") {
            self.auto = auto.trim() == "1";
        }
    }
}

/// Returns the names that `/var/lib/apt/extended_states` marks as automatically installed.
pub(crate) fn auto_marks(text: &str) -> BTreeSet<&str> {
    paragraphs(text).filter(|paragraph| paragraph.auto).filter_map(|paragraph| paragraph.name).collect()
}

fn sources(reader: &Reader<'_>) -> Vec<AptSource> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(reader.ending("/etc/apt/sources.list.d", ".list"));
    files.extend(reader.ending("/etc/apt/sources.list.d", ".sources"));
    let mut sources = Vec::new();
    for path in files {
        let Some(text) = reader.text(&path) else { continue };
        let deb822 = path.extension().is_some_and(|end| end == "sources");
        sources.extend(if deb822 { deb822_sources(&path, &text) } else { line_sources(&path, &text) });
    }
    let lists = reader.list("/var/lib/apt/lists");
    let mut origins = BTreeMap::new();
    for source in &mut sources {
        let Some(list) = list_of(source, &lists) else { continue };
        let origin = origins.entry(list.to_owned()).or_insert_with(|| {
            let text = reader.text(Path::new("/var/lib/apt/lists").join(list))?;
            text.lines().find_map(|line| line.strip_prefix("Origin:")).map(|word| word.trim().to_owned())
        });
        source.origin.clone_from(origin);
    }
    sources
}

/// apt's name for a source's Release file: the address without its scheme, `_` for `/`.
fn list_of<'a>(source: &AptSource, lists: &'a [String]) -> Option<&'a str> {
    let address = source.uri.split_once("://").map_or(source.uri.as_str(), |(_, rest)| rest);
    let dist = if source.suite.ends_with('/') {
        source.suite.trim_end_matches('/').to_owned()
    } else {
        format!("dists/{}", source.suite)
    };
    let stem = format!("{}/{dist}", address.trim_end_matches('/')).replace('/', "_");
    lists
        .iter()
        .find(|name| name.strip_prefix(&stem).is_some_and(|rest| matches!(rest, "_InRelease" | "_Release")))
        .map(String::as_str)
}

/// Returns the binary sources of a one-line-style file (sources.list(5)).
pub(super) fn line_sources(path: &Path, text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let mut words = rest.split_ascii_whitespace();
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            sources.push(source(path, number, uri, suite));
        }
    }
    sources
}

fn source(path: &Path, line: u32, uri: &str, suite: &str) -> AptSource {
    let at = At { path: path.to_owned(), line };
    AptSource { at, uri: uri.to_owned(), suite: suite.to_owned(), origin: None }
}

/// Returns the enabled binary sources of a deb822-style file (sources.list(5)).
pub(super) fn deb822_sources(path: &Path, text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    let mut fields: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut last = String::new();
    for (number, line) in (1..).zip(text.lines().chain(std::iter::once(""))) {
        if line.trim().is_empty() {
            sources.extend(paragraph_sources(path, &std::mem::take(&mut fields)));
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.get_mut(&last) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.trim().to_ascii_lowercase();
            fields.insert(last.clone(), (number, value.trim().to_owned()));
        }
    }
    sources
}

fn paragraph_sources(path: &Path, fields: &BTreeMap<String, (u32, String)>) -> Vec<AptSource> {
    let words = |name: &str| -> Vec<&str> {
        fields.get(name).map(|(_, value)| value.split_ascii_whitespace().collect()).unwrap_or_default()
    };
    let off = fields.get("enabled").is_some_and(|(_, value)| {
        matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "off" | "0")
    });
    if off || !words("types").contains(&"deb") {
        return Vec::new();
    }
    let line = fields.get("uris").map_or(0, |(line, _)| *line);
    let mut sources = Vec::new();
    for uri in words("uris") {
        sources.extend(words("suites").into_iter().map(|suite| source(path, line, uri, suite)));
    }
    sources
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{auto_marks, deb822_sources, line_sources, list_of, status};

    /// From a Debian 12 machine, descriptions and dependencies left out; the last paragraph is torn.
    const STATUS: &str = "\
Package: grub-common
Status: install ok installed
Priority: optional
Section: admin
Architecture: amd64
Source: grub2
Version: 2.06-13+deb12u2
Conffiles:
 /etc/default/grub.d/init-select.cfg 87475dc5f3ec9a9a2a7a7c39b6ff3a7c
Description: GRand Unified Bootloader (common files)
 Package: not-a-package

Package: xen-utils-4.17
Status: hold ok half-configured
Version: 4.17.5+72-g01140da4e8-1

Package: xen-hypervisor-4.14-amd64
Status: deinstall ok config-files
Version: 4.14.6-1

Package: zlib1g
Status: install reinstreq unpacked
Version: 1:1.2.13.dfsg-1

Package: xen-tor";

    #[test]
    fn dpkg_status_is_read_by_paragraphs() {
        let (packages, architecture) = status(STATUS);
        assert_eq!(architecture, "");
        assert_eq!(packages.installed, 1);
        assert_eq!(packages.version("grub-common"), Some("2.06-13+deb12u2"));
        let names: Vec<_> =
            packages.relevant.iter().map(|one| (one.name.as_str(), one.status.as_str(), one.held)).collect();
        assert_eq!(
            names,
            [
                ("grub-common", "installed", false),
                ("xen-utils-4.17", "half-configured", true),
                ("xen-hypervisor-4.14-amd64", "config-files", false)
            ]
        );
        let broken: Vec<_> = packages.broken.iter().map(|(name, state)| (&name[..], &state[..])).collect();
        assert_eq!(broken, [("xen-utils-4.17", "half-configured"), ("zlib1g", "unpacked")]);
    }

    #[test]
    fn auto_marks_are_those_set_to_one() {
        let text =
            "Package: dpkg\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: vim\nAuto-Installed: 0\n";
        assert_eq!(auto_marks(text).into_iter().collect::<Vec<_>>(), ["dpkg"]);
    }

    #[test]
    fn sources_of_both_styles_are_found_with_their_lines_and_lists() {
        let path = Path::new("/etc/apt/sources.list");
        let lines = line_sources(
            path,
            "# deb cdrom:[x] bookworm\ndeb-src http://e.org/debian bookworm main\n\
             deb [arch=amd64 signed-by=/a] http://e.org/debian/ bookworm-updates main # why\n",
        );
        assert_eq!((lines.len(), lines[0].at.line, &lines[0].suite[..]), (1, 3, "bookworm-updates"));
        let lists = ["e.org_debian_dists_bookworm-updates_InRelease".to_owned()];
        assert_eq!(list_of(&lines[0], &lists), Some(&lists[0][..]));
        let flat = line_sources(path, "deb http://e.org/flat ./\n");
        let lists = ["e.org_flat_._Release".to_owned()];
        assert_eq!(list_of(&flat[0], &lists), Some(&lists[0][..]));

        let text = "Types: deb deb-src\nURIs: http://e.org/debian\n# note\nSuites: bookworm\n bookworm-updates\n\
                    Components: main\n\nTypes: deb\nURIs: http://off.org\nSuites: x\nEnabled: no\n";
        let found = deb822_sources(path, text);
        let suites: Vec<_> = found.iter().map(|source| (source.at.line, &source.suite[..])).collect();
        assert_eq!(suites, [(2, "bookworm"), (2, "bookworm-updates")]);
    }
}
