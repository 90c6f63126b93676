//! The cases of tests/cases/interfaces: each a folder with a tree of files, a request, and what must come of it.
//!
//! A case holds `etc/network/...`, perhaps `request.toml`, and `expected/`: `reading.txt` (what the tree says), or
//! `error.txt`; with a request also `notes.txt` and the files that change. `XENUP_UPDATE_CASES=1` writes what came out:
//! read it before you commit it. `oracle` compares with ifupdown's own `ifquery`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "interfaces/oracle.rs"]
mod oracle;

use proptest::prelude::*;
use xenup_core::network::interfaces::{
    AddressPlan, BridgeAddress, Editor, InterfacesFile, InterfacesTree, Note, Request, Rewrite, Selector,
    bridge, configured, load, undo,
};

type Tree = BTreeMap<PathBuf, Vec<u8>>;

const ROOT: &str = "/etc/network/interfaces";

struct Case {
    name: String,
    directory: PathBuf,
    tree: Tree,
    request: Option<Request>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/interfaces");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.retain(|path| path.is_dir());
    directories.sort();
    let case = |directory: PathBuf| {
        let mut tree = Tree::new();
        collect(&directory.join("etc"), Path::new("/etc"), &mut tree);
        let request = fs::read_to_string(directory.join("request.toml")).ok();
        let request = request.map(|text| toml_edit::de::from_str(&text).unwrap());
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        Case { name, directory, tree, request }
    };
    directories.into_iter().map(case).collect()
}

fn collect(from: &Path, to: &Path, tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let path = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &path, tree);
        } else {
            tree.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

/// What a case comes to, as files below `expected/`.
fn outcome(case: &Case) -> Tree {
    let mut out = Tree::new();
    let tree = match load(&case.tree, ROOT.as_ref()) {
        Ok(tree) => tree,
        Err(error) => return error_file(&error, error.hint()),
    };
    out.insert("reading.txt".into(), reading(&tree).into_bytes());
    let Some(request) = &case.request else { return out };
    match bridge(&tree, request) {
        Err(error) => out.extend(error_file(&error, error.hint())),
        Ok(rewrite) => {
            out.insert("notes.txt".into(), notes(&rewrite.notes).into_bytes());
            for edit in &rewrite.edits {
                assert_eq!(edit.before.as_ref(), case.tree.get(&edit.path), "{}: before", case.name);
                out.insert(edit.path.strip_prefix("/").unwrap().to_owned(), edit.after.clone());
            }
        }
    }
    out
}

fn error_file(error: &dyn std::error::Error, hint: Option<String>) -> Tree {
    let mut text = format!("{error}\n");
    let mut cause = error.source();
    while let Some(source) = cause {
        writeln!(text, "cause: {source}").unwrap();
        cause = source.source();
    }
    if let Some(hint) = hint {
        writeln!(text, "hint: {hint}").unwrap();
    }
    Tree::from([("error.txt".into(), text.into_bytes())])
}

fn reading(tree: &InterfacesTree) -> String {
    let mut out = String::new();
    for selection in tree.selections() {
        writeln!(out, "{} {} {}", selection.at, word(selection.selector), selection.name).unwrap();
    }
    for (at, mapping) in tree.mappings() {
        writeln!(
            out,
            "{at} mapping {} by {:?} of {:?}",
            mapping.patterns.join(" "),
            mapping.script,
            mapping.map
        )
        .unwrap();
    }
    for skipped in tree.skipped() {
        writeln!(out, "{} skips {} ({:?})", skipped.at, skipped.path.display(), skipped.why).unwrap();
    }
    for view in tree.stanzas() {
        writeln!(out, "{} {} {} {}", view.place(), view.stanza.name, view.family.word(), view.method)
            .unwrap();
        for option in tree.options(view.id) {
            writeln!(out, "    {} {}={:?}", option.at.line, option.name, option.value).unwrap();
        }
        let plan = match AddressPlan::of(tree, view.id) {
            Ok(plan) => plan.unwrap(),
            Err(error) => {
                writeln!(out, "    refused: {error}").unwrap();
                continue;
            }
        };
        let mut json = serde_json::to_value(&plan).unwrap();
        for field in ["interface", "family", "at", "hooks"] {
            json.as_object_mut().unwrap().remove(field);
        }
        without_nothing(&mut json);
        writeln!(out, "    {json}").unwrap();
    }
    out
}

fn word(selector: &Selector) -> String {
    match selector {
        Selector::Allow(class) => format!("allow-{class}"),
        Selector::NoAutoDown => "no-auto-down".to_owned(),
        Selector::NoScripts => "no-scripts".to_owned(),
        Selector::Rename => "rename".to_owned(),
    }
}

fn without_nothing(json: &mut serde_json::Value) {
    if let Some(object) = json.as_object_mut() {
        object.values_mut().for_each(without_nothing);
        object.retain(|key, value| {
            let nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            !(nothing || ["dns", "v6"].contains(&key.as_str()) && *value == serde_json::json!({}))
        });
    }
}

fn notes(notes: &[Note]) -> String {
    let mut out = String::new();
    for note in notes {
        let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        let severity = word(serde_json::to_value(note.severity).unwrap());
        let kind = word(serde_json::to_value(note.kind).unwrap());
        let at = note.at.as_ref().map(|at| format!(" {at}")).unwrap_or_default();
        writeln!(out, "{severity} {kind}{at}: {}", note.message).unwrap();
        if let Some(hint) = &note.hint {
            writeln!(out, "    hint: {hint}").unwrap();
        }
    }
    out
}

#[test]
fn every_case_comes_to_what_is_expected() {
    let update = std::env::var_os("XENUP_UPDATE_CASES").is_some();
    let cases = cases();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let expected_directory = case.directory.join("expected");
        let actual = outcome(case);
        if update {
            let _ = fs::remove_dir_all(&expected_directory);
            for (path, bytes) in &actual {
                let path = expected_directory.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        let mut expected = Tree::new();
        collect(&expected_directory, Path::new(""), &mut expected);
        for path in expected.keys().chain(actual.keys()).collect::<std::collections::BTreeSet<_>>() {
            if expected.get(path) != actual.get(path) {
                let text =
                    |tree: &Tree| tree.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                let (expected, actual) = (text(&expected), text(&actual));
                wrong.push(format!("{} {}: {expected:#?} but {actual:#?}", case.name, path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tree with the edits done.
fn edited(tree: &Tree, rewrite: &Rewrite) -> Tree {
    let mut tree = tree.clone();
    tree.extend(rewrite.edits.iter().map(|edit| (edit.path.clone(), edit.after.clone())));
    tree
}

/// Every case with a request that is granted: the tree before, the edits, the tree after.
fn granted() -> Vec<(Case, InterfacesTree, Rewrite, Tree)> {
    let mut out = Vec::new();
    for case in cases() {
        let Some(request) = &case.request else { continue };
        let Ok(tree) = load(&case.tree, ROOT.as_ref()) else { continue };
        let Ok(rewrite) = bridge(&tree, request) else { continue };
        let after = edited(&case.tree, &rewrite);
        out.push((case, tree, rewrite, after));
    }
    assert!(out.len() >= 20, "only {} granted requests", out.len());
    out
}

#[test]
fn a_second_plan_is_empty() {
    for (case, _, _, after) in granted() {
        let tree = load(&after, ROOT.as_ref()).unwrap();
        let again = bridge(&tree, case.request.as_ref().unwrap()).unwrap();
        assert_eq!(again.edits, [], "{}", case.name);
    }
}

#[test]
fn every_edit_can_be_taken_back() {
    for (case, _, rewrite, _) in granted() {
        for edit in &rewrite.edits {
            let Some(before) = &edit.before else { continue };
            let after = undo(std::str::from_utf8(&edit.after).unwrap());
            assert_eq!(after.as_bytes(), before, "{} {}", case.name, edit.path.display());
        }
    }
}

#[test]
fn an_edit_leaves_every_other_line_as_it_was() {
    for (case, _, rewrite, _) in granted() {
        for edit in &rewrite.edits {
            let before = String::from_utf8(edit.before.clone().unwrap_or_default()).unwrap();
            let after = std::str::from_utf8(&edit.after).unwrap();
            let mut kept = after.split_inclusive('\n').peekable();
            // Each line of before appears in after in order, as it is or behind our prefix.
            for line in before.split_inclusive('\n') {
                let text = line.trim_end_matches(['\r', '\n']);
                let found = kept.by_ref().any(|new| {
                    let new = new.trim_end_matches(['\r', '\n']);
                    let own = |prefix: &str| new.strip_prefix(prefix) == Some(text);
                    new == text || own("#xenup# ") || own("#xenup-was# ")
                });
                assert!(found, "{}: {line:?} is gone", case.name);
            }
        }
    }
}

/// After a bridge is made, no port brings up an address of its own, and each bridge is automatic.
#[test]
fn no_port_keeps_an_address() {
    for (case, _, _, after) in granted() {
        let tree = load(&after, ROOT.as_ref()).unwrap();
        for wanted in &case.request.as_ref().unwrap().bridges {
            assert!(tree.class("auto").contains(&wanted.name.as_str()), "{}: {}", case.name, wanted.name);
            for view in tree.stanzas_of(&wanted.name) {
                let plan = AddressPlan::of(&tree, view.id).unwrap().unwrap();
                let ports = plan.bridge.unwrap_or_else(|| panic!("{}: no bridge_ports", case.name)).ports;
                assert_eq!(ports, wanted.ports, "{}", case.name);
                if wanted.address == BridgeAddress::None {
                    assert_eq!(view.method, "manual", "{}", case.name);
                }
            }
            for port in &wanted.ports {
                for view in tree.stanzas_of(port) {
                    let plan = AddressPlan::of(&tree, view.id).unwrap().unwrap();
                    let known =
                        ["half-converted", "already-bridged-port-configured"].contains(&case.name.as_str());
                    assert!(known || !plan.has_address(), "{}: {port} has an address", case.name);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_named_with_the_line_that_names_it() {
    use std::io::{Error, ErrorKind};
    let read = |path: &Path| match path.to_str() {
        Some(ROOT) => Ok(b"source interfaces.d/*\nsource-directory more\n".to_vec()),
        _ => Err(Error::from(ErrorKind::PermissionDenied)),
    };
    let listed = |path: &Path| match path.ends_with("interfaces.d") {
        true => Ok(vec!["eno1".into()]),
        false => Err(Error::from(ErrorKind::PermissionDenied)),
    };
    let error = load(&(read, listed), ROOT.as_ref()).unwrap_err();
    let expected = "/etc/network/interfaces.d/eno1: cannot be read (included at /etc/network/interfaces:1)";
    assert_eq!(error.to_string(), expected);
    let empty = |path: &Path| match path.to_str() {
        Some(ROOT) => read(path),
        _ => Ok(Vec::new()),
    };
    let error = load(&(empty, listed), ROOT.as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "/etc/network/more: cannot be listed (named at /etc/network/interfaces:2)");
    let error = load(&Tree::new(), ROOT.as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "/etc/network/interfaces: cannot be read");
}

#[test]
fn a_port_is_known_with_its_aliases_and_its_classes() {
    let text = "auto eno1\nallow-hotplug eno1\niface eno1 inet dhcp\niface eno1:1 inet static\n address 192.0.2.1/24\n";
    let tree = load(&Tree::from([(PathBuf::from(ROOT), text.as_bytes().to_vec())]), ROOT.as_ref()).unwrap();
    let plans = AddressPlan::of_interface(&tree, "eno1").unwrap();
    assert_eq!(plans.iter().map(|plan| plan.interface.as_str()).collect::<Vec<_>>(), ["eno1", "eno1:1"]);
    assert!(plans.iter().all(AddressPlan::has_address));
    let known = configured(&tree);
    let classes: Vec<String> = known[0].classes.iter().map(|(class, at)| format!("{class} {at}")).collect();
    assert_eq!(classes, [format!("auto {ROOT}:1"), format!("hotplug {ROOT}:2")]);
    assert_eq!(known[1].stanzas[0].at.line, 4);
}

// Whatever comes.

/// Lines as people write them, and as they do not.
fn any_line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "auto",
        "allow-hotplug",
        "iface",
        "inet",
        "inet6",
        "static",
        "dhcp",
        "manual",
        "eno1",
        "lo",
        "inherits",
        "source",
        "mapping",
        "script",
        "map",
        "up",
        "address",
        "192.0.2.1/24",
        "no-auto-down",
        "rename",
        "a=b",
        "#",
        "\\",
        "/en*",
        "mtu",
        "é",
    ]);
    let words = prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "));
    let odd = prop::string::string_regex("[ -~\t\r\\\\]{0,12}").unwrap();
    let end = prop::sample::select(vec!["\n", "\r\n", "\\\n", " \n", ""]);
    let whole = prop::sample::select(vec![
        "iface eno1 inet static",
        "iface eno1 inet6 auto",
        "iface eno2 inherits eno1",
        "iface eno1 inet inherits lo",
        "iface lo inet loopback",
        "iface x inet manual y",
        "  address 192.0.2.1/24",
        "\tup ip route add x",
        "post-up  a  b",
        "pre-down c",
        "dns-search a",
        "dns-search b c",
        "mapping e*",
        "  script /bin/x",
        "  map a b",
        "auto eno1",
        "allow-hotplug",
        "source-dir none",
        "rename a=b",
        "no-scripts",
    ])
    .prop_map(str::to_owned);
    (prop_oneof![3 => words, 1 => odd, 6 => whole], end).prop_map(|(text, end)| format!("{text}{end}"))
}

/// A file that parses: stanzas with odd spacing, ends and continuations.
fn valid_file() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "auto lo eno1",
        "auto eno1",
        "allow-hotplug eno1 \\\n  eno2",
        "iface eno1 inet dhcp",
        "iface eno2 inet manual",
        "iface eno1 inet static\n  address 192.0.2.10/24",
        "iface eno1 inet6 auto\n\tprivext 2\n# in between\n\n\tmtu 9000",
        "  # a comment \\",
        "",
        "   ",
        "iface eno1 inet static\n address \\\n 192.0.2.7 \n auto\n up true",
        "no-auto-down eno1",
        "mapping wlan*\n script /bin/x\n map a",
        "source nothing-here/*",
    ]);
    let end = prop::sample::select(vec!["\n", "\r\n"]);
    (prop::collection::vec(piece, 0..9), end, any::<bool>()).prop_map(|(pieces, end, ended)| {
        let mut text = pieces.join("\n");
        if ended {
            text.push('\n');
        }
        // A continuation behind a carriage return is none: only files without one are turned.
        if text.contains('\\') { text } else { text.replace('\n', end) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_then_writing_changes_nothing(lines in prop::collection::vec(any_line(), 0..12)) {
        let text = lines.concat();
        if let Ok(file) = InterfacesFile::parse("/i", text.clone().into_bytes()) {
            prop_assert_eq!(file.text(), &text);
            prop_assert_eq!(file.physical_lines().collect::<String>(), text);
            let mut next = 0;
            for item in &file.items {
                prop_assert_eq!(*item.lines.start(), next);
                next = item.lines.end() + 1;
            }
            prop_assert_eq!(next, file.physical_lines().count());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(file) = InterfacesFile::parse("/i", bytes.clone()) {
            prop_assert_eq!(file.text().as_bytes(), bytes);
        }
    }

    #[test]
    fn edits_are_taken_back_to_the_byte(text in valid_file(), chosen in any::<u16>(), append in any::<bool>()) {
        let file = InterfacesFile::parse("/i", text.clone().into_bytes()).unwrap();
        let mut editor = Editor::new(&file);
        for (index, item) in file.items.iter().enumerate() {
            match (chosen >> (index % 14)) & 3 {
                1 => editor.comment_out_item(index, "a reason"),
                2 => editor.replace_item(index, "auto lo"),
                3 if item.line() == 1 && !file.stanzas.is_empty() => editor.comment_out(0, "another"),
                _ => {}
            }
        }
        if append {
            editor.append("auto xenbr0\niface xenbr0 inet manual\n");
        }
        prop_assert_eq!(undo(&editor.finish()), text);
    }

    #[test]
    fn a_bridge_is_made_or_refused_and_can_be_undone(text in valid_file()) {
        let tree = Tree::from([(PathBuf::from(ROOT), text.clone().into_bytes())]);
        let loaded = load(&tree, ROOT.as_ref()).unwrap();
        let request: Request =
            toml_edit::de::from_str("[[bridge]]\nname = 'xenbr0'\nports = ['eno1']\naddress = 'keep'\n").unwrap();
        if let Ok(rewrite) = bridge(&loaded, &request) {
            let after = edited(&tree, &rewrite);
            prop_assert_eq!(undo(std::str::from_utf8(&after[Path::new(ROOT)]).unwrap()), text);
            let again = load(&after, ROOT.as_ref()).unwrap();
            prop_assert!(again.stanzas_of("xenbr0").next().is_some());
            prop_assert!(bridge(&again, &request).unwrap().edits.is_empty());
        }
    }
}
