//! Guest files: tests/cases/guest/<case>/ holds `guest.cfg`, perhaps `machine.txt`, and `expected/`: `reading.txt`
//! (what the file says) and `findings.txt`, with `converted.cfg` where today's form differs; or `error.txt` alone.
//!
//! machine.txt names what is there, a line each: `there PATH`, `link PATH TARGET`, `text PATH WORDS`, `bridge NAME`,
//! `tree` (files alone, as with --root). Without it everything is there. `XENUP_UPDATE_CASES=1` writes what came out:
//! read it before you commit it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod cases_of;
#[path = "guest/known.rs"]
mod known;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cases_of::{bytes, every_case, findings, folders, optional_text};
use known::Known;
use proptest::prelude::*;
use xenup_core::guest::convert::convert;
use xenup_core::guest::lint::{CONVERTIBLE, across, check, lint, unreadable};
use xenup_core::guest::{DiskSpec, GuestFile, Here, Node, Op, Value, VifSpec, list};
use xenup_core::inspect::Weight;

const PATH: &str = "/etc/xen/guest.cfg";

fn parse(bytes: &[u8]) -> Result<GuestFile, xenup_core::guest::GuestError> {
    GuestFile::parse(PATH, bytes.to_vec())
}

fn machine(case: &Path) -> Known {
    optional_text(case, "machine.txt").map_or_else(Known::everything, |text| Known::of(&text))
}

/// What a case comes to, as files below `expected/`.
fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let mut out = BTreeMap::new();
    let machine = machine(case);
    let here = Here::look(&machine);
    let file = match parse(&bytes(case, "guest.cfg")) {
        Ok(file) => file,
        Err(error) => {
            out.insert("error.txt", format!("{error}\nhint: {}\n", error.hint()));
            return out;
        }
    };
    out.insert("reading.txt", reading(&file));
    out.insert("findings.txt", findings(&lint(&file, &here)));
    let converted = convert(&file).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    if converted.changes() {
        out.insert("converted.cfg", converted.after);
    }
    out
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Nothing => "nothing".to_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

fn reading(file: &GuestFile) -> String {
    let mut out = format!("{:?}\n", file.dialect).to_lowercase();
    for statement in file.statements() {
        let op = if statement.op == Op::Add { "+=" } else { "=" };
        let line = file.line(statement.span.start);
        writeln!(out, "{line} {} {op} {}", statement.key, shown(&statement.node.value)).unwrap();
    }
    let settings = file.settings();
    let texts = |key: &str| match settings.get(key).map(|setting| &setting.value) {
        Some(Value::List(items)) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    for spec in texts("disk") {
        match (DiskSpec::parse(&spec), DiskSpec::parse_old(&spec)) {
            (Ok(disk), _) => writeln!(out, "disk {disk:?}").unwrap(),
            (Err(fault), Ok(disk)) => writeln!(out, "disk of xm ({fault}) {disk:?}").unwrap(),
            (Err(fault), Err(_)) => writeln!(out, "disk refused: {fault}").unwrap(),
        }
    }
    for spec in texts("vif") {
        let vif = format!("{:?}", VifSpec::parse(&spec));
        // What is not said is left out.
        let said: Vec<&str> = vif
            .trim_start_matches("VifSpec { ")
            .split(", ")
            .filter(|part| !part.ends_with(": None") && !part.contains(": []"))
            .collect();
        writeln!(out, "vif {}", said.join(", ").trim_end_matches(" }")).unwrap();
    }
    out
}

#[test]
fn every_case_comes_to_what_is_expected() {
    every_case("guest", 60, outcome);
}

/// Every case that can be read, with its file.
fn readable() -> Vec<(PathBuf, GuestFile)> {
    let files = folders("guest").into_iter().filter_map(|case| {
        let file = parse(&bytes(&case, "guest.cfg")).ok()?;
        Some((case, file))
    });
    files.collect()
}

#[test]
fn a_converted_file_is_not_converted_again_and_has_nothing_left_to_convert() {
    for (case, file) in readable() {
        let name = case.display();
        let once = convert(&file).unwrap().after;
        let again = parse(once.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(again.refused_by_xl.is_none(), "{name}: xl does not read the result");
        assert_eq!(convert(&again).unwrap().after, once, "{name}: converted twice");
        let machine = machine(&case);
        let left: Vec<String> = lint(&again, &Here::look(&machine))
            .into_iter()
            .map(|finding| finding.id)
            .filter(|id| CONVERTIBLE.contains(&id.as_str()))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_conversion_keeps_every_comment() {
    for (case, file) in readable() {
        let after = convert(&file).unwrap().after;
        for line in file.text().lines().map(str::trim).filter(|line| line.starts_with('#')) {
            assert!(after.contains(line), "{}: {line}", case.display());
        }
    }
}

#[test]
fn what_several_guests_claim_is_found() {
    let guest = |name: &str, mac: &str, access: &str| {
        let text = format!(
            "name = '{name}'\nuuid = '00000000-0000-0000-0000-000000000001'\n\
             vif = [ 'mac={mac}' ]\ndisk = [ '/dev/vg/a,raw,xvda,{access}' ]\n"
        );
        GuestFile::parse(format!("/etc/xen/{name}-{access}.cfg"), text.into_bytes()).unwrap()
    };
    let one = guest("web", "00:16:3e:00:00:01", "rw");
    let files = [guest("web", "00:16:3E:00:00:01", "w"), guest("db", "00:16:3e:00:00:02", "r")];
    let found = across(&[&one, &files[0], &files[1]]);
    let ids: Vec<(&str, usize)> = found.iter().map(|one| (one.id.as_str(), one.at.len())).collect();
    let expected = [
        ("guest-name-shared", 2),
        ("guest-uuid-shared", 3),
        ("guest-mac-shared", 2),
        ("guest-disk-shared", 2),
    ];
    assert_eq!(ids, expected);
    assert_eq!(across(&[&one, &one]), [], "a file is no neighbour of itself");
}

#[test]
fn guests_are_listed_with_their_links() {
    let machine = Known::of(
        "text /etc/xen/a.cfg name = 'a'; memory = 512; vcpus = 2; vif = [ '', 'bridge=br1' ]\n\
         text /etc/xen/b name = 'b'; type = 'pvh'; disk = [ 'phy:vg/b,xvda,w', ',hdc:cdrom,r' ]\n\
         text /etc/xen/broken.cfg import os\n\
         text /etc/xen/xl.conf vif.default.bridge='br0'\n\
         text /etc/xen/xlexample.pvlinux name = 'example'\n\
         text /etc/xen/old.cfg~ name = 'old'\n\
         text /srv/c.cfg name = 'c'\n\
         link /etc/xen/auto/10-a ../a.cfg\n\
         link /etc/xen/auto/c /srv/c.cfg\n\
         link /etc/xen/auto/gone ../gone.cfg\n",
    );
    let list = list::list(&machine, &Here::look(&machine)).unwrap();
    let json = serde_json::to_value(&list).unwrap();
    let expected = serde_json::json!({
        "format": 1,
        "guests": [
            { "name": "a", "path": "/etc/xen/a.cfg", "dialect": "xl", "type": "pv", "memory": 512, "vcpus": 2,
              "disks": [], "bridges": ["br0", "br1"], "auto": ["/etc/xen/auto/10-a"] },
            { "name": "b", "path": "/etc/xen/b", "dialect": "xl", "type": "pvh", "vcpus": 1, "bridges": [],
              "disks": [
                { "vdev": "xvda", "target": "/dev/vg/b", "format": "raw", "writable": true },
                { "vdev": "hdc", "format": "empty", "writable": false, "cdrom": true } ] },
            { "name": "c", "path": "/srv/c.cfg", "dialect": "xl", "type": "pv", "vcpus": 1, "disks": [],
              "bridges": [], "auto": ["/etc/xen/auto/c"] },
        ],
        "unread": [
            { "path": "/etc/xen/auto/gone", "why": "it leads to nothing" },
            { "path": "/etc/xen/broken.cfg",
              "why": "line 1: `import` is Python code, which xl does not run" },
        ],
    });
    assert_eq!(json, expected);
}

#[test]
fn a_conversion_is_a_plan_of_one_file() {
    let file = parse(b"name = 'a'\nbuilder = 'hvm'\n").unwrap();
    let converted = convert(&file).unwrap();
    let plan = converted.plan("0123456789abcdef0123456789abcdef", Path::new(PATH));
    xenup_engine::validate::validate(&plan).unwrap();
    assert_eq!(plan.steps().count(), 1);
    let today = parse(converted.after.as_bytes()).unwrap();
    let again = convert(&today).unwrap();
    assert!(!again.changes());
    assert_eq!(again.diff(Path::new(PATH)), "");
    assert!(again.plan("0123456789abcdef0123456789abcdef", Path::new(PATH)).is_empty());
}

#[test]
fn an_unreadable_file_is_a_finding_that_blocks() {
    let error = parse(b"name = 'a'\nfor x in y:\n").unwrap_err();
    let finding = unreadable(&error);
    assert_eq!(
        (finding.id.as_str(), finding.weight, finding.at[0].line),
        ("guest-unreadable", Weight::Blocks, 2)
    );
    let machine = Known::everything();
    let checked = check(&[Err(error)], &Here::look(&machine));
    assert!(checked.blocks());
    assert_eq!(checked.files[0].dialect, None);
}

// Whatever comes.

#[test]
fn what_is_beyond_the_bounds_is_refused() {
    let deep = |levels: usize| format!("a = {}{}\n", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(deep(16).as_bytes()).is_ok());
    for (text, words) in [
        (deep(17), "1:21: brackets are nested deeper than 16"),
        ("a = (".to_owned() + &"(".repeat(100_000), "brackets are nested deeper than 16"),
        (format!("a = [{}]\n", "1,".repeat(30_000)), "more than 20000 values"),
        (format!("a = {}\n", "'x' ".repeat(30_000)), "more than 20000 values"),
        (format!("# {}\n", "x".repeat(1 << 20)), "1:1: the file is longer than 1048576 bytes"),
    ] {
        let error = parse(text.as_bytes()).unwrap_err().to_string();
        let known = error.contains(words) || error.contains("expected");
        assert!(known, "{error}");
    }
}

/// Pieces that the two languages are made of.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "name",
        "disk",
        "vif",
        "builder",
        "extra",
        "root",
        "on_crash",
        "A",
        "a.b",
        " ",
        "\t",
        "=",
        "+=",
        "'x'",
        "\"y\"",
        "'''t\n'''",
        "'phy:/dev/vg/a,xvda,w'",
        "'tap:aio:/a,hda:cdrom,r'",
        "'mac=00:16:3e:00:00:01'",
        "'netdev=eth0'",
        "12",
        "0x1f",
        "-1",
        "1L",
        "0.5",
        "[",
        "]",
        "(",
        ")",
        ",",
        "\n",
        "\r\n",
        ";",
        "# c\n",
        "#",
        "\\\n",
        "\\",
        "'",
        "\"",
        "'hvm'",
        "'linux'",
        "True",
        "None",
        "%",
        "+",
        "'%s'",
        "import",
        "os.",
        "é",
        "\0",
        "memory = 512\n",
        "type = 'pvh'\n",
        "vif = [ '' ]\n",
        "disk = [ 'file:/a,ioemu:hda,w!' ]\n",
        "extra = 'quiet'; root = '/dev/xvda'\n",
        "  ",
        "{",
        "f'x'",
        "r'\\x'",
        "'\\x41'",
        "'\\101'",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A file that xl or literal Python reads: odd spacing, comments, forms of every age.
fn valid_file() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "name",
        "memory",
        "disk",
        "vif",
        "builder",
        "type",
        "extra",
        "root",
        "ip",
        "dhcp",
        "kernel",
        "bootloader",
        "on_crash",
        "restart",
        "localtime",
        "nics",
        "cpu",
        "foo",
        "tsc_mode",
        "bootargs",
        "pvh",
        "vcpus",
    ]);
    let value = prop::sample::select(vec![
        "'x'",
        "\"it's\"",
        "12",
        "[ ]",
        "[ 'a', \"b\" ]",
        "[\n  'phy:/dev/vg/a,xvda,w', # one\n\n  'b'\n]",
        "('a', 'b',)",
        "( 'a' )",
        "'a' 'b'",
        "'''a\nb'''",
        "\"%s,%d\" % ('q', 3)",
        "'a' + \"b\"",
        "[1] + [2]",
        "True",
        "None",
        "-1",
        "1.5",
        "'/usr/bin/pygrub'",
        "'hvm'",
        "'linux'",
        "[ 'netdev=eth0,accel=1' ]",
        "[ ',hdc:cdrom,r' 'x', # c\n 'file:/x,ioemu:hda,w!' ]",
        "\\\n  'next'",
        "[ 'a', \\\n 'b' ]",
        "''",
        "'off'",
        "'coredump_restart'",
        "[\n# only a comment\n]",
        "[ ( 'a' # in\n 'b' ) ]",
        "'yes'",
        "0755",
        "1L",
    ]);
    let end = prop::sample::select(vec!["\n", " # why\n", "; ", ";\n", "\n\n", "\r\n", "\n# a comment\n"]);
    let last = prop::sample::select(vec!["", "name = 'z'", "# the end", "\n"]);
    let one = (key, prop::sample::select(vec![" = ", "=", "  =\t"]), value, end);
    (prop::collection::vec(one, 0..8), last).prop_map(|(all, last)| {
        let mut text: String = all.into_iter().map(|(k, e, v, n)| format!("{k}{e}{v}{n}")).collect();
        text.push_str(last);
        text
    })
}

/// A machine that has nothing.
fn nowhere() -> Known {
    Known::of("tree\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_whole_or_refused_with_its_place(text in any_text()) {
        match parse(text.as_bytes()) {
            Ok(file) => {
                prop_assert_eq!(file.text(), &text);
                let mut at = 0;
                for statement in file.statements() {
                    prop_assert!(at <= statement.span.start && statement.span.end <= text.len());
                    prop_assert!(file.slice(&statement.span).starts_with(&statement.key));
                    at = statement.span.end;
                }
                let machine = nowhere();
                let _ = lint(&file, &Here::look(&machine));
            }
            Err(error) => {
                let lines = text.split('\n').count() as u32;
                prop_assert!((1..=lines).contains(&error.line) && error.column >= 1);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(file) = parse(&bytes) {
            prop_assert_eq!(file.text().as_bytes(), bytes);
        }
    }

    #[test]
    fn any_specification_is_read_or_refused(spec in "[a-z0-9:/,=!@. -]{0,40}") {
        if let Ok(disk) = DiskSpec::parse(&spec) {
            prop_assert_eq!(DiskSpec::parse_old(&spec), Ok(disk));
        }
        let _ = VifSpec::parse(&spec);
    }

    /// Converted, a file is xl's, means the same, keeps its comments, and is not converted again.
    #[test]
    fn a_conversion_ends(text in valid_file()) {
        let Ok(file) = parse(text.as_bytes()) else { return Ok(()) };
        let once = convert(&file).unwrap().after;
        let again = parse(once.as_bytes()).unwrap();
        prop_assert!(again.refused_by_xl.is_none(), "{}", once);
        prop_assert_eq!(&convert(&again).unwrap().after, &once);
        for comment in ["# why", "# one", "# only a comment", "# in", "# a comment", "# the end"] {
            prop_assert_eq!(once.matches(comment).count() >= text.matches(comment).count(), true, "{}", once);
        }
        for (key, setting) in file.settings() {
            if ["name", "foo", "memory", "type"].contains(&key) && setting.value != Value::Nothing {
                let after = again.settings();
                let kept = after.get(key).map(|setting| &setting.value);
                // `builder` may have become a `type` behind the one that was there.
                prop_assert!(kept == Some(&setting.value) || key == "type", "{}: {}", key, once);
            }
        }
        let machine = nowhere();
        let left = lint(&again, &Here::look(&machine)).into_iter().map(|finding| finding.id);
        let left: Vec<String> = left.filter(|id| id == "guest-xm-file" || id == "guest-disk-old").collect();
        prop_assert_eq!(left, Vec::<String>::new());
    }
}

/// How long ten thousand files take: `cargo test --release -p xenup-core --test guest -- --ignored --nocapture`.
#[test]
#[ignore = "it measures, and asserts nothing of it"]
fn ten_thousand_files() {
    let machine = Known::everything();
    let here = Here::look(&machine);
    let texts: Vec<Vec<u8>> =
        readable().into_iter().map(|(_, file)| file.text().as_bytes().to_vec()).collect();
    let texts: Vec<&Vec<u8>> = texts.iter().filter(|text| text.len() < 20_000).cycle().take(10_000).collect();
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let start = Instant::now();
    let files: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| GuestFile::parse(format!("/etc/xen/{n}.cfg"), (*text).clone()))
        .collect();
    let read = start.elapsed();
    let checked = check(&files, &here);
    println!(
        "{} files, {bytes} bytes: read in {read:?}, read and checked in {:?}",
        checked.files.len(),
        start.elapsed()
    );
}

#[test]
fn a_difference_of_line_ends_is_seen() {
    let file = parse(b"name = 'a'\r\ntype = 'pv'\r\nbootloader = 'pygrub'\r\n").unwrap();
    let diff = convert(&file).unwrap().diff(Path::new(PATH));
    assert!(diff.contains("-name = 'a'^M\n") && diff.contains("+name = 'a'\n"), "{diff}");
    assert!(!diff.contains('\r'), "{diff}");
}
