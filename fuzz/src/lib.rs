//! Each parser of what xenup did not write, as a function of bytes that must return, whatever they are.
//!
//! Decides: which parsers there are, and what is asked of each beyond not falling: laws that hold for any input.
//! Never: judges what a parser made of its input; the cases do.

mod disk;
mod guest;
mod probe;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_core::host::Host;
use xenup_core::inspect::{Surroundings, findings, gather};
use xenup_core::install::manifest::HEAD;
use xenup_core::install::{Answers, Manifest};
use xenup_core::kernel::build::progress::{Progress, planned};
use xenup_core::kernel::build::record::Built;
use xenup_core::kernel::explain;
use xenup_core::kernel::hardware::Aliases;
use xenup_core::kernel::kconfig::{self, Values};
use xenup_core::kernel::profile::Part;
use xenup_core::network::import;
use xenup_core::network::interfaces::{BridgeAddress, BridgeRequest, Request, bridge, load, undo};
use xenup_core::network::show::Picture;
use xenup_core::packages::AptSimulation;
use xenup_engine::digest::Digest;
use xenup_engine::{grubenv, journal, packages, store, validate};
use xenup_image::mirror::Mirror;
use xenup_rehearse::qmp;
use xenup_rehearse::scenario::tree;
use xenup_system::proc_stat::ProcStat;

use probe::Files;

/// A parser.
pub type Parser = fn(&[u8]);

/// All of them, by the name that `cargo xtask fuzz` knows.
pub const PARSERS: &[(&str, Parser)] = &[
    ("answers-toml", answers_toml),
    ("apt-config", |bytes| mirror("", &text(bytes))),
    ("apt-extended-states", |bytes| inspect("/var/lib/apt/extended_states", bytes)),
    ("apt-simulation", apt_simulation),
    ("apt-sources", |bytes| inspect("/etc/apt/sources.list.d/x.sources", bytes)),
    ("apt-sources-list", |bytes| inspect("/etc/apt/sources.list", bytes)),
    ("apt-targets", |bytes| mirror(&text(bytes), "")),
    ("audit", guest::audit),
    ("cmdline", |bytes| inspect("/proc/cmdline", bytes)),
    ("cpuinfo", |bytes| inspect("/proc/cpuinfo", bytes)),
    ("crypttab", |bytes| inspect("/etc/crypttab", bytes)),
    ("disk", disk::read),
    ("dpkg-status", |bytes| inspect("/var/lib/dpkg/status", bytes)),
    ("fstab", |bytes| inspect("/etc/fstab", bytes)),
    ("elf-notes", guest::notes),
    ("filesystem-btrfs", guest::rows),
    ("filesystem-ext", guest::rows),
    ("filesystem-xfs", guest::rows),
    ("grub-cfg", grub_cfg),
    ("grub-default", |bytes| inspect("/etc/default/grub", bytes)),
    ("grubenv", grubenv),
    ("guest-grub", guest::grub),
    ("guest-menus", guest::menus),
    ("host-toml", host_toml),
    ("interfaces", interfaces),
    ("journal", journal),
    ("kernel", guest::kernel),
    ("kconfig", kconfig),
    ("kernel-built", |bytes| drop(Built::parse(bytes))),
    ("kernel-config", |bytes| inspect("/boot/config-6.1.0-1-amd64", bytes)),
    ("kernel-profile", |bytes| drop(Part::parse("x", "x.toml", &text(bytes)))),
    ("listing", listing),
    ("locks", |bytes| inspect("/proc/locks", bytes)),
    ("make-output", make_output),
    ("medium-manifest", medium_manifest),
    ("modules-alias", modules_alias),
    ("mountinfo", |bytes| inspect("/proc/self/mountinfo", bytes)),
    ("netlink", |bytes| xenup_system::fuzzing::netlink(bytes)),
    ("netplan", |bytes| inspect("/etc/netplan/50-x.yaml", bytes)),
    ("network-manager", |bytes| {
        inspect("/etc/NetworkManager/system-connections/x.nmconnection", bytes);
    }),
    ("network-script", network_script),
    ("networkd", |bytes| inspect("/etc/systemd/network/10-x.network", bytes)),
    ("networkd-netdev", |bytes| inspect("/etc/systemd/network/10-x.netdev", bytes)),
    ("os-release", |bytes| inspect("/etc/os-release", bytes)),
    ("picture", picture),
    ("plan", plan),
    ("proc-stat", |bytes| drop(ProcStat::parse(&text(bytes)))),
    ("proc-tcp", proc_tcp),
    ("qcow2", guest::qcow2),
    ("qmp", |bytes| drop(qmp::Message::parse(bytes))),
    ("systemd-unit", |bytes| inspect("/etc/systemd/system/x.service", bytes)),
    ("tls", tls),
    ("udev-names", |bytes| import(&[("/etc/udev/rules.d/70-persistent-net.rules", bytes), XEND])),
    ("table-gpt", guest::rows),
    ("table-mbr", guest::rows),
    ("xend-config", |bytes| import(&[("/etc/xen/xend-config.sxp", bytes)])),
    ("xl-cfg", guest::file),
    ("xm", guest::xm),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A tree of this one Kconfig file: each of its symbols can be described, and what keeps it off explained.
fn kconfig(bytes: &[u8]) {
    let Ok(tree) = kconfig::read(&Files::debian().with("/Kconfig", bytes)) else { return };
    let values = Values::parse(&text(bytes));
    for symbol in tree.symbols().iter().take(64) {
        let _ = explain::why_off(&symbol.name, &tree, &values);
    }
}

/// depmod's list, asked for a device whose name is its own first line.
fn modules_alias(bytes: &[u8]) {
    let text = text(bytes);
    let mut aliases = Aliases::parse(&text);
    aliases.built_in(bytes);
    let _ = aliases.modules(text.lines().next().unwrap_or_default());
}

/// A machine with this one file, and what a small Debian has beside it.
fn inspect(path: &str, bytes: &[u8]) {
    let files = Files::debian().with(path, bytes);
    let facts = gather(&files, &Surroundings::default());
    let _ = findings(&facts, None);
    // What is written down can be read back.
    let json = serde_json::to_vec(&facts).expect("facts are JSON");
    let again: xenup_core::inspect::Facts = serde_json::from_slice(&json).expect("facts are read back");
    assert_eq!(again, facts);
}

/// A configuration of xend that calls network-bridge.
const XEND: (&str, &[u8]) = ("/etc/xen/xend-config.sxp", b"(network-script 'own netdev=eth0')\n");

/// An old host with these files: the host.toml that comes of it is read back, whatever they hold.
fn import(with: &[(&str, &[u8])]) {
    let files = with.iter().fold(Files::debian(), |files, (path, bytes)| files.with(path, bytes));
    if let Ok(import) = import::import(&files) {
        let host = Host::parse(Path::new("host.toml"), import.host_toml.as_bytes());
        assert_eq!(host.expect("it is a host.toml").bridges.len(), import.bridges.len());
    }
}

/// As a wrapper, and as the network-bridge whose rule is told by its lines.
fn network_script(bytes: &[u8]) {
    import(&[XEND, ("/etc/xen/scripts/own", bytes)]);
    let call: (&str, &[u8]) = (XEND.0, b"(network-script network-bridge)\n");
    import(&[call, ("/etc/xen/scripts/network-bridge", bytes)]);
}

/// Names come from guests: whatever they are, the document is of our own tags alone.
fn picture(bytes: &[u8]) {
    let mut facts = gather(&Files::debian(), &Surroundings::default());
    let mut parts = bytes.splitn(3, |&byte| byte == b'\n').map(text);
    let mut part = || parts.next().unwrap_or_default();
    facts.hostname = part();
    let (name, link) = (part(), part());
    facts.xen.domains.push(xenup_core::inspect::facts::Domain { id: 1, name });
    for name in [link.as_str(), "vif1.0"] {
        let mut drawn = xenup_machine::fake::nic(name, xenup_machine::network::Mac([2, 0, 0, 0, 0, 1]));
        drawn.master = Some(link.clone());
        facts.network.kernel.links.push(drawn);
    }
    let picture = Picture::of(&facts);
    assert!(!picture.text().is_empty());
    let known = ["svg", "title", "rect", "text", "tspan", "polyline"];
    for tag in picture.svg().split('<').skip(1) {
        let name = tag.trim_start_matches('/').split([' ', '>']).next().unwrap_or_default();
        assert!(known.contains(&name), "{name}");
    }
}

fn grub_cfg(bytes: &[u8]) {
    inspect("/boot/grub/grub.cfg", bytes);
    let _ = xenup_core::recovery::linux_entry(&text(bytes));
}

fn grubenv(bytes: &[u8]) {
    inspect("/boot/grub/grubenv", bytes);
    for (name, value) in grubenv::variables(bytes) {
        assert!(grubenv::value(bytes, &name).is_some(), "{name}={value}");
    }
}

/// The same bytes as loader, libc, cache and ldconfig's configuration: what of them is read does not depend on the rest.
fn tls(bytes: &[u8]) {
    let paths =
        ["/lib/ld-linux.so.2", "/lib/libc.so.6", "/lib/tls/libc.so.6", "/etc/ld.so.cache", "/etc/ld.so.conf"];
    let files = paths.into_iter().fold(Files::debian(), |files, path| files.with(path, bytes));
    assert_eq!(xenup_core::tls::Report::of_tree(&files).judged.len(), 2);
}

fn host_toml(bytes: &[u8]) {
    let _ = Host::parse(Path::new("/etc/xenup/host.toml"), bytes);
}

/// An answer file, and the same bytes as a kernel's command line.
fn answers_toml(bytes: &[u8]) {
    let _ = Answers::parse(Path::new("answers.toml"), bytes);
    let _ = Answers::default().and_command_line(&text(bytes));
}

/// What is read has chunks and holes that lie within the disk, one behind the other.
fn medium_manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    let mut parts: Vec<(u64, u64)> = manifest.body().map(|chunk| (chunk.at, chunk.length)).collect();
    parts.extend(manifest.holes());
    parts.sort_unstable();
    let end = parts.iter().fold(HEAD, |at, (start, length)| {
        assert_eq!(at, *start);
        start + length
    });
    assert_eq!(end, manifest.body_end());
}

fn mirror(targets: &str, config: &str) {
    let _ = Mirror::from_apt(targets, config);
}

fn apt_simulation(bytes: &[u8]) {
    let text = text(bytes);
    let simulation = AptSimulation::parse(&text);
    let wanted: Vec<String> = simulation.installs.iter().map(|one| one.name.clone()).collect();
    let _ = simulation.changes(&wanted);
    let _ = packages::check_install(&text, &[], &[]);
    let _ = packages::check_removal(&text, &["libxen:amd64"]);
}

/// The first file of a tree that the others are read by: a rewrite of it undoes itself.
fn interfaces(bytes: &[u8]) {
    const ROOT: &str = "/etc/network/interfaces";
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    files.insert(ROOT.into(), bytes.to_vec());
    let Ok(tree) = load(&files, Path::new(ROOT)) else { return };
    // Of a file that has lines of ours the undo leads to what it was before those.
    if std::str::from_utf8(bytes).is_ok_and(|text| undo(text) != text) {
        return;
    }
    let names: Vec<String> = tree.stanzas().map(|view| view.stanza.name.clone()).collect();
    for name in names.into_iter().take(4) {
        for address in [BridgeAddress::Keep, BridgeAddress::None] {
            let Ok(rewrite) = bridge(&tree, &request(&name, address)) else { continue };
            for edit in rewrite.edits.iter().filter(|edit| edit.path == Path::new(ROOT)) {
                let after = String::from_utf8(edit.after.clone()).expect("a rewrite is UTF-8");
                assert_eq!(undo(&after).as_bytes(), bytes, "undone, it is as before");
            }
        }
    }
}

fn request(port: &str, address: BridgeAddress) -> Request {
    let bridge = BridgeRequest {
        name: "xenbr0".to_owned(),
        ports: vec![port.to_owned()],
        mac: None,
        address,
        stp: false,
        forward_delay: 0,
        max_wait: 0,
        wait_port: None,
        vlans: Vec::new(),
        routes: Vec::new(),
    };
    Request { bridges: vec![bridge], file: "/etc/network/interfaces.d/xenup".into() }
}

/// As it is, and with check digits that hold, so that what is behind them is reached.
fn journal(bytes: &[u8]) {
    let _ = journal::parse(bytes);
    let mut signed = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let json = line.splitn(2, |&byte| byte == b' ').nth(1).unwrap_or(line);
        signed.extend_from_slice(&Digest::of(json).as_str().as_bytes()[..16]);
        signed.push(b' ');
        signed.extend_from_slice(json);
        signed.push(b'\n');
    }
    let _ = journal::parse(&signed);
}

fn plan(bytes: &[u8]) {
    if let Ok(plan) = store::parse_plan(bytes) {
        let _ = validate::validate(&plan);
        let json = serde_json::to_vec(&plan).expect("a plan is JSON");
        assert_eq!(store::parse_plan(&json).expect("it is read back"), plan);
    }
}

fn listing(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |&byte| byte == 1);
    let mut part = || parts.next().unwrap_or_default();
    let (entries, digests, xattrs) = (part(), part(), part());
    if let Ok(tree) = tree::parse(entries, digests, xattrs) {
        assert!(tree::compare(&tree, &tree).differences.is_empty(), "a tree is as itself");
    }
}

/// What make says, as progress: never more than all, and a meter that fits its terminal.
fn make_output(bytes: &[u8]) {
    let text = text(bytes);
    let mut progress = Progress::new(Some(text.lines().map(planned).sum()));
    for line in text.lines() {
        progress.take(line);
        let elapsed = std::time::Duration::from_secs(progress.done());
        assert!(progress.meter(elapsed, 79).chars().count() < 80);
        assert!(progress.hundredths().is_none_or(|hundredths| hundredths < 100));
        drop(progress.line(elapsed));
    }
}

/// The kernel's list of connections, as the search for one's own session reads it.
fn proc_tcp(bytes: &[u8]) {
    let files = Files::session().with("/proc/net/tcp", bytes).with("/proc/net/tcp6", bytes);
    let _ = xenup_system::session::session(&files, 950, None);
}
