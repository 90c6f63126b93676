//! ifupdown's own `ifquery` as the oracle: it must read every case as we do, before and after our edits.
//!
//! It is found by `XENUP_IFQUERY`, else in sbin; without it these tests say that they are skipped. It reads the files
//! and nothing else: no root, no network, no mapping script.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use xenup_core::network::interfaces::{
    AddressPlan, BridgeAddress, InterfacesError, InterfacesTree, NoteKind, Place, Selector, Syntax, load,
};

use super::{ROOT, Tree, any_line, cases, granted};

/// `ifquery`, if it can be run.
fn ifquery() -> Option<PathBuf> {
    let candidates = std::env::var_os("XENUP_IFQUERY").map(PathBuf::from).into_iter();
    let candidates = candidates.chain(["/usr/sbin/ifquery", "/sbin/ifquery"].map(PathBuf::from));
    let runs = |path: &PathBuf| {
        let output = Command::new(path).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(" version 0.8"))
    };
    candidates.into_iter().find(runs)
}

/// A tree written out below a scratch directory, with the absolute paths of its `source` lines moved there.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, tree: &Tree) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interfaces").join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("state")).unwrap();
        for (path, bytes) in tree {
            let below = root.join(path.strip_prefix("/").unwrap());
            fs::create_dir_all(below.parent().unwrap()).unwrap();
            fs::write(below, moved(bytes, &root)).unwrap();
        }
        Self(root)
    }

    fn run(&self, ifquery: &Path, arguments: &[&str]) -> (bool, String, String) {
        let output = Command::new(ifquery)
            .arg("--state-dir")
            .arg(self.0.join("state"))
            .arg("--no-mappings")
            .arg("-i")
            .arg(self.0.join("etc/network/interfaces"))
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

fn moved(bytes: &[u8], root: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match std::str::from_utf8(line) {
            Ok(text) if text.trim_start().starts_with("source") => {
                out.extend(
                    text.replace("/etc/network", &format!("{}/etc/network", root.display())).as_bytes(),
                );
            }
            _ => out.extend(line),
        }
    }
    out
}

/// What ifquery adds to the options of a stanza: defaults and computed values of the `*.defn` files.
const ADDED: [&str; 12] = [
    "netmask",
    "accept_ra",
    "autoconf",
    "request_prefix",
    "ll-attempts",
    "ll-interval",
    "dad-attempts",
    "dad-interval",
    "preferred-lifetime",
    "hexaddress",
    "broadcast",
    "metric",
];

/// What ifquery prints for an option it computes anew.
fn converted(method: &str, name: &str, value: &str) -> String {
    match name {
        "address" if method == "static" => value.split('/').next().unwrap_or_default().to_owned(),
        "hwaddress" => value.strip_prefix("ether ").unwrap_or(value).to_owned(),
        _ => value.to_owned(),
    }
}

/// Checks that ifquery prints our options of `name` in our order, and nothing besides but what it computes.
fn same_options(tree: &InterfacesTree, name: &str, printed: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    let mut pending = String::new();
    for view in tree.stanzas_of(name) {
        for (option, value) in tree.variables(view.id) {
            let expected = format!("{option}: {}", converted(view.method, &option, &value));
            let computed = (option == "broadcast" && ["+", "-"].contains(&value.as_str()))
                || (option == "hwaddress" && value == "random");
            for expected in expected.lines() {
                loop {
                    let Some(line) = lines.next() else { return Err(format!("{expected:?} is missing")) };
                    if line == expected || (computed && line.starts_with(&format!("{option}: "))) {
                        break;
                    }
                    let _ = writeln!(pending, "{line}");
                }
            }
        }
    }
    lines.for_each(|line| writeln!(pending, "{line}").unwrap());
    let added = |line: &str| ADDED.iter().any(|name| line.starts_with(&format!("{name}: ")));
    match pending.lines().find(|line| !added(line)) {
        Some(line) => Err(format!("{line:?} is not ours")),
        None => Ok(()),
    }
}

fn names(tree: &InterfacesTree) -> Vec<String> {
    let mut names: Vec<String> = tree.stanzas().map(|view| view.stanza.name.clone()).collect();
    names.dedup();
    names
}

fn agrees(ifquery: &Path, name: &str, files: &Tree) -> usize {
    let tree = load(files, ROOT.as_ref()).unwrap();
    let scratch = Scratch::new(name, files);
    let mut checked = 0;
    // A name that ifquery's command line would take for a pattern, a logical name or an option is not asked for.
    let plain = |name: &String| !name.starts_with('-') && !name.contains(['/', '=']);
    // What ifquery computes from a value that is none is its own affair: we refuse the stanza.
    let sound = |name: &String| AddressPlan::of_interface(&tree, name).is_ok();
    for interface in names(&tree).into_iter().filter(plain).filter(sound) {
        let (success, stdout, stderr) = scratch.run(ifquery, &[&interface]);
        assert!(success, "{name}: ifquery {interface}: {stderr}");
        if let Err(why) = same_options(&tree, &interface, &stdout) {
            panic!("{name}: {interface}: {why}\n{stdout}");
        }
        checked += 1;
    }
    // ifupdown ends with an error where a renamed interface has a logical name (0.8.41 and 0.8.44).
    if tree.selections().any(|selection| *selection.selector == Selector::Rename) {
        return checked;
    }
    // A pattern means what the kernel has: here the machine of the test, of which we know nothing.
    let classes = tree.selections().filter_map(|selection| match selection.selector {
        Selector::Allow(class) if !selection.name.contains('/') => Some(class.clone()),
        Selector::Allow(class) => Some(format!("/{class}")),
        _ => None,
    });
    let classes: BTreeSet<String> = classes.collect();
    for class in
        classes.iter().filter(|class| !class.starts_with('/') && !classes.contains(&format!("/{class}")))
    {
        let (_, stdout, _) = scratch.run(ifquery, &["--list", "--allow", class]);
        let known = |name: &&str| {
            let logical = name.split_once('=').map_or(*name, |(_, logical)| logical);
            logical == "lo" || tree.stanzas_of(logical).next().is_some() || tree.mapping_of(logical).is_some()
        };
        let ours = tree.class(class);
        let ours: Vec<&str> =
            ours.iter().copied().filter(known).map(|name| name.split('=').next().unwrap()).collect();
        assert_eq!(stdout.lines().collect::<Vec<_>>(), ours, "{name}: class {class}");
        checked += 1;
    }
    checked
}

#[test]
fn ifquery_reads_what_we_read() {
    let Some(ifquery) = ifquery() else {
        println!("skipped: no ifquery of ifupdown 0.8 (set XENUP_IFQUERY, or unpack the package ifupdown)");
        return;
    };
    let mut checked = 0;
    for case in cases() {
        if load(&case.tree, ROOT.as_ref()).is_ok() {
            checked += agrees(&ifquery, &case.name, &case.tree);
        }
    }
    for (case, _, _, after) in granted() {
        checked += agrees(&ifquery, &format!("{}-after", case.name), &after);
    }
    println!("ifquery agreed {checked} times");
}

/// ifquery prints for the bridge what it printed for the port, and the bridge's own options besides.
#[test]
fn the_bridge_says_to_ifquery_what_the_port_said() {
    let Some(ifquery) = ifquery() else {
        println!("skipped: no ifquery of ifupdown 0.8 (set XENUP_IFQUERY, or unpack the package ifupdown)");
        return;
    };
    let changed =
        [NoteKind::HookRewritten, NoteKind::StaysOnPort, NoteKind::AlreadyBridged, NoteKind::PortMtu];
    let mut compared = 0;
    for (case, tree, rewrite, after) in granted() {
        if rewrite.notes.iter().any(|note| changed.contains(&note.kind)) {
            continue;
        }
        let (before, after) =
            (Scratch::new(&format!("{}-say", case.name), &case.tree), Scratch::new("say-after", &after));
        for wanted in &case.request.as_ref().unwrap().bridges {
            if wanted.address != BridgeAddress::Keep {
                continue;
            }
            let said = |scratch: &Scratch, name: &str| scratch.run(&ifquery, &[name]).1;
            let port: String = wanted.ports.iter().map(|port| said(&before, port)).collect();
            let bridge = said(&after, &wanted.name);
            // A random address is another one each time it is asked for.
            let random = |view| tree.options(view).iter().any(|option| option.value == "random");
            let random = tree.stanzas().any(|view| random(view.id));
            // The VLANs that its port lets through are an option of the bridge, for which bridge-utils has no word.
            let own =
                |line: &str| line.starts_with("bridge_") || line.starts_with("up: bridge vlan add dev ");
            let compared_line = |line: &&str| !(own(line) || random && line.starts_with("hwaddress: "));
            let lines =
                |text: &str| text.lines().filter(compared_line).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(lines(&bridge), lines(&port), "{}: {}", case.name, wanted.name);
            compared += 1;
        }
    }
    println!("{compared} bridges compared with their ports");
}

/// Where we refuse a line, ifupdown complains of the same line.
#[test]
fn ifquery_refuses_what_we_refuse() {
    let Some(ifquery) = ifquery() else {
        println!("skipped: no ifquery of ifupdown 0.8 (set XENUP_IFQUERY, or unpack the package ifupdown)");
        return;
    };
    let mut refused = 0;
    for case in cases() {
        let Err(InterfacesError::Syntax { at: Place { path, line }, kind }) = load(&case.tree, ROOT.as_ref())
        else {
            continue;
        };
        refused += refuses(&ifquery, &case.name, &case.tree, &Place { path, line }, &kind);
    }
    assert!(refused > 0);
    println!("{refused} refusals agree");
}

/// Checks that ifquery complains of the same line; returns how often it was asked.
fn refuses(ifquery: &Path, name: &str, files: &Tree, at: &Place, kind: &Syntax) -> usize {
    // These ifupdown takes for something else in silence, or finds when it brings an interface up.
    if matches!(kind, Syntax::EmptyWord | Syntax::LongWord(_) | Syntax::OptionName(_) | Syntax::Rename(_)) {
        return 0;
    }
    let (_, _, stderr) = Scratch::new(name, files).run(ifquery, &["lo"]);
    // Of a continued line we name the first, ifupdown the last; behind two backslashes it counts on past the end.
    let text = String::from_utf8_lossy(&files[&at.path]);
    let continued = match text.contains("\\\\") {
        true => text.lines().count() + 8,
        false => text.lines().skip(at.line - 1).take_while(|line| line.ends_with('\\')).count() + 1,
    };
    let mut places = (at.line..=at.line + continued).map(|line| format!("{}:{line}:", at.path.display()));
    // A file is parsed as a whole before anything in it inherits: of two faults we may name the other one.
    let other = stderr.contains("unknown iface to inherit from");
    let same = other || places.any(|place| stderr.contains(&place));
    assert!(same, "{name}: we say {at}: {kind}, ifquery says {stderr}");
    1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ifquery_agrees_whatever_comes(lines in prop::collection::vec(any_line(), 0..14)) {
        let Some(ifquery) = ifquery() else { return Ok(()) };
        let files = Tree::from([(ROOT.into(), lines.concat().into_bytes())]);
        match load(&files, ROOT.as_ref()) {
            Ok(_) => {
                agrees(&ifquery, "whatever", &files);
            }
            Err(InterfacesError::Syntax { at: Place { path, line }, kind }) => {
                refuses(&ifquery, "whatever", &files, &Place { path, line }, &kind);
            }
            Err(_) => {}
        }
    }
}
