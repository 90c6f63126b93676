//! A file system as a list of paths, and what differs between two of them.
//!
//! Decides which differences count after a rollback, and gives the reason for each that does not. Pure: who reads the
//! disk is in `disk`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a path is, beside its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// find(1)'s letter: f, d, l, p, s, b, c.
    pub kind: char,
    /// The permission bits, octal.
    pub mode: String,
    /// Numeric owner and group, "0:0".
    pub owner: String,
    /// Seconds since 1970 with their fraction, as find(1) prints them.
    pub mtime: String,
    /// Where a link leads; empty otherwise.
    pub target: String,
    /// SHA-256 of a file's content; empty otherwise.
    pub digest: String,
    /// Extended attributes, as getfattr(1) prints them; empty where there are none.
    pub xattrs: String,
}

/// A file system: paths without a leading slash.
pub type Tree = BTreeMap<String, Entry>;

/// A listing that is not what find(1), sha256sum(1) or getfattr(1) were asked for.
#[derive(Debug, thiserror::Error)]
#[error("record {number} of the {of} listing cannot be read: {record:?}")]
pub struct ListingError {
    /// Which listing.
    pub of: &'static str,
    /// Which record, from 1.
    pub number: usize,
    /// The record.
    pub record: String,
}

/// Puts the three listings of a tree together.
///
/// `entries` is find(1)'s (five words, the path, a NUL, a link's target, a NUL), `digests` sha256sum(1)'s with `-z`,
/// `xattrs` getfattr(1)'s.
///
/// # Errors
/// A listing of another form.
pub fn parse(entries: &[u8], digests: &[u8], xattrs: &[u8]) -> Result<Tree, ListingError> {
    let mut tree = parse_entries(entries)?;
    for (number, record) in records(digests).enumerate() {
        let error = || ListingError { of: "sha256sum", number: number + 1, record: record.clone() };
        let (digest, path) = record.split_once("  ").ok_or_else(error)?;
        let path = path.strip_prefix("./").unwrap_or(path);
        tree.get_mut(path).ok_or_else(error)?.digest = digest.to_owned();
    }
    for (number, block) in String::from_utf8_lossy(xattrs).split("\n\n").enumerate() {
        let Some((head, body)) = block.trim_matches('\n').split_once('\n') else { continue };
        let error = || ListingError { of: "getfattr", number: number + 1, record: head.to_owned() };
        let path = head.strip_prefix("# file: ").ok_or_else(error)?;
        let path = path.strip_prefix("./").unwrap_or(path);
        if let Some(entry) = tree.get_mut(path) {
            entry.xattrs = body.to_owned();
        }
    }
    Ok(tree)
}

fn parse_entries(entries: &[u8]) -> Result<Tree, ListingError> {
    let mut tree = Tree::new();
    let mut parts = records(entries);
    let mut number = 0;
    while let (Some(head), Some(target)) = (parts.next(), parts.next()) {
        number += 1;
        let error = || ListingError { of: "find", number, record: head.clone() };
        let mut words = head.splitn(5, ' ');
        let mut word = || words.next().map(str::to_owned).ok_or_else(error);
        let kind = word()?.chars().next().ok_or_else(error)?;
        let (mode, owner, mtime, path) = (word()?, word()?, word()?, word()?);
        let entry = Entry { kind, mode, owner, mtime, target, digest: String::new(), xattrs: String::new() };
        tree.insert(path, entry);
    }
    Ok(tree)
}

/// NUL-terminated records; bytes that are not UTF-8 become U+FFFD in both trees alike.
fn records(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let some = !bytes.is_empty();
    bytes
        .split(|&byte| byte == 0)
        .filter(move |_| some)
        .map(|part| String::from_utf8_lossy(part).into_owned())
}

/// How much of a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Not at all.
    Nothing,
    /// All but the time of its last change.
    AllButTime,
    /// All of it.
    Everything,
}

/// A path pattern (`*` stands for anything but a slash, a trailing `/**` for all below and the directory's own
/// content), how much of it is compared, and why not all.
type Exception = (&'static str, Extent, &'static str);

/// dpkg's scratch directory (lib/dpkg of dpkg(1)): a dpkg that is killed while it unpacks leaves it.
const DPKG_SCRATCH: &str = "what a killed dpkg was unpacking: the next one clears it away";

/// What a rollback does not promise, by path; docs/safety.md has the same list.
const EXCEPTIONS: &[Exception] = &[
    ("var/log/**", Extent::Nothing, "logs tell the story, and a rollback is part of it"),
    ("var/cache/**", Extent::Nothing, "caches: packages fetched, man pages, debconf, ldconfig"),
    ("var/tmp/**", Extent::Nothing, "temporary files"),
    ("tmp/**", Extent::Nothing, "temporary files"),
    ("var/backups/**", Extent::Nothing, "dpkg's copies of its database, made at midnight"),
    ("var/lib/apt/lists/**", Extent::Nothing, "apt's lists of the mirror"),
    ("var/lib/dpkg/*-old", Extent::Nothing, "dpkg's and apt's record of the state before their last run"),
    ("var/lib/dpkg/lock*", Extent::Nothing, "dpkg's locks"),
    ("var/lib/dpkg/triggers/Lock", Extent::Nothing, "dpkg's locks"),
    ("var/lib/dpkg/tmp.ci", Extent::Nothing, DPKG_SCRATCH),
    ("var/lib/dpkg/tmp.ci/**", Extent::Nothing, DPKG_SCRATCH),
    ("var/lib/ucf/*.*", Extent::Nothing, "ucf's rotated records"),
    ("var/lib/systemd/random-seed", Extent::Nothing, "made anew at every boot"),
    ("var/lib/systemd/timers/**", Extent::Nothing, "when timers last ran"),
    ("var/lib/dhcp/**", Extent::Nothing, "leases are renewed"),
    ("root/.bash_history", Extent::Nothing, "what the rehearsal typed"),
    ("root/.ssh/**", Extent::Nothing, "the rehearsal's own key"),
    ("lost+found", Extent::Nothing, "the file system's own"),
    ("var/lib/xen", Extent::Nothing, XEN_KEEPS),
    ("var/lib/xen/**", Extent::Nothing, XEN_KEEPS),
    ("boot/grub/grub.cfg", Extent::AllButTime, "made again by update-grub when packages go, byte for byte"),
    ("boot/grub/grubenv", Extent::AllButTime, "GRUB itself writes it at boot"),
    ("etc/ld.so.cache", Extent::AllButTime, "made again by ldconfig"),
    ("etc/mtab", Extent::AllButTime, "made at boot"),
    ("etc/.updated", Extent::AllButTime, "made at boot"),
    ("var/.updated", Extent::AllButTime, "made at boot"),
    ("var/lib/apt/extended_states", Extent::AllButTime, "written again by apt"),
    ("var/lib/dpkg/status", Extent::AllButTime, "written again by dpkg"),
    ("var/lib/dpkg/info/*.list", Extent::AllButTime, "written again by dpkg"),
    ("var/lib/dpkg/available", Extent::AllButTime, "written again by dpkg"),
    ("var/lib/dpkg/triggers/*", Extent::AllButTime, "written again by dpkg"),
    ("var/lib/ucf/*", Extent::AllButTime, "written again by ucf"),
    ("etc/resolv.conf", Extent::AllButTime, "written again by the DHCP client"),
];

/// libxl writes it while it runs, dpkg does not own it and leaves it there, and saved guests lie there too.
const XEN_KEEPS: &str = "what Xen's tools keep of the domains that ran, saved guests included";

/// Why times of directories are not compared.
const DIRECTORY_TIMES: &str = "times of directories: dpkg unpacks beside and renames";

/// What two trees have in common and where they differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Paths of either tree that were compared in full, or in all but a time.
    pub compared: usize,
    /// Paths not compared, or not in all, counted by reason.
    pub left_out: BTreeMap<String, usize>,
    /// What differs that should not, a line each: "etc/hosts: mode 644, now 600".
    pub differences: Vec<String>,
}

impl Comparison {
    /// The number of paths that were left out altogether or in part.
    #[must_use]
    pub fn excepted(&self) -> usize {
        self.left_out.values().sum()
    }
}

/// Compares a tree with what it was before.
#[must_use]
pub fn compare(before: &Tree, after: &Tree) -> Comparison {
    let mut comparison = Comparison::default();
    let mut paths: Vec<&String> =
        before.keys().chain(after.keys().filter(|p| !before.contains_key(*p))).collect();
    paths.sort();
    for path in paths {
        let exception = EXCEPTIONS.iter().find(|(pattern, ..)| matches(pattern, path));
        if let Some((_, extent, why)) = exception {
            *comparison.left_out.entry((*why).to_owned()).or_default() += 1;
            if *extent == Extent::Nothing {
                continue;
            }
        }
        comparison.compared += 1;
        let extent = exception.map_or(Extent::Everything, |(_, extent, _)| *extent);
        let found = match (before.get(path), after.get(path)) {
            (Some(one), Some(other)) => changes(one, other, extent),
            (Some(_), None) => vec!["is gone".to_owned()],
            (None, _) => vec!["was not there".to_owned()],
        };
        comparison.differences.extend(found.iter().map(|what| format!("{path}: {what}")));
    }
    let directories =
        before.iter().filter(|(path, entry)| entry.kind == 'd' && after.contains_key(*path)).count();
    comparison.left_out.insert(DIRECTORY_TIMES.to_owned(), directories);
    comparison
}

fn changes(before: &Entry, after: &Entry, extent: Extent) -> Vec<String> {
    let kind = (before.kind.to_string(), after.kind.to_string());
    let mut pairs = vec![
        ("kind", &kind.0, &kind.1),
        ("mode", &before.mode, &after.mode),
        ("owner", &before.owner, &after.owner),
        ("target", &before.target, &after.target),
        ("extended attributes", &before.xattrs, &after.xattrs),
        ("content", &before.digest, &after.digest),
    ];
    if extent == Extent::Everything && before.kind != 'd' {
        pairs.push(("time", &before.mtime, &after.mtime));
    }
    let differing = pairs.into_iter().filter(|(_, one, other)| one != other);
    differing.map(|(what, one, other)| format!("{what} {}, now {}", short(one), short(other))).collect()
}

/// The start of a digest is enough to tell that it is another.
fn short(value: &str) -> &str {
    value.get(..24).unwrap_or(value)
}

/// Whether a path is one of those that a pattern names.
fn matches(pattern: &str, path: &str) -> bool {
    if let Some(directory) = pattern.strip_suffix("/**") {
        return path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    }
    let (mut parts, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if name_matches(part, name) => {}
            _ => return false,
        }
    }
}

fn name_matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    name.strip_prefix(start).is_some_and(|name| {
        (0..=name.len()).filter_map(|at| name.get(at..)).any(|tail| name_matches(rest, tail))
    })
}

#[cfg(test)]
mod tests {
    use super::{Tree, compare, matches, parse};

    fn tree(lines: &[&str]) -> Tree {
        // path kind mode mtime content
        let mut entries = Vec::new();
        let mut digests = Vec::new();
        for line in lines {
            let [path, kind, mode, mtime, digest] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            entries.extend(format!("{kind} {mode} 0:0 {mtime} {path}\0\0").into_bytes());
            if kind == "f" {
                digests.extend(format!("{digest}  ./{path}\0").into_bytes());
            }
        }
        parse(&entries, &digests, b"").unwrap()
    }

    #[test]
    fn listings_are_put_together() {
        let xattrs = b"# file: bin/ping\nsecurity.capability=0sAQAAAgAgAAAAAAAAAAAAAAAAAAA=\n\n# file: absent\nx=1\n\n";
        let entries = b"d 755 0:0 1.5 \0\0f 755 0:0 2.5 bin/ping\0\0l 777 0:0 3 a b\0to c\0";
        let tree = parse(entries, b"aa  ./bin/ping\0", xattrs).unwrap();
        assert_eq!(tree.len(), 3);
        let ping = &tree["bin/ping"];
        assert_eq!((ping.digest.as_str(), ping.mtime.as_str()), ("aa", "2.5"));
        assert!(ping.xattrs.starts_with("security.capability="));
        assert_eq!((tree["a b"].kind, tree["a b"].target.as_str()), ('l', "to c"));
        assert_eq!(parse(b"", b"", b"").unwrap(), Tree::new());
    }

    #[test]
    fn another_form_is_an_error_with_its_place() {
        let error = parse(b"f 755 0:0 1 a\0\0f 755\0\0", b"", b"").unwrap_err();
        assert_eq!(error.to_string(), "record 2 of the find listing cannot be read: \"f 755\"");
        let error = parse(b"", b"aa  ./b\0", b"").unwrap_err();
        assert_eq!(error.to_string(), "record 1 of the sha256sum listing cannot be read: \"aa  ./b\"");
    }

    #[test]
    fn what_differs_is_named_and_what_is_left_out_is_counted() {
        let before = tree(&[
            "etc d 755 1 -",
            "etc/hosts f 644 1 aa",
            "etc/gone f 644 1 aa",
            "etc/touched f 644 1 aa",
            "boot/grub/grub.cfg f 400 1 aa",
            "var/log/x f 644 1 aa",
        ]);
        let after = tree(&[
            "etc d 755 9 -",
            "etc/hosts f 600 1 bb",
            "etc/touched f 644 2 aa",
            "etc/new f 644 1 aa",
            "boot/grub/grub.cfg f 400 2 aa",
            "var/log/x f 600 2 bb",
        ]);
        let found = compare(&before, &after);
        assert_eq!(
            found.differences,
            [
                "etc/gone: is gone",
                "etc/hosts: mode 644, now 600",
                "etc/hosts: content aa, now bb",
                "etc/new: was not there",
                "etc/touched: time 1, now 2",
            ]
        );
        assert_eq!((found.compared, found.excepted()), (6, 3));
        assert_eq!(compare(&before, &before).differences, [""; 0]);
    }

    #[test]
    fn a_regenerated_file_may_have_another_time_but_not_another_content() {
        let one = tree(&["boot/grub/grub.cfg f 400 1 aa"]);
        let other = tree(&["boot/grub/grub.cfg f 400 2 bb"]);
        assert_eq!(compare(&one, &other).differences, ["boot/grub/grub.cfg: content aa, now bb"]);
    }

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("var/log/**", "var/log/a/b", true),
            ("var/log/**", "var/log", false),
            ("var/log/**", "var/logs/a", false),
            ("var/lib/dpkg/*-old", "var/lib/dpkg/status-old", true),
            ("var/lib/dpkg/*-old", "var/lib/dpkg/a/b-old", false),
            ("var/lib/dpkg/lock*", "var/lib/dpkg/lock-frontend", true),
            ("var/lib/ucf/*.*", "var/lib/ucf/hashfile.3", true),
            ("var/lib/ucf/*.*", "var/lib/ucf/hashfile", false),
            ("lost+found", "lost+found", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
